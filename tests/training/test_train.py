"""Training runs: that they learn, what they leave, and that they say so when they do not learn."""

import logging
import math
from pathlib import Path
from typing import Any

import pytest
import running
import torch
from toy_colours import make_coloured_people, write_hue_teacher
from toy_faces import write_splits
from toy_runs import (
    SMALL,
    Data,
    assert_same_run,
    classes,
    make_classes,
    make_people,
    measured,
    read_history,
    read_run,
    small,
    warnings_of,
)

from facerec.errors import TrainingError
from facerec.inference.loading import load_classifier
from facerec.inference.pipeline import classify
from facerec.models.checkpoint import load_model, save_model
from facerec.models.network import Network
from facerec.training.run_folder import CHECKPOINT, HISTORY, PLOT, RUN, settings_of
from facerec.training.train import Progress, make_card

pytestmark = pytest.mark.usefixtures("one_thread")


# ------------------------------------------------------------------------------------------------- learning


@pytest.fixture(scope="module")
def coloured_people(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """12 people with 12 photos each, 8 of them to train on. Do not change."""
    return make_coloured_people(tmp_path_factory.mktemp("coloured"), 12, 12)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"loss": "none", "teacher": True},
        {"teacher": True, "mining": "semihard", "loss": "triplet + 0.1*cross-entropy"},
        {"loss": "arcface", "epochs": 20},
    ],
    ids=lambda changes: str(changes),
)
def test_training_learns_to_tell_strangers_apart(
    changes: dict[str, Any], coloured_people: Data, tmp_path: Path
) -> None:
    """Validation people were never trained on; the spread shows that the embedding has not collapsed.

    Small pictures, many small batches, rates that fall to 0 and training at the size of validation: the task is then
    learned with any seed and in any arithmetic. AUC is the share of pairs of pairs in the right order; training must
    at least halve the share in the wrong order, 0.27 before it, and ends near 0.
    """
    if changes.get("teacher"):
        teacher = write_hue_teacher(tmp_path / "teacher.npz", coloured_people.task(SMALL).train)
        changes = {**changes, "teacher": (str(teacher),)}
    sizes: dict[str, Any] = {"input_size": 32, "train_size": 0, "photos_per_person": 4, "batch_size": 16}
    settings = small(**{**sizes, "epochs": 12, "head_lr": 0.01, "schedule": "cosine"} | changes)
    learner = coloured_people.learner(settings)
    before = measured(learner.network, learner.task)["validation_auc"]
    card = coloured_people.train(tmp_path / "run", settings)
    history = read_history(tmp_path / "run")
    best = max(entry["validation_auc"] for entry in history)
    assert 1 - best < (1 - before) / 2
    assert best > 0.9
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]
    assert all(entry["spread"] > 1.5 for entry in history)
    assert history[-1]["active_triplets"] < history[0]["active_triplets"]
    assert card.results["validation_tar"] == max(entry["validation_tar"] for entry in history)


@pytest.mark.parametrize("count", [2, 3])
def test_classes_are_learned_in_batches_of_four(count: int, tmp_path: Path) -> None:
    """Plain colours: the model knows them when the run ends, and names new pictures rightly."""
    data = make_classes(tmp_path / "colours", *[10] * count)
    card = data.train(tmp_path / "run", classes(epochs=4))
    history = read_history(tmp_path / "run")
    assert len(history) == 4
    assert all(entry["photos"] == 8 * count for entry in history)
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]
    assert history[-1]["accuracy"] > history[0]["accuracy"]
    assert history[-1]["accuracy"] > 0.9
    assert max(entry["validation_accuracy"] for entry in history) == 1
    assert {"cross_entropy_loss", "validation_loss", "validation_auc"} <= history[0].keys()
    best = max(history, key=lambda entry: entry["validation_accuracy"])  # the first of equals
    assert card.training["epoch"] == best["epoch"]
    assert card.results == {key: value for key, value in best.items() if key.startswith("validation_")}
    assert (card.mode, card.alignment, card.threshold) == ("classify", "none", {})
    assert (card.classes, card.embedding_dim, card.input_size) == ([f"c{i}" for i in range(count)], count, 32)

    new = make_classes(tmp_path / "new", *[12] * count).task(classes()).train
    paths = [path for path in new.paths if path.stem >= "10"]
    found = list(classify(paths, load_classifier(str(tmp_path / "run"))))
    right = [
        result.probabilities is not None and card.classes[result.probabilities.argmax()] == path.parent.name
        for result, path in zip(found, paths, strict=True)
    ]
    assert sum(right) > 0.9 * len(right)


def test_classes_are_judged_on_a_folder_that_is_given(some_classes: Data, tmp_path: Path) -> None:
    judge = make_classes(tmp_path / "judge", 2, 0, 1, first=50)
    some_classes.train(tmp_path / "run", classes(epochs=1), validation=judge.folder)
    run = read_run(tmp_path / "run")
    assert (run["train"]["classes"], run["train"]["photos"]) == (3, 15)
    assert (run["validation"]["folder"], run["validation"]["photos"]) == ("judge", 3)
    some_classes.train(tmp_path / "two", classes(epochs=1, limit_people=2), validation=judge.folder)
    assert read_run(tmp_path / "two")["train"]["classes"] == read_run(tmp_path / "two")["validation"]["classes"] == 2


