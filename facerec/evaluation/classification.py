"""The classification protocol: labelled photos against the answers of a model. Knows probabilities, not models.

`class_labels` turns the folders' names into numbers of classes; `attribute_labels` does so with the values that a file
gives the photos. The caller classifies the photos. `classification` reports.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec import metrics
from facerec.datasets.attributes import PHOTO, Attribute
from facerec.errors import DataError
from facerec.metrics.intervals import interval, rate_interval
from facerec.text import printable, same_form

REPLICATES = 1000
"""Resamples behind the intervals."""
SEED = 0
"""Seed of the bootstrap: the same probabilities give the same intervals."""


@dataclass(frozen=True, slots=True)
class ClassificationResult:
    """What `facerec evaluate classification` reports, less model and time; the caller adds those to `to_json()`.

    images: number of the photos in the folders, without those `skipped`.
    failures: how many of them have no answer, because they show no usable face.
    skipped: photos that are missing or unreadable; they are in no other figure.
    accuracy: share of right answers among all images; a failure is no right answer.
    roc_auc: `metrics.class_auc`, for which a failure is a miss; None where all photos are of one class.
    confusion: (C, C) counts of the photos with an answer; rows are the true classes, columns the answers.
    ci95: [low, high] of accuracy and roc_auc; None where undefined. Where it is known who is on the photos, both are
        over people (`metrics.intervals`). Otherwise photos are taken for independent: Clopper-Pearson for accuracy, for
        roc_auc the percentiles of `replicates` resamples of the photos within their classes.
    """

    images: int
    classes: int
    failures: int
    skipped: int
    accuracy: float
    roc_auc: float | None
    confusion: list[list[int]]
    ci95: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The fields as a dict that `json.dumps` takes; no nan in it."""
        return asdict(self)


def class_labels(folders: Mapping[str, Sequence[Path]], classes: Sequence[str]) -> tuple[list[Path], list[int]]:
    """Every photo of the class folders, and the position of its folder's name in `classes`.

    Names are compared as Unicode NFC, because some file systems take accents apart. A class may lack a folder or
    photos. Raises DataError for a folder whose name is no class.
    """
    places = {same_form(name): place for place, name in enumerate(classes)}
    if unknown := [name for name in folders if same_form(name) not in places]:
        raise DataError(
            f"{printable(unknown[0])}: no class of the model has this folder's name; rename or remove it, "
            f"known are {_listed(classes)}"
        )
    pairs = [(photo, places[same_form(name)]) for name, photos in folders.items() for photo in photos]
    return [photo for photo, _ in pairs], [label for _, label in pairs]


def attribute_labels(
    folders: Mapping[str, Sequence[Path]], root: Path, attribute: Attribute, name: str, values: Sequence[str]
) -> tuple[list[Path], list[int], list[str]]:
    """Every photo of the identity or class folders in `root`, the position of its value in `values`, and its folder.

    name, values: the attribute that the model tells, and its possible values. Raises DataError for a file of another
    attribute, for a photo that the file gives no value, and for a value that the model does not know.
    """
    if attribute.name != same_form(name):
        raise DataError(
            f"{printable(attribute.path)}: its attribute is {attribute.name}, and the model tells {name}; give a file "
            f"whose second column is {name}"
        )
    owned = [(path, person) for person, photos in folders.items() for path in photos]
    told = attribute.values(
        [path.relative_to(root).as_posix() for path, _ in owned], "move them to another folder than `images`"
    )
    places = {same_form(value): place for place, value in enumerate(values)}
    if unknown := [value for value in told if value not in places]:
        raise DataError(
            f"{printable(attribute.path)}: {unknown[0]} is no value that the model tells of {name}; correct its lines, "
            f"known are {_listed(values)}"
        )
    return [path for path, _ in owned], [places[value] for value in told], [person for _, person in owned]


def absent_photos(folders: Mapping[str, Sequence[Path]], root: Path, attribute: Attribute) -> dict[Path, str]:
    """What the attribute's file names and the folders in `root` lack -> the message.

    A person without photos is there once, under the path of the folder.
    """
    photos = [path.relative_to(root).as_posix() for own in folders.values() for path in own]
    lacking = "no such photo" if attribute.of == PHOTO else "no photo of this person"
    return {
        root / name: f"{printable(root / name)}: {lacking}, though {printable(attribute.path)} names it"
        for name in attribute.strays(photos)
    }


def classification(
    labels: Sequence[int],
    rows: Sequence[NDArray[np.float32] | None],
    classes: int,
    people: Sequence[str] | None = None,
    skipped: int = 0,
) -> ClassificationResult:
    """Compare the answers with the labels.

    labels: one per photo, from 0 to classes - 1. rows: the photo's probabilities (classes,), or None where it has no
    answer; at least one must not be None. people: who is on each photo; where given, intervals are over people.
    skipped: photos that were left out before.
    """
    sound = np.array([row is not None for row in rows])
    nothing = np.full(classes, np.nan)
    y, p = np.array(labels), np.stack([nothing if row is None else row for row in rows])  # (N,), (N, classes)
    counts = metrics.confusion(y[sound], p[sound].argmax(axis=1), classes)
    right, auc = int(counts.trace()), metrics.class_auc(y, p)
    ends = list(metrics.share_interval(right, len(labels))) if people is None else _over_people(labels, rows, people)
    auc_ends = None
    if not np.isnan(auc):
        auc_ends = interval(metrics.class_auc_bootstrap(y, p, REPLICATES, SEED, people))
    return ClassificationResult(
        images=len(labels),
        classes=classes,
        failures=int((~sound).sum()),
        skipped=skipped,
        accuracy=right / len(labels),
        roc_auc=None if np.isnan(auc) else auc,
        confusion=counts.tolist(),
        ci95={"accuracy": ends, "roc_auc": auc_ends, "replicates": REPLICATES},
    )


def _over_people(
    labels: Sequence[int], rows: Sequence[NDArray[np.float32] | None], people: Sequence[str]
) -> list[float] | None:
    """The interval of the accuracy over people; None where there is only one person."""
    if len(set(people)) < 2:
        return None
    right = np.array([row is not None and row.argmax() == label for label, row in zip(labels, rows, strict=True)])
    return list(rate_interval(right, people, REPLICATES, SEED))


def _listed(classes: Sequence[str], most: int = 20) -> str:
    more = f" and {len(classes) - most} more" if len(classes) > most else ""
    return ", ".join(map(printable, classes[:most])) + more
