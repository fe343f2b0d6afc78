"""The SQLite file of a gallery: its schema, how it is opened, its transactions, and its errors in a user's words."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from facerec.errors import DamagedGalleryError, GalleryError
from facerec.types import Template, Vectors

APPLICATION_ID = 0x46414345  # "FACE": tells a gallery from other SQLite files
VERSION = 2
BUSY_SECONDS = 30.0  # how long to wait for another process that writes; each holds the lock for milliseconds

# `generation` is drawn anew, by the triggers, inside every transaction that changes what a search can find. It is
# random, not counted, so that a copy of the gallery that went its own way never comes to the same one.
# AUTOINCREMENT: a template's id is never given to another, so an index in memory can be brought up to date by ids.
STRANGERS = """
CREATE TABLE IF NOT EXISTS strangers (
    kind TEXT PRIMARY KEY CHECK (kind IN ('cohort', 'given')),
    source TEXT NOT NULL,
    vectors BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS calibration (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    generation TEXT NOT NULL,
    fpir REAL NOT NULL,
    distance REAL NOT NULL,
    strangers INTEGER NOT NULL,
    within INTEGER NOT NULL,
    people INTEGER NOT NULL
);
"""
SCHEMA = f"""
BEGIN IMMEDIATE;
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
CREATE TABLE IF NOT EXISTS people (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    enrolled TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
);
CREATE TABLE IF NOT EXISTS templates (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    person INTEGER NOT NULL REFERENCES people ON DELETE CASCADE,
    photo_hash TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL,
    x1 REAL NOT NULL, y1 REAL NOT NULL, x2 REAL NOT NULL, y2 REAL NOT NULL,
    quality REAL NOT NULL,
    vector BLOB NOT NULL,
    enrolled TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
);
CREATE INDEX IF NOT EXISTS templates_of_person ON templates (person);
{STRANGERS}
CREATE TRIGGER IF NOT EXISTS person_renamed AFTER UPDATE ON people
    BEGIN UPDATE gallery SET generation = hex(randomblob(16)); END;
CREATE TRIGGER IF NOT EXISTS template_added AFTER INSERT ON templates
    BEGIN UPDATE gallery SET generation = hex(randomblob(16)); END;
CREATE TRIGGER IF NOT EXISTS template_changed AFTER UPDATE ON templates
    BEGIN UPDATE gallery SET generation = hex(randomblob(16)); END;
CREATE TRIGGER IF NOT EXISTS template_removed AFTER DELETE ON templates
    BEGIN UPDATE gallery SET generation = hex(randomblob(16)); END;
CREATE TRIGGER IF NOT EXISTS model_changed AFTER UPDATE OF model_fingerprint, dimension ON gallery
    WHEN new.model_fingerprint IS NOT old.model_fingerprint OR new.dimension IS NOT old.dimension
    BEGIN UPDATE gallery SET generation = hex(randomblob(16)); END;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
COMMIT;
"""

_DAMAGED = "restore the gallery from a backup, or enroll again into a new one (`--gallery DIR`)"
_MEANINGS: dict[str, tuple[type[GalleryError], str]] = {  # by the beginning of SQLite's error name
    "SQLITE_NOTADB": (DamagedGalleryError, f"not a gallery database; {_DAMAGED}"),
    "SQLITE_CORRUPT": (DamagedGalleryError, f"damaged; {_DAMAGED}"),
    "SQLITE_ERROR": (DamagedGalleryError, f"not the tables facerec wrote; {_DAMAGED}"),
    "SQLITE_BUSY": (GalleryError, "in use by another process; try again when it is done"),
    "SQLITE_READONLY": (GalleryError, "cannot be changed; make the gallery's folder writable or choose another"),
    "SQLITE_CANTOPEN": (GalleryError, "cannot be opened; make the gallery's folder readable and writable"),
    "SQLITE_FULL": (GalleryError, "the disk is full; free some space and run the command again"),
    "SQLITE_IOERR": (GalleryError, "the disk does not take or give the data; check its space and health"),
}


class Database:
    """An open gallery database. Every SQLite or file error leaves it as a GalleryError of one line."""

    def __init__(self, path: Path, *, create: bool) -> None:
        """Open `path`, or make it (owner-only) with `create`.

        Raises GalleryError if there is none, it cannot be opened, or a newer facerec wrote it; DamagedGalleryError
        if it is no gallery.
        """
        self.path = path
        with self._explained():
            if create:
                _touch(path)
            elif not path.exists():
                raise _nothing(path)
            self._db = sqlite3.connect(_uri(path), uri=True, isolation_level=None, timeout=BUSY_SECONDS)
        try:
            with self._explained():
                self._prepare(create)
        except GalleryError:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; the last process to do so folds the write-ahead log into it."""
        with self._explained():
            self._db.close()

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """One consistent view, whatever other processes write meanwhile."""
        with self._explained(), self._db:
            self._db.execute("BEGIN")
            yield self._db

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction: on disk as a whole when the block ends, undone as a whole when it raises."""
        with self._explained(), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db

    def wipe(self) -> None:
        """Fold the write-ahead log into the file and empty it, so that what was removed is in neither.

        While another process reads, this waits; past BUSY_SECONDS it is left to the last process that closes.
        """
        with self._explained():
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _prepare(self, create: bool) -> None:
        self._db.execute("PRAGMA synchronous = FULL")  # a commit that returned survives a power cut
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.execute("PRAGMA secure_delete = ON")  # removed rows are overwritten with zeros
        if self._is_empty():
            if not create:
                raise _nothing(self.path)
            _use_wal(self._db)
            self._db.executescript(SCHEMA)
        self._require_known()
        if scalar(self._db, "PRAGMA user_version") == 1 and _may_write(self.path):
            self._upgrade_from_1()
        if scalar(self._db, "PRAGMA quick_check(1)") != "ok" or not scalar(self._db, "SELECT count(*) FROM gallery"):
            raise DamagedGalleryError(f"{self.path}: damaged; {_DAMAGED}")

    def _upgrade_from_1(self) -> None:
        """Format 1 knew no strangers; its thresholds were the model's."""
        add = "ALTER TABLE gallery ADD COLUMN fpir REAL NOT NULL DEFAULT 0.01;"
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            if scalar(self._db, "PRAGMA user_version") == 1:  # no other process has done it meanwhile
                for statement in filter(str.strip, f"{add}{STRANGERS}PRAGMA user_version = 2".split(";")):
                    self._db.execute(statement)

    def _is_empty(self) -> bool:
        return not scalar(self._db, "PRAGMA user_version") and not scalar(
            self._db, "SELECT count(*) FROM sqlite_master"
        )

    def _require_known(self) -> None:
        application, version = scalar(self._db, "PRAGMA application_id"), scalar(self._db, "PRAGMA user_version")
        if application != APPLICATION_ID:
            raise DamagedGalleryError(
                f"{self.path}: another program's database; choose another folder (`--gallery DIR`)"
            )
        if version > VERSION:
            raise GalleryError(
                f"{self.path}: written by a newer facerec (format {version}, this one knows {VERSION}); update facerec"
            )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "")
            fallback = (GalleryError, "run `facerec gallery check`")
            kind, meaning = next((m for start, m in _MEANINGS.items() if name.startswith(start)), fallback)
            words = " ".join(str(error).split())  # it may quote the schema, line by line
            raise kind(f"{self.path}: {meaning} ({words})") from error
        except UnicodeDecodeError as error:  # of SQLite's words, where they quote a damaged page
            raise DamagedGalleryError(f"{self.path}: damaged; {_DAMAGED}") from error
        except OSError as error:
            raise GalleryError(
                f"{error.filename}: {error.strerror}; choose another folder (`--gallery DIR`)"
            ) from error


