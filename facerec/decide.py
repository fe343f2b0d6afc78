"""From distances to an answer in words.

A face matches its nearest person if and only if the distance is finite and at most the threshold. The words never
contradict the comparison: distances are printed with as many decimals as it takes to tell them from the threshold.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from facerec.errors import ConfigError
from facerec.types import Candidate, Decision, Threshold


@dataclass(frozen=True, slots=True)
class Verification:
    """The answer for two faces: `distance` is None if it could not be computed; `reason` is one sentence."""

    same: bool
    distance: float | None
    threshold: Threshold
    reason: str


def decide(candidates: Sequence[Candidate], threshold: Threshold, people: int) -> Decision:
    """Decide who a face is.

    candidates: the nearest people in any order. people: how many are enrolled.
    Raises ConfigError if the threshold is not a finite number.
    """
    _check(threshold)
    ranked = tuple(sorted((c for c in candidates if math.isfinite(c.distance)), key=lambda c: c.distance))
    if not ranked:
        reason = (
            "nobody is enrolled" if not people else f"none of the {people} enrolled could be compared with this face"
        )
        return Decision(None, None, threshold, None, (), reason)
    best = ranked[0]
    match = best.distance <= threshold.distance
    margin = ranked[1].distance - best.distance if len(ranked) > 1 else None
    return Decision(
        best.person if match else None, best.distance, threshold, margin, ranked, _reason(ranked, threshold)
    )


def same_person(distance: float, threshold: Threshold) -> Verification:
    """Decide whether two faces at `distance` (squared Euclidean, 0..4) are one person's.

    Raises ConfigError if the threshold is not a finite number.
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
        return 2  # rounding keeps the order, so a distance within never prints as above
    return next(n for n in count(2) if float(f"{distance:.{n}f}") > float(f"{limit:.{n}f}"))
