"""The threshold of a gallery, set by strangers of the same kind as its people.

To a network, two people look the more alike, the more their photos have in common: camera, archive, sex, age, origin.
The strangers of the model's cohort are of another kind than the gallery's people. The enrolled people themselves show
what strangers of their kind look like: take the similarities (cosines) of each person's photos to the other people's
means; strangers of their kind have the same mean and spread. So the cohort's similarities are shifted and stretched to
that mean and spread before they set a threshold. The shape of the tail stays the cohort's. (Score normalisation by mean
and spread: Auckenthaler et al. 2000, Digital Signal Processing 10; here it is done for a population, not for a person.)

P people have P (P - 1) / 2 pairs. Few pairs say little, so both corrections are weighed against making none: their
priors are normal around no correction, with standard deviations SHIFT and STRETCH (empirical Bayes). The remaining
uncertainty counts in the expected rate and widens the stated intervals.

Among many people, the nearest one decides. Mean and spread do not tell how alike the most similar people are
(relatives, look-alikes, photos of one event). So every enrolled person is also searched among all others, as a stranger
of the right kind. The more of them there are, the more each weighs. Somebody who is enrolled under several names counts
as one person in all of this (`one_person`). The method and the constants were chosen by scripts/studies/population.py.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facerec.decision.calibration import Calibration, Evidence, calibrate_by
from facerec.decision.one_person import FEWEST, LOOKED_AT, at, joined
from facerec.search.keys import SPREAD
from facerec.search.people import PeopleIndex
from facerec.search.standing import StandingSearch
from facerec.types import Floats, Vectors
from facerec.vectors import unit_rows

SHIFT = 0.04
"""Standard deviation, over populations, of the mean similarity's difference from the cohort's."""
STRETCH = 0.04
"""Standard deviation, over populations, of the ratio of the similarities' spread to the cohort's."""
EQUAL = 100
"""With this many strangers of the right kind, each weighs as much as one of the cohort; with twice as many, double."""
MOST = 2000
"""The most people who are searched among all others; if more are enrolled, this many are drawn (`sampled`)."""
TINY = 1e-12
"""The least variance of the cohort's similarities; with one stranger and one person it would be 0."""
_BLOCK = 8192  # rows

Strangers = NDArray[np.floating] | None  # (N, D) rows of unit length, within the precision of float16


@dataclass(frozen=True, slots=True)
class Population:
    """The correction from the cohort's similarities to those of strangers of the gallery's kind.

    centre, spread: mean and standard deviation of the cohort's similarities. shift: is added to the mean. stretch:
    multiplies the spread. shift_error, stretch_error: the standard deviations of these two.
    """

    centre: float
    spread: float
    shift: float
    stretch: float
    shift_error: float
    stretch_error: float

    def distances(self, distances: NDArray[np.float32]) -> NDArray[np.float32]:
        """Convert (N,) squared distances of the cohort to those of strangers of this kind."""
        similarity = self.centre + self.shift + self.stretch * (1 - distances / 2 - self.centre)
        return (2 - 2 * similarity).astype(np.float32)

    def errors(self, distances: NDArray[np.float32]) -> Floats:
        """Return the (N,) standard deviations of converted `distances`."""
        unstretched = (1 - distances / 2 - self.centre - self.shift) / self.stretch
        return 2 * np.hypot(self.shift_error, unstretched * self.stretch_error)


def calibrate_people(
    people: PeopleIndex,
    cohort: Strangers,
    fpir: float,
    given: Strangers = None,
    search: StandingSearch | None = None,
    apart: Collection[frozenset[str]] = (),
) -> Calibration | None:
    """Return the threshold that matches strangers of these people's kind at rate `fpir`.

    cohort, given: (N, D) unit rows. The given strangers are of the right kind, so their distances are not corrected.
    search: holds the distances that the last calibration found, and is brought up to date; the result is the same
    without it. apart: pairs of names of people who were said to be two (`one_person`). None if there are no strangers
    or no people. ConfigError if the rate is not between 0 and 1.
    """
    return calibrate_by(evidence_of(people, cohort, given, search, apart), fpir, len(people.names))


