"""Everybody searched among the others."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from facerec.search.people import PeopleIndex
from facerec.types import Vectors
from facerec.vectors import paired_distances, squared_distances, unit_sums

_BLOCK = 1024  # templates compared with everybody at once


def leave_one_out(people: PeopleIndex, vectors: Vectors) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(T,) of each of the people's templates to its own person without it, +inf where that was all, and to the nearest
    of the others, +inf without any.
    """
    own = paired_distances(_rests(vectors, people.places), vectors)
    own[np.bincount(people.places)[people.places] < 2] = np.inf
    other = np.concatenate(list(_nearest_others(vectors, people.means, people.places)))
    return own, other


def _rests(vectors: Vectors, places: NDArray[np.intp]) -> Vectors:
    """(T, D): the unit mean of each template's person's other ones; where they cancel out, the first of them."""
    rest = np.empty_like(vectors)
    for place in np.unique(places):
        mine = np.flatnonzero(places == place)
        for template in mine:
            others = vectors[mine[mine != template]]
            rest[template] = unit_sums(others.sum(axis=0, keepdims=True), others[:1].sum(axis=0, keepdims=True))[0]
    return rest


def _nearest_others(vectors: Vectors, means: Vectors, places: NDArray[np.intp]) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(vectors), _BLOCK):
        some = vectors[start : start + _BLOCK]
        distances = squared_distances(some, means)  # (B, P)
        distances[np.arange(len(some)), places[start : start + _BLOCK]] = np.inf
        yield distances.min(axis=1)
