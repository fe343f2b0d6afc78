"""How well photos fit the people they are filed under, by their vectors; and how far apart is too far.

Distances are squared, between unit vectors. Where the line lies is read off the data, for every network has distances
of its own.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from facerec.types import Threshold, Vectors
from facerec.vectors import paired_distances, squared_distances, sums_by_owner, unit_rows

FEW_PEOPLE, FEW_PHOTOS = 10, 20
"""With fewer people, or fewer photos that have others beside them, the data do not say what is usual."""

_BLOCK = 2048  # rows compared with all people at a time
_DEVIATION = 1.4826  # a normal distribution's standard deviation by its median absolute deviation


@dataclass(frozen=True, eq=False, slots=True)
class Fit:
    """How well N photos fit their people; squared distances.

    own: (N,) to the mean of the other photos of the same person, nan where there is none. rival: (N,) to the nearest
    other person's mean, inf where there is none. nearest: (N,) who that is. means: (P, D) unit.
    """

    own: NDArray[np.float32]
    rival: NDArray[np.float32]
    nearest: NDArray[np.int64]
    means: Vectors


@dataclass(frozen=True, slots=True)
class Limits:
    """The squared distances that decide, and in words where they come from.

    own: farther from the mean of their own other photos, photos are wrongly labelled if nearer to another person's.
    stranger: farther than this they are so anyway. same: people no farther apart are one.
    """

    own: float
    stranger: float
    same: float
    source: str

    def to_json(self) -> dict[str, Any]:
        """The fields as a dict that `json.dumps` takes: None instead of what is not finite."""
        return {name: None if value in (np.inf, -np.inf) else value for name, value in asdict(self).items()}


@dataclass(frozen=True, eq=False, slots=True)
class People:
    """(P, D) of the vectors of each of P people: their unit means, and their averages, which are shorter."""

    means: Vectors
    averages: Vectors

    def __len__(self) -> int:
        return len(self.means)


def leave_one_out(vectors: Vectors, labels: NDArray[np.int64]) -> Fit:
    """How well each of (N, D) unit rows fits the other rows of its label, and of the nearest other; labels 0..P-1."""
    sums = sums_by_owner(vectors, labels)
    means = unit_rows(sums)
    own = paired_distances(unit_rows(sums[labels] - vectors), vectors)
    own[np.bincount(labels)[labels] == 1] = np.nan
    rival, nearest = np.empty(len(labels), np.float32), np.empty(len(labels), np.int64)
    for rows in _blocks(len(labels)):
        distances = squared_distances(vectors[rows], means)  # (block, P)
        distances[np.arange(len(rows)), labels[rows]] = np.inf
        rival[rows], nearest[rows] = distances.min(1), distances.argmin(1)
    return Fit(own, rival, nearest, means)


def limits_of(vectors: Vectors, labels: NDArray[np.int64], threshold: Threshold | None) -> Limits:
    """Where the data, or else the model's threshold, draw the line.

    Usual are the distances of photos to the mean of their person's other photos, strange those to other people's
    means; medians and median absolute deviations, which a few wrong labels do not move, describe both.
    own: as many deviations above the usual as below the strange. stranger: one deviation below the strange.
    same: the distance that nine tenths of the photos keep to their own, and at most the one at which, were strange
    distances normal, a single pair of all people would be alike by chance.
    """
    fit = leave_one_out(vectors, labels)
    people, usual = len(fit.means), fit.own[~np.isnan(fit.own)]
    if people < FEW_PEOPLE or len(usual) < FEW_PHOTOS:
        return _limits_of_model(threshold)
    others = [(labels + shift) % people for shift in range(1, FEW_PEOPLE)]  # a few for each photo stand for all
    strange = np.concatenate([paired_distances(vectors, fit.means[other]) for other in others])
    near, far = np.median(usual), np.median(strange)
    near_spread, far_spread = (_DEVIATION * np.median(abs(d - np.median(d))) + 1e-6 for d in (usual, strange))
    own = (near * far_spread + far * near_spread) / (near_spread + far_spread)
    chance = far + ndtri(2 / (people * (people - 1))) * far_spread
    same = min(np.quantile(usual, 0.9), chance)
    source = f"{len(usual)} photos of {people} people"
    return Limits(float(own), float(far - far_spread), float(same), source)


def _limits_of_model(threshold: Threshold | None) -> Limits:
    """With too few data: its threshold, and for strangers the middle between it and 2, where unrelated faces are."""
    if threshold is None:
        source = "nothing: too few people and photos, and a model without a threshold; labels are not judged"
        return Limits(np.inf, np.inf, -np.inf, source)
    return Limits(threshold.distance, threshold.distance / 2 + 1, threshold.distance, f"the model: {threshold.source}")


def people_of(vectors: Vectors, labels: NDArray[np.int64]) -> People:
    """The people of (N, D) unit rows, labels 0..P-1, each with a row."""
    sums = sums_by_owner(vectors, labels)
    return People(unit_rows(sums), sums / np.bincount(labels)[:, None].astype(np.float32))


def nearest_people(a: People, b: People | None = None) -> list[tuple[int, int, float]]:
    """Pairs of people who are each other's nearest, and their distance: of `a` and `b`, or within `a`, each once.

    The distance of two people is the mean distance of one's photos to the mean of the other's, the larger of the two
    ways; so it compares with the distances of photos to their own people's means, however few photos there are.
    """
    others = a if b is None else b
    if not len(a) or not len(others):
        return []
    to, distance = np.empty(len(a), np.int64), np.empty(len(a), np.float32)
    back, back_distance = np.zeros(len(others), np.int64), np.full(len(others), np.inf, np.float32)
    for rows in _blocks(len(a)):
        ways = squared_distances(a.averages[rows], others.means), squared_distances(a.means[rows], others.averages)
        distances = np.maximum(*ways)  # (block, P of others)
        if b is None:
            distances[np.arange(len(rows)), rows] = np.inf
        to[rows], distance[rows] = distances.argmin(1), distances.min(1)
        better = distances.min(0) < back_distance
        back[better], back_distance[better] = rows[distances.argmin(0)[better]], distances.min(0)[better]
    mutual = [i for i in range(len(a)) if back[to[i]] == i and (b is not None or i < to[i])]
    return [(i, int(to[i]), float(distance[i])) for i in mutual]


def _blocks(count: int) -> Iterator[NDArray[np.intp]]:
    for start in range(0, count, _BLOCK):
        yield np.arange(start, min(start + _BLOCK, count))
