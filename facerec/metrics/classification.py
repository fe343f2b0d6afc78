"""Accuracy, ROC AUC and confusion of classifiers."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerec.metrics.intervals import people_weights
from facerec.metrics.roc import auc, roc, share
from facerec.types import Floats


def class_accuracy(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Share of (N,) labels, numbers of classes, whose class is the likeliest of its row (N, C); nan for N = 0.

    Of equally likely classes the first is the answer. A row of nan, a photo without an answer, is no right one.
    """
    y, p = _checked_classes(labels, probabilities)
    return float(share(((p.argmax(axis=1) == y) & np.isfinite(p).all(axis=1)).sum(), len(y)))


def class_auc(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Area under the ROC of (N, C) probabilities, 0..1, against (N,) labels, numbers of classes.

    With two classes, the area is that of the second one's probability. With more, it is the mean over classes of each
    class against the rest (not over photos: rare classes count like common ones). A class of no photo or of every photo
    has no ROC and is left out; nan if none is left. Equal to scikit-learn's `roc_auc_score` where that is defined.

    A row of nan is a photo without an answer. Of its own class it is a miss at every threshold; the other classes' ROC
    leave it out. With two classes, the area is then the mean over both.
    """
    return float(_mean_auc(*_checked_classes(labels, probabilities), None))


def class_auc_bootstrap(
    labels: ArrayLike, probabilities: ArrayLike, replicates: int, seed: int, people: ArrayLike | None = None
) -> Floats:
    """`class_auc` of `replicates` resamples, (replicates,); the seed fixes them.

    people: (N,) who is on each photo: people are resampled (`people_weights`); nan where a class is not drawn.

    Without people every photo counts as a person of its own, and every class is resampled by itself. It keeps its
    number of photos, so the same classes count in all resamples. A class of one photo stays as it is; with few photos
    the interval is on the narrow side. The time grows with photos x classes: about 10 s for 10,000 photos of 30
    classes.
    """
    y, p = _checked_classes(labels, probabilities)
    units, strata = (np.arange(len(y)), y) if people is None else (people, None)
    return np.concatenate(
        [_mean_auc(y, p, weights) for weights in people_weights(units, units, replicates, seed, strata)]
    )


def confusion(labels: ArrayLike, predicted: ArrayLike, classes: int) -> NDArray[np.int64]:
    """How often (N,) labels of each class (rows) were taken for each class (columns): (C, C), C = `classes`."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (np.asarray(labels, np.intp), np.asarray(predicted, np.intp)), 1)
    return counts


def _checked_classes(labels: ArrayLike, probabilities: ArrayLike) -> tuple[NDArray[np.intp], NDArray[np.floating[Any]]]:
    """Labels (N,) and probabilities (N, C), which must fit together; ValueError where they do not."""
    y, p = np.asarray(labels), np.asarray(probabilities)
    if p.ndim != 2 or y.shape != p.shape[:1]:
        raise ValueError(f"one row of probabilities per label, not {p.shape} for {y.shape}")
    if not (np.isfinite(p) | np.isnan(p).all(axis=1, keepdims=True)).all():
        raise ValueError("a probability is not finite")
    if len(y) and not (y.min() >= 0 and y.max() < p.shape[1]):
        raise ValueError(f"labels from 0 to {p.shape[1] - 1}, not {y.min()} to {y.max()}")
    return y.astype(np.intp), p


def _mean_auc(y: NDArray[np.intp], p: NDArray[np.floating[Any]], weights: Floats | None) -> Floats:
    """`class_auc` under weights (..., N). The likelier a class, the smaller its distance in the ROC."""
    answered = np.asarray(np.isfinite(p).all(axis=1))
    columns = [1] if p.shape[1] == 2 and answered.all() else range(p.shape[1])
    areas = [
        _area(p[:, c], y == c, answered, weights) for c in columns if (y == c).any() and (answered & (y != c)).any()
    ]
    return np.asarray(np.mean(areas, axis=0) if areas else np.nan)


def _area(
    likely: NDArray[np.floating[Any]], own: NDArray[np.bool_], answered: NDArray[np.bool_], weights: Floats | None
) -> Floats:
    """The area of one class against the rest. likely, own, answered: (N,)."""
    distances = np.where(answered, -likely, np.inf)
    chosen = own | answered
    return auc(roc(distances[chosen], own[chosen], None if weights is None else weights[..., chosen]))
