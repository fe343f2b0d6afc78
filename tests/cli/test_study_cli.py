"""`facerec study`: a quick one from end to end, and what is refused."""

import csv
from pathlib import Path
from typing import Any

import pytest
from running import json_lines, run
from toy_runs import make_classes

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of ten small pictures each."""
    return make_classes(tmp_path_factory.mktemp("kinds") / "colours", 10, 10).folder


@pytest.mark.usefixtures("random_weights")
def test_a_quick_study_fills_its_table(pictures: Path, tmp_path: Path) -> None:
    output = tmp_path / "study"
    result = run("study", pictures, "--mode", "classify", "--quick", "--json", "--output", output)
    *cells, summary = json_lines(result)
    assert result.exit_code == 0, result.stderr
    assert [(line["strategy"], line["status"], line["crops"]) for line in cells] == [
        ("full", "done", 160),
        ("frozen", "done", 160),
    ]
    assert all(0 <= line["accuracy"] <= 1 and line["peak_mib"] > 0 for line in cells)
    assert (summary["done"], summary["failed"], summary["left_out"]) == (2, 0, 0)
    with (output / "study.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert [float(line["accuracy"]) for line in table] == [line["accuracy"] for line in cells]
    assert [row["strategy"] for row in summary["table"]] == ["full", "frozen"]
    text = (output / "study.md").read_text("utf-8")
    assert "Every cell was trained on 160 crops." in text
    assert "This is a quick trial" in text
    assert "This is a quick trial" in (output / "study.html").read_text("utf-8")

    again = run("study", pictures, "--mode", "classify", "--quick", "--output", output)
    [lead] = summary["recommendation"]
    assert lead.startswith("Nothing is ranked: that needs 3 seeds each of two strategies")
    assert again.stdout == f"{lead}\n2 trainings: 2 done; see {output / 'study.html'}\n"
    other = run("study", pictures, "--mode", "classify", "--quick", "--seeds", 2, "--output", output)
    assert (other.exit_code, other.stdout, other.stderr.count("\n")) == (2, "", 1)
    assert "holds a study of other seeds" in other.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--budget", "many"), "--budget is a number of crops, as in 20000, or of minutes, as in 30m, not 'many'"),
        (("--backbones", "resnet99"), "no backbone 'resnet99'"),
        (("--strategies", "half"), "no strategy 'half'; known are full,"),
        (("--splits", "."), "--splits is for --mode metric"),
    ],
)
def test_bad_options_are_refused_in_one_line(
    options: tuple[Any, ...], words: str, pictures: Path, tmp_path: Path
) -> None:
    result = run("study", pictures, "--mode", "classify", *options, "--output", tmp_path / "study")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert words in result.stderr
    assert not (tmp_path / "study" / "study.json").exists()
