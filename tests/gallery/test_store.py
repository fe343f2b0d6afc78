"""Merging, consent, people's numbers, and galleries of older formats."""

from pathlib import Path

import pytest
from killing import photos_in
from running import json_lines, run
from toy_gallery import nearest, opened, template

from facerec.errors import GalleryError, UnknownPersonError
from facerec.gallery.enrolled import consent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with opened(tmp_path / "gallery") as gallery:
        for number, name in enumerate(("Ann", "Bob", "Bob")):
            gallery.add(name, template(number))
    return tmp_path / "gallery"


def test_merging(folder: Path) -> None:
    with opened(folder) as gallery, opened(folder) as reader:
        assert nearest(reader, 0) == "Ann"
        assert gallery.merge("Ann", "Bob") == 1
        assert photos_in(gallery) == {"Bob": [0, 1, 2]}
        assert [nearest(reader, n) for n in range(3)] == ["Bob"] * 3
        assert gallery.check().problems == ()
        with pytest.raises(UnknownPersonError):
            gallery.merge("Ann", "Bob")
        with pytest.raises(UnknownPersonError):
            gallery.merge("Bob", "Ann")
        with pytest.raises(GalleryError, match="are the same person"):
            gallery.merge("Bob", " Bob ")
        assert photos_in(gallery) == {"Bob": [0, 1, 2]}


@pytest.mark.parametrize(
    ("source", "target", "merged"),
    [
        (("old", "2030-01-01"), ("new", "2031-01-01"), ("new", "2030-01-01")),
        (("old", None), (None, "2031-01-01"), ("old", "2031-01-01")),
        (("old", "2032-01-01"), (None, None), ("old", "2032-01-01")),
        ((None, None), (None, None), (None, None)),
    ],
)
def test_merging_keeps_the_earlier_day(folder: Path, source: tuple, target: tuple, merged: tuple) -> None:
    with opened(folder) as gallery:
        gallery.set_consent("Ann", *source)
        gallery.set_consent("Bob", *target)
        gallery.merge("Ann", "Bob")
        assert consent(gallery.store, "Bob") == merged


def test_merge_by_command(folder: Path) -> None:
    line = {"merged": "Ann", "into": "Bob", "templates": 1}
    assert json_lines(run("gallery", "merge", "Ann", "Bob", "--json", gallery=folder)) == [line]
    result = run("gallery", "merge", "Ann", "Bob", gallery=folder)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "nobody called 'Ann'" in result.stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["rename", " Ann ", " E\u0301va "], [{"renamed": "Ann", "to": "\u00c9va"}]),
        (["merge", " Ann", "Bob "], [{"merged": "Ann", "into": "Bob", "templates": 1}]),
        (["consent", " Ann "], [{"person": "Ann", "consent": None, "until": None}]),
        (["remove", "Ann "], [{"removed": "Ann", "templates": 1}]),
    ],
)
def test_people_are_called_as_the_gallery_has_them(folder: Path, command: list[str], said: list[dict]) -> None:
    assert [line["person"] for line in json_lines(run("gallery", "show", " Ann ", "--json", gallery=folder))] == ["Ann"]
    assert json_lines(run("gallery", *command, "--json", gallery=folder)) == said


def test_consent(folder: Path) -> None:
    command = ["gallery", "consent", "Ann"]
    said = run(*command, "--note", "  signed on paper ", "--until", "2031-01-31", gallery=folder)
    assert said.stdout == "Ann: consent: signed on paper; kept until 2031-01-31\n"
    (line,) = json_lines(run(*command, "--until", "2032-02-29", "--json", gallery=folder))
    assert line == {"person": "Ann", "consent": "signed on paper", "until": "2032-02-29"}
    ann, bob = json_lines(run("gallery", "list", "--json", gallery=folder))
    assert (ann["consent"], ann["until"]) == ("signed on paper", "2032-02-29")
    assert (bob["consent"], bob["until"]) == (None, None)
    (photo,) = json_lines(run("gallery", "show", "Ann", "--json", gallery=folder))
    assert (photo["consent"], photo["until"]) == ("signed on paper", "2032-02-29")
    assert run("gallery", "show", "Ann", gallery=folder).stdout.startswith("consent: signed on paper; kept until 2032")
    (line,) = json_lines(run(*command, "--note", "", "--until", "", "--json", gallery=folder))
    assert (line["consent"], line["until"]) == (None, None)
    for bad in (["--until", "2031-02-29"], ["--until", "20310228"], ["--until", "soon"], ["--note", "a\nb"]):
        result = run(*command, *bad, gallery=folder)
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert run("gallery", "consent", "Xaver", "--note", "x", gallery=folder).exit_code == 2


def test_a_day_that_has_passed_is_remarked_on(folder: Path) -> None:
    said = run("gallery", "consent", "Ann", "--until", "2001-01-31", "--json", gallery=folder)
    assert json_lines(said) == [{"person": "Ann", "consent": None, "until": "2001-01-31"}]
    assert (said.exit_code, said.stderr) == (0, "Ann: that day has passed; `facerec gallery expire` removes them\n")
    assert run("gallery", "consent", "Ann", "--until", "2999-01-31", gallery=folder).stderr == ""
    assert run("gallery", "consent", "Bob", "--until", "2001-01-31", gallery=folder).stderr.startswith("Bob: that day")
    assert run("gallery", "consent", "Ann", "--note", "x", gallery=folder).stderr == ""


ODD_DAYS = [
    "2031-02-29", "2031-13-01", "2031-1-1", "0000-01-01", "-001-01-01", "10000-01-01", "2031-W01-1", "2031-01-01T00:00",
    "\u0662\u0660\u0663\u0661-01-01", " 2031-01-01", "2031-01-01\n", "31.01.2031",
]  # fmt: skip


@pytest.mark.parametrize("day", ODD_DAYS, ids=ascii)
def test_what_is_no_day(day: str, folder: Path) -> None:
    result = run("gallery", "consent", "Ann", "--until", day, gallery=folder)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "is not a day; give it as YYYY-MM-DD" in result.stderr


@pytest.mark.parametrize(
    "note", ["two\nlines", "\x00", "\x1b[2J", "\u202eturned", "\u2066apart\u2069", "x" * 2001], ids=ascii
)
def test_what_is_no_note(note: str, folder: Path) -> None:
    result = run("gallery", "consent", "Ann", "--note", note, gallery=folder)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "is not a usable note; give one line" in result.stderr
    assert result.stderr.strip().isprintable()


def test_a_number_is_never_given_again(folder: Path) -> None:
    with opened(folder) as gallery:
        for number in range(5):
            gallery.remove("Bob" if number == 0 else "Cy")
            gallery.add("Cy", template(10 + number))
        persons = [entry.person for entry in gallery.log()[0] if entry.action == "enrolled"]
        assert persons == [1, 2, 2, 3, 4, 5, 6, 7]


# ------------------------------------------------------------------------------------------------------ older formats
