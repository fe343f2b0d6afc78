"""The rows of unknown faces (see `unknown_faces`). Each function runs in the transaction of its caller."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facerec.gallery.audit_log import utc_now
from facerec.gallery.connection import Connection
from facerec.gallery.queries import as_text
from facerec.gallery.schema import damaged, sealed, version_of
from facerec.gallery.strangers import SAME_PHOTO, near_photos, vectors_of
from facerec.photos.crops import encode_png
from facerec.types import Box, Template


@dataclass(frozen=True, eq=False, slots=True)
class KeptFace:
    """One unknown face that is kept.

    number: never given twice. photo_hash, source, box, quality, vector: as a `Template` of it has them. photo:
    SHA-256 (hex) of the whole photo. seen: when, ISO 8601 in UTC. until: the last day (UTC, YYYY-MM-DD) on which it is
    kept. claimed: the name of the person as whom it was held back, if any.
    """

    number: int
    photo_hash: str
    photo: str
    source: str
    box: Box
    quality: float
    seen: str
    until: str
    claimed: str | None
    vector: NDArray[np.float32]


def insert_unknown(db: Connection, photo: str, face: Template, until: str, claimed: int | None) -> bool:
    """Store a face, with its crop, unless it is kept; return whether it was new. claimed: a person's number."""
    assert face.crop is not None, "a face that nobody can look at is of no use"
    box, vector, png = map(float, face.box), face.vector.astype("<f4").tobytes(), encode_png(face.crop)
    row = (face.photo_hash, photo, as_text(face.source), *box, float(face.quality), utc_now(), until, claimed)
    columns = "photo_hash, photo, source, x1, y1, x2, y2, quality, seen, until, claimed, vector, png, checksum"
    values = ", ".join(f"?{number}" for number in range(1, 14))
    sql = f"INSERT INTO unknown_faces ({columns}) VALUES ({values}, {sealed('?1', '?12')}) ON CONFLICT DO NOTHING"
    return db.execute(sql, (*row, vector, png)).rowcount > 0


def read_unknown(db: Connection) -> list[KeptFace]:
    """All faces that are kept, the newest first."""
    if version_of(db) < 9:
        return []
    query = (
        "SELECT u.id, photo_hash, photo, source, x1, y1, x2, y2, quality, seen, until, name, vector "
        "FROM unknown_faces u LEFT JOIN people ON people.id = claimed ORDER BY u.id DESC"
    )
    return [
        KeptFace(
            *row[:4], box=row[4:8], quality=row[8], seen=row[9], until=row[10], claimed=row[11], vector=_row(row[12])
        )
        for row in db.execute(query)
    ]


def _row(blob: bytes) -> NDArray[np.float32]:
    return np.frombuffer(blob, "<f4")


def past(db: Connection, day: str) -> list[int]:
    """The numbers of the kept faces whose last day is before `day` (YYYY-MM-DD)."""
    if version_of(db) < 9:
        return []
    return [number for (number,) in db.execute("SELECT id FROM unknown_faces WHERE until < ? ORDER BY id", (day,))]


def resembling(db: Connection, hashes: Iterable[str], whole: bool) -> list[int]:
    """The numbers of the kept faces that must go with enrolled photos, given by their hashes.

    These are faces of the same photo. If the `whole` person goes, they are also faces within the model's threshold for
    two photos of one of theirs. A damaged face goes in any case, because nobody can tell whose it is.
    """
    if version_of(db) < 9:
        return []
    dimension, limit = db.execute("SELECT dimension, threshold FROM gallery").fetchone()
    broken = f"{damaged(db, 'photo_hash', 'vector')} OR length(vector) <> ?"
    rows = db.execute(
        f"SELECT id, CAST(vector AS BLOB), {broken} FROM unknown_faces ORDER BY id", (4 * (dimension or 0),)
    )
    sound: list[tuple[int, bytes]] = []
    gone: list[int] = []
    for number, vector, bad in rows:
        gone.append(number) if bad else sound.append((number, vector))
    if sound:
        vectors = np.frombuffer(b"".join(vector for _, vector in sound), "<f4").reshape(len(sound), dimension)
        reach = max(SAME_PHOTO, limit or 0.0) if whole else SAME_PHOTO
        near = near_photos(vectors, vectors_of(db, hashes, dimension), reach)
        gone += [number for (number, _), close in zip(sound, near, strict=True) if close]
    return gone


def delete_unknown(db: Connection, numbers: Iterable[int]) -> int:
    """Delete kept faces by their numbers; return how many."""
    return sum(db.execute("DELETE FROM unknown_faces WHERE id = ?", (number,)).rowcount for number in numbers)


def numbers_of(db: Connection, newest: int = 0) -> list[int]:
    """The numbers of all kept faces but the `newest` so many."""
    if version_of(db) < 9:
        return []
    return [number for (number,) in db.execute("SELECT id FROM unknown_faces ORDER BY id DESC")][newest:]
