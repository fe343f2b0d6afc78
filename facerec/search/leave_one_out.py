"""Everybody's nearest other: each vector compared with the rest of its own person's and with all other people.

The only place in facerec that leaves vectors out. A gallery is searched with its own templates this way
(`evaluation.self_search`), its people stand in for strangers of their kind (`decision.population`), and photos are
checked against the labels they are filed under (`curation.label_fit`). Distances are squared Euclidean, from 0 to 4.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facerec.search.index import nearest_rows
from facerec.types import Vectors
from facerec.vectors import paired_distances, sums_by_owner, unit_sums

Places = NDArray[np.integer]  # (N,) numbers of people, from 0 to P - 1


@dataclass(frozen=True, eq=False, slots=True)
class LeftOut:
    """How N vectors compare with their own people without them, and with the others.

    own: (N,) distance to the unit mean of the same person's other vectors, +inf where there are none.
    other: (N,) distance to the nearest other person's mean, +inf where there is none.
    nearest: (N,) the number of that person.
    """

    own: NDArray[np.float32]
    other: NDArray[np.float32]
    nearest: NDArray[np.intp]


def leave_one_out(vectors: Vectors, places: Places, means: Vectors) -> LeftOut:
    """Compare each of (N, D) unit rows with its own person's other rows, and with everybody else.

    places: (N,) whose each row is. means: (P, D) unit rows, at which the people are searched.
    """
    own = paired_distances(_means_of_others(vectors, places), vectors)
    own[np.bincount(places)[places] < 2] = np.inf
    return LeftOut(own, *nearest_others(vectors, places, means))


def nearest_others(vectors: Vectors, places: Places, means: Vectors) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Distance (N,) of each of (N, D) unit rows to the nearest of P people who is not its own, and that person's
    number.

    places: (N,) whose each row is, -1 for a stranger's. means: (P, D) unit rows. Where there is no other person, the
    distance is +inf and the number means nothing.
    """
    if not len(means):
        return np.full(len(vectors), np.inf, np.float32), np.zeros(len(vectors), np.intp)
    found = nearest_rows(vectors, means, 2)[1]
    nearest = np.where(found[:, 0] == places, found[:, 1], found[:, 0])
    distances = paired_distances(vectors, means[nearest])  # the same to the last bit, however many are searched
    distances[nearest < 0] = np.inf
    return distances, np.maximum(nearest, 0)


def _means_of_others(vectors: Vectors, places: Places) -> Vectors:
    """(N, D): the unit mean of the same person's other rows; where these cancel out, the first of them.

    Of a person with one row there are no others, and the result means nothing.
    """
    order = np.argsort(places, kind="stable")
    starts = np.searchsorted(places[order], places)  # (N,) where each person's rows begin in `order`
    first, second = order[starts], order[np.minimum(starts + 1, len(order) - 1)]
    instead = np.where(first == np.arange(len(vectors)), second, first)
    return unit_sums(sums_by_owner(vectors, places)[places] - vectors, vectors[instead])
