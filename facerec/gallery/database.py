"""The SQLite file of a gallery: opening it, its transactions, and its errors in plain words."""

import os
import sqlite3
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Self

from facerec.errors import DamagedGalleryError, GalleryError, PassphraseError
from facerec.files import may_write, settle, unlink
from facerec.gallery import audit_log, sqlcipher
from facerec.gallery.connection import Connection
from facerec.gallery.integrity import faults
from facerec.gallery.layout import blocks_of, copies_of, mark_of, nothing_here, remedy, salt_of
from facerec.gallery.locking import enter
from facerec.gallery.schema import APPLICATION_ID, SMALL, VERSION, make_tables, scalar, upgrade, version_of
from facerec.gallery.sqlcipher import FileConnection
from facerec.photos.photo_files import EXTENSIONS

BUSY_SECONDS = 30.0  # how long to wait for another process that writes; a write holds the lock for milliseconds

_MEANINGS: dict[str, tuple[type[GalleryError], str]] = {  # keys: the beginning of SQLite's error name
    "SQLITE_NOTADB": (DamagedGalleryError, "not a gallery database, or an encrypted one without its gallery.encrypted"),
    "SQLITE_CORRUPT": (DamagedGalleryError, "damaged"),
    "SQLITE_ERROR": (DamagedGalleryError, "not the tables facerec wrote"),
    "SQLITE_BUSY": (GalleryError, "in use by another process; try again when it is done"),
    "SQLITE_READONLY": (GalleryError, "cannot be changed; make the gallery's folder writable or choose another"),
    "SQLITE_CANTOPEN": (GalleryError, "cannot be opened; make the gallery's folder readable and writable"),
    "SQLITE_FULL": (GalleryError, "the disk is full; free some space"),
    "SQLITE_IOERR": (GalleryError, "the disk cannot be read or written; check its space and health"),
}
# Errors of SQLCipher's export have no error name, only SQLite's message.
_NAMES = {"database or disk is full": "SQLITE_FULL", "disk I/O error": "SQLITE_IOERR"}


