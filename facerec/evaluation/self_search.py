"""How well a gallery finds its own people and refuses others: searched with its own templates, one left out at a time.

Three kinds of searches, each decided at the threshold the gallery would have (ISO/IEC 19795-1):

- mated: every template of somebody with two or more, against everybody, its person at the mean of their *other* ones;
- strangers: those the threshold is set by, so that their rate is about the target's by construction;
- people who are enrolled, each template against everybody *else*: strangers, though the threshold knows one template of
  each (`facerec.decision.population`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facerec.decision.calibration import calibrate_by
from facerec.decision.population import evidence_of
from facerec.metrics.intervals import interval, share
from facerec.metrics.roc import people_weights, share_interval
from facerec.search.index import FlatIndex, PeopleIndex
from facerec.types import Threshold, Vectors

REPLICATES, SEED = 1000, 0
_BLOCK = 1024  # templates compared with everybody at once


@dataclass(frozen=True, eq=False, slots=True)
class Held:
    """What a gallery holds of one model.

    vectors: (T, D) unit rows, whose `owners` says. strangers: (N, D) unit rows of the model's cohort. fpir: the target.
    fallback: the threshold where there are no strangers. given: more of them, of the user's own.
    """

    vectors: Vectors
    owners: tuple[str, ...]
    strangers: NDArray[np.floating] | None
    fpir: float
    fallback: Threshold | None
    given: NDArray[np.floating] | None = None


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


def leave_one_out(people: PeopleIndex, vectors: Vectors) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(T,) of each of the people's templates to its own person without it, +inf where that was all, and to the nearest
    of the others, +inf without any.
    """
    own = np.square(_rests(vectors, people.places) - vectors).sum(axis=1)
    own[np.bincount(people.places)[people.places] < 2] = np.inf
    other = np.concatenate(list(_nearest_others(vectors, people.means, people.places)))
    return own, other


def _rests(vectors: Vectors, places: NDArray[np.intp]) -> Vectors:
    """(T, D): the unit mean of each template's person's other ones; where they cancel out, the first of them."""
    rest = np.empty_like(vectors)
    for place in np.unique(places):
        mine = np.flatnonzero(places == place)
        for template in mine:
            others = vectors[mine[mine != template]]
            total = others.sum(axis=0)
            length = np.linalg.norm(total)
            rest[template] = total / length if length > 1e-3 else others[:1].sum(axis=0)
    return rest


def _nearest_others(vectors: Vectors, means: Vectors, places: NDArray[np.intp]) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(vectors), _BLOCK):
        some = vectors[start : start + _BLOCK]
        distances = np.maximum(2 - 2 * some @ means.T, 0)  # (B, P)
        distances[np.arange(len(some)), places[start : start + _BLOCK]] = np.inf
        yield distances.min(axis=1)


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
