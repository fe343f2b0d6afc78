"""What a training run refuses before it starts."""

import math
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from facerec.datasets.attributes import read_attribute
from facerec.datasets.augmentation import STORED_SIZE
from facerec.errors import ConfigError
from facerec.inference.loading import model_path
from facerec.models.blocks import check_blocks
from facerec.models.card import read_card
from facerec.models.checkpoint import CARD
from facerec.models.cohort import load_cohort
from facerec.models.network import CLASSIFY, FLAT, METRIC, MODES, POOLINGS
from facerec.settings import split_names
from facerec.training.distillation import TERMS
from facerec.training.freezing import stage_factors
from facerec.training.initialisation import require_places, start_folder
from facerec.training.losses import Objective, compares_photos, loss_terms, read_terms
from facerec.training.run_folder import require_free
from facerec.training.schedule import OPTIMIZERS, lr_factor, use_bf16
from facerec.training.settings import PEOPLE_PER_BATCH, TrainSettings


def check_run(output: Path, settings: TrainSettings, resume: bool) -> None:
    """Raise what `train` would of its settings (ConfigError) and its folder (TrainingError), before any work."""
    check_settings(settings)
    require_free(output, resume)
    _check_places(settings, resume)


def _check_places(settings: TrainSettings, resume: bool) -> None:
    """What is only read, or imported, when the photos are ready must be there now."""
    for teacher in settings.teacher:
        if teacher.endswith(".npz") and not Path(teacher).exists():
            raise ConfigError(f"{teacher}: no such file; give a teacher's .npz, a FILE.onnx or a model folder")
        if not teacher.endswith(".npz"):
            model_path(teacher)
    if (start := start_folder(settings)) is not None and not resume:
        _check_start(start, settings)
    if settings.attribute:
        read_attribute(Path(settings.attribute))
    if settings.tensorboard:
        try:
            import_module("torch.utils.tensorboard")
        except ImportError as error:
            raise ConfigError("--tensorboard needs TensorBoard: pip install facerec[tensorboard]") from error


def _check_start(start: Path, settings: TrainSettings) -> None:
    """Its card and, where the run may turn out to be that very model, its strangers and its head."""
    card = read_card(start / CARD)
    if not card.mode == settings.mode == METRIC:
        return
    load_cohort(start, card)
    if card.pooling == settings.pooling == FLAT:
        require_places(start, card.input_size, settings.input_size or card.input_size)


def check_settings(settings: TrainSettings) -> None:
    """Raise ConfigError for a value that no run can have."""
    _check_ranges(settings)
    if settings.mode not in MODES:
        raise ConfigError(f"no mode '{settings.mode}'; known are {', '.join(MODES)}")
    if settings.pooling not in POOLINGS:
        raise ConfigError(f"no pooling '{settings.pooling}'; known are {', '.join(POOLINGS)}")
    if settings.pooling == FLAT and settings.train_size not in (0, settings.input_size):
        raise ConfigError("flat pooling knows the places of one size; leave --train-size out")
    if settings.optimizer not in OPTIMIZERS:
        raise ConfigError(f"no optimizer '{settings.optimizer}'; known are {', '.join(OPTIMIZERS)}")
    if settings.strategy == "scratch" and start_folder(settings) is not None:
        raise ConfigError("the strategy scratch starts from random weights; leave --init out, or train full")
    if settings.memory and not compares_photos(settings):
        raise ConfigError("memory is for losses that compare photos: triplet, contrastive, multi-similarity, supcon")
    batch = (settings.people_per_batch or PEOPLE_PER_BATCH) * settings.photos_per_person
    if settings.memory and settings.memory < batch:
        raise ConfigError("memory must hold a whole batch, people_per_batch x photos_per_person embeddings")
    if not loss_terms(settings) and not settings.teacher:
        what = "cross-entropy" if settings.mode == CLASSIFY else "triplet"
        raise ConfigError(f"nothing to learn from: give --loss {what}, or --teacher FILE.npz with --loss none")
    if settings.mix and (loss_terms(settings) or any(teacher.endswith(".npz") for teacher in settings.teacher)):
        raise ConfigError("mix makes faces of nobody: give --loss none, and a --teacher that is run (FILE.onnx)")
    if settings.mix and settings.attribute:
        raise ConfigError("mix makes faces of nobody, which have no attribute: leave --mix or --attribute out")
    read_terms(settings.teacher_loss, TERMS, "teacher loss")
    use_bf16(settings.precision, torch.device("cpu"))
    if settings.mode == METRIC and settings.input_size == STORED_SIZE:
        raise ConfigError(f"input_size {STORED_SIZE} is that of stored crops, which have a margin; give another")
    Objective(settings, 2)
    stage_factors(settings)
    if settings.drop_blocks:
        check_blocks(split_names(settings.drop_blocks), settings.backbone, settings.kept_stages or None)
    lr_factor(settings, 0.0)


def _check_ranges(settings: TrainSettings) -> None:
    comparing = compares_photos(settings)
    least = {"people_per_batch": 2, "photos_per_person": 2 if comparing else 1, "embedding_dim": 1, "batch_size": 2}
    least |= {"epochs": 1, "step_epochs": 1, "seed": 0, "views": 0, "memory": 0, "early_stopping": 0, "kept_stages": 0}
    least |= {"accumulate": 1, "head_layers": 1, "unfreeze_epochs": 1, "limit_people": 2}
    for name, value in least.items():
        _require(settings, name, f"at least {value}", lambda x, low=value: x is None or x >= low)
    for name in ("train_size", "input_size"):
        _require(settings, name, "0 or at least 32", lambda x: x == 0 or x >= 32)
    for name in ("lr", "head_lr", "attribute_weight"):
        _require(settings, name, "a number above 0", lambda x: 0 < x < math.inf)
    for name in ("weight_decay", "teacher_weight", "checkpoint_minutes", "clip_norm", "cache_gb"):
        _require(settings, name, "a number from 0", lambda x: 0 <= x < math.inf)
    for name in ("warmup", "ema", "label_smoothing"):
        _require(settings, name, "from 0 to below 1", lambda x: 0 <= x < 1)
    _require(settings, "mix", "from 0 to 1", lambda x: 0 <= x <= 1)
    _require(settings, "stage_decay", "above 0 and at most 1", lambda x: 0 < x <= 1)
    most = {"embedding_dim": 65536, "memory": 10**6, "head_layers": 16, "views": 1000, "cache_gb": 10**6}
    most |= {"train_size": 2048, "input_size": 2048}
    for name, value in most.items():
        _require(settings, name, f"at most {value}", lambda x, high=value: x <= high)
    _require(settings, "seed", "below 2^63", lambda x: x < 2**63)


def _require(settings: TrainSettings, name: str, what: str, holds: Callable[[Any], bool]) -> None:
    value = getattr(settings, name)
    if not holds(value):
        raise ConfigError(f"{name} must be {what}, not {value}")
