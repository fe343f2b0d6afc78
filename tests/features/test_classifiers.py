"""Classifiers on features: against scikit-learn by hand, and nothing of a test photo in what is learned."""

from pathlib import Path

import numpy as np
import pytest
import toy_classes
from running import json_lines, run
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from facerec.cli.features import CLASSIFIERS as OFFERED
from facerec.errors import ConfigError, DataError
from facerec.features.classifiers import CLASSIFIERS, FeatureRow, cross_validated, tried_on

Blobs = tuple[list[str], list[FeatureRow]]


def blobs(seed: int, count: int, apart: float, classes: int = 3, width: int = 6) -> Blobs:
    """`count` rows of each class around a point of its own, the features of very different sizes."""
    rng, centres = np.random.default_rng(seed), np.random.default_rng(99).normal(0, apart, (classes, width))
    labels = [f"class {kind}" for kind in range(classes) for _ in range(count)]
    rows = np.repeat(centres, count, axis=0) + rng.normal(size=(classes * count, width))
    return labels, [*(rows * 10.0 ** np.arange(-3, width - 3)).astype(np.float32)]


def scaled(train: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return (rows.astype(np.float64) - train.mean(0, np.float64)) / train.std(0, dtype=np.float64)


def test_the_command_offers_what_there_is() -> None:
    assert tuple(CLASSIFIERS) == OFFERED


@pytest.mark.parametrize("name", OFFERED)
def test_classes_far_apart_are_told_apart(name: str) -> None:
    found = cross_validated(name, *blobs(0, 10, 20))
    assert (found.result.accuracy, found.result.roc_auc, found.folds) == (1, 1, 5)
    assert found.classes == ("class 0", "class 1", "class 2")
    assert len(found.chosen) == 5
    assert set(found.chosen) <= set(CLASSIFIERS[name].values)


@pytest.mark.parametrize("name", OFFERED)
def test_labels_that_mean_nothing_are_told_apart_by_chance(name: str) -> None:
    labels, rows = blobs(1, 60, 0)
    found = cross_validated(name, labels, rows)
    low, high = found.result.ci95["accuracy"]
    assert low < 1 / 3 < high
    assert found.result.accuracy < 0.5, "what is measured was learned"


def test_a_test_folder_is_measured_as_by_hand() -> None:
    labels, rows = blobs(2, 20, 1)
    others, held_out = blobs(3, 15, 1)
    x, z = np.array(rows), np.array(held_out)
    svm = tried_on("svm", labels, rows, others, held_out)
    by_hand = LinearSVC(C=svm.chosen[0], max_iter=10_000, random_state=0).fit(scaled(x, x), labels)
    assert svm.result.accuracy == accuracy_score(others, by_hand.predict(scaled(x, z)))
    truth, margins = np.unique(others, return_inverse=True)[1], by_hand.decision_function(scaled(x, z))
    aucs = [roc_auc_score(truth == kind, margins[:, kind]) for kind in range(3)]
    assert svm.result.roc_auc == pytest.approx(np.mean(aucs), abs=1e-3)
    knn = tried_on("knn", labels, rows, others, held_out)
    votes = KNeighborsClassifier(int(knn.chosen[0])).fit(scaled(x, x), labels)
    assert knn.result.accuracy == accuracy_score(others, votes.predict(scaled(x, z)))
    assert (svm.folds, knn.folds) == (0, 0)


@pytest.mark.parametrize("name", OFFERED)
def test_two_classes_are_ranked_by_the_second(name: str) -> None:
    labels, rows = blobs(4, 30, 0.6, classes=2)
    others, held_out = blobs(5, 30, 0.6, classes=2)
    found = tried_on(name, labels, rows, others, held_out)
    assert found.result.roc_auc is not None
    assert 0.6 < found.result.accuracy <= found.result.roc_auc + 0.1


def test_what_is_chosen_is_chosen_without_the_test_photos() -> None:
    labels, rows = blobs(6, 12, 0.7)
    first = tried_on("logistic", labels, rows, *blobs(7, 12, 0.7))
    wrong = tried_on("logistic", labels, rows, blobs(7, 12, 0.7)[0][::-1], blobs(8, 12, 0.1)[1])
    assert first.chosen == wrong.chosen


def test_the_same_features_give_the_same_answers() -> None:
    for name in OFFERED:
        assert cross_validated(name, *blobs(9, 12, 1)) == cross_validated(name, *blobs(9, 12, 1))


def test_photos_without_features_are_wrong_answers() -> None:
    labels, rows = blobs(10, 10, 20)
    rows[3] = None
    found = cross_validated("svm", labels, rows)
    assert (found.result.images, found.result.failures, found.result.accuracy) == (30, 1, 29 / 30)
    others, held_out = blobs(11, 10, 20)
    held_out[0] = held_out[29] = None
    assert tried_on("knn", labels, rows, others, held_out).result.accuracy == 28 / 30


@pytest.mark.parametrize("name", OFFERED)
def test_small_classes_have_fewer_folds(name: str) -> None:
    labels, rows = blobs(12, 3, 20)
    assert cross_validated(name, labels, rows).folds == 3
    labels, rows = blobs(13, 2, 20)
    assert tried_on(name, labels, rows, *blobs(14, 1, 20)).result.accuracy == 1
    with pytest.raises(DataError, match="class 0 has 2 usable photos, and 3 are needed"):
        cross_validated(name, labels, rows)


def test_what_cannot_be_learned_is_an_error() -> None:
    labels, rows = blobs(15, 5, 1)
    with pytest.raises(ConfigError, match="no classifier 'forest'; known are svm, logistic, knn"):
        cross_validated("forest", labels, rows)
    with pytest.raises(DataError, match="all of one class"):
        cross_validated("svm", ["a"] * 15, rows)
    with pytest.raises(DataError, match="class 0 has 1 usable photos, and 2 are needed"):
        tried_on("svm", labels, [*rows[:1], *[None] * 4, *rows[5:]], labels, rows)
    with pytest.raises(DataError, match="other: no class that was learned has this folder's name"):
        tried_on("svm", labels, rows, ["other"] * 15, rows)
    with pytest.raises(DataError, match="not one of the photos to test on can be used"):
        tried_on("svm", labels, rows, labels, [None] * 15)


def test_names_compare_whatever_their_form() -> None:
    labels, rows = blobs(16, 5, 20, classes=2)
    composed, apart = "\N{LATIN SMALL LETTER E WITH ACUTE}", "e\N{COMBINING ACUTE ACCENT}"
    found = tried_on(
        "svm", [{"class 0": "a", "class 1": composed}[label] for label in labels], rows, [apart], rows[-1:]
    )
    assert (found.classes, found.result.accuracy) == (("a", composed), 1)


# ---------------------------------------------------------------------------------------------------------- the command


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A classifier; pictures to learn from, five of each class, and three to test on, one of them in a wrong folder."""
    toy_classes.write_classifier(tmp_path / "model")
    for kind, name in enumerate(toy_classes.NAMES):
        for number in range(5):
            toy_classes.save_picture(tmp_path / "train" / name / f"{number}.png", kind, number)
        home = name if kind else toy_classes.NAMES[1]
        toy_classes.save_picture(tmp_path / "test" / home / f"{kind}.png", kind, 77)
    return tmp_path / "model", tmp_path / "train", tmp_path / "test"


@pytest.mark.parametrize("name", OFFERED)
def test_the_command_measures_on_the_test_folder(folders: tuple[Path, Path, Path], name: str) -> None:
    model, train, test = folders
    result = run(
        "features", train, "--model", model, "--classifier", name, "--test", test, "--layer", "stage1", "--json"
    )
    (line,) = json_lines(result)
    assert (result.exit_code, result.stderr) == (0, "")
    names = sorted(toy_classes.NAMES)
    expected = np.zeros((3, 3), int)
    for kind, own in enumerate(toy_classes.NAMES):
        home = names.index(own if kind else toy_classes.NAMES[1])
        expected[home, names.index(own)] += 1
    assert line["confusion"] == expected.tolist()
    assert (line["accuracy"], line["images"], line["class_names"]) == (2 / 3, 3, names)
    assert (line["classifier"], line["layer"], line["folds"]) == (name, "stage1", 0)
    assert len(line["ci95"]["accuracy"]) == len(line["ci95"]["roc_auc"]) == 2
    assert line["parameter"] == CLASSIFIERS[name].name
    assert line["chosen"][0] in CLASSIFIERS[name].values


def test_the_command_for_people_and_by_cross_validation(folders: tuple[Path, Path, Path]) -> None:
    model, train, _ = folders
    (train / "green" / "bad.png").write_bytes(b"no picture")
    output = train.parent / "x.npz"
    result = run("features", train, "--model", model, "--classifier", "knn", "--output", output)
    first, second, *rest = result.stdout.splitlines()
    assert result.exit_code == 1
    assert first == f"{output} holds 512 features of 15 photos, stage3 of toy classes."
    assert second == "knn on stage3 of toy classes, n_neighbors 1, 1, 1, 1, 1, by 5-fold cross-validation:"
    assert any("accuracy" in line and f"{15 / 16:.5f}" in line for line in rest)


def test_a_photo_of_no_class_is_asked_about(folders: tuple[Path, Path, Path]) -> None:
    model, train, _ = folders
    toy_classes.save_picture(train / "loose.png", 0, 9)
    result = run("features", train, "--model", model, "--classifier", "knn")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "loose.png: of which class is it? With --classifier" in result.stderr


@pytest.mark.parametrize(
    ("remove", "message"),
    [
        (toy_classes.NAMES[1:], "holds one class, green; give a folder for each of two or more"),
        ((), "class blue is not trained; trained are"),
    ],
)
def test_folders_that_are_no_classes_are_one_line(
    folders: tuple[Path, Path, Path], remove: tuple[str, ...], message: str
) -> None:
    model, train, test = folders
    for name in remove:
        for path in (train / name).iterdir():
            path.unlink()
    toy_classes.save_picture(test / "blue" / "1.png", 1, 5)
    result = run("features", train, "--model", model, "--classifier", "svm", "--test", test)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert message in line
