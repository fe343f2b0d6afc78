"""facerec.datasets.photo_names: which photo a file means that names it by another ending."""

import logging
from pathlib import Path

import pytest
import toy_model

from facerec.datasets.attributes import read_attribute
from facerec.datasets.groups import read_groups
from facerec.datasets.photo_names import locate, names_of, say_endings
from facerec.datasets.photo_sets import read_photos
from facerec.errors import DataError


def test_a_name_means_its_photo_or_its_crop_or_else_the_one_of_another_ending() -> None:
    same = {"a/1.jpg": "a/1.jpg", "a/1.jpg.png": "a/1.jpg"}
    assert names_of(same, ["a/1.jpg"]) == same
    assert names_of(["a/1.webp", "b/1.png"], ["a/1.jpg"]) == {"a/1.webp": "a/1.jpg"}
    assert names_of(["a/1.png", "a/1.webp"], ["a/1.jpg", "a/1.webp"]) == {"a/1.png": "a/1.jpg", "a/1.webp": "a/1.webp"}
    assert names_of(["a/1.jpg.png", "a/1.png.png"], ["a/1.png", "a/1.jpg"]) == {
        "a/1.jpg.png": "a/1.jpg", "a/1.png.png": "a/1.png",
    }  # fmt: skip
    assert names_of(["a/1.v2.png", "a/2"], ["a/1.jpg", "a/1"]) == {}, "what is no ending of photos is part of the name"


def test_what_may_be_one_of_several_photos_is_none_of_them(tmp_path: Path) -> None:
    assert names_of(["a/1.webp", "a/1.png", "b/1.png"], ["a/1.jpg", "b/1.jpg"]) == {"b/1.png": "b/1.jpg"}
    assert names_of(["a/1.png"], ["a/1.jpg", "a/1.bmp"]) == {}, "it may be either"
    for name in ("1.png", "1.webp", "2.png"):
        (tmp_path / name).touch()
    assert locate(["1.jpg"], tmp_path).paths == {"1.jpg": tmp_path / "1.jpg"}
    named = {name: tmp_path / name for name in ("2.jpg", "2.png")}
    assert locate(named, tmp_path).paths == named, "a pair of both would be of one photo with itself"


SPELLINGS = {  # photos that are there, names in the file -> the photo of each name
    "another spelling": (["a.jpeg"], {"a.JPG": "a.jpeg"}),
    "a spelling before another ending": (["a.jpeg", "a.png", "a.webp"], {"a.JPG": "a.jpeg"}),
    "a spelling of the other of two": (["a.jpeg", "a.png"], {"a.JPG": "a.jpeg", "a.PNG": "a.png"}),
    "a crop": (["a.jpeg.png"], {"a.JPG": "a.jpeg.png"}),
    "case": (["IMG_1.JPG"], {"img_1.jpg": "IMG_1.JPG"}),
    "case last": (["IMG_1.JPG", "img_1.png"], {"img_1.jpg": "img_1.png"}),
}
UNCLEAR = {  # photos that are there, names in the file -> what is said of each
    "spellings": (["a.jpg", "a.jpeg"], {"a.JPG": "x/a.jpeg or x/a.jpg may be meant (name one of them)"}),
    "endings": (["a.png", "a.webp"], {"a.jpg": "x/a.png or x/a.webp may be meant (name one of them)"}),
    "cases": (["IMG.png", "Img.png"], {"img.jpg": "x/IMG.png or x/Img.png may be meant (name one of them)"}),
    "two spellings": (
        ["a.jpeg"],
        dict.fromkeys(["a.JPG", "a.jpg"], "x/a.jpeg may be meant by x/a.JPG or x/a.jpg (name it)"),
    ),
    "names": (["a.png"], dict.fromkeys(["a.bmp", "a.jpg"], "x/a.png may be meant by x/a.bmp or x/a.jpg (name it)")),
}


def test_a_photo_that_is_named_is_not_taken_for_another_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    paths, unclear = locate(["a.jpg", "a.JPG"], tmp_path)
    assert paths == {"a.jpg": tmp_path / "a.jpg", "a.JPG": tmp_path / "a.JPG"}
    line = f"{tmp_path / 'a.JPG'}: no such file, and a.jpg is named, too (name it in place of this if it is meant)"
    assert unclear == {tmp_path / "a.JPG": line}


