"""Unit rows against slow loops in Python's own floats, and the rows that damaged files hold."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from oracles import unit_mean_by_loop

from facerec.types import Vectors
from facerec.vectors import (
    EPSILON,
    are_unit,
    mean_of_views,
    paired_distances,
    squared_distances,
    sums_by_owner,
    unit_means,
    unit_rows,
    unit_sums,
    vector_fault,
)

RNG = np.random.default_rng(0)


def rows(count: int, dimension: int = 64) -> Vectors:
    return unit_rows(RNG.standard_normal((count, dimension)))


def lengths_by_loop(found: Vectors) -> list[float]:
    return [math.sqrt(sum(float(x) ** 2 for x in row)) for row in found]


# ------------------------------------------------------------------------------------------------------------- making


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_rows_get_length_1_and_keep_their_direction(dtype: type, scale: float) -> None:
    given = (RNG.standard_normal((20, 64)) * scale).astype(dtype)
    before = given.copy()
    found = unit_rows(given)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(given, before)
    assert lengths_by_loop(found) == pytest.approx([1] * 20, abs=1e-6)
    np.testing.assert_allclose(found[:, 1:] * given[:, :1], found[:, :1] * given[:, 1:], rtol=1e-3, atol=1e-5 * scale)


def test_a_row_of_zeros_stays_and_nobody_is_warned() -> None:
    given = np.stack([np.zeros(8, np.float32), np.eye(8, dtype=np.float32)[3] * 5])
    with np.errstate(all="raise"):
        found = unit_rows(given)
    assert found.tolist() == [[0] * 8, np.eye(8)[3].tolist()]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_never_becomes_a_unit_row(value: float) -> None:
    given = rows(3)
    given[1, 5] = value
    with np.errstate(invalid="ignore"):
        found = unit_rows(given)
    assert not are_unit(found)
    assert are_unit(found[[0, 2]])


def test_no_rows_are_no_rows() -> None:
    none = np.zeros((0, 8), np.float32)
    assert unit_rows(none).shape == mean_of_views(none, none).shape == (0, 8)
    assert unit_means(none, np.zeros(0, np.intp)).shape == (0, 8)
    assert squared_distances(none, rows(3, 8)).shape == (0, 3)
    assert paired_distances(none, none).shape == (0,)
    assert are_unit(none)
    assert vector_fault(none, 8) is None


def test_the_mean_of_a_crop_and_its_mirror_image_lies_between_them() -> None:
    a, b = rows(9), rows(9)
    expected = [unit_mean_by_loop([first.tolist(), second.tolist()]) for first, second in zip(a, b, strict=True)]
    np.testing.assert_allclose(mean_of_views(a, b), expected, atol=1e-6)


def test_means_are_those_of_a_loop_however_the_rows_are_ordered() -> None:
    given, owners = rows(40), RNG.permutation(np.repeat(np.arange(5), [1, 2, 7, 10, 20]))
    expected = [unit_mean_by_loop(given[owners == owner].tolist()) for owner in range(5)]
    np.testing.assert_allclose(unit_means(given, owners), expected, atol=1e-6)
    sums = [given[owners == owner].astype(np.float64).sum(0) for owner in range(5)]
    np.testing.assert_allclose(sums_by_owner(given, owners), sums, atol=1e-5)


def test_rows_that_cancel_out_give_the_first_of_them() -> None:
    a, b = rows(2)
    given = np.stack([b, a, -a, a * np.float32(1 + 1e-5), -a])
    np.testing.assert_array_equal(unit_means(given[1:], np.array([0, 0, 1, 1])), given[[1, 3]])
    np.testing.assert_allclose(unit_means(given, np.array([0, 1, 1, 1, 1])), given[:2], atol=1e-6)


@pytest.mark.parametrize(("length", "kept"), [(1.5 * EPSILON, True), (0.5 * EPSILON, False), (0, False)])
def test_a_sum_has_a_direction_from_epsilon_on(length: float, kept: bool) -> None:
    (a, b) = rows(2)
    np.testing.assert_allclose(unit_sums(a[None] * np.float32(length), b[None]), [a if kept else b], atol=1e-6)


# ----------------------------------------------------------------------------------------------------------- checking


def test_half_precision_keeps_rows_of_length_1() -> None:
    """The reason for EPSILON: whatever the numbers are, rounding them to float16 changes the length by less."""
    each = 2**-5 * (1 + 2**-11 - 2**-20)  # just below the middle between two numbers of float16
    count = int(1 / each**2)
    worst = np.array([[each] * count + [math.sqrt(1 - count * each**2)]], np.float32)
    for given in (rows(1000, 512), worst, np.eye(3, dtype=np.float32)):
        assert are_unit(given.astype(np.float16).astype(np.float32))
    (length,) = lengths_by_loop(worst.astype(np.float16).astype(np.float32))
    assert 1 - 5e-4 < length < 1 - 4.5e-4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda row: row, None),
        (lambda row: row * np.float32(1 + 0.5 * EPSILON), None),
        (lambda row: row * np.float32(1 + 1.5 * EPSILON), "is not of length 1"),
        (lambda row: row * np.float32(1 - 1.5 * EPSILON), "is not of length 1"),
        (lambda row: row * np.float32(0), "is not of length 1"),
        (lambda row: row * np.float32(3e38), "is not of length 1"),
        (lambda row: row * np.float32(math.nan), "holds numbers that are not finite"),
        (lambda row: np.where(np.arange(64) == 7, np.float32(-math.inf), row), "holds numbers that are not finite"),
    ],
)
def test_one_bad_row_among_good_ones_is_found_without_a_warning(
    change: Callable[[Vectors], Vectors], said: str | None
) -> None:
    good = rows(4)
    given = np.stack([*good, change(good[2])])
    with np.errstate(all="raise"):
        assert vector_fault(given, 64) == said
        assert are_unit(given) == (said is None)


@pytest.mark.parametrize(("shape", "width"), [((2, 63), 63), ((2, 0), 0), ((), 0), ((64,), 0), ((2, 3, 64), 0)])
def test_rows_of_another_dimension_and_what_is_no_table_of_rows(shape: tuple[int, ...], width: int) -> None:
    assert vector_fault(np.zeros(shape, np.float32), 64) == f"has {width} numbers instead of 64"


# ---------------------------------------------------------------------------------------------------------- comparing


def distance_by_loop(a: Vectors, b: Vectors) -> float:
    return sum((float(x) - float(y)) ** 2 for x, y in zip(a, b, strict=True))


def test_distances_are_those_of_a_loop() -> None:
    a, b = rows(7), rows(5)
    expected = [[distance_by_loop(first, second) for second in b] for first in a]
    np.testing.assert_allclose(squared_distances(a, b), expected, atol=2e-6)
    np.testing.assert_allclose(paired_distances(a[:5], b), np.diag(expected), atol=2e-6)
    np.testing.assert_allclose(paired_distances(a, b[0]), np.array(expected)[:, 0], atol=2e-6)


def test_rounding_never_leaves_0_to_4() -> None:
    a = rows(500, 512)
    for others in (a, -a):
        found = squared_distances(a, others)
        assert found.dtype == np.float32
        assert found.min() >= 0
        assert found.max() <= 4
    assert (paired_distances(a, a) == 0).all()
    opposite = paired_distances(a, -a)
    assert opposite.max() <= 4
    assert opposite.min() > 4 - 1e-5


def test_the_distance_to_an_average_is_the_average_of_the_distances() -> None:
    a, group = rows(3), rows(6)
    expected = squared_distances(a, group).mean(axis=1)
    np.testing.assert_allclose(squared_distances(a, group.mean(axis=0, keepdims=True))[:, 0], expected, atol=2e-6)
