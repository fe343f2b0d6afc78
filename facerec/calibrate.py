"""How near strangers come -> the threshold of a gallery, for a target false positive identification rate (FPIR).

Strangers nobody enrols (the model's cohort, and those a gallery was given) are searched among the people who are
enrolled. Of N strangers, the nearest person at d_1 <= d_2 <= ..., the threshold is d_k with k = floor(FPIR (N + 1)):
whatever the distances' distribution, another such stranger is within it with probability k / (N + 1) on average, and
over draws of the N the rate follows Beta(k, N + 1 - k) (tolerance limits: Wilks 1941, Annals of Mathematical
Statistics 12). It holds for strangers of the same kind, each searched once.

Where N are too few to count (k = 0), the threshold lies below all of them, and how far is read off their tail, if that
is of some hundred: beyond the nearest tenth the share of strangers falls off exponentially (peaks over threshold;
Pickands 1975, Annals of Statistics 3). A generalised Pareto tail whose shape is fitted was not surely nearer to the
rate asked for (scripts/compare_tails.py).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facerec.errors import ConfigError
from facerec.types import Threshold

DEFAULT_FPIR = 0.01
TAIL = 0.1
"""The share of the strangers, the nearest, that a threshold for a rate too low to count is read off."""
ENOUGH = 1000
"""Strangers it takes for that."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A threshold set by strangers.

    fpir: the rate asked for. distance: the largest d that still counts as a match. strangers: N. within: k, how many of
    them are within `distance`; 0 where N are too few for `fpir`. people: enrolled when it was made. least, most: how
    many may be within `distance` (95 %) where the strangers' own distances are not known for sure.
    """

    fpir: float
    distance: float
    strangers: int
    within: int
    people: int
    least: int
    most: int

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the FPIR at `distance`, over draws of the strangers it was set by."""
        from scipy.stats import beta

        low = float(beta.ppf(0.025, self.least, self.strangers + 1 - self.least)) if self.least else 0.0
        if not self.most:
            return 0.0, 1 - 0.05 ** (1 / self.strangers)  # one-sided
        return low, float(beta.ppf(0.975, self.most, self.strangers + 1 - self.most))

    def prediction(self, searches: int) -> tuple[float, float]:
        """95 % interval of the share of so many further strangers, searched once each, that will be within `distance`.

        Both samples count, that of the strangers it was set by and that of the new ones: a beta-binomial distribution.
        """
        from scipy.stats import betabinom

        low = betabinom.ppf(0.025, searches, self.least, self.strangers + 1 - self.least) if self.least else 0.0
        most = max(self.most, 1)  # fewer than before the nearest of N: the same with k = 1 is an upper limit
        high = betabinom.ppf(0.975, searches, most, self.strangers + 1 - most)
        return float(low) / searches, float(high) / searches

    @property
    def threshold(self) -> Threshold:
        """The distance, and in words what it rests on."""
        crowd = f"{self.people} {'person' if self.people == 1 else 'people'}"
        if self.within:
            return Threshold(self.distance, f"FPIR {100 * self.fpir:g} % at {crowd}")
        said = f"none of {self.strangers} strangers at {crowd}: FPIR below {100 * self.interval[1]:.2g} %"
        by_tail = f", by their tail {100 * self.fpir:g} %" if self.strangers >= ENOUGH else ""
        return Threshold(self.distance, said + by_tail)


def calibrate(
    distances: NDArray[np.float32], fpir: float, people: int, error: Callable[[float], float] | None = None
) -> Calibration | None:
    """The threshold at which strangers are let through at rate `fpir`; None without strangers.

    distances: (N,) of each stranger to the nearest of the `people` enrolled, squared Euclidean. Where N are too few for
    the rate (fpir (N + 1) < 1), the threshold lies below the nearest of them: by their tail, or just below where they
    are fewer than ENOUGH. error: distance -> the standard deviation by which all of `distances` may be off there
    together. Raises ConfigError for what is no rate between 0 and 1.
    """
    require_rate(fpir)
    if not len(distances):
        return None
    ranked = np.sort(distances).astype(np.float64)
    within = math.floor(fpir * (len(ranked) + 1) + 1e-9)  # 0.29 * 100 is 28.999999999999996
    while within and within < len(ranked) and ranked[within - 1] == ranked[within]:
        within -= 1  # of strangers at one distance all are within it or none
    distance = ranked[within - 1] if within else np.nextafter(ranked[0], -1)
    if not within and len(ranked) >= ENOUGH:
        distance = min(distance, tail_distance(ranked, fpir))
    distance = max(float(distance), 0.0)
    if error is None:
        return Calibration(fpir, distance, len(ranked), within, people, within, within)
    off = 1.96 * error(distance)
    least, most = np.searchsorted(ranked, [distance - off, distance + off], "right").tolist()
    return Calibration(fpir, distance, len(ranked), within, people, least, most)


def tail_distance(ranked: NDArray[np.float64], fpir: float) -> float:
    """Below which an exponential tail, fitted to the nearest TAIL of (N,) ascending distances, holds `fpir` of all."""
    within = int(TAIL * len(ranked))
    scale = (ranked[within] - ranked[:within]).mean()  # the maximum likelihood
    return float(ranked[within] - scale * math.log(TAIL / fpir))


def require_rate(fpir: float) -> None:
    """Raise ConfigError for a false positive identification rate that is not between 0 and 1."""
    if not 0 < fpir < 1:
        raise ConfigError(f"a false positive identification rate is between 0 and 1, not {fpir:g}")
