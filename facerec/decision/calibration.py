"""How near strangers come -> the threshold of a gallery, for a target false positive identification rate (FPIR).

Strangers nobody enrolls (the model's cohort, and those a gallery was given) are searched among the people who are
enrolled. Of N strangers, the nearest person at d_1 <= d_2 <= ..., the threshold is d_k with k = floor(FPIR (N + 1)):
whatever the distances' distribution, another such stranger is within it with probability k / (N + 1) on average, and
over draws of the N the rate follows Beta(k, N + 1 - k) (tolerance limits: Wilks 1941, Annals of Mathematical
Statistics 12). It holds for strangers of the same kind, each searched once.

Where not all are surely of one kind, some weigh more than others, and the distances of some are known but for an error
they have in common. The threshold is then the largest at which the rate that is *expected*, the errors counted in, is
still the one asked for, and N in the intervals is how many equal ones they are worth (Kish 1965, Survey Sampling).

Where N are too few to count (k = 0), the threshold lies below all of them, and how far is read off their tail, if that
is of some hundred: beyond the nearest tenth the share of strangers falls off exponentially (peaks over threshold;
Pickands 1975, Annals of Statistics 3). A generalised Pareto tail whose shape is fitted was not surely nearer to the
rate asked for (scripts/studies/tails.py).
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from facerec.errors import ConfigError
from facerec.metrics.intervals import share_interval
from facerec.types import Threshold

DEFAULT_FPIR = 0.01
TAIL = 0.1
"""The share of the strangers, the nearest, that a threshold for a rate too low to count is read off."""
ENOUGH = 1000
"""Strangers it takes for that."""
NORMAL = np.array([NormalDist().inv_cdf((i + 0.5) / 40) for i in range(40)])
"""Values of the normal distribution, one as likely as another."""


@dataclass(frozen=True, eq=False, slots=True)
class Evidence:
    """What a threshold is set by.

    distances: (N,) of strangers to the nearest of the people enrolled, squared Euclidean. weights: (N,) positive.
    errors: (N,) standard deviations of what all those that are not 0 may be off by together. own: how many of the N are
    people enrolled, each searched among all others, and no strangers.
    """

    distances: NDArray[np.float32]
    weights: NDArray[np.float64]
    errors: NDArray[np.float64]
    own: int = 0

    def share(self, distance: float, off: float = 0.0) -> float:
        """Of the weights, that are within a distance, were all errors `off` standard deviations."""
        within = self.distances + off * self.errors <= distance
        return float(self.weights[within].sum() / self.weights.sum())

    @property
    def worth(self) -> float:
        """How many strangers of equal weight they are worth. Two people enrolled who are alike count one another."""
        squares = np.square(self.weights)
        return float(self.weights.sum() ** 2 / (squares.sum() + squares[len(squares) - self.own :].sum()))

    def expected(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(M,) ascending distances and their weights, the errors counted in."""
        distances, weights = self.distances.astype(np.float64), self.weights
        if self.errors.any():
            distances = (distances[:, None] + self.errors[:, None] * NORMAL).ravel()
            weights = np.repeat(weights / len(NORMAL), len(NORMAL))
        order = np.argsort(distances, kind="stable")
        return distances[order], weights[order]


