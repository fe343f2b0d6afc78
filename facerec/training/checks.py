"""Which settings are refused: single values, and values that do not go together. Called only by `plan.make_plan`."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from facerec.datasets.drawn import STORED_SIZE
from facerec.errors import ConfigError
from facerec.models.network import CLASSIFY, MEAN, METRIC
from facerec.training.losses import LossPlan
from facerec.training.settings import PEOPLE_PER_BATCH, TrainSettings

LEAST = {"people_per_batch": 2, "photos_per_person": 1, "embedding_dim": 1, "batch_size": 2, "epochs": 1}
LEAST |= {"step_epochs": 1, "seed": 0, "data_seed": 0, "views": 0, "memory": 0, "early_stopping": 0, "kept_stages": 0}
LEAST |= {"epoch_batches": 0, "accumulate": 1, "head_layers": 1, "unfreeze_epochs": 1, "limit_people": 2}
MOST = {"embedding_dim": 65536, "memory": 10**6, "head_layers": 16, "views": 1000, "cache_gb": 10**6}
MOST |= {"train_size": 2048, "input_size": 2048}
CHOICES: dict[str, tuple[str, ...]] = {
    field.name: field.metadata["choices"] for field in dataclasses.fields(TrainSettings) if field.metadata["choices"]
}


def check_values(settings: TrainSettings) -> None:
    """Raise ConfigError for a value that is out of its range or not among its choices."""
    for name, value in LEAST.items():
        _require(settings, name, f"at least {value}", lambda x, low=value: x is None or x >= low)
    for name in ("train_size", "input_size"):
        _require(settings, name, "0 or at least 32", lambda x: x == 0 or x >= 32)
    for name in ("lr", "head_lr", "attribute_weight"):
        _require(settings, name, "a number above 0", lambda x: 0 < x < math.inf)
    for name in ("weight_decay", "teacher_weight", "checkpoint_minutes", "clip_norm", "cache_gb", "minutes"):
        _require(settings, name, "a number from 0", lambda x: 0 <= x < math.inf)
    _require(settings, "margin", "0 (soft) or a number above 0", lambda x: 0 <= x < math.inf)
    for name in ("warmup", "ema", "label_smoothing"):
        _require(settings, name, "from 0 to below 1", lambda x: 0 <= x < 1)
    _require(settings, "mix", "from 0 to 1", lambda x: 0 <= x <= 1)
    _require(settings, "validation_fmr", "above 0 and below 1", lambda x: 0 < x < 1)
    _require(settings, "stage_decay", "above 0 and at most 1", lambda x: 0 < x <= 1)
    _require(settings, "unlabelled_share", "above 0 and below 1", lambda x: 0 < x < 1)
    for name, value in MOST.items():
        _require(settings, name, f"at most {value}", lambda x, high=value: x <= high)
    for name in ("seed", "data_seed"):
        _require(settings, name, "below 2^63", lambda x: x is None or x < 2**63)
    for name, known in CHOICES.items():
        if (value := getattr(settings, name)) not in known:
            raise ConfigError(f"no {name} '{value}'; known are {', '.join(known)}")


def _require(settings: TrainSettings, name: str, what: str, holds: Callable[[Any], bool]) -> None:
    value = getattr(settings, name)
    if not holds(value):
        raise ConfigError(f"`{name}` must be {what}, not {value}")


def check_combinations(settings: TrainSettings, loss: LossPlan) -> None:
    """Raise ConfigError for values that are each possible, but not together."""
    if settings.pooling != MEAN and settings.train_size not in (0, settings.input_size):
        raise ConfigError(f"{settings.pooling} pooling needs pixels of one size; leave `train_size` out")
    if settings.strategy == "scratch" and settings.init not in ("imagenet", "random"):
        raise ConfigError("the strategy scratch starts from random weights; leave `init` out, or give `strategy=full`")
    if settings.mode == METRIC and settings.input_size == STORED_SIZE:
        raise ConfigError(f"`input_size={STORED_SIZE}` is the size of stored crops, which have a margin; give another")
    if settings.mode == METRIC and settings.picture_views != "scaled":
        raise ConfigError("`picture_views` is for `mode=classify`; faces are shifted and mirrored")
    if settings.mode == CLASSIFY and settings.cache_on_device:
        raise ConfigError("`cache_on_device` is for aligned faces; pictures have no common size")
    _check_loss(settings, loss)
    _check_mix(settings, loss)
    if settings.unlabelled and not settings.teacher:
        raise ConfigError("photos without labels need a `teacher` to say what they show; or leave `unlabelled` out")


def _check_loss(settings: TrainSettings, loss: LossPlan) -> None:
    if not loss.terms and not settings.teacher:
        what = "cross-entropy" if settings.mode == CLASSIFY else "triplet"
        raise ConfigError(f"nothing to learn from; give `loss={what}`, or `teacher=FILE.npz` with `loss=none`")
    if "triplet" in loss.terms and settings.mining == "semihard" and settings.margin == 0:
        raise ConfigError("semihard mining needs a `margin` above 0; with 0 give `mining=hard` or `mining=all`")
    if loss.compares_photos and settings.photos_per_person < 2:
        raise ConfigError(f"`photos_per_person` must be at least 2, not {settings.photos_per_person}")
    if settings.memory and not loss.compares_photos:
        raise ConfigError("`memory` is for losses that compare photos: triplet, contrastive, multi-similarity, supcon")
    batch = (settings.people_per_batch or PEOPLE_PER_BATCH) * settings.photos_per_person
    if settings.memory and settings.memory < batch:
        raise ConfigError("`memory` must hold a whole batch: `people_per_batch` x `photos_per_person` embeddings")


def _check_mix(settings: TrainSettings, loss: LossPlan) -> None:
    """A mixed crop shows nobody: it has no label and no attribute, and no stored embedding fits it."""
    if settings.mix and (loss.terms or any(teacher.endswith(".npz") for teacher in settings.teacher)):
        raise ConfigError(
            "a mixed crop shows nobody; `mix` needs `loss=none` and a teacher to run: `teacher=FILE.onnx`"
        )
    if settings.mix and settings.attribute:
        raise ConfigError("a mixed crop shows nobody and has no attribute; leave `mix` or `attribute` out")
