"""Everybody in a gallery as they are searched: in memory, in the index file, and made from the database.

The database names its state by a generation, drawn anew with every change that a search could see. What is in memory
and in the index file is stamped with the generation it was read at; of another generation it is not used as it is.
"""

import sqlite3
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerec.errors import DamagedGalleryError, GalleryError
from facerec.gallery.calibration_cache import load_search
from facerec.gallery.integrity import require_undamaged
from facerec.gallery.model import dimension_of
from facerec.gallery.queries import generation_of, owners_of_all
from facerec.gallery.store import Store
from facerec.search.index import FlatIndex
from facerec.search.people import PeopleIndex
from facerec.search.standing import StandingSearch
from facerec.types import Vectors


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
        self._search: StandingSearch | None = None

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
                save(store, people, generation)
        return people

    def search(self) -> StandingSearch:
        """Return the search by which the threshold is set, with what this process or an earlier one found."""
        if self._search is None:
            self._search = load_search(self._store)
        return self._search

    def add(self, before: str, after: str, template: int, person: str, vector: NDArray[np.float32]) -> None:
        """Take note of a template that was added in a transaction which led from one generation to another.

        template: its number in the database. Where others changed the gallery since it was read, `current` sees to it.
        """
        if self._people is not None and self.generation == before:
            self._people.add(np.array([template]), [person], vector[None])
            self.generation = after


def from_database(db: sqlite3.Connection, folder: Path, dimension: int) -> PeopleIndex:
    """Everybody in the database; DamagedGalleryError, about `folder`, if a vector is not what was stored."""
    return _refreshed(db, folder, PeopleIndex.nobody(dimension))


def save(store: Store, people: PeopleIndex, generation: str) -> None:
    """Write the index file, if the gallery is still of the people's generation. An encrypted gallery keeps none."""
    if store.database.encrypted:
        return
    index = FlatIndex(people.dimension)
    index.add(people.ids, people.vectors)
    with store.write() as db:  # the lock keeps vectors that are just being removed from coming back
        if generation_of(db) == generation:
            index.save(store.index_path, generation)


def _from_file(store: Store, db: sqlite3.Connection, generation: str) -> PeopleIndex | None:
    """Everybody by the index file, None if it is not of this generation or not of these templates."""
    if store.database.encrypted:  # nothing of it is kept in the open
        return None
    index, (ids, owners) = FlatIndex.load(store.index_path, generation), owners_of_all(db)
    if index is None or not np.array_equal(index.ids, ids):
        return None
    return PeopleIndex(ids, owners, index.vectors(ids))


def _refreshed(db: sqlite3.Connection, folder: Path, known: PeopleIndex) -> PeopleIndex:
    """Bring people up to date, in place where some were only added. Ids are never used twice: new ones are higher."""
    ids, owners = owners_of_all(db)
    last = int(known.ids[-1]) if len(known.ids) else 0
    new, kept = _vectors_after(db, folder, last, known.dimension), int((ids <= last).sum())
    if len(new) != len(ids) - kept:
        raise _cut_off(folder)
    if np.array_equal(ids[:kept], known.ids) and owners[:kept] == known.owners():
        known.add(ids[kept:], owners[kept:], new)
        return known
    old = known.vectors[np.searchsorted(known.ids, ids[:kept])]
    return PeopleIndex(ids, owners, np.concatenate([old, new]))


def _vectors_after(db: sqlite3.Connection, folder: Path, last: int, dimension: int) -> Vectors:
    """(N, D): the vectors of the templates whose numbers are above `last`, in their order."""
    blobs = [blob for (blob,) in db.execute("SELECT vector FROM templates WHERE id > ? ORDER BY id", (last,))]
    if any(len(blob) != 4 * dimension for blob in blobs):
        raise _cut_off(folder)
    require_undamaged(db, folder, last)
    return np.frombuffer(b"".join(blobs), "<f4").reshape(len(blobs), dimension)


def _cut_off(folder: Path) -> DamagedGalleryError:
    return DamagedGalleryError(f"{folder}: a vector is cut off or nobody's; `facerec gallery check` names it")
