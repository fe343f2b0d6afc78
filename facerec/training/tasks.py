"""The two tasks a network is trained for: what it is shown in which batches, how it is judged, what its card says."""

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facerec import metrics
from facerec.datasets.attributes import read_attribute
from facerec.datasets.augmentation import Views
from facerec.datasets.batches import Batch, identity_batches, shuffled_batches
from facerec.datasets.photo_sets import PhotoSet, read_photos
from facerec.datasets.splits import limit_names, split_classes, split_people
from facerec.errors import ConfigError, DataError
from facerec.models.backbones import find_backbone
from facerec.models.network import FACE_SIZE, METRIC
from facerec.training.losses import batch_facts, compares_photos
from facerec.training.run_folder import Entry
from facerec.training.settings import PEOPLE_PER_BATCH, TrainSettings

VALIDATION_FMR = 1e-3

Rows = NDArray[np.float32]  # (N, D) unit rows, or (N, C) logits
Labels = NDArray[np.int64]  # (N,)


class Task(Protocol):
    """score: the key of `measure` by which epochs are compared, larger is better. classes: the names of the logits.

    settings: of the run; what nobody asked for and the photos decide is settled. second: what else is learned of the
    same photos, if anything.
    """

    settings: TrainSettings
    train: PhotoSet
    validation: PhotoSet
    views: Views
    score: str
    classes: tuple[str, ...]
    second: "SecondTask | None"

    def batches(self, epoch: int) -> list[Batch]:
        """The batches of an epoch."""
        ...

    def facts(self, outputs: Tensor, labels: Tensor) -> dict[str, float]:
        """What to watch in a training batch."""
        ...

    def measure(self, rows: Rows, labels: Labels) -> dict[str, float]:
        """How good the network's output for the validation photos is; keys begin with `validation_`."""
        ...

    def card_facts(self, entry: Entry) -> dict[str, Any]:
        """`threshold` and `results` of the card, from the entry of the best epoch."""
        ...


def read_task(
    folder: Path, settings: TrainSettings, splits: Path | None, validation: Path | None, exclude: Path | None
) -> Task:
    """The task on the photos in `folder`, less those that the list `exclude` names; raises DataError, ConfigError."""
    task = _first_task(folder, settings, splits, validation, exclude)
    if settings.attribute:
        task.second = read_second(Path(settings.attribute), task.train, task.validation)
    return task


def _first_task(
    folder: Path, settings: TrainSettings, splits: Path | None, validation: Path | None, exclude: Path | None
) -> Task:
    photos = read_photos(folder, exclude)
    if settings.mode == METRIC:
        if validation is not None:
            raise ConfigError("--validation is for --mode classify; people to validate on are named by --splits")
        return PeopleTask(settings, *split_people(photos, splits, settings.seed))
    if splits is not None:
        raise ConfigError("--splits is for --mode metric; classes to validate on are given by --validation")
    others = read_photos(validation) if validation else None
    train, held_back = split_classes(photos, others, settings.seed)
    if settings.limit_people:
        train = limit_names(train, settings.limit_people, settings.seed)
        held_back = held_back.only(train.names)
    return ClassTask(settings, train, held_back)


class PeopleTask:
    """Telling people apart, judged on people who are not trained on."""

    score = "validation_tar"
    classes: tuple[str, ...] = ()
    second: "SecondTask | None" = None

    def __init__(self, settings: TrainSettings, train: PhotoSet, validation: PhotoSet) -> None:
        count = settings.limit_people
        self.train = limit_names(train, count, settings.seed) if count else train
        self.validation = validation
        self.views = _views(settings, settings.input_size or FACE_SIZE)
        self.settings = _settle_batches(settings, self.train.labels)

    def batches(self, epoch: int) -> list[Batch]:
        """P x K batches for the losses that compare photos, else batches of anybody; all of a small folder are one."""
        s = self.settings
        if compares_photos(s):
            people = s.people_per_batch or PEOPLE_PER_BATCH
            return identity_batches(self.train.labels, people, s.photos_per_person, s.seed, epoch)
        return _batches_of_any(self.train, s, epoch)

    def facts(self, outputs: Tensor, labels: Tensor) -> dict[str, float]:
        """See Task."""
        return batch_facts(outputs, labels, self.settings.margin)

    def measure(self, rows: Rows, labels: Labels) -> dict[str, float]:
        """AUC, TAR@FMR 1e-3 and the threshold it is reached at, over all pairs of validation photos."""
        distances, genuine = metrics.all_pairs(rows, labels)
        curve = metrics.roc(distances, genuine)
        if not (curve.impostors and curve.genuine):
            raise DataError(
                f"{self.validation.root}: no two photos of one and of two validation people can be read; add photos"
            )
        return {
            "validation_impostors": int(curve.impostors),
            "validation_auc": float(metrics.auc(curve)),
            "validation_tar": float(metrics.tar_at_fmr(curve, VALIDATION_FMR)),
            "validation_threshold": _threshold(curve, distances[~genuine]),
        }

    def card_facts(self, entry: Entry) -> dict[str, Any]:
        """The default threshold is where validation has FMR 1e-3.

        With fewer than 1,000 impostor pairs it lies below the nearest of them, and says that this is no FMR 1e-3.
        A collapsed network, for which even d = 0 lets too many match, gets none.
        """
        people, pairs = len(self.validation.names), entry["validation_impostors"]
        source = f"FMR {100 * VALIDATION_FMR:g} % on {people} validation people"
        if pairs * VALIDATION_FMR < 1:
            source = (
                f"no false match in {pairs} pairs of {people} validation people, "
                f"too few for FMR {100 * VALIDATION_FMR:g} %"
            )
        distance = entry["validation_threshold"]
        threshold = {"distance": distance, "fmr": VALIDATION_FMR, "people": people, "pairs": pairs, "source": source}
        results = {key: entry[key] for key in ("validation_auc", "validation_tar")} | _of_attribute(entry)
        return {"threshold": threshold if distance >= 0 else {}, "results": results}