# ------------------------------------------------------------------------------------------------- what a run leaves


def test_a_run_leaves_its_settings_history_plot_checkpoint_and_a_model(whole_run: Path) -> None:
    names = [".lock", CHECKPOINT, HISTORY, PLOT, "model.json", RUN, "weights.safetensors"]
    assert sorted(path.name for path in whole_run.iterdir()) == names
    assert settings_of(whole_run) == SMALL
    run = read_run(whole_run)
    assert (run["train"]["people"], run["train"]["photos"], run["validation"]["people"]) == (8, 32, 4)
    assert run["versions"]["torch"] == torch.__version__
    assert (run["threads"], run["processes"]) == (1, 1)
    assert (whole_run / PLOT).read_bytes().startswith(b"\x89PNG")
    for number, entry in enumerate(read_history(whole_run)):
        assert entry["epoch"] == number
        assert entry["photos"] == 32
        assert entry["loss"] == entry["triplet_loss"] > 0
        assert 0 <= entry["active_triplets"] <= 1
        assert entry["lr"] == {**{f"stage{i}": 5e-4 for i in range(4)}, "head": 2e-3}
        assert {"spread", "validation_auc", "validation_tar"} <= entry.keys()


def test_the_model_is_that_of_the_epoch_with_the_best_tar(whole_run: Path, some_faces: Data) -> None:
    network, card = load_model(whole_run)
    best = max(read_history(whole_run), key=lambda entry: entry["validation_tar"])  # the first of equals
    assert card.training["epoch"] == best["epoch"]
    found = measured(network, some_faces.task(SMALL))
    for key in ("validation_auc", "validation_tar"):
        assert found[key] == pytest.approx(best[key], abs=1e-6)
        assert card.results[key] == best[key]
    assert card.threshold["distance"] == pytest.approx(found["validation_threshold"], abs=1e-5)
    assert card.threshold["pairs"] == 96  # 6 pairs of 4 people, 4 x 4 photos each
    assert card.threshold["source"] == "no false match in 96 pairs of 4 validation people, too few for FMR 0.1 %"


def test_the_same_settings_give_the_same_run(whole_run: Path, some_faces: Data, tmp_path: Path) -> None:
    some_faces.train(tmp_path / "run", SMALL)
    assert_same_run(whole_run, tmp_path / "run")


def test_another_seed_gives_another_run(whole_run: Path, some_faces: Data, tmp_path: Path) -> None:
    some_faces.train(tmp_path / "run", small(seed=1, epochs=1))
    assert read_history(tmp_path / "run")[0]["loss"] != read_history(whole_run)[0]["loss"]


def test_only_as_many_people_as_asked_take_part(some_faces: Data, tmp_path: Path) -> None:
    some_faces.train(tmp_path / "run", small(limit_people=5, epochs=1))
    run = read_run(tmp_path / "run")
    assert (run["train"]["people"], run["validation"]["people"]) == (5, 4)
    assert read_history(tmp_path / "run")[0]["photos"] <= 20


def test_photos_of_a_list_are_not_trained_on(whole_run: Path, some_faces: Data, tmp_path: Path) -> None:
    (tmp_path / "out.txt").write_text("faces/p004/000.png\nfaces/p000/003.png\n", "utf-8")
    some_faces.train(tmp_path / "run", small(epochs=1), exclude=tmp_path / "out.txt")
    runs = [read_run(path) for path in (whole_run, tmp_path / "run")]
    for part, photos in (("train", 31), ("validation", 15)):
        assert runs[1][part]["photos"] == photos
        assert runs[0][part]["fingerprint"] != runs[1][part]["fingerprint"]


def test_whoever_watches_hears_of_every_batch(some_faces: Data, tmp_path: Path) -> None:
    heard: list[Progress] = []
    some_faces.train(tmp_path / "run", SMALL, watch=heard.append)
    assert [(p.epoch, p.epochs, p.batch, p.batches) for p in heard] == [
        (e, 2, b, 4) for e in (0, 1) for b in (1, 2, 3, 4)
    ]
    assert all(p.photos_per_second > 0 and math.isfinite(p.loss) for p in heard)


def test_bf16_learns_in_float32_weights(some_faces: Data, tmp_path: Path) -> None:
    some_faces.train(tmp_path / "run", small(precision="bf16", epochs=1))
    network, _ = load_model(tmp_path / "run")
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert math.isfinite(read_history(tmp_path / "run")[0]["loss"])


# ------------------------------------------------------------------------------------------------- stopping early


