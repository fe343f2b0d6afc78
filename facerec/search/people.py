"""The nearest people: an index whose vectors belong to somebody."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from facerec.search.index import FlatIndex, Ids, Index
from facerec.types import Candidate, Threshold, Vectors
from facerec.vectors import unit_means


class PeopleIndex:
    """An index whose vectors belong to people, each of whom is searched at the mean of theirs, of length 1 again.

    The mean misses fewer people than the nearest of the vectors does (scripts/studies/template_means.py), and somebody
    with many photos does not come nearer to strangers than somebody with one.
    """

    def __init__(self, index: Index, ids: Ids, owners: Sequence[str]) -> None:
        """`ids`: all of the index's, (T,) ascending; `owners`: whose each of them is."""
        self.index = index
        self.ids = ids
        self.names = tuple(dict.fromkeys(owners))  # by their lowest id
        self._means = FlatIndex(index.dimension)
        places = {name: place for place, name in enumerate(self.names)}
        self.places = np.array([places[owner] for owner in owners], np.intp)  # (T,) in `names`, of each vector's owner
        means = unit_means(index.vectors(ids), self.places)
        self._means.add(np.arange(len(means)), means)

    @classmethod
    def nobody(cls, dimension: int) -> Self:
        """No people and no vectors of `dimension` numbers yet."""
        return cls(FlatIndex(dimension), np.empty(0, np.int64), [])

    @property
    def means(self) -> Vectors:
        """(P, D) unit rows: what each of the people is searched at, in the order of `names`."""
        return self._means.vectors(np.arange(len(self.names)))

    def nearest(self, vectors: Vectors, top: int) -> list[list[Candidate]]:
        """Return for each of (N, D) rows the `top` >= 1 nearest people, nearest first.

        Of equally near people the one with the lower id comes first.
        """
        distances, places = self._means.search(vectors, min(top, max(len(self.names), 1)))
        return [
            [Candidate(self.names[p], float(d)) for d, p in zip(*found, strict=True) if p >= 0]
            for found in zip(distances, places, strict=True)
        ]


@dataclass(frozen=True, eq=False, slots=True)
class EnrolledPeople:
    """What a gallery holds of one model.

    vectors: (T, D) unit rows, whose `owners` says. strangers: (N, D) unit rows of the model's cohort. fpir: the target.
    fallback: the threshold where there are no strangers. given: more of them, of the user's own.
    """

    vectors: Vectors
    owners: tuple[str, ...]
    strangers: NDArray[np.floating] | None
    fpir: float
    fallback: Threshold | None
    given: NDArray[np.floating] | None = None
