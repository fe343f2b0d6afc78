"""The plan of a training run: the settings, checked once, and all that follows from them before a photo is read.

`make_plan` is the one place where settings are refused. What runs afterwards takes the plan, parses no text and reads
no card.
"""

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from facerec.datasets.attributes import Attribute, read_attribute
from facerec.datasets.photo_sets import PhotoSet, no_photos, read_unlabelled
from facerec.datasets.repeats import read_repeats
from facerec.errors import ConfigError
from facerec.extras import install
from facerec.models.backbones import find_backbone
from facerec.models.network import CLASSIFY, METRIC, Network
from facerec.settings import split_names
from facerec.training.checks import check_combinations, check_values
from facerec.training.distillation import TERMS, TeacherSource, find_teacher
from facerec.training.distributed import own_device
from facerec.training.freezing import Freezing
from facerec.training.losses import LossPlan, loss_terms, read_terms
from facerec.training.run_folder import CHECKPOINT, require_free
from facerec.training.schedule import Schedule, use_bf16
from facerec.training.settings import PEOPLE_PER_BATCH, TrainSettings
from facerec.training.start import StartModel, check_start, read_start, take_form


@dataclass(frozen=True, slots=True)
class BatchShape:
    """How many photos a batch has.

    people: P of the P x K batches for losses that compare photos; None for batches of anybody's photos.
    photos: K of the P x K batches, else of the whole batch.
    may_shrink: nobody asked for this P; a folder with fewer people gets smaller batches.
    """

    people: int | None
    photos: int
    may_shrink: bool = False

    def settled(self, labels: NDArray[np.int64]) -> "BatchShape":
        """The shape for (N,) labels of the training photos: P shrinks to the people with K photos, but not below 2."""
        if self.people is None or not self.may_shrink:
            return self
        enough = int(np.count_nonzero(np.bincount(labels) >= self.photos))
        return BatchShape(min(self.people, max(2, enough)), self.photos)


@dataclass(frozen=True, slots=True)
class TrainPlan:
    """Everything a run knows before it reads a photo.

    settings: with the form of the start model. Plain numbers, such as `lr`, are taken from here; the fields below
    replace the settings they were made from.
    start: the model the weights come from; None for ImageNet's (`pretrained`), random ones or those of a checkpoint.
    input_size: side of the pixels the network sees. train_size: side of the pixels it is trained on.
    dropped_blocks: residual blocks that are left out, in the order of computation.
    loss, teacher_terms: the parsed losses. teachers: who gives embeddings of the photos.
    unlabelled: the photos that only the teachers label, as many as there are.
    attribute: the file of the second task, read; None without one. repeats: how often photos are shown, likewise.
    freezing, schedule: which stages train in which epoch, and how fast.
    bf16: whether this machine computes in bfloat16. data_seed: of what validates and of the views.
    batch: how many people and photos a batch has.
    splits, validation, exclude: see `tasks.read_task`.
    """

    settings: TrainSettings
    start: StartModel | None
    pretrained: bool
    input_size: int
    train_size: int
    dropped_blocks: tuple[str, ...]
    loss: LossPlan
    teacher_terms: Mapping[str, float]
    teachers: tuple[TeacherSource, ...]
    unlabelled: PhotoSet
    attribute: Attribute | None
    repeats: Attribute | None
    freezing: Freezing
    schedule: Schedule
    bf16: bool
    batch: BatchShape
    data_seed: int
    splits: Path | None = None
    validation: Path | None = None
    exclude: Path | None = None


def plan_run(
    output: Path,
    settings: TrainSettings,
    *,
    chosen: Collection[str] | None = None,
    splits: Path | None = None,
    validation: Path | None = None,
    exclude: Path | None = None,
    resume: bool = False,
) -> TrainPlan:
    """The plan of a run in the folder `output` on data that `tasks.read_task` describes.

    Raises what `make_plan` raises, and TrainingError where the folder is not free, or with `resume` holds no run.
    """
    plan = make_plan(settings, chosen=chosen, goes_on=resume and (output / CHECKPOINT).exists())
    plan = plan_data(plan, splits=splits, validation=validation, exclude=exclude)
    require_free(output, resume)
    return plan


def plan_data(
    plan: TrainPlan, *, splits: Path | None = None, validation: Path | None = None, exclude: Path | None = None
) -> TrainPlan:
    """The plan with the data that `tasks.read_task` describes; raises ConfigError for data of the other mode."""
    settings = plan.settings
    if settings.mode == METRIC and validation is not None:
        raise ConfigError("`validation` is for `mode=classify`; to name people to validate on, give `splits`")
    if settings.mode == CLASSIFY and splits is not None:
        raise ConfigError("`splits` is for `mode=metric`; to give other photos to validate on, give `validation`")
    return dataclasses.replace(plan, splits=splits, validation=validation, exclude=exclude)


