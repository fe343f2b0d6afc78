"""Finding and wiping what a removal or a killed process left in a gallery's files.

Data of removed people may still be on the database's free pages, in its write-ahead log and in its copies.
"""

import logging
from contextlib import closing, suppress
from pathlib import Path

import numpy as np

from facerec.errors import GalleryError
from facerec.files import unlink, write_text
from facerec.gallery.connection import AnyDatabase, Connection
from facerec.gallery.database import Database, connect, explained
from facerec.gallery.layout import caches_of, copies_of, drafts_of, people_of, removal_of, salt_of
from facerec.gallery.people_file import PeopleFile
from facerec.gallery.queries import generation_of, own_mark
from facerec.gallery.schema import scalar, version_of
from facerec.gallery.sqlcipher import FileConnection

log = logging.getLogger(__name__)


def finish(database: AnyDatabase) -> None:
    """Finish what killed processes left undone, if the gallery may be written."""
    if database.on_server:
        with database.glance() as db:
            drop_stale(database, db)
    drop_drafts(database)
    if database.writable:
        _cut_people(database)
        wipe(database)


def drop_stale(database: AnyDatabase, db: Connection) -> None:
    """Delete this machine's caches of a gallery on a server if another machine may have removed somebody since.

    Whoever removes somebody wipes the caches of their own machine, and notes that beside them.
    """
    if database.on_server and _noted(database) != _last_removal(db):
        note_removal(database, db, drop=True)


def note_removal(database: AnyDatabase, db: Connection, *, drop: bool = False) -> None:
    """Note that the caches of a gallery on a server hold nobody who is removed by now. drop: delete them first."""
    if not database.on_server:
        return
    path = removal_of(database.path)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if drop:
            unlink(caches_of(database.path))
        write_text(path, _last_removal(db), private=True)
    except OSError as error:
        how = "set $FACEREC_CACHE to a folder that may be written"
        raise GalleryError(f"{path}: {error.strerror}; {how}") from error


def _noted(database: AnyDatabase) -> str:
    with suppress(OSError, UnicodeDecodeError):
        return removal_of(database.path).read_text("ascii")
    return ""


def _last_removal(db: Connection) -> str:
    """What tells the gallery's last removal from all others, of any gallery."""
    return f"{own_mark(db)} {scalar(db, 'SELECT removal FROM traces')}\n"


def drop_drafts(database: AnyDatabase) -> list[Path]:
    """Delete the drafts of killed processes; return those that cannot be deleted."""
    path = database.path
    if not drafts_of(path) or not database.writable:
        return drafts_of(path)
    with suppress(GalleryError), database.write():  # a living process that writes a draft holds this lock
        unlink(drafts_of(path))
        return []
    return drafts_of(path)


def _cut_people(database: AnyDatabase) -> None:
    """Take off the end of the people's file that a killed process wrote before a commit that never came."""
    file = PeopleFile(people_of(database.path))
    with database.glance() as db:
        astray = file.goes_beyond(generation_of(db))
    if astray:
        with suppress(GalleryError), database.hold() as db:  # another process may just have been about to commit
            file.cut_after(generation_of(db))


def wipe(database: AnyDatabase) -> None:
    """Rewrite the database if somebody was removed since the last rewrite; log a warning if that fails."""
    try:
        with database.glance() as db:
            removal = pending(db)
        if removal and not database.compact():
            raise GalleryError(f"{database.place}: another process is reading it; wait until it is done")
        if removal:
            with database.write() as db:
                db.execute("UPDATE traces SET wiped = ?1 WHERE wiped < ?1", (removal,))
    except GalleryError as error:
        log.warning("data of removed people is left: %s. After that `facerec gallery check` wipes it", error)


def pending(db: Connection) -> int:
    """The log's number of the last removal if removed data may still be in the files; otherwise 0."""
    if version_of(db) < 3:
        return 0
    return scalar(db, "SELECT CASE WHEN removal > wiped THEN removal ELSE 0 END FROM traces")


def remains(database: AnyDatabase, db: Connection) -> list[str]:
    """Everything that may still hold data removed from the database, one line each. db: its open transaction."""
    if version_of(db) < 3:
        return []
    found = []
    if pending(db):
        where = database.path if isinstance(database, Database) else database.place
        found.append(f"{where}: data of removed people may be left in it; close what else uses it and check again")
    if not isinstance(database, Database):
        return found
    found += _free_pages(db, database.path)
    return found + _old_copies(database, scalar(db, "SELECT removal FROM traces"))


def _free_pages(db: Connection, path: Path) -> list[str]:
    """Free pages that may hold data. Those of an encrypted file cannot be read, so all of them count."""
    if salt_of(path) is not None:
        free = scalar(db, "PRAGMA freelist_count")
        return [f"{path}: {free} free pages may hold something; run `facerec gallery rebuild`"] if free else []
    assert isinstance(db, FileConnection)
    full = full_free_pages(db.serialize())
    return [f"{path}: {full} free pages still hold something; run `facerec gallery rebuild`"] if full else []


def full_free_pages(content: bytes) -> int:
    """Count the free pages of a SQLite file that are not empty. With secure_delete there are none.

    Source: SQLite's database file format, section 1.5.
    """
    size = int.from_bytes(content[16:18], "big")
    size = 65536 if size == 1 else size
    words = np.frombuffer(content, ">u4").reshape(-1, size // 4)
    trunk, full, seen = int(words[0, 8]), 0, set()
    while 0 < trunk <= len(words) and trunk not in seen:
        seen.add(trunk)
        following, count = (int(word) for word in words[trunk - 1, :2])
        leaves = words[trunk - 1, 2 : 2 + count].astype(np.int64)
        leaves = leaves[(leaves > 0) & (leaves <= len(words))]
        full += int(words[leaves - 1].any(axis=1).sum())
        full += bool((words[trunk - 1, 2 + count :] > len(words)).any())  # old page numbers may stay; those are no data
        trunk = following
    return full


def _old_copies(database: Database, removal: int) -> list[str]:
    found = []
    for copy in copies_of(database.path):
        try:
            with explained(copy), closing(connect(copy, passphrase=database.passphrase)) as db:
                if scalar(db, "SELECT removal FROM traces") < removal:
                    found.append(f"{copy}: older than the last removal; delete it")
        except GalleryError as error:
            if copy.exists():  # otherwise another process has just removed somebody, and the copy with them
                found.append(f"{error}; delete it: the next change keeps a new one")
    return found
