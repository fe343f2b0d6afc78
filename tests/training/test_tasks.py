"""The two tasks: what is shown, how it is judged, what the card says."""

import dataclasses
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from toy_faces import write_people
from toy_runs import CLASSES, SMALL, Data, classes, make_classes, make_people, small

from facerec.datasets.photo_sets import PhotoSet
from facerec.errors import DataError
from facerec.models.network import Network
from facerec.training.plan import BatchShape, make_plan
from facerec.training.tasks import ClassTask, PeopleTask, read_task
from facerec.training.train import make_card

# ------------------------------------------------------------------------------------------------- batches


def test_losses_that_compare_photos_get_people_with_several_photos_each(some_faces: Data) -> None:
    for loss in ("triplet", "supcon + 0.1*arcface"):
        task = some_faces.task(small(loss=loss))
        for batch in task.batches(0):
            people, counts = np.unique(task.train.labels[batch], return_counts=True)
            assert (len(people), counts.tolist()) == (4, [2] * 4)


@pytest.mark.parametrize(
    ("people", "photos", "expected"), [(25, 2, 16), (20, 2, 16), (19, 2, 15), (6, 2, 2), (8, 3, 4)]
)
def test_unless_asked_for_a_batch_is_of_16_people_or_of_all_there_are(
    people: int, photos: int, expected: int, tmp_path: Path
) -> None:
    """Four of the people validate; somebody with too few photos is in no batch."""
    data = make_people(tmp_path, people, photos)
    write_people(data.folder, {"single": 1})
    settings = small(people_per_batch=None, photos_per_person=photos)
    task = data.task(settings)
    assert task.batch == BatchShape(expected, photos)
    assert {len(batch) for batch in task.batches(0)} == {expected * photos}


def test_what_was_asked_for_stays_and_two_people_are_the_least(some_faces: Data) -> None:
    for asked in (4, 16):
        assert some_faces.task(small(people_per_batch=asked)).batch.people == asked
    with pytest.raises(DataError, match="needs 16 people with 2 photos each, and only 8 have"):
        some_faces.task(small(people_per_batch=16)).batches(0)
    with pytest.raises(DataError, match="needs 2 people with 9 photos each, and only 0 have"):
        some_faces.task(small(people_per_batch=None, photos_per_person=9)).batches(0)
    assert some_faces.task(small(people_per_batch=None, loss="arcface")).batch.people is None


@pytest.mark.parametrize("loss", ["triplet", "arcface"])
def test_an_epoch_may_be_cut_short(loss: str, some_faces: Data) -> None:
    whole, cut = (some_faces.task(small(loss=loss, batch_size=8, epoch_batches=most)) for most in (0, 3))
    for epoch in range(2):
        batches = cut.batches(epoch)
        assert len(batches) == 3
        assert all(np.array_equal(one, other) for one, other in zip(batches, whole.batches(epoch), strict=False))


def test_other_losses_get_batches_of_anybody(some_faces: Data) -> None:
    batches = some_faces.task(small(loss="arcface", batch_size=10)).batches(0)
    assert [len(batch) for batch in batches] == [10, 10, 10]
    assert len(set(np.concatenate(batches).tolist())) == 30


@pytest.mark.parametrize(("size", "expected"), [(4, [4, 4, 4]), (5, [5, 5]), (64, [12])])
def test_a_small_folder_of_classes_is_one_batch(size: int, expected: list[int], some_classes: Data) -> None:
    batches = some_classes.task(classes(batch_size=size)).batches(0)
    assert [len(batch) for batch in batches] == expected


def test_epochs_and_seeds_shuffle(some_classes: Data) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return np.concatenate(some_classes.task(classes(seed=seed)).batches(epoch)).tolist()

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)


# ------------------------------------------------------------------------------------------------- photos


def test_the_views_follow_from_the_mode_and_the_backbone(some_faces: Data, some_classes: Data) -> None:
    faces = some_faces.task(small(train_size=32, views=3, strong_augmentation=True, seed=5)).views
    assert (faces.faces, faces.size, faces.count, faces.strong, faces.seed) == (True, 112, 3, True, 5)
    assert some_faces.task(small(input_size=96)).views.size == 96
    pictures = some_classes.task(classes(input_size=0, backbone="inception_v3")).views
    assert (pictures.faces, pictures.size) == (False, 299)
    assert some_classes.task(CLASSES).views.size == 32


def test_only_some_classes_take_part(some_classes: Data) -> None:
    task = some_classes.task(classes(limit_people=2))
    assert len(task.classes) == 2
    assert task.classes == task.train.names == task.validation.names
    assert (len(task.train), len(task.validation)) == (8, 2)


def test_photos_of_a_list_are_in_neither_part(some_classes: Data, tmp_path: Path) -> None:
    out = ["colours/c0/00.png", "colours/c2/03.png"]
    (tmp_path / "out.txt").write_text("\n".join(out), "utf-8")
    plan = dataclasses.replace(make_plan(CLASSES), exclude=tmp_path / "out.txt")
    task = read_task(some_classes.folder, plan)
    keys = task.train.keys() + task.validation.keys()
    assert len(keys) == 13
    assert not set(out) & set(keys)


# ------------------------------------------------------------------------------------------------- judging


