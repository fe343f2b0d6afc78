"""`facerec check-data` on made-up people."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from click.testing import Result
from photo_copies import jpeg, shot
from running import json_lines, run

from facerec.curation.check import KINDS
from facerec.datasets.photo_sets import read_photos

PEOPLE = ("Ann Lee", "Bob O'Ray", "Çelik 王")
FIELDS = ["kind", "people", "photos", "reason", "suspects", "other_people", "other_photos", "distance", "correlation"]


def save(path: Path, person: int, photo: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(shot(person, photo)).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three people of three photos each, nothing wrong with them."""
    for person, name in enumerate(PEOPLE):
        for photo in range(3):
            save(tmp_path / "people" / name / f"{photo}.png", person, photo)
    return tmp_path / "people"


@pytest.fixture
def check(toy: Path) -> Any:
    """Run the command on aligned crops with the toy model."""

    def check_data(*arguments: object) -> Result:
        return run("check-data", *arguments, "--aligned", "--model", toy)

    return check_data


def spoil(folder: Path) -> None:
    """One thing of each kind."""
    save(folder / "Ann Lee" / "bob.png", 1, 7)
    shutil.copy(folder / "Ann Lee" / "0.png", folder / "Ann Lee" / "again.png")
    PIL.Image.fromarray(jpeg(shot(2, 0))).save(folder / "Bob O'Ray" / "celik.png")
    (folder / "Çelik 王" / "broken.jpg").write_bytes(b"no photo")
    save(folder / "Dan" / "0.png", 3, 0)
    for photo in (8, 9):
        save(folder / "Robert" / f"{photo}.png", 1, photo)


def test_a_sound_folder(folder: Path, check: Any) -> None:
    result = check(folder)
    assert (result.exit_code, result.stderr) == (0, "")
    expected = "9 usable photos of 3 people; 0 suspect. Judged by the model: made up for tests.\n"
    assert result.stdout == expected


def test_each_kind_is_found_once(folder: Path, check: Any) -> None:
    spoil(folder)
    result = check(folder, "--json")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [result.stderr.strip()]
    assert "broken.jpg" in result.stderr
    *findings, summary = json_lines(result)
    assert all(list(finding) == FIELDS for finding in findings)
    assert [(f["kind"], f["photos"]) for f in findings] == [
        ("unreadable", ["people/Çelik 王/broken.jpg"]),
        ("duplicate", ["people/Ann Lee/0.png", "people/Ann Lee/again.png"]),
        ("near_duplicate", ["people/Bob O'Ray/celik.png", "people/Çelik 王/0.png"]),
        ("single_photo", ["people/Dan/0.png"]),
        ("wrong_label", ["people/Ann Lee/bob.png"]),
        ("wrong_label", ["people/Bob O'Ray/celik.png"]),
        ("same_person", []),
    ]
    assert findings[-1]["people"] == ["Bob O'Ray", "Robert"]
    counts = {kind: sum(f["kind"] == kind for f in findings) for kind in KINDS}
    limits = {"own": 0.5, "stranger": 1.25, "same": 0.5, "source": "the model: made up for tests"}
    assert summary == {"summary": True, "photos": 15, "people": 5, **counts, "suspects": 3, "limits": limits}


def test_people_are_told_what_is_wrong_and_not_more_than_they_can_read(folder: Path, check: Any) -> None:
    for photo in range(12):
        save(folder / "Ann Lee" / f"bob{photo:02}.png", 1, 10 + photo)
        save(folder / "Ann Lee" / f"ann{photo:02}.png", 0, 10 + photo)
    lines = check(folder).stdout.splitlines()
    assert lines[0] == "photos that probably show somebody else: 12"
    assert lines[1].startswith("    people/Ann Lee/bob00.png is nearer to Bob O'Ray (0.")
    assert lines[11:] == [
        "    ... and 2 more; --json lists all of them",
        "33 usable photos of 3 people; 12 suspect. Judged by the model: made up for tests.",
    ]


def test_the_list_of_suspects_leaves_them_out_of_training(folder: Path, tmp_path: Path, check: Any) -> None:
    spoil(folder)
    check(folder, "--output", tmp_path / "suspects.txt")
    left_out = {"Ann Lee/bob.png", "Bob O'Ray/celik.png", "Çelik 王/broken.jpg"}
    before, after = (set(read_photos(folder, lists).keys()) for lists in (None, tmp_path / "suspects.txt"))
    assert before - after == {f"people/{name}" for name in left_out}
    comments = [line for line in (tmp_path / "suspects.txt").read_text("utf-8").splitlines() if line.startswith("#")]
    assert [line.split()[1] for line in comments[1:]] == [
        "wrong_label:",
        "near_duplicate:",
        "wrong_label:",
        "unreadable:",
    ]


