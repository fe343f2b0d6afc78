"""A search whose results are kept, so that the next one computes only what changed."""

import io
from pathlib import Path
from typing import Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from facerec.search.cache_file import read_cache, write_cache
from facerec.search.leave_one_out import nearest_others
from facerec.search.people import PeopleIndex, Places
from facerec.search.rows import Marks, marks_of
from facerec.types import Vectors

MAGIC = "facerec-search-1"
_NO_MARKS = np.empty(0, np.uint64)


class StandingSearch:
    """The distance from each of some vectors to its nearest person, kept from one `update` to the next.

    A person who is new, or whose mean changed, is compared with every vector. A vector that is new, or whose nearest
    person changed or is gone, is compared with everybody. Nothing else is computed. Changes are found by the marks of
    means and vectors, so the caller need not report them.
    """

    def __init__(self) -> None:
        """Begin without results."""
        self._people = _NO_MARKS  # (P,) marks of everybody at the last update
        self._vectors = _NO_MARKS  # (N,) marks of the vectors, ascending
        self._nearest = _NO_MARKS  # (N,) the mark of each vector's nearest person; 0 if there is none
        self._distances = np.empty(0, np.float32)  # (N,) to that person

    def save(self, path: Path) -> None:
        """Write the results to one file, all or nothing; GalleryError if it cannot be written."""
        content = io.BytesIO()
        np.savez(content, people=self._people, vectors=self._vectors, nearest=self._nearest, distances=self._distances)
        write_cache(path, MAGIC, content.getvalue())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return a search with the results that `save` wrote; without results if the file is missing or damaged."""
        made = cls()
        if (content := read_cache(path, MAGIC)) is not None and (arrays := _read_arrays(content)) is not None:
            made._people, made._vectors, made._nearest, made._distances = arrays
        return made

    def update(self, people: PeopleIndex, vectors: Vectors, owners: Places) -> NDArray[np.float32]:
        """Return the (N,) squared distances of (N, D) unit float32 vectors to their nearest person; inf without one.

        owners: (N,) the place in `people` of each vector's own person, who is left out; -1 for a stranger.
        """
        marks = people.marks()
        asked = _marks_of(vectors, owners, marks)
        distances, nearest = self._remembered(asked, marks)
        known = nearest != 0
        new = np.flatnonzero(~np.isin(marks, self._people))
        for which, among in ((known, new), (~known, np.arange(len(marks)))):
            chosen = np.flatnonzero(which)
            found, places = _nearest_among(people, among, vectors[chosen], owners[chosen])
            nearer = found < distances[chosen]
            distances[chosen[nearer]] = found[nearer]
            nearest[chosen[nearer]] = marks[places[nearer]]
        order = np.argsort(asked)
        self._people, self._vectors = marks, asked[order]
        self._nearest, self._distances = nearest[order], distances[order]
        return distances

    def _remembered(self, asked: Marks, marks: Marks) -> tuple[NDArray[np.float32], Marks]:
        """Return (N,) distances and (N,) nearest people's marks that are still valid; inf and 0 for the others."""
        distances, nearest = np.full(len(asked), np.inf, np.float32), np.zeros(len(asked), np.uint64)
        if len(self._vectors):
            at = np.minimum(np.searchsorted(self._vectors, asked), len(self._vectors) - 1)
            holds = (self._vectors[at] == asked) & np.isin(self._nearest[at], marks)
            distances[holds], nearest[holds] = self._distances[at[holds]], self._nearest[at[holds]]
        return distances, nearest


def _read_arrays(content: bytes) -> tuple[Marks, Marks, Marks, NDArray[np.float32]] | None:
    """Return the arrays that `save` wrote; None if these are others, which a right checksum does not rule out."""
    try:
        with np.load(io.BytesIO(content)) as arrays:
            people, vectors, nearest = (arrays[name] for name in ("people", "vectors", "nearest"))
            distances = arrays["distances"]
    except (ValueError, LookupError, TypeError, AttributeError, EOFError, OSError, BadZipFile):
        return None
    kinds = [array.dtype for array in (people, vectors, nearest, distances)]
    fits = people.ndim == 1 and vectors.ndim == 1 and vectors.shape == nearest.shape == distances.shape
    return (people, vectors, nearest, distances) if fits and kinds == [np.uint64] * 3 + [np.float32] else None


def _marks_of(vectors: Vectors, owners: Places, people: Marks) -> Marks:
    """Return (N,) marks of vectors; the same vector has different marks for different owners."""
    marks, owned = marks_of(vectors), owners >= 0
    marks[owned] += people[owners[owned]]
    return marks


def _nearest_among(
    people: PeopleIndex, among: Places, vectors: Vectors, owners: Places
) -> tuple[NDArray[np.float32], Places]:
    """Return the (N,) distances to the nearest person at the places `among` who is not the owner; and their places.

    If there is nobody, the distance is inf and the place is meaningless.
    """
    if not len(among):
        return np.full(len(vectors), np.inf, np.float32), np.zeros(len(vectors), np.intp)
    if len(among) == len(people.names):
        return nearest_others(vectors, owners, people.means, people.search)
    numbers = np.full(len(people.names) + 1, -1)  # place -> position in `among`; the last entry is for the owner -1
    numbers[among] = np.arange(len(among))
    distances, found = nearest_others(vectors, numbers[owners], people.means[among])
    return distances, among[found]
