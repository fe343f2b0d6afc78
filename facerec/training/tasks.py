"""The two tasks, people and classes: their photos and batches, how a network is judged, and what its card says."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facerec import metrics
from facerec.datasets.attributes import Attribute
from facerec.datasets.augmentation import Views
from facerec.datasets.batches import Batch, beside_unlabelled, identity_batches, shuffled_batches
from facerec.datasets.photo_sets import PhotoSet, no_photos, read_photos
from facerec.datasets.repeats import copies_of, repeat_photos
from facerec.datasets.splits import limit_names, require_unseen, split_classes, split_people
from facerec.errors import DataError
from facerec.faces.aligned import require_crops_in
from facerec.models.network import METRIC
from facerec.training.losses import batch_facts, triplet_loss
from facerec.training.plan import BatchShape, TrainPlan
from facerec.training.run_folder import Entry

VALIDATION_FMR = 1e-3

Rows = NDArray[np.float32]  # (N, D) unit rows, or (N, C) logits
Labels = NDArray[np.int64]  # (N,)


class Task(Protocol):
    """What a network is trained for.

    score: the key of `measure` that compares epochs; larger is better. classes: the names of the logits.
    batch: the plan's batch shape, with no more people than there are. second: the second task, if there is one.
    unlabelled: photos without labels; their positions come after those of `train`. sample: training photos that are
    measured as the validation photos are; none unless the settings say `measure_train`.
    """

    batch: BatchShape
    train: PhotoSet
    unlabelled: PhotoSet
    validation: PhotoSet
    sample: PhotoSet
    views: Views
    score: str
    classes: tuple[str, ...]
    second: "SecondTask | None"

    def batches(self, epoch: int) -> list[Batch]:
        """The batches of an epoch."""
        ...

    def facts(self, outputs: Tensor, labels: Tensor) -> dict[str, float]:
        """What to watch in a training batch, from its outputs and labels."""
        ...

    def measure(self, rows: Rows, labels: Labels) -> dict[str, float]:
        """Measures of the network's output for the validation photos; the keys begin with `validation_`."""
        ...

    def card_facts(self, entry: Entry) -> dict[str, Any]:
        """The card's `threshold` and `results`, from the entry of the best epoch."""
        ...


def read_task(folder: Path, plan: TrainPlan) -> Task:
    """The task of a plan on the photos in `folder`; raises DataError.

    plan.exclude: a list of photos to leave out, see `read_exclusions`. plan.splits: people to validate on, see
    `split_people`. plan.validation: photos of the classes to validate on, see `split_classes`.
    """
    task = _people_task(folder, plan) if plan.settings.mode == METRIC else _class_task(folder, plan)
    if len(task.unlabelled):
        require_unseen(task.unlabelled, task.validation)
    if plan.attribute is not None:
        task.second = find_second(plan.attribute, task.train, task.validation)
    return task


def _people_task(folder: Path, plan: TrainPlan) -> "PeopleTask":
    photos = read_photos(folder, plan.exclude)
    for paths in (photos.paths, plan.unlabelled.paths):
        require_crops_in(paths)
    return PeopleTask(plan, *split_people(photos, plan.splits, plan.data_seed))


def _class_task(folder: Path, plan: TrainPlan) -> "ClassTask":
    photos = read_photos(folder, plan.exclude)
    others = read_photos(plan.validation) if plan.validation else None
    train, held_back = split_classes(photos, others, plan.data_seed)
    if plan.settings.limit_people:
        train = limit_names(train, plan.settings.limit_people, plan.data_seed)
        held_back = held_back.only(train.names)
    return ClassTask(plan, train, held_back)


