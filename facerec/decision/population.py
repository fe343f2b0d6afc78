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
from facerec.search.leave_one_out import nearest_others
from facerec.search.people import PeopleIndex
from facerec.types import Floats, Vectors
from facerec.vectors import unit_rows

SHIFT = 0.04
"""Standard deviation, over populations, of how far the mean similarity is off the cohort's."""
STRETCH = 0.04
"""The same of the ratio of the spreads."""
EQUAL = 100
"""Strangers of the right kind of whom one weighs as much as one of the cohort; of twice as many twice as much."""
MOST = 2000
"""People who are searched among all others; of more enrolled, so many at even steps: it takes a second."""
TINY = 1e-12
"""The least variance of the cohort's similarities: those of one stranger to one person have none."""

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
    people: PeopleIndex, cohort: Strangers, fpir: float, given: Strangers = None
) -> Calibration | None:
    """The threshold of a gallery of these people at which strangers of their kind are let through at rate `fpir`.

    given: strangers who are of the right kind and count as they are, beside the cohort. None without either, or without
    people. Raises ConfigError for what is no rate between 0 and 1.
    """
    return calibrate_by(evidence_of(people, cohort, given), fpir, len(people.names))


def evidence_of(people: PeopleIndex, cohort: Strangers, given: Strangers = None) -> Evidence:
    """What there is to set these people's threshold by: the cohort as strangers of their kind, the given, themselves.

    They count themselves beside a cohort only: a model without one may have been trained on these very people, and then
    they are farther from each other than strangers are.
    """
    given_nearest = _nearest(people, given)
    if not people.names or cohort is None or not len(cohort):
        return Evidence(given_nearest, np.ones(len(given_nearest)), np.zeros(len(given_nearest)))
    population = fit(people, unit_rows(cohort))
    corrected, own = population.distances(_nearest(people, cohort)), _among_others(people)
    right = np.concatenate([given_nearest, own])
    weights = np.repeat([1.0, len(right) / EQUAL], [len(corrected), len(right)])
    errors = np.concatenate([population.errors(corrected), np.zeros(len(right))])
    return Evidence(np.concatenate([corrected, right]), weights, errors, len(own))


def fit(people: PeopleIndex, cohort: Vectors) -> Population:
    """What the people, one at least, say about strangers of their kind, weighed against the cohort."""
    means = people.means.astype(np.float64)
    centre, spread = _moments(cohort.astype(np.float64).mean(0), _squares(cohort, 1 / len(cohort)), means)
    pairs = len(means) * (len(means) - 1) / 2
    if not pairs:
        return Population(centre, spread, 0.0, 1.0, SHIFT, STRETCH)
    own_centre, own_spread = _among_themselves(people, means)
    of_stretch = 0.5 / pairs  # the sampling variance of a ratio of spreads, and below of a mean
    sure = STRETCH**2 / (STRETCH**2 + of_stretch)
    stretch = 1 + sure * (own_spread / spread - 1)
    of_shift = (stretch * spread) ** 2 / pairs
    known = SHIFT**2 / (SHIFT**2 + of_shift)
    errors = (math.sqrt(known * of_shift), math.sqrt(sure * of_stretch))
    return Population(centre, spread, known * (own_centre - centre), stretch, *errors)


def _among_themselves(people: PeopleIndex, means: Floats) -> tuple[float, float]:
    """Mean and standard deviation of the similarities of everybody's photos, each person's as one, to others' means."""
    templates = people.index.vectors(people.ids).astype(np.float64)
    weights = 1 / np.bincount(people.places)[people.places]  # (T,)
    own = (templates * means[people.places]).sum(1)  # of each to its own person: not a stranger's
    weighted, pairs = templates * weights[:, None], len(means) * (len(means) - 1)
    centre = (weighted.sum(0) @ means.sum(0) - weights @ own) / pairs
    square = ((weighted.T @ templates * (means.T @ means)).sum() - weights @ own**2) / pairs
    return float(centre), math.sqrt(max(square - centre**2, 0.0))


def _squares(rows: Vectors, weight: float) -> Floats:
    """(D, D) of (N, D) rows: the sum of their outer products, times a weight."""
    return rows.T.astype(np.float64) @ rows.astype(np.float64) * weight


def _moments(mean: Floats, squares: Floats, means: Floats) -> tuple[float, float]:
    """Mean and standard deviation of the similarities of all strangers to all people, by the strangers' moments."""
    centre = mean @ means.mean(0)
    square = (squares * (means.T @ means)).sum() / len(means)
    return float(centre), math.sqrt(max(square - centre**2, TINY))


def _nearest(people: PeopleIndex, strangers: Strangers) -> NDArray[np.float32]:
    if not people.names or strangers is None or not len(strangers):
        return np.zeros(0, np.float32)
    return np.array([found[0].distance for found in people.nearest(unit_rows(strangers), 1)], np.float32)


def _among_others(people: PeopleIndex) -> NDArray[np.float32]:
    """Distance of one photo of everybody, or of MOST of them, to the nearest of the others."""
    count = len(people.names)
    if count < 2:
        return np.zeros(0, np.float32)
    searched = np.unique(np.linspace(0, count - 1, min(count, MOST)).astype(int))
    first = np.unique(people.places, return_index=True)[1]
    rows = people.index.vectors(people.ids[first[searched]])
    return nearest_others(rows, searched, people.means)[0]
