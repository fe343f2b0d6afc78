"""Grouping faces by person, without knowing who the people are or how many.

There are two methods: average linkage, and DBSCAN, which is better if nearly everybody is in one photo only.

Average linkage joins, again and again, the two groups whose faces are nearest to each other on average, up to a limit.
Two faces in one photo are two people, so groups that share a photo are never joined. The mean distance between two
groups of unit vectors is 2 - 2 <a, b>, where a and b are the groups' averages. So the N x N distances are not needed.
"""

import math
import sys
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from facerec.decision.calibration import Calibration, calibrate
from facerec.text import Brief, how_many
from facerec.types import Threshold, Vectors
from facerec.vectors import squared_distances

JOINED = 0.1
"""The share of strangers that may be taken for a person in the album. Of the shares that scripts/studies/clustering.py
tried, it has the highest mean B-cubed F over four kinds of albums of validation people."""
DENSE = 0.01
"""For DBSCAN: the share of strangers that may be within eps of a face in the album, chosen in the same way."""

_BLOCK = 4_000_000  # distances held at a time: 16 MB, whatever the number of faces

Labels = NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Grouping(Brief):
    """The groups of N faces.

    labels: (N,) int64, 1 for the largest group; of equally large groups, the one with the earlier face has the smaller
    number. 0 for a face that is alone. threshold: the largest distance at which faces were grouped, and its origin.
    """

    labels: Labels
    threshold: Threshold

    @property
    def groups(self) -> int:
        """The number of groups, each of two or more faces."""
        return int(self.labels.max(initial=0))


def group_faces(
    vectors: Vectors, photos: Sequence[Hashable], limit: Threshold | Vectors, rate: float = JOINED
) -> Grouping:
    """Group (N, D) unit rows, N > 0, by average linkage. photos: the photo of each row.

    limit: the largest mean distance at which groups are joined; or (S, D) unit rows of strangers, S > 0, who set it so
    that the share `rate` of them would be within it of a group or a lone face. With more faces, strangers come nearer
    to one of them, so a larger album has a smaller limit. With larger groups, strangers come less near. So the limit is
    set again after joining, and grows until no more groups are joined.
    """
    linkage = Linkage(vectors, photos)
    if isinstance(limit, Threshold):
        linkage.join(limit.distance)
        return Grouping(_numbered(linkage.labels), limit)
    found = made = _calibrated(linkage, limit, rate)
    while made.distance > found.distance or made is found:
        found = made
        linkage.join(found.distance)
        made = _calibrated(linkage, limit, rate)
    source = f"{_within(found)} would be taken for one of these {how_many(len(linkage), 'person', 'people')}"
    return Grouping(_numbered(linkage.labels), Threshold(found.distance, source))


def dense_groups(vectors: Vectors, limit: Threshold | Vectors, rate: float = DENSE) -> Grouping:
    """Group (N, D) unit rows, N > 0, by DBSCAN: a group is connected by pairs of faces within eps of each other.

    Two faces make a group (Ester et al. 1996, KDD, with MinPts 2). Two faces of one photo may be in one group. limit:
    eps, as a squared distance; or (S, D) unit rows of strangers, S > 0, who set it so that the share `rate` of them
    would be within it of a face.
    """
    from sklearn.cluster import DBSCAN

    if not isinstance(limit, Threshold):
        faces = Linkage(vectors, range(len(vectors)))
        found = _calibrated(faces, limit, rate)
        limit = Threshold(
            found.distance, f"{_within(found)} would be as near to one of these {how_many(len(faces), 'face')}"
        )
    eps = max(math.sqrt(limit.distance), sys.float_info.min)  # scikit-learn wants a plain distance, above 0
    labels = DBSCAN(eps=eps, min_samples=2).fit_predict(vectors)
    alone = labels < 0
    labels[alone] = labels.max() + 1 + np.arange(alone.sum())
    _, first, groups = np.unique(labels, return_index=True, return_inverse=True)
    return Grouping(_numbered(np.argsort(np.argsort(first))[groups]), limit)


def _calibrated(linkage: "Linkage", strangers: Vectors, rate: float) -> Calibration:
    found = calibrate(linkage.nearest(strangers), rate, len(linkage))
    assert found is not None, "no strangers"
    return found


def _within(found: Calibration) -> str:
    return f"{found.within or 'none'} of {found.strangers} strangers"