def class_task(count: int) -> ClassTask:
    photos = PhotoSet(Path("kinds"), tuple(f"c{i}" for i in range(count)), (), np.zeros(0, np.int64))
    return ClassTask(make_plan(CLASSES), photos, photos)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_classes_are_measured_as_scikit_learn_does(count: int) -> None:
    rng = np.random.default_rng(count)
    labels = rng.integers(0, count, 40)
    logits = (rng.normal(0, 1, (40, count)) + np.eye(count)[labels]).astype(np.float32)
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    auc = np.mean([roc_auc_score(labels == c, probabilities[:, c]) for c in range(count)])
    expected = {
        "validation_loss": log_loss(labels, probabilities, labels=range(count)),
        "validation_accuracy": accuracy_score(labels, logits.argmax(1)),
        "validation_auc": auc,
    }
    assert class_task(count).measure(logits, labels) == pytest.approx(expected, abs=1e-6)


def test_one_class_alone_has_no_auc() -> None:
    measured = class_task(2).measure(np.array([[1, 0], [0, 1]], np.float32), np.array([0, 0]))
    assert measured.keys() == {"validation_loss", "validation_accuracy"}
    assert measured["validation_accuracy"] == 0.5


def test_people_are_measured_over_all_pairs() -> None:
    """Two people of two photos: genuine pairs at d = 0.4 and 2, impostors at 2, 2, 0.4 and 1.2, say."""
    photos = PhotoSet(Path("faces"), ("a", "b"), (), np.zeros(0, np.int64))
    task = PeopleTask(make_plan(SMALL), photos, photos)
    rows = np.array([[1, 0], [0.8, 0.6], [0, 1], [0.6, 0.8]], np.float32)
    labels = np.array([0, 0, 1, 1])
    d = ((rows[:, None] - rows[None]) ** 2).sum(2)
    genuine, impostor = [d[0, 1], d[2, 3]], [d[i, j] for i in (0, 1) for j in (2, 3)]
    better = np.mean([(g < i) + 0.5 * (g == i) for g in genuine for i in impostor])
    measured = task.measure(rows, labels)
    assert measured["validation_auc"] == pytest.approx(better)
    assert measured["validation_tar"] == np.mean([g < min(impostor) for g in genuine])
    assert measured["validation_impostors"] == 4
    with pytest.raises(
        DataError, match="to validate, two photos of one person and photos of two people must be readable"
    ):
        task.measure(rows, np.array([0, 1, 2, 3]))


@pytest.mark.parametrize(("people", "spread"), [(3, 0.05), (3, 0.5), (8, 0.05)])
def test_too_few_pairs_set_the_threshold_by_their_spread_and_not_beyond_the_nearest(
    people: int, spread: float, some_faces: Data
) -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(people), 6)
    rows = rng.standard_normal((people, 12))[labels] + spread * rng.standard_normal((people * 6, 12))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    impostors = [
        float(((a - b) ** 2).sum())
        for i, a in enumerate(rows)
        for j, b in enumerate(rows[:i])
        if labels[i] != labels[j]
    ]
    found = some_faces.task(SMALL).measure(rows, labels)["validation_threshold"]
    if people == 3:
        assert len(impostors) < 1000
        normal = statistics.mean(impostors) - 3.0902323 * statistics.pstdev(impostors)
        assert found == pytest.approx(min(max(normal, 0), min(impostors)), abs=1e-5)
    else:
        assert len(impostors) >= 1000
        assert sum(d <= found for d in impostors) == 1


# ------------------------------------------------------------------------------------------------- cards


@pytest.mark.parametrize(
    ("pairs", "source"),
    [
        (999, "no false match in 999 pairs of 4 validation people, too few for FMR 0.1 %"),
        (1000, "FMR 0.1 % on 4 validation people"),
    ],
)
def test_a_threshold_says_no_more_than_its_pairs_can_show(pairs: int, source: str, some_faces: Data) -> None:
    entry = {"epoch": 0, "validation_auc": 0.9, "validation_tar": 0.5, "validation_threshold": 1.25}
    task = some_faces.task(SMALL)
    card = make_card(Network("squeezenet1_1", 8), task, "few", {}, {**entry, "validation_impostors": pairs})
    assert card.threshold == {"distance": 1.25, "fmr": 1e-3, "people": 4, "pairs": pairs, "source": source}
    assert card.results == {"validation_auc": 0.9, "validation_tar": 0.5}


def test_a_collapsed_network_has_no_threshold(some_faces: Data) -> None:
    entry: dict[str, Any] = {"epoch": 0, "validation_auc": 0.5, "validation_tar": 0.0, "validation_threshold": -1.0}
    card = make_card(
        Network("squeezenet1_1", 8), some_faces.task(SMALL), "bad", {}, {**entry, "validation_impostors": 9}
    )
    assert card.threshold == {}


def test_the_card_of_a_classifier_names_classes_and_all_that_was_measured(some_classes: Data) -> None:
    entry = {"epoch": 3, "loss": 0.2, "validation_loss": 0.3, "validation_accuracy": 0.9}
    network = Network("squeezenet1_1", 3, mode="classify", input_size=32)
    card = make_card(network, some_classes.task(CLASSES), "colours", {"seed": 1}, entry)
    assert (card.mode, card.classes, card.alignment) == ("classify", ["c0", "c1", "c2"], "none")
    assert (card.embedding_dim, card.input_size, card.threshold) == (3, 32, {})
    assert card.training == {"seed": 1, "epoch": 3}
    assert card.results == {"validation_loss": 0.3, "validation_accuracy": 0.9}


def test_people_who_validate_are_not_limited(tmp_path: Path) -> None:
    task = make_people(tmp_path / "people", 9, 2).task(small(limit_people=3))
    assert (len(task.train.names), len(task.validation.names)) == (3, 4)
    assert not set(task.train.names) & set(task.validation.names)
    many = make_classes(tmp_path / "kinds", 10, 5).task(CLASSES)
    assert np.bincount(many.validation.labels).tolist() == [2, 1]
