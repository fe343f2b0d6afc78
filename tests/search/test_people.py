"""facerec.search.people: who is nearest; people added one by one are those of an index made at once."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import nearest_people_by_loop, unit_mean_by_loop
from toy_vectors import lattice, units

from facerec.search import people as people_module
from facerec.search.people import PeopleIndex
from facerec.search.rows import Rows, marks_of
from facerec.search.shortlist import Codebook

TOLERANCE = 4e-6
BOOK = Codebook.learn(units(2, 40, 8))
OWNERS = st.lists(st.sampled_from("abcde"), max_size=40)


def made_at_once(owners: list[str], dimension: int = 8) -> PeopleIndex:
    """The index of so many vectors under odd ids."""
    return PeopleIndex(np.arange(len(owners)) * 2 + 1, owners, units(0, len(owners), dimension))


def vectors_of(index: PeopleIndex) -> dict[str, list[list[float]]]:
    pairs = list(zip(index.owners(), index.vectors.tolist(), strict=True))
    return {name: [vector for owner, vector in pairs if owner == name] for name in index.names}


@settings(max_examples=60, deadline=None)
@given(owners=OWNERS, top=st.integers(1, 7), queries=st.sampled_from([0, 1, 25]))
def test_the_nearest_people_agree_with_brute_force(owners: list[str], top: int, queries: int) -> None:
    index = made_at_once(owners)
    people, found = vectors_of(index), index.nearest(units(1, queries, 8), top)
    assert len(found) == queries
    for query, candidates in zip(units(1, queries, 8).tolist(), found, strict=True):
        expected = nearest_people_by_loop(people, query, top)
        assert [c.distance for c in candidates] == pytest.approx(expected, abs=TOLERANCE)
        assert len({c.person for c in candidates}) == len(candidates)
        for c in candidates:
            assert nearest_people_by_loop({c.person: people[c.person]}, query, 1) == pytest.approx(
                [c.distance], abs=TOLERANCE
            )


def test_equally_near_people_come_in_the_order_of_enrollment() -> None:
    numbers, rows = np.arange(6, dtype=np.int64), lattice([0, 1, 1, 0, 0, 2])
    people = PeopleIndex(numbers, ["Zoe", "Bob", "Bob", "Ann", "Ann", "Cy"], rows)
    for top in range(1, 5):
        assert [c.person for c in people.nearest(lattice([0]), top)[0]] == ["Zoe", "Ann", "Bob", "Cy"][:top]


@settings(max_examples=100, deadline=None)
@given(owners=OWNERS, ends=st.lists(st.integers(0, 40)))
def test_people_added_in_steps_are_those_of_an_index_made_at_once(owners: list[str], ends: list[int]) -> None:
    whole, index = made_at_once(owners), PeopleIndex.nobody(8)
    for start, end in itertools.pairwise([0, *sorted(end for end in ends if end < len(owners)), len(owners)]):
        index.add(whole.ids[start:end], owners[start:end], whole.vectors[start:end])
    assert index.names == whole.names
    assert index.owners() == owners
    for part in ("ids", "places", "vectors", "lowest_ids"):
        np.testing.assert_array_equal(getattr(index, part), getattr(whole, part))
    assert index.means.shape == (len(index.names), 8)
    for mean, same, vectors in zip(index.means, whole.means, vectors_of(whole).values(), strict=True):
        np.testing.assert_allclose(mean, unit_mean_by_loop(vectors), atol=TOLERANCE)
        np.testing.assert_allclose(mean, same, atol=TOLERANCE)


@settings(max_examples=100, deadline=None)
@given(owners=OWNERS, data=st.data(), least=st.sampled_from([3, 1000]))
def test_whoever_is_left_is_found_as_if_the_others_had_never_been_there(
    owners: list[str], data: st.DataObject, least: int
) -> None:
    """Also by the shortlist, in rows that seem to lie in a file, and when people are added afterwards."""
    whole = made_at_once([*owners, "a", "f"])
    here = data.draw(st.integers(0, len(owners)))
    index = PeopleIndex(whole.ids[:here], owners[:here], whole.vectors[:here])
    if data.draw(st.booleans()):
        rows = (Rows(each, marks_of(each)) for each in (index.vectors, index.means))
        index = PeopleIndex.restored(index.names, index.ids, index.places, *rows)
    gone = np.array(sorted(data.draw(st.sets(st.sampled_from([*whole.ids.tolist(), 999])))), np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(people_module, "LEAST", least)
        patch.setattr(Codebook, "learn", lambda _: BOOK)
        index.nearest_places(units(1, 3, 8), 1)
        index.remove(gone)
        left = np.flatnonzero(~np.isin(whole.ids, gone))
        new = left[left >= here]
        index.add(whole.ids[new], [whole.owners()[row] for row in new], whole.vectors[new])
        expected = PeopleIndex(whole.ids[left], [whole.owners()[row] for row in left], whole.vectors[left])
        assert index.names == expected.names
        for part in ("ids", "places", "vectors", "lowest_ids"):
            np.testing.assert_array_equal(getattr(index, part), getattr(expected, part))
        np.testing.assert_allclose(index.means, expected.means, atol=TOLERANCE)
        found, wanted = (each.nearest(units(1, 5, 8), 3) for each in (index, expected))
    assert [[c.person for c in row] for row in found] == [[c.person for c in row] for row in wanted]


def test_a_mean_does_not_drift_however_often_it_is_made_again() -> None:
    rows = units(0, 5000, 8) * np.float32(1)
    rows[:, 0] = np.abs(rows[:, 0])
    index = PeopleIndex(np.arange(2), ["Ann", "Bob"], rows[:2])
    for number in range(2, len(rows)):
        index.add(np.array([number]), ["Ann"], rows[number : number + 1])
    exact = np.delete(rows, 1, axis=0).sum(axis=0, dtype=np.float64)
    np.testing.assert_allclose(index.means[0], exact / np.linalg.norm(exact), atol=TOLERANCE)


def test_where_vectors_cancel_out_the_first_is_the_mean() -> None:
    index = PeopleIndex(np.arange(1), ["Ann"], lattice([0]))
    for number, axis in enumerate((4, 1), start=1):  # the opposite of the first, then another
        index.add(np.array([number]), ["Ann"], lattice([axis]))
        np.testing.assert_array_equal(index.means, lattice([0 if number == 1 else 1]))


@settings(max_examples=60, deadline=None)
@given(owners=OWNERS, names=st.lists(st.sampled_from("abcdez"), max_size=25))
def test_the_nearest_and_the_named_person(owners: list[str], names: list[str]) -> None:
    index, queries = made_at_once(owners), units(1, len(names), 8)
    for query, name, found in zip(queries, names, index.nearest_and_named(queries, names), strict=True):
        nearest = [candidate.person for candidate in index.nearest(query[None], 1)[0]]
        assert {candidate.person for candidate in found} == {*nearest, *(name for _ in nearest if name in owners)}
        for candidate in found:
            alone = nearest_people_by_loop({"": vectors_of(index)[candidate.person]}, query.tolist(), 1)
            assert [candidate.distance] == pytest.approx(alone, abs=TOLERANCE)
        assert [candidate.distance for candidate in found] == sorted(candidate.distance for candidate in found)


def test_people_at_the_same_place_are_equally_near_whoever_is_named() -> None:
    same = units(0, 1, 128)
    index = PeopleIndex(np.arange(3), ["Ann", "Bob", "Cy"], np.concatenate([same, same, -same]))
    for query in units(1, 50, 128):
        ann, bob = index.nearest_and_named(np.sign(query @ same[0]) * query[None], ["Bob"])[0]
        assert (ann.person, bob.person, ann.distance) == ("Ann", "Bob", bob.distance)


@settings(max_examples=60, deadline=None)
@given(owners=st.lists(st.sampled_from("abcdefgh"), max_size=20), names=st.sets(st.sampled_from("abcdez")))
def test_who_is_alike_agrees_with_brute_force(owners: list[str], names: set[str]) -> None:
    index, limit = made_at_once(owners, 3), 0.9
    expected = {}
    for (a, one), (b, two) in itertools.combinations(zip(index.names, index.means, strict=True), 2):
        distance = float(np.square(one.astype(float) - two).sum())
        if distance <= limit and names & {a, b}:
            expected[(b, a) if owners.count(b) < owners.count(a) else (a, b)] = distance
    found = index.alike(names, limit)
    assert {(a, b): pytest.approx(distance, abs=TOLERANCE) for a, b, distance in found} == expected
    assert [distance for *_, distance in found] == sorted(distance for *_, distance in found)
    assert len(found) == len(expected)


def test_marks_tell_rows_apart_and_people_of_the_same_mean() -> None:
    rows = units(0, 1000, 128)
    changed = rows.copy()
    changed[:, 7] = np.nextafter(changed[:, 7], np.float32(2))
    marks = np.concatenate([marks_of(rows), marks_of(changed), marks_of(-rows)])
    assert len(np.unique(marks)) == 3000
    np.testing.assert_array_equal(marks_of(rows[::2]), marks_of(rows)[::2])
    twins = PeopleIndex(np.arange(2), ["Ann", "Bob"], np.concatenate([rows[:1], rows[:1]]))
    assert len(np.unique(twins.marks())) == 2
