"""Opening galleries of older formats, and those that may only be read."""

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from killing import everything_in, photos_in
from surroundings import as_a_user_who_may_only_read
from toy_gallery import MODEL, nearest, opened, sql, template, vector

from facerec.errors import GalleryError
from facerec.gallery.enrolled import consent
from facerec.gallery.erasure import data_may_remain, expired
from facerec.gallery.gallery import Gallery
from facerec.gallery.schema import VERSION


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with opened(tmp_path / "gallery") as gallery:
        for number, name in enumerate(("Ann", "Bob", "Bob")):
            gallery.add(name, template(number))
    return tmp_path / "gallery"


# ------------------------------------------------------------------------------------------------------ older formats

OLD = """
CREATE TABLE gallery (only INTEGER PRIMARY KEY CHECK (only = 1), generation TEXT NOT NULL, model_fingerprint TEXT,
    model_name TEXT, dimension INTEGER, threshold REAL, threshold_source TEXT{fpir});
INSERT INTO gallery (only, generation) VALUES (1, hex(randomblob(16)));
CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
    enrolled TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')));
CREATE TABLE templates (id INTEGER PRIMARY KEY AUTOINCREMENT,
    person INTEGER NOT NULL REFERENCES people ON DELETE CASCADE, photo_hash TEXT NOT NULL UNIQUE, source TEXT NOT NULL,
    x1 REAL NOT NULL, y1 REAL NOT NULL, x2 REAL NOT NULL, y2 REAL NOT NULL, quality REAL NOT NULL, vector BLOB NOT NULL,
    enrolled TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')));
CREATE INDEX templates_of_person ON templates (person);
{strangers}
CREATE TRIGGER person_renamed AFTER UPDATE ON people BEGIN UPDATE gallery SET generation = hex(randomblob(16)); END;
CREATE TRIGGER template_added AFTER INSERT ON templates BEGIN UPDATE gallery SET generation = hex(randomblob(16)); END;
PRAGMA application_id = 0x46414345;
PRAGMA user_version = {version};
"""
STRANGERS = """
CREATE TABLE strangers (kind TEXT PRIMARY KEY CHECK (kind IN ('cohort', 'given')), source TEXT NOT NULL,
    vectors BLOB NOT NULL);
CREATE TABLE calibration (only INTEGER PRIMARY KEY CHECK (only = 1), generation TEXT NOT NULL, fpir REAL NOT NULL,
    distance REAL NOT NULL, strangers INTEGER NOT NULL, within INTEGER NOT NULL, people INTEGER NOT NULL);
"""


def make_old(folder: Path, version: int) -> None:
    """A gallery of Ann's photo 0 and Cy's photo 2 as facerec wrote it then; Bob was removed without a vacuum."""
    folder.mkdir(exist_ok=True)
    fpir = ", fpir REAL NOT NULL DEFAULT 0.01" if version == 2 else ""
    with closing(sqlite3.connect(folder / "gallery.db", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(OLD.format(fpir=fpir, strangers=STRANGERS if version == 2 else "", version=version))
        model = (*MODEL[:3], MODEL[3].distance, MODEL[3].source)
        columns = "model_fingerprint, model_name, dimension, threshold, threshold_source"
        db.execute(f"UPDATE gallery SET ({columns}) = (?, ?, ?, ?, ?)", model)
        for number, name in enumerate(("Ann", "Bob", "Cy")):
            db.execute(
                "INSERT INTO people (id, name, enrolled) VALUES (?, ?, '2020-02-02T02:02:02Z')", (number + 1, name)
            )
            db.execute(
                "INSERT INTO templates (person, photo_hash, source, x1, y1, x2, y2, quality, vector) "
                "VALUES (?, ?, ?, 1, 2, 3, 4, 0.9, ?)",
                (number + 1, template(number).photo_hash, f"photos/{number}.jpg", vector(number).tobytes()),
            )
        db.execute("PRAGMA secure_delete = OFF")
        db.execute("DELETE FROM templates WHERE person = 2")
        db.execute("DELETE FROM people WHERE id = 2")


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_gallery_is_brought_up_to_date(tmp_path: Path, version: int) -> None:
    make_old(tmp_path / "g", version)
    assert vector(1).tobytes() in everything_in(tmp_path / "g")
    with opened(tmp_path / "g") as gallery:
        assert photos_in(gallery) == {"Ann": [0], "Cy": [2]}
        assert {p.enrolled for p in gallery.people()} == {"2020-02-02T02:02:02Z"}
        assert nearest(gallery, 2) == "Cy"
        gallery.remove("Cy")
        gallery.add("Dee", template(4))
        gallery.rename("Dee", "Dora")
        assert [nearest(gallery, n) for n in (0, 2, 4)] == ["Ann", None, "Dora"]
        assert gallery.check().problems == ()
        first, *_, last = gallery.log()[0][:-1]
        assert (first.action, first.facts) == ("upgraded", {"format": version, "people": 2})
        assert (last.action, last.person) == ("enrolled", 4)
        assert vector(1).tobytes() not in everything_in(tmp_path / "g"), "what Bob left is wiped, too"
    with opened(tmp_path / "g") as gallery:
        assert [entry.action for entry in gallery.log()[0]].count("upgraded") == 1
    with closing(sqlite3.connect(tmp_path / "g" / "gallery.db")) as db:
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_gallery_that_may_only_be_read(version: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        make_old(Path(name), version)
        before = (Path(name) / "gallery.db").read_bytes()
        with as_a_user_who_may_only_read(Path(name)), Gallery.open(Path(name)) as gallery:
            gallery.bind_model(*MODEL)
            assert photos_in(gallery) == {"Ann": [0], "Cy": [2]}
            assert nearest(gallery, 2) == "Cy"
            assert gallery.check().problems == ()
            assert gallery.log() == ([], "0" * 64)
            assert consent(gallery.store, "Ann") == (None, None)
            assert (expired(gallery.store), data_may_remain(gallery.store), gallery.threshold) == ([], False, MODEL[3])
            for change in (
                lambda: gallery.remove("Ann"),
                lambda: gallery.add("Bob", template(1)),
                lambda: gallery.merge("Ann", "Cy"),
                lambda: gallery.rename("Ann", "Anna"),
                lambda: gallery.set_consent("Ann", "x"),
                lambda: gallery.export(Path("/nonexistent/x")),
            ):
                with pytest.raises(GalleryError, match="make the gallery's folder writable"):
                    change()
        assert (Path(name) / "gallery.db").read_bytes() == before


def test_a_gallery_that_may_only_be_read_after_a_removal_was_killed(folder: Path) -> None:
    """What cannot be finished is reported, and does not stand in a reader's way."""
    with opened(folder) as gallery:
        gallery.remove("Ann")
    sql(folder, "UPDATE traces SET wiped = 0", "PRAGMA wal_checkpoint(TRUNCATE)")
    with tempfile.TemporaryDirectory() as name:
        for path in folder.iterdir():
            shutil.copy(path, name)
        with as_a_user_who_may_only_read(Path(name)), Gallery.open(Path(name)) as gallery:
            assert [p.name for p in gallery.people()] == ["Bob"]
            (problem,) = gallery.check().problems
            assert "data of removed people" in problem
