"""A bit that flips anywhere in a gallery's database is told, or changes nothing that can be read."""

import dataclasses
import os
import random
import shutil
import signal
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_fixtures
import toy_model
from killing import killed_before, photos_in
from running import run
from toy_damage import COHORT, flip, places_of, read_all
from toy_gallery import MODEL, nearest, rows, sql, template

from facerec.errors import DamagedGalleryError, GalleryError
from facerec.gallery import vetoes
from facerec.gallery.enrolled import consent
from facerec.gallery.erasure import data_may_remain
from facerec.gallery.gallery import Gallery
from facerec.gallery.maintenance import keep_crops
from facerec.gallery.removed import note_removed, was_removed
from facerec.gallery.unknown_faces import keep, kept_faces

few_people = toy_fixtures.few_people
NOTE, DAY, TARGET = "agreed on the phone", "2031-12-30", 0.0234


@pytest.fixture
def folder(few_people: Path) -> Path:
    """Few people, of whom Ann left a note, for a target of their own; nothing waits in the write-ahead log."""
    with Gallery.open(few_people) as gallery:
        gallery.set_consent("Ann", NOTE, DAY)
        gallery.set_calibration(TARGET)
    sql(few_people, "PRAGMA wal_checkpoint(TRUNCATE)")
    return few_people


def all_there_is(folder: Path) -> tuple[list[Any], tuple[str, ...]]:
    """What can be read of a gallery, with its index and without, and what `check` finds."""
    with Gallery.open(folder) as gallery:
        people = gallery.people()
        read: list[Any] = [gallery.store.model_name, people, gallery.log(), data_may_remain(gallery.store)]
        read += [(gallery.show(person.name), consent(gallery.store, person.name)) for person in people]
        read += [(vetoes.vetoes(gallery.store, p.name), vetoes.apart(gallery.store, p.name)) for p in people]
        kept = kept_faces(gallery.store)
        read += [
            (each.photo, each.source, each.box, each.seen, each.until, each.claimed, *each.vector) for each in kept
        ]
        with gallery.store.read() as db:
            read += [was_removed(db, template(8).photo_hash)]
        problems = gallery.check().problems
    for _ in range(2):
        with Gallery.open(folder) as gallery:
            gallery.bind_model(*MODEL, COHORT)
            read += [gallery.calibration(), *(nearest(gallery, number) for number in range(4))]
        (folder / "people.cache").unlink(missing_ok=True)
    return read, problems


def search_only(folder: Path) -> list[Any]:
    """What a process finds that only searches: it reads few tables, and the people from their file."""
    with Gallery.open(folder) as gallery:
        gallery.bind_model(*MODEL, COHORT)
        gallery.bind_detector("mtcnn")
        vectors = np.stack([template(number).vector for number in range(4)])
        return [gallery.searched, gallery.calibration(), gallery.threshold, gallery.search(vectors, 2)]


def test_any_bit(folder: Path) -> None:
    """But in the words that made the tables, where one in some hundred is neither seen by SQLite nor without effect."""
    with Gallery.open(folder) as gallery:
        gallery.bind_model(*MODEL, COHORT)
        gallery.veto("Ann", template(9))
        gallery.set_apart("Ann", "Cy")
        keep(
            gallery.store,
            "p" * 64,
            [dataclasses.replace(template(10), crop=np.zeros((8, 8, 3), np.uint8))],
            "2031-12-30",
            "Cy",
        )
        with gallery.store.write() as db:
            note_removed(db, [template(8).photo_hash])
    words = [text.encode() for (text,) in rows(folder, "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")]
    schema = {place + at for text in words for place in places_of(folder, text) for at in range(len(text))}
    content = (folder / "gallery.db").read_bytes()
    everywhere = [place for place in range(len(content)) if place not in schema]
    written = [place for place in everywhere if content[place]]
    rng = random.Random(6)
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    wanted, none = all_there_is(copy)
    assert none == ()
    said: list[str] = []
    for place in (*rng.sample(everywhere, 200), *rng.sample(written, 300)):
        shutil.rmtree(copy)
        shutil.copytree(folder, copy)
        flip(copy / "gallery.db", 8 * place + place % 8)
        try:
            read, problems = all_there_is(copy)
        except GalleryError as error:
            said.append(str(error))
        else:
            assert problems or read == wanted, place
    assert len(said) > 100
    assert not any("\n" in text for text in said)


def test_any_bit_for_somebody_who_only_searches(folder: Path) -> None:
    """Of the database, which is not checked as a whole then, and of the people's file."""
    found = search_only(folder)
    assert search_only(folder) == found
    sql(folder, "PRAGMA wal_checkpoint(TRUNCATE)")
    copy, rng, said = folder.with_name("copy"), random.Random(7), 0
    for name, count in (("gallery.db", 250), ("people.cache", 50)):
        content = (folder / name).read_bytes()
        for place in rng.sample([place for place in range(len(content)) if content[place]], count):
            shutil.copytree(folder, copy)
            flip(copy / name, 8 * place + place % 8)
            try:
                assert search_only(copy) == found, (name, place)
            except GalleryError:
                said += 1
            shutil.rmtree(copy)
    assert said > 20


