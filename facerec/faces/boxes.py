"""Boxes (N, 4) float32 of left, top, right, bottom: moved, made square, and without those that repeat better ones."""

import numpy as np
from numpy.typing import NDArray

from facerec.faces.alignment import Points

Mask = NDArray[np.bool_]


def moved(boxes: Points, shares: Points, sides: Points) -> Points:
    """The boxes with their edges moved by shares (N, 4) of their sides (N, 2)."""
    return np.add(boxes, shares * np.tile(sides, 2))


def squares(boxes: Points) -> Points:
    """The boxes with the shorter sides made as long as the longer."""
    sides = boxes[:, 2:] - boxes[:, :2]
    longer = sides.max(1, keepdims=True)
    corners = boxes[:, :2] + sides * np.float32(0.5) - longer * np.float32(0.5)
    return np.hstack([corners, corners + longer])


def overlaps(boxes: Points) -> Points:
    """(N, N) intersection over union of all pairs."""
    shared, areas = _shared(boxes, 0), _areas(boxes, 0)
    return np.divide(shared, areas[:, None] + areas - shared)


def smaller_shares(boxes: Points) -> Points:
    """(N, N) the part of the smaller box that lies in the other, of all pairs; in whole pixels."""
    areas = _areas(boxes, 1)
    return np.divide(_shared(boxes, 1), np.minimum(areas[:, None], areas))


def _shared(boxes: Points, more: int) -> Points:
    """(N, N) areas that pairs share, with sides that are `more` pixels longer than the differences of edges."""
    x1, y1, x2, y2 = boxes.T
    width = np.minimum(x2[:, None], x2) - np.maximum(x1[:, None], x1) + np.float32(more)
    height = np.minimum(y2[:, None], y2) - np.maximum(y1[:, None], y1) + np.float32(more)
    return np.maximum(width, 0) * np.maximum(height, 0)


def _areas(boxes: Points, more: int) -> Points:
    return (boxes[:, 2:] - boxes[:, :2] + np.float32(more)).prod(1)


def unrepeated(repeats: Mask) -> Mask:
    """Which of N candidates stay, the best of which come first; repeats: (N, N), symmetric.

    A candidate stays unless it repeats one before it that stays.
    """
    # Each round settles at least one more of them, from the first on; a few rounds are enough.
    before = np.triu(repeats, 1)
    stay = np.ones(len(repeats), bool)
    while True:
        settled = np.logical_not(before[stay].any(axis=0))
        if np.array_equal(settled, stay):
            return stay
        stay = settled
