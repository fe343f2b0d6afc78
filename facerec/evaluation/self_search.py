"""How well a gallery finds its own people and refuses others: searched with its own templates, one left out at a time.

Three kinds of searches, each decided at the threshold the gallery would have (ISO/IEC 19795-1):

- mated: every template of somebody with two or more, against everybody, its person at the mean of their *other* ones;
- strangers: those the threshold is set by, so that their rate is about the target's by construction;
- people who are enrolled, each template against everybody *else*: strangers, though the threshold knows one template of
  each (`facerec.decision.population`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facerec.decision.calibration import calibrate_by
from facerec.decision.population import evidence_of
from facerec.metrics.intervals import interval, people_weights, share, share_interval
from facerec.search.index import FlatIndex
from facerec.search.leave_one_out import leave_one_out
from facerec.search.people import Held, PeopleIndex
from facerec.types import Threshold

REPLICATES, SEED = 1000, 0


@dataclass(frozen=True, slots=True)
class Rate:
    """`errors` of `searches` by `people`; ci95: over people, who are drawn with replacement.

    Where all searches err or none does no resample differs, and the interval is Clopper and Pearson's with one trial
    for each person.
    """

    errors: int
    searches: int
    people: int
    ci95: tuple[float, float]

    @property
    def rate(self) -> float:
        """Errors by searches."""
        return self.errors / self.searches


@dataclass(frozen=True, slots=True)
class SelfSearch:
    """The figures of a gallery; a rate is None where there is no threshold, or no search of the kind.

    fnir: mated searches whose nearest person is another, or beyond the threshold. fpir_strangers, fpir_enrolled:
    searches, of the strangers and of people left out, that somebody is within the threshold of.
    """

    people: int
    templates: int
    threshold: Threshold | None
    fnir: Rate | None
    fpir_strangers: Rate | None
    fpir_enrolled: Rate | None


def search_itself(held: Held) -> SelfSearch:
    """Search a gallery with its own templates and its strangers. At least one template."""
    index, ids = FlatIndex(held.vectors.shape[1]), np.arange(len(held.vectors))
    index.add(ids, held.vectors)
    people = PeopleIndex(index, ids, held.owners)
    evidence = evidence_of(people, held.strangers, held.given)
    made = calibrate_by(evidence, held.fpir, len(people.names))
    threshold = held.fallback if made is None else made.threshold
    counts = (len(people.names), len(held.vectors))
    if threshold is None:
        return SelfSearch(*counts, None, None, None, None)
    strangers = evidence.distances[: len(evidence.distances) - evidence.own]
    own, other = leave_one_out(people, held.vectors)
    owners, limit = np.array(held.owners), threshold.distance
    mated, alone = np.isfinite(own), np.isfinite(other)
    missed = (own > limit) | (own > other)
    return SelfSearch(
        *counts,
        threshold,
        fnir=_rate(missed[mated], owners[mated]),
        fpir_strangers=_rate(strangers <= limit, np.arange(len(strangers))),
        fpir_enrolled=_rate((other <= limit)[alone], owners[alone]),
    )


def _rate(errors: NDArray[np.bool_], who: Sequence[str] | NDArray) -> Rate | None:
    if not len(errors):
        return None
    people, wrong = len(np.unique(who)), int(errors.sum())
    if wrong in {0, len(errors)}:
        return Rate(wrong, len(errors), people, share_interval(people if wrong else 0, people))
    if people == len(errors):
        return Rate(wrong, len(errors), people, share_interval(wrong, people))
    drawn = np.concatenate([share(weights, errors) for weights in people_weights(who, who, REPLICATES, SEED)])
    low, high = interval(drawn) or (0.0, 1.0)
    return Rate(wrong, len(errors), people, (low, high))
