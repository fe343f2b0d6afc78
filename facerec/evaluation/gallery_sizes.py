"""Open-set identification by the size of the gallery: the more people, the nearer strangers come to one of them.

Random sub-galleries are drawn from the people to be enrolled; those left out become strangers, whose probes join the
non-mated searches. Each sub-gallery draws the line where a gallery of its people would.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec.errors import ConfigError
from facerec.evaluation.identification import (
    REPLICATES,
    SEED,
    FaceVector,
    Searches,
    decided,
    fnir_at_fpir,
    gallery_threshold,
    search_all,
)
from facerec.metrics.intervals import Floats, Nest, measured, share
from facerec.text import how_many
from facerec.types import Threshold, Vectors

DRAWS = 20
"""Sub-galleries of each size."""
FPIR = {"0.01": 0.01}
"""Where FNIR is reported for each size."""


@dataclass(frozen=True, slots=True)
class SizeResult:
    """Means over `draws` random sub-galleries of `people`.

    draws: 1 where the sub-gallery is the whole. mated_searches, nonmated_searches: means too.
    fnir_at_fpir: at a threshold chosen by the very strangers searched for. fpir_at_gallery_threshold,
    fnir_at_gallery_threshold: of the final decisions at the sub-gallery's own threshold (their mean:
    `gallery_threshold`). None where a rate is over nothing in every draw.
    ci95: [low, high], a bootstrap over searchers, who are the same in all draws (draws are not resampled), and the rule
    of three over them where no search erred in any.
    """

    people: int
    draws: int
    mated_searches: float
    nonmated_searches: float
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
    """Measure galleries of so many people, of those in `enrolled`; what was drawn is fixed by SEED.

    strangers, fallback: the model's cohort (N, D) and the threshold of its card, as `gallery_threshold` takes them.
    Raises ConfigError for a size below 1 or above the number of people.
    """
    require_sizes(sizes, len(enrolled))
    return [_of_size(enrolled, probes, size, strangers, fallback) for size in sizes]


def require_sizes(sizes: Sequence[int], people: int) -> None:
    """Raise ConfigError for a size that so many people cannot make."""
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
    searcher = drawn[0].searches.searcher
    mated = np.stack([draw.searches.mated for draw in drawn])  # (draws, N)
    once, always = np.logical_or.reduce(mated), np.logical_and.reduce(mated)  # (N,) in any draw, in all
    over = {"fnir_at_fpir": once, "fnir_at_gallery_threshold": once, "fpir_at_gallery_threshold": ~always}
    rates, ci95 = measured(lambda weights: _statistics(drawn, weights), searcher, searcher, REPLICATES, SEED, over)
    limits = [draw.threshold.distance for draw in drawn if draw.threshold is not None]
    return SizeResult(
        people=size,
        draws=len(drawn),
        mated_searches=float(np.mean([draw.searches.mated.sum() for draw in drawn])),
        nonmated_searches=float(np.mean([(~draw.searches.mated).sum() for draw in drawn])),
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

    def mean(rate: Callable[[Draw], NDArray[np.float64]]) -> Floats:
        return _mean_of_defined(np.stack([rate(draw) for draw in drawn]))

    return {
        "fnir_at_fpir": {
            name: mean(lambda draw, at=fpir: fnir_at_fpir(draw.searches, at, weights)) for name, fpir in FPIR.items()
        },
        "fpir_at_gallery_threshold": mean(lambda draw: share(weights * ~draw.searches.mated, draw.named)),
        "fnir_at_gallery_threshold": mean(lambda draw: 1 - share(weights * draw.searches.mated, draw.right)),
    }


def _mean_of_defined(rates: Floats) -> Floats:
    """(draws, B) -> (B,), over the draws in which the rate is not nan."""
    known = ~np.isnan(rates)
    count = known.sum(axis=0)
    return np.divide(np.where(known, rates, 0).sum(axis=0), count, out=np.full(len(count), np.nan), where=count > 0)
