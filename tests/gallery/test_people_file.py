"""The people's file: one person more or less changes few bytes of it; and what is read of it is right."""

import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import toy_fixtures
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from killing import everything_in
from toy_gallery import DIMENSION, nearest, opened, template, vector

from facerec.errors import GalleryError
from facerec.files import draft_of
from facerec.gallery import erasure, people_cache, people_file
from facerec.gallery.gallery import Gallery
from facerec.gallery.people_changes import addition, apply
from facerec.gallery.people_file import PeopleFile
from facerec.search import people as people_module
from facerec.search.people import PeopleIndex
from facerec.search.rows import DamagedRowsError, marks_of
from facerec.search.shortlist import Shortlist

folder = toy_fixtures.not_made_yet
PEOPLE, HEAD, ROW = 60, 4096, 4 * DIMENSION


def people_of(owners: list[str], start: int = 0) -> PeopleIndex:
    """Each owner's vectors, under the ids from `start` + 1 on."""
    ids = np.arange(start + 1, start + len(owners) + 1)
    rows = np.array([vector(number) for number in ids.tolist()], np.float32).reshape(-1, DIMENSION)
    return PeopleIndex(ids, owners, rows)


def require_same(found: PeopleIndex | None, expected: PeopleIndex) -> None:
    assert found is not None
    assert found.names == expected.names
    for part in ("ids", "places", "vectors"):
        np.testing.assert_array_equal(getattr(found, part), getattr(expected, part))
    np.testing.assert_allclose(found.means, expected.means, atol=1e-6)


# ---------------------------------------------------------------------------------------------------------- the file


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), least=st.sampled_from([1, 1000]))
def test_the_file_follows_every_change(tmp_path: Path, data: st.DataObject, least: int) -> None:
    """With a file that is mapped, and with one that is read; the bytes of who went are gone."""
    file, owners = PeopleFile(tmp_path / "people"), data.draw(st.lists(st.sampled_from(["Ann", "Bob", "Zoë"])))
    here, last, states = dict(enumerate(owners, 1)), len(owners), ["0"]

    def expected() -> PeopleIndex:
        ids = np.array(list(here), np.int64)
        rows = np.array([vector(number) for number in here], np.float32).reshape(-1, DIMENSION)
        return PeopleIndex(ids, list(here.values()), rows)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(people_module, "LEAST", least)
        file.save("0", expected())
        followed = file.load("0")
        for number in range(1, data.draw(st.integers(1, 6))):
            before, after = states[-1], str(number)
            if data.draw(st.booleans()):
                more = data.draw(st.lists(st.sampled_from(["Ann", "Cy", "Dan"]), min_size=1, max_size=3))
                new = people_of(more, last)
                file.append(before, addition(after, new.ids, more, new.vectors))
                here |= dict(zip(new.ids.tolist(), more, strict=True))
                last += len(more)
            else:
                gone = data.draw(st.sets(st.sampled_from(sorted(here)), min_size=1)) if here else set()
                names = {here.pop(number) for number in gone} - set(here.values())
                file.forget(before, after, np.array(list(here), np.int64))
                content = file.path.read_bytes()
                rows = [vector(number)[None] for number in gone]
                assert not [row for row in rows if row.tobytes() in content or marks_of(row).tobytes() in content]
                assert not [name for name in names if name.encode() in content]
            states.append(after)
            require_same(file.load(after), expected())
            changes = file.changes(before, after)
            assert followed is not None
            assert changes is not None
            apply(changes, followed)
            require_same(followed, expected())
        assert file.load("another") is None
        assert not file.goes_beyond(states[-1])


@pytest.fixture
def file(tmp_path: Path) -> PeopleFile:
    made = PeopleFile(tmp_path / "people")
    made.save("0", people_of([f"Person {number % 40}" for number in range(PEOPLE)]))
    return made


def test_one_person_more_adds_bytes_at_the_end(file: PeopleFile) -> None:
    before, inode = file.path.read_bytes(), file.path.stat().st_ino
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    new = people_of(["Somebody new"], 100)
    file.append("0", addition("1", new.ids, ["Somebody new"], new.vectors))
    after = file.path.read_bytes()
    assert after[HEAD : len(before)] == before[HEAD:]
    assert len(after) < len(before) + 300
    assert file.path.stat().st_ino == inode


