"""Many statistics at once -> their values and 95 % intervals over people.

A report is a nest of named numbers. A statistic function gives such a nest for a block of bootstrap weights, a (B,)
array in every place; `measured` makes of it the nest of values and the nest of intervals.
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
    statistic: Callable[[Floats], Nest], person_a: ArrayLike, person_b: ArrayLike, replicates: int, seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The statistics of N comparisons as they are, None where undefined, and [low, high] of each over resampled people.

    statistic: (B, N) weights -> nest of (B,). person_a, person_b: (N,) who is on either photo (`people_weights`).
    An interval is over the resamples in which its statistic is defined; None where that is not even half of them.
    """
    count = len(np.asarray(person_a))
    values = _mapped(statistic(np.ones((1, count))), lambda column: value(column[0]))
    drawn = _joined([statistic(weights) for weights in metrics.people_weights(person_a, person_b, replicates, seed)])
    return values, _mapped(drawn, interval)


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
