"""Decisions and their words."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facerec.decision.decide import decide, decide_photo, look_alike, misplaced, same_person
from facerec.errors import ConfigError
from facerec.types import Candidate, Threshold, Veto

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
    assert not same_person(1.31, CARD), "the answer itself, for `if`"
    assert same_person(1.31, CARD).reason == (
        "distance 1.31, above the threshold 1.08 (FMR 0.1 % on the validation people)"
    )


# ---------------------------------------------------------------------------------------------------- one photo

CY = Candidate("Cy", 1.6)


def test_nobody_is_in_a_photo_twice() -> None:
    far, near = decide_photo([[Candidate("Ann Lee", 0.7), Candidate("Bob Ray", 0.9), CY], [ANN, BOB, CY]], CARD, 3)
    assert (near.person, near.distance) == ("Ann Lee", 0.61)
    assert near == decide([ANN, BOB, CY], CARD, 3)
    assert (far.person, far.distance) == ("Bob Ray", 0.9)
    assert far.margin == pytest.approx(0.7), "to the next farther candidate"
    assert [c.person for c in far.candidates] == ["Ann Lee", "Bob Ray", "Cy"]
    assert far.reason == (
        "Bob Ray at 0.90, within the threshold 1.08 (FMR 0.1 % on the validation people); next Cy at 1.60; "
        "Ann Lee (at 0.70) is another face of this photo"
    )


def test_a_face_whose_person_is_another_face_may_be_nobody_else() -> None:
    far = decide_photo([[Candidate("Ann Lee", 0.7), BOB], [ANN, BOB]], CARD, 2)[0]
    assert (far.person, far.distance, far.margin) == (None, 1.4, None)
    assert far.reason == (
        "best match Bob Ray at 1.40, above the threshold 1.08 (FMR 0.1 % on the validation people); "
        "Ann Lee (at 0.70) is another face of this photo"
    )
    alone = decide_photo([[Candidate("Ann Lee", 0.7)], [ANN]], CARD, 1)[0]
    assert (alone.person, alone.distance) == (None, None)
    assert alone.reason == (
        "Ann Lee (at 0.70) is another face of this photo, and there is nobody else to compare it with"
    )
    three = decide_photo(
        [[ANN, Candidate("Bob Ray", 1.0), CY], [Candidate("Ann Lee", 0.1)], [Candidate("Bob Ray", 0.2)]], CARD, 3
    )
    assert three[0].reason.endswith("Ann Lee (at 0.61) and Bob Ray (at 1.00) are other faces of this photo")
    assert three[0].person is None


def test_of_equally_near_faces_the_main_one_is_the_person() -> None:
    first, second = decide_photo([[ANN], [ANN]], CARD, 1)
    assert (first.person, second.person) == ("Ann Lee", None)


def test_a_face_beyond_the_threshold_takes_nobodys_place_and_loses_none() -> None:
    stranger, ann = decide_photo([[Candidate("Ann Lee", 1.09)], [Candidate("Ann Lee", 1.07)]], CARD, 1)
    assert (stranger.person, ann.person) == (None, "Ann Lee")
    assert stranger == decide([Candidate("Ann Lee", 1.09)], CARD, 1)


faces_of_one_photo = st.integers(1, 4).flatmap(
    lambda people: st.lists(
        st.lists(st.one_of(distances, st.just(math.inf)), min_size=people, max_size=people), min_size=1, max_size=4
    )
)


@given(faces_of_one_photo, distances)
def test_no_face_and_person_are_nearer_than_to_whom_they_were_given(found: list[list[float]], limit: float) -> None:
    """The definition of a stable matching, and what every decision must be by itself."""
    names = [f"p{i}" for i in range(len(found[0]))]
    faces = [[Candidate(name, d) for name, d in zip(names, row, strict=True)] for row in found]
    decisions = decide_photo(faces, Threshold(limit, "a test"), len(names))
    given_to = {d.person: face for face, d in enumerate(decisions) if d.person is not None}
    assert len(given_to) == sum(d.person is not None for d in decisions), "nobody twice"
    for face, decision in enumerate(decisions):
        assert (decision.person is None) == (decision.distance is None or decision.distance > limit)
        if decision.person is not None:
            assert decision.distance == found[face][names.index(decision.person)]
        assert decision.margin is None or decision.margin >= 0
        for name, d in zip(names, found[face], strict=True):
            content = decision.person is not None and decision.distance is not None and decision.distance <= d
            taken = name in given_to and found[given_to[name]][names.index(name)] <= d
            assert d > limit or content or taken


# ---------------------------------------------------------------------------------------------------- enrollment


def test_a_photo_is_misplaced_when_it_matches_another_and_its_own_is_farther() -> None:
    reason = misplaced("Bob Ray", [ANN, BOB, CY], CARD)
    assert reason == (
        "nearer to Ann Lee (0.61) than to Bob Ray (1.40): 0.61, within the threshold 1.08 "
        "(FMR 0.1 % on the validation people)"
    )
    assert misplaced("Ann Lee", [BOB, ANN], CARD) is None, "its own is the nearest"
    assert misplaced("Eve", [ANN, BOB], CARD) is None, "nothing of its own to compare with"
    assert misplaced("Cy", [BOB, CY], CARD) is None, "the other does not match either"
    assert misplaced("Bob Ray", [], CARD) is None
    assert misplaced("Bob Ray", [Candidate("Ann Lee", math.nan), BOB], CARD) is None
    assert misplaced("B", [Candidate("A", 0.5), Candidate("B", 0.5)], CARD) is None, "equally near"
    close = misplaced("B", [Candidate("A", 0.50001), Candidate("B", 0.50002)], CARD)
    assert close is not None
    assert close.startswith("nearer to A (0.50001) than to B (0.50002)")


def test_a_new_person_who_matches_somebody() -> None:
    assert look_alike("Eve", [BOB, ANN], CARD) == ANN
    assert look_alike("Eve", [BOB], CARD) is None
    assert look_alike("Eve", [], CARD) is None
    assert look_alike("Bob Ray", [ANN, BOB], CARD) is None, "not new"


# ---------------------------------------------------------------------------------------------------------- vetoes

NOT_ANN = Candidate("Ann Lee", 0.61, Veto(0.12, 0.55))


def test_who_is_struck_by_a_veto_is_not_named_and_the_reason_says_why() -> None:
    why = "not Ann Lee (at 0.61): nearer to a face said not to be Ann Lee (0.12) than to any photo of Ann Lee (0.55)"
    decision = decide([NOT_ANN, BOB, CY], CARD, people=3)
    assert (decision.person, decision.distance) == (None, 1.4)
    assert decision.margin == pytest.approx(0.2)
    assert decision.candidates == (BOB, CY)
    said = "best match Bob Ray at 1.40, above the threshold 1.08 (FMR 0.1 % on the validation people)"
    assert decision.reason == f"{said}; {why}"
    alone = decide([NOT_ANN], CARD, people=1)
    assert (alone.person, alone.distance, alone.candidates) == (None, None, ())
    assert alone.reason == f"{why}, and there is nobody else to compare it with"


def test_who_is_struck_but_farther_than_the_match_is_not_mentioned() -> None:
    struck = Candidate("Bob Ray", 0.9, Veto(0.1, 0.2))
    assert decide([ANN, struck], CARD, people=2) == decide([ANN], CARD, people=2)


@pytest.mark.parametrize("veto", [Veto(0.55, 0.55), Veto(0.56, 0.55)])
def test_a_face_no_nearer_to_the_veto_than_to_a_template_keeps_the_name(veto: Veto) -> None:
    decision = decide([Candidate("Ann Lee", 0.61, veto), BOB], CARD, people=2)
    assert (decision.person, decision.reason) == (
        decide([ANN, BOB], CARD, 2).person,
        decide([ANN, BOB], CARD, 2).reason,
    )


@given(distances, distances)
def test_the_two_distances_of_a_veto_are_printed_apart(face: float, template: float) -> None:
    decision = decide([Candidate("Ann", 0.5, Veto(face, template))], CARD, people=1)
    assert (decision.person is None) == (face < template)
    if face < template:
        shown = re.search(r"said not to be Ann \((\S+)\) than to any photo of Ann \((\S+)\)", decision.reason)
        assert shown is not None
        assert float(shown[1]) < float(shown[2])


def test_a_struck_person_leaves_the_name_to_another_face_of_the_photo() -> None:
    not_her, she = decide_photo([[NOT_ANN, BOB, CY], [Candidate("Ann Lee", 0.7), BOB, CY]], CARD, 3)
    assert (not_her.person, she.person) == (None, "Ann Lee")
    both = decide_photo([[NOT_ANN, Candidate("Bob Ray", 0.9)], [Candidate("Bob Ray", 0.3)]], CARD, 2)[0]
    assert both.reason == (
        "Bob Ray (at 0.90) is another face of this photo; not Ann Lee (at 0.61): nearer to a face said not to be "
        "Ann Lee (0.12) than to any photo of Ann Lee (0.55), and there is nobody else to compare it with"
    )


def test_a_photo_is_misplaced_where_it_matches_a_face_said_not_to_be_its_person() -> None:
    reason = "nearer to a face said not to be Ann Lee (0.12) than to any photo of Ann Lee (0.55)"
    assert misplaced("Ann Lee", [NOT_ANN, BOB], CARD) == reason
    far = Candidate("Ann Lee", 1.2, Veto(1.1, 1.15))
    assert misplaced("Ann Lee", [far, BOB], CARD) is None, "the vetoed face is not within the threshold"
    near_bob = Candidate("Bob Ray", 0.3)
    assert (misplaced("Ann Lee", [near_bob, far], CARD) or "").startswith(
        "nearer to Bob Ray (0.30) than to Ann Lee (1.2"
    )
    assert misplaced("Bob Ray", [NOT_ANN, Candidate("Bob Ray", 0.7)], CARD) is None, "Ann is struck"
    assert look_alike("Eve", [NOT_ANN, BOB], CARD) is None
    assert look_alike("Eve", [NOT_ANN, ANN], CARD) == ANN