def test_one_person_less_overwrites_theirs(file: PeopleFile) -> None:
    """Person 5 has the vectors of rows 5 and 45, and the mean at place 5."""
    before, inode = file.path.read_bytes(), file.path.stat().st_ino
    file.forget("0", "1", np.delete(np.arange(1, PEOPLE + 1), [5, 45]))
    after = file.path.read_bytes()
    rows = [(HEAD + row * ROW, ROW) for row in (5, 45, PEOPLE + 5)]
    marks = before.index(b"Person 0") - 8 * (PEOPLE + 40)
    for start, size in (*rows, (before.index(b"Person 5"), 8), *((marks + 8 * n, 8) for n in (5, 45, PEOPLE + 5))):
        before = before[:start] + after[start : start + size] + before[start + size :]
    assert after[HEAD : len(before)] == before[HEAD:]
    assert not any(any(after[start : start + size]) for start, size in rows)
    assert len(after) < len(before) + 300
    assert file.path.stat().st_ino == inode


def test_nothing_wrong_is_read_of_a_damaged_file(file: PeopleFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one that is mapped, a damaged row is told when it is read, and not before."""
    new = people_of(["Somebody new"], 100)
    file.append("0", addition("1", new.ids, ["Somebody new"], new.vectors))
    expected, whole = file.load("1"), file.path.read_bytes()
    rows = range(HEAD, HEAD + (PEOPLE + 40) * ROW)
    for least in (1, 1000):
        monkeypatch.setattr(people_module, "LEAST", least)
        for place in [*range(0, len(whole), 37), *range(len(whole) - 200, len(whole), 3)]:
            file.path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
            found = file.load("1")
            assert (found is not None) == (least == 1 and place in rows), place
            if found is not None:
                with pytest.raises(DamagedRowsError):
                    found.in_memory()
        for end in range(0, len(whole), 101):
            file.path.write_bytes(whole[:end])
            assert file.load("1") is None
    file.path.write_bytes(whole)
    assert expected is not None
    require_same(file.load("1"), expected)


def test_a_file_that_cannot_be_written_leaves_the_old_one(file: PeopleFile) -> None:
    draft_of(file.path).mkdir()
    with pytest.raises(GalleryError, match="people: cannot be written"):
        file.save("1", people_of(["Ann"]))
    assert file.load("0") is not None


def test_what_does_not_fit_is_not_added(file: PeopleFile) -> None:
    """To a file of another state, to a damaged one, to none."""
    before, new = file.path.read_bytes(), people_of(["Ann"], 100)
    change = addition("2", new.ids, ["Ann"], new.vectors)
    file.append("1", change)
    assert file.path.read_bytes() == before
    file.path.write_bytes(b"facerec-people-1 0\n")
    file.append("0", change)
    assert file.path.read_bytes() == b"facerec-people-1 0\n"
    file.forget("0", "1", np.arange(1))
    assert not file.path.exists()
    file.append("0", change)
    file.forget("0", "1", np.arange(1))
    assert not file.path.exists()


def test_a_change_without_a_commit_is_cut_off(file: PeopleFile) -> None:
    """A reader takes what was committed. What a removal has overwritten cannot be read any more."""
    for name, stamp in (("Ann", "1"), ("Bob", "never"), ("Cy", "2")):
        new = people_of([name], 100 + len(stamp))
        file.append("1" if stamp in ("never", "2") else "0", addition(stamp, new.ids, [name], new.vectors))
    assert file.goes_beyond("1")
    assert b"Bob" not in file.path.read_bytes()
    found = file.load("1")
    assert found is not None
    assert found.names[-1] == "Ann"
    file.cut_after("1")
    assert (file.goes_beyond("1"), b"Cy" in file.path.read_bytes()) == (False, False)
    file.forget("1", "2", np.arange(2, 1000))
    whole = file.path.read_bytes()
    for stamp in ("1", "another"):
        file.cut_after(stamp)
        assert file.load(stamp) is None
    assert file.path.read_bytes() == whole, "whoever needs it makes it again"


# ------------------------------------------------------------------------------------------------------- in a gallery


@pytest.fixture
def full(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Many people, searched by few of them."""
    monkeypatch.setattr(people_module, "LEAST", 20)
    monkeypatch.setattr(Shortlist, "listed", 2)
    with opened(folder) as gallery:
        gallery.add_all([(f"Person {number}", template(number)) for number in range(PEOPLE)])
        assert nearest(gallery, 3) == "Person 3"
    return folder


@contextmanager
def never_from_the_database(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refused(*_: object) -> None:
        raise AssertionError("everybody is read from the database")

    with monkeypatch.context() as patch:
        patch.setattr(people_cache, "_refreshed", refused)
        yield


def found_at_once(gallery: Gallery, number: int) -> str:
    return gallery.search(vector(number)[None], 1)[0][0].person


def test_opening_reads_no_vectors_but_those_it_needs(full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here all others are damaged. When they are read, everybody is read anew from the database."""
    path = full / "people.cache"
    with path.open("r+b") as file:
        for row in set(range(2 * PEOPLE)) - {7, PEOPLE + 7}:
            file.seek(HEAD + row * ROW)
            file.write(b"\xff")
    whole = path.read_bytes()
    with monkeypatch.context() as patch, opened(full) as gallery, never_from_the_database(monkeypatch):
        patch.setattr(Shortlist, "listed", 0)
        assert found_at_once(gallery, 7) == "Person 7"
        assert gallery.searched == PEOPLE
    for look in (
        lambda gallery: found_at_once(gallery, 9) == "Person 9",
        lambda gallery: len(gallery.mean_templates()[0]) == PEOPLE,
        lambda gallery: gallery.alike(["Person 9"], 1e-3) == [],
        lambda gallery: gallery.far_from_own(["Person 9"], 1e-3) == [] and found_at_once(gallery, 9) == "Person 9",
        lambda gallery: gallery.add("Person 9", template(90)) and nearest(gallery, 90) == "Person 9",
    ):
        path.write_bytes(whole)
        with opened(full) as gallery:
            assert gallery.searched == PEOPLE
            assert look(gallery)
            assert gallery.check().problems == ()
        with opened(full) as gallery, never_from_the_database(monkeypatch):
            assert len(gallery.mean_templates()[0]) == PEOPLE


def test_others_see_who_comes_and_goes_without_the_database(full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has the file mapped, and one that starts afterwards."""
    inode = (full / "people.cache").stat().st_ino
    with opened(full) as gallery, opened(full) as beside, never_from_the_database(monkeypatch):
        for each in (gallery, beside):
            assert found_at_once(each, 0) == "Person 0"
        gallery.add("Somebody new", template(100))
        beside.add("Person 3", template(101))
        gallery.remove("Person 5")
        beside.remove("Person 3", Path("photos/3.jpg"))
        with opened(full) as later:
            for each in (gallery, beside, later):
                assert found_at_once(each, 100) == "Somebody new"
                assert found_at_once(each, 101) == "Person 3"
                assert "Person 5" not in each.names()
                np.testing.assert_allclose(each.mean_templates()[1][-1], vector(101), atol=1e-6)
            assert later.check().problems == ()
    assert (full / "people.cache").stat().st_ino == inode
    for number in (3, 5):
        assert vector(number).tobytes() not in everything_in(full)


def test_a_file_with_many_changes_is_made_anew(full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people_file, "_LONG", 100)
    path = full / "people.cache"
    inode = path.stat().st_ino
    with opened(full) as gallery:
        for number in range(PEOPLE, PEOPLE + 40):
            gallery.add(f"Person {number}", template(number))
    assert path.stat().st_ino == inode
    with opened(full) as gallery, never_from_the_database(monkeypatch):
        assert found_at_once(gallery, 70) == "Person 70"
        assert path.stat().st_ino != inode
        inode = path.stat().st_ino
    with opened(full) as gallery:
        assert nearest(gallery, 71) == "Person 71"
    assert path.stat().st_ino == inode


@pytest.mark.parametrize("changed", ["add", "remove"])
def test_a_change_that_is_taken_back_leaves_nothing(
    full: Path, changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the disk is full at the commit; and where the process is killed then, of which the folder is a copy."""
    killed = tmp_path / "killed"

    def fails(*_: object) -> None:
        shutil.copytree(full, killed)
        raise GalleryError("the disk is full")

    with opened(full) as gallery:
        assert nearest(gallery, 3) == "Person 3"
        with monkeypatch.context() as patch:
            done = {"add": people_cache.append, "remove": erasure.purge}[changed]
            where, name = {"add": (people_cache, "append"), "remove": (erasure, "purge")}[changed]
            patch.setattr(where, name, lambda *args: (done(*args), fails()))
            with pytest.raises(GalleryError, match="the disk is full"):
                gallery.add("Zoe", template(100)) if changed == "add" else gallery.remove("Person 5")
        assert [nearest(gallery, number) for number in (3, 5)] == ["Person 3", "Person 5"]
        gallery.add("Dan", template(101))
        assert nearest(gallery, 101) == "Dan"
    with opened(killed) as gallery:
        assert vector(100).tobytes() not in everything_in(killed)
        assert [nearest(gallery, number) for number in (3, 5)] == ["Person 3", "Person 5"]
        assert gallery.check().problems == ()
