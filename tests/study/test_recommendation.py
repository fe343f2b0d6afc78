"""The recommendation: every word follows from the numbers, and nothing is said that the seeds do not show."""

from collections.abc import Mapping, Sequence

import pytest
import toy_study

from facerec.study.recommendation import duration, recommend, verdicts
from facerec.study.results import CellResult, Prediction

Runs = Mapping[str, Sequence[float]]


def cells(runs: Runs, seconds: dict[str, float] | None = None, backbone: str = "resnet50") -> list[CellResult]:
    """A cell for every quality, in the order of the seeds."""
    return [
        toy_study.cell(backbone, strategy, seed, (1.0, value), seconds=(seconds or {}).get(strategy, 10.0))
        for strategy, values in runs.items()
        for seed, value in enumerate(values)
    ]


def plan(*strategies: str, **changes: object):
    return toy_study.plan(backbones=("resnet50",), strategies=strategies, seeds=3, **changes)


CLOSE: Runs = {"full": [0.90, 0.91, 0.92], "frozen": [0.91, 0.90, 0.915], "scratch": [0.30, 0.31, 0.33]}
APART: Runs = {"full": [0.90, 0.91, 0.92], "frozen": [0.80, 0.812, 0.82]}


def test_what_the_seeds_do_not_tell_apart_is_said_and_cost_decides() -> None:
    found = recommend(plan(*CLOSE), cells(CLOSE, {"full": 600.0, "frozen": 12.0}))
    assert found.lead == (
        "Take `frozen`: TAR at FMR 1e-2 90.8 % after 12 s of training (3 seeds). The highest mean is 91.0 %, of `full`"
        "; the difference of 0.2 points (-2.4 to 2.8) may be chance. Cost decides: of the 2 that are not told apart "
        "from the highest mean, it trains fastest."
    )
    assert found.points[0] == (
        "resnet50: `full` (91.0 %) and `frozen` (90.8 %) are not told apart (3 seeds). Cost decides: `frozen` trained "
        "in 12 s, against 10.0 min. Below `full`: `scratch` by 59.7 points (58.2 to 61.1)."
    )


def test_the_highest_mean_is_taken_where_it_is_also_cheap() -> None:
    found = recommend(plan(*CLOSE), cells(CLOSE, {"full": 2.0, "frozen": 12.0}))
    assert found.lead.startswith("Take `full`: TAR at FMR 1e-2 91.0 % after 2.0 s of training (3 seeds). It has the")


def test_a_choice_by_cost_that_may_lose_much_is_warned_of() -> None:
    noisy = {"full": [0.90, 0.91, 0.92], "frozen": [0.6, 0.95, 0.8]}
    found = recommend(plan(*noisy), cells(noisy, {"full": 600.0}))
    assert "Take `frozen`" in found.lead
    assert "So it may be up to 54.9 points lower; more seeds would tell." in found.lead


def test_what_the_seeds_tell_apart_is_ranked_whatever_it_costs() -> None:
    found = recommend(plan(*APART), cells(APART, {"full": 600.0}))
    assert found.lead.endswith(
        "It is above all others beyond chance: the next, `frozen`, is lower by 9.9 points (9.6 to 10.2)."
    )
    assert found.points[0].startswith("resnet50: `full` (91.0 %) is best. Below `full`: `frozen` by 9.9 points")


def test_alike_the_best_is_not_alike_each_other() -> None:
    """`gradual` and `partial` are told apart from each other, but not from `full`, whose seeds spread."""
    runs = {"full": [0.85, 0.97, 0.91], "partial": [0.9, 0.901, 0.9], "gradual": [0.89, 0.891, 0.89]}
    point = recommend(plan(*runs), cells(runs)).points[0]
    assert "`partial` (90.0 %) and `gradual` (89.0 %) are not told apart from `full` (91.0 %) (3 seeds)." in point


@pytest.mark.parametrize("seeds", [1, 2])
def test_one_seed_or_two_are_never_ranked(seeds: int) -> None:
    few = {name: values[:seeds] for name, values in APART.items()}
    found = recommend(plan(*few), cells(few))
    assert found.lead.startswith("Nothing is ranked: that needs 3 seeds each of two strategies")
    assert not any(name in text for text in (found.lead, *found.points) for name in few)


def test_a_strategy_whose_runs_failed_is_named_and_not_ranked() -> None:
    runs = {**APART, "gradual": [0.99, 0.99]}
    found = recommend(plan(*runs), cells(runs))
    assert "Not ranked, with fewer than 3 seeds: `gradual` (2)." in found.points
    assert "gradual" not in found.lead


def test_backbones_are_named_where_there_are_several() -> None:
    results = cells(APART) + cells({"full": [0.5, 0.51, 0.53]}, backbone="squeezenet1_1")
    found = recommend(toy_study.plan(seeds=3), results)
    assert found.lead.startswith("Take `full` on resnet50: ")
    assert len(found.points) == 2, "a backbone with one strategy has no ranking"


def test_a_quick_trial_advises_nothing() -> None:
    found = recommend(plan(*APART, quick=True), cells(APART))
    assert found.lead.startswith("A quick trial, whose budget is too small for advice. Take `full`")


@pytest.mark.parametrize(
    ("runs", "strategy", "came_out"),
    [
        (APART, "full", "best, above all others beyond chance"),
        (APART, "frozen", "below `full` by 9.9 points (9.6 to 10.2)"),
        (CLOSE, "full", "highest mean, not told apart from `frozen`"),
        (CLOSE, "frozen", "not told apart from the highest mean, `full` (0.2 points (-2.4 to 2.8))"),
        (APART, "partial", "is not in this study"),
        ({"full": [0.9], "frozen": [0.1]}, "full", "cannot be decided (1 seed)"),
        ({"full": [], "frozen": [0.1]}, "full", "cannot be decided (0 seeds)"),
    ],
)
def test_a_prediction_is_held_to_what_came_out(runs: Runs, strategy: str, came_out: str) -> None:
    said = Prediction("advise", "", strategy, 0, "because")
    [verdict] = verdicts(plan(*runs, predictions=(said,)), cells(runs))
    assert (verdict.backbone, verdict.came_out) == ("resnet50", came_out)


def test_a_prediction_is_about_its_backbone_or_all() -> None:
    found = verdicts(toy_study.plan(seeds=3), [])
    assert [(each.prediction.source, each.backbone) for each in found] == [
        ("advise", "resnet50"), ("lectures", "resnet50"), ("lectures", "squeezenet1_1"),
    ]  # fmt: skip


def test_times_are_for_people() -> None:
    assert [duration(seconds) for seconds in (0.26, 12.4, 90, 5400)] == ["0.3 s", "12 s", "1.5 min", "1.5 h"]
