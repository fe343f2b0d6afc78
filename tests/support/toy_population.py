"""Made-up people who have little or much in common."""

import numpy as np

Rows = dict[str, list[np.ndarray]]


def people(seed: int, count: int, photos: int = 3, common: float = 0.0, dimension: int = 64) -> Rows:
    """Return 1 to `photos` unit rows of each of `count` people. The larger `common`, the more alike all people are."""
    rng = np.random.default_rng(seed)
    shared = np.zeros(dimension)
    shared[0] = common
    own = {}
    for number in range(count):
        centre = rng.standard_normal(dimension) / np.sqrt(dimension) + shared
        rows = centre + 0.3 * rng.standard_normal((1 + number % photos, dimension)) / np.sqrt(dimension)
        own[f"{seed}-{number}"] = list((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))
    return own


def rows_of(own: Rows) -> np.ndarray:
    return np.stack([row for rows in own.values() for row in rows])


COHORT = rows_of(people(0, 1200, 1))