def test_against_another_folder(folder: Path, tmp_path: Path, check: Any) -> None:
    other = tmp_path / "test"
    save(other / "ann_lee" / "a.png", 5, 0)
    PIL.Image.fromarray(jpeg(shot(1, 2))).save(save(other / "Bob" / "b.png", 1, 5).with_name("c.png"))
    (other / "Bob" / "broken.png").write_bytes(b"")
    result = check(folder, "--against", other, "--against-aligned", "--json", "--output", tmp_path / "suspects.txt")
    assert result.exit_code == 1
    *findings, _ = json_lines(result)
    assert [(f["kind"], f["people"], f["other_people"], f["other_photos"]) for f in findings] == [
        ("unreadable", [], ["Bob"], ["test/Bob/broken.png"]),
        ("shared_name", ["Ann Lee"], ["ann_lee"], []),
        ("shared_person", ["Bob O'Ray"], ["Bob"], []),
        ("shared_photo", ["Bob O'Ray"], ["Bob"], ["test/Bob/c.png"]),
    ]
    assert (tmp_path / "suspects.txt").read_text("utf-8").count("\n") == 1


def test_aligned_is_said_of_the_first_folder_alone(
    folder: Path, tmp_path: Path, small_samples: Path, toy: Path
) -> None:
    """The sample photo is not square, as crops must be; noise has no face."""
    (tmp_path / "other" / "Grace Hopper").mkdir(parents=True)
    (sample,) = (small_samples / "people" / "Grace Hopper").glob("*.jpg")
    shutil.copy(sample, tmp_path / "other" / "Grace Hopper")
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    PIL.Image.fromarray(noise).save(tmp_path / "other" / "Grace Hopper" / "noise.png")
    result = run("check-data", folder, "--aligned", "--against", tmp_path / "other", "--json", "--model", toy)
    assert result.exit_code == 1
    *findings, summary = json_lines(result)
    assert [(f["kind"], f["other_photos"]) for f in findings] == [("no_face", ["other/Grace Hopper/noise.png"])]
    assert summary["photos"] == 9


def test_one_person(folder: Path, check: Any) -> None:
    for name in PEOPLE[1:]:
        shutil.rmtree(folder / name)
    save(folder / "Ann Lee" / "wrong.png", 6, 0)
    (finding, summary) = json_lines(check(folder, "--json"))
    assert (finding["kind"], finding["people"]) == ("wrong_label", ["Ann Lee"])
    assert (summary["photos"], summary["people"]) == (4, 1)


def test_photos_none_of_which_can_be_used(tmp_path: Path, check: Any) -> None:
    (tmp_path / "people" / "Ann").mkdir(parents=True)
    (tmp_path / "people" / "Ann" / "1.jpg").write_bytes(b"")
    PIL.Image.new("RGB", (80, 60)).save(tmp_path / "people" / "Ann" / "2.png")
    result = check(tmp_path / "people", "--json")
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 2
    assert "not an aligned crop" in result.stderr
    *findings, summary = json_lines(result)
    assert [f["kind"] for f in findings] == ["unreadable", "unreadable"]
    assert (summary["photos"], summary["people"], summary["suspects"]) == (0, 0, 2)


def test_a_folder_that_cannot_be_used_is_one_line(folder: Path, tmp_path: Path, check: Any) -> None:
    (tmp_path / "empty").mkdir()
    for arguments in ((tmp_path / "empty",), (tmp_path / "none",), (folder, "--against", tmp_path / "empty")):
        result = check(*arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        (line,) = result.stderr.splitlines()
        assert str(arguments[-1]) in line


def test_a_list_that_cannot_be_written_costs_no_findings(folder: Path, check: Any) -> None:
    result = check(folder, "--output", folder)
    assert result.exit_code == 2
    assert "9 usable photos" in result.stdout
    (line,) = result.stderr.splitlines()
    assert line.endswith("cannot be written (Is a directory); give another --output")


def test_a_photo_is_never_overwritten_by_the_list_but_an_older_list_is(
    folder: Path, check: Any, tmp_path: Path
) -> None:
    photo = next(path for path in sorted(folder.rglob("*.png")) if path.stat().st_size > 1000)
    before = photo.read_bytes()
    result = check(folder, "--output", photo)
    assert result.exit_code == 2
    assert result.stderr.endswith("exists and is not a list of check-data; give another --output\n")
    assert photo.read_bytes() == before
    for _ in range(2):
        assert check(folder, "--output", tmp_path / "list.txt").exit_code in (0, 1)
