"""The pipeline of the lectures: features of a network -> a classifier that needs no network -> how right it is.

Every feature is scaled to mean 0 and standard deviation 1 of the training photos; the classifier's one free number is
chosen by cross-validation among these, too. What is measured is measured on photos that had no part in either.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from facerec.errors import ConfigError, DataError
from facerec.evaluation.classification import ClassificationResult, classification
from facerec.text import printable, same_form

FOLDS = 5
"""Of both cross-validations; fewer where a class has fewer photos."""
SEED = 0
"""Of the folds, and of the solvers: the same features give the same answers."""

FeatureRow = NDArray[np.float32] | None  # (C,) features of a photo, None where it cannot be used
Labels = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Learner:
    """build: the classifier. name: of its free number. values: that are tried; of equally good ones the first."""

    build: Callable[[], Any]
    name: str
    values: tuple[float | int, ...]


_COSTS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)  # of 1,000 features small ones are the best, of 16 large ones
CLASSIFIERS = {
    "svm": Learner(lambda: LinearSVC(max_iter=10_000, random_state=SEED), "C", _COSTS),
    "logistic": Learner(lambda: LogisticRegression(max_iter=2_000), "C", _COSTS),
    "knn": Learner(KNeighborsClassifier, "n_neighbors", (1, 3, 5, 9, 15, 25)),
}


@dataclass(frozen=True, slots=True)
class LearnerResult:
    """How right a classifier is. classes: in the order of `result.confusion`. chosen: its free number, fold by fold.

    folds: of the cross-validation; 0 where other photos were given to measure on.
    """

    classifier: str
    classes: tuple[str, ...]
    result: ClassificationResult
    parameter: str
    chosen: tuple[float | int, ...]
    folds: int

    def to_json(self) -> dict[str, Any]:
        """What `facerec features` reports of a classifier, less model and time."""
        facts = {"classifier": self.classifier, "class_names": list(self.classes), "parameter": self.parameter}
        return asdict(self.result) | facts | {"chosen": list(self.chosen), "folds": self.folds}


def cross_validated(classifier: str, labels: Sequence[str], rows: Sequence[FeatureRow]) -> LearnerResult:
    """Every photo of a folder, measured by a classifier that learned from the others' fifths (stratified, seeded).

    A photo without features is a wrong answer. Raises ConfigError for an unknown classifier, DataError for fewer than
    two classes, or a class of fewer than three photos with features.
    """
    kind, (names, places, x, used) = _find(classifier), _prepared(labels, rows)
    folds = _folds(names, places[used], least=3)
    answers: list[FeatureRow] = [None] * len(labels)
    chosen = []
    for train, test in folds.split(x, places[used]):
        learner = _learned(kind, x[train], places[used][train])
        chosen.append(_value(learner))
        for i, row in zip(used[test], _scores(learner, x[test]), strict=True):
            answers[i] = row
    result = classification(places.tolist(), answers, len(names))
    return LearnerResult(classifier, names, result, kind.name, tuple(chosen), len(chosen))


def tried_on(
    classifier: str,
    labels: Sequence[str],
    rows: Sequence[FeatureRow],
    test_labels: Sequence[str],
    test_rows: Sequence[FeatureRow],
) -> LearnerResult:
    """The photos of another folder, measured by a classifier that learned from all of the first.

    Raises as `cross_validated` (two photos a class are enough), and DataError for a class that was not learned or where
    no photo to measure on has features.
    """
    kind, (names, places, x, used) = _find(classifier), _prepared(labels, rows)
    _folds(names, places[used], least=2)
    truth = _known_places(test_labels, names)
    learner = _learned(kind, x, places[used])
    there = [i for i, row in enumerate(test_rows) if row is not None]
    if not there:
        raise DataError("not one of the photos to test on can be used; give others")
    answers: list[FeatureRow] = [None] * len(test_rows)
    for i, row in zip(there, _scores(learner, _stacked(test_rows)), strict=True):
        answers[i] = row
    return LearnerResult(
        classifier, names, classification(truth, answers, len(names)), kind.name, (_value(learner),), 0
    )


def _find(classifier: str) -> Learner:
    if classifier not in CLASSIFIERS:
        raise ConfigError(f"no classifier '{classifier}'; known are {', '.join(CLASSIFIERS)}")
    return CLASSIFIERS[classifier]


def _prepared(labels: Sequence[str], rows: Sequence[FeatureRow]) -> tuple[tuple[str, ...], Labels, Any, Labels]:
    """The classes, the place of every photo's among them, and the features there are with the photos they are of."""
    names, places = np.unique(np.array([*map(same_form, labels)], np.str_), return_inverse=True)
    used = np.array([i for i, row in enumerate(rows) if row is not None], np.intp)
    return tuple(names.tolist()), places, _stacked(rows), used


def _known_places(labels: Sequence[str], names: Sequence[str]) -> list[int]:
    """The place of each label among the names, both as Unicode NFC; DataError for one that is not among them."""
    places = {name: place for place, name in enumerate(names)}
    if unknown := sorted({same_form(label) for label in labels} - places.keys()):
        raise DataError(
            f"{printable(unknown[0])}: no class that was learned has this folder's name; rename or remove it"
        )
    return [places[same_form(label)] for label in labels]


def _stacked(rows: Sequence[FeatureRow]) -> NDArray[np.float64]:
    """(N, C) of those there are."""
    there = [row for row in rows if row is not None]
    return np.stack(there).astype(np.float64) if there else np.zeros((0, 1))


def _folds(names: Sequence[str], places: Labels, least: int) -> StratifiedKFold:
    """As many as the smallest class allows; DataError where there is nothing to tell apart, or not enough of it."""
    counts = np.bincount(places, minlength=len(names))
    if len(names) < 2:
        raise DataError("the photos are all of one class; give a folder with a sub-folder for each of two or more")
    if (fewest := int(counts.min())) < least:
        name = names[int(counts.argmin())]
        raise DataError(f"class {printable(name)} has {fewest} usable photos, and {least} are needed; add photos")
    return StratifiedKFold(min(FOLDS, fewest), shuffle=True, random_state=SEED)


def _learned(kind: Learner, x: NDArray[np.float64], places: Labels) -> GridSearchCV:
    """The classifier with the best of its values on folds of these photos, fitted to them all."""
    names = [str(place) for place in range(int(places.max()) + 1)]
    folds = _folds(names, places, least=2)
    fewest = min(len(train) for train, _ in folds.split(x, places))  # no photo has more neighbours than that
    values = [value for value in kind.values if kind.name != "n_neighbors" or value <= fewest]
    pipeline = Pipeline([("scale", StandardScaler()), ("classify", kind.build())])
    grid, strict = {f"classify__{kind.name}": values}, {"error_score": "raise"}
    return GridSearchCV(pipeline, grid, cv=folds, **strict).fit(x, places)  # type: ignore[arg-type]


def _value(learner: GridSearchCV) -> float | int:
    (value,) = learner.best_params_.values()
    return value


def _scores(learner: GridSearchCV, x: NDArray[np.float64]) -> NDArray[np.float32]:
    """(N, C): the larger, the likelier the class. Probabilities where the classifier has them, else margins."""
    if hasattr(learner, "predict_proba"):
        return learner.predict_proba(x).astype(np.float32)
    margins = learner.decision_function(x)
    rows = margins if margins.ndim == 2 else np.stack([-margins, margins], axis=1)
    return rows.astype(np.float32)
