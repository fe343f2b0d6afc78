"""The files of a gallery's folder, by name.

    gallery.db                     the truth (with -wal and -shm beside it while it is open)
    people.cache                   a cache: the people and their vectors, for searching; changed in place
    index.faiss                    what older versions had instead of people.cache
    codes.cache                    a cache: short codes of many people, for searching; removals change it in place
    calibration.cache              a cache: the distances that the last calibration found
                                   (an encrypted gallery has no caches)
    gallery.index                  where the engine is that searches this gallery's people, if there is one
    gallery.db.backup, .rollback   whole copies of the database
    gallery.db.restoring           a copy that is about to replace the database
    gallery.encrypted              only in an encrypted gallery (see `sqlcipher`): the files' salt, in hexadecimal
    *.draft                        an unfinished file of a killed process; the holder of the database's write lock may
                                   delete it

The caches of a gallery on a server are in a folder of the user's cache, with `removal`: the last removal they know of.

Every process that has a gallery open holds a shared lock (flock) on its folder. A restore holds an exclusive one.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from facerec.errors import DamagedGalleryError, GalleryError
from facerec.files import draft_of, unlink
from facerec.gallery.address import Place, ServerAddress

KINDS = ("backup", "rollback")  # kinds of copies: made after a session with changes; made before a change of model
BLOCK = 1 << 22  # bytes of a file in memory at once
SALT_SIZE = 16  # bytes at the beginning of an encrypted file (SQLCipher's design)
_ENDS = ("", "-journal", "-wal", "-shm")  # what SQLite appends to a database's name for its own files
SQLITE_MAGIC = b"SQLite format 3\0"  # the first bytes of a file that is not encrypted


def database_of(folder: Path) -> Path:
    """The database of the gallery in `folder`."""
    return folder / "gallery.db"


def is_there(place: Place) -> bool:
    """Whether there is a gallery at a place; GalleryError for a server that does not answer."""
    if isinstance(place, ServerAddress):
        from facerec.gallery.server_connection import has_gallery  # psycopg is slow to import

        return has_gallery(place)
    return database_of(place).exists()


def require_gallery(place: Place) -> None:
    """Raise GalleryError if there is neither a gallery at a place, nor a copy of one."""
    if isinstance(place, ServerAddress):
        if not is_there(place):
            raise nothing_at(place)
        return
    path = database_of(place)
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        if not copies_of(path) and not restoring_of(path).is_file():
            raise nothing_here(path) from error
    except (OSError, ValueError):  # whoever opens it says what is wrong
        pass


def nothing_here(path: Path) -> GalleryError:
    """The error where there is no database `path`."""
    return nothing_at(path.parent)


def nothing_at(place: Place) -> GalleryError:
    """The error where there is no gallery at a place."""
    return GalleryError(f"{place}: no gallery here; make one with `facerec enroll`")


def people_of(path: Path) -> Path:
    """The people and their vectors beside the database `path`."""
    return path.with_name("people.cache")


def older_index_of(path: Path) -> Path:
    """The search index that older versions kept beside the database `path`."""
    return path.with_name("index.faiss")


def search_of(path: Path) -> Path:
    """The distances that the last calibration found, beside the database `path`."""
    return path.with_name("calibration.cache")


def codes_of(path: Path) -> Path:
    """The codes of many people, beside the database `path`."""
    return path.with_name("codes.cache")


def engine_of(path: Path) -> Path:
    """The note of the engine that searches the people of the database `path` (`search_engine`)."""
    return path.with_name("gallery.index")


def caches_of(path: Path) -> list[Path]:
    """The files beside the database `path` that can be made again but hold data about its people."""
    return [people_of(path), older_index_of(path), codes_of(path), search_of(path)]


def removal_of(path: Path) -> Path:
    """The last removal that the caches beside `path` know of; only for a gallery on a server."""
    return path.with_name("removal")


def copy_of(path: Path, kind: str) -> Path:
    """The copy of a kind beside the database `path`."""
    return path.with_name(f"{path.name}.{kind}")


def restoring_of(path: Path) -> Path:
    """The copy that waits to replace the database `path`. While it exists, nobody opens the gallery."""
    return path.with_name(f"{path.name}.restoring")


def copies_of(path: Path) -> list[Path]:
    """The existing copies of the database `path`."""
    return [copy for kind in KINDS if (copy := copy_of(path, kind)).is_file()]


def mark_of(path: Path) -> Path:
    """The mark: a file that says that the database `path` and every other one in its folder is encrypted."""
    return path.with_name("gallery.encrypted")


def salt_of(path: Path) -> bytes | None:
    """The salt of the databases in the folder of `path`; None if they are not encrypted.

    DamagedGalleryError if the mark is damaged. The salt is read from the mark, never from a database: closing a file
    would release the locks that SQLite holds on it in the same process.
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
    """Whether a file begins as an unencrypted database does. This process must not have the file open."""
    with path.open("rb") as file:
        return file.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC


def drafts_of(path: Path) -> list[Path]:
    """The unfinished files of killed processes beside the database `path`, with SQLite's own files for them."""
    kinds = (*KINDS, "restoring")
    written = (*caches_of(path), engine_of(path), mark_of(path), *(copy_of(path, kind) for kind in kinds))
    found = (Path(f"{draft_of(file)}{end}") for file in written for end in _ENDS)
    return [draft for draft in found if draft.is_file()]


def blocks_of(path: Path) -> Iterator[bytes]:
    """The bytes of a file, block by block."""
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield block


def new_draft(target: Path) -> Path:
    """Make an empty file that only its owner can read, for a database that will be renamed to `target`."""
    draft = draft_of(target)
    unlink([Path(f"{draft}{end}") for end in _ENDS])
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    return draft


def remedy(path: Path) -> str:
    """What to do about a database `path` that is damaged."""
    if copies_of(path):
        return "`facerec gallery restore` brings it back from a backup"
    return "restore the gallery from a backup, or enroll again into a new `gallery`"
