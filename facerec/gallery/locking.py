"""Who has a gallery's folder open, and how a restored copy takes the database's place."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facerec.errors import GalleryError
from facerec.files import fcntl, may_write, put, unlink, write_text
from facerec.gallery.layout import SALT_SIZE, SQLITE_MAGIC, caches_of, mark_of, restoring_of

PATIENCE = 5.0  # seconds to wait for the folder


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
        unlink([Path(f"{path}-wal"), Path(f"{path}-shm"), *caches_of(path)])
        _mark(path, waiting)
        put(waiting, path)


def _mark(path: Path, waiting: Path) -> None:
    """Have the mark say what `waiting` is."""
    mark = mark_of(path)
    with waiting.open("rb") as file:
        salt = file.read(SALT_SIZE)
    if salt == SQLITE_MAGIC:
        unlink([mark])
    else:
        write_text(mark, f"{salt.hex()}\n", private=True)


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
