"""How well each photo's vector fits the person it is filed under, and which distances are too large.

Distances are squared Euclidean, between unit vectors. The limits are estimated from the data, because distances differ
from network to network.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from facerec.search.leave_one_out import nearest_others, own_distances
from facerec.types import Threshold, Vectors
from facerec.vectors import paired_distances, squared_distances, sums_by_owner, unit_means, unit_rows

FEW_PEOPLE, FEW_PHOTOS = 10, 20
"""With fewer people, or fewer photos of people with several photos, the data do not show which distances are usual."""

_BLOCK = 2048  # rows compared with all people at a time
_ROUNDS = 5  # in which the nearer half of a person's photos is looked for; it changes little after two or three
_DEVIATION = 1.4826  # the ratio of a normal distribution's standard deviation to its median absolute deviation


@dataclass(frozen=True, eq=False, slots=True)
class Fit:
    """How well N photos fit their people, in squared distances.

    own: (N,) to the mean of the same person's other photos; nan if there are none. rival: (N,) to the nearest other
    person's mean; inf if there is none. nearest: (N,) the number of that other person. means: (P, D) the people's unit
    means. Only some photos may make up the means; see `fit_of`.
    """

    own: NDArray[np.float32]
    rival: NDArray[np.float32]
    nearest: NDArray[np.intp]
    means: Vectors


@dataclass(frozen=True, slots=True)
class Limits:
    """The squared distances that decide, with their origin in words (`source`).

    own: if a photo is farther than this from the mean of its person's other photos, and another person is nearer, its
        label is wrong.
    stranger: if a photo is farther than this from that mean, its label is wrong in any case.
    same: two people at most this far apart are one person.
    """

    own: float
    stranger: float
    same: float
    source: str

    def to_json(self) -> dict[str, Any]:
        """The fields as a dict for `json.dumps`; an infinite number becomes None."""
        return {name: None if value in (np.inf, -np.inf) else value for name, value in asdict(self).items()}


@dataclass(frozen=True, eq=False, slots=True)
class People:
    """P people: the (P, D) unit means of their vectors, and the (P, D) plain averages, which are shorter than 1."""

    means: Vectors
    averages: Vectors

    def __len__(self) -> int:
        return len(self.means)


def fit_of(vectors: Vectors, labels: NDArray[np.int64], counted: NDArray[np.bool_] | None = None) -> Fit:
    """Compare each of (N, D) unit rows with its own person and the nearest other one.

    labels: (N,) from 0 to P - 1. counted: (N,) which rows make up the people's means (`typical`); None: all.
    """
    counted = np.ones(len(vectors), np.bool_) if counted is None else counted
    means, own = unit_means(vectors[counted], labels[counted]), own_distances(vectors, labels, counted)
    rival, nearest = nearest_others(vectors, labels, means)
    return Fit(np.where(np.isinf(own), np.float32(np.nan), own), rival, nearest, means)


def typical(vectors: Vectors, labels: NDArray[np.int64], limits: Limits) -> NDArray[np.bool_]:
    """Return (N,): which of (N, D) unit rows are like most of their person's. labels: (N,) from 0 to P - 1.

    A person is the half of their photos that is nearest to its own mean, and every photo near that mean. So several
    photos of a stranger do not vouch for each other, as long as they are fewer than half. The half is found from the
    mean of all photos on, as the minimum covariance determinant is (Rousseeuw and Van Driessen 1999).
    """
    half = (np.bincount(labels) // 2 + 1)[labels]

    def to_mean(kept: NDArray[np.bool_]) -> NDArray[np.float32]:
        return paired_distances(vectors, unit_means(vectors[kept], labels[kept])[labels])

    nearer = np.ones(len(vectors), np.bool_)
    for _ in range(_ROUNDS):
        nearer = _ranks(to_mean(nearer), labels) < half
    return nearer | (to_mean(nearer) <= (limits.own + limits.stranger) / 2)


def misfits(vectors: Vectors, labels: NDArray[np.int64], fit: Fit, limits: Limits) -> NDArray[np.bool_]:
    """Return (N,): which photos have a wrong label. fit: of these (N, D) rows, whose means are of `typical` ones.

    A doubtful photo counts if it is like one that is sure to be wrong: strangers seldom come alone.
    """
    doubtful = fit.own > limits.own
    sure = (doubtful & (fit.own > fit.rival)) | (fit.own > limits.stranger)
    wrong = sure.copy()
    for i in np.flatnonzero(doubtful & ~sure):
        beside = vectors[sure & (labels == labels[i])]
        wrong[i] = len(beside) and paired_distances(beside, vectors[i]).min() < limits.own
    return wrong


def _ranks(distances: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return (N,): how many photos of the same person have a smaller distance, or the same and come before."""
    order = np.lexsort((distances, labels))
    ranks = np.empty(len(labels), np.intp)
    ranks[order] = np.arange(len(labels)) - np.searchsorted(labels[order], labels[order])
    return ranks


