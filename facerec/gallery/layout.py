"""The files of a gallery's folder: their names, who has the folder open, and how a copy takes the database's place.

    gallery.db                     the truth (with -wal and -shm beside it while it is open)
    index.faiss                    a cache for searching; none where the gallery is encrypted
    gallery.db.backup, .rollback   whole copies of the database
    gallery.db.restoring           a copy that is taking the database's place
    gallery.encrypted              only where all of these are encrypted (see `cipher`): their salt, in hexadecimal
    *.draft                        what a killed process was writing; under the database's write lock nobody needs it

Whoever opens a gallery shares a lock (flock) on its folder; a restore has the folder to itself.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facerec.errors import DamagedGalleryError, GalleryError
from facerec.search.index import draft_of

try:
    import fcntl
except ImportError:  # not on Windows: there, a database that is open cannot be replaced
    fcntl = None

KINDS = ("backup", "rollback")  # of copies: after every session that changed the gallery; before its model was changed
PATIENCE = 5.0  # seconds to wait for the folder
SALT_SIZE = 16  # bytes: what an encrypted file begins with (SQLCipher's design)
_ENDS = ("", "-journal", "-wal", "-shm")  # of a database's name, and of those of SQLite's own files for it
_MAGIC = b"SQLite format 3\0"  # what every other one begins with


def index_of(path: Path) -> Path:
    """The search index beside the database `path`."""
    return path.with_name("index.faiss")


def copy_of(path: Path, kind: str) -> Path:
    """The copy of a kind beside the database `path`."""
    return path.with_name(f"{path.name}.{kind}")


def restoring_of(path: Path) -> Path:
    """Where a whole copy waits to be put in the place of the database `path`; nobody opens the gallery meanwhile."""
    return path.with_name(f"{path.name}.restoring")


def copies_of(path: Path) -> list[Path]:
    """The copies there are of the database `path`."""
    return [copy for kind in KINDS if (copy := copy_of(path, kind)).is_file()]


def mark_of(path: Path) -> Path:
    """The file that says that the database `path`, and every other one in its folder, is encrypted."""
    return path.with_name("gallery.encrypted")


def salt_of(path: Path) -> bytes | None:
    """The salt of the databases in the folder of `path`, None where they are not encrypted.

    DamagedGalleryError if the mark is not what facerec wrote. The databases themselves are not asked: closing a file
    takes away the locks that SQLite holds on it for the same process.
    """
    mark = mark_of(path)
    try:
        salt = bytes.fromhex(mark.read_text("ascii"))
    except FileNotFoundError:
        return None
    except ValueError:
        salt = b""
    if len(salt) != SALT_SIZE:
        how = f"the first {SALT_SIZE} bytes of gallery.db, in hexadecimal"
        raise DamagedGalleryError(f"{mark}: damaged; it must hold {how}")
    return salt


def is_plain(path: Path) -> bool:
    """Whether a file begins as every database does that is not encrypted. Only of one this process has not open."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def drafts_of(path: Path) -> list[Path]:
    """What killed processes left unfinished beside the database `path`, SQLite's own files for them included."""
    kinds = (*KINDS, "restoring")
    drafts = (draft_of(index_of(path)), draft_of(mark_of(path)), *(draft_of(copy_of(path, kind)) for kind in kinds))
    found = (Path(f"{draft}{end}") for draft in drafts for end in _ENDS)
    return [draft for draft in found if draft.is_file()]


def new_draft(target: Path) -> Path:
    """Return an empty file, for the owner alone, to write a database in that is to be called `target`."""
    draft = draft_of(target)
    unlink([Path(f"{draft}{end}") for end in _ENDS])
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    return draft


def put(draft: Path, target: Path) -> None:
    """Have a draft take the place of `target`, whole and for good once this returns."""
    settle(draft)
    os.replace(draft, target)
    settle(target.parent)


def unlink(paths: list[Path]) -> None:
    """Delete files, for good once this returns."""
    for path in paths:
        path.unlink(missing_ok=True)
    for folder in {path.parent for path in paths}:
        settle(folder)


def remedy(path: Path) -> str:
    """What to do about a database `path` that is damaged."""
    if copies_of(path):
        return "`facerec gallery restore` brings it back from a backup"
    return "restore the gallery from a backup, or enroll again into a new one (`--gallery DIR`)"


def may_write(path: Path) -> bool:
    """Whether this process may change a file, or what is in a folder."""
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def settle(path: Path) -> None:
    """Have a file's content, or a folder's names, survive a power cut. The file must not be an open database."""
    if not fcntl:  # Windows does so for neither
        return
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def enter(path: Path) -> int | None:
    """Share the folder of the database `path` with all who have it open; returns what to close to leave it.

    First finishes a restore that was killed. None where nothing may be written: who only reads loses no writes when
    the database is replaced. GalleryError while a restore has the folder to itself.
    """
    while True:
        lock = _shared(path.parent) if may_write(path.parent) else None
        if not restoring_of(path).exists():
            return lock
        if not may_write(path.parent):
            raise GalleryError(f"{path}: being restored; run `facerec gallery restore` as somebody who may write there")
        if lock is not None:
            os.close(lock)
        with alone(path.parent):
            swap_in(path)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Have the folder to oneself; GalleryError if others keep it open."""
    if not fcntl:
        yield
        return
    lock = os.open(folder, os.O_RDONLY)
    try:
        if not _granted(lock, fcntl.LOCK_EX):
            raise GalleryError(f"{folder}: in use by another process; try again when it is done")
        yield
    finally:
        os.close(lock)


def swap_in(path: Path) -> None:
    """Put the waiting copy in the place of the database `path`, if one is waiting. Only for whoever is `alone`.

    The write-ahead log goes first: SQLite would play it into the copy. Killed in between, the next to open goes on;
    nobody opens the gallery before, so the mark is always that of the database.
    """
    waiting = restoring_of(path)
    if waiting.exists():
        unlink([Path(f"{path}-wal"), Path(f"{path}-shm"), index_of(path)])
        _mark(path, waiting)
        os.replace(waiting, path)
        settle(path.parent)


def _mark(path: Path, waiting: Path) -> None:
    """Have the mark say what `waiting` is."""
    mark = mark_of(path)
    with waiting.open("rb") as file:
        salt = file.read(SALT_SIZE)
    if salt == _MAGIC:
        unlink([mark])
    else:
        draft = draft_of(mark)
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
            file.write(f"{salt.hex()}\n")
        put(draft, mark)


def _shared(folder: Path) -> int | None:
    if not fcntl:
        return None
    lock = os.open(folder, os.O_RDONLY)
    try:
        if _granted(lock, fcntl.LOCK_SH):
            return lock
    except OSError:  # a file system without such locks: it refuses a restore the folder, too
        return lock
    os.close(lock)
    raise GalleryError(f"{folder}: being restored by another process; try again when it is done")


def _granted(lock: int, kind: int) -> bool:
    assert fcntl
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
