"""Finding and wiping what a removal or a killed process left in a gallery's files.

Data of removed people may still be on the database's free pages, in its write-ahead log and in its copies.
"""

import logging
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import numpy as np

from facerec.errors import GalleryError
from facerec.files import unlink
from facerec.gallery.database import Database, connect, explained
from facerec.gallery.layout import copies_of, drafts_of, people_of, salt_of
from facerec.gallery.people_file import PeopleFile
from facerec.gallery.queries import generation_of
from facerec.gallery.schema import scalar, version_of

log = logging.getLogger(__name__)


def finish(database: Database) -> None:
    """Finish what killed processes left undone, if the gallery may be written."""
    drop_drafts(database)
    if database.writable:
        _cut_people(database)
        wipe(database)


def drop_drafts(database: Database) -> list[Path]:
    """Delete the drafts of killed processes; return those that cannot be deleted."""
    path = database.path
    if not drafts_of(path) or not database.writable:
        return drafts_of(path)
    with suppress(GalleryError), database.write():  # a living process that writes a draft holds this lock
        unlink(drafts_of(path))
        return []
    return drafts_of(path)


def _cut_people(database: Database) -> None:
    """Take off the end of the people's file that a killed process wrote before a commit that never came."""
    file = PeopleFile(people_of(database.path))
    with database.glance() as db:
        astray = file.goes_beyond(generation_of(db))
    if astray:
        with suppress(GalleryError), database.hold() as db:  # another process may just have been about to commit
            file.cut_after(generation_of(db))


def wipe(database: Database) -> None:
    """Rewrite the database if somebody was removed since the last rewrite; log a warning if that fails."""
    try:
        with database.glance() as db:
            removal = pending(db)
        if removal and not database.compact():
            raise GalleryError(f"{database.path.parent}: another process is reading it; wait until it is done")
        if removal:
            with database.write() as db:
                db.execute("UPDATE traces SET wiped = max(wiped, ?)", (removal,))
    except GalleryError as error:
        log.warning("data of removed people is left: %s. After that `facerec gallery check` wipes it", error)


def pending(db: sqlite3.Connection) -> int:
    """The log's number of the last removal if removed data may still be in the files; otherwise 0."""
    if version_of(db) < 3:
        return 0
    return scalar(db, "SELECT CASE WHEN removal > wiped THEN removal ELSE 0 END FROM traces")


def remains(database: Database, db: sqlite3.Connection) -> list[str]:
    """Everything that may still hold data removed from the database, one line each. db: its open transaction."""
    path = database.path
    if version_of(db) < 3:
        return []
    found = []
    if pending(db):
        found.append(f"{path}: data of removed people may be left in it; close what else uses it and check again")
    found += _free_pages(db, path)
    return found + _old_copies(database, scalar(db, "SELECT removal FROM traces"))


def _free_pages(db: sqlite3.Connection, path: Path) -> list[str]:
    """Free pages that may hold data. Those of an encrypted file cannot be read, so all of them count."""
    if salt_of(path) is not None:
        free = scalar(db, "PRAGMA freelist_count")
        return [f"{path}: {free} free pages may hold something; run `facerec gallery rebuild`"] if free else []
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