def test_a_run_stops_when_nothing_gets_better_and_keeps_the_best(some_classes: Data, tmp_path: Path) -> None:
    """Rates of next to nothing: the first epoch stays the best."""
    settings = classes(lr=1e-20, head_lr=1e-20, early_stopping=2, epochs=9)
    card = some_classes.train(tmp_path / "run", settings)
    history = read_history(tmp_path / "run")
    assert [entry["epoch"] for entry in history] == [0, 1, 2]
    assert card.training["epoch"] == 0
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    heard: list[Progress] = []
    assert some_classes.train(tmp_path / "run", settings, resume=True, watch=heard.append) == card
    assert heard == []
    assert {path: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


# ------------------------------------------------------------------------------------------------- going wrong


def test_a_loss_that_is_no_number_ends_the_run(some_faces: Data, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"the loss became nan; lower `lr` or `head_lr`"):
        some_faces.train(tmp_path / "run", small(lr=1e30, head_lr=1e30))


def collapsed_model(folder: Path, data: Data) -> Path:
    """A model to which all faces look alike: the same large number is added to every embedding."""
    torch.manual_seed(0)
    network = Network("squeezenet1_1", 16)
    with torch.no_grad():
        network.head[1].bias.fill_(1e4)  # type: ignore[union-attr]
    entry = {"epoch": 0, "validation_auc": 0.5, "validation_tar": 0.0, "validation_threshold": 0.0}
    entry["validation_impostors"] = 1000
    save_model(network, folder, make_card(network, data.task(SMALL), "collapsed", {}, entry))
    return folder


def test_a_collapse_is_warned_of_in_one_line(
    some_faces: Data, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    start = collapsed_model(tmp_path / "collapsed", some_faces)
    card = some_faces.train(tmp_path / "run", small(init=str(start), epochs=1, lr=1e-9, head_lr=1e-9))
    (message,) = warnings_of(caplog)
    assert message.startswith("training has collapsed: different people have a mean distance of 0.00")
    assert "`mining=all` or `mining=semihard`, a lower `lr`, or `margin=0`" in message
    assert "\n" not in message
    assert read_history(tmp_path / "run")[0]["spread"] < 0.01
    assert card == load_model(tmp_path / "run")[1], "the model is poor, but sound"


@pytest.mark.parametrize(("strategy", "told"), [("partial", True), ("full", False)])
def test_frozen_random_stages_are_told(
    strategy: str, told: bool, some_faces: Data, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "facerec"):
        some_faces.train(tmp_path / "run", small(strategy=strategy, init="random", epochs=1))
    assert ("frozen stages stay random" in caplog.text) == told


def test_a_sound_run_is_not_called_collapsed(
    some_faces: Data, some_classes: Data, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    some_faces.train(tmp_path / "faces", small(epochs=1))
    some_classes.train(tmp_path / "classes", classes(epochs=1))
    assert warnings_of(caplog) == []


def test_a_photo_that_cannot_be_read_does_not_end_a_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    people = make_people(tmp_path / "people", 8, 4)
    (people.folder / "p006" / "002.png").write_bytes(b"not an image")
    people.train(tmp_path / "metric", small(epochs=1))
    assert read_history(tmp_path / "metric")[0]["photos"] == 15
    assert warnings_of(caplog)[0].startswith(f"left out: {people.folder / 'p006' / '002.png'}")

    pictures = make_classes(tmp_path / "pictures", 5, 5)
    task = pictures.task(classes(batch_size=8))
    for path in (task.train.paths[0], task.validation.paths[1]):
        path.write_bytes(b"not an image")
    pictures.train(tmp_path / "classes", classes(batch_size=8, epochs=1))
    (entry,) = read_history(tmp_path / "classes")
    assert entry["photos"] == 7
    assert "validation_auc" not in entry, "only one class can be judged"


# ------------------------------------------------------------------------------------------------- real faces


@pytest.mark.real
@pytest.mark.parametrize("strategy", ["full", "frozen", "partial", "discriminative", "gradual", "scratch"])
def test_every_strategy_trains_on_real_faces_under_the_triplet_loss_alone(
    strategy: str, shared_data: Path, tmp_path: Path
) -> None:
    lists = {path.stem: path.read_text("utf-8").split() for path in (shared_data / "splits").glob("*.txt")}
    validation = lists["validation"]
    few = write_splits(tmp_path / "splits", **lists | {"validation": validation[:6], "rest": validation[6:]})
    options = ["--backbone", "squeezenet1_1", "--init", "random", "--embedding-dim", 32, "--train-size", 64]
    options += ["--epochs", 1, "--limit-people", 12, "--people-per-batch", 8, "--mining", "all"]
    words = [shared_data / "faces", "--aligned", "--splits", few, "--strategy", strategy, "--output", tmp_path / "run"]
    result = running.run("train", *words, *options, "--json")
    assert result.exit_code == 0, result.stderr
    (line,) = running.json_lines(result)
    assert line["fingerprint"] == load_model(tmp_path / "run")[1].fingerprint
    (entry,) = read_history(tmp_path / "run")
    # Random features of faces are better than chance already: 0.56 to 0.63 with seeds 0 to 2, in float32 and bfloat16.
    assert entry["spread"] > 1
    assert entry["validation_auc"] > 0.5
    assert read_run(tmp_path / "run")["train"]["people"] == 12
