"""Unknown faces: seen in photos of nobody enrolled, and kept for some days until somebody says whose they are.

Only `facerec serve --keep-unknown DAYS` keeps them. Nobody in them may have agreed to that. So they leave the gallery's
files, as in a removal: after their last day, by `expire`; all at once, or some, by `forget`; and with a person whom
they resemble when that person is removed. A face that is enrolled is unknown no more. There are at most MOST of them.
A face may be kept that was held back when it was to be enrolled: `claimed` then says as whom.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from facerec.errors import ConfigError, DamagedGalleryError, GalleryError, NotKeptError
from facerec.gallery import audit_log
from facerec.gallery.audit_log import record
from facerec.gallery.connection import Connection
from facerec.gallery.erasure import purge
from facerec.gallery.integrity import broken_unknown_faces
from facerec.gallery.leftovers import wipe
from facerec.gallery.queries import owner_of
from facerec.gallery.removed import was_removed
from facerec.gallery.schema import damaged, scalar, version_of
from facerec.gallery.store import Store
from facerec.gallery.unknown_rows import KeptFace, delete_unknown, insert_unknown, numbers_of, past, read_unknown
from facerec.photos.crops import decode_png
from facerec.types import Image, Template
from facerec.vectors import vector_fault

MOST = 1000
"""The most faces that are kept. If there are more, the oldest quarter goes at once, because each time is a rewrite."""
LONGEST = 3650


def last_day(days: int) -> str:
    """The last day (UTC, YYYY-MM-DD) of faces that are kept for so many days from now; ConfigError if not 1 to 3650."""
    if not 1 <= days <= LONGEST:
        raise ConfigError(f"`keep_unknown` must be 1 to {LONGEST} days, not {days}")
    return (datetime.now(UTC).date() + timedelta(days=days)).isoformat()


def keep(
    store: Store, photo: str, faces: Sequence[Template], until: str, claimed: str | None = None, most: int = MOST
) -> int:
    """Keep faces of one photo, each with its crop; return how many are new.

    photo: SHA-256 (hex) of the whole photo. A face that is kept already stays as it is. A face is left out that is
    enrolled, or was removed. Faces whose last day is over are forgotten, and the oldest if there are more than `most`.
    until: see `last_day`. claimed: the enrolled person as whom the faces were held back;
    UnknownPersonError if nobody has the name. GalleryError for a vector that does not fit the gallery's model.
    """
    with store.write() as db:
        person = None if claimed is None else store.person(db, claimed)
        kept = sum(insert_unknown(db, photo, face, until, person) for face in faces if _may_be_kept(db, photo, face))
        if kept:
            record(db, "unknown faces kept", faces=kept)
        too_many = numbers_of(db, newest=most - most // 4) if len(numbers_of(db)) > most else []
        gone = _forget(store, db, {*too_many, *past(db, audit_log.utc_now()[:10])})
    if gone:
        wipe(store.database)
    return kept


def kept_faces(store: Store) -> list[KeptFace]:
    """All faces that are kept, the newest first; DamagedGalleryError if one is not what was stored."""
    with store.read() as db:
        if version_of(db) > 8 and scalar(
            db, f"SELECT count(*) FROM unknown_faces WHERE {damaged(db, 'photo_hash', 'vector')}"
        ):
            raise DamagedGalleryError(f"{store.folder}: {broken_unknown_faces(db)[0]}")
        return read_unknown(db)


def how_many_kept(store: Store) -> int:
    """How many faces are kept."""
    with store.read() as db:
        return len(numbers_of(db))


def some_kept(store: Store, numbers: Sequence[int]) -> list[tuple[KeptFace, Image]]:
    """Some of the faces that are kept, and their crops. Raises as `kept_faces` and `crop_of` do."""
    kept = {face.number: face for face in kept_faces(store)}
    if not kept.keys() >= set(numbers):
        raise _forgotten(store)
    return [(kept[number], crop_of(store, number)) for number in numbers]


def crop_of(store: Store, number: int) -> Image:
    """The crop of a kept face, (S, S, 3) uint8 RGB. NotKeptError if none is kept, ImageError if it is damaged."""
    with store.read() as db:
        png = scalar(db, "SELECT png FROM unknown_faces WHERE id = ?", number) if version_of(db) > 8 else None
    if png is None:
        raise _forgotten(store)
    return decode_png(png)


def forget(store: Store, numbers: Iterable[int] | None = None) -> int:
    """Delete kept faces from all files in the folder, as a removal does; return how many. numbers: all unless given."""
    with store.write() as db:
        gone = _forget(store, db, numbers_of(db) if numbers is None else numbers)
    wipe(store.database)
    return gone


def _forgotten(store: Store) -> NotKeptError:
    return NotKeptError(f"{store.folder}: this face is not kept any more; look again at what waits")


def _forget(store: Store, db: Connection, numbers: Iterable[int]) -> int:
    gone = delete_unknown(db, numbers)
    if gone:
        purge(store, db, record(db, "unknown faces forgotten", faces=gone))
    return gone


def _may_be_kept(db: Connection, photo: str, face: Template) -> bool:
    """Whether the face fits the model, and is neither enrolled nor removed, by itself or with its photo."""
    if fault := vector_fault(face.vector[None], scalar(db, "SELECT dimension FROM gallery")):
        raise GalleryError(f"{face.source}: the face's vector {fault}; check the model (`facerec doctor`)")
    removed = was_removed(db, face.photo_hash) or was_removed(db, photo)
    return owner_of(db, face.photo_hash) is None and removed is None
