"""facerec.search.leave_one_out against loops over every vector, every person and every other vector of that person."""

import numpy as np
import oracles
import pytest

from facerec.search.leave_one_out import far_from_own, leave_one_out, nearest_others
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


def test_far_from_own_is_far_from_each_of_them_and_from_their_mean() -> None:
    x, y, z = np.eye(3, dtype=np.float32)
    rows = np.stack([x, x, y, x, y, x, y, z, x, x, x, y, y])
    places = np.array([0, 0, 0, 1, 1, 2, 2, 2, 3, 4, 4, 4, 4])
    far = far_from_own(rows, places, 1)
    assert np.flatnonzero(far).tolist() == [2, 4, 6, 7], "where all of a person's are far apart, the first stays"
    mixed = np.random.default_rng(0).permutation(len(rows))[::-1]
    assert far_from_own(rows[mixed], places[mixed], 1).sum() == far.sum(), "in any order"