def scalar(db: sqlite3.Connection, query: str, *parameters: Any) -> Any:
    """Return the first column of the first row, None without rows."""
    row = db.execute(query, parameters).fetchone()
    return None if row is None else row[0]


def as_stored(vectors: Vectors) -> NDArray[np.float16]:
    """Rows as galleries keep strangers: half the bytes, distances off by less than a thousandth."""
    return vectors.astype("<f2")


def read_strangers(db: sqlite3.Connection, dimension: int, kind: str | None = None) -> NDArray[np.float16] | None:
    """The (N, dimension) rows of strangers of a kind, or of all; None where the gallery's format knows none."""
    if scalar(db, "PRAGMA user_version") == 1:
        return None
    query = "SELECT vectors FROM strangers WHERE ? IN (kind, '') ORDER BY kind"
    blob = b"".join(vectors for (vectors,) in db.execute(query, (kind or "",)))
    if len(blob) % (2 * dimension):
        raise DamagedGalleryError(f"a stranger's vector is cut off; {_DAMAGED}")
    return np.frombuffer(blob, "<f2").reshape(-1, dimension)


def write_strangers(db: sqlite3.Connection, kind: str, source: str, vectors: Vectors) -> None:
    """Replace the strangers of a kind."""
    db.execute("DELETE FROM strangers WHERE kind = ?", (kind,))
    db.execute("DELETE FROM calibration")
    if len(vectors):
        row = (kind, source, as_stored(vectors).tobytes())
        db.execute("INSERT INTO strangers (kind, source, vectors) VALUES (?, ?, ?)", row)


