"""One cell of a study, in this process: what it leaves, that it goes on, and that cells share what is frozen."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor
from toy_runs import Data, interrupt_at, read_history

from facerec.errors import TrainingError
from facerec.models.network import Network
from facerec.study.cell import Stopwatch, peak_mib, run_folder, train_cell
from facerec.study.planning import Asked, plan_study, resolve, train_plan
from facerec.study.results import Cell, StudyPlan
from facerec.training.train import Progress, train

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = {"input_size": 32, "batch_size": 4, "precision": "fp32", "views": 2, "epochs": 4}
FULL, FROZEN = Cell("squeezenet1_1", "full", 0), Cell("squeezenet1_1", "frozen", 0)


def plan_of(data: Data, **settings: Any) -> StudyPlan:
    """Return the plan of a study of 4 epochs of 3 batches of 4 crops."""
    asked = Asked("classify", ("squeezenet1_1",), ("full", "frozen"), "48", 2, settings=SMALL | settings)
    return plan_study(data.folder, data.folder, resolve(asked))[0]


def test_a_cell_tells_what_it_measured(some_classes: Data, tmp_path: Path) -> None:
    plan = plan_of(some_classes, init="random")
    result = train_cell(tmp_path, plan, FULL)
    history = read_history(run_folder(tmp_path, FULL))
    assert (result.status, result.reason, result.remark) == ("done", "", "")
    assert (result.crops, len(result.epochs)) == (plan.crops, 4) == (48, 4)
    assert [e.validation_quality for e in result.epochs] == [entry["validation_accuracy"] for entry in history]
    assert [e.train_loss for e in result.epochs] == [entry["train_loss"] for entry in history]
    assert [e.crops for e in result.epochs] == [12, 24, 36, 48]
    best = max(range(4), key=lambda i: history[i]["validation_accuracy"])
    assert result.best_epoch == best + 1
    assert [(q.measure, q.value, q.counts) for q in result.quality] == [
        ("accuracy", history[best]["validation_accuracy"], {"photos": 3}),
        ("auc", history[best]["validation_auc"], {"photos": 3}),
    ]
    network = Network("squeezenet1_1", 3, mode="classify")
    assert result.parameters == result.trained_parameters == sum(p.numel() for p in network.parameters())
    assert 0 < result.seconds < result.total_seconds
    assert 100 < result.peak_mib <= peak_mib()


def test_a_cell_of_people_is_ranked_by_tar_at_an_fmr_that_the_pairs_can_show(some_faces: Data, tmp_path: Path) -> None:
    settings = {"init": "random", "train_size": 32, "embedding_dim": 16, "precision": "fp32", "photos_per_person": 2}
    asked = Asked("metric", ("squeezenet1_1",), ("frozen",), "32", 1, settings=settings)
    plan, _ = plan_study(some_faces.folder, some_faces.folder, resolve(asked))
    result = train_cell(tmp_path, plan, FROZEN)
    assert [(q.measure, q.label) for q in result.quality] == [("tar", "TAR at FMR 1e-1"), ("auc", "AUC")]
    assert result.quality[0].counts == {"people": 2, "genuine": 12, "impostors": 16}
    epoch = result.epochs[result.best_epoch - 1]
    assert epoch.validation_quality == result.quality[0].value
    assert epoch.validation_auc == result.quality[1].value
    assert epoch.train_loss >= 0
    assert epoch.validation_loss >= 0
    head = 512 * 16 + 2 * 16  # Linear without bias, BatchNorm
    assert result.trained_parameters == head


def test_an_error_of_a_cell_is_its_result(some_classes: Data, tmp_path: Path) -> None:
    result = train_cell(tmp_path, plan_of(some_classes, init="random", lr=1e30), FULL)
    assert (result.status, result.quality, result.epochs) == ("failed", (), ())
    assert "lower `lr` or `head_lr`" in result.reason


def test_a_cell_that_was_stopped_goes_on(some_classes: Data, tmp_path: Path) -> None:
    plan = plan_of(some_classes, init="random")
    whole = train_cell(tmp_path / "whole", plan, FULL)
    interrupted = run_folder(tmp_path / "stopped", FULL)
    with pytest.raises(TrainingError, match="stopped in epoch 3"):
        train(some_classes.folder, interrupted, train_plan(plan, FULL), watch=interrupt_at(2, 1))
    result = train_cell(tmp_path / "stopped", plan, FULL)
    times = {"seconds": 0.0, "total_seconds": 0.0, "peak_mib": 0.0, "epochs": ()}
    assert dataclasses.replace(result, **times) == dataclasses.replace(whole, **times)
    assert [e.validation_loss for e in result.epochs] == [e.validation_loss for e in whole.epochs]


def test_what_a_kill_left_before_the_first_checkpoint_is_done_again(some_classes: Data, tmp_path: Path) -> None:
    output = run_folder(tmp_path, FROZEN)
    output.mkdir(parents=True)
    (output / "model.json").write_text("{}", "utf-8")
    assert train_cell(tmp_path, plan_of(some_classes, init="random"), FROZEN).status == "done"


# ------------------------------------------------------------------------------------------------------- sharing


@contextmanager
def counted_prefixes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many photos went through frozen stages, call by call."""
    seen: list[int] = []
    prefix = Network.prefix

    def counting(self: Network, pixels: Tensor, count: int) -> Tensor:
        seen.append(len(pixels) if count and pixels.device.type != "meta" else 0)  # meta: whether a picture fits
        return prefix(self, pixels, count)

    with monkeypatch.context() as patch:
        patch.setattr(Network, "prefix", counting)
        yield seen


@pytest.mark.usefixtures("random_weights", "own_cache")
def test_what_is_frozen_is_computed_once_for_all_seeds(
    some_classes: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(some_classes)
    sums = []
    for seed in (0, 1):
        with counted_prefixes(monkeypatch) as seen:
            result = train_cell(tmp_path, plan, dataclasses.replace(FROZEN, seed=seed))
        assert (result.status, result.crops) == ("done", 48)
        sums.append(sum(seen))
    assert sums == [2 * 12 + 3 + 3, 0]  # two views of 12 photos, the validation photos and the sample of 3


# ------------------------------------------------------------------------------------------------------- times


def told(watch: Stopwatch, *batches: tuple[int, int, float]) -> None:
    """Tell a stopwatch of (epoch, batch, seconds)."""
    for epoch, batch, seconds in batches:
        watch(Progress(epoch, 2, batch, 4, 1.0, 1.0, seconds))


def test_seconds_of_training_are_counted_by_epoch(tmp_path: Path) -> None:
    watch = Stopwatch(tmp_path / "progress.json")
    told(watch, (0, 1, 1.0), (0, 2, 2.0), (1, 1, 4.0))
    assert watch.seconds == [3.0, 4.0]


def test_batches_that_are_done_again_are_counted_once(tmp_path: Path) -> None:
    before = Stopwatch(tmp_path / "progress.json")
    told(before, (0, 4, 8.0), (1, 1, 1.0), (1, 2, 1.0))
    before.close()
    after = Stopwatch(tmp_path / "progress.json")
    told(after, (1, 2, 5.0))  # the checkpoint was written after the first batch
    assert after.seconds == [8.0, 1.0 + 5.0]
    assert after.total >= before.total
