"""The SQLite file of a gallery: how it is opened, its transactions, and its errors in a user's words."""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Self

from facerec.errors import DamagedGalleryError, GalleryError
from facerec.files import may_write, settle, unlink
from facerec.gallery import audit_log, sqlcipher
from facerec.gallery.layout import copies_of, mark_of, remedy, salt_of
from facerec.gallery.locking import enter
from facerec.gallery.schema import APPLICATION_ID, VERSION, make_tables, scalar, upgrade, version_of

BUSY_SECONDS = 30.0  # how long to wait for another process that writes; each holds the lock for milliseconds

_MEANINGS: dict[str, tuple[type[GalleryError], str]] = {  # by the beginning of SQLite's error name
    "SQLITE_NOTADB": (DamagedGalleryError, "not a gallery database, or an encrypted one without its gallery.encrypted"),
    "SQLITE_CORRUPT": (DamagedGalleryError, "damaged"),
    "SQLITE_ERROR": (DamagedGalleryError, "not the tables facerec wrote"),
    "SQLITE_BUSY": (GalleryError, "in use by another process; try again when it is done"),
    "SQLITE_READONLY": (GalleryError, "cannot be changed; make the gallery's folder writable or choose another"),
    "SQLITE_CANTOPEN": (GalleryError, "cannot be opened; make the gallery's folder readable and writable"),
    "SQLITE_FULL": (GalleryError, "the disk is full; free some space"),
    "SQLITE_IOERR": (GalleryError, "the disk does not take or give the data; check its space and health"),
}
# Errors of SQLCipher's copying have no name, but SQLite's words for it.
_NAMES = {"database or disk is full": "SQLITE_FULL", "disk I/O error": "SQLITE_IOERR"}


class Database:
    """An open gallery database. Every SQLite or file error leaves it as a GalleryError of one line.

    It may be used from several threads at once. They share one connection: while one of them has the `lock`, as it has
    in a transaction, the others wait. path: its file. encrypted: whether it is, as is all beside it. copy_due: whether
    a copy should be kept: a transaction added to the log, or there is no copy.
    """

    def __init__(self, path: Path, *, create: bool) -> None:
        """Open `path`, or make it (owner-only) with `create`; an older format is brought up to date where possible.

        Raises GalleryError if there is none, it cannot be opened, or a newer facerec wrote it; DamagedGalleryError
        if it is no gallery, encrypted with another passphrase, or missing where there are copies of it.
        """
        self.path = path
        self.lock = threading.RLock()
        self.copy_due = False
        self._closed = False
        with explained(path), ExitStack() as opening:
            if create:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            elif not path.parent.is_dir():
                raise _nothing(path)
            if (lock := enter(path)) is not None:
                opening.callback(os.close, lock)
            _require_file(path, create)
            self.encrypted = salt_of(path) is not None
            self._db = opening.enter_context(closing(connect(path, _rights(path))))
            self._prepare(create)
            self.copy_due = self.copy_due or (self.writable and not copies_of(path))
            self._open = opening.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; the last process to do so folds the write-ahead log into it."""
        with self.lock, explained(self.path):
            self._closed = True
            self._open.close()

    @property
    def writable(self) -> bool:
        """Whether this process may change the database."""
        return may_write(self.path) and may_write(self.path.parent)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """One consistent view, whatever other processes write meanwhile."""
        with self._transaction("DEFERRED") as db:
            yield db

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction: on disk as a whole when the block ends, undone as a whole when it raises."""
        if not self.writable:  # of an old format that cannot be brought up to date there are not all tables to say so
            raise GalleryError(f"{self.path}: {_MEANINGS['SQLITE_READONLY'][1]}")
        with self._transaction("IMMEDIATE") as db:
            before = audit_log.last_number(db)
            yield db
            logged = audit_log.last_number(db) != before
        if logged:
            self.copy_due = True

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[sqlite3.Connection]:
        with self.lock, explained(self.path):
            self._require_open()
            with self._db:
                self._db.execute(f"BEGIN {kind}")
                yield self._db

    def _require_open(self) -> None:
        if self._closed:
            raise GalleryError(f"{self.path}: closed by this program; open the gallery again")

    def compact(self) -> bool:
        """Write the file anew from its rows and empty the write-ahead log: what was removed is then in neither.

        While another process reads, this waits; past BUSY_SECONDS it gives up and returns False.
        """
        with self.lock, explained(self.path):
            self._require_open()
            self._db.execute("VACUUM")
            busy, *_ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    def copy_to(self, path: Path) -> None:
        """Write all of the database to a new file, owner-only and on disk when this returns."""
        with explained(path):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            with closing(connect(self.path, "mode=ro")) as source, closing(connect(path, "mode=rw")) as target:
                target.execute("PRAGMA journal_mode = OFF")  # a copy that was not finished is not used
                target.execute("PRAGMA synchronous = OFF")
                source.backup(target)
            settle(path)

    def _prepare(self, create: bool) -> None:
        self._db.execute("PRAGMA synchronous = FULL")  # a commit that returned survives a power cut
        self._db.execute("PRAGMA secure_delete = ON")  # removed rows are overwritten with zeros
        self._db.execute("PRAGMA temp_store = MEMORY")  # nothing of the gallery in other folders
        if self._is_empty():
            if not create:
                raise _nothing(self.path)
            _use_wal(self._db)
            self._make()
        require_known(self._db, self.path)
        require_sound(self._db, self.path)
        if version_of(self._db) < VERSION and self.writable:
            self._upgrade()
        self._db.execute("PRAGMA foreign_keys = ON")

    def _make(self) -> None:
        with self.write() as db:
            if not version_of(db):  # no other process has made them meanwhile
                make_tables(db)
                audit_log.record(db, "created")

    def _upgrade(self) -> None:
        """Bring an older format up to date.

        Before there was a log (format 3) a removal did not wipe: the file is then written anew, and its copies deleted.
        """
        with self.write() as db:
            if (version := version_of(db)) < VERSION:
                upgrade(db)
                number = audit_log.record(
                    db, "upgraded", format=version, people=scalar(db, "SELECT count(*) FROM people")
                )
                if version < 3:
                    db.execute("UPDATE traces SET removal = ?", (number,))
                    unlink(copies_of(self.path))

    def _is_empty(self) -> bool:
        return not version_of(self._db) and not scalar(self._db, "SELECT count(*) FROM sqlite_master")


