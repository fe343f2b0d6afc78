"""What a study is asked for, and the plan that follows."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_runs import Data

from facerec.errors import ConfigError
from facerec.study.budget import Budget, read_budget, spend
from facerec.study.planning import (
    Asked,
    cell_settings,
    differences,
    pair_counts,
    plan_study,
    read_strategy,
    resolve,
    shown_fmr,
)
from facerec.study.predictions import by_lectures
from facerec.study.results import Cell, StudyPlan


def asked(**changes: Any) -> Asked:
    """Return what a small study of classes is asked for."""
    small = {"init": "random", "input_size": 32, "batch_size": 4, "precision": "fp32"}
    values: dict[str, Any] = {"mode": "classify", "backbones": ("squeezenet1_1",), "settings": small, "seeds": 2}
    return resolve(Asked(**values | changes))


def plan_of(data: Data, **changes: Any) -> StudyPlan:
    """Return the plan of such a study."""
    return plan_study(data.folder, data.folder, asked(**changes))[0]


@pytest.mark.parametrize(
    ("text", "budget"), [("20000", Budget(20_000, 0)), ("30m", Budget(0, 30)), ("0.5m", Budget(0, 0.5))]
)
def test_a_budget_is_crops_or_minutes(text: str, budget: Budget) -> None:
    assert read_budget(text) == budget


@pytest.mark.parametrize("text", ["", "0", "0m", "ten", "-5", "1.2.3m", ".m", "30 h"])
def test_any_other_budget_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="`budget` is a number of crops"):
        read_budget(text)


@pytest.mark.parametrize("text", ["9" * 400, "1000000000001", "9" * 400 + "m", "1000001m"])
def test_a_budget_that_nobody_has_the_time_for_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="`budget` must be at most 1000000000000 crops or 1000000m"):
        read_budget(text)


@pytest.mark.parametrize("seeds", [-1, 1001, 10**9])
def test_so_many_seeds_are_refused_before_cells_are_listed(seeds: int) -> None:
    with pytest.raises(ConfigError, match=f"`seeds` must be at least 1 and at most 1000, not {seeds}"):
        asked(seeds=seeds)


@pytest.mark.parametrize(
    ("crops", "batches", "photos", "epochs", "spent"),
    [
        (20_000, 100, 64, 10, (10, 31)),  # shorter epochs
        (64_000, 100, 64, 10, (10, 100)),
        (192_000, 100, 64, 10, (30, 100)),  # more epochs
        (160, 2, 8, 10, (10, 2)),
        (24, 100, 8, 10, (3, 1)),  # fewer epochs than asked for
        (1, 100, 8, 10, (1, 1)),
    ],
)
def test_crops_become_epochs_and_batches(
    crops: int, batches: int, photos: int, epochs: int, spent: tuple[int, int]
) -> None:
    settings, shown = spend(Budget(crops, 0), batches, photos, epochs)
    assert settings == {"epochs": spent[0], "epoch_batches": spent[1]}
    assert shown == spent[0] * spent[1] * photos


def test_every_cell_has_the_same_budget(some_classes: Data) -> None:
    plan = plan_of(some_classes, strategies=("full", "frozen", "gradual", "partial2"), budget="240")
    shown = {(s.epochs, s.epoch_batches, s.minutes) for s in (cell_settings(plan, cell) for cell in plan.cells())}
    assert shown == {(20, 3, 0.0)}
    assert plan.crops == 240


def test_minutes_are_the_same_limit_for_every_cell(some_classes: Data) -> None:
    plan = plan_of(some_classes, strategies=("full", "frozen"), budget="2m")
    assert (plan.crops, plan.minutes, plan.settings["schedule"]) == (0, 2.0, "plateau")
    assert {cell_settings(plan, cell).minutes for cell in plan.cells()} == {2.0}


def test_cells_differ_in_backbone_strategy_and_seed_alone(some_classes: Data) -> None:
    plan = plan_of(some_classes, strategies=("full", "partial2"))
    full, partial = cell_settings(plan, Cell("squeezenet1_1", "full", 1)), read_strategy("partial2")
    assert dataclasses.replace(full, seed=0, **partial) == cell_settings(plan, Cell("squeezenet1_1", "partial2", 0))
    assert full.data_seed == 0


def test_under_gradual_every_stage_trains_in_half_of_the_epochs(some_classes: Data) -> None:
    plan = plan_of(some_classes, strategies=("gradual",), budget="480")  # 40 epochs, 4 stages
    assert cell_settings(plan, plan.cells()[0]).unfreeze_epochs == 4


def test_the_photos_are_counted(some_classes: Data) -> None:
    photos = plan_of(some_classes).photos
    counted = (photos.train_names, photos.train_photos, photos.validation_names, photos.validation_photos)
    assert counted == (3, 12, 3, 3)


def test_another_plan_is_told_by_what_differs(some_classes: Data, tmp_path: Path) -> None:
    plan, same = plan_of(some_classes), plan_of(some_classes)
    assert list(differences(plan, same)) == []
    assert list(differences(plan, plan_of(some_classes, seeds=3, strategies=("full",)))) == ["strategies", "seeds"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "guess"}, "no mode 'guess'; known are metric, classify"),
        ({"recipe": "soup"}, "no recipe 'soup'; known is tutorial"),
        ({"backbones": ("resnet99",)}, "no backbone 'resnet99'; known are alexnet,"),
        ({"strategies": ("half",)}, "no strategy 'half'; known are full, .*, and partialN"),
        ({"strategies": ("full", "full")}, "the strategy full is named twice"),
        ({"seeds": 0}, "`seeds` must be at least 1 and at most 1000, not 0"),
        ({"settings": {"seed": 3}}, "`seed` is set by the study"),
    ],
)
def test_what_does_not_exist_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        asked(**changes)


def test_an_unknown_setting_is_refused_before_a_photo_is_read() -> None:
    with pytest.raises(ConfigError, match="unknown setting 'speed'"):
        plan_study(Path("nowhere"), Path("nowhere"), asked(settings={"speed": 3}))


def test_quick_is_one_small_network_and_one_seed() -> None:
    quick = resolve(Asked(quick=True))
    assert (quick.backbones, quick.strategies, quick.seeds) == (("squeezenet1_1",), ("full", "frozen"), 1)
    assert resolve(Asked(quick=True, seeds=2, backbones=("resnet18",))).seeds == 2


# ------------------------------------------------------------------------------------------------------- pairs


def test_pairs_are_counted_as_by_a_loop() -> None:
    labels = [0, 0, 0, 1, 1, 2]
    pairs = [(a == b) for i, a in enumerate(labels) for b in labels[:i]]
    assert pair_counts(labels) == (sum(pairs), len(pairs) - sum(pairs))


@pytest.mark.parametrize(
    ("people", "photos", "fmr"),
    [
        (2, 2, 1e-1),  # 4 impostor pairs
        (2, 10, 1e-1),  # 100
        (10, 5, 1e-2),  # 1,125
        (50, 5, 1e-3),  # 30,625: ten false matches and more
    ],
)
def test_the_fmr_is_one_that_the_pairs_can_show(people: int, photos: int, fmr: float) -> None:
    assert shown_fmr(np.repeat(np.arange(people), photos)) == fmr


@pytest.mark.parametrize(
    ("photos", "mode", "strategy"),
    [(999, "classify", "frozen"), (1000, "classify", "partial"), (999, "metric", "frozen"), (1000, "metric", "full")],
)
def test_the_lectures_table_is_read_by_amount_and_kind(photos: int, mode: str, strategy: str) -> None:
    assert by_lectures(photos, mode).strategy == strategy