@pytest.mark.parametrize(
    "what", ["agreed on", DAY, "photos/1.jpg", "visitors/", "FMR 0.1 %", TARGET, 1.08, 1.5, 0.99, "toy\x10"]
)
def test_every_bit_of_what_is_kept_of_people(folder: Path, what: str | float) -> None:
    """Notes, days, paths, boxes, qualities, the target: in the row, and in the index, which SQLite compares with it.

    No number in the index equals every number to it. Nothing is read from there.
    """
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    wanted, _ = all_there_is(copy)
    content = what.encode() if isinstance(what, str) else struct.pack(">d", what)
    places = places_of(folder, content)
    assert len(places) >= 2
    for place in {places[0], places[-1]}:
        for bit in range(8 * place, 8 * (place + len(content))):
            flip(folder / "gallery.db", bit)
            if place == places[-1] and not isinstance(what, str) and bit == 8 * place + 6 and 1 <= what < 2:
                shutil.copytree(folder, copy, dirs_exist_ok=True)
                assert all_there_is(copy) == (wanted, ())
            else:
                with pytest.raises(DamagedGalleryError, match="`facerec gallery restore` brings it back"):
                    read_all(folder)
            flip(folder / "gallery.db", bit)
    flip(folder / "gallery.db", 8 * places[0])
    assert run("gallery", "restore", gallery=folder).exit_code == 0
    with Gallery.open(folder) as gallery:
        assert gallery.check().problems == ()
        assert consent(gallery.store, "Ann") == (NOTE, DAY)


def test_every_bit_of_a_kept_threshold(folder: Path) -> None:
    """It is found again, to the last bit."""
    with Gallery.open(folder) as gallery:
        gallery.bind_model(*MODEL, COHORT)
        made = gallery.calibration()
    assert made is not None
    sql(folder, "PRAGMA wal_checkpoint(TRUNCATE)")
    sound = (folder / "gallery.db").read_bytes()
    (row,) = places_of(folder, struct.pack(">d", made.distance))
    for place in (row, *places_of(folder, struct.pack(">d", made.worth))):
        for bit in range(8 * place, 8 * place + 64):
            (folder / "gallery.db").write_bytes(sound)
            flip(folder / "gallery.db", bit)
            with suppress(DamagedGalleryError), Gallery.open(folder) as gallery:  # one that is no number is told
                gallery.bind_model(*MODEL, COHORT)
                assert gallery.calibration() == made


def test_every_bit_of_whose_a_crop_is(folder: Path) -> None:
    """Else it would be that of a photo without one: somebody else's face."""
    with Gallery.open(folder) as gallery:
        gallery.bind_model(*MODEL, COHORT)
        keep_crops(gallery.store, True)
        gallery.add("Dee", dataclasses.replace(template(4), crop=toy_model.crop(0, 0)))
    sql(folder, "PRAGMA wal_checkpoint(TRUNCATE)")
    path = folder / "gallery.db"
    (png,) = places_of(folder, b"\x89PNG")
    place = png - 5  # then the size of the header, a NULL in the place of the number, and the kind of the crop: 2 bytes
    assert path.read_bytes()[place] == 5
    for bit in range(8 * place, 8 * place + 8):
        flip(path, bit)
        with pytest.raises(DamagedGalleryError, match="`facerec gallery restore` brings it back"):
            read_all(folder)
        flip(path, bit)
    with Gallery.open(folder) as gallery:
        assert gallery.check().problems == ()


def test_of_a_write_ahead_log_what_follows_a_bit_is_lost(folder: Path) -> None:
    """Of a process that was killed: SQLite takes the log to end there. What is there was so once, and is sound."""

    def enroll() -> None:
        gallery = Gallery.open(folder)
        gallery.bind_model(*MODEL, COHORT)
        for number in range(10, 16):
            gallery.add("Eve", template(number))
        os.kill(os.getpid(), signal.SIGKILL)

    assert killed_before(10**9, enroll)
    copy = folder.with_name("copy")
    left = set()
    for bit in random.Random(1).sample(range(8 * (folder / "gallery.db-wal").stat().st_size), 40):
        shutil.copytree(folder, copy)
        flip(copy / "gallery.db-wal", bit)
        with Gallery.open(copy) as gallery:
            gallery.bind_model(*MODEL, COHORT)
            found = photos_in(gallery).get("Eve", [])
            assert gallery.check().problems == ()
        assert found == list(range(10, 10 + len(found)))
        left.add(len(found))
        shutil.rmtree(copy)
    assert {1, 3, 5} <= left
