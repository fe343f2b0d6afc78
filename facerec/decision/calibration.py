"""The threshold of a gallery for a target false positive identification rate (FPIR), set by strangers.

N strangers (the model's cohort, and those given to the gallery) are searched among the enrolled people. Let d_1 <= d_2
<= ... be their distances to the nearest person. The threshold is d_k with k = floor(FPIR (N + 1)). Whatever the
distribution of the distances, another such stranger is within d_k with probability k / (N + 1) on average. Over draws
of the N strangers, the rate follows Beta(k, N + 1 - k) (tolerance limits: Wilks 1941, Annals of Mathematical
Statistics 12). This holds for strangers of the same kind, each searched once.

Strangers may be of different kinds. Then each has a weight, and the distances of some have an error in common. The
threshold is then the largest at which the *expected* rate, errors included, is at most the rate asked for. In the
intervals, N is replaced by the number of equally weighted strangers that they are worth (Kish 1965, Survey Sampling).

If there are too few strangers to count (k = 0), the threshold lies below the nearest of them. With at least ENOUGH
strangers, a tail fitted to the nearest tenth says how far below: beyond that tenth, the share of strangers falls off
exponentially (peaks over threshold; Pickands 1975, Annals of Statistics 3). A generalised Pareto tail with a fitted
shape did not come reliably nearer to the rate asked for (scripts/studies/tails.py).
"""

import math
from dataclasses import dataclass
from numbers import Real
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from facerec.errors import ConfigError
from facerec.metrics.intervals import share_interval
from facerec.text import Brief
from facerec.types import Threshold

