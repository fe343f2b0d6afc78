"""Leave-one-out: compare each vector with its own person's other vectors, and with all other people.

This is the only place in facerec that leaves vectors out. It serves four purposes: searching a gallery with its own
templates (`evaluation.self_search`), using its people as strangers of their kind (`decision.population`), checking the
labels of photos (`curation.label_fit`), and looking back at an enrollment (`recognition.review`). Distances are squared
Euclidean, from 0 to 4.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facerec.search.index import Ids, nearest_rows
from facerec.types import Vectors
from facerec.vectors import paired_distances, squared_distances, sums_by_owner, unit_sums

_BLOCK = 256  # rows compared with all others of a person at once

Places = NDArray[np.integer]  # (N,) the number of each row's person, from 0 to P - 1
Search = Callable[[Vectors, int], tuple[NDArray[np.float32], Ids]]  # what `PeopleIndex.search` does


@dataclass(frozen=True, eq=False, slots=True)
class LeftOut:
    """N vectors compared with their own people's other vectors, and with the other people.

    own: (N,) distance to the unit mean of the same person's other vectors; +inf if there are none.
    other: (N,) distance to the nearest other person's mean; +inf if there is none.
    nearest: (N,) the number of that other person.
    """

    own: NDArray[np.float32]
    other: NDArray[np.float32]
    nearest: NDArray[np.intp]


def leave_one_out(vectors: Vectors, places: Places, means: Vectors) -> LeftOut:
    """Compare each of (N, D) unit rows with its own person's other rows, and with all other people.

    places: (N,) the number of each row's person. means: (P, D) the people's unit means.
    """
    return LeftOut(own_distances(vectors, places), *nearest_others(vectors, places, means))


def own_distances(vectors: Vectors, places: Places, counted: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
    """Return the (N,) distances of (N, D) unit rows to the unit mean of the same person's other rows, as `LeftOut.own`.

    places: (N,) the number of each row's person. counted: (N,) which rows make up the means, at least one of each
    person; None: all.
    """
    counted = np.ones(len(vectors), np.bool_) if counted is None else counted
    own = paired_distances(_means_of_others(vectors, places, counted), vectors)
    own[np.bincount(places, counted)[places] - counted < 1] = np.inf
    return own


def far_from_own(vectors: Vectors, places: Places, limit: float) -> NDArray[np.float32]:
    """Return (N,): how far each of (N, D) unit rows is from the rest of its person, where that is too far; else 0.

    Rows at most `limit` apart, directly or over other rows, are one group. The largest group of a person's rows is the
    person; of equally large ones, the one with the first row. A row of another group is too far if it is farther than
    `limit` from the unit mean of the person. So several photos of somebody else do not vouch for each other. places:
    (N,) the number of each row's person.
    """
    far = np.zeros(len(vectors), np.float32)
    order = np.argsort(places, kind="stable")
    for own in np.split(order, np.flatnonzero(np.diff(places[order])) + 1):
        group = _groups(vectors[own], limit)
        first, counts = np.unique(group, return_counts=True)
        if len(first) < 2:
            continue
        others = group != first[counts.argmax()]
        person = vectors[own[~others]]
        distances = paired_distances(vectors[own], unit_sums(person.sum(axis=0, keepdims=True), person[:1])[0])
        far[own] = np.where(others & (distances > limit), distances, 0)
    return far


def _groups(rows: Vectors, limit: float) -> NDArray[np.intp]:
    """Return (N,): the number of the first row of each row's group, as `far_from_own` has them."""
    group = np.full(len(rows), -1, np.intp)
    for first in range(len(rows)):
        reached = np.array([first] if group[first] < 0 else [], np.intp)
        group[reached] = first
        while len(reached):
            left = np.flatnonzero(group < 0)
            near = left[(squared_distances(rows[left], rows[reached[:_BLOCK]]) <= limit).any(axis=1)]
            group[near] = first
            reached = np.append(reached[_BLOCK:], near)
    return group


def nearest_others(
    vectors: Vectors, places: Places, means: Vectors, search: Search | None = None
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Return the (N,) distances of (N, D) unit rows to the nearest other person, and the (N,) numbers of these people.

    places: (N,) the number of each row's own person; -1 for a stranger. means: (P, D) the people's unit means. search:
    finds the nearest of these means as `nearest_rows` does, which is used by default. If there is no other person, the
    distance is +inf and the number is meaningless.
    """
    if not len(means):
        return np.full(len(vectors), np.inf, np.float32), np.zeros(len(vectors), np.intp)
    found = (nearest_rows(vectors, means, 2) if search is None else search(vectors, 2))[1]
    nearest = np.where(found[:, 0] == places, found[:, 1], found[:, 0])
    distances = paired_distances(vectors, means[nearest])  # the same bits, whatever the number of rows
    distances[nearest < 0] = np.inf
    return distances, np.maximum(nearest, 0)


def _means_of_others(vectors: Vectors, places: Places, counted: NDArray[np.bool_]) -> Vectors:
    """Return (N, D): for each row the unit mean of the same person's other counted rows.

    If they cancel out, it is the first of them. If there are none, the result is meaningless.
    """
    rows = np.flatnonzero(counted)
    order = rows[np.argsort(places[rows], kind="stable")]
    starts = np.searchsorted(places[order], places)  # (N,) where each person's rows begin in `order`
    first, second = order[starts], order[np.minimum(starts + 1, len(order) - 1)]
    instead = np.where(first == np.arange(len(vectors)), second, first)
    sums = sums_by_owner(vectors[rows], places[rows])[places]
    return unit_sums(sums - vectors * counted[:, None], vectors[instead])
