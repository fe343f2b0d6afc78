"""Strangers: vectors of people who are not enrolled. A gallery sets its threshold by them.

There are two kinds: `cohort`, which comes with the model, and `given`, which the user adds.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from facerec.errors import DamagedGalleryError
from facerec.gallery.address import Place
from facerec.gallery.connection import Connection
from facerec.gallery.integrity import RESTORE, broken_strangers
from facerec.gallery.queries import as_text
from facerec.gallery.schema import damaged, scalar, sealed, version_of
from facerec.types import Vectors

SAME_PHOTO = 1e-3  # squared distance; a vector and its float16 copy among the strangers are less than 1e-6 apart
_BLOCK = 64  # photos compared with all strangers at a time, to limit memory


def as_stored(vectors: Vectors) -> NDArray[np.float16]:
    """Return (N, D) rows as galleries store strangers: float16, half the bytes; distances change by less than 1e-3."""
    return vectors.astype("<f2")


def read_strangers(db: Connection, where: Place, dimension: int, kind: str | None = None) -> NDArray[np.float16] | None:
    """Return the (N, dimension) float16 rows of the strangers of a kind, or of both kinds; None in format 1.

    DamagedGalleryError about `where` if the rows are damaged.
    """
    if version_of(db) == 1:
        return None
    if found := broken_strangers(db, kind):
        raise DamagedGalleryError(f"{where}: {found[0]}")
    query = "SELECT vectors FROM strangers WHERE ? IN (kind, '') ORDER BY kind"
    blob = b"".join(vectors for (vectors,) in db.execute(query, (kind or "",)))
    if len(blob) % (2 * dimension):
        raise DamagedGalleryError(f"{where}: a stranger's vector is cut off; {RESTORE}")
    return np.frombuffer(blob, "<f2").reshape(-1, dimension)


def holds_strangers(db: Connection, kind: str, vectors: Vectors) -> bool:
    """Whether the stored strangers of a kind are exactly these vectors; true in format 1, which has no strangers."""
    if version_of(db) == 1:
        return True
    query = f"SELECT vectors, {damaged(db, 'kind', 'vectors')} FROM strangers WHERE kind = ?"
    return (db.execute(query, (kind,)).fetchone() or (b"", 0)) == (as_stored(vectors).tobytes(), 0)


def given_strangers(db: Connection) -> tuple[int, str]:
    """Return how many strangers the user gave, and where they come from; 0 and "" without any."""
    if version_of(db) == 1:
        return 0, ""
    query = "SELECT length(vectors) / 2 / (SELECT dimension FROM gallery), source FROM strangers WHERE kind = 'given'"
    return db.execute(query).fetchone() or (0, "")


def write_strangers(db: Connection, kind: str, source: str, vectors: Vectors) -> None:
    """Replace the strangers of a kind with (N, D) vectors; N may be 0. source: where they come from."""
    db.execute("DELETE FROM strangers WHERE kind = ?", (kind,))
    db.execute("DELETE FROM calibration")
    if len(vectors):
        row = (kind, as_text(source), as_stored(vectors).tobytes())
        checksum = sealed("?1", "?3")
        db.execute(f"INSERT INTO strangers (kind, source, vectors, checksum) VALUES (?1, ?2, ?3, {checksum})", row)


def forget_strangers(db: Connection, where: Place, hashes: Iterable[str]) -> int | None:
    """Delete the `given` strangers that are these enrolled photos; return how many strangers are left.

    A person may have been a stranger before they were enrolled. Returns None if no stranger is one of the photos.
    Damaged strangers are all deleted, because nobody can tell who is among them.
    """
    row = db.execute("SELECT source FROM strangers WHERE kind = 'given'").fetchone()
    if row is None:
        return None
    dimension = scalar(db, "SELECT dimension FROM gallery")
    try:
        given = read_strangers(db, where, dimension, "given")
    except DamagedGalleryError:  # damage must not prevent a removal
        given = None
    rows = np.zeros((0, dimension), np.float32) if given is None else given.astype(np.float32)
    kept = rows[~near_photos(rows, vectors_of(db, hashes, dimension))]
    if given is not None and len(kept) == len(given):
        return None
    write_strangers(db, "given", row[0], kept)
    return len(kept)


def vectors_of(db: Connection, hashes: Iterable[str], dimension: int) -> Vectors:
    """Return the (T, D) float32 vectors of photos, unchecked; vectors that are cut off are left out."""
    query = "SELECT CAST(vector AS BLOB) FROM templates WHERE photo_hash = ?"
    blobs = [scalar(db, query, digest) for digest in hashes]
    whole = b"".join(blob for blob in blobs if len(blob) == 4 * dimension)
    return np.frombuffer(whole, "<f4").reshape(-1, dimension)


def near_photos(rows: Vectors, vectors: Vectors, limit: float = SAME_PHOTO) -> NDArray[np.bool_]:
    """Return (N,) bool: which of the (N, D) rows are within `limit` of one of the (T, D) vectors.

    By default, those of the same photo. The work is done in blocks, because N may be tens of thousands.
    """
    same = np.zeros(len(rows), np.bool_)
    with np.errstate(over="ignore", invalid="ignore"):  # the vectors are unchecked, so they may hold any number
        squares = np.einsum("nd,nd->n", rows, rows)[:, None]
        for start in range(0, len(vectors), _BLOCK):
            some = vectors[start : start + _BLOCK]
            distances = squares - 2 * rows @ some.T + np.einsum("td,td->t", some, some)
            same |= (distances <= limit).any(axis=1)
    return same
