"""One suite for every way to search rows, held against brute force."""

import functools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import nearest_by_loop
from toy_vectors import lattice, units

from facerec.search.index import nearest_rows
from facerec.search.shortlist import LENGTH, Codebook, Shortlist, nearest_listed

Search = Callable[[np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]]
TOLERANCE = 4e-6


@functools.cache
def codebook(dimension: int) -> Codebook:
    return Codebook.learn(units(7, 64, dimension))


def nearest_by_shortlist(vectors: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Among rows that the codebook was not learned from."""
    book = codebook(rows.shape[1])
    return nearest_listed(vectors, rows, Shortlist(book, book.encode(rows)).nearest(vectors, k + LENGTH), k)


every_search = pytest.mark.parametrize("search", [nearest_rows, nearest_by_shortlist])


@every_search
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_searching_agrees_with_brute_force(search: Search, data: st.DataObject) -> None:
    rows = units(0, data.draw(st.integers(0, 60)))
    k = data.draw(st.integers(1, len(rows) + 3))
    queries = units(99, data.draw(st.sampled_from([0, 1, 3, 40])))
    distances, found = search(queries, rows, k)
    assert distances.shape == found.shape == (len(queries), k)
    assert distances.dtype == np.float32
    assert found.dtype == np.int64
    for query, row, numbers in zip(queries, distances, found, strict=True):
        nearest = nearest_by_loop(dict(enumerate(rows.tolist())), query.tolist(), k)
        assert numbers.tolist() == [i for _, i in nearest] + [-1] * (k - len(nearest))
        assert row[: len(nearest)] == pytest.approx([d for d, _ in nearest], abs=TOLERANCE)
        assert np.isinf(row[len(nearest) :]).all()


@every_search
@settings(max_examples=100, deadline=None)
@given(
    numbers=st.lists(st.integers(0, 7), min_size=1, max_size=300),
    queries=st.lists(st.integers(0, 7), min_size=1, max_size=30),
    data=st.data(),
)
def test_equal_distances_come_in_the_order_of_rows(
    search: Search, numbers: list[int], queries: list[int], data: st.DataObject
) -> None:
    k, stored = data.draw(st.integers(1, len(numbers))), dict(enumerate(lattice(numbers).tolist()))
    distances, found = search(lattice(queries), lattice(numbers), k)
    for query, row, numbers_found in zip(lattice(queries), distances, found, strict=True):
        expected = nearest_by_loop(stored, query.tolist(), k)
        assert list(zip(row.tolist(), numbers_found.tolist(), strict=True)) == expected


@every_search
def test_distances_stay_between_0_and_4(search: Search) -> None:
    rows = units(0, 50, 512)
    for count in (1, 50):
        same, opposite = search(rows[:count], rows, 1)[0], search(-rows[:count], rows, 50)[0]
        assert same.min() >= 0
        assert same.max() < TOLERANCE
        assert opposite.max() == pytest.approx(4, abs=TOLERANCE)


@every_search
def test_the_first_of_many_equal_rows_is_found(search: Search) -> None:
    distances, found = search(lattice([0]), lattice([1] + 40 * [0]), 2)
    assert (distances.tolist(), found.tolist()) == ([[0.0, 0.0]], [[1, 2]])
