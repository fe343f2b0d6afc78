"""Open-set identification by the size of the gallery: among more people, strangers come nearer to one of them.

Random sub-galleries are drawn from the people to be enrolled. Those left out become strangers, whose probes join the
non-mated searches. Each sub-gallery has the threshold that a gallery of its people would have.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from facerec.errors import ConfigError
from facerec.evaluation.identification import (
    REPLICATES,
    SEED,
    FaceVector,
    Searches,
    decided,
    fnir_at_fpir,
    fnir_tally,
    gallery_threshold,
    search_all,
)
from facerec.metrics.intervals import Nest, Tally, measured, tally
from facerec.text import how_many
from facerec.types import Floats, Threshold, Vectors

DRAWS = 20
"""How many sub-galleries of each size."""
FPIR = {"0.01": 0.01}
"""The false positive identification rates at which FNIR is reported."""


@dataclass(frozen=True, slots=True)
class SizeResult:
    """Means over `draws` random sub-galleries of `people` people.

    draws: 1 where the sub-gallery is the whole. mated_searches, nonmated_searches: means over the draws, too.
    failures_to_acquire_nonmated: how many of the latter have no usable face (a mean, too); no rate is about them.
    fnir_at_fpir: at a threshold chosen by the very strangers searched for. fpir_at_gallery_threshold,
    fnir_at_gallery_threshold: of the final decisions at each sub-gallery's own threshold, whose mean is
    `gallery_threshold`. A rate is None where it is over nothing in every draw.
    ci95: [low, high] over searchers, who are the same in all draws (draws are not resampled): a bootstrap, and the rule
    for few errors (`metrics.intervals`).
    """

    people: int
    draws: int
    mated_searches: float
    nonmated_searches: float
    failures_to_acquire_nonmated: float
    gallery_threshold: float | None
    fnir_at_fpir: dict[str, float | None]
    fpir_at_gallery_threshold: float | None
    fnir_at_gallery_threshold: float | None
    ci95: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The fields as a dict that `json.dumps` takes; no nan in it."""
        return asdict(self)


@dataclass(frozen=True, eq=False, slots=True)
class Draw:
    """The searches of one sub-gallery, its threshold, and what was `decided` by it."""

    searches: Searches
    threshold: Threshold | None
    named: Floats
    right: Floats


def by_gallery_size(
    enrolled: Mapping[str, Sequence[FaceVector]],
    probes: Mapping[str, Sequence[FaceVector]],
    sizes: Sequence[int],
    strangers: Vectors,
    fallback: Threshold | None,
) -> list[SizeResult]:
    """Measure galleries of each of the `sizes`, drawn from the people in `enrolled`; SEED fixes the draws.

    strangers, fallback: the model's cohort (N, D) and the threshold of its card, as `gallery_threshold` takes them.
    Raises ConfigError for a size below 1 or above the number of people.
    """
    require_sizes(sizes, len(enrolled))
    return [_of_size(enrolled, probes, size, strangers, fallback) for size in sizes]


def require_sizes(sizes: Sequence[int], people: int) -> None:
    """Raise ConfigError for a size below 1 or above the number of `people`."""
    for size in sizes:
        if not 1 <= size <= people:
            raise ConfigError(
                f"a gallery of {size} cannot be drawn from {how_many(people, 'person', 'people')}; "
                f"give sizes from 1 to {people}"
            )


def sub_galleries(people: Sequence[str], size: int) -> list[list[str]]:
    """DRAWS random choices of `size` people, or everybody, once."""
    if size == len(people):
        return [list(people)]
    generators = [np.random.default_rng((SEED, size, number)) for number in range(DRAWS)]
    return [[people[int(i)] for i in sorted(rng.permutation(len(people))[:size])] for rng in generators]


def _of_size(
    enrolled: Mapping[str, Sequence[FaceVector]],
    probes: Mapping[str, Sequence[FaceVector]],
    size: int,
    strangers: Vectors,
    fallback: Threshold | None,
) -> SizeResult:
    drawn = [
        _draw({person: enrolled[person] for person in chosen}, probes, strangers, fallback)
        for chosen in sub_galleries(sorted(enrolled), size)
    ]
    searcher, tallies = drawn[0].searches.searcher, _tallies(drawn)
    rates, ci95 = measured(lambda weights: _statistics(drawn, weights), searcher, searcher, REPLICATES, SEED, tallies)
    limits = [draw.threshold.distance for draw in drawn if draw.threshold is not None]
    return SizeResult(
        people=size,
        draws=len(drawn),
        mated_searches=float(np.mean([draw.searches.mated.sum() for draw in drawn])),
        nonmated_searches=float(np.mean([(~draw.searches.mated).sum() for draw in drawn])),
        failures_to_acquire_nonmated=float(np.mean([(~draw.searches.counted).sum() for draw in drawn])),
        gallery_threshold=float(np.mean(limits)) if limits else None,
        **rates,
        ci95={**ci95, "replicates": REPLICATES},
    )


def _draw(
    gallery: Mapping[str, Sequence[FaceVector]],
    probes: Mapping[str, Sequence[FaceVector]],
    strangers: Vectors,
    fallback: Threshold | None,
) -> Draw:
    searches = search_all(gallery, probes)
    threshold = gallery_threshold(gallery, strangers, fallback)
    return Draw(searches, threshold, *decided(searches, threshold))


def _statistics(drawn: Sequence[Draw], weights: Floats) -> Nest:
    """(B, N) weights -> means over the draws, (B,) each."""

    def mean(rate: Callable[[Draw], Floats]) -> Floats:
        return _mean_of_defined(np.stack([rate(draw) for draw in drawn]))

    return {
        "fnir_at_fpir": {
            name: mean(lambda draw, at=fpir: fnir_at_fpir(draw.searches, at, weights)) for name, fpir in FPIR.items()
        },
        "fpir_at_gallery_threshold": mean(lambda draw: _false_positives(draw).rate(weights)),
        "fnir_at_gallery_threshold": mean(lambda draw: _misses(draw).rate(weights)),
    }


def _tallies(drawn: Sequence[Draw]) -> Nest:
    """Of the rates in `_statistics`."""
    at_fpir = {name: _mean_tally([fnir_tally(draw.searches, fpir) for draw in drawn]) for name, fpir in FPIR.items()}
    return {
        "fnir_at_fpir": at_fpir,
        "fpir_at_gallery_threshold": _mean_tally([_false_positives(draw) for draw in drawn]),
        "fnir_at_gallery_threshold": _mean_tally([_misses(draw) for draw in drawn]),
    }


def _false_positives(draw: Draw) -> Tally:
    return tally(draw.searches.nonmated, draw.named)


def _misses(draw: Draw) -> Tally:
    return tally(draw.searches.mated, 1 - draw.right)


def _mean_tally(tallies: Sequence[Tally]) -> Tally:
    """Of the mean of several rates: what every search adds to it. Draws without such a search add nothing."""
    counts = np.array([max(float((each.errors + each.rest).sum()), 1) for each in tallies])[:, None]
    errors, rest = (np.stack(part) / counts for part in zip(*((t.errors, t.rest) for t in tallies), strict=True))
    chosen = np.logical_or.reduce([each.chosen for each in tallies])
    return Tally(chosen, errors.sum(axis=0), rest.sum(axis=0))


def _mean_of_defined(rates: Floats) -> Floats:
    """(draws, B) -> (B,), over the draws in which the rate is not nan."""
    known = ~np.isnan(rates)
    count = known.sum(axis=0)
    return np.divide(np.where(known, rates, 0).sum(axis=0), count, out=np.full(len(count), np.nan), where=count > 0)