@pytest.mark.parametrize("kind", SPELLINGS)
def test_the_one_photo_that_a_name_may_mean_is_found(kind: str, tmp_path: Path) -> None:
    photos, expected = SPELLINGS[kind]
    for photo in photos:
        (tmp_path / photo).touch()
    paths, unclear = locate(expected, tmp_path)
    assert ({name: path.name for name, path in paths.items()}, unclear) == (expected, {})
    if len(expected) == 1:
        ((name, photo),) = expected.items()
        assert names_of(photos, [name]) == {photo: name}


@pytest.mark.parametrize("kind", UNCLEAR)
def test_what_a_name_may_mean_is_said(kind: str, tmp_path: Path) -> None:
    photos, expected = UNCLEAR[kind]
    (tmp_path / "x").mkdir()
    for photo in photos:
        (tmp_path / "x" / photo).touch()
    paths, unclear = locate([f"x/{name}" for name in expected], tmp_path)
    assert paths == {f"x/{name}": tmp_path / "x" / name for name in expected}
    assert unclear == {
        tmp_path / "x" / name: f"{tmp_path / 'x' / name}: no such file, and {said}" for name, said in expected.items()
    }
    assert names_of(photos, expected) == {}


def test_photos_are_located_below_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("1.png", "2.jpg", "3.txt"):
        (tmp_path / "a" / name).touch()
    names = ["a/1.jpg", "a/2.jpg", "a/3.jpg", "b/1.jpg"]
    assert locate(names, tmp_path).paths == dict(
        zip(names, [tmp_path / name for name in ("a/1.png", "a/2.jpg", "a/3.jpg", "b/1.jpg")], strict=True)
    )


def test_it_is_said_once_and_not_of_crops() -> None:
    found = {"a/1.jpg.png": "a/1.jpg", "a/2.png": "a/2.jpg", "a/3.png": "a/3.jpg", "a/4.png": "a/4.png"}
    assert (
        say_endings(Path("x.csv"), found) == "x.csv: 2 photos taken under another ending, the first a/2.png for a/2.jpg"
    )
    assert say_endings(Path("x.csv"), {"a/1.jpg.png": "a/1.jpg"}) == ""


def test_every_file_that_names_photos_takes_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Groups, attributes and lists of photos to leave out say .jpg; the photos are .png."""
    for number in range(3):
        toy_model.save_crop(tmp_path / "people" / "Ann" / f"{number}.png", 0, number)
    photos = [f"Ann/{number}.png" for number in range(3)]
    (tmp_path / "light.csv").write_text("photo,light\n" + "".join(f"Ann/{i}.jpg,{i}\n" for i in range(3)))
    (tmp_path / "groups.csv").write_text("Ann/1.jpg,x\nAnn,y\nAnn/9.jpg,y\n")
    (tmp_path / "out.txt").write_text("people/Ann/2.jpg\n")
    with caplog.at_level(logging.WARNING):
        assert read_attribute(tmp_path / "light.csv").values(photos) == ["0", "1", "2"]
        assert read_attribute(tmp_path / "light.csv").strays(photos[:2]) == ["Ann/2.jpg"]
        assert read_photos(tmp_path / "people", tmp_path / "out.txt").keys() == ["people/Ann/0.png", "people/Ann/1.png"]
    groups, found = read_groups(tmp_path / "groups.csv").for_photos(photos)
    assert [groups.of(photo, "Ann") for photo in photos] == ["y", "x", "y"]
    assert (found, groups.strays(photos, ["Ann"])) == ({"Ann/1.png": "Ann/1.jpg"}, ["Ann/9.jpg"])
    assert [line.getMessage().split(": ")[1].split(",")[0] for line in caplog.records] == [
        "3 photos taken under another ending", "1 photo taken under another ending",
    ]  # fmt: skip


def test_of_two_photos_with_one_name_neither_has_it(tmp_path: Path) -> None:
    (tmp_path / "light.csv").write_text("photo,light\nAnn/1.jpg,day\n")
    with pytest.raises(DataError, match=r"has no line for 2 photos that are used, the first Ann/1\.png"):
        read_attribute(tmp_path / "light.csv").values(["Ann/1.png", "Ann/1.webp"])
