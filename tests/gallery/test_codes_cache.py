"""The codes of many people, in a file beside the database: learned once, changed in place, wiped by removals."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import toy_fixtures
from killing import everything_in
from toy_gallery import opened, template, vector

from facerec.errors import GalleryError
from facerec.gallery import erasure
from facerec.gallery.gallery import Gallery
from facerec.gallery.layout import codes_of, database_of
from facerec.gallery.maintenance import rebuild
from facerec.search import people as people_module
from facerec.search.index import nearest_rows
from facerec.search.shortlist import Codebook
from facerec.search.shortlist_file import load_codes

folder = toy_fixtures.not_made_yet
PEOPLE = 60


@pytest.fixture(autouse=True)
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people_module, "LEAST", 20)


@pytest.fixture
def learned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each codebook was learned from."""
    counts: list[int] = []
    learn = Codebook.learn
    monkeypatch.setattr(Codebook, "learn", lambda rows: counts.append(len(rows)) or learn(rows))
    return counts


@pytest.fixture
def full(folder: Path) -> Path:
    with opened(folder) as gallery:
        gallery.add_all([(f"Person {number}", template(number)) for number in range(PEOPLE)])
        require_right(gallery)
    return folder


def require_right(gallery: Gallery) -> None:
    """Everybody is found as by comparing with everybody."""
    queries = np.stack([vector(number) for number in range(PEOPLE + 5)])
    names, means = gallery.mean_templates()
    expected = [[names[place] for place in row] for row in nearest_rows(queries, means, 3)[1]]
    assert [[found.person for found in row] for row in gallery.search(queries, 3)] == expected


def code_of(folder: Path, number: int) -> bytes:
    """The code that the file has for the person of a photo, whoever is in it."""
    file = codes_of(database_of(folder))
    stamp = file.read_bytes().split(b" ", 2)[1].decode()
    kept = load_codes(file, stamp)
    assert kept is not None
    return kept.codebook.encode(vector(number)[None]).tobytes()


def test_codes_are_learned_once_for_all_processes(full: Path, learned: list[int]) -> None:
    file = codes_of(database_of(full))
    before = file.read_bytes()
    with opened(full) as gallery, opened(full) as beside:
        require_right(gallery)
        gallery.add("Person 3", template(PEOPLE))
        gallery.add("Somebody new", template(PEOPLE + 1))
        for each in (gallery, beside):
            require_right(each)
    assert file.read_bytes().startswith(before[: before.index(b"\n")])
    assert code_of(full, PEOPLE + 1) in file.read_bytes()
    with opened(full) as gallery:
        require_right(gallery)
    assert learned == []


def test_a_removal_wipes_one_code_and_leaves_the_rest(full: Path, learned: list[int]) -> None:
    file = codes_of(database_of(full))
    before, inode = file.read_bytes(), file.stat().st_ino
    code = code_of(full, 7)
    assert before.count(code) == 1
    with opened(full) as gallery, opened(full) as beside:
        require_right(beside)
        gallery.remove("Person 7")
        after = file.read_bytes()
        place = before.index(code)
        assert after == before[: place - 16] + bytes(16 + len(code)) + before[place + len(code) :]
        for each in (gallery, beside):
            require_right(each)
        assert gallery.check().problems == ()
    assert code not in everything_in(full)
    assert file.stat().st_ino == inode
    with opened(full) as gallery:
        require_right(gallery)
        gallery.add("Person 8", template(PEOPLE))
        one_photo = code_of(full, PEOPLE)
        gallery.remove("Person 8", Path(f"photos/{PEOPLE}.jpg"))
        require_right(gallery)
    assert one_photo not in everything_in(full)
    assert learned == []


def test_a_removal_that_fails_leaves_everybody_to_be_found(full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise GalleryError("the disk is full")

    with opened(full) as gallery, monkeypatch.context() as patch:
        purge: Callable[..., object] = erasure.purge
        patch.setattr(erasure, "purge", lambda *args: (purge(*args), fails()))
        with pytest.raises(GalleryError):
            gallery.remove("Person 7")
    with opened(full) as gallery:
        require_right(gallery)
        assert "Person 7" in gallery


def test_codes_of_another_gallery_are_not_believed(full: Path, tmp_path: Path, learned: list[int]) -> None:
    other = tmp_path / "other"
    with opened(other) as gallery:
        gallery.add_all([(f"Person {number}", template(PEOPLE - number)) for number in range(PEOPLE)])
    codes_of(database_of(other)).write_bytes(codes_of(database_of(full)).read_bytes())
    with opened(other) as gallery:
        require_right(gallery)
    assert learned == [PEOPLE]
    assert codes_of(database_of(other)).read_bytes() != codes_of(database_of(full)).read_bytes()


def test_a_rebuild_learns_codes_anew(full: Path, learned: list[int]) -> None:
    with opened(full) as gallery:
        rebuild(gallery.store)
        assert not codes_of(database_of(full)).exists()
    with opened(full) as gallery:
        require_right(gallery)
    assert learned == [PEOPLE]
