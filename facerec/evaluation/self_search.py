"""How well a gallery finds its own people and refuses others: it is searched with its own templates, left out in turn.

There are three kinds of searches, each decided at the threshold the gallery would have (ISO/IEC 19795-1):

- mated: every template of a person with two or more, among all people; its own person is searched at the mean of their
  *other* templates;
- strangers: those that set the threshold; their rate is near the target by construction;
- people enrolled: every template among all *other* people. Its person is then a stranger, though one template of each
  person helped to set the threshold (`facerec.decision.population`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facerec.decision.calibration import calibrate_by
from facerec.decision.population import evidence_of
from facerec.metrics.intervals import rate_interval
from facerec.search.leave_one_out import leave_one_out
from facerec.search.people import EnrolledPeople, PeopleIndex
from facerec.types import Threshold

REPLICATES, SEED = 1000, 0


@dataclass(frozen=True, slots=True)
class Rate:
    """`errors` of `searches` by `people`; ci95: low and high end of the 95 % interval over people."""

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

    fnir: share of mated searches whose nearest person is another one or beyond the threshold. fpir_strangers,
    fpir_enrolled: share of searches, by strangers and by people left out, that find anybody within the threshold.
    """

    people: int
    templates: int
    threshold: Threshold | None
    fnir: Rate | None
    fpir_strangers: Rate | None
    fpir_enrolled: Rate | None


def search_itself(held: EnrolledPeople) -> SelfSearch:
    """Search a gallery with its own templates and its strangers. At least one template."""
    people = PeopleIndex(np.arange(len(held.vectors)), held.owners, held.vectors)
    evidence = evidence_of(people, held.strangers, held.given, apart=held.apart)
    made = calibrate_by(evidence, held.fpir, len(people.names))
    threshold = held.fallback if made is None else made.threshold
    counts = (len(people.names), len(held.vectors))
    if threshold is None:
        return SelfSearch(*counts, None, None, None, None)
    strangers = evidence.distances[: len(evidence.distances) - evidence.own]
    found = leave_one_out(held.vectors, people.places, people.means)
    owners, limit = np.array(held.owners), threshold.distance
    mated, alone = np.isfinite(found.own), np.isfinite(found.other)
    missed = (found.own > limit) | (found.own > found.other)
    return SelfSearch(
        *counts,
        threshold,
        fnir=rate_of(missed[mated], owners[mated]),
        fpir_strangers=rate_of(strangers <= limit, np.arange(len(strangers))),
        fpir_enrolled=rate_of((found.other <= limit)[alone], owners[alone]),
    )


def rate_of(errors: NDArray[np.bool_], who: Sequence[str] | NDArray) -> Rate | None:
    """The rate of (N,) errors in searches by (N,) people, who; None without a search."""
    if not len(errors):
        return None
    ends = rate_interval(errors, who, REPLICATES, SEED)
    return Rate(int(errors.sum()), len(errors), len(np.unique(who)), ends)
