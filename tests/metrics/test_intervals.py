"""Intervals of rates of which no error was seen: as wide as the people who were looked at allow, and no wider."""

import numpy as np
import pytest
from scipy.stats import binom

from facerec.datasets.pairs import Pairs
from facerec.evaluation.gallery_sizes import by_gallery_size
from facerec.evaluation.identification import identification
from facerec.evaluation.verification import by_group, verification
from facerec.metrics.intervals import independent, measured, rule_of_three, share
from facerec.types import Threshold


@pytest.mark.parametrize("trials", [1, 2, 30, 1000])
def test_the_end_is_where_nothing_seen_becomes_unlikely(trials: int) -> None:
    low, high = rule_of_three(0.0, [0.0, 0.0], trials) or [1, 0]
    assert low == 0
    assert binom.pmf(0, trials, high) == pytest.approx(0.05)
    assert trials < 10 or high == pytest.approx(3 / trials, rel=0.1)
    assert rule_of_three(1.0, [1.0, 1.0], trials) == pytest.approx([1 - high, 1.0])


def test_it_only_widens_and_only_where_it_has_a_say() -> None:
    assert rule_of_three(0.0, [0.0, 0.5], 30) == [0.0, 0.5]
    assert rule_of_three(1.0, [0.2, 1.0], 30) == [0.2, 1.0]
    assert rule_of_three(0.01, [0.0, 0.02], 30) == [0.0, 0.02]
    assert rule_of_three(0.0, None, 30) is None
    assert rule_of_three(0.0, [0.0, 0.0], 0) == [0.0, 0.0]
    assert rule_of_three(None, [0.0, 0.0], 30) == [0.0, 0.0]


def test_people_are_the_trials() -> None:
    a, b = ["Ann", "Ann", "Ann", "Bob", "Cy"], ["Ann", "Ann", "Bob", "Cy", "Dee"]
    for chosen, trials in (
        ([1, 1, 0, 0, 0], 1),
        ([0, 0, 1, 0, 0], 1),
        ([0, 0, 1, 1, 1], 3),
        ([1] * 5, 4),
        ([0] * 5, 0),
    ):
        assert independent(np.array(chosen, np.bool_), a, b) == trials


def test_only_what_is_named_as_a_rate_is_widened() -> None:
    people = [f"p{i // 2}" for i in range(20)]  # two comparisons each
    wrong = np.zeros(20)

    def statistic(weights: np.ndarray) -> dict[str, object]:
        return {
            "rate": share(weights, wrong),
            "many": {"one": share(weights, wrong)},
            "distance": share(weights, wrong),
        }

    everything = np.ones(20, np.bool_)
    values, ci95 = measured(statistic, people, people, 50, 0, {"rate": everything, "many": everything})
    assert values == {"rate": 0, "many": {"one": 0}, "distance": 0}
    end = pytest.approx([0, 1 - 0.05**0.1])
    assert ci95 == {"rate": end, "many": {"one": end}, "distance": [0, 0]}


def test_perfect_searches() -> None:
    """Twelve people on an axis each, the first five enrolled and searched for twice."""
    rows = dict(zip([f"p{i:02}" for i in range(12)], np.eye(12, dtype=np.float32), strict=True))
    enrolled = {name: [row] for name, row in list(rows.items())[:5]}
    probes = {name: [row, row] for name, row in rows.items()}
    threshold = Threshold(1.0, "given")
    found = identification(enrolled, probes, threshold).ci95
    mated, others = 1 - 0.05 ** (1 / 5), 1 - 0.05 ** (1 / 7)
    assert found["rank1_rate"] == pytest.approx([1 - mated, 1])
    assert found["rank_k"]["5"] == pytest.approx([1 - mated, 1])
    assert found["fnir_at_fpir"]["0.01"] == pytest.approx([0, mated])
    assert found["fnir_at_gallery_threshold"] == pytest.approx([0, mated])
    assert found["fpir_at_gallery_threshold"] == pytest.approx([0, others])
    assert found["threshold_at_fpir"]["0.01"][0] > 1, "a distance is no rate"
    (size,) = by_gallery_size(enrolled, probes, [3], np.zeros((0, 12), np.float32), threshold)
    assert size.ci95["fnir_at_gallery_threshold"] == pytest.approx([0, mated]), "each of the five was in some draw"
    assert size.ci95["fpir_at_gallery_threshold"] == pytest.approx([0, 1 - 0.05 ** (1 / 12)]), "and out of some"


def test_perfect_pairs() -> None:
    """Four people, two photos each; 4 genuine pairs, and 2 impostor pairs of three people."""
    names = [f"p{i}" for i in range(4)]
    vectors = {f"{name}/{k}": row for name, row in zip(names, np.eye(4, dtype=np.float32), strict=True) for k in (0, 1)}
    a = [*(f"{name}/0" for name in names), "p0/0", "p1/0"]
    b = [*(f"{name}/1" for name in names), "p1/0", "p2/0"]
    pairs = Pairs(tuple(a), tuple(b), np.array([True] * 4 + [False] * 2), None)
    found = verification(pairs, vectors).ci95
    most = {people: 1 - 0.05 ** (1 / people) for people in (2, 4)}
    assert found["accuracy_mean"] == pytest.approx([1 - most[4], 1])
    assert found["tar_at_fmr"]["1e-3"] == pytest.approx([1 - most[4], 1])
    assert found["eer"] == pytest.approx([0, most[2]]), "of both kinds of pairs the fewer"
    assert found["auc"] == [1, 1]
    distances = np.array([0] * 4 + [2] * 2, np.float32)
    own = by_group(distances, pairs, ["all"] * 6, {"here": 1.0})["all"]["ci95"]
    assert own["fmr_at_threshold"]["here"] == pytest.approx([0, most[2]])
    assert own["fnmr_at_threshold"]["here"] == pytest.approx([0, most[4]])
    assert own["accuracy"] == pytest.approx([1 - most[4], 1])
