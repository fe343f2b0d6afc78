"""The people of a gallery, ready to search: in memory, in the people's file, and read from the database.

The database names its state by a generation, a random text that every change visible to a search replaces. The people
in memory and the file carry the generation they were read at. With another generation they are brought up to
date or made again before use.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from facerec.errors import DamagedGalleryError, GalleryError
from facerec.files import unlink
from facerec.gallery.calibration_cache import load_search
from facerec.gallery.codes_cache import give_codes
from facerec.gallery.integrity import require_undamaged
from facerec.gallery.layout import older_index_of
from facerec.gallery.model import dimension_of
from facerec.gallery.people_file import load_people, save_people
from facerec.gallery.queries import generation_of, owners_of_all
from facerec.gallery.store import Store
from facerec.gallery.vetoed_faces import State, VetoedFaces, state_of
from facerec.gallery.vetoes import pairs_by_name
from facerec.search.index import Ids
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
        self._coded: PeopleIndex | None = None  # the people who were given their codes last
        self._search: StandingSearch | None = None

    def current(self) -> PeopleIndex:
        """Return everybody at the database's present generation, reading only what is new; bring `vetoed` up to date.

        ForeignModelError if another process has given the gallery another model.
        """
        with self._store.glance() as db:
            people = self._at_hand(db)
        people = self._read() if people is None else people
        if people is not self._coded:
            known, self._coded = self._coded and self._coded.kept_codes(), people
            give_codes(self._store, people, self.fingerprint, self.generation, known)
        return people

    def _at_hand(self, db: sqlite3.Connection) -> PeopleIndex | None:
        """Everybody at the present generation, if memory or the file has them; None where `vetoed` must be read."""
        generation, state = self._state_of(db)
        if self.vetoed.state != state:
            if state[1]:
                return None  # the vetoes name people
            self.vetoed = VetoedFaces(state, {})
        if self._people is None:
            self._people, self.generation = from_file(self._store, generation), generation
        return self._people if self.generation == generation else None

    def _read(self) -> PeopleIndex:
        """Everybody at the present generation, with what the database has anew."""
        known, store = self._people, self._store
        with store.read() as db:
            generation, state = self._state_of(db)
            if self.vetoed.state != state:
                self.vetoed = VetoedFaces.read(db, store.folder, state)
            if known is not None and self.generation == generation:
                return known
            cached = from_file(store, generation) if known is None else None
            self._people = None  # not to be used if Ctrl-C leaves the change below half made
            people = cached or _refreshed(db, store.folder, known or PeopleIndex.nobody(self._dimension(db)))
        self._people, self.generation = people, generation
        if known is None and cached is None:
            with suppress(GalleryError):  # without the cache the next opening is slower, but not wrong
                save(store, people, generation)
        return people

    def _state_of(self, db: sqlite3.Connection) -> tuple[str, State]:
        """The database's generation, and the state of its vetoes."""
        self._dimension(db)  # refuses another model
        return (generation := generation_of(db)), state_of(db, generation)

    def _dimension(self, db: sqlite3.Connection) -> int:
        return dimension_of(db, self._store.folder, self.fingerprint)

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
    """Write the people's file if the gallery still is at this generation. An encrypted gallery keeps no such file."""
    if store.database.encrypted:
        return
    with store.write() as db:  # the lock is held, so vectors being removed cannot be written after their removal
        if generation_of(db) == generation:
            save_people(store.people_path, generation, people)
            unlink([older_index_of(store.database.path)])


def from_file(store: Store, generation: str) -> PeopleIndex | None:
    """Everybody as the people's file has them; None if it is of another generation. An encrypted gallery has none."""
    return None if store.database.encrypted else load_people(store.people_path, generation)


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
