"""A name that is another spelling of somebody's is neither given nor imported unasked."""

import shlex
from pathlib import Path

import pytest
from running import json_lines, run
from toy_gallery import opened, template

from facerec.cli import common
from facerec.errors import GalleryError
from facerec.gallery.archive import Import
from facerec.gallery.archive_file import read_archive
from facerec.gallery.vetoes import apart

SPELLINGS = ["ann_lee", "Lee, Ann", "ÁNN LEE", "AnnLee"]


@pytest.fixture
def club(tmp_path: Path) -> Path:
    """A gallery of Ann Lee, with two photos, and Bob, with one."""
    with opened(tmp_path / "club") as gallery:
        for number, name in enumerate(("Ann Lee", "Ann Lee", "Bob")):
            gallery.add(name, template(number))
    return tmp_path / "club"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An export of ann_lee, with two photos, and Cy."""
    with opened(tmp_path / "source") as gallery:
        for number, name in enumerate(("ann_lee", "ann_lee", "Cy"), 10):
            gallery.add(name, template(number))
        gallery.export(tmp_path / "file.npz")
    return tmp_path / "file.npz"


def counts(folder: Path) -> dict[str, int]:
    with opened(folder) as gallery:
        return {person.name: person.templates for person in gallery.people()}


@pytest.mark.parametrize("name", SPELLINGS)
def test_nobody_is_renamed_to_a_spelling_of_somebody_else(name: str, club: Path) -> None:
    with opened(club) as gallery:
        with pytest.raises(GalleryError) as caught:
            gallery.rename("Bob", name)
        said = f"'{name}' is a spelling of 'Ann Lee', who is enrolled; if they are one person, "
        assert str(caught.value).startswith(f"{club}: {said}`facerec gallery merge Bob 'Ann Lee'` makes one of the two")
        assert str(caught.value).endswith("first say so: `facerec gallery not-same --people Bob 'Ann Lee'`")
        gallery.set_apart("Ann Lee", "Bob")
        gallery.rename("Bob", name)
        assert [person.name for person in gallery.people()] == sorted(["Ann Lee", name])


def test_another_name_of_the_same_letters_is_no_spelling(club: Path, tmp_path: Path) -> None:
    with opened(club) as gallery:
        gallery.rename("Bob", "Nan Lee")
    with opened(tmp_path / "source") as gallery:
        gallery.add("Lena Ne", template(10))
        gallery.export(tmp_path / "other.npz")
    assert run("gallery", "import", tmp_path / "other.npz", gallery=club).exit_code == 0
    assert counts(club) == {"Ann Lee": 2, "Lena Ne": 1, "Nan Lee": 1}


def test_the_own_name_may_be_spelled_otherwise(club: Path) -> None:
    with opened(club) as gallery:
        gallery.rename("Ann Lee", "ann_lee")
        gallery.rename("Bob", "Bo B. 2")
        gallery.rename("Bo B. 2", "B. O. B. 3")
    assert counts(club) == {"B. O. B. 3": 1, "ann_lee": 2}


def _imported(club: Path, file: Path, **answers: bool) -> Import:
    with opened(club) as gallery:
        return gallery.import_archive(read_archive(file), one=answers)


def test_an_import_holds_back_another_spelling(club: Path, file: Path) -> None:
    cy, ann = _imported(club, file).people
    assert (cy.person, cy.added) == ("Cy", 1)
    assert (ann.person, ann.added, ann.differences) == ("ann_lee", 0, 2)
    assert ann.conflicts[0].startswith("'ann_lee' is a spelling of 'Ann Lee', who is enrolled, so held back; ")
    assert counts(club) == {"Ann Lee": 2, "Bob": 1, "Cy": 1}


@pytest.mark.parametrize("one", [True, False])
def test_an_import_takes_the_answer(one: bool, club: Path, file: Path) -> None:
    _imported(club, file, ann_lee=one)
    ann = {"Ann Lee": 4} if one else {"Ann Lee": 2, "ann_lee": 2}
    assert counts(club) == {"Bob": 1, "Cy": 1} | ann
    with opened(club) as gallery:
        assert apart(gallery.store, "Ann Lee") == ([] if one else ["ann_lee"])
    assert [person.skipped for person in _imported(club, file, ann_lee=one).people] == [1, 2], "not twice"


def test_a_file_that_says_that_they_are_two_is_believed(club: Path, file: Path, tmp_path: Path) -> None:
    with opened(tmp_path / "source") as gallery:
        gallery.add("Ann Lee", template(20))
        gallery.set_apart("Ann Lee", "ann_lee")
        gallery.export(tmp_path / "two.npz")
    assert not any(person.conflicts for person in _imported(club, tmp_path / "two.npz").people)
    assert counts(club) == {"Ann Lee": 3, "Bob": 1, "Cy": 1, "ann_lee": 2}


@pytest.mark.parametrize(("typed", "code", "photos"), [("y\n", 0, 4), ("n\n", 0, 2), ("\n", 1, 2)])
def test_at_a_terminal_an_import_asks(
    typed: str, code: int, photos: int, club: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common, "at_terminal", lambda: True)
    result = run("gallery", "import", file, gallery=club, typed=typed)
    question = "'ann_lee' is a spelling of 'Ann Lee', who is enrolled: the same person? [y/n, Enter: leave them out]: "
    assert result.exit_code == code
    assert result.stderr.startswith(question)
    assert ("so held back" in result.stderr) == (code == 1)
    assert counts(club)["Ann Lee"] == photos


def test_without_a_terminal_it_is_reported(club: Path, file: Path) -> None:
    result = run("gallery", "import", file, "--json", gallery=club)
    *people, summary = json_lines(result)
    assert (result.exit_code, summary["added"], summary["conflicts"]) == (1, 1, 2)
    assert [person["person"] for person in people] == ["Cy", "ann_lee"]
    assert "so held back; give 'Ann Lee' the same name if they are one person" in result.stderr


def test_commands_advised_for_a_name_that_begins_with_a_dash_work(tmp_path: Path) -> None:
    """Galleries may hold such names, so they are not refused."""
    with opened(tmp_path) as gallery:
        for number, name in enumerate(("Ann Lee", "Ann Lee", "--Bob", "--Bob", "Cy")):
            gallery.add(name, template(number))
        with pytest.raises(GalleryError) as caught:
            gallery.rename("Cy", "bob")
        _, merge, _, apart_, _ = str(caught.value).split("`")
        with pytest.raises(GalleryError) as caught:
            gallery.remove("Cy", Path("photos/3.jpg"))
        _, remove, _ = str(caught.value).split("`")
    for command in (apart_, apart_.replace("--people", "--people --forget"), remove, merge):
        assert run(*shlex.split(command)[1:], gallery=tmp_path).exit_code == 0, command
    assert counts(tmp_path) == {"Ann Lee": 2, "--Bob": 2}
