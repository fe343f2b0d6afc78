"""Keys of people: numbers that stand for a person and one set of their vectors, in codes and engines."""

import numpy as np
from numpy.typing import NDArray

from facerec.search.index import Ids

Keys = NDArray[np.uint64]

SPREAD = np.uint64(0x9E3779B97F4A7C15)
"""2^64 divided by the golden ratio: its multiples are spread evenly over the 64-bit numbers (Knuth, TAOCP 3, 6.4)."""


def keys_of(ids: Ids, places: NDArray[np.integer]) -> Keys:
    """Return (P,) keys of people: a person's changes with the set of their vectors, and no two people have the same.

    ids: (N,) the vectors' ids, above 0, each used once and never again. places: (N,) their people's numbers, from 0 to
    P - 1.
    """
    keys = np.zeros(int(places.max(initial=-1)) + 1, np.uint64)
    np.add.at(keys, places, _mixed(ids))
    return keys


def digest_of(keys: Keys) -> int:
    """Return a 64-bit number for a set of keys. It changes with every key, whatever the order."""
    return int(_mixed(keys).sum(dtype=np.uint64))


def _mixed(numbers: NDArray[np.integer]) -> Keys:
    """Return (N,) random-looking numbers, always the same for a number (finaliser of MurmurHash3, Appleby 2011)."""
    mixed = numbers.astype(np.uint64) * SPREAD
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        mixed = (mixed ^ (mixed >> np.uint64(33))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(33))
