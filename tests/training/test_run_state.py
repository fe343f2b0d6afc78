"""The state of a run: it goes on bit for bit, and what is said of a broken one."""

import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from facerec.errors import TrainingError
from facerec.models.checkpoint import load_module, load_state, read_facts, save_state


class Run:
    """A network with BatchNorm and an optimiser with two groups, trained on numbers of its own."""

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 5))
        self.projection = nn.Linear(5, 2)
        groups = [{"params": self.network.parameters()}, {"params": self.projection.parameters(), "lr": 1e-2}]
        self.optimizer = torch.optim.AdamW(groups, lr=1e-3)
        self.modules: dict[str, nn.Module] = {"network": self.network, "teacher": self.projection}

    def steps(self, numbers: range) -> "Run":
        for number in numbers:
            x = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(number))
            self.optimizer.zero_grad()
            F.normalize(self.projection(self.network(x)), dim=1)[:, 0].sum().backward()
            self.optimizer.step()
        return self


def test_a_run_goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole = Run(0).steps(range(7))
    half = Run(0).steps(range(3))
    save_state(tmp_path / "state", half.modules, half.optimizer, {"epoch": 2, "sums": {"loss": 0.1}})
    resumed = Run(1)
    facts = load_state(tmp_path / "state", resumed.modules, resumed.optimizer)
    assert facts == read_facts(tmp_path / "state") == {"epoch": 2, "sums": {"loss": 0.1}}
    resumed.steps(range(3, 7))
    for name in whole.modules:
        theirs = whole.modules[name].state_dict()
        for key, tensor in resumed.modules[name].state_dict().items():
            assert torch.equal(tensor, theirs[key]), key
    assert [p.name for p in tmp_path.iterdir()] == ["state"]


def test_a_state_from_before_the_first_step_can_be_loaded(tmp_path: Path) -> None:
    run = Run(0)
    save_state(tmp_path / "state", run.modules, run.optimizer, {})
    other = Run(1)
    assert load_state(tmp_path / "state", other.modules, other.optimizer) == {}
    assert torch.equal(other.projection.weight, run.projection.weight)


def test_what_a_killed_save_left_does_not_hurt_a_run(tmp_path: Path) -> None:
    run = Run(0).steps(range(1))
    save_state(tmp_path / "state", run.modules, run.optimizer, {"epoch": 1})
    (tmp_path / "state.draft").write_bytes(b"half")
    assert load_state(tmp_path / "state", run.modules, run.optimizer) == {"epoch": 1}


def test_one_module_can_be_taken_into_another_run_if_it_fits(tmp_path: Path) -> None:
    run = Run(0).steps(range(2))
    save_state(tmp_path / "state", run.modules, run.optimizer, {})
    other, larger = Run(1), nn.Linear(7, 2)
    before = larger.weight.clone()
    assert load_module(tmp_path / "state", "teacher", other.projection)
    assert torch.equal(other.projection.weight, run.projection.weight)
    assert not torch.equal(other.network[0].weight, run.network[0].weight)  # type: ignore[arg-type]
    assert not load_module(tmp_path / "state", "teacher", larger)
    assert not load_module(tmp_path / "state", "average", other.projection)
    assert not load_module(tmp_path / "nowhere", "teacher", larger)
    assert torch.equal(larger.weight, before)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such file; nothing to resume"), (b"", "cannot be resumed"), (b"x" * 99, "cannot be resumed")],
)
def test_a_missing_or_broken_state_is_one_line(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    if content is not None:
        path.write_bytes(content)
    run = Run(0)
    with pytest.raises(TrainingError, match=message) as caught:
        load_state(path, run.modules, run.optimizer)
    assert "\n" not in str(caught.value)


def test_the_state_of_another_network_is_refused(tmp_path: Path) -> None:
    run = Run(0).steps(range(1))
    save_state(tmp_path / "state", {"network": run.network}, run.optimizer, {})
    with pytest.raises(TrainingError, match="of another network"):
        load_state(tmp_path / "state", run.modules, run.optimizer)


def test_a_state_cut_off_is_refused(tmp_path: Path) -> None:
    run = Run(0).steps(range(1))
    save_state(tmp_path / "state", run.modules, run.optimizer, {})
    os.truncate(tmp_path / "state", 1000)
    with pytest.raises(TrainingError, match="cannot be resumed"):
        load_state(tmp_path / "state", run.modules, run.optimizer)
