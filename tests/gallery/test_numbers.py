"""People and photos by their numbers, which stay theirs; and keys of a server in the log."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from toy_gallery import opened, template

from facerec.errors import GalleryError, UnknownPersonError
from facerec.gallery import backup, enrolled, erasure, vetoes
from facerec.gallery.audit_log import made_by
from facerec.gallery.gallery import Gallery
from facerec.gallery.layout import copy_of
from facerec.gallery.sqlcipher import FileConnection


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    """Ann (1) with two photos, Bob (2) with one."""
    with opened(tmp_path / "gallery") as gallery:
        for name, number in (("Ann", 0), ("Ann", 1), ("Bob", 2)):
            gallery.add(name, template(number))
        yield gallery


def test_a_number_holds_whatever_the_name_is(gallery: Gallery) -> None:
    store = gallery.store
    assert [(person.name, person.number) for person in gallery.people()] == [("Ann", 1), ("Bob", 2)]
    enrolled.rename(store, 1, "Zoe")
    assert enrolled.person(store, 1).name == enrolled.name_of(store, 1) == "Zoe"
    enrolled.set_consent(store, 1, "signed", "2030-01-01")
    assert enrolled.person(store, "Zoe") == enrolled.person(store, 1)
    assert enrolled.consent(store, 1) == ("signed", "2030-01-01")
    assert vetoes.set_apart(store, 1, 2)
    assert vetoes.forget_apart(store, 1, "Bob")
    assert enrolled.merge(store, 2, 1) == 1
    with pytest.raises(UnknownPersonError, match="nobody with the number 2 is enrolled any more"):
        enrolled.person(store, 2)
    assert erasure.remove(store, 1).person == "Zoe"
    gallery.add("Zoe", template(9))
    assert enrolled.person(store, "Zoe").number == 3


def test_a_photo_is_removed_by_its_number(gallery: Gallery) -> None:
    numbers = [photo.number for photo in gallery.show("Ann")]
    assert numbers == [1, 2]
    with pytest.raises(GalleryError, match="Ann has no photo with the number 3"):
        erasure.remove(gallery.store, 1, 3)
    assert [photo.number for photo in erasure.remove(gallery.store, 1, 1).photos] == [1]
    assert [photo.number for photo in gallery.show("Ann")] == [2]


def test_the_log_names_the_key_in_its_block_and_thread_alone(gallery: Gallery) -> None:
    with made_by("phone"):
        gallery.rename("Ann", "Anna")
        other = threading.Thread(target=gallery.rename, args=("Bob", "Rob"))
        other.start()
        other.join()
    gallery.rename("Anna", "Ann")
    entries, _ = gallery.log()
    assert [entry.facts for entry in entries[-3:]] == [{"by": "phone"}, {}, {}]
    assert gallery.check().problems == ()


def test_a_gallery_that_stays_open_is_copied_once_a_change(gallery: Gallery) -> None:
    gallery.store.keep_copy()
    (copy,) = backup.list_copies(gallery.folder)
    assert (copy.people, copy.templates) == (2, 3)
    path = copy_of(gallery.store.database.path, "backup")
    first = path.stat().st_mtime_ns
    gallery.store.keep_copy()
    assert path.stat().st_mtime_ns == first, "nothing changed"
    gallery.add("Cleo", template(5))
    gallery.store.keep_copy()
    assert backup.list_copies(gallery.folder)[0].people == 3


def test_some_people_are_read_by_name(gallery: Gallery) -> None:
    """As a list of many does it, page by page; the others' photos are not read."""
    for number, name in enumerate(("Çelik", "anna", "Zoe"), 3):
        gallery.add(name, template(number))
    everybody = [person.name for person in gallery.people()]

    def some(*asked: Any) -> list[str]:
        return [person.name for person in enrolled.some(gallery.store, *asked)]

    assert some() == everybody == ["Ann", "Bob", "Zoe", "anna", "Çelik"]
    assert some("", "", 2) == everybody[:2]
    assert some("", "Bob", 2) == everybody[2:4]
    assert some("ANN") == ["Ann", "anna"]
    assert some("ann", "Ann", 5) == ["anna"]
    assert some("c\u0327") == ["Çelik"], "a combining mark is as the letter"
    assert enrolled.some(gallery.store)[0] == enrolled.person(gallery.store, "Ann")
    assert [enrolled.how_many(gallery.store, part) for part in ("", "ann", "x")] == [5, 2, 0]


def test_the_time_to_read_some_people_does_not_grow_with_all(gallery: Gallery) -> None:
    def steps() -> int:
        """How many steps SQLite makes to read one person, and two by name."""
        made: list[None] = []
        with gallery.store.read() as db:
            assert isinstance(db, FileConnection)
            db.set_progress_handler(lambda: made.append(None), 1)
        enrolled.person(gallery.store, 1)
        enrolled.some(gallery.store, most=2)
        enrolled.first_crops(gallery.store, [1])
        with gallery.store.read() as db:
            assert isinstance(db, FileConnection)
            db.set_progress_handler(None, 0)
        return len(made)

    few = steps()
    gallery.add_all([(f"person {number}", template(number)) for number in range(3, 200)])
    assert steps() <= few + 20
