"""A search that is kept: asked again, only what changed is searched anew."""

import io
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from facerec.search.cache_file import read_cache, write_cache
from facerec.search.leave_one_out import nearest_others
from facerec.search.people import Marks, PeopleIndex, Places, marks_of
from facerec.types import Vectors

MAGIC = "facerec-search-1"
_NO_MARKS = np.empty(0, np.uint64)


class StandingSearch:
    """How far the nearest person is from each of some vectors, remembered from one `update` to the next.

    A person who is new or whose mean changed is compared with every vector. A vector whose nearest person changed or is
    gone is compared with everybody, and so is a new vector. Nothing else is computed, and nothing has to be reported:
    what changed shows in the marks of means and vectors.
    """

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._people = _NO_MARKS  # (P,) marks of everybody at the last update
        self._vectors = _NO_MARKS  # (N,) marks of the vectors, ascending
        self._nearest = _NO_MARKS  # (N,) the mark of each vector's nearest person; 0 without one
        self._distances = np.empty(0, np.float32)  # (N,) to that person

    def save(self, path: Path) -> None:
        """Write what is remembered to one file, all or nothing. Raises GalleryError if it cannot be written."""
        content = io.BytesIO()
        np.savez(content, people=self._people, vectors=self._vectors, nearest=self._nearest, distances=self._distances)
        write_cache(path, MAGIC, content.getvalue())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return a search that remembers what `save` wrote; nothing where the file is missing or damaged."""
        made = cls()
        if (content := read_cache(path, MAGIC)) is not None:
            with np.load(io.BytesIO(content)) as arrays:
                made._people, made._vectors = arrays["people"], arrays["vectors"]
                made._nearest, made._distances = arrays["nearest"], arrays["distances"]
        return made

    def update(self, people: PeopleIndex, vectors: Vectors, owners: Places) -> NDArray[np.float32]:
        """Return the (N,) squared distances of (N, D) unit float32 vectors to the nearest person; inf without one.

        owners: (N,) the place in `people` of each vector's own person, who does not count; -1: of a stranger.
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
        """Return distances, and nearest people's marks, that still hold; inf and 0 for vectors to be searched."""
        distances, nearest = np.full(len(asked), np.inf, np.float32), np.zeros(len(asked), np.uint64)
        if len(self._vectors):
            at = np.minimum(np.searchsorted(self._vectors, asked), len(self._vectors) - 1)
            holds = (self._vectors[at] == asked) & np.isin(self._nearest[at], marks)
            distances[holds], nearest[holds] = self._distances[at[holds]], self._nearest[at[holds]]
        return distances, nearest


def _marks_of(vectors: Vectors, owners: Places, people: Marks) -> Marks:
    """Return (N,) marks of vectors, others for the same vector of another person."""
    marks, owned = marks_of(vectors), owners >= 0
    marks[owned] += people[owners[owned]]
    return marks


def _nearest_among(
    people: PeopleIndex, among: Places, vectors: Vectors, owners: Places
) -> tuple[NDArray[np.float32], Places]:
    """Return (N,) distances to the nearest of the people at the places `among` who is not the owner; and their places.

    Where there is nobody the distance is inf, and the place any.
    """
    if not len(among):
        return np.full(len(vectors), np.inf, np.float32), np.zeros(len(vectors), np.intp)
    numbers = np.full(len(people.names) + 1, -1)  # by place, within `among`; the last for the owner -1
    numbers[among] = np.arange(len(among))
    means = people.means if len(among) == len(people.names) else people.means[among]
    distances, found = nearest_others(vectors, numbers[owners], means)
    return distances, among[found]
