"""Pairs of made-up people, and their distances by a loop."""

import math

import numpy as np

from facerec.datasets.pairs import Pairs


def at(degrees: float) -> np.ndarray:
    """A unit vector in the plane; two of them are 2 - 2 cos(angle between) apart."""
    return np.array([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))], np.float32)


def made_up(folds: int | None, people: int = 40, failed: int = 3) -> tuple[Pairs, dict[str, np.ndarray | None]]:
    """Two photos of each person, who are neighbours on a circle; one genuine and one impostor pair each."""
    rng = np.random.default_rng(0)
    vectors: dict[str, np.ndarray | None] = {}
    for p in range(people):
        for photo in "ab":
            vectors[f"{p}/{photo}.jpg"] = at(p * 360 / people + rng.normal(0, 8))
    genuine = [(f"{p}/a.jpg", f"{p}/b.jpg", True) for p in range(people)]
    impostor = [(f"{p}/a.jpg", f"{(p + 1 + p % 7) % people}/b.jpg", False) for p in range(people)]
    a, b, same = zip(*genuine, *impostor, strict=True)
    vectors |= dict.fromkeys(list(vectors)[:failed])
    fold = None if folds is None else np.arange(2 * people) % folds
    return Pairs(a, b, np.array(same), fold), vectors


def distances_by_loop(pairs: Pairs, vectors: dict[str, np.ndarray | None]) -> list[float]:
    result = []
    for a, b in zip(pairs.a, pairs.b, strict=True):
        u, v = vectors[a], vectors[b]
        result.append(math.inf if u is None or v is None else float(((u - v) ** 2).sum()))
    return result