def faults(db: sqlite3.Connection) -> list[str]:
    """Return what SQLite itself finds wrong with its pages, constraints and references, one line each."""
    pages = [line for (line,) in db.execute("PRAGMA integrity_check") if line != "ok"]
    return pages + [f"{table}: row {row} refers to nobody" for table, row, *_ in db.execute("PRAGMA foreign_key_check")]


def count_rows(db: sqlite3.Connection, table: str) -> int:
    """How many rows a table has."""
    return scalar(db, f"SELECT count(*) FROM {table}")


def generation_of(db: sqlite3.Connection) -> str:
    """What the state of the gallery is called."""
    return scalar(db, "SELECT generation FROM gallery")


def id_of(db: sqlite3.Connection, name: str) -> int | None:
    """The id of a person, None if nobody has the name."""
    return scalar(db, "SELECT id FROM people WHERE name = ?", name)


def owner_of(db: sqlite3.Connection, photo_hash: str) -> str | None:
    """Who is enrolled with a photo, or None."""
    query = "SELECT name FROM people JOIN templates ON person = people.id WHERE photo_hash = ?"
    return scalar(db, query, photo_hash)


def insert_template(db: sqlite3.Connection, name: str, template: Template) -> None:
    """Enrol a photo, and its person where they are new."""
    db.execute("INSERT OR IGNORE INTO people (name) VALUES (?)", (name,))
    source = template.source.encode(
        "utf-8", "backslashreplace"
    ).decode()  # SQLite's text is UTF-8, file names need not be
    box, vector = map(float, template.box), template.vector.astype("<f4").tobytes()
    db.execute(
        "INSERT INTO templates (person, photo_hash, source, x1, y1, x2, y2, quality, vector) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (id_of(db, name), template.photo_hash, source, *box, float(template.quality), vector),
    )


def owners_of_all(db: sqlite3.Connection) -> tuple[NDArray[np.int64], list[str]]:
    """Return the ids of all templates, ascending, and whose each is."""
    rows = db.execute("SELECT t.id, name FROM templates t JOIN people ON person = people.id ORDER BY t.id").fetchall()
    return np.array([number for number, _ in rows], np.int64), [name for _, name in rows]


def vector_fault(vectors: Vectors, dimension: int) -> str | None:
    """Return what is wrong with rows that should be finite, of unit length within 1e-3, of `dimension` numbers."""
    if vectors.ndim != 2 or vectors.shape[1] != dimension:
        return f"has {vectors.shape[-1]} numbers instead of {dimension}"
    if not np.isfinite(vectors).all():
        return "holds numbers that are not finite"
    if (np.abs(np.linalg.norm(vectors, axis=1) - 1) > 1e-3).any():
        return "is not of length 1"
    return None


def broken_people(db: sqlite3.Connection) -> list[str]:
    """People without a template, one line each."""
    rows = db.execute("SELECT name FROM people WHERE id NOT IN (SELECT person FROM templates)")
    return [f"'{name}' has no template; remove them" for (name,) in rows]


def broken_vectors(db: sqlite3.Connection) -> list[str]:
    """Vectors that are none, one line each."""
    dimension = scalar(db, "SELECT dimension FROM gallery")
    found = []
    for source, blob in db.execute("SELECT source, vector FROM templates ORDER BY id"):
        vector = np.frombuffer(blob[: len(blob) // 4 * 4], "<f4")
        if fault := vector_fault(vector[None], dimension):
            found.append(f"the vector of {source} {fault}; remove its person and enroll them again")
    return found


def _nothing(path: Path) -> GalleryError:
    return GalleryError(f"{path.parent}: no gallery here; make one with `facerec enroll`")


def _touch(path: Path) -> None:
    """Make folder and file for the owner alone; SQLite gives its own files beside it the same permissions."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _uri(path: Path) -> str:
    """Return how SQLite is to open `path`; where nothing may be written, so that it needs no lock files."""
    path = path.absolute()
    if _may_write(path) and _may_write(path.parent):
        return f"{path.as_uri()}?mode=rw"
    return f"{path.as_uri()}?mode=ro" + ("" if Path(f"{path}-wal").exists() else "&immutable=1")


def _may_write(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _use_wal(db: sqlite3.Connection) -> None:
    """Let readers and a writer work at once. SQLite does not wait for this one lock by itself."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
