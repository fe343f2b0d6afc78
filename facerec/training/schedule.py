"""How fast a run learns, in which precision, and which settings no run can have."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import optim

from facerec.errors import ConfigError
from facerec.training.settings import TrainSettings

OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "sgd": partial(optim.SGD, momentum=0.9),
    "adagrad": optim.Adagrad,
}


def lr_factor(settings: TrainSettings, progress: float, scores: Sequence[float] = ()) -> float:
    """The share of its base rate every group learns at, after `progress` epochs with these validation scores."""
    if settings.schedule == "step":
        return 0.1 ** (int(progress) // settings.step_epochs)
    if settings.schedule == "plateau":
        return _plateau_factor(scores, settings.step_epochs)
    if settings.schedule == "cosine":
        share = progress / settings.epochs
        if share < settings.warmup:
            return (share + 1e-3) / (settings.warmup + 1e-3)
        return 0.5 * (1 + math.cos(math.pi * (share - settings.warmup) / (1 - settings.warmup)))
    raise ConfigError(f"no schedule '{settings.schedule}'; known are step, cosine, plateau")


def _plateau_factor(scores: Sequence[float], epochs: int) -> float:
    """torch's ReduceLROnPlateau, shown all scores again: it has no state of its own that a resumed run could lose."""
    stand_in = optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = optim.lr_scheduler.ReduceLROnPlateau(stand_in, "max", patience=epochs - 1, threshold=0.0)
    for score in scores:
        schedule.step(score)
    return stand_in.param_groups[0]["lr"]


def use_bf16(precision: str, device: torch.device) -> bool:
    """Whether to compute in bfloat16; `auto` asks the hardware. Raises ConfigError for an unknown precision."""
    if precision not in ("auto", "bf16", "fp32"):
        raise ConfigError(f"no precision '{precision}'; known are auto, bf16, fp32")
    if precision == "auto":
        return torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.cpu._is_avx512_bf16_supported()
    return precision == "bf16"
