"""Many statistics at once -> their values and 95 % intervals over people.

A report is a nest of named numbers. A statistic function gives such a nest for a block of bootstrap weights, a (B,)
array in every place; `measured` makes of it the nest of values and the nest of intervals.

Where no error was seen none is drawn either, and a bootstrap would say that there are none. A rate of 0 or 1 therefore
has an interval that reaches at least as far as the rule of three has it (ISO/IEC 19795-1: with none in n independent
trials the rate is below 3 / n at 95 %), where people are the trials: `rule_of_three`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerec.types import Floats

Nest = Mapping[str, Any]
"""Names to (B,) arrays, or to further nests."""
BLOCK = 1_000_000
"""Weights (replicates x comparisons) a bootstrap holds at once."""


def measured(
    statistic: Callable[[Floats], Nest],
    person_a: ArrayLike,
    person_b: ArrayLike,
    replicates: int,
    seed: int,
    over: Mapping[str, NDArray[np.bool_]],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The statistics of N comparisons as they are, None where undefined, and [low, high] of each over resampled people.

    statistic: (B, N) weights -> nest of (B,). person_a, person_b: (N,) who is on either photo (`people_weights`). over:
    name of a rate, or of a nest of them -> (N,) the comparisons it is a share of; what is not named is no rate.
    An interval is over the resamples in which its statistic is defined; None where that is not even half of them.
    """
    count = len(np.asarray(person_a))
    values = _mapped(statistic(np.ones((1, count))), lambda column: value(column[0]))
    drawn = _joined([statistic(weights) for weights in people_weights(person_a, person_b, replicates, seed)])
    trials = {name: independent(chosen, person_a, person_b) for name, chosen in over.items()}
    return values, {name: _intervals(values[name], part, trials.get(name, 0)) for name, part in drawn.items()}


def independent(chosen: NDArray[np.bool_], person_a: ArrayLike, person_b: ArrayLike) -> int:
    """As how many independent trials the chosen of N comparisons count: as many as there are people on their photos.

    (Or comparisons, where those are fewer.) person_a, person_b: (N,) who is on either photo.
    """
    people = np.concatenate([np.asarray(person_a)[chosen], np.asarray(person_b)[chosen]])
    return min(int(chosen.sum()), len(np.unique(people)))


def rule_of_three(rate: float | None, ends: list[float] | None, trials: int) -> list[float] | None:
    """The interval `ends` of a rate; where that is 0 or 1 it reaches at least as far as so many trials allow.

    None of n seen: with the rate 1 - 0.05^(1/n), about 3 / n, that would happen once in twenty times.
    """
    if ends is None or not trials or rate not in (0.0, 1.0):
        return ends
    most = 1 - 0.05 ** (1 / trials)
    return [0.0, max(ends[1], most)] if rate == 0 else [min(ends[0], 1 - most), 1.0]


def value(number: np.floating[Any] | float) -> float | None:
    """A number as JSON takes it: None for nan."""
    return None if np.isnan(number) else float(number)


def interval(values: Floats) -> list[float] | None:
    """[low, high], the central 95 % of (R,) values that are not nan; None where more than half of them are."""
    usable = values[~np.isnan(values)]
    return list(percentile_interval(usable)) if len(usable) and 2 * len(usable) >= len(values) else None


def share(weights: Floats, values: NDArray[Any]) -> Floats:
    """The mean (B,) of (N,) values under each of (B, N) weights, nan where all are 0."""
    whole = weights.sum(axis=1)
    return np.divide(weights @ values.astype(np.float64), whole, out=np.full(len(whole), np.nan), where=whole > 0)


def _intervals(values: Any, drawn: Any, trials: int) -> Any:
    """The interval of a number, or the nest of those of a nest."""
    if isinstance(drawn, Mapping):
        return {name: _intervals(values[name], part, trials) for name, part in drawn.items()}
    return rule_of_three(values, interval(drawn), trials)


def _mapped(nest: Nest, f: Callable[[Any], Any]) -> dict[str, Any]:
    return {name: _mapped(part, f) if isinstance(part, Mapping) else f(part) for name, part in nest.items()}


def _joined(blocks: list[Nest]) -> dict[str, Any]:
    """The nests of several blocks of weights as one."""
    return {
        name: _joined([block[name] for block in blocks])
        if isinstance(part, Mapping)
        else np.concatenate([block[name] for block in blocks])
        for name, part in blocks[0].items()
    }


def people_weights(person_a: ArrayLike, person_b: ArrayLike, replicates: int, seed: int) -> Iterator[Floats]:
    """Bootstrap weights of N comparisons under resampling of PEOPLE, in blocks (B, N) that add up to `replicates` rows.

    person_a, person_b: (N,) who is on either photo. Comparisons that share a person are not independent, so people are
    drawn with replacement, w_p times person p (subsets bootstrap: Bolle, Ratha, Pankanti, CVIU 93, 2004; Poh, Martin,
    Bengio, TPAMI 29, 2007). Two people's comparison counts w_a * w_b times. One person's with themself counts w_a
    times, not w_a^2: they enter or leave with their whole set of genuine comparisons, and nobody ever compared two
    copies of one person. The product is Owen's pigeonhole bootstrap (Ann. Appl. Stat. 1, 2007), which errs on the wide
    side: up to sqrt(3) too wide for impostors where, as in LFW, hardly any two comparisons share a person.
    """
    a, b = np.asarray(person_a), np.asarray(person_b)
    names, codes = np.unique(np.concatenate([a, b]), return_inverse=True)
    a, b = codes[: len(a)], codes[len(a) :]
    rng = np.random.default_rng(seed)
    rows = max(1, BLOCK // max(1, len(a)))
    for start in range(0, replicates, rows):
        drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=min(rows, replicates - start))
        drawn = drawn.astype(np.float64)  # (B, P)
        yield drawn[:, a] * np.where(a == b, 1.0, drawn[:, b])


def bootstrap(
    statistic: Callable[[Floats], Floats], person_a: ArrayLike, person_b: ArrayLike, replicates: int, seed: int
) -> Floats:
    """Values (usable replicates, S) of `statistic`, (B, N) weights -> (B, S), over resampled people; the seed fixes
    them.

    A replicate in which any statistic is undefined (no impostors or no genuine comparisons drawn) is dropped: the
    caller counts them as `replicates` less the rows it gets.
    """
    blocks = [statistic(weights) for weights in people_weights(person_a, person_b, replicates, seed)]
    values = np.concatenate(blocks)
    return values[~np.isnan(values).any(axis=1)]


def percentile_interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """The central `level` of (R,) bootstrap values, R > 0 (percentile method).

    All replicates of a perfect score are perfect: an interval of no width says that no error was seen, not that none
    exists. `intervals.rule_of_three` says what that allows.
    """
    low, high = np.quantile(np.asarray(values, np.float64), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def share_interval(part: int, whole: int, level: float = 0.95) -> tuple[float, float]:
    """The exact interval (Clopper and Pearson 1934) of a share of independent trials, `part` of `whole`."""
    from scipy.special import betaincinv  # here, because few commands need it

    tail = (1 - level) / 2
    low = float(betaincinv(part, whole - part + 1, tail)) if part else 0.0
    high = float(betaincinv(part + 1, whole - part, 1 - tail)) if part < whole else 1.0
    return low, high
