"""The tables of a gallery, and the upgrade of older formats."""

import secrets
import sqlite3
import struct
import zlib
from collections.abc import Iterator
from typing import Any

from facerec.gallery.connection import Connection

DEFAULT_FPIR = 0.01  # the target rate of a new gallery
APPLICATION_ID = 0x46414345  # "FACE": tells a gallery from other SQLite files
VERSION = 9

SMALL = ("gallery", "cutting", "strangers", "calibration", "traces", "vetoes")
"""Tables of few rows, or none, that suffice for a search in people whom the cache holds."""

_NOW = "(strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))"
# AUTOINCREMENT: a number is never used twice. So a person's number in the log stays theirs after their removal, and
# the people in memory can be brought up to date by the templates' ids.
_PEOPLE = f"""(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    enrolled TEXT NOT NULL DEFAULT {_NOW}
)"""
# `generation`: triggers replace it inside every transaction that changes what a search can find. It is random instead
# of counted, so that two copies of a gallery that changed separately never have the same generation.
# `traces`: the log's number of the last removal, and of the last removal that is wiped from the files.
# `keeping`: whether the crops of enrolled photos are kept.
# `cutting`: the name of the detector that cut the crops (see `cut_by`). Before format 8 it was always MTCNN.
# `renewal`: vectors of the model that a migration is giving to the gallery. `renewed_crops`: its crops, if it gives
# the gallery another detector.
# `checksum`: covers a vector with its photo's hash, strangers with their kind, or a calibration (see `sealed`). A
# crop's PNG has its own checksums. All other columns are also in an index (`*_twice`, UNIQUE). At every opening,
# SQLite's integrity check compares table and index, and so finds a flipped bit in either. It misses one case: a flipped
# bit can turn a number in the index into NaN, and the check takes NaN as equal to every number. So `gallery` is never
# read from its index: `WHERE only = 1` in the index keeps the query planner from using it.
# `template_sealed`: stops an older facerec that had the gallery open before it was brought up to date.
# `vetoes`: faces that are not `person`. They are erased with that person, and with a template of the same photo.
# `apart`: pairs of people who are two; `one` is the lower number.
# `unknown_faces`: faces that wait until somebody says whose they are (see `unknown_faces`). `photo` is the hash of the
# whole photo; `claimed` the person as whom the face was held back. An enrolled face waits no more.
# `removed`: photos of removed people, as HMACs with the key in `removed_key`: see `removed.py`.
_TABLES = f"""
CREATE TABLE IF NOT EXISTS gallery (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    generation TEXT NOT NULL,
    model_fingerprint TEXT,
    model_name TEXT,
    dimension INTEGER,
    threshold REAL,
    threshold_source TEXT,
    fpir REAL NOT NULL DEFAULT {DEFAULT_FPIR}
);
INSERT OR IGNORE INTO gallery (only, generation) VALUES (1, hex(randomblob(16)));
CREATE TABLE IF NOT EXISTS people {_PEOPLE};
CREATE TABLE IF NOT EXISTS consent (
    person INTEGER PRIMARY KEY REFERENCES people ON DELETE CASCADE,
    note TEXT,
    until TEXT
);
CREATE TABLE IF NOT EXISTS templates (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    person INTEGER NOT NULL REFERENCES people ON DELETE CASCADE,
    photo_hash TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL,
    x1 REAL NOT NULL, y1 REAL NOT NULL, x2 REAL NOT NULL, y2 REAL NOT NULL,
    quality REAL NOT NULL,
    vector BLOB NOT NULL,
    checksum INTEGER,
    enrolled TEXT NOT NULL DEFAULT {_NOW}
);
CREATE INDEX IF NOT EXISTS templates_of_person ON templates (person);
CREATE TABLE IF NOT EXISTS strangers (
    kind TEXT PRIMARY KEY CHECK (kind IN ('cohort', 'given')),
    source TEXT NOT NULL,
    vectors BLOB NOT NULL,
    checksum INTEGER
);
CREATE TABLE IF NOT EXISTS calibration (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    generation TEXT NOT NULL,
    fpir REAL NOT NULL,
    distance REAL NOT NULL,
    strangers INTEGER NOT NULL,
    within INTEGER NOT NULL,
    people INTEGER NOT NULL,
    least INTEGER NOT NULL,
    most INTEGER NOT NULL,
    worth REAL NOT NULL,
    checksum INTEGER
);
CREATE TABLE IF NOT EXISTS log (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    entry TEXT NOT NULL,
    hash TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS traces (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    removal INTEGER NOT NULL,
    wiped INTEGER NOT NULL
);
INSERT OR IGNORE INTO traces (only, removal, wiped) VALUES (1, 0, 0);
CREATE TABLE IF NOT EXISTS keeping (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    crops INTEGER NOT NULL
);
INSERT OR IGNORE INTO keeping (only, crops) VALUES (1, 0);
CREATE TABLE IF NOT EXISTS cutting (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    detector TEXT
);
INSERT OR IGNORE INTO cutting (only, detector)
    SELECT 1, CASE WHEN EXISTS (SELECT 1 FROM templates) THEN 'mtcnn' END;
CREATE TABLE IF NOT EXISTS crops (
    template INTEGER PRIMARY KEY REFERENCES templates ON DELETE CASCADE,
    png BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS renewal (
    template INTEGER NOT NULL REFERENCES templates ON DELETE CASCADE,
    model_fingerprint TEXT NOT NULL,
    vector BLOB NOT NULL,
    checksum INTEGER,
    PRIMARY KEY (template, model_fingerprint)
);
CREATE TABLE IF NOT EXISTS renewed_crops (
    template INTEGER PRIMARY KEY REFERENCES templates ON DELETE CASCADE,
    png BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS vetoes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    person INTEGER NOT NULL REFERENCES people ON DELETE CASCADE,
    photo_hash TEXT NOT NULL,
    source TEXT NOT NULL,
    x1 REAL NOT NULL, y1 REAL NOT NULL, x2 REAL NOT NULL, y2 REAL NOT NULL,
    quality REAL NOT NULL,
    made TEXT NOT NULL DEFAULT {_NOW},
    vector BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    png BLOB,
    UNIQUE (photo_hash, person, x1, y1, x2, y2)
);
CREATE TABLE IF NOT EXISTS apart (
    one INTEGER NOT NULL REFERENCES people ON DELETE CASCADE,
    other INTEGER NOT NULL REFERENCES people ON DELETE CASCADE,
    made TEXT NOT NULL DEFAULT {_NOW},
    PRIMARY KEY (one, other),
    CHECK (one < other)
);
CREATE TABLE IF NOT EXISTS unknown_faces (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    photo_hash TEXT NOT NULL UNIQUE,
    photo TEXT NOT NULL,
    source TEXT NOT NULL,
    x1 REAL NOT NULL, y1 REAL NOT NULL, x2 REAL NOT NULL, y2 REAL NOT NULL,
    quality REAL NOT NULL,
    seen TEXT NOT NULL,
    until TEXT NOT NULL,
    claimed INTEGER REFERENCES people ON DELETE CASCADE,
    vector BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    png BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS removed_key (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    key BLOB NOT NULL
);
INSERT OR IGNORE INTO removed_key (only, key) VALUES (1, randomblob(32));
CREATE TABLE IF NOT EXISTS removed (
    mark BLOB NOT NULL PRIMARY KEY,
    day TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS gallery_twice
    ON gallery (model_fingerprint, model_name, dimension, threshold, threshold_source, fpir)
    WHERE only = 1;
CREATE INDEX IF NOT EXISTS people_twice ON people (enrolled);
CREATE INDEX IF NOT EXISTS consent_twice ON consent (note, until);
CREATE INDEX IF NOT EXISTS templates_twice ON templates (source, x1, y1, x2, y2, quality, enrolled);
CREATE INDEX IF NOT EXISTS strangers_twice ON strangers (source);
CREATE INDEX IF NOT EXISTS traces_twice ON traces (removal, wiped);
CREATE INDEX IF NOT EXISTS keeping_twice ON keeping (crops);
CREATE INDEX IF NOT EXISTS cutting_twice ON cutting (detector);
CREATE INDEX IF NOT EXISTS crops_twice ON crops (template);
CREATE INDEX IF NOT EXISTS vetoes_twice ON vetoes (person, source, quality, made);
CREATE INDEX IF NOT EXISTS apart_twice ON apart (other, made);
CREATE INDEX IF NOT EXISTS unknown_faces_twice
    ON unknown_faces (photo, source, x1, y1, x2, y2, quality, seen, until, claimed);
CREATE INDEX IF NOT EXISTS removed_key_twice ON removed_key (key);
CREATE INDEX IF NOT EXISTS removed_twice ON removed (day);
CREATE TRIGGER IF NOT EXISTS person_renamed AFTER UPDATE ON people
    BEGIN UPDATE gallery SET generation = hex(randomblob(16)); END;
CREATE TRIGGER IF NOT EXISTS template_sealed BEFORE INSERT ON templates WHEN new.checksum IS NULL
    BEGIN SELECT RAISE(ABORT, 'a newer facerec brought the gallery up to date'); END;
CREATE TRIGGER IF NOT EXISTS template_added AFTER INSERT ON templates
    BEGIN UPDATE gallery SET generation = hex(randomblob(16)); END;
CREATE TRIGGER IF NOT EXISTS template_changed AFTER UPDATE ON templates
    BEGIN UPDATE gallery SET generation = hex(randomblob(16)); END;
CREATE TRIGGER IF NOT EXISTS template_removed AFTER DELETE ON templates
    BEGIN UPDATE gallery SET generation = hex(randomblob(16)); END;
CREATE TRIGGER IF NOT EXISTS vetoes_of_photo AFTER DELETE ON templates
    BEGIN DELETE FROM vetoes WHERE photo_hash = old.photo_hash; END;
CREATE TRIGGER IF NOT EXISTS known_now AFTER INSERT ON templates
    BEGIN DELETE FROM unknown_faces WHERE photo_hash = new.photo_hash; END;
CREATE TRIGGER IF NOT EXISTS model_changed AFTER UPDATE OF model_fingerprint, dimension ON gallery
    WHEN new.model_fingerprint IS NOT old.model_fingerprint OR new.dimension IS NOT old.dimension
    BEGIN UPDATE gallery SET generation = hex(randomblob(16)); END;
CREATE TRIGGER IF NOT EXISTS log_kept BEFORE DELETE ON log
    BEGIN SELECT RAISE(ABORT, 'the log is only added to'); END;
CREATE TRIGGER IF NOT EXISTS log_unchanged BEFORE UPDATE ON log
    BEGIN SELECT RAISE(ABORT, 'the log is only added to'); END;
CREATE TRIGGER IF NOT EXISTS log_in_order BEFORE INSERT ON log
    WHEN new.number <> (SELECT coalesce(max(number), 0) + 1 FROM log)
    BEGIN SELECT RAISE(ABORT, 'the log is only added to'); END;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
"""
_FROM_1 = "ALTER TABLE gallery ADD COLUMN fpir REAL NOT NULL DEFAULT 0.01;\n"
_FROM_2 = f"""
CREATE TABLE numbered {_PEOPLE};
INSERT INTO numbered (id, name, enrolled) SELECT id, name, enrolled FROM people;
DROP TABLE people;
ALTER TABLE numbered RENAME TO people;
"""
_ANEW = "DROP TABLE IF EXISTS calibration;\n"  # the table has more columns now, and its content can be found again


