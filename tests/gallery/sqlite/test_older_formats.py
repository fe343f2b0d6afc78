"""Galleries of formats 4 to 8 are brought up to date as a whole.

Format 4 had no checksums, 5 no indexes of all else, 6 no vetoes, 7 no detector, 8 no unknown faces.

And lose nothing by it. Formats 1 and 2 are in test_care.py, 3 in test_crops.py.
"""

import shutil
import sqlite3
import tempfile
import zlib
from contextlib import closing
from pathlib import Path

import pytest
import toy_fixtures
from killing import killed_before, photos_in
from running import run
from surroundings import as_a_user_who_may_only_read, limited
from toy_damage import COHORT, NAMED, spoil
from toy_gallery import (
    MODEL,
    make_format_4,
    make_format_5,
    make_format_6,
    make_format_7,
    make_format_8,
    nearest,
    rows,
    template,
    vector,
)
from toy_migration import ByHand, expected, fill, run_all, vectors_in

from facerec.errors import ForeignDetectorError, GalleryError
from facerec.gallery.cut_by import write_detector
from facerec.gallery.enrolled import consent
from facerec.gallery.gallery import Gallery
from facerec.gallery.removed import was_removed
from facerec.gallery.schema import VERSION
from facerec.recognition.identify import open_gallery

few_people = toy_fixtures.few_people
MAKE = {4: make_format_4, 5: make_format_5, 6: make_format_6, 7: make_format_7, 8: make_format_8}


@pytest.fixture
def folder(few_people: Path) -> Path:
    """Few people, cut by MTCNN, of whom Ann left a note."""
    with Gallery.open(few_people) as gallery:
        gallery.set_consent("Ann", "agreed on the phone", "2031-12-30")
        with gallery.store.write() as db:
            write_detector(db, "mtcnn")
    return few_people


@pytest.fixture(params=MAKE)
def version(request: pytest.FixtureRequest, folder: Path) -> int:
    """The gallery in `folder` is of this format."""
    MAKE[request.param](folder)
    return request.param


def look_at_old(folder: Path, version: int) -> None:
    """It is brought up to date: all is there, and each checksum is that of the bytes."""
    with Gallery.open(folder) as gallery:
        gallery.bind_model(*MODEL, COHORT)
        assert photos_in(gallery) == {"Ann": [0], "Bob": [1, 2], "Cy": [3]}
        assert [nearest(gallery, number) for number in range(4)] == ["Ann", "Bob", "Bob", "Cy"]
        assert gallery.check().problems == ()
        made = gallery.calibration()
        assert made is not None
        assert rows(folder, "SELECT distance, worth FROM calibration") == [(made.distance, made.worth)]
        assert [entry.facts["format"] for entry in gallery.log()[0] if entry.action == "upgraded"] == [version]
        assert consent(gallery.store, "Ann") == ("agreed on the phone", "2031-12-30")
        assert gallery.detector == "mtcnn"
    assert rows(folder, "PRAGMA user_version") == [(VERSION,)]
    for photo, blob, checksum in rows(folder, "SELECT photo_hash, vector, checksum FROM templates"):
        assert checksum == zlib.crc32(photo.encode() + blob)
    strangers = rows(folder, "SELECT kind, vectors, checksum FROM strangers")
    assert [(kind, zlib.crc32(kind.encode() + blob)) for kind, blob, _ in strangers] == [
        (kind, checksum) for kind, _, checksum in strangers
    ]
    assert len(strangers) == 2


@pytest.mark.parametrize("number", MAKE)
def test_a_gallery_is_brought_up_to_date(folder: Path, number: int) -> None:
    generation, index = rows(folder, "SELECT generation FROM gallery"), (folder / "people.cache").read_bytes()
    made = rows(folder, "SELECT type, name FROM sqlite_master ORDER BY name")
    MAKE[number](folder)
    shutil.copy(folder / "gallery.db", folder / "gallery.db.backup")
    look_at_old(folder, number)
    assert rows(folder, "SELECT generation FROM gallery") == generation, "what can be found is the same"
    assert (folder / "people.cache").read_bytes() == index
    assert rows(folder, "SELECT type, name FROM sqlite_master ORDER BY name") == made
    look_at_old(folder, number)
    spoil(folder)
    with Gallery.open(folder) as gallery:
        assert NAMED in gallery.check().problems


