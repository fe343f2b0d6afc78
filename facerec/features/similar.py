"""Finding the photos most alike by the features of a stage."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerec.features.table import PhotoFeatures
from facerec.vectors import unit_rows


@dataclass(frozen=True, slots=True)
class SimilarPhoto:
    """A photo and its similarity to the one searched for. cosine: of their features, from -1 to 1."""

    path: Path
    cosine: float

    @property
    def distance(self) -> float:
        """The squared Euclidean distance between the features at unit length: 2 - 2 cosine, from 0 to 4."""
        return 2 - 2 * self.cosine


def most_alike(row: NDArray[np.float32], photos: Iterable[PhotoFeatures], top: int) -> list[SimilarPhoto]:
    """Return the `top` photos whose features have the largest cosine to (C,) `row`; of two equal, the earlier first.

    Photos without features are left out.
    """
    used = [(photo.path, _cosine(row, photo.row)) for photo in photos if photo.row is not None]
    order = np.argsort([-cosine for _, cosine in used], kind="stable")[:top]
    return [SimilarPhoto(*used[i]) for i in order]


def _cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Return the cosine of two (C,) rows; 0 if either is all zeros."""
    first, second = unit_rows(np.stack([a, b]))
    return float(np.clip(first @ second, -1, 1))
