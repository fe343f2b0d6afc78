"""Strangers of the kind of a gallery's people, by the model's strangers and by the people themselves; its threshold.

Two people are the more alike for a network, the more their photos have in common: a camera, an archive, sex, age,
origin. The strangers of the model's cohort are not of the gallery's kind. The people enrolled are: the similarities
(cosines) of each one's photos to the others' means have the mean and the spread that those of strangers of their kind
have, so the similarities of the cohort are moved and stretched to these before they set a threshold. The shape of the
tail stays the cohort's. (Score normalisation by mean and spread: Auckenthaler et al. 2000, Digital Signal Processing
10; here it is a population's, not a person's.)

P people have P (P - 1) / 2 pairs. What few of them say is weighed against the cohort as it is: both corrections are
taken to be normal around none with the standard deviations SHIFT and STRETCH (empirical Bayes). What remains uncertain
is counted into the rate that is to be expected, and widens the stated intervals.

Among many people the nearest decides, and how like each other the most alike are (relatives, look-alikes, photos of one
event) mean and spread do not tell. So everybody enrolled is searched as well, among all others: strangers of the right
kind. The more of these there are, the more they weigh. Chosen by scripts/studies/population.py.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facerec.decision.calibration import Calibration, Evidence, calibrate_by
from facerec.search.people import SPREAD, PeopleIndex
from facerec.search.standing import StandingSearch
from facerec.types import Floats, Vectors
from facerec.vectors import unit_rows

SHIFT = 0.04
"""Standard deviation, over populations, of how far the mean similarity is off the cohort's."""
STRETCH = 0.04
"""The same of the ratio of the spreads."""
EQUAL = 100
"""Strangers of the right kind of whom one weighs as much as one of the cohort; of twice as many twice as much."""
MOST = 2000
"""People who are searched among all others; of more enrolled, so many drawn as by lot (`sampled`)."""
TINY = 1e-12
"""The least variance of the cohort's similarities: those of one stranger to one person have none."""
_BLOCK = 8192  # rows

Strangers = NDArray[np.floating] | None  # (N, D) rows, unit but for what half precision takes from them


@dataclass(frozen=True, slots=True)
class Population:
    """How strangers of one kind resemble people, by how the cohort does.

    centre, spread: mean and standard deviation of the cohort's similarities. shift: what is added to the mean; stretch:
    what the spread is multiplied by; each with the standard deviation of what is not known of it.
    """

    centre: float
    spread: float
    shift: float
    stretch: float
    shift_error: float
    stretch_error: float

    def distances(self, distances: NDArray[np.float32]) -> NDArray[np.float32]:
        """Squared distances of the cohort -> those of strangers of this kind."""
        similarity = self.centre + self.shift + self.stretch * (1 - distances / 2 - self.centre)
        return (2 - 2 * similarity).astype(np.float32)

    def errors(self, distances: NDArray[np.float32]) -> Floats:
        """(N,) standard deviations of what is not known of these `distances`."""
        unstretched = (1 - distances / 2 - self.centre - self.shift) / self.stretch
        return 2 * np.hypot(self.shift_error, unstretched * self.stretch_error)


def calibrate_people(
    people: PeopleIndex, cohort: Strangers, fpir: float, given: Strangers = None, search: StandingSearch | None = None
) -> Calibration | None:
    """The threshold of a gallery of these people at which strangers of their kind are let through at rate `fpir`.

    given: strangers who are of the right kind and count as they are, beside the cohort. search: what the calibration
    before found; it is brought up to date, and the result is the same as without. None without strangers, or without
    people. Raises ConfigError for what is no rate between 0 and 1.
    """
    return calibrate_by(evidence_of(people, cohort, given, search), fpir, len(people.names))


