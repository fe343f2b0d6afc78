"""facerec.evaluation.runs from Python: plain arguments in, a Run out, nothing printed."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facerec.errors import ConfigError, DataError, FacerecError
from facerec.evaluation.runs import RunSettings, classification, identification, verification

ROWS = ["a,b,same", "Ann Lee/0.png,Ann Lee/1.png,1", "Ann Lee/0.png,Bob O'Ray/0.png,0"]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """One genuine and one impostor pair."""
    (tmp_path / "pairs.csv").write_text("\n".join(ROWS), "utf-8")
    return tmp_path / "pairs.csv"


def test_verification_returns_what_was_measured(
    crops: Path, pairs: Path, toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    heard: list[Path] = []

    def watch(photos: Any, label: str, total: int) -> Any:
        assert (label, total) == ("Embedding", 3)
        for photo in photos:
            heard.append(photo.path)
            yield photo

    settings = RunSettings(str(toy), aligned=True, report=tmp_path / "out", watch=watch)
    run = verification(crops / "people", pairs, settings=settings)
    assert (run.failures.photos, run.failures.messages(), len(heard)) == (3, [], 3)
    assert (run.line["pairs"], run.line["failures_to_enrol"], run.line["model"]) == (2, 0, "toy")
    assert run.tables(run.line)[0].title.startswith("toy ")
    assert list((tmp_path / "out").iterdir()) == [], "the folder was tried; the page is written when asked for"
    assert run.write_report("by hand") == tmp_path / "out" / "report.html"
    assert "by hand" in (tmp_path / "out" / "report.html").read_text("utf-8")
    assert capsys.readouterr() == ("", "")


def test_without_a_report_none_is_written(crops: Path, pairs: Path, toy: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    run = verification(crops / "people", pairs, settings=RunSettings(str(toy), aligned=True))
    assert run.write_report("by hand") is None
    assert sorted(tmp_path.iterdir()) == before


def test_identification_gives_notices_of_copies_and_strays(crops: Path, toy: Path, tmp_path: Path) -> None:
    (tmp_path / "groups.csv").write_text("Ann Lee,a\nnobody,b\n", "utf-8")
    notices: list[str] = []
    settings = RunSettings(str(toy), aligned=True, notice=notices.append)
    people = crops / "people"
    run = identification(people, people, [2], tmp_path / "groups.csv", settings)
    assert notices == [
        f"{tmp_path / 'groups.csv'}: nobody is no photo and no person here",
        "6 photos in `probe_images`, byte for byte also in `gallery_images`, cannot be missed: "
        "leave the same photos out of one of them",
    ]
    assert (run.failures.photos, run.line["rank1_rate"]) == (6, 1)
    assert [size["people"] for size in run.line["by_gallery_size"]] == [2]
    assert sorted(run.line["by_group"]) == ["a", "no group"]
    assert np.isfinite(run.line["gallery_threshold"])


def test_copies_among_strangers_are_said_to_be_named_for_sure(crops: Path, toy: Path, tmp_path: Path) -> None:
    first = next((crops / "people").glob("*/*.png"))
    (tmp_path / "probes" / "somebody else").mkdir(parents=True)
    shutil.copy(first, tmp_path / "probes" / "somebody else")
    notices: list[str] = []
    settings = RunSettings(str(toy), aligned=True, notice=notices.append)
    run = identification(crops / "people", tmp_path / "probes", [], None, settings)
    (copies,) = [notice for notice in notices if "byte for byte" in notice]
    assert "are named for sure, though their people count as strangers: " in copies
    assert run.line["fpir_at_gallery_threshold"] == 1


def test_errors_speak_of_arguments(crops: Path, pairs: Path, toy: Path, tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    settings = RunSettings(str(toy), aligned=True, report=tmp_path)
    with pytest.raises(ConfigError, match="give another folder to `report`"):
        identification(crops / "people", crops / "people", settings=settings)
    with pytest.raises(ConfigError, match="give sizes from 1 to 3"):
        identification(crops / "people", crops / "people", [4])
    with pytest.raises(DataError, match="not a folder"):
        verification(tmp_path / "none", pairs)
    with pytest.raises(FacerecError, match="a model file; to classify, give a model folder"):
        classification(crops / "people", settings=RunSettings(str(toy)))


def test_a_pair_of_one_file_twice_is_remarked_on(crops: Path, toy: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    shutil.copytree(crops / "people" / "Ann Lee", images)
    first, second = sorted(images.iterdir())[:2]
    shutil.copy(first, images / "copy.png")
    rows = f"a,b,same\n{first.name},copy.png,1\n{first.name},{second.name},1\n"
    (tmp_path / "pairs.csv").write_text(rows, "utf-8")
    notices: list[str] = []
    verification(images, tmp_path / "pairs.csv", settings=RunSettings(str(toy), aligned=True, notice=notices.append))
    assert notices == [
        f"1 pair of one file twice, the first {first.name} and copy.png, cannot be missed: leave them out"
    ]


def test_a_stranger_with_another_spelling_of_a_name_is_remarked_on(crops: Path, toy: Path, tmp_path: Path) -> None:
    probes = tmp_path / "probes"
    (probes / "ann_lee").mkdir(parents=True)
    shutil.copy(crops / "stranger.png", probes / "ann_lee" / "new.png")
    notices: list[str] = []
    identification(crops / "people", probes, settings=RunSettings(str(toy), aligned=True, notice=notices.append))
    assert notices == [
        "1 person in `probe_images` counted as strangers under another spelling of a name in `gallery_images`, "
        "ann_lee for Ann Lee: if they are the same, give both folders one name"
    ]
