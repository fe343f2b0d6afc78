"""Statistics of comparisons -> their values and 95 % intervals: one bootstrap over people, one rule for few errors.

A comparison is a search (of one person) or a pair of photos (of one person or two). A report is a nest of named
numbers. A statistic function gives such a nest for a block of bootstrap weights, a (B,) array in every place.
`measured` makes of it the nest of values and the nest of intervals. What the comparisons say of a rate is its `Tally`.

The bootstrap: `people_weights` draws people with replacement, and an interval is the central 95 % of the values that a
statistic takes under these weights (percentile method; Efron and Tibshirani 1993, chapter 13).

The rule for few errors: a bootstrap cannot draw errors that were not seen. Its interval has no width where nobody
erred, and is too narrow where few people did. The interval of a rate is therefore the hull of the bootstrap's interval
and of an outer bound. The outer bound takes the m people for m independent trials. If j people erred in all of their
comparisons and the others in none, it would be the two-sided 95 % interval of Clopper and Pearson (1934, Biometrika 26)
for j of m. H(j) is the high end of that interval: for j = 0 it is 1 - 0.025^(1/m), about 3.7 / m. (ISO/IEC 19795-1 has
the one-sided form of this case, the rule of three: 3 / m.) But people err in a part of their comparisons. So the j
people who err most stand for all who err, for every j, and the outer bound is the largest of

    H(j) * (mean part of the j people who err most),  j = 0, 1, ..., m,   the part being 1 for j = 0.

A person's part is their number of errors divided by N / m, the comparisons that a person has on average; at most 1. The
low end is found in the same way: it is 1 less the outer bound of what was right.

What follows:

- It is monotone: one more error, with the same comparisons, people and seed, never lowers either end. Every replicate
  of the bootstrap rises or stays, because its weights stay. The outer bound rises or stays, because the sum of the j
  largest parts does.
- With one comparison a person, the outer bound is the interval of Clopper and Pearson.
- Where many people err, the bootstrap's interval is the wider one and is kept as it is. There is one exception, the
  price of being monotone: the high end is never below H(0), its place when nobody errs, and the low end never above 1 -
  H(0).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerec.types import Floats

Nest = Mapping[str, Any]
"""Names to (B,) arrays, or to further nests; or to tallies."""
BLOCK = 1_000_000
"""How many weights (replicates x comparisons) a bootstrap holds at once."""
LEVEL = 0.95
"""How sure the intervals are."""


@dataclass(frozen=True, eq=False, slots=True)
class Tally:
    """What N comparisons say of a rate, at the threshold of the reported value.

    chosen: (N,) bool, the comparisons that the rate is a share of. errors, rest: (N,) >= 0, what each adds to the rate
    and to 1 less the rate, in any unit: in the simplest case 1 and 0, or 0 and 1. Both are 0 for comparisons that are
    not chosen, and for all where the rate is no share of comparisons (EER): it is then bounded as one without errors.
    """

    chosen: NDArray[np.bool_]
    errors: Floats
    rest: Floats

    def rate(self, weights: Floats) -> Floats:
        """The rate (B,) under (B, N) weights, nan where no chosen comparison has any."""
        whole = weights @ (self.errors + self.rest)
        return np.divide(weights @ self.errors, whole, out=np.full(len(whole), np.nan), where=whole != 0)


def tally(chosen: NDArray[np.bool_], events: ArrayLike) -> Tally:
    """Of the rate at which `events`, (N,) bool or 0 and 1, happen among the (N,) `chosen` comparisons."""
    happened = np.asarray(events, np.float64)
    return Tally(chosen, chosen * happened, chosen * (1 - happened))


def rates(tallies: Nest, weights: Floats) -> dict[str, Any]:
    """A nest of tallies and (B, N) weights -> the nest of their rates, (B,) each."""
    return _mapped(tallies, lambda found: found.rate(weights))


def measured(
    statistic: Callable[[Floats], Nest],
    person_a: ArrayLike,
    person_b: ArrayLike,
    replicates: int,
    seed: int,
    tallies: Nest,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The values of the statistics of N comparisons, None where undefined, and [low, high] of each over people.

    statistic: (B, N) weights -> nest of (B,). person_a, person_b: (N,) who is on either photo (`people_weights`).
    tallies: of the statistics that are rates, by the names these have in the nest; others have the bootstrap's interval
    alone. An interval is over the resamples in which its statistic is defined; None where that is not even half of
    them.
    """
    count = len(np.asarray(person_a))
    values = _mapped(statistic(np.ones((1, count))), lambda column: value(column[0]))
    drawn = _joined([statistic(weights) for weights in people_weights(person_a, person_b, replicates, seed)])
    ends = _mapped(drawn, interval)
    return values, _bounded_nest(ends, tallies, person_a, person_b)


