"""People and their vectors, and the search for the nearest people."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from facerec.search.engine import EngineIndex
from facerec.search.growing import GrowingArray
from facerec.search.index import Ids, Index, nearest_rows
from facerec.search.keys import SPREAD, keys_of
from facerec.search.leave_one_out import far_from_own
from facerec.search.rows import Marks, Rows, marks_of
from facerec.search.shortlist import LEAST, KeptCodes, Shortlist, nearest_listed
from facerec.types import Candidate, Threshold, Vectors
from facerec.vectors import paired_distances, squared_distances, unit_means

Places = NDArray[np.intp]
_BLOCK = 64  # people compared with everybody at once


class PeopleIndex:
    """People and their vectors. The distance to a person is that to the mean of their vectors, scaled to length 1.

    With the mean, fewer people are missed than with the nearest of the vectors (scripts/studies/template_means.py), and
    a person with many photos is not nearer to strangers than a person with one. People are in the order of their lowest
    id. `add` and `remove` change the index in place; they update only the means of the people who get or lose vectors.

    The search compares with everybody. Among LEAST people or more, it compares with a shortlist (`shortlist`); it finds
    the same person nearest in all but a few of a thousand searches. So it does where an engine searches (`search_by`).
    """

    def __init__(self, ids: Ids, owners: Sequence[str], vectors: Vectors) -> None:
        """Hold (T, D) unit float32 rows. ids: (T,) int64, ascending. owners: T names, one for each row."""
        place = {name: place for place, name in enumerate(dict.fromkeys(owners))}
        places = np.array([place[owner] for owner in owners], np.intp)
        rows = np.ascontiguousarray(vectors, np.float32)
        self._hold(list(place), ids, places, Rows(rows), Rows(unit_means(rows, places)))

    def _hold(self, names: list[str], ids: Ids, places: Places, vectors: Rows, means: Rows) -> None:
        self.names = names
        self._ids, self._places = GrowingArray(ids), GrowingArray(places)
        self._vectors, self._means = vectors, means
        self._shortlist: Shortlist | None = None
        self._engine: EngineIndex | None = None
        self._known_places: dict[str, int] | None = None  # everybody's place in `names`, once it was asked for

    @classmethod
    def restored(cls, names: list[str], ids: Ids, places: Places, vectors: Rows, means: Rows) -> Self:
        """Return an index of what another index's properties of these names gave. Nothing is computed or copied.

        If `vectors` or `means` are mapped from a file, whatever needs them may raise DamagedRowsError.
        """
        made = cls.__new__(cls)
        made._hold(names, ids, places, vectors, means)
        return made

    def in_memory(self) -> Self:
        """Read all vectors and means that are mapped from a file, now; DamagedRowsError if one is damaged."""
        self._vectors.all()
        self._means.all()
        return self

    @property
    def _place(self) -> dict[str, int]:
        """Everybody's place in `names`."""
        if self._known_places is None:
            self._known_places = {name: place for place, name in enumerate(self.names)}
        return self._known_places

    @classmethod
    def nobody(cls, dimension: int) -> Self:
        """Return an index without people, for vectors of `dimension` numbers."""
        return cls(np.empty(0, np.int64), [], np.empty((0, dimension), np.float32))

    @property
    def dimension(self) -> int:
        """D, the length of a vector."""
        return self._vectors.dimension

    @property
    def ids(self) -> Ids:
        """(T,) ascending int64 ids of the vectors."""
        return self._ids.rows

    @property
    def vectors(self) -> Vectors:
        """(T, D) unit rows, in the order of `ids`."""
        return self._vectors.all()

    @property
    def places(self) -> Places:
        """(T,) the place in `names` of each vector's owner."""
        return self._places.rows

    @property
    def means(self) -> Vectors:
        """(P, D) the unit mean of each person, in the order of `names`."""
        return self._means.all()

    @property
    def first(self) -> Places:
        """(P,) the row in `vectors` of each person's vector with the lowest id."""
        return np.unique(self.places, return_index=True)[1]

    @property
    def lowest_ids(self) -> Ids:
        """(P,) ascending: the lowest id of each person. Ids are never used twice, so it identifies the person."""
        return self.ids[self.first]

    def owners(self) -> list[str]:
        """Return the name of each vector's owner, in the order of `ids`."""
        return [self.names[place] for place in self.places]

    def vectors_of(self, name: str) -> Vectors:
        """Return the (T, D) unit rows of one person."""
        return self._vectors[np.flatnonzero(self.places == self._place[name])]

    def add(self, ids: Ids, owners: Sequence[str], vectors: Vectors) -> None:
        """Add (N, D) unit rows in place. ids: (N,), ascending and larger than all ids in the index."""
        if not len(ids):
            return
        assert not len(self.ids) or ids[0] > self.ids[-1], "new vectors have higher ids"
        known, place, self._engine = len(self.names), self._place, None
        for owner in owners:
            if place.setdefault(owner, len(self.names)) == len(self.names):
                self.names.append(owner)
        places = np.array([place[owner] for owner in owners], np.intp)
        self._ids.append(ids)
        self._places.append(places)
        self._vectors.append(vectors)
        changed = np.unique(places)
        old = changed[changed < known]
        self._set_means(changed, start=0 if len(old) else len(self.ids) - len(ids))
        if self._shortlist is not None:
            self._shortlist.replace(old, self._means[old])
            self._shortlist.add(self._means[np.arange(known, len(self.names))])

    def remove(self, ids: Ids) -> None:
        """Take the vectors of these (N,) ids out, in place, and people with their last one. Others' ids are ignored."""
        stay = np.flatnonzero(~np.isin(self.ids, ids))
        if len(stay) == len(self.ids):
            return
        fewer = np.unique(np.delete(self.places, stay))  # who loses some
        left, first, places = np.unique(self.places[stay], return_index=True, return_inverse=True)
        order = np.argsort(first)  # their lowest id may be another one now
        self._known_places, self._engine, self._shortlist, shortlist = None, None, None, self._shortlist
        self.names = [self.names[place] for place in left[order]]
        self._ids, self._places = GrowingArray(self.ids[stay]), GrowingArray(np.argsort(order)[places])
        self._vectors.keep(stay)
        self._means.keep(left[order])
        changed = np.flatnonzero(np.isin(left[order], fewer))
        self._set_means(changed, start=0)
        if shortlist is not None and self.is_large:
            shortlist = Shortlist(shortlist.codebook, shortlist.codes[left[order]])
            shortlist.replace(changed, self._means[changed])
            self._shortlist = shortlist

    def _set_means(self, changed: Places, start: int) -> None:
        """Compute these people's means from all of their vectors, so that no rounding errors accumulate.

        changed: ascending; people at the end may have no mean yet. start: none of their vectors are before this row.
        """
        mine = start + np.flatnonzero(np.isin(self.places[start:], changed))
        means = unit_means(self._vectors[mine], np.searchsorted(changed, self.places[mine]))
        old = changed < len(self._means)
        self._means.put(changed[old], means[old])
        self._means.append(means[~old])

    def nearest(self, vectors: Vectors, top: int) -> list[list[Candidate]]:
        """Return for each of (N, D) rows the `top` >= 1 nearest people, nearest first.

        Of two equally near people, the one with the lower id comes first.
        """
        distances, places = self.nearest_places(vectors, top)
        return [
            [Candidate(self.names[p], float(d)) for d, p in zip(*found, strict=True) if p >= 0]
            for found in zip(distances, places, strict=True)
        ]

    def nearest_places(self, vectors: Vectors, top: int) -> tuple[NDArray[np.float32], Ids]:
        """Return distances and places in `names`, both (N, K), of the K = min(`top`, P) people nearest to each row.

        If nobody is enrolled, K is 1, the distance inf and the place -1.
        """
        return self.search(vectors, min(top, max(len(self.names), 1)))

    def search(self, vectors: Vectors, k: int) -> tuple[NDArray[np.float32], Ids]:
        """Return distances and places, both (N, `k`), of the people nearest to each of (N, D) rows.

        If there are fewer than `k` people, they end in distance inf and place -1.
        """
        index: Index | None = self._engine or self._shortlisted()
        if index is None or k + index.listed > index.most:
            return nearest_rows(vectors, self.means, k)
        return nearest_listed(vectors, self._means, index.nearest(vectors, k + index.listed), k)

    def search_by(self, engine: EngineIndex | None) -> None:
        """Let an engine that holds exactly these people search, until they change. None: without an engine."""
        self._engine = engine

    @property
    def by_engine(self) -> bool:
        """Whether an engine searches now."""
        return self._engine is not None

    @property
    def mean_rows(self) -> Rows:
        """The means, of which single rows can be read."""
        return self._means

    def _shortlisted(self) -> Shortlist | None:
        """Return the shortlist, made now if it is missing; None among few people."""
        if self._shortlist is None and self.is_large:
            self._shortlist = Shortlist.of(self.means)
        return self._shortlist

    @property
    def is_large(self) -> bool:
        """Whether there are so many people that a shortlist is used."""
        return len(self.names) >= LEAST

    def adopt(self, kept: KeptCodes) -> int:
        """Make the shortlist from codes that were kept; return how many people had none and got one."""
        codes, known = kept.of(keys_of(self.ids, self.places))
        codes[~known] = kept.codebook.encode(self._means[np.flatnonzero(~known)])
        self._shortlist = Shortlist(kept.codebook, codes)
        return int((~known).sum())

    def kept_codes(self) -> KeptCodes | None:
        """Return everybody's codes, to be kept; None among few people."""
        shortlist = self._shortlisted()
        if shortlist is None:
            return None
        return KeptCodes(shortlist.codebook, keys_of(self.ids, self.places), shortlist.codes)

    def nearest_and_named(self, vectors: Vectors, names: Sequence[str], top: int = 1) -> list[list[Candidate]]:
        """Return for each of (N, D) rows the `top` nearest people and the person named for the row, nearest first.

        names: N names. The named person is not added if they are among the nearest already, or not enrolled.
        """
        found: list[list[int]] = self.nearest_places(vectors, top)[1].tolist()
        named = [self._place.get(name, nearest[0]) for name, nearest in zip(names, found, strict=True)]
        rows = zip(vectors, found, named, strict=True)
        return [self._ranked(vector, dict.fromkeys((*nearest, own))) for vector, nearest, own in rows]

    def far_from_own(self, names: Iterable[str], limit: float) -> list[tuple[str, Vectors, float]]:
        """Return the vectors of these people that are far from the person's others, as `leave_one_out.far_from_own`.

        Each is a name, a (D,) row and its distance, in the order of `ids`. Names that nobody has are ignored.
        """
        searched = [self._place[name] for name in names if name in self._place]
        mine = np.flatnonzero(np.isin(self.places, searched))
        vectors, places = self._vectors[mine], self.places[mine]
        far = far_from_own(vectors, places, limit)
        return [(self.names[places[row]], vectors[row], float(far[row])) for row in np.flatnonzero(far)]

    def alike(self, names: Iterable[str], limit: float) -> list[tuple[str, str, float]]:
        """Return the pairs of people at most `limit` apart, at least one of them in `names`; nearest pair first.

        A pair is two names and their distance. The person with fewer vectors comes first; of equally many, the one with
        the lower id. Names that nobody has are ignored.
        """
        searched = np.array(sorted(self._place[name] for name in names if name in self._place), np.intp)
        blocks = [searched[i : i + _BLOCK] for i in range(0, len(searched), _BLOCK)]
        pairs = np.concatenate([np.empty((0, 2), np.intp), *(self._pairs_within(some, limit) for some in blocks)])
        first, second = np.unique(np.sort(pairs), axis=0).T
        distances, counts = paired_distances(self._means[first], self._means[second]), np.bincount(self.places)
        turned = counts[first] > counts[second]
        fewer, more = np.where(turned, second, first), np.where(turned, first, second)
        order = np.argsort(distances, kind="stable")
        found = zip(fewer[order].tolist(), more[order].tolist(), distances[order].tolist(), strict=True)
        return [(self.names[one], self.names[other], distance) for one, other, distance in found]

    def _pairs_within(self, places: Places, limit: float) -> Places:
        """Return (N, 2): the place of one of these people, and that of somebody else at most `limit` away."""
        near = squared_distances(self._means[places], self.means) <= limit
        near[np.arange(len(places)), places] = False
        rows, others = np.nonzero(near)
        return np.stack([places[rows], others], axis=1)

    def _ranked(self, vector: NDArray[np.float32], places: Iterable[int]) -> list[Candidate]:
        """Return the people at these places as candidates, nearest first.

        Each distance is computed alone, so two people with the same mean get exactly the same distance.
        """
        enrolled = np.array([place for place in places if place >= 0], np.intp)
        distances = paired_distances(self._means[enrolled], vector)
        candidates = [Candidate(self.names[p], float(d)) for p, d in zip(enrolled, distances, strict=True)]
        return sorted(candidates, key=lambda candidate: candidate.distance)

    def marks(self) -> Marks:
        """Return (P,) marks: a person's mark changes with their mean, and no two people have the same."""
        return marks_of(self.means) + self.lowest_ids.astype(np.uint64) * SPREAD


@dataclass(frozen=True, eq=False, slots=True)
class EnrolledPeople:
    """A gallery's vectors by one model, and what its threshold needs.

    vectors: (T, D) unit rows. owners: T names, one for each row. strangers: (N, D) unit rows of the model's cohort.
    fpir: the target rate. fallback: the threshold if there are no strangers. given: (N, D) unit rows of the strangers
    that the user gave. apart: pairs of names of people who were said to be two.
    """

    vectors: Vectors
    owners: tuple[str, ...]
    strangers: NDArray[np.floating] | None
    fpir: float
    fallback: Threshold | None
    given: NDArray[np.floating] | None = None
    apart: Collection[frozenset[str]] = ()