class PeopleTask:
    """Telling people apart. Judged on people who are not trained on."""

    score = "validation_tar"
    classes: tuple[str, ...] = ()
    second: "SecondTask | None" = None

    def __init__(self, plan: TrainPlan, train: PhotoSet, validation: PhotoSet) -> None:
        count, self._seed, self._margin = plan.settings.limit_people, plan.settings.seed, plan.settings.margin
        self._fmr, self._with_loss = plan.settings.validation_fmr, plan.settings.measure_train
        limited = limit_names(train, count, plan.data_seed) if count else train
        self.sample = _sample_people(limited, validation, plan) if self._with_loss else no_photos()
        self.train, self.unlabelled = repeat_photos(limited, plan.unlabelled, plan.repeats)
        self.validation = validation
        self._copies, self._spread = copies_of(self.train.paths), _spread(plan, self.train, self.unlabelled)
        self.views = _views(plan)
        self.batch = plan.batch.settled(self.train.labels)

    def batches(self, epoch: int) -> list[Batch]:
        """P x K batches for losses that compare photos, else of anybody's photos; a small folder makes one batch."""
        if self.batch.people is not None:
            labelled = identity_batches(
                self.train.labels, self.batch.people, self.batch.photos, self._seed, epoch, self._copies
            )
        else:
            labelled = _batches_of_any(self.train, self.batch, self._seed, epoch)
        return self._spread(labelled, epoch)

    def facts(self, outputs: Tensor, labels: Tensor) -> dict[str, float]:
        """See Task."""
        return batch_facts(outputs, labels, self._margin)

    def measure(self, rows: Rows, labels: Labels) -> dict[str, float]:
        """AUC, TAR at the settings' FMR, and the threshold of FMR 1e-3, over all pairs of validation photos."""
        distances, genuine = metrics.all_pairs(rows, labels)
        curve = metrics.roc(distances, genuine)
        if not (curve.impostors and curve.genuine):
            raise DataError(
                f"{self.validation.root}: to validate, two photos of one person and photos of two people must be "
                "readable; add photos"
            )
        loss = {"validation_loss": triplet_loss(rows, labels, self._margin)} if self._with_loss else {}
        return loss | {
            "validation_impostors": int(curve.impostors),
            "validation_auc": float(metrics.auc(curve)),
            "validation_tar": float(metrics.tar_at_fmr(curve, self._fmr)),
            "validation_threshold": _threshold(curve, distances[~genuine]),
        }

    def card_facts(self, entry: Entry) -> dict[str, Any]:
        """The default threshold is where validation has FMR 1e-3.

        With fewer than 1,000 impostor pairs it is at most the smallest distance of such a pair, and its source says
        that this is no FMR 1e-3. A collapsed network gets no threshold: even at d = 0 too many pairs match.
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
    """The distance where FMR is VALIDATION_FMR, from (N,) distances of impostor pairs.

    Too few pairs to show that FMR give the distance at which a normal distribution of their mean and spread has it, but
    never more than the smallest distance. The smallest alone would be too large: with the pairs of three people nearly
    every stranger would match somebody.
    """
    distance = float(metrics.threshold_at_fmr(curve, VALIDATION_FMR))
    if len(impostors) * VALIDATION_FMR >= 1:
        return distance
    normal = float(impostors.mean() + NormalDist().inv_cdf(VALIDATION_FMR) * impostors.std())
    return min(distance, max(normal, 0.0))


class ClassTask:
    """Telling classes apart. Judged on photos of the same classes that are not trained on."""

    score = "validation_accuracy"
    second: "SecondTask | None" = None

    def __init__(self, plan: TrainPlan, train: PhotoSet, validation: PhotoSet) -> None:
        self.train, self.unlabelled = repeat_photos(train, plan.unlabelled, plan.repeats)
        self.sample = _sample_photos(train, validation, plan) if plan.settings.measure_train else no_photos()
        self.validation, self.classes = validation, train.names
        self._spread = _spread(plan, self.train, self.unlabelled)
        self.views = _views(plan)
        self.batch, self._seed = plan.batch, plan.settings.seed

    def batches(self, epoch: int) -> list[Batch]:
        """Batches of photos of any class; a small folder makes one batch."""
        return self._spread(_batches_of_any(self.train, self.batch, self._seed, epoch), epoch)

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
    """Telling an attribute of the photos by a second head.

    attribute: its name. classes: its values, in the order of the logits. train, validation: (N,) places in `classes`,
    one for each photo of the task's two sets.
    """

    attribute: str
    classes: tuple[str, ...]
    train: Labels
    validation: Labels

    def measure(self, rows: Rows, positions: Labels) -> dict[str, float]:
        """Measures of the (N, A) logits for the validation photos at these positions; see _class_measures."""
        return _class_measures(rows, self.validation[positions], "validation_attribute")

    def describe(self, labels: Labels) -> dict[str, Any]:
        """What run.json says of the labels of one set, in the order of its photos."""
        counts = dict(zip(self.classes, np.bincount(labels, minlength=len(self.classes)).tolist(), strict=True))
        digest = hashlib.sha256(labels.tobytes()).hexdigest()[:16]
        return {"name": self.attribute, "values": counts, "fingerprint": digest}


def find_second(attribute: Attribute, train: PhotoSet, validation: PhotoSet) -> SecondTask:
    """The second task on a task's photos; raises DataError where the attribute cannot be learned or judged."""
    path = attribute.path
    told = attribute.values([*train.within(), *validation.within()])  # at once: a name means one photo of both sets
    values, others = told[: len(train)], told[len(train) :]
    classes = sorted(set(values))
    if len(classes) < 2:
        raise DataError(f"{path}: {attribute.name} is {classes[0]} for all training photos; two values are needed")
    if unseen := sorted(set(others) - set(classes)):
        raise DataError(
            f"{path}: {attribute.name} is {unseen[0]} for validation photos only; "
            f"add such photos to train on, or leave those out"
        )
    places = {value: place for place, value in enumerate(classes)}
    labels = (np.array([places[value] for value in own], np.int64) for own in (values, others))
    return SecondTask(attribute.name, tuple(classes), *labels)


