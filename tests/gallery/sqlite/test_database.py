"""The gallery's database in bad company: other processes, kills, damage, full disks, missing rights."""

import os
import random
import signal
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import toy_fixtures
import toy_gallery
from surroundings import as_a_user_who_may_only_read
from toy_gallery import MODEL, nearest, opened, sql, template

from facerec.errors import DamagedGalleryError, GalleryError
from facerec.gallery import database
from facerec.gallery.gallery import Gallery
from facerec.gallery.maintenance import rebuild

REPOSITORY = Path(__file__).resolve().parents[3]
folder = toy_fixtures.not_made_yet


# ------------------------------------------------------------------------------------------- company and accidents


def enroll_elsewhere(folder: Path, person: str, first: int, count: int) -> subprocess.Popen[str]:
    """Another process (see toy_gallery)."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, toy_gallery.__file__, str(folder), person, str(first), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.usefixtures("kind")
def test_two_enroll_while_one_identifies(folder: Path) -> None:
    opened(folder).close()  # which of two may encrypt it is not asked here
    children = [enroll_elsewhere(folder, name, first, 120) for name, first in (("Ann", 0), ("Bob", 1000))]
    while not (folder / "gallery.db").exists() and all(child.poll() is None for child in children):
        time.sleep(0.01)
    with opened(folder) as reader:
        while any(child.poll() is None for child in children):
            for photo in [*reader.show("Ann")[-1:]] if reader.find_photo(template(0).photo_hash) else []:
                assert nearest(reader, int(photo.photo_hash, 16)) == "Ann"
        for child in children:
            output, errors = child.communicate()
            assert (child.returncode, errors) == (0, "")
            assert len(output.split()) == 120
        assert [(p.name, p.templates) for p in reader.people()] == [("Ann", 120), ("Bob", 120)]
        assert [nearest(reader, n) for n in (119, 1119, 120)] == ["Ann", "Bob", None]
        assert reader.check().problems == ()


def test_many_may_create_the_gallery_at_once(tmp_path: Path) -> None:
    children = [enroll_elsewhere(tmp_path / "g", f"Person {i}", 100 * i, 3) for i in range(4)]
    assert [(child.communicate()[1], child.returncode) for child in children] == [("", 0)] * 4
    with Gallery.open(tmp_path / "g") as gallery:
        assert (len(gallery), gallery.templates) == (4, 12)


@pytest.mark.usefixtures("kind")
def test_a_killed_enrolment_loses_nothing_it_acknowledged(folder: Path) -> None:
    chance = random.Random(0)
    acknowledged: list[int] = []
    for attempt in range(10):
        child = enroll_elsewhere(folder, "Ann", 100_000 * attempt, 100_000)
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(chance.randint(1, 3))]
        time.sleep(chance.random() * 0.1)
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read()  # not communicate(), which passes over what readline() has read ahead
        child.wait()
        acknowledged += [int(line) for line in [*lines, *rest.splitlines(keepends=True)] if line.endswith("\n")]
        assert child.returncode == -signal.SIGKILL
        with opened(folder) as gallery:
            assert gallery.check().problems == ()
            enrolled = {int(photo.photo_hash, 16) for photo in gallery.show("Ann")}
            assert enrolled >= set(acknowledged)
            assert len(enrolled) <= len(acknowledged) + attempt + 1  # at most one each was safe but not yet said so
            assert nearest(gallery, acknowledged[-1]) == "Ann"
    assert len(acknowledged) > 20


# --------------------------------------------------------------------------------------------- what can be wrong


def one_line(error: pytest.ExceptionInfo[GalleryError], *parts: str) -> None:
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_no_gallery_is_made_unasked(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "gallery.db").touch()  # as a process killed while creating leaves it
    for name in ("none", "file", "empty"):
        with pytest.raises(GalleryError) as error:
            Gallery.open(tmp_path / name)
        one_line(error, str(tmp_path / name), "no gallery here", "`facerec enroll`")
    with opened(tmp_path / "empty") as gallery:
        assert gallery.add("Ann", template(0))
    with pytest.raises(GalleryError) as error:
        Gallery.open(tmp_path / "file", create=True)
    one_line(error, str(tmp_path / "file"), "as `gallery`")


def test_the_files_are_the_owners_alone(folder: Path) -> None:
    with opened(folder) as gallery:
        gallery.add("Ann", template(0))
        assert nearest(gallery, 0) == "Ann"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == dict.fromkeys(["gallery.db", "gallery.db-shm", "gallery.db-wal", "people.cache"], 0o600)


def test_a_file_that_is_no_gallery(tmp_path: Path) -> None:
    (tmp_path / "gallery.db").write_bytes(b"this is not a database, " * 100)
    with pytest.raises(DamagedGalleryError) as error:
        Gallery.open(tmp_path)
    one_line(error, "gallery.db", "not a gallery database")
    (tmp_path / "gallery.db").unlink()
    sql(tmp_path, "CREATE TABLE bookmarks (url)")
    for create in (False, True):
        with pytest.raises(DamagedGalleryError) as error:
            Gallery.open(tmp_path, create=create)
        one_line(error, "another program's database")


def list_people(folder: Path) -> list[str]:
    with Gallery.open(folder) as gallery:
        return [person.name for person in gallery.people()]


@pytest.mark.usefixtures("kind")
@pytest.mark.parametrize("damage", ["truncated", "overwritten", "table dropped"])
def test_a_damaged_database(folder: Path, damage: str) -> None:
    with opened(folder) as gallery:
        for number in range(200):
            gallery.add(f"Person {number}", template(number))
    path, content = folder / "gallery.db", (folder / "gallery.db").read_bytes()
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "overwritten":
        path.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))
    else:
        sql(folder, "DROP TABLE templates")
    with pytest.raises(DamagedGalleryError) as error:
        list_people(folder)
    one_line(error, str(path), "from a backup")


@pytest.mark.usefixtures("kind")
def test_a_flipped_bit_is_found_or_harmless(folder: Path) -> None:
    """Wherever it is: each operation works, or ends in one line; no other error gets out."""
    with opened(folder) as gallery:
        for number in range(4):
            gallery.add(f"Person {number}", template(number))
        assert nearest(gallery, 0) == "Person 0"
    path, content = folder / "gallery.db", bytearray((folder / "gallery.db").read_bytes())
    rng = np.random.default_rng(0)
    headers = [place for place in range(len(content)) if place % 4096 < 120 and content[place]]
    said = []
    for place in rng.choice(headers, 150):
        changed = bytearray(content)
        changed[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        for look in (list_people, look_around):
            try:
                look(folder)
            except GalleryError as error:
                said.append(str(error))
    assert len(said) > 50
    assert not [message for message in said if "\n" in message]


def look_around(folder: Path) -> None:
    with opened(folder) as gallery:
        gallery.check()
        rebuild(gallery.store)
        nearest(gallery, 0)
        gallery.show("Person 1")


@pytest.mark.usefixtures("kind")
def test_a_newer_gallery(folder: Path) -> None:
    opened(folder).close()
    sql(folder, f"PRAGMA user_version = {database.VERSION + 1}")
    with pytest.raises(GalleryError) as error:
        Gallery.open(folder, create=True)
    one_line(error, str(folder), "update facerec")
    assert not isinstance(error.value, DamagedGalleryError)


@pytest.mark.usefixtures("kind")
def test_a_locked_gallery(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    with opened(folder) as gallery, closing(database.connect(folder / "gallery.db", "mode=rw")) as other:
        gallery.add("Ann", template(0))
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(GalleryError) as error:
            gallery.add("Ann", template(1))
        one_line(error, "gallery.db", "in use by another process")
        assert nearest(gallery, 0) == "Ann"  # reading goes on
        other.execute("COMMIT")
        assert gallery.add("Ann", template(1))


@pytest.mark.usefixtures("kind")
def test_a_full_disk(folder: Path) -> None:
    safe: list[int] = []

    def fill(gallery: Gallery) -> None:
        for number in range(10_000):
            gallery.add("Ann", template(number))
            safe.append(number)

    with opened(folder) as gallery:
        with gallery.store.database.read() as db:
            db.execute("PRAGMA max_page_count = 30")
        with pytest.raises(GalleryError) as error:
            fill(gallery)
        one_line(error, "gallery.db", "the disk is full")
        assert {int(photo.photo_hash, 16) for photo in gallery.show("Ann")} == set(safe)
        assert gallery.check().problems == ()
        assert nearest(gallery, safe[-1]) == "Ann"


@pytest.mark.parametrize("cached", [True, False])
def test_a_gallery_that_may_only_be_read(cached: bool) -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders let nobody else in
        folder = Path(name)
        with opened(folder) as gallery:
            gallery.add("Ann", template(0))
            assert nearest(gallery, 0) == "Ann"
        if not cached:
            (folder / "people.cache").unlink()
        with as_a_user_who_may_only_read(folder), Gallery.open(folder) as gallery:
            gallery.bind_model(*MODEL)
            assert nearest(gallery, 0) == "Ann"
            assert [p.name for p in gallery.people()] == ["Ann"]
            assert gallery.check().problems == ()
            changes = [
                lambda: gallery.add("Bob", template(1)),
                lambda: rebuild(gallery.store),
                lambda: gallery.remove("Ann"),
            ]
            for change in changes:
                with pytest.raises(GalleryError) as error:
                    change()
                one_line(error, str(folder), "folder writable")
        assert (folder / "people.cache").exists() == cached
