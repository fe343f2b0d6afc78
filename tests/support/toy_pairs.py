"""Pairs of photos of made-up people, and their distances computed by a loop."""

import math

import numpy as np

from facerec.datasets.pairs import Pairs


def at(degrees: float) -> np.ndarray:
    """Return the unit vector at an angle in the plane. Two of them have the distance 2 - 2 cos(angle between)."""
    return np.array([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))], np.float32)


def made_up(folds: int | None, people: int = 40, failed: int = 3) -> tuple[Pairs, dict[str, np.ndarray | None]]:
    """Return a genuine and an impostor pair for each person, and the vectors of all photos.

    The people lie on a circle, with two photos each. failed: how many photos have no vector (None).
    """
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


def rated(pairs: Pairs, vectors: dict[str, np.ndarray | None]) -> list[int]:
    """Return which pairs rates are about: all but impostor pairs with a photo that has no face."""
    both = zip(pairs.a, pairs.b, pairs.same, strict=True)
    return [i for i, (a, b, same) in enumerate(both) if same or (vectors[a] is not None and vectors[b] is not None)]


def distances_by_loop(pairs: Pairs, vectors: dict[str, np.ndarray | None]) -> list[float]:
    result = []
    for a, b in zip(pairs.a, pairs.b, strict=True):
        u, v = vectors[a], vectors[b]
        result.append(math.inf if u is None or v is None else float(((u - v) ** 2).sum()))
    return result
