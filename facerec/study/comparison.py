"""Which ways of training the seeds tell apart. A way is a backbone under a strategy.

Two ways are told apart if the 95 % interval of the difference of their mean qualities leaves out 0. Where both have
FEWEST seeds in common, the interval is that of the differences seed by seed (Student's t), because the runs of one seed
share their batches. Otherwise it is Welch's interval for two means (Biometrika 34, 1947). Fewer than FEWEST seeds tell
nothing apart.

On few photos runs often agree exactly, and the interval has no width. So it reaches at least as far to either side as
one photo (or pair) counts: ways that differ by one photo in every seed are not told apart.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from facerec import metrics
from facerec.metrics.intervals import LEVEL
from facerec.study.results import DONE, CellResult

FEWEST = 3
"""A ranking needs so many seeds of a way."""
ROUNDING = 1e-9
"""Differences of shares that are smaller are rounding errors."""


@dataclass(frozen=True, slots=True)
class Way:
    """A backbone under a strategy, as far as its runs are done.

    label: of the quality, as in "TAR at FMR 1e-2". qualities: seed -> quality, 0..1. step: what one photo or pair of
    one person adds to it; 0 if that is not known. seconds: the median of the training times.
    """

    backbone: str
    strategy: str
    label: str
    qualities: dict[int, float]
    step: float
    seconds: float
    trained_parameters: int

    @property
    def mean(self) -> float:
        """The mean quality over the seeds."""
        return fmean(self.qualities.values())


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean quality of one way less another's, with its 95 % interval; `seeds` is the number of runs it rests on.

    Of two ways that have not all seeds in common (`paired` is false), it is the smaller number.
    """

    mean: float
    ci95: tuple[float, float]
    seeds: int
    paired: bool

    @property
    def told_apart(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.ci95[0] > ROUNDING or self.ci95[1] < -ROUNDING


@dataclass(frozen=True, slots=True)
class Ranked:
    """A way in a ranking.

    places: the first and the last place that it may have: so many ways are above it beyond chance, and so many below.
    below: the highest mean less this one; None for the way that has the highest.
    """

    way: Way
    places: tuple[int, int]
    below: Difference | None

    @property
    def among_the_best(self) -> bool:
        """Whether it has the highest mean, or is not told apart from the way that has it."""
        return self.below is None or not self.below.told_apart


def ways_of(results: Iterable[CellResult]) -> list[Way]:
    """The ways that have runs, in the order of the results. The first quality of a cell is the one that ranks."""
    runs: dict[tuple[str, str], list[CellResult]] = {}
    for result in results:
        if result.status == DONE and result.quality:
            runs.setdefault((result.backbone, result.strategy), []).append(result)
    return [_way(own) for own in runs.values()]


def _way(runs: Sequence[CellResult]) -> Way:
    first = runs[0]
    quality = first.quality[0]
    counts = [quality.counts[name] for name in ("photos", "genuine") if quality.counts.get(name)]
    return Way(
        first.backbone,
        first.strategy,
        quality.label,
        {run.seed: run.quality[0].value for run in runs},
        1 / min(counts) if counts else 0.0,
        median(run.seconds for run in runs),
        first.trained_parameters,
    )


def compare(one: Way, other: Way) -> Difference:
    """By how much one way is better than another. Both need FEWEST runs."""
    shared = sorted(one.qualities.keys() & other.qualities.keys())
    paired = len(shared) >= FEWEST
    if paired:
        differences = [one.qualities[seed] - other.qualities[seed] for seed in shared]
        mean, (low, high) = fmean(differences), metrics.mean_interval(differences)
    else:
        mean, (low, high) = one.mean - other.mean, _welch(one, other)
    step = max(one.step, other.step)
    ends = (min(low, mean - step), max(high, mean + step))
    seeds = len(shared) if paired else min(len(one.qualities), len(other.qualities))
    return Difference(mean, ends, seeds, paired)


def _welch(one: Way, other: Way) -> tuple[float, float]:
    from scipy.stats import ttest_ind  # slow to import

    values = [list(way.qualities.values()) for way in (one, other)]
    if all(len(set(each)) == 1 for each in values):  # it has no answer
        return one.mean - other.mean, one.mean - other.mean
    ends = ttest_ind(*values, equal_var=False).confidence_interval(LEVEL)
    return float(ends.low), float(ends.high)


def rank(ways: Iterable[Way]) -> list[Ranked]:
    """The ways that have FEWEST runs or more, the highest mean first."""
    able = sorted((way for way in ways if len(way.qualities) >= FEWEST), key=lambda way: -way.mean)
    return [
        Ranked(way, _places(able, place), compare(able[0], way) if place else None) for place, way in enumerate(able)
    ]


def _places(able: Sequence[Way], place: int) -> tuple[int, int]:
    """The first and last place of one of the ways, which are in order of their means."""
    above = sum(compare(way, able[place]).told_apart for way in able[:place])
    below = sum(compare(able[place], way).told_apart for way in able[place + 1 :])
    return 1 + above, len(able) - below


def cheapest(ways: Iterable[Way]) -> Way:
    """The way that trains fastest; of equals, the one that trains fewest parameters."""
    return min(ways, key=lambda way: (way.seconds, way.trained_parameters))
