"""evaluate verification as scripts and people meet it: fields, output, exit codes."""

import itertools
import shutil
from pathlib import Path

import pytest
import toy_failures
from running import json_lines, run
from toy_failures import darken
from toy_model import NAMES

dark = toy_failures.dark


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """All pairs of the made-up people's photos, in two folds."""
    photos = [f"{name}/{number}.png" for name in NAMES for number in range(2)]
    some = itertools.combinations(photos, 2)
    rows = [f"{a},{b},{int(a.split('/')[0] == b.split('/')[0])},{i % 2}" for i, (a, b) in enumerate(some)]
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(["a,b,same,fold", *rows]) + "\n", "utf-8")
    return path


FIELDS = [
    "accuracy_mean", "accuracy_se", "auc", "ci95", "eer", "failures_to_enrol",
    "failures_to_enrol_impostor", "genuine", "impostor", "model", "model_fingerprint", "pairs", "photos",
    "photos_missing", "photos_per_second", "photos_unreadable", "photos_without_face", "poor_faces", "seconds",
    "skipped", "tar_at_fmr",
]  # fmt: skip


def test_evaluate_verification(crops: Path, pairs: Path, toy: Path) -> None:
    files = ["--images", crops / "people", "--pairs", pairs]
    result = run("evaluate", "verification", *files, "--aligned", "--json", "--model", toy)
    (line,) = json_lines(result)
    assert (result.exit_code, result.stderr) == (0, "")
    assert sorted(line) == FIELDS
    assert (line["pairs"], line["genuine"], line["impostor"], line["failures_to_enrol"]) == (15, 3, 12, 0)
    assert (line["auc"], line["accuracy_mean"], line["accuracy_se"], line["eer"]) == (1, 1, 0, 0)
    assert line["tar_at_fmr"] == {"1e-2": 1, "1e-3": 1}
    assert line["model"] == "toy"
    assert len(line["model_fingerprint"]) == 16


@pytest.mark.usefixtures("dark")
def test_evaluate_verification_without_folds_and_with_failures(crops: Path, toy: Path, tmp_path: Path) -> None:
    shutil.copytree(crops, tmp_path / "crops")
    darken(tmp_path / "crops" / "dark.png")
    rows = ["ann.png,people/Ann Lee/0.png,1", "ann.png,stranger.png,0", "ann.png,dark.png,1", "stranger.png,dark.png,0"]
    (tmp_path / "pairs.csv").write_text("\n".join(["a,b,same", *rows]), "utf-8")
    files = ["--images", tmp_path / "crops", "--pairs", tmp_path / "pairs.csv"]
    result = run("evaluate", "verification", *files, "--aligned", "--json", "--model", toy)
    (line,) = json_lines(result)
    assert result.exit_code == 1
    wanted = (
        f"1 photo without a usable face, counted as failed, the first {tmp_path / 'crops' / 'dark.png'}: no face found"
    )
    assert result.stderr.startswith(wanted)
    assert result.stderr.count("\n") == 1
    assert sorted(line) == FIELDS
    assert (line["pairs"], line["genuine"], line["impostor"], line["accuracy_se"]) == (4, 2, 2, None)
    assert (line["failures_to_enrol"], line["failures_to_enrol_impostor"], line["photos_without_face"]) == (2, 1, 1)
    assert line["tar_at_fmr"] == {"1e-2": 0.5, "1e-3": 0.5}


def test_evaluate_verification_for_people(crops: Path, pairs: Path, toy: Path) -> None:
    files = ["--images", crops / "people", "--pairs", pairs]
    result = run("evaluate", "verification", *files, "--aligned", "--model", toy)
    assert result.exit_code == 0
    for name in ("accuracy_mean", "auc", "TAR at FMR 1e-3", "failures_to_enrol"):
        assert name in result.stdout