def evidence_of(
    people: PeopleIndex,
    cohort: Strangers,
    given: Strangers = None,
    search: StandingSearch | None = None,
    apart: Collection[frozenset[str]] = (),
) -> Evidence:
    """Return the distances that set a threshold: of the corrected cohort, the given strangers, and the people.

    The people themselves count only if there is a cohort. A model without a cohort may have been trained on these very
    people; they would then be farther from each other than strangers are.
    """
    if not people.names:
        return Evidence(np.empty(0, np.float32), np.empty(0), np.empty(0))
    of_cohort, of_given = (_unit(rows, people.dimension) for rows in (cohort, given))
    search = search or StandingSearch()
    nearest, searched = _search(people, of_cohort, of_given, search)
    if not len(of_cohort):
        return Evidence(nearest, np.ones(len(nearest)), np.zeros(len(nearest)))
    population = fit(people, of_cohort)
    if len(of_cohort) >= FEWEST:
        kind = population.centre, population.spread
        near = searched[nearest[len(nearest) - len(searched) :] <= at(LOOKED_AT, *kind)]
        persons = joined(people, [people.names[place] for place in near], *kind, apart)
        if persons is not people:
            nearest, searched = _search(persons, of_cohort, of_given, search)
            population = fit(persons, of_cohort)
    strange, right = nearest[: len(of_cohort)], nearest[len(of_cohort) :]
    corrected = population.distances(strange)
    weights = np.repeat([1.0, len(right) / EQUAL], [len(corrected), len(right)])
    errors = np.concatenate([population.errors(corrected), np.zeros(len(right))])
    return Evidence(np.concatenate([corrected, right]), weights, errors, len(searched))


def _search(
    people: PeopleIndex, cohort: Vectors, given: Vectors, search: StandingSearch
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Return the distances of the cohort, the given strangers and enrolled people to the nearest (other) person.

    The second array has the places of those enrolled people.
    """
    searched = sampled(people) if len(cohort) and len(people.names) > 1 else np.empty(0, np.intp)
    rows = np.concatenate([cohort, given, people.vectors[people.first[searched]]])
    owners = np.concatenate([np.full(len(cohort) + len(given), -1), searched])
    return search.update(people, rows, owners), searched


def sampled(people: PeopleIndex) -> NDArray[np.intp]:
    """Return the places of the people who are searched among all others, ascending: everybody, or MOST who are drawn.

    The draw depends only on each person's lowest id. So adding or removing a person changes at most one of those drawn.
    """
    lots = people.lowest_ids.astype(np.uint64) * SPREAD
    return np.sort(np.argsort(lots, kind="stable")[:MOST])


def fit(people: PeopleIndex, cohort: Vectors) -> Population:
    """Return the correction that these people, at least one, suggest; few people move it little."""
    count, total, squares = len(people.names), people.means.sum(0, dtype=np.float64), _squares(people.means)
    strangers = cohort.mean(0, dtype=np.float64), _squares(cohort) / len(cohort)
    centre, spread = _moments(strangers[0] @ total / count, (strangers[1] * squares).sum() / count, TINY)
    pairs = count * (count - 1) / 2
    if not pairs:
        return Population(centre, spread, 0.0, 1.0, SHIFT, STRETCH)
    own_centre, own_spread = _among_themselves(people, total, squares)
    of_stretch = 0.5 / pairs  # the sampling variance of the ratio of spreads; `of_shift`: that of the mean
    sure = STRETCH**2 / (STRETCH**2 + of_stretch)
    stretch = 1 + sure * (own_spread / spread - 1)
    of_shift = (stretch * spread) ** 2 / pairs
    known = SHIFT**2 / (SHIFT**2 + of_shift)
    errors = (math.sqrt(known * of_shift), math.sqrt(sure * of_stretch))
    return Population(centre, spread, known * (own_centre - centre), stretch, *errors)


def _among_themselves(people: PeopleIndex, total: Floats, squares: Floats) -> tuple[float, float]:
    """Return mean and standard deviation of the similarities of everybody's photos to the other people's means.

    Each person's photos together weigh as much as any other's. total: (D,) the sum of everybody's means. squares:
    (D, D) the sum of their outer products.
    """
    weights = 1 / np.bincount(people.places)[people.places]  # (T,)
    own = np.einsum("td,td->t", people.vectors, people.means[people.places], dtype=np.float64)  # to one's own mean
    pairs = len(people.names) * (len(people.names) - 1)
    centre = np.einsum("t,td->d", weights, people.vectors) @ total - weights @ own
    square = (_squares(people.vectors, weights) * squares).sum() - weights @ own**2
    return _moments(centre / pairs, square / pairs, 0.0)


def _squares(rows: Vectors, weights: Floats | float = 1.0) -> Floats:
    """Return the (D, D) weighted sum of the outer products of (N, D) rows."""
    total = np.zeros((rows.shape[1], rows.shape[1]))
    weights = np.broadcast_to(weights, len(rows))
    for start in range(0, len(rows), _BLOCK):  # in blocks, so that few rows are in double precision at once
        some = rows[start : start + _BLOCK].astype(np.float64)
        total += (some * weights[start : start + _BLOCK, None]).T @ some
    return total


def _moments(centre: float, square: float, least: float) -> tuple[float, float]:
    """Return mean and standard deviation, from the mean and the mean square. least: the least variance."""
    return float(centre), math.sqrt(max(square - centre**2, least))


def _unit(rows: Strangers, dimension: int) -> Vectors:
    """Return the rows as (N, dimension) unit float32; N is 0 if there are none."""
    return np.empty((0, dimension), np.float32) if rows is None or not len(rows) else unit_rows(rows)