def evidence_of(
    people: PeopleIndex, cohort: Strangers, given: Strangers = None, search: StandingSearch | None = None
) -> Evidence:
    """What there is to set these people's threshold by: the cohort as strangers of their kind, the given, themselves.

    They count themselves beside a cohort only: a model without one may have been trained on these very people, and then
    they are farther from each other than strangers are.
    """
    if not people.names:
        return Evidence(np.empty(0, np.float32), np.empty(0), np.empty(0))
    of_cohort, of_given = (_unit(rows, people.dimension) for rows in (cohort, given))
    searched = sampled(people) if len(of_cohort) and len(people.names) > 1 else np.empty(0, np.intp)
    rows = np.concatenate([of_cohort, of_given, people.vectors[people.first[searched]]])
    owners = np.concatenate([np.full(len(of_cohort) + len(of_given), -1), searched])
    nearest = (search or StandingSearch()).update(people, rows, owners)
    strange, right = nearest[: len(of_cohort)], nearest[len(of_cohort) :]
    if not len(strange):
        return Evidence(right, np.ones(len(right)), np.zeros(len(right)))
    population = fit(people, of_cohort)
    corrected = population.distances(strange)
    weights = np.repeat([1.0, len(right) / EQUAL], [len(corrected), len(right)])
    errors = np.concatenate([population.errors(corrected), np.zeros(len(right))])
    return Evidence(np.concatenate([corrected, right]), weights, errors, len(searched))


def sampled(people: PeopleIndex) -> NDArray[np.intp]:
    """Places of the people who are searched among all others, ascending: everybody, or MOST drawn as by lot.

    Who is drawn depends on each person's lowest id only, so that one person more or fewer changes one of them at most.
    """
    lots = people.lowest_ids.astype(np.uint64) * SPREAD
    return np.sort(np.argsort(lots, kind="stable")[:MOST])


def fit(people: PeopleIndex, cohort: Vectors) -> Population:
    """What the people, one at least, say about strangers of their kind, weighed against the cohort."""
    count, total, squares = len(people.names), people.means.sum(0, dtype=np.float64), _squares(people.means)
    strangers = cohort.mean(0, dtype=np.float64), _squares(cohort) / len(cohort)
    centre, spread = _moments(strangers[0] @ total / count, (strangers[1] * squares).sum() / count, TINY)
    pairs = count * (count - 1) / 2
    if not pairs:
        return Population(centre, spread, 0.0, 1.0, SHIFT, STRETCH)
    own_centre, own_spread = _among_themselves(people, total, squares)
    of_stretch = 0.5 / pairs  # the sampling variance of a ratio of spreads, and below of a mean
    sure = STRETCH**2 / (STRETCH**2 + of_stretch)
    stretch = 1 + sure * (own_spread / spread - 1)
    of_shift = (stretch * spread) ** 2 / pairs
    known = SHIFT**2 / (SHIFT**2 + of_shift)
    errors = (math.sqrt(known * of_shift), math.sqrt(sure * of_stretch))
    return Population(centre, spread, known * (own_centre - centre), stretch, *errors)


def _among_themselves(people: PeopleIndex, total: Floats, squares: Floats) -> tuple[float, float]:
    """Mean and standard deviation of the similarities of everybody's photos, each person's as one, to others' means.

    total: (D,) the sum of everybody's means. squares: (D, D) the sum of their outer products.
    """
    weights = 1 / np.bincount(people.places)[people.places]  # (T,)
    own = np.einsum("td,td->t", people.vectors, people.means[people.places], dtype=np.float64)  # not a stranger's
    pairs = len(people.names) * (len(people.names) - 1)
    centre = np.einsum("t,td->d", weights, people.vectors) @ total - weights @ own
    square = (_squares(people.vectors, weights) * squares).sum() - weights @ own**2
    return _moments(centre / pairs, square / pairs, 0.0)


def _squares(rows: Vectors, weights: Floats | float = 1.0) -> Floats:
    """(D, D) of (N, D) rows: the sum of their outer products, each times its weight."""
    total = np.zeros((rows.shape[1], rows.shape[1]))
    weights = np.broadcast_to(weights, len(rows))
    for start in range(0, len(rows), _BLOCK):  # a block of rows in double precision, not all of them
        some = rows[start : start + _BLOCK].astype(np.float64)
        total += (some * weights[start : start + _BLOCK, None]).T @ some
    return total


def _moments(centre: float, square: float, least: float) -> tuple[float, float]:
    """Mean and standard deviation by the mean and the mean square; least: the least variance."""
    return float(centre), math.sqrt(max(square - centre**2, least))


def _unit(rows: Strangers, dimension: int) -> Vectors:
    """(N, dimension) unit rows; N is 0 where there are none."""
    return np.empty((0, dimension), np.float32) if rows is None or not len(rows) else unit_rows(rows)