def rate_interval(events: ArrayLike, people: ArrayLike, replicates: int, seed: int) -> tuple[float, float]:
    """The interval of the rate at which (N,) `events` happen, N > 0, in comparisons of (N,) `people`.

    Where everybody has one comparison that is Clopper and Pearson's interval, which needs no bootstrap.
    """
    happened = np.asarray(events, np.bool_)
    if len(np.unique(people)) == len(happened):
        return share_interval(int(happened.sum()), len(happened))
    found = {"rate": tally(np.ones(len(happened), np.bool_), happened)}
    _, ends = measured(lambda weights: rates(found, weights), people, people, replicates, seed, found)
    return ends["rate"][0], ends["rate"][1]


def bounded(
    ends: list[float] | None, found: Tally | None, person_a: ArrayLike, person_b: ArrayLike
) -> list[float] | None:
    """A bootstrap's interval [low, high], widened by the rule for few errors; as it is without a tally, or None."""
    if ends is None or found is None:
        return ends
    trials = independent(found.chosen, person_a, person_b)
    owners = _owners(found.chosen, person_a, person_b)
    whole = float(found.errors.sum() + found.rest.sum())
    most, least = (_outer_bound(part, whole, owners, trials) for part in (found.errors, found.rest))
    return [min(ends[0], 1 - least), max(ends[1], most)]


def independent(chosen: NDArray[np.bool_], person_a: ArrayLike, person_b: ArrayLike) -> int:
    """How many independent trials the chosen of N comparisons count for: as many as there are people on their photos.

    (Or comparisons, where those are fewer.) person_a, person_b: (N,) who is on either photo.
    """
    people = np.concatenate([np.asarray(person_a)[chosen], np.asarray(person_b)[chosen]])
    return min(int(chosen.sum()), len(np.unique(people)))


def _owners(chosen: NDArray[np.bool_], person_a: ArrayLike, person_b: ArrayLike) -> NDArray[np.intp]:
    """(N,) the number of the person whom each comparison counts for: of two, the one who is in more of the chosen."""
    a, b = np.asarray(person_a), np.asarray(person_b)
    _, codes = np.unique(np.concatenate([a, b]), return_inverse=True)
    a, b = codes[: len(a)], codes[len(a) :]
    times = np.bincount(a, chosen, len(codes)) + np.bincount(b, chosen, len(codes))
    return np.where(times[b] > times[a], b, a)


def _outer_bound(errors: Floats, whole: float, owners: NDArray[np.intp], trials: int) -> float:
    """The largest rate that the rule for few errors allows; 0, which widens nothing, without trials.

    errors: (N,) what each comparison adds to the rate, all of them to `whole` at most. owners: (N,) whom each counts
    for.
    """
    from scipy.special import betaincinv  # here, because few commands need it

    if not trials:
        return 0.0
    own = np.bincount(owners, errors)  # integers, so far, where errors are counted: exact
    parts = np.sort(np.minimum(own[own > 0] * (trials / (whole or 1.0)), 1))[::-1]
    worst = np.arange(len(parts) + 1)[: trials + 1]
    ends = np.where(worst < trials, betaincinv(worst + 1, np.maximum(trials - worst, 1), (1 + LEVEL) / 2), 1.0)
    means = np.append(1.0, np.cumsum(parts) / np.arange(1, len(parts) + 1))[: trials + 1]
    return float((ends * means).max())


