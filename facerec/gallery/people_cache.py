"""The people of a gallery, ready to search: in memory, in the people's file, and read from the database.

The database names its state by a generation, a random text that every change visible to a search replaces. The people
in memory and the file carry the generation they were read at. With another generation they are brought up to
date or made again before use. Whoever enrolls or removes somebody changes the file, too, in the same transaction.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import numpy as np

from facerec.errors import DamagedGalleryError, GalleryError
from facerec.files import unlink
from facerec.gallery.address import Place
from facerec.gallery.calibration_cache import load_search
from facerec.gallery.codes_cache import give_codes
from facerec.gallery.connection import Connection
from facerec.gallery.integrity import require_undamaged
from facerec.gallery.layout import older_index_of
from facerec.gallery.leftovers import drop_stale
from facerec.gallery.model import dimension_of
from facerec.gallery.people_changes import Change, apply
from facerec.gallery.queries import generation_of, owners_of_all
from facerec.gallery.store import Store
from facerec.gallery.vetoed_faces import State, VetoedFaces, state_of
from facerec.gallery.vetoes import pairs_by_name
from facerec.search.engine import EngineChangedError
from facerec.search.people import PeopleIndex
from facerec.search.rows import DamagedRowsError
from facerec.search.standing import StandingSearch
from facerec.types import Vectors

Answer = TypeVar("Answer")


class PeopleCache:
    """The people of a gallery, kept in memory and brought up to date when the gallery changed.

    Hold the store's lock while you use the people: the next call of `ask` changes them in place. fingerprint: the
    model's. generation: the state of the database at which the people in memory were read. vetoed: the faces that were
    said not to be them, at the last call of `ask`.
    """

    def __init__(self, store: Store, fingerprint: str) -> None:
        """Read nothing yet."""
        self._store = store
        self.fingerprint = fingerprint
        self.generation = ""
        self.vetoed = VetoedFaces(("", 0, 0), {})
        self._people: PeopleIndex | None = None
        self._coded: PeopleIndex | None = None  # the people who were given their codes last
        self._damaged = False  # whether the file was found to be
        self._search: StandingSearch | None = None

    def ask(self, question: Callable[[PeopleIndex], Answer]) -> Answer:
        """Return the answer of everybody at the database's present generation; bring `vetoed` up to date, too.

        Only what is new is read. Where the file turns out to be damaged, everybody is read from the database, and the
        question is asked again. ForeignModelError if another process has given the gallery another model.
        """
        try:
            return question(self._current())
        except DamagedRowsError:
            self._people, self._coded, self._damaged = None, None, True
            return question(self._current())
        except EngineChangedError:  # by another process, which has changed the gallery, too
            if self._people is not None:
                self._people.search_by(None)
            return question(self._current())

    def _current(self) -> PeopleIndex:
        with self._store.glance() as db:
            people = self._at_hand(db)
        people = self._read() if people is None else people
        by_engine = self._store.engine.attach(people, self.fingerprint, self.generation)
        if people is not self._coded:
            if not by_engine:
                known = self._coded and self._coded.kept_codes()
                give_codes(self._store, people, self.fingerprint, self.generation, known)
            self._coded = people
            if self._store.people_file.is_long:
                self._save(people)
        return people

    def _at_hand(self, db: Connection) -> PeopleIndex | None:
        """Everybody at the present generation, if memory or the file has them; None where `vetoed` must be read."""
        generation, state = self._state_of(db)
        if self.generation != generation:
            drop_stale(self._store.database, db)
        self._catch_up(generation)
        if self.vetoed.state != state:
            if state[1]:
                return None  # the vetoes name people
            self.vetoed = VetoedFaces(state, {})
        return self._people if self.generation == generation else None

    def _catch_up(self, generation: str) -> None:
        """Bring the people in memory to this generation by the file, if it can tell."""
        if self._people is None and not self._damaged:
            self._people, self.generation = from_file(self._store, generation), generation
        elif self._people is not None and self.generation != generation and not self._store.database.encrypted:
            changes = self._store.people_file.changes(self.generation, generation)
            if changes is not None:
                people, self._people = self._people, None  # not to be used if Ctrl-C leaves the change half made
                apply(changes, people)
                self._people, self.generation = people, generation

    def _read(self) -> PeopleIndex:
        """Everybody at the present generation, with what the database has anew."""
        store = self._store
        with store.read() as db:
            generation, state = self._state_of(db)
            if self.vetoed.state != state:
                self.vetoed = VetoedFaces.read(db, store.folder, state)
            self._catch_up(generation)
            known = self._people
            if known is not None and self.generation == generation:
                return known
            self._people = None  # not to be used if Ctrl-C leaves the change below half made
            people = _refreshed(db, store.folder, known or PeopleIndex.nobody(self._dimension(db)))
        self._people, self.generation = people, generation
        if known is None:
            self._save(people)
        return people

    def _save(self, people: PeopleIndex) -> None:
        with suppress(GalleryError):  # without the file the next opening is slower, but not wrong
            save(self._store, people, self.generation)

    def _state_of(self, db: Connection) -> tuple[str, State]:
        """The database's generation, and the state of its vetoes."""
        self._dimension(db)  # refuses another model
        return (generation := generation_of(db)), state_of(db, generation)

    def _dimension(self, db: Connection) -> int:
        return dimension_of(db, self._store.folder, self.fingerprint)

    def apart(self) -> set[frozenset[str]]:
        """Return the pairs of people who were said to be two, by the names of the people in memory."""
        while True:
            self.ask(lambda _: None)
            with self._store.read() as db:
                if generation_of(db) == self.generation:
                    return pairs_by_name(db)

    def search(self) -> StandingSearch:
        """Return the calibration's search, with the distances that this process or an earlier one found."""
        if self._search is None:
            self._search = load_search(self._store)
        return self._search

    def add(self, before: str, change: Change) -> None:
        """Add templates that were just enrolled to the people in memory. before: the generation before the change.

        Does nothing if the people in memory are not of that generation; `ask` then reads what is new.
        """
        if self._people is not None and self.generation == before:
            people, self._people = self._people, None  # not to be used if Ctrl-C leaves the change half made
            with suppress(DamagedRowsError):  # `ask` then reads everybody anew
                people.add(change.ids, change.owners, change.vectors)
                self._people, self.generation = people, change.stamp


