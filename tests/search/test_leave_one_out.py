"""facerec.search.leave_one_out against loops over every vector, every person and every other vector of that person."""

import numpy as np
import oracles
import pytest

from facerec.search.leave_one_out import far_from_own, leave_one_out, nearest_others, own_distances
from facerec.types import Vectors
from facerec.vectors import unit_means, unit_rows


def crowd(counts: list[int]) -> tuple[Vectors, np.ndarray]:
    """Random rows, so many of each person, in a mixed order."""
    rng = np.random.default_rng(len(counts))
    places = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    return unit_rows(rng.standard_normal((len(places), 5))), places


@pytest.mark.parametrize("counts", [[1], [3], [1, 1], [4, 1, 2, 7, 1, 3], [1, 2, 3] * 30])
def test_it_is_the_loops(counts: list[int]) -> None:
    vectors, places = crowd(counts)
    means = unit_means(vectors, places)
    found = leave_one_out(vectors, places, means)
    for i, (row, place) in enumerate(zip(vectors, places, strict=True)):
        own = [vectors[j].tolist() for j in range(len(vectors)) if places[j] == place and j != i]
        others = {p: float(np.square(row - mean).sum()) for p, mean in enumerate(means) if p != place}
        mean = np.array(oracles.unit_mean_by_loop(own)) if own else np.full(5, np.inf)
        assert found.own[i] == pytest.approx(float(np.square(row - mean).sum()), abs=1e-5)
        assert found.other[i] == pytest.approx(min(others.values(), default=np.inf), abs=1e-5)
        assert not others or found.nearest[i] == min(others, key=others.__getitem__)


@pytest.mark.parametrize("counts", [[4, 1, 2, 7, 1, 3], [1, 2, 3] * 30])
def test_only_some_rows_may_make_up_the_means(counts: list[int]) -> None:
    vectors, places = crowd(counts)
    counted = np.random.default_rng(1).random(len(vectors)) < 0.5
    counted[np.unique(places, return_index=True)[1]] = True  # at least one of each person
    found = own_distances(vectors, places, counted)
    for i, (row, place) in enumerate(zip(vectors, places, strict=True)):
        own = [vectors[j].tolist() for j in np.flatnonzero(counted & (places == place)) if j != i]
        mean = np.array(oracles.unit_mean_by_loop(own)) if own else np.full(5, np.inf)
        assert found[i] == pytest.approx(float(np.square(row - mean).sum()), abs=1e-5)


def test_nobody_has_no_other() -> None:
    vectors, places = crowd([2, 2])
    found = leave_one_out(vectors[:0], places[:0], vectors[:0])
    assert found.own.shape == found.other.shape == found.nearest.shape == (0,)
    distances, _ = nearest_others(vectors[:0], places[:0], vectors)
    assert distances.shape == (0,)


def test_a_stranger_is_compared_with_everybody() -> None:
    vectors, places = crowd([3, 2, 4])
    means = unit_means(vectors, places)
    distances, nearest = nearest_others(vectors, np.where(places == 1, -1, places), means)
    by_hand = np.square(vectors[:, None] - means).sum(axis=2)
    assert nearest[places == 1].tolist() == by_hand[places == 1].argmin(axis=1).tolist()
    np.testing.assert_allclose(distances[places == 1], by_hand[places == 1].min(axis=1), atol=1e-6)
    assert not (nearest == places)[places != 1].any()
    assert np.isinf(nearest_others(vectors, places, means[:0])[0]).all(), "of nobody"


def test_where_the_others_cancel_out_the_first_of_them_stands_for_them() -> None:
    x, y = np.eye(2, dtype=np.float32)
    vectors, places = np.stack([y, x, -x, x]), np.array([0, 0, 0, 1])
    own = leave_one_out(vectors, places, unit_means(vectors, places)).own
    assert own[0] == pytest.approx(2), "the others are x and -x: y is compared with x"
    vectors = np.stack([x, x, -x, y])
    own = leave_one_out(vectors, places, unit_means(vectors, places)).own
    np.testing.assert_allclose(own, [0, 0, 4, np.inf], atol=1e-6)


def test_photos_of_somebody_else_are_far_from_the_person_and_do_not_vouch_for_each_other() -> None:
    x, y, z = np.eye(3, dtype=np.float32)
    rows = np.stack([x, x, y, x, y, x, y, z, x, x, x, y, y, y, x, y, y])
    places = np.array([0, 0, 0, 1, 1, 2, 2, 2, 3, 4, 4, 4, 4, 5, 5, 5, 5])
    far = far_from_own(rows, places, 1)
    assert np.flatnonzero(far).tolist() == [2, 4, 6, 7, 11, 12, 14], (
        "where as many are for it as against, the first stay"
    )
    np.testing.assert_allclose(far[far > 0], 2, atol=1e-6)
    mixed = np.random.default_rng(0).permutation(len(rows))[::-1]
    assert (far_from_own(rows[mixed], places[mixed], 1) > 0).sum() == (far > 0).sum(), "in any order"


def test_rows_in_a_chain_are_one_person() -> None:
    turns = np.linspace(0, np.pi, 300)  # each row is near the next, and the ends are opposite
    chain = np.stack([np.cos(turns), np.sin(turns)], axis=1).astype(np.float32)
    assert not far_from_own(chain, np.zeros(300, np.intp), 0.01).any()


def test_a_row_near_the_mean_of_the_others_is_not_far() -> None:
    a = np.radians(40)
    rows = np.array([[np.cos(a), np.sin(a), 0], [np.cos(a), -np.sin(a), 0], [0.2, 0, np.sqrt(0.96)]], np.float32)
    limit = 1.66  # the first two are 1.65 apart, the third is 1.69 from each and 1.6 from their mean
    assert not far_from_own(rows, np.zeros(3, np.intp), limit).any()
    assert np.flatnonzero(far_from_own(rows, np.zeros(3, np.intp), 1.59)).tolist() == [1, 2], "now all are apart"
