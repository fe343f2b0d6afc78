"""facerec.population: strangers of the model are taken for strangers of the kind of those who are enrolled."""

import numpy as np
import oracles
import pytest

from facerec.calibrate import calibrate
from facerec.identification import index_people
from facerec.population import SHIFT, STRETCH, calibrate_people, fit, stranger_distances

Rows = dict[str, list[np.ndarray]]


def people(seed: int, count: int, photos: int = 3, common: float = 0.0, dimension: int = 64) -> Rows:
    """Unit rows of so many people, who have the more in common the larger `common` is; 1 to `photos` of each."""
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


@pytest.mark.parametrize(("count", "common"), [(1, 0.3), (2, 0.0), (5, 0.3), (30, 0.5)])
def test_moments_are_those_of_the_loops(count: int, common: float) -> None:
    enrolled, cohort = people(1, count, common=common), COHORT[:70]
    found = fit(index_people(enrolled), cohort)
    centre, spread, their_centre, their_spread = oracles.kind_by_loop(enrolled, list(cohort))
    assert (found.centre, found.spread) == pytest.approx((centre, spread), abs=1e-6)
    assert found.centre + found.shift == pytest.approx(their_centre, abs=1e-6)
    assert found.spread * found.stretch == pytest.approx(their_spread, abs=1e-6)
    made = calibrate_people(index_people(enrolled), cohort, 0.1)
    assert made is not None
    assert made.distance == pytest.approx(oracles.gallery_threshold_by_loop(enrolled, list(cohort), 0.1), abs=1e-5)


@pytest.mark.parametrize("common", [0.2, 0.3])
def test_strangers_of_their_kind_are_let_through_at_the_rate_asked_for(common: float) -> None:
    """Ten galleries: the mean rate is the target's, and by the cohort as it is it is many times that."""
    rates, unmoved, covered = [], [], []
    for seed in range(10):
        enrolled, strangers = people(10 + seed, 40, common=common), rows_of(people(100 + seed, 1000, 1, common))
        index = index_people(enrolled)
        made = calibrate_people(index, COHORT, 0.01)
        raw = calibrate(np.array([f[0].distance for f in index.nearest(COHORT, 1)], np.float32), 0.01, 40)
        assert made is not None
        assert raw is not None
        nearest = np.array([found[0].distance for found in index.nearest(strangers, 1)])
        rates.append((nearest <= made.distance).mean())
        unmoved.append((nearest <= raw.distance).mean())
        low, high = made.prediction(len(strangers))
        covered.append(low <= rates[-1] <= high)
    assert 0.007 < np.mean(rates) < 0.014
    assert np.mean(unmoved) > 0.02
    assert sum(covered) >= 9


def test_where_they_are_of_one_kind_little_changes() -> None:
    found = fit(index_people(people(3, 60)), COHORT)
    assert abs(found.shift) < 0.01
    assert abs(found.stretch - 1) < 0.05


def test_of_one_person_nothing_is_known_and_that_is_said() -> None:
    one, many = (calibrate_people(index_people(people(4, count)), COHORT, 0.05) for count in (1, 100))
    assert one is not None
    assert many is not None
    assert (one.within, many.within) == (60, 60)
    raw = calibrate(
        np.array([f[0].distance for f in index_people(people(4, 1)).nearest(COHORT, 1)], np.float32), 0.05, 1
    )
    assert raw is not None
    assert one.distance == pytest.approx(raw.distance, abs=1e-6)
    assert one.least < raw.least == raw.within == raw.most < one.most
    assert one.interval[1] - one.interval[0] > many.interval[1] - many.interval[0] > 0
    found = fit(index_people(people(4, 1)), COHORT)
    assert (found.shift_error, found.stretch_error) == (SHIFT, STRETCH)


def test_more_people_are_believed_more() -> None:
    errors = [fit(index_people(people(5, count, common=0.4)), COHORT).shift_error for count in (2, 5, 20, 100)]
    assert errors == sorted(errors, reverse=True)
    shifts = [fit(index_people(people(5, count, common=0.4)), COHORT).shift for count in (3, 100)]
    assert 0 < shifts[0] < shifts[1]


def test_strangers_of_ones_own_count_as_they_are() -> None:
    index, given = index_people(people(6, 30, common=0.5)), rows_of(people(7, 50, 1, 0.5))
    distances, population = stranger_distances(index, COHORT, given)
    assert population is not None
    assert len(distances) == len(COHORT) + 50
    np.testing.assert_allclose(distances[-50:], [f[0].distance for f in index.nearest(given, 1)], atol=1e-6)
    alone, none = stranger_distances(index, COHORT[:0], given)
    assert none is None
    np.testing.assert_array_equal(alone, distances[-50:])
    made = calibrate_people(index, COHORT[:0], 0.1, given)
    assert made is not None
    assert made.least == made.within == made.most == 5
    assert calibrate_people(index, COHORT[:0], 0.1) is None
    assert calibrate_people(index_people({}), COHORT, 0.1) is None