def _threshold(curve: metrics.Roc, impostors: Rows) -> float:
    """Where FMR is VALIDATION_FMR, or by too few (N,) distances of impostors would be, were they normally distributed.

    Never beyond the nearest of so few. By that alone, three people's, a stranger would nearly always be somebody.
    """
    distance = float(metrics.threshold_at_fmr(curve, VALIDATION_FMR))
    if len(impostors) * VALIDATION_FMR >= 1:
        return distance
    normal = float(impostors.mean() + NormalDist().inv_cdf(VALIDATION_FMR) * impostors.std())
    return min(distance, max(normal, 0.0))


class ClassTask:
    """Telling classes apart, judged on photos of them that are not trained on."""

    score = "validation_accuracy"
    second: "SecondTask | None" = None

    def __init__(self, settings: TrainSettings, train: PhotoSet, validation: PhotoSet) -> None:
        self.train, self.validation = train, validation
        self.classes = train.names
        self.views = _views(settings, settings.input_size or find_backbone(settings.backbone).input_size)
        self.settings = settings

    def batches(self, epoch: int) -> list[Batch]:
        """Batches of photos of any class; all of a small folder are one."""
        return _batches_of_any(self.train, self.settings, epoch)

    def facts(self, outputs: Tensor, labels: Tensor) -> dict[str, float]:
        """See Task."""
        return {"accuracy": (outputs.argmax(1) == labels).float().mean().item()}

    def measure(self, rows: Rows, labels: Labels) -> dict[str, float]:
        """See _class_measures."""
        return _class_measures(rows, labels, "validation")

    def card_facts(self, entry: Entry) -> dict[str, Any]:
        """See Task."""
        return {"results": {key: value for key, value in entry.items() if key.startswith("validation_")}}


@dataclass(frozen=True, eq=False, slots=True)
class SecondTask:
    """Telling an attribute of the photos, whoever or whatever is on them, by a second head.

    attribute: its name. classes: its values, in the order of the logits. train, validation: (N,) the place in `classes`
    of every photo of the task's two sets.
    """

    attribute: str
    classes: tuple[str, ...]
    train: Labels
    validation: Labels

    def measure(self, rows: Rows, positions: Labels) -> dict[str, float]:
        """How well the (N, A) logits of the validation photos at these positions tell it; see _class_measures."""
        return _class_measures(rows, self.validation[positions], "validation_attribute")

    def describe(self, labels: Labels) -> dict[str, Any]:
        """What a run's record says of the labels of one of its sets, in the order of its photos."""
        counts = dict(zip(self.classes, np.bincount(labels, minlength=len(self.classes)).tolist(), strict=True))
        digest = hashlib.sha256(labels.tobytes()).hexdigest()[:16]
        return {"name": self.attribute, "values": counts, "fingerprint": digest}


def read_second(path: Path, train: PhotoSet, validation: PhotoSet) -> SecondTask:
    """The attribute in a file, of the photos of a task; raises DataError where it cannot be learned, or judged."""
    attribute = read_attribute(path)
    values, others = (attribute.values(_within(photos)) for photos in (train, validation))
    classes = sorted(set(values))
    if len(classes) < 2:
        raise DataError(f"{path}: {attribute.name} is {classes[0]} for all training photos; two values are needed")
    if unseen := sorted(set(others) - set(classes)):
        raise DataError(
            f"{path}: {attribute.name} is {unseen[0]} for photos to validate on and for none to train on; "
            f"give such photos to train on, or leave those out"
        )
    places = {value: place for place, value in enumerate(classes)}
    labels = (np.array([places[value] for value in own], np.int64) for own in (values, others))
    return SecondTask(attribute.name, tuple(classes), *labels)


def _within(photos: PhotoSet) -> Sequence[str]:
    """person/file of every photo."""
    return [path.relative_to(photos.root).as_posix() for path in photos.paths]


def _of_attribute(entry: Entry) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key.startswith("validation_attribute_")}


def _class_measures(rows: Rows, labels: Labels, prefix: str) -> dict[str, float]:
    """Cross-entropy, accuracy and ROC AUC (binary, or one against the rest, the mean over classes)."""
    logits = torch.from_numpy(rows)
    probabilities = logits.softmax(1).numpy()
    measured = {
        f"{prefix}_loss": torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels)).item(),
        f"{prefix}_accuracy": metrics.class_accuracy(labels, probabilities),
        f"{prefix}_auc": metrics.class_auc(labels, probabilities),
    }
    return {key: value for key, value in measured.items() if not np.isnan(value)}  # AUC of one class alone is none


def _settle_batches(settings: TrainSettings, labels: Labels) -> TrainSettings:
    """P is what was asked for, else PEOPLE_PER_BATCH or all who have K photos, but for a single one."""
    if settings.people_per_batch is not None or not compares_photos(settings):
        return settings
    enough = int(np.count_nonzero(np.bincount(labels) >= settings.photos_per_person))
    return dataclasses.replace(settings, people_per_batch=min(PEOPLE_PER_BATCH, max(2, enough)))


def _batches_of_any(photos: PhotoSet, settings: TrainSettings, epoch: int) -> list[Batch]:
    return shuffled_batches(len(photos), min(settings.batch_size, len(photos)), settings.seed, epoch)


def _views(settings: TrainSettings, size: int) -> Views:
    faces = settings.mode == METRIC
    return Views(faces, size, settings.strong_augmentation, settings.views, settings.seed, settings.mix)
