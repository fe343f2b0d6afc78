"""scripts/studies/squeezenet_cifar10.py: what is frozen, what the heads give, and when overfitting is said to begin."""

import dataclasses
import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from running import ROOT
from torch import nn
from toy_faces import write_people

from facerec.models.backbones import build_stages


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The study, with the same random weights every time in place of ImageNet's."""
    monkeypatch.syspath_prepend(str(ROOT))
    study = importlib.import_module("scripts.studies.squeezenet_cifar10")

    def random_layers() -> nn.Sequential:
        torch.manual_seed(1)
        stages = build_stages("squeezenet1_1", pretrained=False)
        return nn.Sequential(*(layer for stage in stages.children() for layer in stage.children()))

    monkeypatch.setattr(study, "fire_layers", random_layers)
    return study


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for number, side in enumerate(("train", "test")):
        write_people(tmp_path / "cifar10" / side, {"cat": 5 - number, "dog": 5 - number}, size=32)
    return tmp_path


@pytest.mark.parametrize(("trained", "layers"), [("all frozen", 13), ("last two Fire modules", 11), ("everything", 0)])
def test_frozen_layers_and_the_rest_are_the_whole_network(script: Any, data: Path, trained: str, layers: int) -> None:
    inputs = script.Inputs(data, script.Cell(trained))
    whole = script.fire_layers().eval()
    pixels = script.prepared(inputs.pictures[0].pixels, 32, centred=False)
    rows = torch.arange(len(pixels))
    with torch.inference_mode():
        torch.testing.assert_close(whole[layers:](inputs.batch(0, rows)[0]), whole(pixels))
    assert [type(layer).__name__ for layer in whole[11:]] == ["Fire", "Fire"]


def test_own_head_knows_no_logits_below_0_and_the_linear_one_does(script: Any) -> None:
    torch.manual_seed(0)
    maps = torch.randn(20, 512, 3, 3)
    own, linear = (script.new_head(kind).eval()(maps) for kind in ("own, new", "linear"))
    assert own.shape == linear.shape == (20, 10)
    assert (own >= 0).all()
    assert linear.min() < 0


def test_at_rate_0_nothing_is_learned_and_a_training_is_kept(
    script: Any, data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    still = script.Cell(lr=0.0, epochs=2)
    found = script.histories(still, (0, 1), data, tmp_path)
    assert [len(history) for history in found] == [2, 2]
    assert all(history[0] == history[1] for history in found)
    learned = script.histories(dataclasses.replace(still, lr=0.01, head="linear"), (0,), data, tmp_path)
    assert learned[0][1]["train_loss"] < learned[0][0]["train_loss"]
    monkeypatch.setattr(script, "train", lambda *cell: pytest.fail("it is known"))
    assert script.histories(still, (0, 1), data, tmp_path) == found


def test_scaled_features_have_mean_0_and_deviation_1(script: Any, data: Path) -> None:
    maps = script.Inputs(data, script.Cell(size=64, standard=True)).maps[0]
    spread = maps.std((0, 2, 3))
    assert maps.mean((0, 2, 3)).abs().max() < 1e-3
    assert spread[spread > 0.5].mean() == pytest.approx(1, abs=0.01)


def history(*losses: float) -> list[dict[str, float]]:
    return [{"test_loss": loss} for loss in losses]


def test_overfitting_begins_after_the_lowest_loss(script: Any) -> None:
    assert script.overfits_after([history(3, 1, 2)]) == "2"
    assert script.overfits_after([history(3, 1, 2), history(1, 2, 3)]) == "1 to 2"
    assert script.overfits_after([history(3, 2, 1)]) == "not yet"


def test_quick_leaves_out_what_is_slow(script: Any) -> None:
    quick, full = (list(script.grid_cells([32, 96], short)) for short in (True, False))
    assert [c for c in full if c not in quick] == [c for c in full if (c.trained, c.size) == ("everything", 96)]
    assert len(full) == 3 * 2 * 4