class Linkage:
    """N faces in G groups. At first each face is a group of its own; `join` joins them. Its length is G."""

    def __init__(self, vectors: Vectors, photos: Sequence[Hashable]) -> None:
        """Make a group of each of (N, D) unit rows. photos: the photo of each row."""
        self.labels: Labels = np.arange(len(vectors))  # (N,) the group of each face, 0..G-1 by its first face
        self._sums = vectors.astype(np.float64)  # (G, D) the sum of each group's rows
        self._counts = np.ones(len(vectors))  # (G,) the number of each group's faces
        self._rivals = _rivals(photos)  # (R, 2) pairs of faces in one photo, in both orders

    def __len__(self) -> int:
        return len(self._counts)

    @property
    def means(self) -> Vectors:
        """(G, D) the average of each group's rows; it is shorter than 1."""
        return (self._sums / self._counts[:, None]).astype(np.float32)

    def nearest(self, vectors: Vectors) -> NDArray[np.float32]:
        """Return the (S,) mean distances from (S, D) unit rows to their nearest group; S may be 0."""
        means, distances = self.means, np.empty(len(vectors), np.float32)
        for rows in _blocks(len(vectors), len(means)):
            distances[rows] = squared_distances(vectors[rows], means).min(axis=1)
        return distances

    def join(self, limit: float) -> None:
        """Join the nearest two groups while their mean distance is at most `limit`.

        All pairs of groups that are each other's nearest are joined at once. The result is the same as one by one: a
        joined group is never nearer to a third group than the nearer of its two parts was (Bruynooghe 1977; Murtagh
        1983). For the same reason, a group without a neighbour within the limit never gets one, and is left alone.
        """
        into = np.arange(len(self))  # the group that each group is now part of
        rows = np.arange(len(self))  # the groups that may still be joined
        while len(rows) > 1:
            nearest, distances = self._neighbours(rows, into)
            near = distances <= limit
            if not near.any():
                break
            first = np.arange(len(rows))
            pairs = near & (nearest[nearest] == first) & (first < nearest)
            if not pairs.any():  # rounding made the distances of a pair differ between its two orders
                pairs = first == distances.argmin()
            kept, gone = rows[pairs], rows[nearest[pairs]]
            self._sums[kept] += self._sums[gone]
            self._counts[kept] += self._counts[gone]
            self._counts[gone] = 0
            into[gone] = kept
            rows = rows[near & ~np.isin(rows, gone)]
        self._close_ranks(into)

    def _close_ranks(self, into: Labels) -> None:
        """Number the groups again without gaps, after some became part of others."""
        while (into[into] != into).any():
            into = into[into]
        kept, labels = np.unique(into, return_inverse=True)
        self.labels = labels[self.labels]
        self._sums, self._counts = self._sums[kept], self._counts[kept]

    def _neighbours(self, rows: Labels, into: Labels) -> tuple[Labels, NDArray[np.float32]]:
        """Return for each of the groups `rows` the nearest it may be joined with, as a place in `rows`; and how far."""
        place = np.full(len(into), -1)
        place[rows] = np.arange(len(rows))
        while (into[into] != into).any():
            into = into[into]
        rivals = place[into[self.labels[self._rivals]]]  # (R, 2) places
        rivals = rivals[(rivals >= 0).all(axis=1)]
        means = (self._sums[rows] / self._counts[rows, None]).astype(np.float32)
        nearest, distances = np.empty(len(rows), np.int64), np.empty(len(rows), np.float32)
        for block in _blocks(len(rows), len(rows)):
            d = squared_distances(means[block], means)  # (block, all of rows)
            d[block - block[0], block] = np.inf
            here = rivals[(rivals[:, 0] >= block[0]) & (rivals[:, 0] <= block[-1])]
            d[here[:, 0] - block[0], here[:, 1]] = np.inf
            nearest[block], distances[block] = d.argmin(axis=1), d.min(axis=1)
        return nearest, distances


def _rivals(photos: Sequence[Hashable]) -> Labels:
    """Return (R, 2): all pairs of faces that share a photo, in both orders."""
    together: dict[Hashable, list[int]] = {}
    for face, photo in enumerate(photos):
        together.setdefault(photo, []).append(face)
    pairs = [pair for faces in together.values() for pair in permutations(faces, 2)]
    return np.array(pairs, np.int64).reshape(-1, 2)


def _numbered(labels: Labels) -> Labels:
    """Return (N,) labels as `Grouping` numbers groups. labels: (N,), numbered 0..G-1 by the groups' first faces."""
    sizes = np.bincount(labels)
    order = np.argsort(-sizes, kind="stable")
    numbers = np.zeros(len(sizes), np.int64)
    numbers[order] = np.arange(1, len(sizes) + 1)
    numbers[sizes == 1] = 0  # these came last, so the other numbers have no gaps
    return numbers[labels]


def _blocks(count: int, width: int) -> list[NDArray[np.intp]]:
    """Split the numbers below `count` into blocks that hold at most _BLOCK distances, `width` a number."""
    size = max(1, _BLOCK // max(1, width))
    return [np.arange(start, min(start + size, count)) for start in range(0, count, size)]