def make_plan(settings: TrainSettings, *, chosen: Collection[str] | None = None, goes_on: bool = False) -> TrainPlan:
    """Resolve the settings, or refuse them: ConfigError for a setting, DataError or ModelError for a file it names.

    chosen: names of the settings somebody asked for; the others take the form of the start model. None: all of them.
    goes_on: a checkpoint holds all weights; the start model is not looked at and may be gone.
    """
    start = None if goes_on else read_start(settings)
    if start is not None and chosen is not None:
        settings = take_form(settings, start.card, chosen)
    check_values(settings)
    loss, teacher_terms = _plan_loss(settings), read_terms(settings.teacher_loss, TERMS, "teacher loss")
    check_combinations(settings, loss)
    outline = _outline(settings)
    if start is not None:
        check_start(start, settings, outline.dropped_blocks, outline.input_size)
    teachers = _find_teachers(settings, teacher_terms, outline)
    if settings.sync_batch_norm and own_device().type != "cuda":
        raise ConfigError("torch computes `sync_batch_norm` on GPUs only, and there is none here; leave it out")
    if settings.tensorboard:
        _require_tensorboard()
    return TrainPlan(
        settings=settings,
        start=start,
        pretrained=settings.init == "imagenet" and settings.strategy != "scratch" and not goes_on,
        input_size=outline.input_size,
        train_size=settings.train_size or outline.input_size,
        dropped_blocks=outline.dropped_blocks,
        loss=loss,
        teacher_terms=teacher_terms,
        teachers=teachers,
        unlabelled=read_unlabelled(Path(settings.unlabelled)) if settings.unlabelled else no_photos(),
        attribute=read_attribute(Path(settings.attribute)) if settings.attribute else None,
        repeats=read_repeats(Path(settings.oversample)) if settings.oversample else None,
        freezing=_plan_freezing(settings, tuple(name for name, _ in outline.named_stages())),
        schedule=Schedule(settings.schedule, settings.epochs, settings.step_epochs, settings.warmup),
        bf16=use_bf16(settings.precision, own_device()),
        batch=_plan_batch(settings, loss),
        data_seed=settings.seed if settings.data_seed is None else settings.data_seed,
    )


def _plan_loss(settings: TrainSettings) -> LossPlan:
    return LossPlan(
        terms=loss_terms(settings.loss, settings.mode),
        mode=settings.mode,
        dim=settings.embedding_dim,
        mining=settings.mining,
        margin=settings.margin,
        memory=settings.memory,
        label_smoothing=settings.label_smoothing,
    )


def _plan_batch(settings: TrainSettings, loss: LossPlan) -> BatchShape:
    if not loss.compares_photos:
        return BatchShape(None, settings.batch_size)
    people = settings.people_per_batch
    return BatchShape(people or PEOPLE_PER_BATCH, settings.photos_per_person, may_shrink=people is None)


def _plan_freezing(settings: TrainSettings, stages: tuple[str, ...]) -> Freezing:
    """Raises ConfigError where `partial` would leave no stage frozen, or none to train."""
    cut = 0
    if settings.strategy == "partial":
        if len(stages) < 2:
            raise ConfigError("partial needs two stages or more; raise `kept_stages`, or give `strategy=full`")
        usual = min(find_backbone(settings.backbone).default_cut, len(stages) - 1)
        cut = usual if settings.frozen_stages is None else settings.frozen_stages
        if not 0 < cut < len(stages):
            raise ConfigError(
                f"partial freezes between 1 and {len(stages) - 1} stages of {settings.backbone}, not {cut}; "
                f"give `strategy=full` to freeze none, `strategy=frozen` to freeze all"
            )
    return Freezing(settings.strategy, stages, cut, settings.stage_decay, settings.unfreeze_epochs)


def _outline(settings: TrainSettings) -> Network:
    """The network without weights, on torch's `meta` device, where building and running it costs next to nothing.

    Raises ConfigError for a form that cannot be built: an unknown backbone or block, too many stages, too few pixels.
    """
    dim = settings.embedding_dim if settings.mode == METRIC else 2  # there are two classes at least
    with torch.device("meta"):
        network = Network(
            settings.backbone,
            dim,
            mode=settings.mode,
            kept_stages=settings.kept_stages,
            head_layers=settings.head_layers,
            input_size=settings.input_size,
            pooling=settings.pooling,
            dropped_blocks=split_names(settings.drop_blocks),
        )
        for size in (settings.train_size or network.input_size, network.input_size):
            _require_room(network, size)
    return network


@torch.no_grad()
def _require_room(network: Network, size: int) -> None:
    """Raise ConfigError when pixels of this size are too few for the backbone to make features of."""
    try:
        network.eval().prefix(torch.zeros(1, 3, size, size), len(network.stages))
    except RuntimeError as error:  # a kernel or a pool is larger than what is left of the picture
        raise ConfigError(
            f"{size} pixels are too few for {network.backbone}; give a larger `train_size` or `input_size`"
        ) from error


def _find_teachers(settings: TrainSettings, terms: Mapping[str, float], outline: Network) -> tuple[TeacherSource, ...]:
    """Raises ConfigError for `direct` between embeddings of unequal length: it compares them number by number."""
    teachers = tuple(find_teacher(name) for name in settings.teacher)
    student = outline.dim if settings.mode == METRIC else outline.width
    for teacher in teachers:
        if "direct" in terms and teacher.dim != student:
            raise ConfigError(
                f"{teacher.name}: its embeddings have {teacher.dim} numbers, the student's {student}; the term direct "
                f"needs the same number: give `embedding_dim={teacher.dim}`, or use cosine"
            )
    return teachers


def _require_tensorboard() -> None:
    try:
        import_module("torch.utils.tensorboard")
    except ImportError as error:
        raise ConfigError(f"`tensorboard` needs TensorBoard: {install('tensorboard')}") from error
