"""How fast a run learns, by which optimiser, and in which precision."""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import optim

from facerec.errors import ConfigError

SCHEDULES = ("step", "cosine", "plateau")
PRECISIONS = ("auto", "bf16", "fp32")
ISA_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")  # keep oneDNN from newer instructions
ISA_WITHOUT = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI")  # their values
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
    return precision == "bf16" or (precision == "auto" and not lacks_bf16(device))


def lacks_bf16(device: torch.device) -> str:
    """Why bfloat16 is emulated on this device, in words; empty where the device computes in it.

    On a CPU, oneDNN uses the units of AVX512_BF16. It uses those of AMX only on a CPU that has AVX512_BF16, too.
    """
    if device.type == "cuda":
        return "" if torch.cuda.is_bf16_supported(including_emulation=False) else "this GPU has no bf16 units"
    if not torch.cpu._is_avx512_bf16_supported():
        return "this CPU has no bf16 units"
    limits = [f"{name}={os.environ[name]}" for name in ISA_LIMITS if os.environ.get(name)]
    hidden = limits and limits[0].partition("=")[2].upper() in ISA_WITHOUT  # oneDNN takes the first
    return f"{limits[0]} hides the bf16 units of this CPU" if hidden else ""