def connect(path: Path, rights: str = "mode=ro&immutable=1") -> sqlite3.Connection:
    """Open a database file that is there, with the passphrase where those of its folder are encrypted.

    By default one nobody writes, so that SQLite needs no files beside it.
    """
    return sqlcipher.connect(f"{path.absolute().as_uri()}?{rights}", sqlcipher.key_of(path), BUSY_SECONDS)


def require_known(db: sqlite3.Connection, path: Path) -> None:
    """DamagedGalleryError unless facerec wrote the database, GalleryError if a newer one did."""
    if scalar(db, "PRAGMA application_id") != APPLICATION_ID:
        raise DamagedGalleryError(f"{path}: another program's database; choose another folder as `gallery`")
    if (version := version_of(db)) > VERSION:
        raise GalleryError(
            f"{path}: written by a newer facerec (format {version}, this one knows {VERSION}); update facerec"
        )


def require_sound(db: sqlite3.Connection, path: Path) -> None:
    """DamagedGalleryError if SQLite finds fault with the file's structure, or it holds no gallery."""
    if scalar(db, "PRAGMA integrity_check(1)") != "ok" or not scalar(db, "SELECT count(*) FROM gallery"):
        raise DamagedGalleryError(f"{path}: damaged; {remedy(path)}")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the errors of SQLite and of files into GalleryErrors about the database `path`."""
    try:
        yield
    except sqlcipher.errors() as error:
        name = getattr(error, "sqlite_errorname", None) or _NAMES.get(str(error), "")
        fallback = (GalleryError, "run `facerec gallery check`")
        kind, meaning = next((m for start, m in _MEANINGS.items() if name.startswith(start)), fallback)
        if name == "SQLITE_NOTADB" and mark_of(path).exists():
            either = "encrypted with another passphrase, or damaged"
            raise DamagedGalleryError(f"{path}: {either}; if $FACEREC_PASSPHRASE is right, {remedy(path)}") from error
        words = " ".join(str(error).split())  # it may quote the schema, line by line
        if words.startswith("Could not decode"):  # text that facerec did not write; Python's own error, without a name
            kind, meaning = _MEANINGS["SQLITE_CORRUPT"]
        if kind is DamagedGalleryError:
            meaning = f"{meaning}; {remedy(path)}"
        raise kind(f"{path}: {meaning} ({words})") from error
    except UnicodeDecodeError as error:  # of SQLite's words, where they quote a damaged page
        raise DamagedGalleryError(f"{path}: damaged; {remedy(path)}") from error
    except OSError as error:
        raise GalleryError(f"{error.filename}: {error.strerror}; choose another folder as `gallery`") from error


def _nothing(path: Path) -> GalleryError:
    return GalleryError(f"{path.parent}: no gallery here; make one with `facerec enroll`")


def _rights(path: Path) -> str:
    if may_write(path) and may_write(path.parent):
        return "mode=rw"
    return "mode=ro" if Path(f"{path}-wal").exists() else "mode=ro&immutable=1"


def _require_file(path: Path, create: bool) -> None:
    """The database is there, or an empty file to make it of, for the owner alone; SQLite's own get the same rights."""
    there = path.exists()
    if (not there or not path.stat().st_size) and copies_of(path):
        raise DamagedGalleryError(f"{path}: missing; {remedy(path)}")
    if not there and not create:
        raise _nothing(path)
    if not there:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _use_wal(db: sqlite3.Connection) -> None:
    """Let readers and a writer work at once. SQLite does not wait for this one lock by itself."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlcipher.errors() as error:
            if not getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY") or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
