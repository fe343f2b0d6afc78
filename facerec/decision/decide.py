"""From distances to an answer with a reason in words.

A face matches its nearest person if and only if the distance is finite and at most the threshold. The words never
contradict that: a distance is printed with enough decimals to be told from the threshold. Nobody is in a photo twice:
if several faces match one person, only the nearest gets the name (`decide_photo`). A person is struck from a face's
candidates if the face is nearer to a vetoed face (one that was said not to be this person) than to each of the person's
templates. The probability that the best candidate is right is stated if it is known, but it decides nothing.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

from facerec.errors import ConfigError
from facerec.text import Brief
from facerec.types import Candidate, Decision, Threshold

LEAST = 1e-5  # a threshold below this is none: rounding alone sets two float32 vectors so far apart


@dataclass(frozen=True, slots=True, repr=False)
class Verification(Brief):
    """The answer for two faces: `distance` is None if it could not be computed; `reason` is one sentence.

    remarks: what is odd about the two photos, each with the photo's name; mostly none.

    >>> import facerec
    >>> with facerec.Recogniser("club", create=True) as club:
    ...     found = club.verify(
    ...         "gallery/people/Barack Obama/official_portrait_2012.jpg",
    ...         "gallery/held_back/barack_obama_blue_room_2010.jpg",
    ...     )
    >>> found.same, 0.4 < found.distance < 0.7
    (True, True)
    """

    same: bool
    distance: float | None
    threshold: Threshold
    reason: str
    remarks: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """As `same`: `if club.verify(a, b)` asks for the answer."""
        return self.same

    def __str__(self) -> str:
        return f"{'the same person' if self.same else 'different people'}: {self.reason}"


def decide(candidates: Sequence[Candidate], threshold: Threshold, people: int) -> Decision:
    """Decide who a face is.

    candidates: the nearest people, in any order. people: the number enrolled. ConfigError if the threshold is not a
    finite number.
    """
    return decide_photo([candidates], threshold, people)[0]


def decide_photo(
    faces: Sequence[Sequence[Candidate]],
    threshold: Threshold,
    people: int,
    probability: Callable[[float], float] | None = None,
    seen_in: str = "photo",
) -> list[Decision]:
    """Decide who each face of one photo is. No person is assigned to two faces.

    The nearest pair of a face and a person within the threshold is assigned first, then the nearest of the remaining
    pairs, and so on. (This is a stable matching: no face and person are nearer to each other than to their assigned
    partners.) If a face's nearest person is assigned to another face, it gets its next candidate within the threshold,
    or is unknown.

    faces: each face's candidates, in any order. Give one candidate more than there are faces, so that the next
    candidate is always among them. people: the number enrolled. probability: maps the distance to the nearest person to
    the probability that this person is right (`posterior.Posterior`). seen_in: what reasons call the photo. ConfigError
    if the threshold is not a finite number.
    """
    _check(threshold)
    ranked = [_ranked(candidates) for candidates in faces]
    left = [tuple(c for c in each if not is_struck(c)) for each in ranked]
    struck = [tuple(c for c in each if is_struck(c)) for each in ranked]
    return [
        _decision(*each, threshold, people, probability, seen_in)
        for each in zip(left, struck, _passed_over(left, threshold), strict=True)
    ]


def is_struck(candidate: Candidate) -> bool:
    """Whether the face is nearer to a face that was said not to be this person than to each of their templates."""
    return candidate.veto is not None and candidate.veto.face < candidate.veto.template


def _ranked(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    return tuple(sorted((c for c in candidates if math.isfinite(c.distance)), key=lambda c: c.distance))


def _passed_over(ranked: Sequence[Sequence[Candidate]], threshold: Threshold) -> list[int]:
    """For each face, the number of its nearest candidates who match it but are assigned to another face."""
    pairs = [
        (candidate.distance, face, rank)
        for face, candidates in enumerate(ranked)
        for rank, candidate in enumerate(candidates)
        if candidate.distance <= threshold.distance
    ]
    taken: set[str] = set()
    given: dict[int, int] = {}
    for _, face, rank in sorted(pairs):
        person = ranked[face][rank].person
        if face not in given and person not in taken:
            given[face] = rank
            taken.add(person)
    within = Counter(face for _, face, _ in pairs)
    return [given.get(face, within[face]) for face in range(len(ranked))]


def _decision(
    ranked: tuple[Candidate, ...],
    struck: tuple[Candidate, ...],
    passed: int,
    threshold: Threshold,
    people: int,
    probability: Callable[[float], float] | None,
    seen_in: str,
) -> Decision:
    free, elsewhere = ranked[passed:], _elsewhere(ranked[:passed], seen_in)
    if not free:
        return Decision(None, None, threshold, None, ranked, _alone(elsewhere, struck, people))
    best = free[0]
    match = best.distance <= threshold.distance
    margin = free[1].distance - best.distance if len(free) > 1 else None
    right = None if probability is None else probability(best.distance)
    parts = [_reason(free, threshold), elsewhere]
    parts += [_struck(candidate) for candidate in struck if candidate.distance < best.distance]
    parts.append("" if right is None else _probable(right))
    reason = "; ".join(filter(None, parts))
    return Decision(best.person if match else None, best.distance, threshold, margin, ranked, reason, right)


def _alone(elsewhere: str, struck: Sequence[Candidate], people: int) -> str:
    """Return why the face can be nobody."""
    why = [elsewhere] if elsewhere else []
    why += [_struck(candidate) for candidate in struck]
    if why:
        return f"{'; '.join(why)}, and there is nobody else to compare it with"
    return f"none of the {people} enrolled could be compared with this face" if people else "nobody is enrolled"


def _struck(candidate: Candidate) -> str:
    return f"not {candidate.person} (at {candidate.distance:.2f}): {_vetoed(candidate)}"


def _vetoed(candidate: Candidate) -> str:
    """Return why a candidate is struck; the two distances are printed so that they differ."""
    person, veto = candidate.person, candidate.veto
    assert veto is not None
    face, template = _told_apart(veto.face, veto.template)
    return f"nearer to a face said not to be {person} ({face}) than to any photo of {person} ({template})"


def _told_apart(one: float, other: float) -> tuple[str, str]:
    """Return two different numbers with as few decimals, at least 2, as it takes to see which is larger."""
    digits = next(n for n in count(2) if f"{one:.{n}f}" != f"{other:.{n}f}")
    return f"{one:.{digits}f}", f"{other:.{digits}f}"


def _probable(right: float) -> str:
    return f"{100 * right:.1f} % probable"


def _elsewhere(others: Sequence[Candidate], seen_in: str) -> str:
    """Return who is assigned to other faces; "" for nobody."""
    if not others:
        return ""
    names = " and ".join(f"{other.person} (at {other.distance:.2f})" for other in others)
    return f"{names} {'is another face' if len(others) == 1 else 'are other faces'} of this {seen_in}"


def misplaced(person: str, candidates: Sequence[Candidate], threshold: Threshold) -> str | None:
    """Return why a photo filed under `person` is probably of somebody else; None if it is not.

    That is so if it matches a face that was said not to be `person` (`vetoed`). It is also so if the nearest person is
    somebody else within the threshold, and `person` is enrolled and farther away. candidates: the nearest person who is
    not struck and, if enrolled, `person`; others do no harm. ConfigError if the threshold is not a finite number.
    """
    _check(threshold)
    best, own = nearest_and_own(person, candidates)
    if own is None:
        return None
    if reason := vetoed(own, threshold):
        return reason
    if best is None or best.person == person or not best.distance < own.distance:
        return None
    if best.distance > threshold.distance:
        return None
    nearest, farther = _told_apart(best.distance, own.distance)
    return f"nearer to {best.person} ({nearest}) than to {person} ({farther}): {_compared(best.distance, threshold)}"


def far_from_own(person: str, distance: float, threshold: Threshold) -> str:
    """Say why a photo enrolled as `person` is probably of somebody else: it is far from their other photos.

    distance: to the unit mean of most of their other templates, above the threshold.
    """
    digits, limit = _digits(distance, threshold.distance), threshold.distance
    return f"{distance:.{digits}f} from the other photos of {person}, above the threshold {limit:.{digits}f}"


def vetoed(candidate: Candidate, threshold: Threshold) -> str | None:
    """Return why a face should not be enrolled as a candidate: it matches a face that was said not to be them.

    None unless the candidate is struck and that face is within the threshold.
    """
    if not is_struck(candidate) or candidate.veto is None or candidate.veto.face > threshold.distance:
        return None
    return _vetoed(candidate)


def look_alike(person: str, candidates: Sequence[Candidate], threshold: Threshold) -> Candidate | None:
    """Return the enrolled person whom the first photo of a new `person` matches; None if nobody matches.

    Also None if `person` is among the candidates, and so not new. ConfigError if the threshold is not a finite number.
    """
    _check(threshold)
    best, own = nearest_and_own(person, candidates)
    return best if best is not None and own is None and best.distance <= threshold.distance else None


def nearest_and_own(person: str, candidates: Sequence[Candidate]) -> tuple[Candidate | None, Candidate | None]:
    """Return the nearest candidate who is not struck, and the one who is `person`; None for one that does not exist."""
    ranked = _ranked(candidates)
    best = next((c for c in ranked if not is_struck(c)), None)
    return best, next((c for c in ranked if c.person == person), None)


def same_person(distance: float, threshold: Threshold) -> Verification:
    """Decide whether two faces at `distance` (squared Euclidean, 0..4) are of one person.

    ConfigError if the threshold is not a finite number.
    """
    _check(threshold)
    if not math.isfinite(distance):
        return Verification(False, None, threshold, "the two faces could not be compared")
    return Verification(
        distance <= threshold.distance, distance, threshold, f"distance {_compared(distance, threshold)}"
    )


def _check(threshold: Threshold) -> None:
    if not math.isfinite(threshold.distance):
        raise ConfigError(f"the threshold must be a number from 0 to 4, not {threshold.distance}")


def _reason(ranked: Sequence[Candidate], threshold: Threshold) -> str:
    best = ranked[0]
    if best.distance > threshold.distance:
        return f"best match {best.person} at {_compared(best.distance, threshold)}"
    reason = f"{best.person} at {_compared(best.distance, threshold)}"
    return reason if len(ranked) == 1 else f"{reason}; next {ranked[1].person} at {ranked[1].distance:.2f}"


def _compared(distance: float, threshold: Threshold) -> str:
    digits = _digits(distance, threshold.distance)
    side = "within" if distance <= threshold.distance else "above"
    return f"{distance:.{digits}f}, {side} the threshold {threshold.distance:.{digits}f} ({threshold.source})"


def _digits(distance: float, limit: float) -> int:
    """Return the fewest decimals, at least 2, at which a distance above the limit is also printed above it."""
    if distance <= limit:
        return 2  # rounding keeps the order, so a distance within the limit is never printed as above it
    return next(n for n in count(2) if float(f"{distance:.{n}f}") > float(f"{limit:.{n}f}"))


def choose_pair_threshold(given: float | None, stated: Threshold | None, model: str) -> Threshold:
    """Return the threshold for comparing two photos: the one asked for, or else `stated`, that of the model's card.

    ConfigError as for `choose_threshold`, and if the card's threshold is so small that nothing can be within it.
    """
    if given is None and stated is not None and stated.distance < LEAST:
        raise ConfigError(f"the card of {model} states no usable threshold; give a `threshold` above 0 and up to 4")
    return choose_threshold(given, stated, model)


def choose_threshold(given: float | None, measured: Threshold | None, model: str) -> Threshold:
    """Return the threshold asked for, or else the one measured. ConfigError if there is neither, or it is not 0..4."""
    if given is not None:
        if not 0 <= given <= 4:
            raise ConfigError(f"a threshold is a distance from 0 to 4, not {given:g}")
        return Threshold(given, "as asked for")
    if measured is None:
        raise ConfigError(f"the card of {model} states no threshold; give a `threshold` from 0 to 4")
    return measured