def test_an_old_gallery_is_one_of_mtcnn_s_faces(folder: Path, version: int) -> None:
    with Gallery.open(folder) as gallery:
        gallery.bind_detector("mtcnn")
        gallery.bind_detector(None)
        with pytest.raises(ForeignDetectorError, match="cut by mtcnn, not by yunet"):
            gallery.bind_detector("yunet")


def test_a_gallery_of_format_5_keeps_its_threshold(folder: Path) -> None:
    whole = ("gallery", "calibration")
    with Gallery.open(folder) as gallery:
        gallery.bind_model(*MODEL, COHORT)
        assert gallery.calibration() is not None
    queries = [f"SELECT * FROM {table}" for table in whole]
    queries.append("SELECT type, name, sql FROM sqlite_master WHERE type <> 'index' ORDER BY type, name")
    before = [rows(folder, query) for query in queries]
    make_format_5(folder)
    Gallery.open(folder).close()
    assert [rows(folder, query) for query in queries] == before


def test_a_copy_is_restored(folder: Path, version: int) -> None:
    shutil.copy(folder / "gallery.db", folder / "gallery.db.backup")
    (folder / "gallery.db").write_bytes(b"")
    assert run("gallery", "restore", gallery=folder).exit_code == 0
    look_at_old(folder, version)


def test_damage_from_before_there_were_checksums_is_told_by_the_index(folder: Path) -> None:
    make_format_4(folder)
    spoil(folder)
    with Gallery.open(folder) as gallery:
        (problem,) = gallery.check().problems
        assert "people.cache: not the people of the database" in problem


def test_killed_while_it_is_brought_up_to_date(folder: Path, version: int) -> None:
    step, killed = 0, True
    while killed:
        step += 2
        copy = folder.parent / str(step)
        shutil.copytree(folder, copy)
        killed = killed_before(step, lambda copy=copy: Gallery.open(copy).close())
        look_at_old(copy, version)
    assert step > {4: 30, 5: 20, 6: 20, 7: 8, 8: 6}[version]


@pytest.mark.parametrize("room", [0, 20_000, 60_000])
def test_a_full_disk_while_it_is_brought_up_to_date(folder: Path, version: int, room: int) -> None:
    code, _, stderr = limited(room, "gallery", "list", gallery=folder)
    assert code == 0 or (stderr.count("\n"), "space" in stderr) == (1, True)
    look_at_old(folder, version)


def test_a_migration_of_format_4_that_was_killed_is_gone_on_with(tmp_path: Path, old: ByHand, new: ByHand) -> None:
    folder = fill(tmp_path / "gallery", tmp_path / "photos", old)
    run_all(folder, new, dry_run=True)
    make_format_4(folder)
    assert run_all(folder, new)[1].reused == 6
    assert vectors_in(folder) == expected(new, tmp_path / "photos")
    with open_gallery(folder, new) as gallery:
        assert gallery.check().problems == ()


@pytest.mark.usefixtures("version")
def test_a_gallery_that_may_only_be_read(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        shutil.copytree(folder, name, dirs_exist_ok=True)
        (Path(name) / "people.cache").unlink()
        with as_a_user_who_may_only_read(Path(name)), Gallery.open(Path(name)) as gallery:
            gallery.bind_model(*MODEL, COHORT)
            assert [nearest(gallery, number) for number in range(4)] == ["Ann", "Bob", "Bob", "Cy"]
            assert gallery.calibration() is not None
            assert consent(gallery.store, "Ann") == ("agreed on the phone", "2031-12-30")
            with gallery.store.read() as db:
                assert was_removed(db, "0" * 64) is None
            assert gallery.detector == "mtcnn"
            assert gallery.check().problems == ()
            with pytest.raises(GalleryError, match="make the gallery's folder writable"):
                gallery.add("Dee", template(4))


def test_an_older_facerec_that_still_has_it_open_writes_no_rows_without_checksums(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "gallery.db")) as older:
        columns = "person, photo_hash, source, x1, y1, x2, y2, quality, vector"
        row = (1, "0" * 64, "x.jpg", 0, 0, 1, 1, 0.9, vector(9).tobytes())
        with pytest.raises(sqlite3.IntegrityError, match="a newer facerec brought the gallery up to date"):
            older.execute(f"INSERT INTO templates ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
