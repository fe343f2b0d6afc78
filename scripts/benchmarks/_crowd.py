"""Vectors of made-up people, as many as one likes, whose scores are those of real faces; and a check that they are.

A person is the shipped model's cohort perturbed: a vector of the cohort, taken at KERNEL of its variance, plus normal
noise with the cohort's covariance. A photo of a person lies at the distance of two photos of one person, drawn from
GENUINE, in a direction of noise. Normal noise alone would make too few people very much alike. For another dimension
than the model's 128, the covariance's spectrum is stretched so that the scores of strangers spread as before, and the
cohort is made up, too.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec.vectors import unit_rows

KERNEL = 0.32
GENUINE = (  # quantile, distance: two photos of one person, of the validation people (12 at most of each)
    *((0.0, 0.05), (0.01, 0.32), (0.05, 0.467), (0.1, 0.569), (0.25, 0.751), (0.5, 0.954)),
    *((0.75, 1.175), (0.9, 1.395), (0.95, 1.543), (0.99, 1.933), (1.0, 2.1)),
)
_BLOCK = 50_000  # people made at once
COSINES = (0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999)  # quantiles that `compared` shows
NEAREST = (0.01, 0.1, 0.5, 0.9)

Rows = NDArray[np.float32]


@dataclass(frozen=True, eq=False, slots=True)
class Crowd:
    """Makes people and photos. mean: (D,). parents: (N, D), centred. noise: (D, D), a root of their covariance."""

    mean: Rows
    parents: Rows
    noise: Rows

    @property
    def dimension(self) -> int:
        """D."""
        return len(self.noise)

    def people(self, count: int, seed: int) -> Rows:
        """Return (`count`, D) unit rows, one for each person."""
        rng, made = np.random.default_rng(seed), np.empty((count, self.dimension), np.float32)
        for start in range(0, count, _BLOCK):
            some = made[start : start + _BLOCK]
            parents = self.parents[rng.integers(0, len(self.parents), len(some))]
            some[:] = unit_rows(self.mean + KERNEL**0.5 * parents + (1 - KERNEL) ** 0.5 * self._noise(rng, len(some)))
        return made

    def photos(self, people: Rows, seed: int) -> Rows:
        """Return another photo of each of (N, D) people."""
        rng = np.random.default_rng(seed)
        cosines = 1 - np.interp(rng.random((len(people), 1)), *np.array(GENUINE).T) / 2
        away = self._noise(rng, len(people))
        away -= (away * people).sum(axis=1, keepdims=True) * people
        return unit_rows(cosines * people + np.sqrt(1 - cosines**2) * unit_rows(away))

    def _noise(self, rng: np.random.Generator, count: int) -> Rows:
        return rng.standard_normal((count, self.dimension), np.float32) @ self.noise


def crowd(dimension: int) -> Crowd:
    """Return the crowd of a dimension, at least that of the shipped model."""
    real = cohort()
    mean = real.mean(axis=0)
    centred = real - mean
    values, axes = np.linalg.eigh(centred.T @ centred / len(real))
    if dimension == len(mean):
        return Crowd(mean, centred, np.sqrt(values)[:, None] * axes.T)
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.standard_normal((dimension, dimension)))[0].astype(np.float32)
    noise = (np.sqrt(stretched(values, dimension))[:, None] * turn.T).astype(np.float32)
    direction = unit_rows(rng.standard_normal((1, dimension)) @ noise)[0]
    parents = rng.standard_normal((len(real), dimension), np.float32) @ noise
    return Crowd(direction * np.linalg.norm(mean), parents, noise)


def stretched(values: NDArray[np.floating], count: int) -> NDArray[np.float64]:
    """Return `count` variances of the same sum and sum of squares as these, falling in the same manner.

    The sum of squares is the variance of strangers' scores.
    """
    share = np.sort(values)[::-1] / values.sum()
    places = [(np.arange(n) + 0.5) / n for n in (count, len(share))]
    logs = np.interp(places[0], places[1], np.log(share))
    low, high = 0.0, 10.0
    while True:  # the steeper the fall, the larger the sum of squares
        steep = (low + high) / 2
        made = np.exp(steep * (logs - logs.max()))
        made /= made.sum()
        if high - low < 1e-6:
            return made * values.sum()
        low, high = (low, steep) if (made**2).sum() > (share**2).sum() else (steep, high)


def cohort() -> Rows:
    """Return the shipped model's cohort: (N, D) unit rows, one photo of each of N strangers."""
    from safetensors.numpy import load_file

    import facerec

    path = Path(facerec.__file__).parent / "weights" / "cohort.safetensors"
    return unit_rows(load_file(path)["embeddings"].astype(np.float32))


def compared(made: Crowd) -> dict[str, Any]:
    """Return the scores of the cohort, and of as many made-up people, side by side."""
    real = cohort()
    return {"real": _scores(real), "made_up": _scores(made.people(len(real), seed=9))}


def genuine(vectors: Rows, owners: NDArray[np.integer]) -> list[float]:
    """Return the quantiles of GENUINE of the distances between two of (N, D) rows of the same owner."""
    first, second = np.triu_indices(len(vectors), 1)
    same = owners[first] == owners[second]
    distances = np.square(vectors[first[same]] - vectors[second[same]]).sum(axis=1)
    return [float(np.quantile(distances, q)) for q, _ in GENUINE]


def _scores(rows: Rows) -> dict[str, Any]:
    """Quantiles of the cosines of all pairs, and of the distances to the nearest other person."""
    cosines = rows @ rows.T
    pairs = cosines[np.triu_indices(len(rows), 1)]
    np.fill_diagonal(cosines, -1)
    nearest = 2 - 2 * cosines.max(axis=1)
    return {
        "cosine_sd": float(pairs.std()),
        "cosine": {str(q): float(np.quantile(pairs, q)) for q in COSINES},
        "nearest_distance": {str(q): float(np.quantile(nearest, q)) for q in NEAREST},
    }