@dataclass(frozen=True, slots=True)
class Calibration:
    """A threshold set by strangers.

    fpir: the rate asked for. distance: the largest d that still counts as a match. strangers: N. within: k, how many of
    them are expected within `distance`; 0 where N are too few for `fpir`. people: enrolled when it was made. least,
    most: how many may be within `distance` (95 %) where the strangers' own distances are not known for sure. worth: how
    many independent strangers of equal weight the N are worth.
    """

    fpir: float
    distance: float
    strangers: int
    within: int
    people: int
    least: int
    most: int
    worth: float

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the FPIR at `distance`, over draws of the strangers it was set by.

        The rate within the k-th nearest of N strangers follows Beta(k, N + 1 - k). The ends of that distribution are
        ends of Clopper and Pearson's intervals: the low one for k strangers of N, the high one for the k - 1 that are
        nearer still. Where none are within `distance` (k = 0), the high end is the one of k = 1, for the rate below the
        nearest is smaller than the rate within it. So the interval never narrows from k = 1 to k = 0
        (`metrics.intervals`).
        """
        least, most = self._counted(self.least), max(self._counted(self.most), 1)
        return share_interval(least, self.worth)[0], share_interval(most - 1, self.worth)[1]

    def prediction(self, searches: int) -> tuple[float, float]:
        """95 % interval of the share of so many further strangers, searched once each, that will be within `distance`.

        Both samples count, that of the strangers it was set by and that of the new ones: a beta-binomial distribution.
        """
        from scipy.stats import betabinom

        least = self._counted(self.least)
        low = betabinom.ppf(0.025, searches, least, self.worth + 1 - least) if least else 0.0
        most = max(self._counted(self.most), 1)  # fewer than before the nearest of N: k = 1 is an upper limit
        high = betabinom.ppf(0.975, searches, most, self.worth + 1 - most)
        return float(low) / searches, float(high) / searches

    def _counted(self, within: int) -> float:
        """So many of the N, of as many as they are worth."""
        return within / self.strangers * self.worth

    @property
    def threshold(self) -> Threshold:
        """The distance, and in words what it rests on."""
        crowd = f"{self.people} {'person' if self.people == 1 else 'people'}"
        if self.within:
            return Threshold(self.distance, f"FPIR {100 * self.fpir:g} % at {crowd}")
        said = f"none of {self.strangers} strangers at {crowd}: FPIR below {100 * self.interval[1]:.2g} %"
        by_tail = f", by their tail {100 * self.fpir:g} %" if self.strangers >= ENOUGH else ""
        return Threshold(self.distance, said + by_tail)


def calibrate(distances: NDArray[np.float32], fpir: float, people: int) -> Calibration | None:
    """The threshold at which strangers are let through at rate `fpir`; None without strangers.

    distances: (N,) of each stranger to the nearest of the `people` enrolled, squared Euclidean; all count alike. Where
    N are too few for the rate (fpir (N + 1) < 1), the threshold lies below the nearest of them: by their tail, or just
    below where they are fewer than ENOUGH. Raises ConfigError for what is no rate between 0 and 1.
    """
    return calibrate_by(Evidence(distances, np.ones(len(distances)), np.zeros(len(distances))), fpir, people)


def calibrate_by(evidence: Evidence, fpir: float, people: int) -> Calibration | None:
    """`calibrate` where strangers have weights, errors, or are the people enrolled."""
    require_rate(fpir)
    if not len(evidence.distances):
        return None
    ranked, weights = evidence.expected()
    mass, strangers, worth = np.cumsum(weights), len(evidence.distances) - evidence.own, evidence.worth
    allowed = fpir * (worth + 1) + 1e-9  # 0.29 * 100 is 28.999999999999996
    most_allowed = max(allowed, 1 - 1e-9)  # too few to count: less than one of them
    last = int(np.searchsorted(mass, most_allowed / worth * mass[-1], "right")) - 1
    while 0 <= last < len(ranked) - 1 and ranked[last] == ranked[last + 1]:
        last -= 1  # of strangers at one distance all are within it or none
    counted = last >= 0 and allowed >= 1
    distance = ranked[max(last, 0)]
    if not counted:
        nearest = float(evidence.distances[:strangers].min())  # somebody enrolled twice is no stranger
        distance = min(distance, _below(min(nearest, ranked[last + 1])))
        if strangers >= ENOUGH:
            distance = min(distance, tail_distance(ranked, fpir, weights))
    distance = max(float(distance), 0.0)
    within = max(round(strangers * float(mass[last] / mass[-1])), 1) if counted else 0
    least, most = (round(strangers * evidence.share(distance, off)) for off in (1.96, -1.96))
    return Calibration(fpir, distance, strangers, within, people, least, most, worth)


def _below(distance: float) -> float:
    """The next smaller one, as distances are kept and compared: in single precision."""
    return float(np.nextafter(np.float32(distance), np.float32(-1)))


def tail_distance(ranked: NDArray[np.float64], fpir: float, weights: NDArray[np.float64] | None = None) -> float:
    """Below which an exponential tail, fitted to the nearest TAIL of (N,) ascending distances, holds `fpir` of all."""
    mass = np.arange(1, len(ranked) + 1) if weights is None else np.cumsum(weights)
    within = max(int(np.searchsorted(mass, TAIL * mass[-1] + 1e-9, "right")), 1)  # the first may weigh more
    scale = np.average(ranked[within] - ranked[:within], weights=None if weights is None else weights[:within])
    return float(ranked[within] - scale * math.log(TAIL / fpir))  # scale: the maximum likelihood


def require_rate(fpir: float) -> None:
    """Raise ConfigError for a false positive identification rate that is not between 0 and 1."""
    if not 0 < fpir < 1:
        raise ConfigError(f"a false positive identification rate is between 0 and 1, not {fpir:g}")
