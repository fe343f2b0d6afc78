"""The classification protocol: class folders against the classes of a model. Knows probabilities, not models.

`class_labels` makes numbers of the folders' names, the caller classifies the photos, `classification` reports.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec import metrics
from facerec.errors import DataError
from facerec.images import printable, same_form

REPLICATES = 1000
"""Resamples of the photos behind the interval of ROC AUC."""
SEED = 0
"""Of the bootstrap: the same probabilities give the same interval."""


@dataclass(frozen=True, slots=True)
class ClassificationResult:
    """What `facerec evaluate classification` reports, less model and time; the caller adds those to `to_json()`.

    images: all photos in the folders. failures: those that could not be read.
    accuracy: right answers among all images; a failure is no right answer.
    roc_auc: `metrics.class_auc` over the photos that could be read, for without probabilities there is nothing to rank;
    None where they are all of one class.
    confusion: (C, C) counts of the photos that could be read; rows are the true classes, columns the answers.
    ci95: [low, high] of accuracy (Clopper-Pearson: photos are taken for independent) and of roc_auc (percentiles of
    `replicates` resamples of the photos within their classes).
    """

    images: int
    classes: int
    failures: int
    accuracy: float
    roc_auc: float | None
    confusion: list[list[int]]
    ci95: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The fields as a dict that `json.dumps` takes; no nan in it."""
        return asdict(self)


def class_labels(folders: Mapping[str, Sequence[Path]], classes: Sequence[str]) -> tuple[list[Path], list[int]]:
    """Every photo of the class folders, and the place of its folder's name among the `classes`.

    Names are compared as Unicode NFC: some file systems take accents apart. A class without a folder, or without photos
    in it, is left alone; raises DataError for a folder that is none of the classes.
    """
    places = {same_form(name): place for place, name in enumerate(classes)}
    if unknown := [name for name in folders if same_form(name) not in places]:
        raise DataError(
            f"{printable(unknown[0])}: no class of the model has this folder's name; rename or remove it, "
            f"known are {_listed(classes)}"
        )
    pairs = [(photo, places[same_form(name)]) for name, photos in folders.items() for photo in photos]
    return [photo for photo, _ in pairs], [label for _, label in pairs]


def classification(
    labels: Sequence[int], rows: Sequence[NDArray[np.float32] | None], classes: int
) -> ClassificationResult:
    """Compare the answers with the labels.

    labels: one per photo, from 0 to classes - 1. rows: the photo's probabilities (classes,), or None where it could not
    be read; one at least must not be None.
    """
    read = [(label, row) for label, row in zip(labels, rows, strict=True) if row is not None]
    y, p = np.array([label for label, _ in read]), np.stack([row for _, row in read])  # (read,), (read, classes)
    counts = metrics.confusion(y, p.argmax(axis=1), classes)
    right, auc = int(counts.trace()), metrics.class_auc(y, p)
    ci95: dict[str, Any] = {"accuracy": list(metrics.share_interval(right, len(labels))), "roc_auc": None}
    if not np.isnan(auc):
        drawn = metrics.class_auc_bootstrap(y, p, REPLICATES, SEED)
        ci95["roc_auc"] = list(metrics.percentile_interval(drawn))
    return ClassificationResult(
        images=len(labels),
        classes=classes,
        failures=len(labels) - len(read),
        accuracy=right / len(labels),
        roc_auc=None if np.isnan(auc) else auc,
        confusion=counts.tolist(),
        ci95={**ci95, "replicates": REPLICATES},
    )


def _listed(classes: Sequence[str], most: int = 20) -> str:
    more = f" and {len(classes) - most} more" if len(classes) > most else ""
    return ", ".join(map(printable, classes[:most])) + more