def _bounded_nest(ends: Any, tallies: Any, person_a: ArrayLike, person_b: ArrayLike) -> Any:
    """`bounded` for every interval of a nest that the nest of tallies has a tally of."""
    if isinstance(ends, Mapping):
        within = tallies or {}
        return {name: _bounded_nest(part, within.get(name), person_a, person_b) for name, part in ends.items()}
    return bounded(ends, tallies, person_a, person_b)


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


def people_weights(
    person_a: ArrayLike, person_b: ArrayLike, replicates: int, seed: int, strata: ArrayLike | None = None
) -> Iterator[Floats]:
    """Bootstrap weights of N comparisons under resampling of PEOPLE, in blocks (B, N) that add up to `replicates` rows.

    person_a, person_b: (N,) who is on either photo. strata: (P,) the class of each different person, in sorted order:
    every class is then resampled by itself and keeps its number of people.

    Comparisons that share a person are not independent, so people are drawn with replacement, person p w_p times
    (subsets bootstrap: Bolle, Ratha, Pankanti, CVIU 93, 2004; Poh, Martin, Bengio, TPAMI 29, 2007). The comparison of
    two people counts w_a * w_b times. A comparison of one person counts w_a times, not w_a^2: people enter or leave
    with their whole set of genuine comparisons, and nobody ever compared two copies of one person. The product is
    Owen's pigeonhole bootstrap (Ann. Appl. Stat. 1, 2007), which errs on the wide side: up to sqrt(3) too wide for
    impostors where, as in LFW, hardly any two comparisons share a person.
    """
    a, b = np.asarray(person_a), np.asarray(person_b)
    names, codes = np.unique(np.concatenate([a, b]), return_inverse=True)
    a, b = codes[: len(a)], codes[len(a) :]
    classes = np.zeros(len(names)) if strata is None else np.asarray(strata)
    rng = np.random.default_rng(seed)
    rows = max(1, BLOCK // max(1, len(a)))
    for start in range(0, replicates, rows):
        drawn = _drawn(classes, min(rows, replicates - start), rng)
        yield drawn[:, a] * np.where(a == b, 1.0, drawn[:, b])


def _drawn(classes: NDArray[Any], replicates: int, rng: np.random.Generator) -> Floats:
    """How often each of P people is drawn, (replicates, P), when each of their classes (P,) is resampled by itself."""
    drawn = np.empty((replicates, len(classes)))
    for label, count in zip(*np.unique(classes, return_counts=True), strict=True):
        drawn[:, classes == label] = rng.multinomial(count, np.full(count, 1 / count), size=replicates)
    return drawn


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


def percentile_interval(values: ArrayLike, level: float = LEVEL) -> tuple[float, float]:
    """The central `level` of (R,) bootstrap values, R > 0 (percentile method).

    All replicates of a perfect score are perfect: an interval of no width says that no error was seen, not that none
    exists. `bounded` says what is possible all the same.
    """
    low, high = np.quantile(np.asarray(values, np.float64), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def share_interval(part: float, whole: float, level: float = LEVEL) -> tuple[float, float]:
    """The exact two-sided interval (Clopper and Pearson 1934) of a share of independent trials, `part` of `whole`.

    Both may be fractions, as trials of unequal weight count (`facerec.decision.calibration`).
    """
    from scipy.special import betaincinv  # here, because few commands need it

    tail = (1 - level) / 2
    low = float(betaincinv(part, whole - part + 1, tail)) if part else 0.0
    high = float(betaincinv(part + 1, whole - part, 1 - tail)) if part < whole else 1.0
    return low, high


def mean_interval(values: ArrayLike, level: float = LEVEL) -> tuple[float, float]:
    """The interval of the mean of (R,) independent runs, R > 1, by Student's t distribution.

    Runs that agree exactly give an interval of no width: it says nothing of what another run might give.
    """
    from scipy.special import stdtrit  # here, because few commands need it

    runs = np.asarray(values, np.float64)
    reach = float(stdtrit(len(runs) - 1, (1 + level) / 2)) * float(runs.std(ddof=1)) / len(runs) ** 0.5
    return float(runs.mean()) - reach, float(runs.mean()) + reach
