"""What trains, and how fast: the strategies of the lectures.

A strategy maps the number of stages to one learning-rate factor per stage, first layers first; 0 means frozen. The
new head always trains at its own rate. A frozen stage takes no gradient and keeps its BatchNorm in eval mode, so
none of its tensors moves (Network.train sees to the second half).
"""

from collections.abc import Callable

from torch import nn

from facerec.config import TrainSettings
from facerec.errors import ConfigError
from facerec.models.backbones import find_backbone
from facerec.models.network import Network

Factors = list[float]


def _partial(stages: int, settings: TrainSettings) -> Factors:
    cut = settings.frozen_stages
    if cut is None:
        cut = find_backbone(settings.backbone).default_cut
    if not 0 < cut < stages:
        raise ConfigError(
            f"partial freezes between 1 and {stages - 1} stages of {settings.backbone}, not {cut}; "
            f"use full or frozen for the ends"
        )
    return [0.0 if i < cut else 1.0 for i in range(stages)]


STRATEGIES: dict[str, Callable[[int, TrainSettings], Factors]] = {
    "full": lambda n, _: [1.0] * n,
    "frozen": lambda n, _: [0.0] * n,
    "partial": _partial,
    "discriminative": lambda n, s: [s.stage_decay ** (n - 1 - i) for i in range(n)],
}


def stage_factors(settings: TrainSettings) -> dict[str, float]:
    """Stage name -> learning-rate factor; raises ConfigError for an unknown strategy or backbone, or an unfit cut."""
    if settings.strategy not in STRATEGIES:
        raise ConfigError(f"no strategy '{settings.strategy}'; known are {', '.join(STRATEGIES)}")
    names = [name for name, _ in find_backbone(settings.backbone).stages]
    return dict(zip(names, STRATEGIES[settings.strategy](len(names), settings), strict=True))


def freeze(network: Network, factors: dict[str, float]) -> None:
    """Freeze the stages whose factor is 0, let the others train, and put the network in train mode."""
    network.frozen = frozenset(name for name, factor in factors.items() if factor == 0)
    for name, stage in network.named_stages():
        stage.requires_grad_(name not in network.frozen)
    network.head.requires_grad_(True)
    network.train()


def parameter_groups(network: Network, factors: dict[str, float], settings: TrainSettings) -> list[dict[str, object]]:
    """One optimiser group per training stage and one for the head: `name`, `params`, `lr`, `base_lr`."""
    parts: list[tuple[str, nn.Module, float]] = [
        (name, stage, settings.lr * factors[name]) for name, stage in network.named_stages() if factors[name] > 0
    ]
    parts.append(("head", network.head, settings.head_lr))
    return [{"name": name, "params": list(part.parameters()), "lr": lr, "base_lr": lr} for name, part, lr in parts]
