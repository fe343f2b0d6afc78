"""Groups of faces, one for each person, without knowing who or how many there are; and how right they are.

By average linkage, or by DBSCAN, which is better where nearly everybody is on one photo only.

Average linkage: the two groups whose faces are nearest to each other on average are joined, again and again, up to a
limit. Two faces of one photo are two people, so groups that meet in a photo are never joined. Between groups of unit
vectors the mean distance is 2 - 2 <a, b>, where a and b are their averages; so nobody needs all N x N distances.
"""

import math
import sys
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from facerec.decision.calibration import Calibration, calibrate
from facerec.text import how_many
from facerec.types import Threshold, Vectors
from facerec.vectors import squared_distances

JOINED = 0.1
"""The share of strangers that may be taken for somebody in the album: of those scripts/studies/clustering.py tried the
one of the highest B-cubed F, in the mean over four kinds of albums of validation people."""
DENSE = 0.01
"""The same for DBSCAN: of those that may be within its eps of some face of the album."""

_BLOCK = 4_000_000  # distances held at a time: 16 MB, whatever the number of faces

Labels = NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class Grouping:
    """The groups of N faces.

    labels: (N,) int64, 1 for the largest group, of equally large ones that of the earlier face; 0 for a face that is
    alone. threshold: the largest mean distance at which groups were joined, and where it comes from.
    """

    labels: Labels
    threshold: Threshold

    @property
    def groups(self) -> int:
        """How many there are of two faces and more."""
        return int(self.labels.max(initial=0))


def group_faces(
    vectors: Vectors, photos: Sequence[Hashable], limit: Threshold | Vectors, rate: float = JOINED
) -> Grouping:
    """Group (N, D) unit rows, N > 0; `photos` says of each which photo it is of.

    limit: the largest mean distance of groups that are joined; or (S, D) unit rows of strangers, S > 0, who set it:
    within it, `rate` of them would be of a group or a lone face. The more faces, the nearer strangers come to one of
    them, so a larger album is held to a smaller distance; the larger the groups, the less near, so the distance grows
    while groups are joined, and comes to rest when no more are.
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
    source = f"{_within(found)} would be one of these {how_many(len(linkage), 'person', 'people')}"
    return Grouping(_numbered(linkage.labels), Threshold(found.distance, source))


def dense_groups(vectors: Vectors, limit: Threshold | Vectors, rate: float = DENSE) -> Grouping:
    """Group (N, D) unit rows, N > 0: whoever are within eps of each other, and of one of them, and so on.

    DBSCAN of pairs and more (Ester et al. 1996, KDD). Two faces of one photo may meet. limit: eps, a squared distance;
    or (S, D) unit rows of strangers, S > 0, who set it: within it of some face, `rate` of them would be.
    """
    from sklearn.cluster import DBSCAN

    if not isinstance(limit, Threshold):
        faces = Linkage(vectors, range(len(vectors)))
        found = _calibrated(faces, limit, rate)
        limit = Threshold(
            found.distance, f"{_within(found)} would be as near to one of these {how_many(len(faces), 'face')}"
        )
    eps = max(math.sqrt(limit.distance), sys.float_info.min)  # not squared, and never 0
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
    """N faces in groups, at first each in its own, joined by `join`. len: of the groups."""

    def __init__(self, vectors: Vectors, photos: Sequence[Hashable]) -> None:
        """vectors: (N, D) unit rows. photos: N, of each what tells its photo from others."""
        self.labels: Labels = np.arange(len(vectors))  # (N,) the group of each face, 0..G-1 by its first face
        self._sums = vectors.astype(np.float64)  # (G, D)
        self._counts = np.ones(len(vectors))  # (G,)
        self._rivals = _rivals(photos)  # (R, 2) faces of one photo, both ways round

    def __len__(self) -> int:
        return len(self._counts)

    @property
    def means(self) -> Vectors:
        """(G, D) the average of each group's rows, which is shorter than they are."""
        return (self._sums / self._counts[:, None]).astype(np.float32)

    def nearest(self, vectors: Vectors) -> NDArray[np.float32]:
        """(S,) the mean distance of each of (S, D) unit rows to the group it is nearest to; S may be 0."""
        means, distances = self.means, np.empty(len(vectors), np.float32)
        for rows in _blocks(len(vectors), len(means)):
            distances[rows] = squared_distances(vectors[rows], means).min(axis=1)
        return distances

    def join(self, limit: float) -> None:
        """Join the nearest two groups while their mean distance is at most `limit`.

        Pairs that are each other's nearest are joined at once, which comes to the same as one after the other: a joined
        group is never nearer to a third than the nearer of its two halves was (Bruynooghe 1977; Murtagh 1983). For the
        same reason a group that has none within the limit never gets one.
        """
        into = np.arange(len(self))  # what each group is part of now
        rows = np.arange(len(self))  # those that may be joined yet
        while len(rows) > 1:
            nearest, distances = self._neighbours(rows, into)
            near = distances <= limit
            if not near.any():
                break
            first = np.arange(len(rows))
            pairs = near & (nearest[nearest] == first) & (first < nearest)
            if not pairs.any():  # rounding made them differ by the way round
                pairs = first == distances.argmin()
            kept, gone = rows[pairs], rows[nearest[pairs]]
            self._sums[kept] += self._sums[gone]
            self._counts[kept] += self._counts[gone]
            self._counts[gone] = 0
            into[gone] = kept
            rows = rows[near & ~np.isin(rows, gone)]
        self._close_ranks(into)

    def _close_ranks(self, into: Labels) -> None:
        """Number the groups anew, once some are part of others."""
        while (into[into] != into).any():
            into = into[into]
        kept, labels = np.unique(into, return_inverse=True)
        self.labels = labels[self.labels]
        self._sums, self._counts = self._sums[kept], self._counts[kept]

    def _neighbours(self, rows: Labels, into: Labels) -> tuple[Labels, NDArray[np.float32]]:
        """Of each of the groups `rows`: the place among them of the nearest it may be joined with, and how far."""
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
    """(R, 2) of all faces that share a photo, both ways round."""
    together: dict[Hashable, list[int]] = {}
    for face, photo in enumerate(photos):
        together.setdefault(photo, []).append(face)
    pairs = [pair for faces in together.values() for pair in permutations(faces, 2)]
    return np.array(pairs, np.int64).reshape(-1, 2)


def _numbered(labels: Labels) -> Labels:
    """Groups as `Grouping` numbers them, from (N,) numbered 0..G-1 by their first face."""
    sizes = np.bincount(labels)
    order = np.argsort(-sizes, kind="stable")
    numbers = np.zeros(len(sizes), np.int64)
    numbers[order] = np.arange(1, len(sizes) + 1)
    numbers[sizes == 1] = 0  # the smallest: the others' numbers have no gaps
    return numbers[labels]


def _blocks(count: int, width: int) -> list[NDArray[np.intp]]:
    """The numbers below `count`, so many at a time that rows of `width` distances fit a block."""
    size = max(1, _BLOCK // max(1, width))
    return [np.arange(start, min(start + size, count)) for start in range(0, count, size)]