def make_tables(db: Connection) -> None:
    """Make the tables that do not exist yet, in the caller's transaction."""
    _run(db, _TABLES)


def upgrade(db: Connection) -> None:
    """Bring the tables of an older format up to date, in the caller's transaction.

    Format 1 had no strangers, 2 no log, 3 no crops, 4 no checksums; 5 had no index over many columns; 6 no vetoes;
    7 no detector; 8 no unknown faces.
    Foreign keys must not be enforced meanwhile, because the table `people` is replaced.
    """
    version = version_of(db)
    steps = "".join(step for last, step in ((1, _FROM_1), (2, _FROM_2), (4, _ANEW)) if version <= last)
    _run(db, steps + (_from_4(version) if version <= 4 else "") + _TABLES)


def _from_4(version: int) -> str:
    """Return SQL that gives checksums to the existing rows.

    A search finds the same as before. So the generation stays, and the index file is still valid.
    """
    script = "DROP TRIGGER IF EXISTS template_changed;\n"
    new = f"(SELECT {sealed('photo_hash', 'renewal.vector')} FROM templates WHERE id = template)"
    for table, first, checksum in (
        ("templates", 1, sealed("photo_hash", "vector")),
        ("strangers", 2, sealed("kind", "vectors")),
        ("renewal", 4, new),
    ):
        if version >= first:
            script += f"ALTER TABLE {table} ADD COLUMN checksum INTEGER;\n"
            script += f"UPDATE {table} SET checksum = {checksum};\n"
    return script