def _of_attribute(entry: Entry) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key.startswith("validation_attribute_")}


def _class_measures(rows: Rows, labels: Labels, prefix: str) -> dict[str, float]:
    """Cross-entropy, accuracy and ROC AUC of (N, C) logits; for C > 2 the mean AUC of each class against the rest."""
    logits = torch.from_numpy(rows)
    probabilities = logits.softmax(1).numpy()
    measured = {
        f"{prefix}_loss": torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels)).item(),
        f"{prefix}_accuracy": metrics.class_accuracy(labels, probabilities),
        f"{prefix}_auc": metrics.class_auc(labels, probabilities),
    }
    return {key: value for key, value in measured.items() if not np.isnan(value)}  # the AUC of a single class


def _batches_of_any(photos: PhotoSet, batch: BatchShape, seed: int, epoch: int) -> list[Batch]:
    return shuffled_batches(len(photos), min(batch.photos, len(photos)), seed, epoch)


def _spread(plan: TrainPlan, train: PhotoSet, unlabelled: PhotoSet) -> Callable[[list[Batch], int], list[Batch]]:
    """(batches, epoch) -> as many of the batches as an epoch may have, with unlabelled photos among theirs."""
    s = plan.settings

    def spread(batches: list[Batch], epoch: int) -> list[Batch]:
        shown = batches[: s.epoch_batches or None]
        return beside_unlabelled(shown, len(train), len(unlabelled), s.unlabelled_share, s.seed, epoch)

    return spread


def _views(plan: TrainPlan) -> Views:
    s = plan.settings
    cut = s.picture_views == "cut"
    return Views(s.mode == METRIC, plan.input_size, s.strong_augmentation, s.views, plan.data_seed, s.mix, cut)


def _sample_people(train: PhotoSet, validation: PhotoSet, plan: TrainPlan) -> PhotoSet:
    """The photos of as many people as validate; of those with two photos or more, since others make no pair."""
    paired = [name for name, photos in zip(train.names, np.bincount(train.labels), strict=True) if photos > 1]
    if len(paired) < 2:
        raise DataError(f"{train.root}: no two people to train on have two photos; leave `measure_train` out")
    return limit_names(train.only(paired), max(2, len(validation.names)), plan.data_seed)


def _sample_photos(train: PhotoSet, validation: PhotoSet, plan: TrainPlan) -> PhotoSet:
    """As many photos as validate."""
    order = np.random.default_rng(plan.data_seed).permutation(len(train))
    return train.take(np.sort(order[: len(validation)]))
