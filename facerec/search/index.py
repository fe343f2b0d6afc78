"""Exact nearest-neighbour search over unit vectors, by FAISS.

Distances are d = |a - b|^2 = 2 - 2 cos, FAISS's squared L2. They are float32, so correct to about 2e-6.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from facerec.types import Vectors

Ids = NDArray[np.int64]


class Index(Protocol):
    """Finds rows like a vector; it may miss some. What it finds is then compared exactly (`shortlist.nearest_listed`).

    A row is named by its number, from 0 on. The kinds: `shortlist.Shortlist`, of codes in memory, and
    `engine.EngineIndex`, of an engine beside this process. Without an index, all rows are compared (`nearest_rows`).

    listed: how many rows to ask for besides those that are wanted, so that these are among them. most: how many may be
    asked for at most; whoever wants more compares with all rows.
    """

    listed: int
    most: int

    def nearest(self, vectors: Vectors, count: int) -> Ids:
        """Return (N, `count`): the numbers of the rows nearest to (N, D) unit vectors; -1 beyond the last."""
        ...


def faiss() -> Any:
    """Return the module, imported on use: other commands would spend half of their start-up time on it."""
    import faiss

    return faiss


def nearest_rows(vectors: Vectors, rows: Vectors, k: int) -> tuple[NDArray[np.float32], Ids]:
    """Return distances and row numbers, both (N, k), of the k >= 1 of (R, D) rows nearest to each of (N, D) vectors.

    They are sorted by distance, then row number. If R is less than k, they end in distance inf and number -1.
    """
    if not len(rows) or not len(vectors):
        shape = (len(vectors), k)
        return np.full(shape, np.inf, np.float32), np.full(shape, -1, np.int64)
    return in_order(*faiss().knn(np.ascontiguousarray(vectors, np.float32), rows, k))


def in_order(distances: NDArray[np.float32], ids: Ids) -> tuple[NDArray[np.float32], Ids]:
    """Sort (..., k) distances and their ids by distance, then id. An id of -1 is none: its distance becomes inf."""
    distances = np.where(ids < 0, np.float32(np.inf), np.maximum(distances, 0))  # rounding may give less than 0
    order = np.lexsort((ids, distances), axis=-1)
    return np.take_along_axis(distances, order, axis=-1), np.take_along_axis(ids, order, axis=-1)
