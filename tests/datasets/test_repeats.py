"""Photos that an epoch shows several times: the file that says so, and the sets it makes."""

import dataclasses
import logging
from pathlib import Path

import pytest
from toy_faces import face_set, write_people

from facerec.datasets.photo_sets import PhotoSet, no_photos, read_unlabelled
from facerec.datasets.repeats import copies_of, read_repeats, repeat_photos
from facerec.errors import DataError


def write(folder: Path, text: str) -> Path:
    (folder / "times.csv").write_text(text, "utf-8")
    return folder / "times.csv"


@pytest.fixture
def people(tmp_path: Path) -> PhotoSet:
    """Two people with two photos each."""
    return face_set(tmp_path / "people", 2, 2)


def names(photos: PhotoSet) -> list[str]:
    return [name.removesuffix(".png") for name in photos.within()]


def test_a_photo_is_there_as_often_as_its_line_says(people: PhotoSet, tmp_path: Path) -> None:
    path = write(tmp_path, "photo,times\np001/000.png,3\np000/001.jpg,2\n")  # photos get converted
    train, _ = repeat_photos(people, no_photos(), read_repeats(path))
    assert names(train) == ["p000/000", "p000/001", "p000/001", "p001/000", "p001/000", "p001/000", "p001/001"]
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1, 1]
    copies = copies_of(train.paths)
    assert copies.number.tolist() == [0, 0, 1, 0, 1, 2, 0]
    assert copies.of.tolist() == [1, 2, 2, 3, 3, 3, 1]
    assert train.fingerprint() != people.fingerprint()


def test_all_photos_of_a_person_are(people: PhotoSet, tmp_path: Path) -> None:
    train, _ = repeat_photos(people, no_photos(), read_repeats(write(tmp_path, "person,times\np001,2\n")))
    assert names(train) == ["p000/000", "p000/001", *["p001/000"] * 2, *["p001/001"] * 2]


def test_unlabelled_photos_are_named_by_their_path_below_their_folder(people: PhotoSet, tmp_path: Path) -> None:
    loose = read_unlabelled(write_people(tmp_path / "loose", {"old": 1, "young": 2}))
    train, others = repeat_photos(people, loose, read_repeats(write(tmp_path, "photo,times\nold/000.png,3\n")))
    assert names(others) == ["old/000"] * 3 + ["young/000", "young/001"]
    assert names(train) == names(people)
    assert set(others.labels) == {-1}


def test_without_a_file_nothing_is_repeated(people: PhotoSet) -> None:
    assert repeat_photos(people, no_photos(), None)[0] is people


@pytest.mark.parametrize("times", ["0", "-1", "2.5", "often", "1001", "²"])
def test_what_is_no_number_of_times_is_refused(times: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"times.csv: Ann is shown {times} times; write a whole number from 1 to 1000"):
        read_repeats(write(tmp_path, f"person,times\nAnn,{times}\n"))


def test_names_of_nothing_that_is_trained_on_are_said(
    people: PhotoSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    repeats = read_repeats(write(tmp_path, "person,times\np000,2\nAnn,2\nBob,2\n"))
    with caplog.at_level(logging.WARNING):
        repeat_photos(people, no_photos(), repeats)
    assert caplog.messages == [f"{repeats.path}: names 2 people that are not trained on, the first Ann"]
    with pytest.raises(DataError, match=r"names 1 person that is not trained on, the first Ann; write people of"):
        repeat_photos(people, no_photos(), dataclasses.replace(repeats, table={"Ann": "2"}))
