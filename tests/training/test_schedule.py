"""How fast a run learns, how it is optimised, in which precision."""

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import optim
from toy_runs import Data, given_photos, small

from facerec.errors import ConfigError
from facerec.training.plan import make_plan
from facerec.training.schedule import ISA_LIMITS, OPTIMIZERS, Schedule, lacks_bf16, lr_factor, use_bf16
from facerec.training.settings import TrainSettings
from facerec.training.state import State

pytestmark = pytest.mark.usefixtures("one_thread")


def schedule(name: str, **changes: Any) -> Schedule:
    return make_plan(TrainSettings(schedule=name, **changes)).schedule


@pytest.mark.parametrize(
    ("progress", "factor"), [(0, 1), (1, 1), (6.99, 1), (7, 0.1), (13.99, 0.1), (14, 0.01), (21, 0.001)]
)
def test_steps_of_the_step_schedule(progress: float, factor: float) -> None:
    assert lr_factor(schedule("step", step_epochs=7), progress) == pytest.approx(factor)


@pytest.mark.parametrize(
    ("progress", "factor"), [(0, 0.001 / 0.101), (0.5, 0.051 / 0.101), (1, 1), (5.5, 0.5), (3.25, 0.853553), (10, 0)]
)
def test_points_of_the_cosine_schedule(progress: float, factor: float) -> None:
    """10 epochs, the first warms up; 3.25 is a quarter of the way down: (1 + cos 45 degrees) / 2."""
    assert lr_factor(schedule("cosine", epochs=10, warmup=0.1), progress) == pytest.approx(factor, abs=1e-6)


def test_cosine_without_warm_up_begins_at_the_top() -> None:
    assert lr_factor(schedule("cosine", warmup=0.0), 0) == 1


@pytest.mark.parametrize(
    ("scores", "steps"),
    [
        ([], 0),
        ([0.5], 0),
        ([0.5, 0.6, 0.7, 0.8], 0),
        ([0.5, 0.5], 0),
        ([0.5, 0.5, 0.5], 1),
        ([0.5, 0.4, 0.45], 1),
        ([0.5, 0.4, 0.6, 0.5, 0.6], 1),
        ([0.5, 0.4, 0.4, 0.4, 0.4], 2),
        ([0.5, 0.4, 0.4, 0.7, 0.4, 0.4], 2),
        ([0.0, 0.0, 0.0], 1),
    ],
)
def test_a_plateau_of_two_epochs_is_a_tenth_of_the_rate(scores: list[float], steps: int) -> None:
    assert plateau_by_hand(scores, 2) == pytest.approx(0.1**steps)
    for progress in (0, 3.5):
        assert lr_factor(schedule("plateau", step_epochs=2), progress, scores) == pytest.approx(0.1**steps)


def plateau_by_hand(scores: Sequence[float], epochs: int) -> float:
    """A tenth after every so many epochs in a row that bring no better score than the best before."""
    factor, best, waited = 1.0, float("-inf"), 0
    for score in scores:
        waited = 0 if score > best else waited + 1
        best = max(best, score)
        if waited == epochs:
            factor, waited = factor / 10, 0
    return factor


def test_steps_use_the_rates_of_the_schedule(some_faces: Data) -> None:
    learner = some_faces.learner(small(strategy="discriminative", stage_decay=0.5, step_epochs=1))
    learner.step(given_photos(learner)[0], State(epoch=1, batch=1), 4)
    rates = {group["name"]: group["lr"] for group in learner.optimizer.param_groups}
    expected = {"stage0": 6.25e-6, "stage1": 1.25e-5, "stage2": 2.5e-5, "stage3": 5e-5, "head": 2e-4}
    assert rates == pytest.approx(expected)
    assert learner.rates(1.25) == rates


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_steps_as_torchs_own(name: str, some_faces: Data) -> None:
    """Two steps, with weight decay, against one written out here."""
    learner = some_faces.learner(small(optimizer=name, lr=1e-3, head_lr=1e-3, weight_decay=0.1))
    copies = [parameter.detach().clone().requires_grad_() for parameter in learner.network.parameters()]
    build = {
        "adam": lambda: optim.Adam(copies, 1e-3, weight_decay=0.1),
        "adamw": lambda: optim.AdamW(copies, 1e-3, weight_decay=0.1),
        "sgd": lambda: optim.SGD(copies, 1e-3, momentum=0.9, weight_decay=0.1),
        "adagrad": lambda: optim.Adagrad(copies, 1e-3, weight_decay=0.1),
    }
    reference = build[name]()

    def note(*_: object) -> None:
        for copy, parameter in zip(copies, learner.network.parameters(), strict=True):
            assert parameter.grad is not None
            copy.grad = parameter.grad.clone()

    learner.optimizer.register_step_pre_hook(note)
    state = State()
    for given in given_photos(learner)[:2]:
        state.count(*learner.step(given, state, 4))
        reference.step()
    for copy, parameter in zip(copies, learner.network.parameters(), strict=True):
        torch.testing.assert_close(parameter, copy, rtol=1e-5, atol=1e-7)


CPU = torch.device("cpu")


def test_names_of_precisions() -> None:
    assert use_bf16("bf16", CPU)
    assert not use_bf16("fp32", CPU)
    with pytest.raises(ConfigError, match="no precision 'half'; known are auto, bf16, fp32"):
        use_bf16("half", CPU)


@pytest.fixture
def no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ISA_LIMITS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("no_limit")
@pytest.mark.skipif(platform.system() != "Linux", reason="/proc/cpuinfo is Linux's")
def test_auto_uses_bf16_where_the_processor_has_it() -> None:
    has_units = "avx512_bf16" in Path("/proc/cpuinfo").read_text("utf-8").split()
    assert use_bf16("auto", CPU) == has_units
    assert lacks_bf16(CPU) == ("" if has_units else "this CPU has no bf16 units")


@pytest.mark.usefixtures("no_limit")
@pytest.mark.parametrize("name", ISA_LIMITS)
def test_units_that_one_dnn_must_not_use_do_not_count(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    unlimited = lacks_bf16(CPU)
    for value in ("AVX512_CORE_BF16", "avx512_core_amx", "DEFAULT", ""):  # these leave them
        monkeypatch.setenv(name, value)
        assert lacks_bf16(CPU) == unlimited
    for value in ("AVX2", "avx512_core", "AVX512_CORE_VNNI"):
        monkeypatch.setenv(name, value)
        assert not use_bf16("auto", CPU)
        assert lacks_bf16(CPU) == (unlimited or f"{name}={value} hides the bf16 units of this CPU")
