"""Which stages train, and how fast: the strategies of the lectures.

A strategy gives one learning-rate factor per stage and epoch, first layers first; 0 means frozen. The new head always
trains, at its own rate. A frozen stage gets no gradient, and its BatchNorm stays in eval mode (Network.train does
that), so none of its tensors changes.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from facerec.models.network import Network

Factors = list[float]


@dataclass(frozen=True, slots=True)
class Freezing:
    """Which stages train in which epoch, and at which share of the rate.

    strategy: one of STRATEGIES. stages: their names, first layers first.
    cut: how many first stages `partial` freezes. stage_decay, unfreeze_epochs: as in TrainSettings.
    """

    strategy: str
    stages: tuple[str, ...]
    cut: int
    stage_decay: float
    unfreeze_epochs: int

    def factors(self, epoch: int = 0) -> dict[str, float]:
        """Stage name -> learning-rate factor in an epoch (from 0). A stage that trains never stops training."""
        return dict(zip(self.stages, STRATEGIES[self.strategy](self, epoch), strict=True))


def _constant(factor: float) -> Callable[[Freezing, int], Factors]:
    return lambda freezing, epoch: [factor] * len(freezing.stages)


def _partial(freezing: Freezing, epoch: int) -> Factors:
    return [0.0 if i < freezing.cut else 1.0 for i in range(len(freezing.stages))]


def _discriminative(freezing: Freezing, epoch: int) -> Factors:
    return [freezing.stage_decay**above for above in reversed(range(len(freezing.stages)))]


def _gradual(freezing: Freezing, epoch: int) -> Factors:
    """Howard and Ruder 2018 (ULMFiT), section 3.3: first the head alone, then one more stage at a time."""
    asleep = len(freezing.stages) - epoch // freezing.unfreeze_epochs
    return [0.0 if i < asleep else 1.0 for i in range(len(freezing.stages))]


STRATEGIES: dict[str, Callable[[Freezing, int], Factors]] = {
    "full": _constant(1.0),
    "frozen": _constant(0.0),
    "partial": _partial,
    "discriminative": _discriminative,
    "gradual": _gradual,
    "scratch": _constant(1.0),  # as `full`; initialisation.py makes the weights random
}


def freeze(network: Network, factors: dict[str, float]) -> None:
    """Freeze the stages whose factor is 0, let the others train, and put the network in train mode."""
    network.frozen = frozenset(name for name, factor in factors.items() if factor == 0)
    for name, stage in network.named_stages():
        stage.requires_grad_(name not in network.frozen)
    network.head.requires_grad_(True)
    network.train()


def frozen_prefix(factors: dict[str, float]) -> int:
    """How many stages are frozen before the first that trains."""
    values = [*factors.values(), 1.0]
    return next(i for i, factor in enumerate(values) if factor > 0)


def parameter_groups(network: Network, factors: dict[str, float], lr: float, head_lr: float) -> list[dict[str, object]]:
    """One optimiser group per training stage and one for each head: `name`, `params`, `lr`, `base_lr`.

    A stage without parameters (fully connected layers cut off, say) has no group.
    """
    parts: list[tuple[str, nn.Module, float]] = [
        (name, stage, lr * factors[name]) for name, stage in network.named_stages() if factors[name] > 0
    ]
    parts += [(name, head, head_lr) for name, head in _heads(network).items()]
    groups = [{"name": name, "params": list(part.parameters()), "lr": lr, "base_lr": lr} for name, part, lr in parts]
    return [group for group in groups if group["params"]]


@dataclass(frozen=True, slots=True)
class StageRow:
    """One stage of a run: its learning rate before the schedule, and the first epoch it trains in (None: never)."""

    stage: str
    parameters: int
    lr: float
    first_epoch: int | None

    def __str__(self) -> str:
        if self.first_epoch is None:
            fate = "frozen"
        else:
            later = f", from epoch {self.first_epoch + 1}" if self.first_epoch else ""
            fate = f"trains at {self.lr:.3g}{later}"
        return f"{self.stage:<12} {self.parameters:>12,} parameters  {fate}"


def stage_rows(network: Network, freezing: Freezing, epochs: int, lr: float, head_lr: float) -> list[StageRow]:
    """Stage by stage what a run of so many epochs will do, the heads last."""
    by_epoch = [freezing.factors(epoch) for epoch in range(epochs)]
    rows = []
    for name, stage in network.named_stages():
        first = next((epoch for epoch, factors in enumerate(by_epoch) if factors[name] > 0), None)
        rate = 0.0 if first is None else lr * by_epoch[first][name]
        rows.append(StageRow(name, _count(stage), rate, first))
    return rows + [StageRow(name, _count(head), head_lr, 0) for name, head in _heads(network).items()]


def _heads(network: Network) -> dict[str, nn.Module]:
    heads: dict[str, nn.Module | None] = {"head": network.head, "attribute": network.attribute_head}
    return {name: head for name, head in heads.items() if head is not None}


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
