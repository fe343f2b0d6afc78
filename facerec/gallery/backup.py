"""Copies of a gallery's database, kept beside it, and how a copy replaces a damaged or missing database.

A copy is first written to a draft under the database's write lock, then checked, and only then replaces the copy
before. So every copy is whole, and holds nobody who had been removed when it was made. A removal deletes all copies.
"""

import shutil
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from facerec.errors import DamagedGalleryError, GalleryError
from facerec.files import draft_of, may_write, put, unlink
from facerec.gallery import audit_log
from facerec.gallery.address import Place, folder_of
from facerec.gallery.connection import AnyDatabase, Connection
from facerec.gallery.database import Database, connect, explained, require_known, require_sound
from facerec.gallery.integrity import broken_strangers, broken_vectors, broken_vetoes, faults
from facerec.gallery.layout import KINDS, copies_of, copy_of, database_of, is_plain, mark_of, new_draft, restoring_of
from facerec.gallery.locking import alone, swap_in
from facerec.gallery.queries import count_rows
from facerec.gallery.schema import scalar
from facerec.gallery.sqlcipher import key_of

_ON_SERVER = "copy it with pg_dump, as its administrator does, and bring a copy back with pg_restore"


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of the database.

    kind: `backup` or `rollback`. made: when its content was last changed, ISO 8601 in UTC. people, templates: their
    numbers. problem: why the copy cannot be used; the numbers are then 0.
    """

    kind: str
    made: str
    people: int
    templates: int
    model_name: str | None
    problem: str | None = None


def keep_copy(database: AnyDatabase, kind: str = "backup") -> None:
    """Replace the copy of a kind with a copy of the present database.

    Does nothing on a server, whose copies are its administrator's (pg_dump), and while data of removed people still
    waits to be wiped. DamagedGalleryError if the database is damaged;
    the old copy then stays. GalleryError if the copy cannot be written.
    """
    if not isinstance(database, Database):
        return
    target = copy_of(database.path, kind)
    draft = draft_of(target)
    with explained(target), database.write() as db:
        if scalar(db, "SELECT removal > wiped FROM traces"):
            return
        try:
            unlink([draft])
            database.copy_to(draft)
            _require_whole(draft, database.path, database.passphrase)
            put(draft, target)
        finally:
            draft.unlink(missing_ok=True)


def list_copies(place: Place) -> list[Copy]:
    """Return the copies of the gallery in the folder `place`, newest first; GalleryError if the folder does not exist.

    PassphraseError if they are encrypted and no passphrase is given: without it a sound copy looks damaged.
    """
    folder = folder_of(place, _ON_SERVER)
    path = database_of(folder)
    if not folder.is_dir():
        raise GalleryError(f"{folder}: no gallery here, nor a backup of one")
    with explained(path):
        key_of(path)
        return [_described(copy) for copy in sorted(copies_of(path), key=_state, reverse=True)]


def restore(place: Place, kind: str | None = None) -> Copy:
    """Replace the database of the gallery in the folder `place` with a copy; return a description of the copy.

    kind: the copy to use, even if the database is sound. Without it, the newest whole copy is used, and only if the
    database is damaged or missing. Changes made after the copy are lost. If the process is killed, the gallery is
    either as before or restored. GalleryError if there is no such copy, nothing to restore, or another process has the
    gallery open.
    """
    folder = folder_of(place, _ON_SERVER)
    path = database_of(folder)
    with explained(path):
        if not folder.is_dir():
            raise GalleryError(f"{folder}: no gallery here, nor a backup of one")
        with alone(folder):
            writable = may_write(folder)
            if writable:
                swap_in(path)
            if kind is None and not restoring_of(path).exists() and is_sound(path):
                back = f"; `facerec gallery restore --from {KINDS[0]}` goes back all the same" if writable else ""
                raise GalleryError(f"{path}: sound, nothing to restore{back}")
            if not writable:
                raise GalleryError(f"{path}: cannot be replaced; make the gallery's folder writable, then restore")
            chosen = _chosen(path, kind)
            _stage(copy_of(path, chosen.kind), path, chosen)
            swap_in(path)
    return chosen


def is_sound(path: Path) -> bool:
    """Whether the database exists and passes every check. The caller must hold the folder with `alone`."""
    try:
        with explained(path), closing(connect(path, "mode=ro")) as db:
            if scalar(db, "PRAGMA application_id") == 0 and not count_rows(db, "sqlite_master"):
                return False  # an empty file
            require_whole(db, path)
            return True
    except DamagedGalleryError:
        return False
    except GalleryError:
        if path.exists():
            raise
        return False


def _chosen(path: Path, kind: str | None) -> Copy:
    copies = [copy for copy in list_copies(path.parent) if kind in {None, copy.kind}]
    if not copies:
        others = "`facerec gallery restore --list` shows the copies there are" if copies_of(path) else ""
        raise GalleryError(
            f"{path}: no {kind or 'backup'} beside it; {others or 'enroll again into another `gallery`'}"
        )
    whole = [copy for copy in copies if copy.problem is None]
    if not whole:
        first = _before_all_is_lost(path, copies[0].kind)
        raise DamagedGalleryError(
            f"{copies[0].problem}, as is the database; {first}enroll again into another `gallery`"
        )
    return whole[0]


def _before_all_is_lost(path: Path, kind: str) -> str:
    """What to try first with copies that look damaged but may only be encrypted."""
    if mark_of(path).exists():
        return "give the right passphrase, or "
    if is_plain(copy_of(path, kind)):
        return ""
    again = "xxd -p -l 16 gallery.db > gallery.encrypted"
    return f"if they are encrypted, their gallery.encrypted is lost: make it again in the folder (`{again}`); or else "


def _stage(copy: Path, path: Path, holds: Copy) -> None:
    """Write the copy, with an entry about the restore in its log, where `swap_in` expects it.

    From then on the restore is certain: whoever opens the gallery next finishes it.
    """
    waiting = restoring_of(path)
    draft = new_draft(waiting)
    shutil.copyfile(copy, draft)
    with closing(connect(draft, "mode=rw")) as db:
        db.execute("BEGIN IMMEDIATE")
        audit_log.record(
            db, "restored", copy=holds.kind, made=holds.made, people=holds.people, templates=holds.templates
        )
        db.execute("UPDATE gallery SET generation = hex(randomblob(16))")
        db.execute("COMMIT")
    put(draft, waiting)


def _described(copy: Path) -> Copy:
    kind, (made, _) = copy.suffix[1:], _state(copy)
    try:
        _require_whole(copy, copy)
        with explained(copy), closing(connect(copy)) as db:
            model = scalar(db, "SELECT model_name FROM gallery")
            return Copy(kind, made, count_rows(db, "people"), count_rows(db, "templates"), model)
    except DamagedGalleryError:
        other = "encrypted with another passphrase, or " if mark_of(copy).exists() else ""
        return Copy(kind, made, 0, 0, None, f"{copy}: {other}damaged")
    except GalleryError as error:
        return Copy(kind, made, 0, 0, None, str(error))


def require_whole(db: Connection, path: Path) -> None:
    """Check everything in a database; DamagedGalleryError about `path` if anything is wrong."""
    require_known(db, path)
    require_sound(db, path)
    if found := [*faults(db), *broken_vectors(db), *broken_strangers(db), *broken_vetoes(db)]:
        raise DamagedGalleryError(f"{path}: damaged ({found[0]})")


def _require_whole(copy: Path, path: Path, passphrase: str | None = None) -> None:
    with explained(path), closing(connect(copy, passphrase=passphrase)) as db:
        require_whole(db, path)


def _state(copy: Path) -> tuple[str, int]:
    """When a copy's content was last changed, and the number of its last log entry. The larger of two is the newer.

    The file's modification time is used only for a copy that cannot be read or has no log: copying a gallery's folder
    gives every file a new time.
    """
    with suppress(GalleryError), explained(copy), closing(connect(copy)) as db:
        if (changed := audit_log.last_change(db)) is not None:
            return changed
    return datetime.fromtimestamp(copy.stat().st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), 0