class Database:
    """An open gallery database. It raises every SQLite or file error as a GalleryError of one line.

    Opening checks the tables SMALL for damage; the whole file is checked before anything else is read or written. So a
    search in a large gallery need not wait for it.

    Several threads may use it at once. They share one connection, and a transaction holds the `lock`, so other threads
    wait for it. path: its file. passphrase: the one it was opened with, if a program gave one. encrypted: whether it
    and every file beside it is encrypted. copy_due: whether a new copy should be kept, because the log grew or there is
    no copy.
    """

    on_server = False

    def __init__(self, path: Path, *, create: bool, passphrase: str | None = None) -> None:
        """Open `path`. With `create`, make it if it does not exist; only its owner may read it.

        passphrase: of an encrypted database; by default the module `passphrase` looks for it. PassphraseError if it is
        given for a database that is not encrypted: whoever gives one believes that the data are kept secret.

        An older format is brought up to date if the file may be written. GalleryError if there is no database, it
        cannot be opened, or a newer facerec wrote it. DamagedGalleryError if it is no gallery, is encrypted with
        another passphrase, or is missing although there are copies of it.
        """
        self.path = path
        self.passphrase = passphrase
        self.lock = threading.RLock()
        self.copy_due = False
        self._closed = False
        self._sound = False  # whether the whole file was checked
        with explained(path), ExitStack() as opening:
            if create:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            elif not path.parent.is_dir():
                raise nothing_here(path)
            if (lock := enter(path)) is not None:
                opening.callback(os.close, lock)
            _require_file(path, create)
            self.encrypted = salt_of(path) is not None
            if passphrase is not None and not self.encrypted:
                raise PassphraseError(
                    f"{path}: not encrypted; encrypt it (`facerec gallery encrypt`), or leave out `passphrase`"
                )
            self._db = opening.enter_context(closing(self._connect(path, _rights(path))))
            self._prepare(create)
            self.copy_due = self.copy_due or (self.writable and not copies_of(path))
            self._open = opening.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. The last process to close it folds the write-ahead log into it."""
        with self.lock, explained(self.path):
            self._closed = True
            self._open.close()

    @property
    def writable(self) -> bool:
        """Whether this process may change the database."""
        return may_write(self.path) and may_write(self.path.parent)

    @property
    def place(self) -> Path:
        """The gallery's folder."""
        return self.path.parent

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Read in one transaction: a consistent view, whatever other processes write meanwhile."""
        with self._transaction("DEFERRED") as db:
            yield db

    @contextmanager
    def glance(self) -> Iterator[Connection]:
        """As `read`, for the tables SMALL only: the others may not have been checked for damage yet."""
        with self._transaction("DEFERRED", check=False) as db:
            yield db

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Write in one transaction: all of it is on disk when the block ends, none of it if the block raises."""
        self._require_writable()
        with self._transaction("IMMEDIATE") as db:
            before = audit_log.last_number(db)
            yield db
            logged = audit_log.last_number(db) != before
        if logged:
            self.copy_due = True

    @contextmanager
    def hold(self) -> Iterator[Connection]:
        """Hold the lock of `write`, to change files beside the database; read as in `glance`."""
        self._require_writable()
        with self._transaction("IMMEDIATE", check=False) as db:
            yield db

    @contextmanager
    def _transaction(self, kind: str, check: bool = True) -> Iterator[Connection]:
        with self.lock, explained(self.path):
            self._require_open()
            if check:
                self._require_sound()
            with self._db:
                self._db.execute(f"BEGIN {kind}")
                yield self._db

    def _require_writable(self) -> None:
        if not self.writable:  # refuse here: a read-only old format lacks tables, and SQLite would report those
            raise GalleryError(f"{self.path}: {_MEANINGS['SQLITE_READONLY'][1]}")

    def _require_open(self) -> None:
        if self._closed:
            raise GalleryError(f"{self.path}: closed by this program; open the gallery again")

    def _require_sound(self) -> None:
        """DamagedGalleryError if the file is damaged; it is checked once."""
        if not self._sound:
            require_sound(self._db, self.path)
            self._sound = True

    def contents(self) -> Iterator[Iterator[bytes]]:
        """The bytes of every file of the gallery, each in blocks."""
        return (blocks_of(path) for path in sorted(self.path.parent.iterdir()) if path.is_file())

    def faults(self, db: Connection) -> list[str]:
        """What SQLite finds wrong with the file, one line each."""
        return faults(db)

    def compact(self) -> bool:
        """Rewrite the file from its rows and empty the write-ahead log, so that neither holds removed data.

        Waits while another process reads. Returns False if it still reads after BUSY_SECONDS.
        """
        with self.lock, explained(self.path):
            self._require_open()
            self._require_sound()
            self._db.execute("VACUUM")
            busy, *_ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    def copy_to(self, path: Path) -> None:
        """Copy the whole database to a new file that only its owner can read. It is on disk when this returns."""
        with explained(path):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            with (
                closing(self._connect(self.path, "mode=ro")) as source,
                closing(self._connect(path, "mode=rw")) as target,
            ):
                target.execute("PRAGMA journal_mode = OFF")  # an unfinished copy is never used
                target.execute("PRAGMA synchronous = OFF")
                source.backup(target)
            settle(path)

    def _connect(self, path: Path, rights: str) -> FileConnection:
        return connect(path, rights, self.passphrase)

    def _prepare(self, create: bool) -> None:
        self._db.execute("PRAGMA synchronous = FULL")  # a commit that returned survives a power cut
        self._db.execute("PRAGMA secure_delete = ON")  # removed rows are overwritten with zeros
        self._db.execute("PRAGMA temp_store = MEMORY")  # no gallery data in other folders
        if self._is_empty():
            if not create:
                raise nothing_here(self.path)
            _use_wal(self._db)
            self._make()
        require_known(self._db, self.path)
        require_sound(self._db, self.path, SMALL)
        if version_of(self._db) < VERSION and self.writable:
            self._upgrade()
        self._db.execute("PRAGMA foreign_keys = ON")

    def _make(self) -> None:
        self._sound = True  # nothing is in it
        with self.write() as db:
            if not version_of(db):  # no other process has made the tables meanwhile
                make_tables(db)
                audit_log.record(db, "created")

    def _upgrade(self) -> None:
        """Bring an older format up to date.

        Before format 3, a removal did not wipe the data. So a file of format 1 or 2 is marked to be rewritten, and its
        copies are deleted.
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


def connect(path: Path, rights: str = "mode=ro&immutable=1", passphrase: str | None = None) -> FileConnection:
    """Open an existing database file, with the passphrase if the folder's databases are encrypted.

    rights: parameters of SQLite's URI. The default is for a file that nobody writes: SQLite then needs no files beside
    it. passphrase: as for `sqlcipher.key_of`.
    """
    return sqlcipher.connect(f"{path.absolute().as_uri()}?{rights}", sqlcipher.key_of(path, passphrase), BUSY_SECONDS)


def require_known(db: Connection, path: Path) -> None:
    """DamagedGalleryError unless facerec wrote the database; GalleryError if a newer facerec wrote it."""
    if scalar(db, "PRAGMA application_id") != APPLICATION_ID:
        raise DamagedGalleryError(f"{path}: another program's database; choose another folder as `gallery`")
    if (version := version_of(db)) > VERSION:
        raise GalleryError(
            f"{path}: written by a newer facerec (format {version}, this one knows {VERSION}); update facerec"
        )


def require_sound(db: Connection, path: Path, tables: Collection[str] = ()) -> None:
    """DamagedGalleryError if SQLite's integrity check fails or the file holds no gallery.

    tables: check these alone, with their indexes, as far as they exist; by default everything is checked.
    """
    there = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    checks = [f"PRAGMA integrity_check({what})" for what in (there.intersection(tables) or (1,))]
    if any(scalar(db, check) != "ok" for check in checks) or not scalar(db, "SELECT count(*) FROM gallery"):
        raise DamagedGalleryError(f"{path}: damaged; {remedy(path)}")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn SQLite errors and file errors into GalleryErrors about the database `path`."""
    try:
        yield
    except sqlcipher.errors() as error:
        name = getattr(error, "sqlite_errorname", None) or _NAMES.get(str(error), "")
        fallback = (GalleryError, "run `facerec gallery check`")
        kind, meaning = next((m for start, m in _MEANINGS.items() if name.startswith(start)), fallback)
        if name == "SQLITE_NOTADB" and mark_of(path).exists():
            either = "encrypted with another passphrase, or damaged"
            raise DamagedGalleryError(f"{path}: {either}; if $FACEREC_PASSPHRASE is right, {remedy(path)}") from error
        words = " ".join(str(error).split())  # the message may quote the schema over several lines
        if words.startswith("Could not decode"):  # Python's error for text that is not UTF-8; it has no SQLite name
            kind, meaning = _MEANINGS["SQLITE_CORRUPT"]
        if kind is DamagedGalleryError:
            meaning = f"{meaning}; {remedy(path)}"
        raise kind(f"{path}: {meaning} ({words})") from error
    except UnicodeDecodeError as error:  # SQLite's message quotes a damaged page
        raise DamagedGalleryError(f"{path}: damaged; {remedy(path)}") from error
    except OSError as error:
        raise GalleryError(f"{error.filename}: {error.strerror}; choose another folder as `gallery`") from error


