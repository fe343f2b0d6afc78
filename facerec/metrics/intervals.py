"""Many statistics at once -> their values and 95 % intervals over people.

A report is a nest of named numbers. A statistic function gives such a nest for a block of bootstrap weights, a (B,)
array in every place; `measured` makes of it the nest of values and the nest of intervals.

Where no error was seen none is drawn either, and a bootstrap would say that there are none. A rate of 0 or 1 therefore
has an interval that reaches at least as far as the rule of three has it (ISO/IEC 19795-1: with none in n independent
trials the rate is below 3 / n at 95 %), where people are the trials: `rule_of_three`.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerec import metrics

Floats = NDArray[np.float64]
Nest = Mapping[str, Any]
"""Names to (B,) arrays, or to further nests."""


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
    drawn = _joined([statistic(weights) for weights in metrics.people_weights(person_a, person_b, replicates, seed)])
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
    return list(metrics.percentile_interval(usable)) if len(usable) and 2 * len(usable) >= len(values) else None


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
