"""Fine-tuning: one straight loop. The run folder it leaves is also a model folder.

    facerec train ../shared/data/faces --aligned --splits ../shared/data/splits --output runs/first

A run folder holds `run.json`, `history.json`, `history.png`, `checkpoint.safetensors` (to go on from) and the model
with the best validation TAR@FMR 1e-3 (`model.json`, `weights.safetensors`).
"""

import ctypes
import dataclasses
import logging
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facerec import metrics
from facerec.config import TrainSettings
from facerec.data import FaceSet, limit_people, read_faces, split_people, still_batches, training_batches
from facerec.distill import TeacherLoss, read_teacher
from facerec.errors import ConfigError, DataError, TrainingError
from facerec.losses import batch_facts, triplet_loss
from facerec.models.card import ModelCard
from facerec.models.checkpoint import describe, load_model, load_module, load_state, save_model, save_state
from facerec.models.freezing import freeze, parameter_groups, stage_factors
from facerec.models.network import Network
from facerec.runs import CHECKPOINT, Entry, State, describe_run, hold_folder, require_free, start_run, write_history
from facerec.runs import settings_of as settings_of
from facerec.sampler import Batch, identity_batches, shuffled_batches
from facerec.types import Vectors

log = logging.getLogger(__name__)

COLLAPSED = 0.25  # mean d between different people; unrelated unit vectors have 2
VALIDATION_FMR = 1e-3


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is: epoch (from 0), batch within it (from 1) of `batches`, its loss, crops seen per second."""

    epoch: int
    batch: int
    batches: int
    loss: float
    crops_per_second: float


def train(
    folder: Path,
    output: Path,
    settings: TrainSettings,
    *,
    splits: Path | None = None,
    resume: bool = False,
    watch: Callable[[Progress], None] = lambda progress: None,
) -> ModelCard:
    """Fine-tune on the aligned crops in the identity folders of `folder`; returns the card of the best model.

    splits: see data.split_people. resume: go on from the checkpoint in `output`, to the same numbers as a run that
    was never interrupted. Raises DataError, ConfigError, ModelError, and TrainingError when stopped by SIGINT (a
    checkpoint is written first) or when there is nothing to resume.
    """
    # ---- data, network, losses, optimiser
    check_run(output, settings, resume)
    faces, validation = split_people(read_faces(folder), splits, settings.seed)
    if settings.limit_people:
        faces = limit_people(faces, settings.limit_people, settings.seed)
    keep_freed_memory()
    learner = Learner(settings, faces)
    if not resume:
        validate(learner.network, validation)  # what cannot be validated is refused before hours of training
    run = describe_run(settings, faces, validation)

    with hold_folder(output), _interrupts() as interrupted:
        start_run(output, run, resume)
        state = learner.load(output / CHECKPOINT) if (output / CHECKPOINT).exists() else State()
        while state.epoch < settings.epochs:
            # ---- one epoch
            batches = epoch_batches(faces, settings, state.epoch)
            clock = Clock()
            todo = batches[state.batch :]
            pixels = training_batches(
                faces, todo, settings.train_size, settings.seed, state.epoch, settings.strong_augmentation
            )
            for crops, positions in pixels:
                facts = learner.step(crops, positions, state.epoch + state.batch / len(batches))
                state.count(facts, len(positions))
                watch(Progress(state.epoch, state.batch, len(batches), facts["loss"], clock.rate(len(positions))))
                if interrupted.is_set() or clock.minutes() > settings.checkpoint_minutes:
                    learner.save(output / CHECKPOINT, state)
                    clock = Clock()
                if interrupted.is_set():
                    raise TrainingError(f"{output}: stopped in epoch {state.epoch + 1}; go on with --resume")

            # ---- validation, best weights, checkpoint
            measured = validate(learner.network, validation)
            rates = learner.rates(state.epoch + (state.batch - 1) / len(batches))
            entry = {"epoch": state.epoch, **state.means(), **measured, "lr": rates}
            _warn_of_collapse(entry)
            if entry["validation_tar"] > state.best:
                save_model(learner.network, output, make_card(learner.network, output.name, run, entry))
            state.close_epoch(entry)
            write_history(output, state.history)
            learner.save(output / CHECKPOINT, state)
            log.info(
                "epoch %d of %d: loss %.4f, validation AUC %.4f, TAR at FMR 1e-3 %.1f %%, spread %.2f",
                *(state.epoch, settings.epochs, entry["loss"], entry["validation_auc"]),
                *(100 * entry["validation_tar"], entry["spread"]),
            )
    return load_model(output)[1]


class Clock:
    """Minutes since it was made, and crops per second."""

    def __init__(self) -> None:
        self.began, self.crops = time.monotonic(), 0

    def minutes(self) -> float:
        return (time.monotonic() - self.began) / 60

    def rate(self, crops: int) -> float:
        self.crops += crops
        return self.crops / (time.monotonic() - self.began)


class Learner:
    """The network, its losses and its optimiser; a step is all that differs from one batch to the next."""

    def __init__(self, settings: TrainSettings, faces: FaceSet) -> None:
        torch.manual_seed(settings.seed)
        self.settings = settings
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.autocast = use_bf16(settings.precision, self.device)
        self.labels = torch.from_numpy(faces.labels)
        self.network = start_network(settings)
        self.triplet = triplet_loss(settings) if settings.loss != "none" else None
        self.teacher = read_teacher(Path(settings.teacher), faces.keys()) if settings.teacher else None
        self.teacher_loss = None
        if self.teacher is not None:
            self.teacher_loss = TeacherLoss(self.network.embedding_dim, self.teacher.shape[1])
            load_module(Path(settings.init) / CHECKPOINT, "teacher", self.teacher_loss)  # from there it goes on
        if self.triplet is None and self.teacher_loss is None:
            raise ConfigError("nothing to learn from: give --loss triplet, or --teacher FILE.npz with --loss none")

        factors = stage_factors(settings)
        freeze(self.network, factors)
        self.network.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        groups = parameter_groups(self.network, factors, settings)
        if self.teacher_loss is not None:
            self.teacher_loss.to(self.device)
            rate = settings.head_lr
            params = list(self.teacher_loss.parameters())
            groups.append({"name": "teacher", "params": params, "lr": rate, "base_lr": rate})
        self.optimizer = torch.optim.AdamW(groups, weight_decay=settings.weight_decay)

    def step(self, crops: Tensor, positions: NDArray[np.int64], progress: float) -> dict[str, float]:
        """One update on pixels (B, 3, S, S) of the photos at `positions`; progress in epochs sets the rates."""
        rates = self.rates(progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rates[group["name"]]
        labels = self.labels[positions].to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            vectors = self.network(crops.to(self.device))  # (B, D)
        losses: dict[str, Tensor] = {}
        if self.triplet is not None:
            losses["triplet_loss"] = self.triplet(vectors, labels)
        if self.teacher is not None and self.teacher_loss is not None:
            losses["teacher_loss"] = self.teacher_loss(vectors, self.teacher[positions].to(self.device))
        weights = {"triplet_loss": 1.0, "teacher_loss": self.settings.teacher_weight}
        loss = torch.stack([weights[name] * part for name, part in losses.items()]).sum()
        if not torch.isfinite(loss):
            raise TrainingError(f"the loss became {loss.item()}; lower --lr or --head-lr")
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        active, spread = batch_facts(vectors.detach(), labels, self.settings.margin)
        parts = {name: part.item() for name, part in losses.items()}
        return {"loss": loss.item(), **parts, "active_triplets": active, "spread": spread}

    def rates(self, progress: float) -> dict[str, float]:
        """Learning rate of each parameter group after `progress` epochs."""
        factor = lr_factor(self.settings, progress)
        return {group["name"]: group["base_lr"] * factor for group in self.optimizer.param_groups}

    def _modules(self) -> dict[str, nn.Module]:
        modules: dict[str, nn.Module] = {"network": self.network}
        return modules | ({"teacher": self.teacher_loss} if self.teacher_loss else {})

    def save(self, path: Path, state: State) -> None:
        """Write a checkpoint."""
        save_state(path, self._modules(), self.optimizer, dataclasses.asdict(state))

    def load(self, path: Path) -> State:
        """Go back to a checkpoint."""
        return State(**load_state(path, self._modules(), self.optimizer))


def check_run(output: Path, settings: TrainSettings, resume: bool) -> None:
    """Raise what `train` would of its settings (ConfigError) and its folder (TrainingError), before any work."""
    check_settings(settings)
    require_free(output, resume)


def check_settings(settings: TrainSettings) -> None:
    """Raise ConfigError for a value that no run can have; what is chosen by name elsewhere is checked there."""
    if settings.loss not in ("triplet", "none"):
        raise ConfigError(f"no loss '{settings.loss}'; known are triplet, none")
    least = {"people_per_batch": 2, "photos_per_person": 1 if settings.loss == "none" else 2, "embedding_dim": 1}
    least |= {"epochs": 1, "step_epochs": 1, "train_size": 32, "seed": 0}
    for name, value in least.items():
        if getattr(settings, name) < value:
            raise ConfigError(f"{name} must be at least {value}, not {getattr(settings, name)}")
    if settings.limit_people is not None and settings.limit_people < 2:
        raise ConfigError(f"limit_people must be at least 2, not {settings.limit_people}")
    for name in ("lr", "head_lr"):
        if not 0 < getattr(settings, name) < math.inf:
            raise ConfigError(f"{name} must be a number above 0, not {getattr(settings, name)}")
    for name in ("weight_decay", "teacher_weight", "checkpoint_minutes"):
        if not 0 <= getattr(settings, name) < math.inf:
            raise ConfigError(f"{name} must be a number from 0, not {getattr(settings, name)}")
    if not 0 < settings.stage_decay <= 1:
        raise ConfigError(f"stage_decay must be above 0 and at most 1, not {settings.stage_decay}")
    if not 0 <= settings.warmup < 1:
        raise ConfigError(f"warmup must be from 0 to below 1, not {settings.warmup}")
    if settings.embedding_dim > 65536:
        raise ConfigError(f"embedding_dim must be at most 65536, not {settings.embedding_dim}")
    if settings.seed >= 2**63:
        raise ConfigError(f"seed must be below 2^63, not {settings.seed}")
    stage_factors(settings)
    lr_factor(settings, 0.0)


def start_network(settings: TrainSettings) -> Network:
    """The network training begins with: ImageNet or random weights, or those of a model folder."""
    if settings.init in ("imagenet", "random"):
        return Network(settings.backbone, settings.embedding_dim, pretrained=settings.init == "imagenet")
    network, card = load_model(Path(settings.init))
    if (card.backbone, card.embedding_dim) != (settings.backbone, settings.embedding_dim):
        raise ConfigError(
            f"{settings.init}: holds a {card.backbone} with {card.embedding_dim} dimensions; "
            f"give --backbone {card.backbone} --embedding-dim {card.embedding_dim}"
        )
    return network


def use_bf16(precision: str, device: torch.device) -> bool:
    """Whether to compute in bfloat16; `auto` asks the hardware. Raises ConfigError for an unknown precision."""
    if precision not in ("auto", "bf16", "fp32"):
        raise ConfigError(f"no precision '{precision}'; known are auto, bf16, fp32")
    if precision == "auto":
        return torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.cpu._is_avx512_bf16_supported()
    return precision == "bf16"


def lr_factor(settings: TrainSettings, progress: float) -> float:
    """The share of its base rate every group learns at, after `progress` epochs."""
    if settings.schedule == "step":
        return 0.1 ** (int(progress) // settings.step_epochs)
    if settings.schedule == "cosine":
        share = progress / settings.epochs
        if share < settings.warmup:
            return (share + 1e-3) / (settings.warmup + 1e-3)
        return 0.5 * (1 + math.cos(math.pi * (share - settings.warmup) / (1 - settings.warmup)))
    raise ConfigError(f"no schedule '{settings.schedule}'; known are step, cosine")


def epoch_batches(faces: FaceSet, settings: TrainSettings, epoch: int) -> list[Batch]:
    """P x K batches under the triplet loss, else batches of as many photos of anybody."""
    people, photos = settings.people_per_batch, settings.photos_per_person
    if settings.loss == "none":
        return shuffled_batches(len(faces), people * photos, settings.seed, epoch)
    return identity_batches(faces.labels, people, photos, settings.seed, epoch)


def validate(network: Network, faces: FaceSet) -> dict[str, float]:
    """AUC, TAR@FMR 1e-3 and the threshold it is reached at, over all pairs of validation photos.

    In float32 however the network trains, as the threshold is for vectors that are computed so.
    """
    curve = metrics.roc(*metrics.all_pairs(*embed_faces(network, faces)))
    if not (curve.impostors and curve.genuine):
        raise DataError(f"{faces.root}: no two photos of one and of two validation people can be read; add photos")
    return {
        "validation_impostors": int(curve.impostors),
        "validation_auc": float(metrics.auc(curve)),
        "validation_tar": float(metrics.tar_at_fmr(curve, VALIDATION_FMR)),
        "validation_threshold": float(metrics.threshold_at_fmr(curve, VALIDATION_FMR)),
    }


@torch.inference_mode()
def embed_faces(network: Network, faces: FaceSet) -> tuple[Vectors, NDArray[np.int64]]:
    """(N, D) unit float32 rows and (N,) labels of the photos that can be read; raises DataError when none can."""
    was_training = network.training
    device = network.mean.device
    network.eval()
    vectors, labels = [], []
    for crops, positions in still_batches(faces, 64):
        vectors.append(network(crops.to(device)).cpu().numpy())
        labels.append(faces.labels[positions])
    network.train(was_training)
    if not vectors:
        raise DataError(f"{faces.root}: not one validation photo can be read; check the folder")
    return np.concatenate(vectors), np.concatenate(labels)


def make_card(network: Network, name: str, run: dict[str, Any], entry: Entry) -> ModelCard:
    """The card of a trained network; its default threshold is where validation has FMR 1e-3.

    With fewer than 1,000 impostor pairs it lies just below the nearest of them, and says that this is no FMR 1e-3.
    A collapsed network, for which even d = 0 lets too many match, gets none.
    """
    people, pairs = run["validation"]["people"], entry["validation_impostors"]
    rate = f"FMR {100 * VALIDATION_FMR:g} %"
    source = f"{rate} on {people} validation people"
    if pairs * VALIDATION_FMR < 1:
        source = f"no false match in {pairs} pairs of {people} validation people, too few for {rate}"
    distance = entry["validation_threshold"]
    threshold = {"distance": distance, "fmr": VALIDATION_FMR, "people": people, "pairs": pairs, "source": source}
    if entry["validation_threshold"] < 0:
        threshold = {}
    results = {key: entry[key] for key in ("validation_auc", "validation_tar")}
    training = {**run, "epoch": entry["epoch"]}
    return dataclasses.replace(describe(network, name), threshold=threshold, training=training, results=results)


def _warn_of_collapse(entry: Entry) -> None:
    if entry["spread"] < COLLAPSED:
        log.warning(
            "training has collapsed: different people are at a mean distance of %.2f (unrelated: 2.00). "
            "Start again with --mining all or semihard, a lower --lr, or --margin 0",
            entry["spread"],
        )


def keep_freed_memory() -> None:
    """Make glibc keep what is freed instead of giving it back to the system (`man 3 mallopt`).

    Every step frees and allocates the same gigabytes of activations; as fresh pages from the system they cost more
    than half of a step on the CPU. Does nothing elsewhere than on Linux with glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for option, value in ((-1, 2**31 - 1), (-2, 2**28), (-4, 0)):  # M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX
            mallopt(option, value)


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """An event that the first SIGINT sets; the second one interrupts at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def note(signum: int, frame: object) -> None:
        event.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)
