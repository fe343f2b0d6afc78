"""Locks on a gallery's folder, and how a restored copy replaces the database."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facerec.errors import GalleryError
from facerec.files import fcntl, may_write, put, unlink, write_text
from facerec.gallery.layout import SALT_SIZE, SQLITE_MAGIC, caches_of, mark_of, restoring_of

PATIENCE = 5.0  # seconds to wait for the folder's lock


def enter(path: Path) -> int | None:
    """Take a shared lock on the folder of the database `path`; return the file descriptor to close to release it.

    First finishes a restore that was killed. Returns None, without a lock, if the folder is read-only: a reader has no
    writes to lose when the database is replaced. GalleryError while a restore holds the folder.
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
    """Hold an exclusive lock on the folder; GalleryError if another process keeps the gallery open."""
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
    """Replace the database `path` with the waiting copy, if there is one. The caller must hold the folder with `alone`.

    The write-ahead log is deleted first, because SQLite would apply it to the copy. If the process is killed in
    between, whoever opens the gallery next finishes the swap first. So an open database always matches the mark.
    """
    waiting = restoring_of(path)
    if waiting.exists():
        unlink([Path(f"{path}-wal"), Path(f"{path}-shm"), *caches_of(path)])
        _mark(path, waiting)
        put(waiting, path)


def _mark(path: Path, waiting: Path) -> None:
    """Write or delete the mark, to match whether the file `waiting` is encrypted."""
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
    except OSError:  # a file system without flock; `alone` fails there too, so no restore can interfere
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
