"""The pipeline of the lectures: features of a network -> a classifier that needs no network -> its accuracy.

Every feature is scaled to mean 0 and standard deviation 1 over the training photos. The classifier's one parameter is
chosen by cross-validation among the training photos. The results are measured on other photos.
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
"""The number of folds, in both cross-validations; fewer if a class has fewer photos."""
SEED = 0
"""The seed of the folds and the solvers: the same features give the same answers."""

FeatureRow = NDArray[np.float32] | None  # (C,) features of a photo; None if it cannot be used
Labels = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Learner:
    """A kind of classifier.

    build: makes one. name: its parameter. values: of the parameter, to be tried; of two equally good, the first is
    taken.
    """

    build: Callable[[], Any]
    name: str
    values: tuple[float | int, ...]


_COSTS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)  # small values are best for 1,000 features, large ones for 16
CLASSIFIERS = {
    "svm": Learner(lambda: LinearSVC(max_iter=10_000, random_state=SEED), "C", _COSTS),
    "logistic": Learner(lambda: LogisticRegression(max_iter=2_000), "C", _COSTS),
    "knn": Learner(KNeighborsClassifier, "n_neighbors", (1, 3, 5, 9, 15, 25)),
}


@dataclass(frozen=True, slots=True)
class LearnerResult:
    """The measured accuracy of a classifier.

    classes: in the order of `result.confusion`. parameter: its name. chosen: its value, fold by fold. folds: of the
    cross-validation; 0 if it was tested on another folder.
    """

    classifier: str
    classes: tuple[str, ...]
    result: ClassificationResult
    parameter: str
    chosen: tuple[float | int, ...]
    folds: int

    def to_json(self) -> dict[str, Any]:
        """The report of `facerec features` about a classifier, without model and time."""
        facts = {"classifier": self.classifier, "class_names": list(self.classes), "parameter": self.parameter}
        return asdict(self.result) | facts | {"chosen": list(self.chosen), "folds": self.folds}


def cross_validated(classifier: str, labels: Sequence[str], rows: Sequence[FeatureRow]) -> LearnerResult:
    """Test a classifier on every photo of a folder by cross-validation (FOLDS stratified, seeded folds).

    labels, rows: the class and the features of each photo. A photo without features counts as a wrong answer.
    ConfigError for an unknown classifier. DataError for fewer than two classes, or a class with fewer than three photos
    with features.
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
    """Test a classifier on the photos of another folder, after it learned from all photos of the first.

    Raises as `cross_validated`, except that two photos a class are enough. DataError also for a test class that was not
    learned, and if no test photo has features.
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
    """Return the class names, each photo's class as a place in them, the features, and the positions of their photos.

    Photos without features have a class, but no row of features and no position.
    """
    names, places = np.unique(np.array([*map(same_form, labels)], np.str_), return_inverse=True)
    used = np.array([i for i, row in enumerate(rows) if row is not None], np.intp)
    return tuple(names.tolist()), places, _stacked(rows), used


def _known_places(labels: Sequence[str], names: Sequence[str]) -> list[int]:
    """Return the place of each label in `names`, compared in Unicode NFC; DataError for a label that is not there."""
    places = {name: place for place, name in enumerate(names)}
    if unknown := sorted({same_form(label) for label in labels} - places.keys()):
        raise DataError(
            f"{printable(unknown[0])}: no class that was learned has this folder's name; rename or remove it"
        )
    return [places[same_form(label)] for label in labels]


def _stacked(rows: Sequence[FeatureRow]) -> NDArray[np.float64]:
    """Return the features of the usable photos, (N, C) float64."""
    there = [row for row in rows if row is not None]
    return np.stack(there).astype(np.float64) if there else np.zeros((0, 1))


def _folds(names: Sequence[str], places: Labels, least: int) -> StratifiedKFold:
    """Return at most FOLDS folds, as the smallest class allows.

    DataError for fewer than two classes, or a class with fewer than `least` photos.
    """
    counts = np.bincount(places, minlength=len(names))
    if len(names) < 2:
        raise DataError("the photos are all of one class; give a folder with a sub-folder for each of two or more")
    if (fewest := int(counts.min())) < least:
        name = names[int(counts.argmin())]
        raise DataError(f"class {printable(name)} has {fewest} usable photos, and {least} are needed; add photos")
    return StratifiedKFold(min(FOLDS, fewest), shuffle=True, random_state=SEED)


def _learned(kind: Learner, x: NDArray[np.float64], places: Labels) -> GridSearchCV:
    """Choose the classifier's parameter by cross-validation of these photos; return it fitted to all of them."""
    names = [str(place) for place in range(int(places.max()) + 1)]
    folds = _folds(names, places, least=2)
    fewest = min(len(train) for train, _ in folds.split(x, places))  # `n_neighbors` cannot be larger
    values = [value for value in kind.values if kind.name != "n_neighbors" or value <= fewest]
    pipeline = Pipeline([("scale", StandardScaler()), ("classify", kind.build())])
    grid, strict = {f"classify__{kind.name}": values}, {"error_score": "raise"}
    return GridSearchCV(pipeline, grid, cv=folds, **strict).fit(x, places)  # type: ignore[arg-type]


def _value(learner: GridSearchCV) -> float | int:
    (value,) = learner.best_params_.values()
    return value


def _scores(learner: GridSearchCV, x: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return (N, C) float32 scores, larger for likelier classes: probabilities if available, otherwise margins."""
    if hasattr(learner, "predict_proba"):
        return learner.predict_proba(x).astype(np.float32)
    margins = learner.decision_function(x)
    rows = margins if margins.ndim == 2 else np.stack([-margins, margins], axis=1)
    return rows.astype(np.float32)
