"""Made-up unit vectors."""

import numpy as np


def units(seed: int, count: int, dimension: int = 16) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def lattice(numbers: list[int], dimension: int = 4) -> np.ndarray:
    """Return unit vectors along the axes, both ways. Their distances are exactly 0, 2 or 4: ties everywhere."""
    axes = np.eye(dimension, dtype=np.float32)
    return np.concatenate([axes, -axes])[np.array(numbers, int) % (2 * dimension)].reshape(-1, dimension)


def near(row: np.ndarray, distance: float, seed: int = 77) -> np.ndarray:
    """Return a unit vector at a squared distance from the unit vector `row`; the direction depends on the seed."""
    aside = np.random.default_rng(seed).standard_normal(len(row))
    aside -= (aside @ row) * row
    cosine = 1 - distance / 2
    return (cosine * row + np.sqrt(1 - cosine**2) * aside / np.linalg.norm(aside)).astype(np.float32)
