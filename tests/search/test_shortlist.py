"""facerec.search.shortlist: with it, a search among many people finds what comparing with everybody finds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_vectors import units

from facerec.search import people as people_module
from facerec.search.index import nearest_rows
from facerec.search.people import PeopleIndex
from facerec.search.shortlist import LENGTH, Codebook, Shortlist, nearest_listed, parts_of
from facerec.types import Vectors
from facerec.vectors import unit_rows

ENOUGH = 20  # people, for the toys below to count as many


@pytest.fixture
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people_module, "LEAST", ENOUGH)


def searched(shortlist: Shortlist, rows: Vectors, queries: Vectors, k: int) -> tuple[np.ndarray, np.ndarray]:
    return nearest_listed(queries, rows, shortlist.nearest(queries, k + LENGTH), k)


@pytest.mark.parametrize("dimension", [3, 16, 64, 100, 128, 257, 512])
def test_among_few_rows_it_lists_all_so_the_search_is_exact(dimension: int) -> None:
    rows, queries = units(0, 300, dimension), units(1, 20, dimension)
    shortlist = Shortlist.of(rows)
    assert shortlist.codes.shape == (300, parts_of(dimension) // 2)
    for k in (1, 3, 300, 305):
        for found, expected in zip(searched(shortlist, rows, queries, k), nearest_rows(queries, rows, k), strict=True):
            np.testing.assert_allclose(found, expected, atol=4e-6)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_rows_added_and_replaced_are_those_of_a_list_made_at_once(data: st.DataObject) -> None:
    rows = units(0, 40, 8)
    made = Shortlist.of(rows)
    for seed in range(1, data.draw(st.integers(2, 6))):
        new = units(seed, data.draw(st.integers(0, 70)), 8)
        made.add(new)
        rows = np.concatenate([rows, new])
        changed = np.array(sorted(data.draw(st.sets(st.integers(0, len(rows) - 1), max_size=5))), np.int64)
        rows[changed] = units(seed + 100, len(changed), 8)
        made.replace(changed, rows[changed])
    at_once = Shortlist(made.codebook, made.codebook.encode(rows))
    np.testing.assert_array_equal(made.codes, at_once.codes)
    queries = units(99, 5, 8)
    for count in (1, 30, len(rows)):
        np.testing.assert_array_equal(np.sort(made.nearest(queries, count)), np.sort(at_once.nearest(queries, count)))


def test_nobody_is_listed_for_nothing() -> None:
    codebook = Codebook.learn(units(0, 30, 8))
    empty = Shortlist(codebook, codebook.encode(units(0, 0, 8)))
    assert (empty.nearest(units(1, 2, 8), 3) == -1).all()
    empty.add(units(0, 0, 8))
    empty.add(units(0, 5, 8))
    assert empty.nearest(units(0, 5, 8), 1).ravel().tolist() == [0, 1, 2, 3, 4]
    assert empty.nearest(units(0, 0, 8), 1).shape == (0, 1)


@pytest.mark.parametrize("dimension", [128, 512])
def test_photos_of_enrolled_people_find_whom_an_exact_search_finds(dimension: int) -> None:
    """Far more people than are listed. Like faces, they differ more along some axes than along others."""
    rng = np.random.default_rng(0)
    shape = np.exp(-np.arange(dimension) / dimension * 3)
    rows = unit_rows(rng.standard_normal((8_000, dimension)) * shape)
    queries = unit_rows(rows[:1000] + 1.2 * unit_rows(rng.standard_normal((1000, dimension)) * shape))
    (near, exact), shortlist = nearest_rows(queries, rows, 1), Shortlist.of(rows[:4_000])
    shortlist.add(rows[4_000:])
    distances, found = searched(shortlist, rows, queries, 1)
    assert (found == exact).mean() >= 0.995
    np.testing.assert_allclose(distances[found == exact], near[found == exact], atol=4e-6)


def owners_of(count: int) -> list[str]:
    """Everybody has one or two vectors, the second ones in another order."""
    return [str(n) for n in range(count)] + [str(n * 7 % count) for n in range(count // 2)]


def test_a_search_among_many_people_is_by_shortlist(few_are_many: None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    nearest = Shortlist.nearest
    monkeypatch.setattr(Shortlist, "nearest", lambda *args: (asked.append(1), nearest(*args))[1])
    few = PeopleIndex(np.arange(ENOUGH - 1), owners_of(ENOUGH - 1)[: ENOUGH - 1], units(0, ENOUGH - 1))
    few.nearest(units(1, 3), 1)
    assert not asked
    few.add(np.array([99]), ["new"], units(2, 1))
    assert few.nearest(units(2, 1), 1)[0][0].person == "new"
    assert asked


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_people_added_are_found_as_by_comparing_with_everybody(data: st.DataObject) -> None:
    owners = owners_of(40)
    vectors, queries = units(0, len(owners)), units(1, 10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(people_module, "LEAST", ENOUGH)
        index = PeopleIndex(np.arange(30), owners[:30], vectors[:30])
        start = 30
        while start < len(owners):
            index.nearest(queries, 1)
            end = start + data.draw(st.integers(1, 12))
            index.add(np.arange(start, min(end, len(owners))), owners[start:end], vectors[start:end])
            start = end
        for top in (1, 5, 60):
            distances, places = index.nearest_places(queries, top)
            expected = nearest_rows(queries, index.means, min(top, 40))
            np.testing.assert_array_equal(places, expected[1])
            np.testing.assert_allclose(distances, expected[0], atol=4e-6)
