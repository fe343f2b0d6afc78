"""scripts/studies/gradients.py: the networks it compares, and that the norms are those of the loss's gradient."""

import dataclasses
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from running import ROOT
from torch import nn
from toy_faces import write_people

TINY = {"blocks": (2, 2), "widths": (4, 8)}


@pytest.fixture
def gradients(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("scripts.studies.gradients")


def convolutions(network: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]


@pytest.mark.parametrize("norm", [False, True])
def test_plain_and_residual_networks_have_the_same_layers(gradients: Any, norm: bool) -> None:
    """They differ by the shortcuts alone: without what is inside its blocks, only a residual one sees the picture."""
    torch.manual_seed(0)
    plain, residual = (gradients.build(gradients.Form(**TINY, shortcuts=s, norm=norm), 3).eval() for s in (False, True))
    residual.load_state_dict(plain.state_dict())
    assert len(convolutions(plain)) + 1 == gradients.Form(**TINY).layers == 10
    x = torch.randn(2, 3, 8, 8)
    assert plain(x).shape == residual(x).shape == (2, 3)
    for network in (plain, residual):
        for block in network:
            for parameter in getattr(block, "inside", nn.Identity()).parameters():
                nn.init.zeros_(parameter)
    assert torch.equal(*plain(x)), "nothing comes through"
    assert not torch.allclose(*residual(x))


def test_norms_are_those_of_the_loss_by_a_small_step(gradients: Any) -> None:
    """The loss changes along a layer's gradient by its norm."""
    torch.manual_seed(0)
    network = gradients.build(gradients.Form((1,), (4,), norm=False), 3).double()
    x, labels = torch.randn(5, 3, 8, 8, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1])
    norms = gradients.norms_by_layer(network, x, labels)
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert len(norms) == len(layers) == 4
    for norm, layer in zip(norms, layers, strict=True):
        assert layer.weight.grad is not None
        step = 1e-6 / norm * layer.weight.grad
        losses = []
        for sign in (1, -1):
            layer.weight.data.add_(sign * step)
            losses.append(nn.functional.cross_entropy(network(x), labels).item())
            layer.weight.data.sub_(sign * step)
        assert (losses[0] - losses[1]) / 2e-6 == pytest.approx(norm, rel=1e-4)


def test_all_networks_are_measured_and_drawn(gradients: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_people(tmp_path / "train", {"cat": 4, "dog": 4}, size=16)
    tiny = {name: dataclasses.replace(form, **TINY) for name, form in gradients.NETWORKS.items()}
    monkeypatch.setattr(gradients, "NETWORKS", tiny)
    monkeypatch.setattr(gradients, "SHOWN", (1, 9))
    found = gradients.measure(tmp_path / "train", [0, 1])
    assert {norms.shape for norms in found.values()} == {(2, 10)}
    plain, residual = (found[f"{kind}, without BatchNorm", "PyTorch's weights"] for kind in ("plain", "residual"))
    assert (plain[:, 0] / plain[:, 8] < 0.1 * residual[:, 0] / residual[:, 8]).all()
    gradients.write_table(found, tmp_path / "table.csv")
    gradients.draw_plot(found, tmp_path / "plot.svg")
    assert len((tmp_path / "table.csv").read_text("utf-8").splitlines()) == 1 + 4 * 2
    assert "plain, with BatchNorm" in (tmp_path / "plot.svg").read_text("utf-8")


def test_the_middle_of_norms_is_their_geometric_mean(gradients: Any) -> None:
    assert gradients.middle(np.array([[1.0, 4.0], [100.0, 9.0]])).tolist() == pytest.approx([10, 6])