def know_checksums(db: sqlite3.Connection) -> None:
    """Add the SQL function that `sealed` uses to a connection."""
    db.create_function("seal", 2, seal, deterministic=True)


def sealed(text: str, blob: str) -> str:
    """Return SQL for the checksum of two columns or parameters, a text and a blob, which finds every flipped bit.

    In a file it is a CRC-32. It protects from accidents only: whoever may write the file can also write a new checksum.
    """
    # Damaged text may not be UTF-8, so all is cast to blobs. PostgreSQL must be told what is a text.
    return f"seal(CAST(CAST({text} AS TEXT) AS BLOB), CAST({blob} AS BLOB))"


def damaged(db: Connection, text: str, blob: str) -> str:
    """Return SQL that is true for rows whose checksum does not match these columns.

    In a format without checksums it is true for no row.
    """
    changed = f"(coalesce(checksum, -1) <> {sealed(text, blob)} OR typeof({blob}) <> 'blob')"
    return changed if version_of(db) > 4 else "FALSE"


def seal(*parts: str | bytes | float | None) -> int:
    """Return the CRC-32 of values in their order. A whole number counts as its digits."""
    checksum = 0
    for part in parts:
        if part is not None:
            checksum = zlib.crc32(_bytes(part), checksum)
    return checksum


def _bytes(value: str | bytes | float) -> bytes:
    if isinstance(value, bytes):
        return value
    return struct.pack("<d", value) if isinstance(value, float) else str(value).encode()


def version_of(db: Connection) -> int:
    """The format of the tables; 0 if there are none."""
    return db.version


def new_generation() -> str:
    """A new name of the gallery's state, as the triggers give it."""
    return secrets.token_hex(16).upper()


def scalar(db: Connection, query: str, *parameters: Any) -> Any:
    """Return the first column of the first row; None if there is no row."""
    row = db.execute(query, parameters).fetchone()
    return None if row is None else row[0]


def _run(db: Connection, script: str) -> None:
    """Run a script in the present transaction, which `executescript` would end."""
    for statement in _statements(script):
        db.execute(statement)


def _statements(script: str) -> Iterator[str]:
    """Split a script into its statements; each must end at the end of a line."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