DEFAULT_FPIR = 0.01
TAIL = 0.1
"""The share of strangers, the nearest ones, to which the tail is fitted."""
ENOUGH = 1000
"""The fewest strangers to which a tail is fitted."""
NORMAL = np.array([NormalDist().inv_cdf((i + 0.5) / 40) for i in range(40)])
"""40 equally likely values of the standard normal distribution."""


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Evidence(Brief):
    """The distances that set a threshold.

    distances: (N,) squared Euclidean distances from strangers to the nearest enrolled person. weights: (N,) positive.
    errors: (N,) standard deviations of the distances; 0 for an exact one. All errors are off by the same number of
    standard deviations at once. own: the last `own` of the N are not strangers but enrolled people, each searched among
    all others.
    """

    distances: NDArray[np.float32]
    weights: NDArray[np.float64]
    errors: NDArray[np.float64]
    own: int = 0

    def share(self, distance: float, off: float = 0.0) -> float:
        """Return the share of the weights within a distance, if all distances are `off` standard deviations larger."""
        within = self.distances + off * self.errors <= distance
        return float(self.weights[within].sum() / self.weights.sum())

    @property
    def worth(self) -> float:
        """The number of equally weighted strangers that they are worth.

        Enrolled people count less than strangers: two who are alike are each other's nearest.
        """
        squares = np.square(self.weights)
        return float(self.weights.sum() ** 2 / (squares.sum() + squares[len(squares) - self.own :].sum()))

    def expected(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (M,) ascending distances and their weights; each uncertain distance is spread over its error."""
        distances, weights = self.distances.astype(np.float64), self.weights
        if self.errors.any():
            distances = (distances[:, None] + self.errors[:, None] * NORMAL).ravel()
            weights = np.repeat(weights / len(NORMAL), len(NORMAL))
        order = np.argsort(distances, kind="stable")
        return distances[order], weights[order]


@dataclass(frozen=True, slots=True, repr=False)
class Calibration(Brief):
    """A threshold set by strangers.

    fpir: the rate asked for. distance: the largest distance that counts as a match. strangers: N. within: k, the number
    of strangers expected within `distance`; 0 if N is too small for `fpir`. people: the number enrolled when it was
    made. least, most: the 95 % range of the number of strangers within `distance`, where their distances are uncertain.
    worth: the number of independent, equally weighted strangers that the N are worth.
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
        """The 95 % interval of the FPIR at `distance`, over draws of the strangers.

        The rate within the k-th nearest of N strangers follows Beta(k, N + 1 - k). The low end of that distribution is
        the low end of Clopper and Pearson's interval for k of N; its high end is their high end for k - 1 of N. If no
        stranger is within `distance` (k = 0), the high end of k = 1 is used: the rate below the nearest stranger is
        smaller than the rate within it. So the interval never narrows from k = 1 to k = 0 (`metrics.intervals`).
        """
        least, most = self._counted(self.least), max(self._counted(self.most), 1)
        return share_interval(least, self.worth)[0], share_interval(most - 1, self.worth)[1]

    def prediction(self, searches: int) -> tuple[float, float]:
        """The 95 % interval of the share of further strangers within `distance`, in so many searches, one a stranger.

        Both samples are random: the strangers who set the threshold and the new ones. So the distribution is
        beta-binomial.
        """
        from scipy.stats import betabinom

        least = self._counted(self.least)
        low = betabinom.ppf(0.025, searches, least, self.worth + 1 - least) if least else 0.0
        most = max(self._counted(self.most), 1)  # k = 0: the rate is below that of the nearest stranger, k = 1
        high = betabinom.ppf(0.975, searches, most, self.worth + 1 - most)
        return float(low) / searches, float(high) / searches

    def _counted(self, within: int) -> float:
        """Convert a number of the N strangers to a number of the `worth` equally weighted ones."""
        return within / self.strangers * self.worth

    @property
    def threshold(self) -> Threshold:
        """The distance, with its origin in words."""
        crowd = f"{self.people} {'person' if self.people == 1 else 'people'}"
        if self.within:
            return Threshold(self.distance, f"FPIR {100 * self.fpir:g} % at {crowd}")
        said = f"none of {self.strangers} strangers at {crowd}: FPIR below {100 * self.interval[1]:.2g} %"
        by_tail = f", by their tail {100 * self.fpir:g} %" if self.strangers >= ENOUGH else ""
        return Threshold(self.distance, said + by_tail)


def calibrate(distances: NDArray[np.float32], fpir: float, people: int) -> Calibration | None:
    """Return the threshold that matches strangers at rate `fpir`; None without strangers.

    distances: (N,) squared Euclidean distance of each stranger to the nearest of the `people` enrolled; all weigh the
    same. If N is too small for the rate (fpir (N + 1) < 1), the threshold lies below the nearest stranger: where a
    fitted tail says, or just below if there are fewer than ENOUGH. ConfigError if the rate is not between 0 and 1.
    """
    return calibrate_by(Evidence(distances, np.ones(len(distances)), np.zeros(len(distances))), fpir, people)


def calibrate_by(evidence: Evidence, fpir: float, people: int) -> Calibration | None:
    """`calibrate` for strangers with weights and errors, and for enrolled people among them. None without any."""
    require_rate(fpir)
    if not len(evidence.distances):
        return None
    ranked, weights = evidence.expected()
    mass, strangers, worth = np.cumsum(weights), len(evidence.distances) - evidence.own, evidence.worth
    allowed = fpir * (worth + 1) + 1e-9  # against rounding: 0.29 * 100 is 28.999999999999996
    most_allowed = max(allowed, 1 - 1e-9)  # at least just below one stranger, where they are too few to count
    last = int(np.searchsorted(mass, most_allowed / worth * mass[-1], "right")) - 1
    while 0 <= last < len(ranked) - 1 and ranked[last] == ranked[last + 1]:
        last -= 1  # strangers at the same distance are all within the threshold or all outside
    counted = last >= 0 and allowed >= 1
    distance = ranked[max(last, 0)]
    if not counted:
        nearest = float(evidence.distances[:strangers].min())  # without the enrolled: one may be enrolled twice
        distance = min(distance, _below(min(nearest, ranked[last + 1])))
        if strangers >= ENOUGH:
            distance = min(distance, tail_distance(ranked, fpir, weights))
    distance = max(float(distance), 0.0)
    within = max(round(strangers * float(mass[last] / mass[-1])), 1) if counted else 0
    least, most = (round(strangers * evidence.share(distance, off)) for off in (1.96, -1.96))
    return Calibration(fpir, distance, strangers, within, people, least, most, worth)


def _below(distance: float) -> float:
    """Return the next smaller float32, because distances are kept and compared in float32."""
    return float(np.nextafter(np.float32(distance), np.float32(-1)))


def tail_distance(ranked: NDArray[np.float64], fpir: float, weights: NDArray[np.float64] | None = None) -> float:
    """Return the distance below which a fitted exponential tail has the share `fpir` of all strangers.

    ranked: (N,) ascending distances. The tail is fitted to the nearest TAIL of them. weights: (N,), equal unless given.
    """
    mass = np.arange(1, len(ranked) + 1) if weights is None else np.cumsum(weights)
    within = max(int(np.searchsorted(mass, TAIL * mass[-1] + 1e-9, "right")), 1)  # the first alone may exceed TAIL
    scale = np.average(ranked[within] - ranked[:within], weights=None if weights is None else weights[:within])
    return float(ranked[within] - scale * math.log(TAIL / fpir))  # scale: its maximum likelihood estimate


def require_rate(fpir: float) -> None:
    """Raise ConfigError for a false positive identification rate that is not a number between 0 and 1."""
    if not isinstance(fpir, Real) or not 0 < fpir < 1:
        given = f"{fpir:g}" if isinstance(fpir, Real) else ascii(fpir)
        raise ConfigError(f"`fpir` must be a number between 0 and 1, such as 0.01 for 1 %, not {given:.40}")
