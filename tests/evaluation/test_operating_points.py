"""What each rate of strangers costs: the same threshold and the same misses as a gallery set to that rate has."""

import numpy as np
import pytest
from toy_vectors import near, units

from facerec.decision.population import calibrate_people
from facerec.evaluation.operating_points import operating_points
from facerec.evaluation.self_search import search_itself
from facerec.search.people import EnrolledPeople, PeopleIndex
from facerec.types import Threshold

LIMIT = Threshold(1.0, "a test")


def held(photos: int = 3, fpir: float = 0.01) -> EnrolledPeople:
    """Twenty people whose photos are 0.9 from a point of their own, and 400 strangers."""
    centres, owners = units(1, 20), [f"person {n}" for n in range(20) for _ in range(photos)]
    rows = [near(centre, 0.9, seed=31 * n + m) for n, centre in enumerate(centres) for m in range(photos)]
    return EnrolledPeople(np.stack(rows), tuple(owners), units(2, 400), fpir, LIMIT)


@pytest.mark.parametrize("rate", [0.005, 0.05, 0.2])
def test_a_point_is_what_a_gallery_of_that_rate_finds_in_itself(rate: float) -> None:
    _, (point,) = operating_points(held(), [rate])
    found = search_itself(held(fpir=rate))
    assert found.threshold is not None
    assert (point.fpir, point.calibration.distance) == (rate, found.threshold.distance)
    assert point.missed == found.fnir


def test_a_stricter_rate_misses_more() -> None:
    distances, points = operating_points(held(), [0.005, 0.02, 0.1, 0.3])
    limits = [point.calibration.distance for point in points]
    assert limits == sorted(limits)
    missed = [point.missed.errors for point in points if point.missed]
    assert missed == sorted(missed, reverse=True)
    assert missed[0] > missed[-1]
    assert len(distances.members) == 60
    assert len(distances.strangers) == len(distances.weights) == 420


def test_nobody_is_missed_where_nobody_has_two_photos() -> None:
    distances, (point,) = operating_points(held(photos=1), [0.01])
    assert point.missed is None
    assert len(distances.members) == 0
    people = PeopleIndex(np.arange(20), held(photos=1).owners, held(photos=1).vectors)
    made = calibrate_people(people, held().strangers, 0.01)
    assert made is not None
    assert made.distance == point.calibration.distance


def test_without_strangers_there_is_no_point() -> None:
    alone = held()
    _, points = operating_points(EnrolledPeople(alone.vectors, alone.owners, None, 0.01, LIMIT), [0.01])
    assert points == ()
