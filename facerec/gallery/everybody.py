"""Everybody in a gallery with all that sets its threshold, as one value: for figures about the whole gallery."""

import numpy as np

from facerec.errors import DamagedGalleryError
from facerec.gallery.address import Place
from facerec.gallery.connection import Connection
from facerec.gallery.integrity import require_undamaged
from facerec.gallery.queries import owners_of_all
from facerec.gallery.schema import scalar
from facerec.gallery.store import Store
from facerec.gallery.strangers import read_strangers
from facerec.gallery.vetoes import pairs_by_name
from facerec.search.people import EnrolledPeople
from facerec.types import Threshold, Vectors


def everybody(store: Store) -> EnrolledPeople:
    """Read everybody; DamagedGalleryError if a vector is not what was stored."""
    with store.read() as db:
        return read_everybody(db, store.folder)


def read_everybody(db: Connection, folder: Place) -> EnrolledPeople:
    """As `everybody`, in the caller's transaction."""
    dimension = scalar(db, "SELECT dimension FROM gallery")
    require_undamaged(db, folder)
    vectors = rows_of(db, folder, dimension, "SELECT vector FROM templates ORDER BY id")
    distance, source = db.execute("SELECT threshold, threshold_source FROM gallery").fetchone()
    limit = None if distance is None else Threshold(distance, source)
    cohort, given = (read_strangers(db, folder, dimension, kind) for kind in ("cohort", "given"))
    owners, fpir = tuple(owners_of_all(db)[1]), scalar(db, "SELECT fpir FROM gallery")
    return EnrolledPeople(vectors, owners, cohort, fpir, limit, given, pairs_by_name(db))


def rows_of(db: Connection, folder: Place, dimension: int, query: str, *values: str) -> Vectors:
    """The (N, dimension) float32 vectors that a query gives; DamagedGalleryError if one is cut off."""
    blobs = [blob for (blob,) in db.execute(query, values)]
    if any(len(blob) != 4 * dimension for blob in blobs):
        raise DamagedGalleryError(f"{folder}: a vector is cut off; `facerec gallery check` names it")
    return np.frombuffer(b"".join(blobs), "<f4").reshape(len(blobs), dimension)
