"""The tables of a gallery, and how those of older formats become them."""

import sqlite3
import struct
import zlib
from collections.abc import Iterator
from typing import Any

APPLICATION_ID = 0x46414345  # "FACE": tells a gallery from other SQLite files
VERSION = 6

_NOW = "(strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))"
# AUTOINCREMENT: a number is never given to another. So a person's number in the log stays theirs after they are
# removed, and an index in memory can be brought up to date by the templates' ids.
_PEOPLE = f"""(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    enrolled TEXT NOT NULL DEFAULT {_NOW}
)"""
# `generation` is drawn anew, by the triggers, inside every transaction that changes what a search can find. It is
# random, not counted, so that a copy of the gallery that went its own way never comes to the same one.
# `traces`: the log's number of the last removal, and of the last one that is wiped from the files.
# `keeping`: whether the crops of enrolled photos are kept. `renewal`: vectors of a model the gallery is to have next.
# `checksum`: of a vector with its photo's hash, of strangers with their kind, or of a calibration (see `sealed`). A
# crop's PNG has checksums of its own. All other columns stand in an index, too (`*_twice`, UNIQUE): at every opening
# SQLite's integrity check compares table and index, and so finds a bit that flipped in either. It overlooks one case: a
# flipped bit can turn a number in the index into NaN, which the check takes for equal to every number. So `gallery` is
# never read from its index: `WHERE only = 1` in the index keeps the query planner from it.
# `template_sealed` stops older facerecs that had the gallery open before it was brought up to date.
_TABLES = f"""
CREATE TABLE IF NOT EXISTS gallery (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    generation TEXT NOT NULL,
    model_fingerprint TEXT,
    model_name TEXT,
    dimension INTEGER,
    threshold REAL,
    threshold_source TEXT,
    fpir REAL NOT NULL DEFAULT 0.01
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
CREATE INDEX IF NOT EXISTS gallery_twice
    ON gallery (model_fingerprint, model_name, dimension, threshold, threshold_source, fpir)
    WHERE only = 1;
CREATE INDEX IF NOT EXISTS people_twice ON people (enrolled);
CREATE INDEX IF NOT EXISTS consent_twice ON consent (note, until);
CREATE INDEX IF NOT EXISTS templates_twice ON templates (source, x1, y1, x2, y2, quality, enrolled);
CREATE INDEX IF NOT EXISTS strangers_twice ON strangers (source);
CREATE INDEX IF NOT EXISTS traces_twice ON traces (removal, wiped);
CREATE INDEX IF NOT EXISTS keeping_twice ON keeping (crops);
CREATE INDEX IF NOT EXISTS crops_twice ON crops (template);
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
_ANEW = "DROP TABLE IF EXISTS calibration;\n"  # what it keeps can be found again, and is more now


def make_tables(db: sqlite3.Connection) -> None:
    """Make what is not there yet of the tables, in the caller's transaction."""
    _run(db, _TABLES)


def upgrade(db: sqlite3.Connection) -> None:
    """Bring the tables of format 1 (it knew no strangers), 2 (no log), 3 (no crops), 4 (no checksums) or 5 (much stood
    in no index) up to date, in the caller's transaction.

    Foreign keys must not be enforced meanwhile: people get another table.
    """
    version = version_of(db)
    steps = "".join(step for last, step in ((1, _FROM_1), (2, _FROM_2), (4, _ANEW)) if version <= last)
    _run(db, steps + (_from_4(version) if version <= 4 else "") + _TABLES)


def _from_4(version: int) -> str:
    """Give checksums to what is there, as it is.

    A search finds the same as before, and so the generation stays: the index file still tells what the vectors were.
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
    """Let a connection reckon `sealed`."""
    db.create_function("crc32", -1, _crc32, deterministic=True)


def sealed(*values: str) -> str:
    """SQL for the checksum of columns or parameters, in their order: CRC-32, which no flipped bit escapes.

    It is against accidents: whoever may write the file can make it anew.
    """
    # Text may be no UTF-8 once it is damaged, and is taken as bytes; of a real number that would be 15 digits.
    parts = (f"CASE typeof({value}) WHEN 'real' THEN {value} ELSE CAST({value} AS BLOB) END" for value in values)
    return f"crc32({', '.join(parts)})"


def damaged(db: sqlite3.Connection, *columns: str) -> str:
    """SQL that is true of rows whose checksum is not that of the columns, the last of them a blob.

    In a format without checksums it is true of none.
    """
    changed = f"(checksum IS NOT {sealed(*columns)} OR typeof({columns[-1]}) <> 'blob')"
    return changed if version_of(db) > 4 else "FALSE"


def _crc32(*parts: bytes | float | None) -> int:
    checksum = 0
    for part in parts:
        if part is not None:
            checksum = zlib.crc32(part if isinstance(part, bytes) else struct.pack("<d", part), checksum)
    return checksum


def version_of(db: sqlite3.Connection) -> int:
    """The format of the tables; 0: there are none."""
    return scalar(db, "PRAGMA user_version")


def scalar(db: sqlite3.Connection, query: str, *parameters: Any) -> Any:
    """Return the first column of the first row, None without rows."""
    row = db.execute(query, parameters).fetchone()
    return None if row is None else row[0]


def _run(db: sqlite3.Connection, script: str) -> None:
    """Not `executescript`, which would end the transaction."""
    for statement in _statements(script):
        db.execute(statement)


def _statements(script: str) -> Iterator[str]:
    """The statements of a script; each ends at the end of a line."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
