"""One suite for every Index, held against brute force; then the file FlatIndex writes."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import nearest_by_loop
from toy_vectors import lattice, units

from facerec.errors import GalleryError
from facerec.files import draft_of
from facerec.search.index import FlatIndex, Index

every_index = pytest.mark.parametrize("kind", [FlatIndex])
TOLERANCE = 4e-6


def ids(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


@every_index
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_adding_removing_and_searching_agree_with_brute_force(
    kind: Callable[[int], Index], data: st.DataObject
) -> None:
    index, stored, number = kind(16), {}, 0
    for seed in range(data.draw(st.integers(1, 6))):
        fresh = np.arange(number, number + data.draw(st.integers(0, 12)), dtype=np.int64)
        number += len(fresh)
        index.add(fresh, units(seed, len(fresh)))
        stored |= dict(zip(fresh.tolist(), units(seed, len(fresh)), strict=True))
        gone = data.draw(st.sets(st.integers(0, number + 2)))
        index.remove(ids(*gone))
        stored = {i: v for i, v in stored.items() if i not in gone}
    assert len(index) == len(stored)
    k = data.draw(st.integers(1, number + 3))
    queries = units(99, data.draw(st.sampled_from([0, 1, 3, 40])))
    distances, found = index.search(queries, k)
    assert distances.shape == found.shape == (len(queries), k)
    assert distances.dtype == np.float32
    assert found.dtype == np.int64
    for query, row, numbers in zip(queries, distances, found, strict=True):
        nearest = nearest_by_loop({i: v.tolist() for i, v in stored.items()}, query.tolist(), k)
        assert numbers.tolist() == [i for _, i in nearest] + [-1] * (k - len(nearest))
        assert row[: len(nearest)] == pytest.approx([d for d, _ in nearest], abs=TOLERANCE)
        assert np.isinf(row[len(nearest) :]).all()


@every_index
@settings(max_examples=100, deadline=None)
@given(
    numbers=st.lists(st.integers(0, 7), min_size=1, max_size=300),
    queries=st.lists(st.integers(0, 7), min_size=1, max_size=30),
    data=st.data(),
)
def test_equal_distances_come_in_the_order_of_ids(
    kind: Callable[[int], Index], numbers: list[int], queries: list[int], data: st.DataObject
) -> None:
    index, k = kind(4), data.draw(st.integers(1, len(numbers)))
    index.add(np.arange(len(numbers), dtype=np.int64) * 3, lattice(numbers))
    stored = {3 * i: v.tolist() for i, v in enumerate(lattice(numbers))}
    distances, found = index.search(lattice(queries), k)
    for query, row, numbers_found in zip(lattice(queries), distances, found, strict=True):
        expected = nearest_by_loop(stored, query.tolist(), k)
        assert list(zip(row.tolist(), numbers_found.tolist(), strict=True)) == expected


@every_index
def test_distances_stay_between_0_and_4(kind: Callable[[int], Index]) -> None:
    rows = units(0, 50, 512)
    index = kind(512)
    index.add(np.arange(50, dtype=np.int64), rows)
    for count in (1, 50):
        same, opposite = index.search(rows[:count], 1)[0], index.search(-rows[:count], 50)[0]
        assert same.min() >= 0
        assert same.max() < TOLERANCE
        assert opposite.max() == pytest.approx(4, abs=TOLERANCE)


@every_index
def test_another_dimension_is_refused(kind: Callable[[int], Index]) -> None:
    index = kind(16)
    with pytest.raises(GalleryError, match="16 numbers"):
        index.add(ids(1), units(0, 1, 8))
    with pytest.raises(GalleryError, match="16 numbers"):
        index.search(units(0, 1, 32), 1)
    with pytest.raises(GalleryError, match="16 numbers"):
        index.search(units(0, 1)[0], 1)
    assert len(index) == 0


@every_index
def test_an_id_is_given_once(kind: Callable[[int], Index]) -> None:
    index = kind(16)
    index.add(ids(4), units(0, 1))
    for again in (ids(5, 4), ids(6, 6)):
        with pytest.raises(GalleryError, match="already"):
            index.add(again, units(1, 2))
    assert len(index) == 1


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    index = FlatIndex(16)
    index.add(ids(7, 3, 9), units(0, 3))
    index.save(tmp_path / "index.faiss", "now")
    return tmp_path / "index.faiss"


def test_a_saved_index_comes_back_whole(saved: Path) -> None:
    index = FlatIndex.load(saved, "now")
    assert index is not None
    assert index.ids.tolist() == [3, 7, 9]
    assert np.array_equal(index.vectors(ids(9, 7)), units(0, 3)[[2, 0]])
    index.remove(ids(7))
    index.add(ids(7), units(1, 1))
    assert index.search(units(1, 1), 1)[1].item() == 7
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert not draft_of(saved).exists()


def test_an_index_of_another_stamp_is_not_believed(saved: Path) -> None:
    assert FlatIndex.load(saved, "then") is None
    assert FlatIndex.load(saved.with_name("missing"), "now") is None
    assert FlatIndex.load(saved.parent, "now") is None


def test_a_damaged_index_is_not_believed(saved: Path) -> None:
    whole = saved.read_bytes()
    for end in range(len(whole)):
        saved.write_bytes(whole[:end])
        assert FlatIndex.load(saved, "now") is None
    for place in range(len(whole)):
        saved.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        assert FlatIndex.load(saved, "now") is None
    saved.write_bytes(whole + b"\0")
    assert FlatIndex.load(saved, "now") is None
    saved.write_bytes(os.urandom(1000))
    assert FlatIndex.load(saved, "now") is None


def test_an_index_that_cannot_be_written_leaves_the_old_one(saved: Path) -> None:
    draft_of(saved).mkdir()
    with pytest.raises(GalleryError, match=r"index\.faiss: cannot be written"):
        FlatIndex(16).save(saved, "later")
    index = FlatIndex.load(saved, "now")
    assert index is not None
    assert len(index) == 3