def from_database(db: Connection, folder: Place, dimension: int) -> PeopleIndex:
    """Read everybody from the database; DamagedGalleryError about `folder` if a vector is not what was stored."""
    return _refreshed(db, folder, PeopleIndex.nobody(dimension))


def save(store: Store, people: PeopleIndex, generation: str) -> None:
    """Write the people's file if the gallery still is at this generation. An encrypted gallery has no such file."""
    if store.database.encrypted:
        return
    with store.database.hold() as db:  # so vectors being removed cannot be written after their removal
        if generation_of(db) == generation:
            store.people_file.save(generation, people)
            unlink([older_index_of(store.database.path)])


def append(store: Store, before: str, change: Change) -> None:
    """Add to the people's file what the caller's transaction changes. before: the generation at its beginning."""
    if len(change.ids) and not store.database.encrypted:
        with suppress(OSError):  # without it the next opening is slower, but not wrong
            store.people_file.append(before, change)


def from_file(store: Store, generation: str) -> PeopleIndex | None:
    """Everybody as the people's file has them; None if it does not hold this generation."""
    return None if store.database.encrypted else store.people_file.load(generation)


def _refreshed(db: Connection, folder: Place, known: PeopleIndex) -> PeopleIndex:
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


def _vectors_after(db: Connection, folder: Place, last: int, dimension: int) -> Vectors:
    """Return the (N, D) float32 vectors of the templates with ids above `last`, in the order of the ids."""
    blobs = [blob for (blob,) in db.execute("SELECT vector FROM templates WHERE id > ? ORDER BY id", (last,))]
    if any(len(blob) != 4 * dimension for blob in blobs):
        raise _cut_off(folder)
    require_undamaged(db, folder, last)
    return np.frombuffer(b"".join(blobs), "<f4").reshape(len(blobs), dimension)


def _cut_off(folder: Place) -> DamagedGalleryError:
    return DamagedGalleryError(f"{folder}: a vector is cut off or belongs to nobody; `facerec gallery check` names it")
