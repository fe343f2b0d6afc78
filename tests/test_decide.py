"""Decisions and their words."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facerec.decide import decide, same_person
from facerec.errors import ConfigError
from facerec.types import Candidate, Threshold

CARD = Threshold(1.08, "FMR 0.1 % on the validation people")
ANN, BOB = Candidate("Ann Lee", 0.61), Candidate("Bob Ray", 1.4)
distances = st.floats(0, 4)


def test_a_match_names_the_person_the_threshold_and_the_next() -> None:
    decision = decide([ANN, BOB], CARD, people=2)
    assert decision.person == "Ann Lee"
    assert decision.distance == 0.61
    assert decision.margin == pytest.approx(0.79)
    assert decision.candidates == (ANN, BOB)
    assert decision.reason == (
        "Ann Lee at 0.61, within the threshold 1.08 (FMR 0.1 % on the validation people); next Bob Ray at 1.40"
    )


def test_an_unknown_names_the_best_match_all_the_same() -> None:
    decision = decide([Candidate("Ann Lee", 1.31)], CARD, people=1)
    assert decision.person is None
    assert decision.distance == 1.31
    assert decision.margin is None
    assert decision.reason == (
        "best match Ann Lee at 1.31, above the threshold 1.08 (FMR 0.1 % on the validation people)"
    )


def test_nobody_enrolled() -> None:
    decision = decide([], CARD, people=0)
    assert (decision.person, decision.distance, decision.margin) == (None, None, None)
    assert decision.reason == "nobody is enrolled"


def test_a_distance_at_the_threshold_matches_and_the_next_number_does_not() -> None:
    assert decide([Candidate("Ann", 1.08)], CARD, 1).person == "Ann"
    decision = decide([Candidate("Ann", math.nextafter(1.08, 4))], CARD, 1)
    assert decision.person is None
    assert decision.reason.startswith("best match Ann at 1.0800000000000003, above the threshold 1.0800000000000001 (")


def test_words_use_as_many_decimals_as_it_takes() -> None:
    assert "1.0801, above the threshold 1.0800" in decide([Candidate("Ann", 1.0801)], CARD, 1).reason
    assert "1.08, within the threshold 1.08" in decide([Candidate("Ann", 1.0799)], CARD, 1).reason


@given(distances, distances)
def test_words_never_contradict_the_decision(distance: float, limit: float) -> None:
    threshold = Threshold(limit, "a test")
    decision, verification = decide([Candidate("Ann", distance)], threshold, 1), same_person(distance, threshold)
    for same, reason in ((decision.person is not None, decision.reason), (verification.same, verification.reason)):
        shown = re.search(r"(\d+\.\d+), (within|above) the threshold (\d+\.\d+) \(a test\)", reason)
        assert shown is not None
        assert same == (distance <= limit) == (shown[2] == "within") == (float(shown[1]) <= float(shown[3]))


@given(st.lists(distances, min_size=2, max_size=6), distances)
def test_the_nearest_decides_whatever_the_order(found: list[float], limit: float) -> None:
    decision = decide([Candidate(str(i), d) for i, d in enumerate(found)], Threshold(limit, "a test"), len(found))
    first, second = sorted(found)[:2]
    assert decision.distance == first
    assert decision.margin == second - first
    assert (decision.person is None) == (first > limit)
    assert decision.person in {None, str(found.index(first))}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_never_matches(bad: float) -> None:
    decision = decide([Candidate("Ann Lee", bad)], CARD, people=3)
    assert (decision.person, decision.distance, decision.candidates) == (None, None, ())
    assert decision.reason == "none of the 3 enrolled could be compared with this face"
    assert decide([Candidate("Eve", bad), ANN], CARD, people=2).person == "Ann Lee"
    verification = same_person(bad, CARD)
    assert not verification.same
    assert verification.distance is None
    with pytest.raises(ConfigError, match="threshold must be a number"):
        decide([ANN], Threshold(bad, "--threshold"), people=1)
    with pytest.raises(ConfigError, match="threshold must be a number"):
        same_person(0.5, Threshold(bad, "--threshold"))


def test_verification_in_words() -> None:
    assert same_person(0.61, CARD).reason == (
        "distance 0.61, within the threshold 1.08 (FMR 0.1 % on the validation people)"
    )
    assert not same_person(1.31, CARD).same
    assert same_person(1.31, CARD).reason == (
        "distance 1.31, above the threshold 1.08 (FMR 0.1 % on the validation people)"
    )
