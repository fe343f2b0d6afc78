"""Unit rows: how they are made, averaged, checked and compared. Nothing else in facerec does this by itself.

A face's vector is a row of length 1. Arrays of rows are (N, D) float32; N may be 0. Distances are squared Euclidean,
d = |a - b|^2 = 2 - 2 cos, from 0 (the same) to 4 (opposite).
"""

import numpy as np
from numpy.typing import NDArray

from facerec.types import Vectors

Rows = NDArray[np.floating]  # (N, D), of any length and precision

MAX_DISTANCE = 4.0
"""The largest squared distance between unit rows."""

EPSILON = 1e-3
"""How far a length may be from 1, or from 0, and still count as 1 or 0.

Half precision is the coarsest form in which facerec stores unit rows. It rounds each number by at most 1 in 2048, so
it changes a row's length by less than 5e-4; float32 changes it by less than 1e-6. A row that is off by more than
EPSILON is therefore damaged or was never normalised. And a sum of unit rows that is shorter than EPSILON may consist of
rounding errors alone, so its direction means nothing.
"""

# ------------------------------------------------------------------------------------------------------------- making


def unit_rows(rows: Rows) -> Vectors:
    """(N, D) rows divided by their lengths, as float32. A row of zeros has no direction and stays as it is."""
    exact = rows.astype(np.float32, copy=False)
    divisors = lengths(exact)[:, None]
    divisors[divisors == 0] = 1
    return exact / divisors


def mean_of_views(rows: Vectors, mirrored: Vectors) -> Vectors:
    """The unit means of (N, D) unit rows of crops and those of the crops' mirror images."""
    return unit_rows(rows + mirrored)


def sums_by_owner(rows: Vectors, owners: NDArray[np.integer]) -> Vectors:
    """(P, D): the sums of the (N, D) rows of each owner; owners: (N,) numbers from 0 to P - 1."""
    sums = np.zeros((int(owners.max(initial=-1)) + 1, rows.shape[1]), np.float32)
    np.add.at(sums, owners, rows)
    return sums


def unit_sums(sums: Vectors, instead: Vectors) -> Vectors:
    """(N, D) sums of unit rows, scaled to length 1. Where the rows cancelled out, the row of `instead`, (N, D)."""
    found = lengths(sums)[:, None]
    return np.where(found > EPSILON, sums / np.maximum(found, np.float32(EPSILON)), instead)


def unit_means(rows: Vectors, owners: NDArray[np.integer]) -> Vectors:
    """(P, D): the unit mean of each owner's unit rows; where they cancel out, the owner's first row.

    owners: (N,) numbers from 0 to P - 1, each of them at least once.
    """
    first = np.unique(owners, return_index=True)[1]
    return unit_sums(sums_by_owner(rows, owners), rows[first])


# ----------------------------------------------------------------------------------------------------------- checking


def lengths(rows: Vectors) -> NDArray[np.float32]:
    """(N,) lengths of (N, D) rows."""
    return np.linalg.norm(rows, axis=1)


def are_unit(rows: Vectors) -> bool:
    """Whether all of (N, D) rows are finite and of length 1, within EPSILON."""
    with np.errstate(over="ignore", invalid="ignore"):  # damaged bytes may be any number
        return bool((np.abs(lengths(rows) - 1) <= EPSILON).all())  # False for NaN, too


def vector_fault(rows: Vectors, dimension: int) -> str | None:
    """What is wrong with (N, D) rows that should be unit rows of `dimension` numbers, as "is not ..."; None if nothing.

    The caller puts whose vector it is before these words and raises the error that fits.
    """
    width = rows.shape[1] if rows.ndim == 2 else 0
    if width != dimension:
        return f"has {width} numbers instead of {dimension}"
    if not np.isfinite(rows).all():
        return "holds numbers that are not finite"
    return None if are_unit(rows) else "is not of length 1"


# ---------------------------------------------------------------------------------------------------------- comparing


def squared_distances(rows: Vectors, others: Vectors) -> Vectors:
    """(N, M) squared distances of (N, D) unit rows to (M, D) others, clipped to 0..4, which rounding may miss by 1e-6.

    Where a row is the plain average of several unit rows, and so is shorter than 1, the result is the mean of their
    squared distances.
    """
    found = rows @ others.T
    found *= -2
    found += 2
    return np.clip(found, 0, MAX_DISTANCE, out=found)


def paired_distances(rows: Vectors, others: Vectors) -> Vectors:
    """(N,) squared distances of (N, D) unit rows to the others of the same place, (N, D), or to one, (D,); 0..4."""
    return np.minimum(np.square(rows - others).sum(axis=1), np.float32(MAX_DISTANCE))
