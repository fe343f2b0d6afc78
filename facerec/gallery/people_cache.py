"""The people of a gallery, ready to search: in memory, in the index file, and read from the database.

The database names its state by a generation, a random text that every change visible to a search replaces. The people
in memory and the index file carry the generation they were read at. With another generation they are brought up to
date or made again before use.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from facerec.errors import DamagedGalleryError, GalleryError
from facerec.gallery.calibration_cache import load_search
from facerec.gallery.integrity import require_undamaged
from facerec.gallery.model import dimension_of
from facerec.gallery.queries import generation_of, owners_of_all
from facerec.gallery.store import Store
from facerec.gallery.vetoed_faces import VetoedFaces, state_of
from facerec.gallery.vetoes import pairs_by_name
from facerec.search.index import FlatIndex, Ids
from facerec.search.people import PeopleIndex
from facerec.search.standing import StandingSearch
from facerec.types import Vectors


class PeopleCache:
    """The people of a gallery, kept in memory and brought up to date when the gallery changed.

    Hold the store's lock while you use the result of `current`: the next call changes it in place. fingerprint: the
    model's. generation: the state of the database at which the people in memory were read. vetoed: the faces that were
    said not to be them, at the last call of `current`.
    """

    def __init__(self, store: Store, fingerprint: str) -> None:
        """Read nothing yet."""
        self._store = store
        self.fingerprint = fingerprint
        self.generation = ""
        self.vetoed = VetoedFaces(("", 0, 0), {})
        self._people: PeopleIndex | None = None
        self._search: StandingSearch | None = None

    def current(self) -> PeopleIndex:
        """Return everybody at the database's present generation, reading only what is new; bring `vetoed` up to date.

        ForeignModelError if another process has given the gallery another model.
        """
        known, store = self._people, self._store
        with store.read() as db:
            dimension, generation = dimension_of(db, store.folder, self.fingerprint), generation_of(db)
            if self.vetoed.state != (state := state_of(db, generation)):
                self.vetoed = VetoedFaces.read(db, store.folder, state)
            if known is not None and self.generation == generation:
                return known
            cached = _from_file(store, db, generation) if known is None else None
            self._people = None  # not to be used if Ctrl-C leaves the change below half made
            people = cached or _refreshed(db, store.folder, known or PeopleIndex.nobody(dimension))
        self._people, self.generation = people, generation
        if known is None and cached is None:
            with suppress(GalleryError):  # without the cache the next opening is slower, but not wrong
                save(store, people, generation)
        return people

    def apart(self) -> set[frozenset[str]]:
        """Return the pairs of people who were said to be two, by the names of the people in memory."""
        while True:
            self.current()
            with self._store.read() as db:
                if generation_of(db) == self.generation:
                    return pairs_by_name(db)

    def search(self) -> StandingSearch:
        """Return the calibration's search, with the distances that this process or an earlier one found."""
        if self._search is None:
            self._search = load_search(self._store)
        return self._search

    def add(self, before: str, after: str, ids: Ids, owners: Sequence[str], vectors: Vectors) -> None:
        """Add templates that were just enrolled to the people in memory; the arguments are those of `PeopleIndex.add`.

        before, after: the generations around the transaction that enrolled them. ids: their numbers in the database.
        Does nothing if the people in memory are not of the generation `before`; `current` then reads what is new.
        """
        people, self._people = self._people, None  # not to be used if Ctrl-C leaves the change half made
        if people is not None and self.generation == before:
            people.add(ids, owners, vectors)
            self.generation = after
        self._people = people


def from_database(db: sqlite3.Connection, folder: Path, dimension: int) -> PeopleIndex:
    """Read everybody from the database; DamagedGalleryError about `folder` if a vector is not what was stored."""
    return _refreshed(db, folder, PeopleIndex.nobody(dimension))


def save(store: Store, people: PeopleIndex, generation: str) -> None:
    """Write the index file if the gallery still is at this generation. An encrypted gallery keeps no index file."""
    if store.database.encrypted:
        return
    index = FlatIndex(people.dimension)
    index.add(people.ids, people.vectors)
    with store.write() as db:  # the lock is held, so vectors being removed cannot be written after their removal
        if generation_of(db) == generation:
            index.save(store.index_path, generation)


def _from_file(store: Store, db: sqlite3.Connection, generation: str) -> PeopleIndex | None:
    """Read everybody from the index file; None if it is of another generation or has other templates."""
    if store.database.encrypted:  # an encrypted gallery keeps no unencrypted index file
        return None
    index, (ids, owners) = FlatIndex.load(store.index_path, generation), owners_of_all(db)
    if index is None or not np.array_equal(index.ids, ids):
        return None
    return PeopleIndex(ids, owners, index.vectors(ids))


def _refreshed(db: sqlite3.Connection, folder: Path, known: PeopleIndex) -> PeopleIndex:
    """Bring people up to date; in place if templates were only added.

    Template ids are never used twice, so new ones are higher.
    """
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
    """Return the (N, D) float32 vectors of the templates with ids above `last`, in the order of the ids."""
    blobs = [blob for (blob,) in db.execute("SELECT vector FROM templates WHERE id > ? ORDER BY id", (last,))]
    if any(len(blob) != 4 * dimension for blob in blobs):
        raise _cut_off(folder)
    require_undamaged(db, folder, last)
    return np.frombuffer(b"".join(blobs), "<f4").reshape(len(blobs), dimension)


def _cut_off(folder: Path) -> DamagedGalleryError:
    return DamagedGalleryError(f"{folder}: a vector is cut off or belongs to nobody; `facerec gallery check` names it")
