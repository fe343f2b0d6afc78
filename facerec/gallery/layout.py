"""The files of a gallery's folder, by name.

    gallery.db                     the truth (with -wal and -shm beside it while it is open)
    index.faiss                    a cache: the vectors, for searching
    calibration.cache              a cache: what the calibration before found
                                   (no caches where the gallery is encrypted)
    gallery.db.backup, .rollback   whole copies of the database
    gallery.db.restoring           a copy that is taking the database's place
    gallery.encrypted              only where all of these are encrypted (see `sqlcipher`): their salt, in hexadecimal
    *.draft                        left by a killed process; whoever has the database's write lock may delete it

Whoever opens a gallery shares a lock (flock) on its folder; a restore has the folder to itself.
"""

import os
from pathlib import Path

from facerec.errors import DamagedGalleryError
from facerec.files import draft_of, unlink

KINDS = ("backup", "rollback")  # of copies: after every session that changed the gallery; before its model was changed
SALT_SIZE = 16  # bytes: what an encrypted file begins with (SQLCipher's design)
_ENDS = ("", "-journal", "-wal", "-shm")  # of a database's name, and of those of SQLite's own files for it
SQLITE_MAGIC = b"SQLite format 3\0"  # what every other one begins with


def database_of(folder: Path) -> Path:
    """The database of the gallery in `folder`."""
    return folder / "gallery.db"


def index_of(path: Path) -> Path:
    """The search index beside the database `path`."""
    return path.with_name("index.faiss")


def search_of(path: Path) -> Path:
    """What the calibration before found, beside the database `path`."""
    return path.with_name("calibration.cache")


def caches_of(path: Path) -> list[Path]:
    """The files beside the database `path` that can be made again, and hold something of the people in it."""
    return [index_of(path), search_of(path)]


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
        return file.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC


def drafts_of(path: Path) -> list[Path]:
    """What killed processes left unfinished beside the database `path`, SQLite's own files for them included."""
    kinds = (*KINDS, "restoring")
    written = (*caches_of(path), mark_of(path), *(copy_of(path, kind) for kind in kinds))
    found = (Path(f"{draft_of(file)}{end}") for file in written for end in _ENDS)
    return [draft for draft in found if draft.is_file()]


def new_draft(target: Path) -> Path:
    """Return an empty file, for the owner alone, to write a database in that is to be called `target`."""
    draft = draft_of(target)
    unlink([Path(f"{draft}{end}") for end in _ENDS])
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    return draft


def remedy(path: Path) -> str:
    """What to do about a database `path` that is damaged."""
    if copies_of(path):
        return "`facerec gallery restore` brings it back from a backup"
    return "restore the gallery from a backup, or enroll again into a new `gallery`"