def _rights(path: Path) -> str:
    if may_write(path) and may_write(path.parent):
        return "mode=rw"
    return "mode=ro" if Path(f"{path}-wal").exists() else "mode=ro&immutable=1"


def _require_file(path: Path, create: bool) -> None:
    """Require that the database file exists. With `create`, make an empty one that only its owner may read.

    SQLite gives the files it puts beside the database the same rights.
    """
    there = path.exists()
    if (not there or not path.stat().st_size) and copies_of(path):
        raise DamagedGalleryError(f"{path}: missing; {remedy(path)}")
    if not there and not create:
        raise nothing_here(path)
    if not there:
        _require_no_photos(path.parent)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _require_no_photos(folder: Path) -> None:
    """GalleryError if the folder or a folder in it holds photos: it was then hardly meant for a gallery."""
    inside = (path for level in ("*", "*/*") for path in folder.glob(level))
    photo = next((path for path in inside if path.suffix.lower() in EXTENSIONS), None)
    if photo is not None:
        raise GalleryError(
            f"{folder}: a folder of photos ({photo.relative_to(folder)}), where no gallery is made; "
            "give another folder as `gallery`"
        )


def _use_wal(db: sqlite3.Connection) -> None:
    """Switch to the write-ahead log, so that readers and a writer can work at once.

    SQLite's own timeout does not cover this lock, so the wait is here.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlcipher.errors() as error:
            if not getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY") or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
