"""Everybody in a gallery as they are searched: in memory, in the index file, and made from the database.

The database names its state by a generation, drawn anew with every change that a search could see. What is in memory
and in the index file is stamped with the generation it was read at; of another generation it is not used as it is.
"""

import sqlite3
from contextlib import suppress
from pathlib import Path

import numpy as np

from facerec.errors import DamagedGalleryError, GalleryError
from facerec.gallery.integrity import require_undamaged
from facerec.gallery.model import dimension_of
from facerec.gallery.queries import generation_of, owners_of_all
from facerec.gallery.store import Store
from facerec.search.index import FlatIndex, Index
from facerec.search.people import PeopleIndex


class PeopleCache:
    """The people of a gallery of one model, kept in memory and brought up to date when the gallery changed.

    Whoever uses what `current` returns has the store's lock: the next call changes it in place.
    fingerprint: the model's. generation: the state of the database that what is in memory was read at.
    """

    def __init__(self, store: Store, fingerprint: str) -> None:
        """Nothing is read yet."""
        self._store = store
        self.fingerprint = fingerprint
        self.generation = ""
        self._people: PeopleIndex | None = None

    def current(self) -> PeopleIndex:
        """Return everybody as of the database's present generation, reading only what is new.

        ForeignModelError if another process gave the gallery another model meanwhile.
        """
        known, store = self._people, self._store
        with store.read() as db:
            dimension, generation = dimension_of(db, store.folder, self.fingerprint), generation_of(db)
            if known is not None and self.generation == generation:
                return known
            cached = _from_file(store, db, generation) if known is None else None
            people = cached or _refreshed(db, store.folder, known or PeopleIndex.nobody(dimension))
        self._people, self.generation = people, generation
        if known is None and cached is None:
            with suppress(GalleryError):  # a cache that cannot be written costs time, not truth
                save(store, people.index, generation)
        return people


def from_database(db: sqlite3.Connection, folder: Path, dimension: int) -> PeopleIndex:
    """Everybody in the database; DamagedGalleryError, about `folder`, if a vector is not what was stored."""
    return _refreshed(db, folder, PeopleIndex.nobody(dimension))


def save(store: Store, index: Index, generation: str) -> None:
    """Write the index file, if the gallery is still of the index's generation. An encrypted gallery keeps none."""
    if store.database.encrypted:
        return
    with store.write() as db:  # the lock keeps vectors that are just being removed from coming back
        if generation_of(db) == generation:
            index.save(store.index_path, generation)


def _from_file(store: Store, db: sqlite3.Connection, generation: str) -> PeopleIndex | None:
    """Everybody by the index file, None if it is not of this generation or not of these templates."""
    if store.database.encrypted:  # nothing of it is kept in the open
        return None
    index, (ids, owners) = FlatIndex.load(store.index_path, generation), owners_of_all(db)
    return PeopleIndex(index, ids, owners) if index is not None and np.array_equal(index.ids, ids) else None


def _refreshed(db: sqlite3.Connection, folder: Path, known: PeopleIndex) -> PeopleIndex:
    """Bring an index up to date, in place. Ids are never used twice, so new templates have higher ones."""
    ids, owners = owners_of_all(db)
    last = int(known.ids[-1]) if len(known.ids) else 0
    blobs = [blob for (blob,) in db.execute("SELECT vector FROM templates WHERE id > ? ORDER BY id", (last,))]
    if len(blobs) != (ids > last).sum() or any(len(blob) != 4 * known.index.dimension for blob in blobs):
        raise DamagedGalleryError(f"{folder}: a vector is cut off or nobody's; `facerec gallery check` names it")
    require_undamaged(db, folder, last)
    known.index.remove(np.setdiff1d(known.ids, ids))
    new = np.frombuffer(b"".join(blobs), "<f4").reshape(len(blobs), known.index.dimension)
    known.index.add(ids[ids > last], new)
    return PeopleIndex(known.index, ids, owners)
