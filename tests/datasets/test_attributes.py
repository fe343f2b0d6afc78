"""The file of an attribute: what is read from it, and what is said of one that is wrong."""

import unicodedata
from pathlib import Path

import pytest

from facerec.datasets.attributes import read_attribute
from facerec.errors import DataError


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_a_line_is_of_a_photo_or_of_a_person(tmp_path: Path) -> None:
    by_photo = read_attribute(write(tmp_path / "a.csv", 'photo,light\nAnn/1.jpg,day\n\n"Bob, R/2.jpg", night \n'))
    assert (by_photo.name, by_photo.of) == ("light", "photo")
    assert by_photo.values(["Bob, R/2.jpg", "Ann/1.jpg", "Bob, R/2.jpg"]) == ["night", "day", "night"]
    by_person = read_attribute(write(tmp_path / "b.csv", "Person,source of it\nAnn,web\nBob,film"))
    assert (by_person.name, by_person.of) == ("source of it", "person")
    assert by_person.values(["Bob/1.jpg", "Bob/2.jpg", "Ann/1.jpg"]) == ["film", "film", "web"]


def test_a_crop_has_the_value_of_its_photo(tmp_path: Path) -> None:
    """facerec train makes PERSON/PHOTO.jpg.png of PERSON/PHOTO.jpg; a person's name is no such thing."""
    by_photo = read_attribute(write(tmp_path / "a.csv", "photo,light\nAnn/1.jpg,day\nAnn/2.png,night"))
    assert by_photo.values(["Ann/1.jpg.png", "Ann/2.png", "Ann/2.png.png"]) == ["day", "night", "night"]
    by_person = read_attribute(write(tmp_path / "b.csv", "person,light\nAnn,day"))
    with pytest.raises(DataError, match="has no line for 1 person that is used"):
        by_person.values(["Ann.png/1.jpg"])


def test_accents_may_be_apart(tmp_path: Path) -> None:
    apart, together = (unicodedata.normalize(form, "Çelik") for form in ("NFD", "NFC"))
    assert apart != together
    attribute = read_attribute(write(tmp_path / "a.csv", f"person,light\n{apart},{apart}"))
    assert attribute.values([f"{together}/1.jpg", f"{apart}/1.jpg"]) == [together, together]


def test_photos_the_file_does_not_name_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "photo,light\nAnn/1.jpg,day")
    with pytest.raises(DataError) as caught:
        read_attribute(path).values(["Bob/2.jpg", "Ann/1.jpg", "Ann/3.jpg"])
    words = "has no line for 2 photos that are used, the first Ann/3.jpg; add a line for each, or leave them out"
    assert str(caught.value) == f"{path}: {words} (`exclude`)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: the columns are ''; write 'photo,NAME' or 'person,NAME', NAME saying"),
        ("Ann,day\nBob,night\n", "line 1: the columns are 'Ann,day'; write 'photo,NAME'"),
        ("photo,light,place\n", "line 1: the columns are 'photo,light,place'; write"),
        ("photo,\nAnn/1.jpg,day", "line 1: the columns are 'photo,'; write"),
        ("photo,light\n", "no values in it; add lines of a photo and its light"),
        ("photo,light\nAnn/1.jpg,day\nAnn/2.jpg\n", "line 3: 'Ann/2.jpg'; write a photo and its light"),
        ("person,light\nAnn,\n", "line 2: 'Ann,'; write a person and its light"),
        ("person,light\nAnn,day,night\n", "line 2: 'Ann,day,night'; write a person and its light"),
        ("photo,light\na/1.jpg,day\n./a/1.jpg,dawn", "line 3: a/1.jpg is both day and dawn; leave one"),
        ('photo,light\na/1.jpg,"day\n', "not CSV"),
        ("photo,light\na/1.jpg,day\0\n", "not text"),
    ],
)
def test_a_file_that_is_wrong_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", text)
    with pytest.raises(DataError) as caught:
        read_attribute(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv: cannot be read .* give a CSV of an attribute"):
        read_attribute(tmp_path / "none.csv")


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_what_no_file_is_called_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="no file has such a name"):
        read_attribute(Path(name))
