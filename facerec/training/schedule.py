"""How fast a run learns, by which optimiser, and in which precision."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import optim

from facerec.errors import ConfigError

SCHEDULES = ("step", "cosine", "plateau")
PRECISIONS = ("auto", "bf16", "fp32")
OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "sgd": partial(optim.SGD, momentum=0.9),
    "adagrad": optim.Adagrad,
}


@dataclass(frozen=True, slots=True)
class Schedule:
    """How the learning rates change. The fields are those of TrainSettings; name: its `schedule`, one of SCHEDULES."""

    name: str
    epochs: int
    step_epochs: int
    warmup: float


def lr_factor(schedule: Schedule, progress: float, scores: Sequence[float] = ()) -> float:
    """The factor of every base rate after `progress` epochs with these validation scores, from 0 to 1."""
    if schedule.name == "step":
        return 0.1 ** (int(progress) // schedule.step_epochs)
    if schedule.name == "plateau":
        return _plateau_factor(scores, schedule.step_epochs)
    share = progress / schedule.epochs
    if share < schedule.warmup:
        return (share + 1e-3) / (schedule.warmup + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (share - schedule.warmup) / (1 - schedule.warmup)))


def _plateau_factor(scores: Sequence[float], epochs: int) -> float:
    """What torch's ReduceLROnPlateau says after all scores. It is made anew each time: a resumed run needs no state."""
    stand_in = optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = optim.lr_scheduler.ReduceLROnPlateau(stand_in, "max", patience=epochs - 1, threshold=0.0)
    for score in scores:
        schedule.step(score)
    return stand_in.param_groups[0]["lr"]


def use_bf16(precision: str, device: torch.device) -> bool:
    """Whether to compute in bfloat16; `auto` asks the hardware. Raises ConfigError for an unknown precision."""
    if precision not in PRECISIONS:
        raise ConfigError(f"no precision '{precision}'; known are {', '.join(PRECISIONS)}")
    if precision == "auto":
        return torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.cpu._is_avx512_bf16_supported()
    return precision == "bf16"
