"""The strangers by whom a gallery sets its threshold: vectors of people who are not enrolled."""

import os
import sqlite3
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerec.errors import DamagedGalleryError
from facerec.gallery.integrity import broken_strangers
from facerec.gallery.layout import remedy
from facerec.gallery.queries import as_text
from facerec.gallery.schema import damaged, scalar, sealed, version_of
from facerec.types import Vectors

SAME_PHOTO = 1e-3  # squared distance: a photo's vector and the same as strangers are stored are less than 1e-6 apart


_BLOCK = 64  # photos whose distances to all strangers are in memory together


def as_stored(vectors: Vectors) -> NDArray[np.float16]:
    """Rows as galleries keep strangers: half the bytes, distances off by less than a thousandth."""
    return vectors.astype("<f2")


def read_strangers(db: sqlite3.Connection, dimension: int, kind: str | None = None) -> NDArray[np.float16] | None:
    """The (N, dimension) rows of strangers of a kind, or of all; None where the gallery's format knows none."""
    if version_of(db) == 1:
        return None
    file = scalar(db, "SELECT CAST(file AS BLOB) FROM pragma_database_list WHERE name = 'main'")
    path = Path(os.fsdecode(file))  # as bytes: a folder's name need not be UTF-8, as SQLite's text must
    if found := broken_strangers(db, kind):
        raise DamagedGalleryError(f"{path}: {found[0]}")
    query = "SELECT vectors FROM strangers WHERE ? IN (kind, '') ORDER BY kind"
    blob = b"".join(vectors for (vectors,) in db.execute(query, (kind or "",)))
    if len(blob) % (2 * dimension):
        raise DamagedGalleryError(f"{path}: a stranger's vector is cut off; {remedy(path)}")
    return np.frombuffer(blob, "<f2").reshape(-1, dimension)


def holds_strangers(db: sqlite3.Connection, kind: str, vectors: Vectors) -> bool:
    """Whether the strangers of a kind are just these, or the gallery's format knows none."""
    if version_of(db) == 1:
        return True
    query = f"SELECT vectors, {damaged(db, 'kind', 'vectors')} FROM strangers WHERE kind = ?"
    return (db.execute(query, (kind,)).fetchone() or (b"", 0)) == (as_stored(vectors).tobytes(), 0)


def write_strangers(db: sqlite3.Connection, kind: str, source: str, vectors: Vectors) -> None:
    """Replace the strangers of a kind."""
    db.execute("DELETE FROM strangers WHERE kind = ?", (kind,))
    db.execute("DELETE FROM calibration")
    if len(vectors):
        row = (kind, as_text(source), as_stored(vectors).tobytes())
        checksum = sealed("?1", "?3")
        db.execute(f"INSERT INTO strangers (kind, source, vectors, checksum) VALUES (?1, ?2, ?3, {checksum})", row)


def forget_strangers(db: sqlite3.Connection, person: int) -> int | None:
    """Drop the strangers given that are photos of a person's, who was a visitor once; returns how many are left.

    None: none of them is. Those that are damaged all go, since it cannot be told who is among them.
    """
    row = db.execute("SELECT source FROM strangers WHERE kind = 'given'").fetchone()
    if row is None:
        return None
    dimension = scalar(db, "SELECT dimension FROM gallery")
    try:
        given = read_strangers(db, dimension, "given")
    except DamagedGalleryError:  # which must not keep anybody from being removed
        given = None
    rows = np.zeros((0, dimension), np.float32) if given is None else given.astype(np.float32)
    kept = rows[~_same_photos(rows, _vectors_of(db, person, dimension))]
    if given is not None and len(kept) == len(given):
        return None
    write_strangers(db, "given", row[0], kept)
    return len(kept)


def _vectors_of(db: sqlite3.Connection, person: int, dimension: int) -> Vectors:
    """The (T, D) vectors of a person's photos, as they are; without those that are cut off."""
    blobs = db.execute("SELECT CAST(vector AS BLOB) FROM templates WHERE person = ?", (person,))
    whole = b"".join(blob for (blob,) in blobs if len(blob) == 4 * dimension)
    return np.frombuffer(whole, "<f4").reshape(-1, dimension)


def _same_photos(rows: Vectors, vectors: Vectors) -> NDArray[np.bool_]:
    """Which of (N, D) rows are of the same photo as one of (T, D) vectors; in blocks: N may be tens of thousands."""
    same = np.zeros(len(rows), np.bool_)
    with np.errstate(over="ignore", invalid="ignore"):  # damaged bytes may be any number
        squares = np.einsum("nd,nd->n", rows, rows)[:, None]
        for start in range(0, len(vectors), _BLOCK):
            some = vectors[start : start + _BLOCK]
            distances = squares - 2 * rows @ some.T + np.einsum("td,td->t", some, some)
            same |= (distances <= SAME_PHOTO).any(axis=1)
    return same
