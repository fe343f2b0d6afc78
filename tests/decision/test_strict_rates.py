"""facerec.decision.calibration at rates that few strangers, and people much alike, can say little of."""

import itertools

import numpy as np
import pytest
from toy_population import COHORT, Rows, people, rows_of

from facerec.cli.calibrate import _as_text
from facerec.decision.calibration import ENOUGH, Calibration, Evidence, calibrate, calibrate_by
from facerec.decision.population import calibrate_people, evidence_of
from facerec.evaluation.identification import index_people
from facerec.evaluation.self_search import search_itself
from facerec.search.people import EnrolledPeople

RATES = (1e-5, 0.001, 0.01, 0.05, 0.5, 0.99)


def test_a_stricter_rate_is_never_given_a_looser_threshold() -> None:
    """Of two people the distances are little known: the line of a rate that is counted lies below the nearest."""
    for count, strangers in itertools.product((1, 2, 3, 30), (30, 50, 200, ENOUGH)):
        evidence = evidence_of(index_people(people(1, count)), COHORT[:strangers])
        distances = [made(evidence, fpir).distance for fpir in np.geomspace(1e-5, 0.3, 100)]
        assert distances == sorted(distances), (count, strangers)


@pytest.mark.parametrize("count", [1, 2, 40])
def test_none_of_the_strangers_is_none_also_in_single_precision(count: int) -> None:
    own = people(1, count)
    evidence = evidence_of(index_people(own), COHORT[:300])
    found = made(evidence, 1e-4)
    assert found.within == 0
    assert not (evidence.distances <= np.float32(found.distance)).any()
    owners = tuple(name for name, rows in own.items() for _ in rows)
    itself = search_itself(EnrolledPeople(rows_of(own), owners, COHORT[:300], 1e-4, None))
    assert itself.fpir_strangers is not None
    assert itself.fpir_strangers.errors == 0


def test_one_stranger_and_one_person_have_no_spread() -> None:
    for seed, common, fpir in itertools.product(range(5), (0.0, 0.4), RATES):
        consistent(calibrate_people(index_people(people(seed, 1, common=common)), COHORT[:1], fpir), fpir)


def test_people_all_alike_have_no_spread_either() -> None:
    alike = {name: [COHORT[0]] for name in "abc"}
    for strangers, fpir in itertools.product((1, 2, 1200), RATES):
        consistent(calibrate_people(index_people(alike), COHORT[:strangers], fpir), fpir)


@pytest.mark.parametrize("fpir", RATES)
@pytest.mark.parametrize("count", [1, 10, 200])
def test_one_person_under_two_names(count: int, fpir: float) -> None:
    twice: Rows = people(1, count)
    twice["again"] = next(iter(twice.values()))
    for strangers in (1, 50, 1200):
        consistent(calibrate_people(index_people(twice), COHORT[:strangers], fpir), fpir)


@pytest.mark.parametrize("fpir", RATES)
def test_people_enrolled_among_the_strangers_given(fpir: float) -> None:
    """One photo of them, over and over: more than the tenth that a tail is read off."""
    own = people(1, 3)
    given = np.repeat(rows_of(own)[:1], 700, axis=0)
    for cohort in (COHORT, COHORT[:1], None):
        consistent(calibrate_people(index_people(own), cohort, fpir, given), fpir)


def test_more_than_a_tenth_at_the_nearest_distance() -> None:
    rest = np.linspace(0.5, 1.5, ENOUGH).astype(np.float32)
    evidence = Evidence(np.append(rest, np.float32(0.25)), np.append(np.ones(ENOUGH), 500.0), np.zeros(ENOUGH + 1))
    assert 0 <= made(evidence, 0.01).distance < 0.25
    assert _as_text(made(evidence, 0.2)).endswith("is somebody enrolled twice, or among the strangers?")
    assert "it takes 100 strangers; give more" in _as_text(made(evidence, 0.01)), "nine equal ones are no hundred"
    alike = calibrate(np.full(ENOUGH, 0.25, np.float32), 0.01, 1)
    assert alike is not None
    assert (alike.within, alike.most, alike.distance) == (0, 0, float(np.nextafter(np.float32(0.25), np.float32(0))))


def made(evidence: Evidence, fpir: float) -> Calibration:
    found = calibrate_by(evidence, fpir, 1)
    assert found is not None
    return found


def consistent(found: Calibration | None, fpir: float) -> None:
    """What is said of a threshold is finite, in order, and all the same."""
    assert found is not None
    low, high = found.interval
    assert 0 <= found.distance < 4
    assert 0 <= low <= high <= 1
    assert 0 <= found.within <= found.strangers
    assert found.worth >= 1 - 1e-9
    for searches in (1, 10, 1000):
        least, most = found.prediction(searches)
        assert 0 <= least <= most <= 1
    source = found.threshold.source
    assert source.startswith(f"FPIR {100 * fpir:g} % at" if found.within else f"none of {found.strangers} strangers at")
