"""scripts/studies/zoo.py: every network of the lectures is a row, and what is counted is what torchvision documents."""

import importlib
import math
from pathlib import Path
from typing import Any

import pytest
import torchvision
from running import ROOT

from facerec.models.backbones import BACKBONES

LECTURES = [f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")]
LECTURES += [f"resnet{depth}" for depth in (18, 34, 50, 101, 152)]
LECTURES += [f"densenet{depth}" for depth in (121, 161, 169, 201)]
LECTURES += [f"efficientnet_b{size}" for size in range(8)]
LECTURES += ["shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "mnasnet0_5", "mnasnet1_0"]
LECTURES += ["mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"]
LECTURES += ["resnext50_32x4d", "resnext101_32x8d", "wide_resnet50_2", "wide_resnet101_2"]
LECTURES += ["alexnet", "squeezenet1_0", "squeezenet1_1", "googlenet", "inception_v3"]


@pytest.fixture
def zoo(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("scripts.studies.zoo")


def test_every_network_of_the_lectures_is_a_row() -> None:
    """That each runs forward and backward is tested in tests/models/test_backbones.py."""
    assert set(LECTURES) <= set(BACKBONES)


@pytest.mark.parametrize("name", ["alexnet", "resnet50", "mobilenet_v2", "densenet121", "shufflenet_v2_x0_5"])
def test_what_is_counted_is_what_torchvision_documents(zoo: Any, name: str) -> None:
    size, parameters, work = zoo.count_work(name)
    meta = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"].meta
    assert (size, parameters) == (224, meta["num_params"])
    assert work / 1e9 == pytest.approx(meta["_ops"], abs=1e-3)


def test_the_error_is_that_of_the_weights_the_row_uses(zoo: Any) -> None:
    assert zoo.published_error("resnet50") == pytest.approx(100 - 80.858)  # the second version's
    assert zoo.published_error("resnet18") == pytest.approx(100 - 69.758)
    assert zoo.published_error("inception_resnet_v1") is None


def test_a_row_is_measured_once(zoo: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cost = zoo.measure_cost("squeezenet1_1", 1)
    assert 0 < cost.forward < math.inf
    assert cost.training > 0
    asked = []
    monkeypatch.setattr(zoo, "in_own_process", lambda *words: asked.append(words[1:]) or cost)
    monkeypatch.setattr(zoo, "has_weights", lambda name: False)
    rows = [zoo.row_of("squeezenet1_1", tmp_path, tmp_path, quick) for quick in (True, True, False)]
    assert asked == [("squeezenet1_1", zoo.QUICK_REPEATS), ("squeezenet1_1", zoo.REPEATS)]
    assert rows[0] == rows[1] == rows[2]
    assert len(rows[0]) == len(zoo.HEAD)
    assert (rows[0][0], rows[0][-2:]) == ("squeezenet1_1", ["-", "41.8"])
