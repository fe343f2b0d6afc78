"""The photos that are most alike by the features of a stage."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerec.features.table import PhotoFeatures
from facerec.vectors import unit_rows


@dataclass(frozen=True, slots=True)
class SimilarPhoto:
    """A picture and how like it is to the one that was searched for: `distance` is 2 - 2 `cosine`, from 0 to 4."""

    path: Path
    cosine: float

    @property
    def distance(self) -> float:
        """The squared Euclidean distance between the features, made unit-length."""
        return 2 - 2 * self.cosine


def most_alike(row: NDArray[np.float32], photos: Iterable[PhotoFeatures], top: int) -> list[SimilarPhoto]:
    """The `top` photos whose features have the largest cosine to (C,) `row`; of equally like ones the earlier."""
    used = [(photo.path, _cosine(row, photo.row)) for photo in photos if photo.row is not None]
    order = np.argsort([-cosine for _, cosine in used], kind="stable")[:top]
    return [SimilarPhoto(*used[i]) for i in order]


def _cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """0 where either is zero and has no direction."""
    first, second = unit_rows(np.stack([a, b]))
    return float(np.clip(first @ second, -1, 1))
