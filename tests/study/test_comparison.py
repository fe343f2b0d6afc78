"""Which ways the seeds tell apart: against SciPy's tests, and by hand-made runs at the borders."""

from typing import Any

import numpy as np
import pytest
import toy_study
from scipy import stats

from facerec.study.comparison import Way, cheapest, compare, rank, ways_of
from facerec.study.results import CellResult


def way(strategy: str = "full", qualities: Any = (), step: float = 0.0, seconds: float = 1.0, trained: int = 1) -> Way:
    """A way whose runs have the seeds 0, 1, ..., or those of a dict."""
    runs = dict(qualities) if isinstance(qualities, dict) else dict(enumerate(qualities))
    return Way("resnet50", strategy, "accuracy", runs, step, seconds, trained)


def test_runs_of_the_same_seeds_are_compared_in_pairs() -> None:
    rng = np.random.default_rng(0)
    for count in (3, 5):
        one, other = rng.uniform(size=(2, count))
        found = compare(way(qualities=one), way(qualities=other))
        known = stats.ttest_rel(one, other).confidence_interval()
        assert found.ci95 == pytest.approx((known.low, known.high))
        assert (found.mean, found.seeds, found.paired) == (pytest.approx(np.mean(one - other)), count, True)


def test_pairs_tell_apart_what_means_do_not() -> None:
    """The seeds differ by 20 points, but the one is better by about 2 in each."""
    runs = np.array([0.5, 0.6, 0.7])
    other = runs - [0.02, 0.021, 0.019]
    assert compare(way(qualities=runs), way(qualities=other)).told_apart
    elsewhere = {seed + 10: quality for seed, quality in enumerate(other)}
    assert not compare(way(qualities=runs), way(qualities=elsewhere)).told_apart


def test_runs_of_other_seeds_are_compared_by_their_means() -> None:
    one, other = {0: 0.9, 1: 0.92, 2: 0.91, 3: 0.9}, {2: 0.7, 3: 0.75, 4: 0.8}
    found = compare(way(qualities=one), way(qualities=other))
    known = stats.ttest_ind(list(one.values()), list(other.values()), equal_var=False).confidence_interval()
    assert found.ci95 == pytest.approx((known.low, known.high))
    assert (found.seeds, found.paired, found.told_apart) == (3, False, True)


def test_one_photo_tells_nothing_apart_however_alike_the_runs_are() -> None:
    """Of eight photos, one is 12.5 points. Runs that all agree give an interval without width."""
    step = 1 / 8
    for seeds in ([0, 1, 2], [7, 8, 9]):  # paired, and not
        other = dict.fromkeys(seeds, 6 / 8)
        assert not compare(way(qualities=[7 / 8] * 3, step=step), way(qualities=other, step=step)).told_apart
        assert compare(way(qualities=[8 / 8] * 3, step=step), way(qualities=other, step=step)).told_apart


def test_places_are_as_sure_as_the_seeds_are() -> None:
    ways = {
        "best": [0.90, 0.91, 0.92],
        "near": [0.89, 0.92, 0.90],  # not told apart from the best
        "worse": [0.80, 0.812, 0.82],  # told apart from both
        "noisy": [0.5, 0.95, 0.4],  # told apart from none
        "two": [0.99, 0.99],
    }
    ranked = rank(way(name, qualities) for name, qualities in ways.items())
    assert {each.way.strategy: each.places for each in ranked} == {
        "best": (1, 3), "near": (1, 3), "worse": (3, 4), "noisy": (1, 4),
    }  # fmt: skip
    assert [each.way.strategy for each in ranked] == ["best", "near", "worse", "noisy"], "the highest mean first"
    assert [each.among_the_best for each in ranked] == [True, True, False, True]


@pytest.mark.parametrize("seeds", [1, 2])
def test_few_seeds_are_not_ranked(seeds: int) -> None:
    assert rank([way("full", [0.9] * seeds), way("frozen", [0.1] * seeds)]) == []


def test_the_cheapest_trains_fastest_then_fewest_parameters() -> None:
    ways = [way("a", seconds=2), way("b", seconds=1, trained=9), way("c", seconds=1, trained=8)]
    assert cheapest(ways).strategy == "c"


def test_ways_are_the_runs_that_are_done() -> None:
    results = [
        toy_study.cell("resnet50", "full", 0, (0.6, 0.5), (0.9, 0.7)),
        toy_study.cell("resnet50", "full", 2, (0.6, 0.5), seconds=30.0),
        CellResult("resnet50", "full", 1, "failed", reason="killed"),
        CellResult("resnet50", "gradual", 0, "left_out", reason="one stage"),
    ]
    [found] = ways_of(results)
    assert found == Way("resnet50", "full", "TAR at FMR 1e-2", {0: 0.7, 2: 0.5}, 1 / 1900, 25.0, 100)
