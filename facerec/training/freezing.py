"""What trains, and how fast: the strategies of the lectures.

A strategy maps the number of stages and the epoch to one learning-rate factor per stage, first layers first; 0 means
frozen. The new head always trains at its own rate. A frozen stage takes no gradient and keeps its BatchNorm in eval
mode, so none of its tensors moves (Network.train sees to the second half).
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from facerec.errors import ConfigError
from facerec.models.backbones import find_backbone, find_stages
from facerec.models.network import Network
from facerec.training.settings import TrainSettings

Factors = list[float]


def _partial(stages: int, settings: TrainSettings, epoch: int) -> Factors:
    if stages < 2:
        raise ConfigError("partial needs two stages or more; keep more of them, or use full or frozen")
    cut = settings.frozen_stages
    if cut is None:
        cut = min(find_backbone(settings.backbone).default_cut, stages - 1)
    if not 0 < cut < stages:
        raise ConfigError(
            f"partial freezes between 1 and {stages - 1} stages of {settings.backbone}, not {cut}; "
            f"use full or frozen for the ends"
        )
    return [0.0 if i < cut else 1.0 for i in range(stages)]


def _gradual(stages: int, settings: TrainSettings, epoch: int) -> Factors:
    """Howard and Ruder 2018 (ULMFiT), section 3.3: the head alone first, then a stage more at a time."""
    trained = epoch // settings.unfreeze_epochs
    return [0.0 if i < stages - trained else 1.0 for i in range(stages)]


STRATEGIES: dict[str, Callable[[int, TrainSettings, int], Factors]] = {
    "full": lambda n, s, epoch: [1.0] * n,
    "frozen": lambda n, s, epoch: [0.0] * n,
    "partial": _partial,
    "discriminative": lambda n, s, epoch: [s.stage_decay ** (n - 1 - i) for i in range(n)],
    "gradual": _gradual,
    "scratch": lambda n, s, epoch: (
        [1.0] * n
    ),  # that the weights start at random is training.learner.start_network's part
}


def stage_factors(settings: TrainSettings, epoch: int = 0) -> dict[str, float]:
    """Stage name -> learning-rate factor in an epoch (from 0); a stage that trains never stops to.

    Raises ConfigError for an unknown strategy or backbone, or an unfit cut.
    """
    if settings.strategy not in STRATEGIES:
        raise ConfigError(f"no strategy '{settings.strategy}'; known are {', '.join(STRATEGIES)}")
    names = [name for name, _ in find_stages(settings.backbone, settings.kept_stages or None)]
    return dict(zip(names, STRATEGIES[settings.strategy](len(names), settings, epoch), strict=True))


def freeze(network: Network, factors: dict[str, float]) -> None:
    """Freeze the stages whose factor is 0, let the others train, and put the network in train mode."""
    network.frozen = frozenset(name for name, factor in factors.items() if factor == 0)
    for name, stage in network.named_stages():
        stage.requires_grad_(name not in network.frozen)
    network.head.requires_grad_(True)
    network.train()


def frozen_prefix(factors: dict[str, float]) -> int:
    """How many of the first stages are frozen, up to the first that trains."""
    values = [*factors.values(), 1.0]
    return next(i for i, factor in enumerate(values) if factor > 0)


def parameter_groups(network: Network, factors: dict[str, float], settings: TrainSettings) -> list[dict[str, object]]:
    """One optimiser group per training stage and one for each head: `name`, `params`, `lr`, `base_lr`.

    A stage without parameters (fully connected layers cut off, say) has no group.
    """
    parts: list[tuple[str, nn.Module, float]] = [
        (name, stage, settings.lr * factors[name]) for name, stage in network.named_stages() if factors[name] > 0
    ]
    parts += [(name, head, settings.head_lr) for name, head in _heads(network).items()]
    groups = [{"name": name, "params": list(part.parameters()), "lr": lr, "base_lr": lr} for name, part, lr in parts]
    return [group for group in groups if group["params"]]


@dataclass(frozen=True, slots=True)
class PlanRow:
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


def plan(network: Network, settings: TrainSettings) -> list[PlanRow]:
    """Stage by stage what a run will do, the heads last."""
    by_epoch = [stage_factors(settings, epoch) for epoch in range(settings.epochs)]
    rows = []
    for name, stage in network.named_stages():
        first = next((epoch for epoch, factors in enumerate(by_epoch) if factors[name] > 0), None)
        lr = 0.0 if first is None else settings.lr * by_epoch[first][name]
        rows.append(PlanRow(name, _count(stage), lr, first))
    return rows + [PlanRow(name, _count(head), settings.head_lr, 0) for name, head in _heads(network).items()]


def _heads(network: Network) -> dict[str, nn.Module]:
    heads: dict[str, nn.Module | None] = {"head": network.head, "attribute": network.attribute_head}
    return {name: head for name, head in heads.items() if head is not None}


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