def limits_of(vectors: Vectors, labels: NDArray[np.int64], threshold: Threshold | None) -> Limits:
    """Return the limits that the data suggest, or with too few data those of the model's threshold.

    The usual distances are those from photos to the mean of their person's other photos. The strange distances are
    those to other people's means. Each kind is summarised by its median and its median absolute deviation, which a few
    wrong labels hardly change.

    own: lies as many deviations above the usual median as below the strange one.
    stranger: lies one deviation below the strange median.
    same: the distance that contains nine tenths of the usual distances. It is at most the distance at which one of all
        pairs of people would be alike by chance, if strange distances were normally distributed.
    """
    fit = fit_of(vectors, labels)
    people, usual = len(fit.means), fit.own[~np.isnan(fit.own)]
    if people < FEW_PEOPLE or len(usual) < FEW_PHOTOS:
        return _limits_of_model(threshold)
    others = [(labels + shift) % people for shift in range(1, FEW_PEOPLE)]  # a few for each photo are enough
    strange = np.concatenate([paired_distances(vectors, fit.means[other]) for other in others])
    near, far = np.median(usual), np.median(strange)
    near_spread, far_spread = (_DEVIATION * np.median(abs(d - np.median(d))) + 1e-6 for d in (usual, strange))
    own = (near * far_spread + far * near_spread) / (near_spread + far_spread)
    chance = far + ndtri(2 / (people * (people - 1))) * far_spread
    same = min(np.quantile(usual, 0.9), chance)
    source = f"{len(usual)} photos of {people} people"
    return Limits(float(own), float(far - far_spread), float(same), source)


def _limits_of_model(threshold: Threshold | None) -> Limits:
    """Return the limits for too few data: the model's threshold; for strangers the middle between it and 2.

    Unrelated faces are about 2 apart.
    """
    if threshold is None:
        source = "nothing: too few people and photos, and a model without a threshold; labels are not judged"
        return Limits(np.inf, np.inf, -np.inf, source)
    return Limits(threshold.distance, threshold.distance / 2 + 1, threshold.distance, f"the model: {threshold.source}")


def people_of(vectors: Vectors, labels: NDArray[np.int64]) -> People:
    """Return the people of (N, D) unit rows. labels: (N,) from 0 to P - 1; each occurs."""
    sums = sums_by_owner(vectors, labels)
    return People(unit_rows(sums), sums / np.bincount(labels)[:, None].astype(np.float32))


def nearest_people(a: People, b: People | None = None) -> list[tuple[int, int, float]]:
    """Return the pairs of people who are each other's nearest, with their distance.

    A pair is one person of `a` and one of `b`, or two of `a` without `b`. The distance between two people is the mean
    distance from one person's photos to the other's mean, in the direction where it is larger. So it can be compared
    with the distances from photos to their own person's mean, however few the photos.
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
