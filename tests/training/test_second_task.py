"""An attribute learned beside people or classes: two heads on one backbone, from the file to answers on new photos."""

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import running
import torch
import torch.nn.functional as F
import toy_model
from safetensors.torch import load_file
from toy_faces import write_teacher
from toy_lamp import both, lamp, switch_lamps
from toy_runs import (
    SMALL,
    Data,
    assert_same_run,
    classes,
    given_photos,
    interrupt_at,
    lamp_of,
    make_classes,
    make_people,
    read_history,
    read_run,
    repeat_first_photo,
    small,
    write_lamp,
)

from facerec.errors import ModelError, TrainingError
from facerec.inference.loading import load_classifier, load_embedder
from facerec.inference.pipeline import classify
from facerec.models.checkpoint import describe, load_model, load_module, save_model
from facerec.models.network import Network
from facerec.training.initialisation import starts_whole
from facerec.training.learner import Learner
from facerec.training.plan import make_plan
from facerec.training.run_folder import CHECKPOINT, RUN
from facerec.training.state import State
from facerec.training.tasks import read_task

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def lit_classes(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """Three colours of 10 pictures each, the lamp on in every second one, and lamp.csv beside them. Do not change."""
    data = switch_lamps(make_classes(tmp_path_factory.mktemp("lit") / "colours", 10, 10, 10))
    write_lamp(data.folder.parent / "lamp.csv", data)
    return data


@pytest.fixture(scope="module")
def two_heads(lit_faces: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of both tasks. Do not change.

    Fast heads on a slow backbone, rates that fall to 0 and training at the size of validation: what the heads have
    learned then lasts, and is learned with any seed and in any arithmetic.
    """
    output = tmp_path_factory.mktemp("two") / "heads"
    rates: dict[str, Any] = {"lr": 1e-4, "head_lr": 0.1, "schedule": "cosine"}
    lit_faces.train(output, both(lit_faces, epochs=8, people_per_batch=8, train_size=0, **rates))
    return output


# ------------------------------------------------------------------------------------------------- learning


def test_both_tasks_are_learned_and_judged_on_strangers(two_heads: Path) -> None:
    """As far as chance goes, the lamp is on in half of the photos."""
    history = read_history(two_heads)
    assert history[-1]["attribute_loss"] < 0.7 * history[0]["attribute_loss"]
    assert history[-1]["triplet_loss"] < history[0]["triplet_loss"]
    assert max(entry["validation_attribute_accuracy"] for entry in history) > 0.9
    for entry in history:
        assert entry["loss"] == pytest.approx(entry["triplet_loss"] + entry["attribute_loss"], rel=1e-5)
        assert entry["lr"]["attribute"] == entry["lr"]["head"]
        assert {"attribute_accuracy", "validation_attribute_loss", "validation_attribute_auc"} <= entry.keys()


def test_the_model_is_that_of_the_best_epoch_of_the_first_task(two_heads: Path) -> None:
    network, card = load_model(two_heads)
    best = max(read_history(two_heads), key=lambda entry: entry["validation_tar"])  # the first of equals
    assert card.training["epoch"] == best["epoch"]
    assert card.results == {key: best[key] for key in card.results}
    assert {"validation_tar", "validation_auc", "validation_attribute_accuracy"} <= card.results.keys()
    assert (card.attribute, card.attribute_values) == ("lamp", ["off", "on"])
    assert network.attribute_head is not None
    assert tuple(network.attribute_head.weight.shape) == (2, network.width)


def test_the_run_says_how_many_photos_have_which_value(two_heads: Path) -> None:
    run = read_run(two_heads)
    assert run["train"]["attribute"]["name"] == "lamp"
    assert run["train"]["attribute"]["values"] == {"off": 24, "on": 24}
    assert run["validation"]["attribute"]["values"] == {"off": 12, "on": 12}


def test_classes_and_an_attribute_are_learned_together(lit_classes: Data, tmp_path: Path) -> None:
    rates: dict[str, Any] = {"lr": 1e-4, "head_lr": 0.02, "schedule": "cosine"}  # as for two_heads
    card = lit_classes.train(tmp_path / "run", classes(attribute=lamp(lit_classes), epochs=12, **rates))
    history = read_history(tmp_path / "run")
    assert max(entry["validation_accuracy"] for entry in history) > 0.8
    assert max(entry["validation_attribute_accuracy"] for entry in history) > 0.8
    assert (card.classes, card.attribute_values) == (["c0", "c1", "c2"], ["off", "on"])
    assert {"validation_accuracy", "validation_attribute_accuracy"} <= card.results.keys()


@pytest.mark.parametrize("weight", [0.0, 0.25, 3.0])
def test_the_loss_is_the_first_tasks_and_weight_times_the_cross_entropy(weight: float, lit_faces: Data) -> None:
    """A plan refuses the weight 0; put into a plan here, it shows that nothing else is added."""
    plan = lit_faces.plan(both(lit_faces))
    plan = dataclasses.replace(plan, settings=dataclasses.replace(plan.settings, attribute_weight=weight))
    learner = Learner(plan, read_task(lit_faces.folder, plan))
    learner.network.eval()
    given = given_photos(learner)[0]
    second = learner.task.second
    assert second is not None
    features = learner.network.suffix(given.x, 0)
    rows = learner.network.attribute(features).double()
    expected = 0.0
    for row, position in zip(rows, given.positions, strict=True):
        value = second.classes.index(lamp_of(learner.task.train.paths[position]))
        expected -= (row[value] - row.logsumexp(0)).item() / len(rows)
    facts, _ = learner.step(given, State(), 4)
    assert facts["attribute_loss"] == pytest.approx(expected, rel=1e-5)
    assert facts["loss"] == pytest.approx(facts["triplet_loss"] + weight * expected, rel=1e-5)


def test_without_an_attribute_a_network_has_no_second_head(lit_faces: Data) -> None:
    """The same names, so the same fingerprints; and the same weights in what both have."""
    one, two = (lit_faces.learner(settings).network for settings in (SMALL, both(lit_faces)))
    first, second = one.state_dict(), two.state_dict()
    assert second.keys() - first.keys() == {"attribute_head.weight", "attribute_head.bias"}
    assert all(torch.equal(second[name], tensor) for name, tensor in first.items())
    assert one.attribute(torch.zeros(3, one.width)).shape == (3, 0)


def test_kept_rows_of_frozen_stages_serve_both_heads(lit_faces: Data, tmp_path: Path) -> None:
    for name, gb in (("kept", 1.0), ("computed", 0.0)):
        lit_faces.train(tmp_path / name, both(lit_faces, strategy="frozen", views=1, cache_gb=gb, epochs=3))
    for one, other in zip(*(read_history(tmp_path / name) for name in ("kept", "computed")), strict=True):
        for key in ("attribute_loss", "validation_attribute_loss", "triplet_loss", "validation_auc"):
            assert one[key] == pytest.approx(other[key], rel=1e-4, abs=1e-5)


def test_a_second_task_beside_teachers(lit_faces: Data, tmp_path: Path) -> None:
    stored = write_teacher(tmp_path / "teacher.npz", lit_faces.task(SMALL).train)
    teachers = (str(stored), str(toy_model.write_model(tmp_path)))
    lit_faces.train(tmp_path / "run", both(lit_faces, loss="none", teacher=teachers, batch_size=12, epochs=1))
    (entry,) = read_history(tmp_path / "run")
    assert entry["loss"] == pytest.approx(entry["teacher_loss"] + entry["attribute_loss"], rel=1e-5)


# ------------------------------------------------------------------------------------------------- going on


@pytest.mark.parametrize("changes", [{}, {"ema": 0.7, "strategy": "gradual"}, {"accumulate": 3}], ids=str)
def test_an_interrupted_run_of_two_tasks_resumes_to_the_same_numbers(
    changes: dict[str, Any], lit_faces: Data, tmp_path: Path
) -> None:
    settings = both(lit_faces, **changes)
    lit_faces.train(tmp_path / "whole", settings)
    with pytest.raises(TrainingError, match="go on with `resume`"):
        lit_faces.train(tmp_path / "run", settings, watch=interrupt_at(1, 2))
    lit_faces.train(tmp_path / "run", settings, resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def test_another_value_of_a_photo_is_no_resumption(lit_faces: Data, tmp_path: Path) -> None:
    path = Path(shutil.copy(lamp(lit_faces), tmp_path / "lamp.csv"))
    settings = small(attribute=str(path), epochs=1)
    lit_faces.train(tmp_path / "run", settings)
    path.write_text(path.read_text("utf-8").replace("p007/000.png,on", "p007/000.png,off"), "utf-8")
    with pytest.raises(TrainingError, match="cannot resume, its train differs in attribute; give what it was started"):
        lit_faces.train(tmp_path / "run", settings, resume=True)


def test_a_run_from_before_there_were_attributes_resumes(whole_run: Path, some_faces: Data, tmp_path: Path) -> None:
    shutil.copytree(whole_run, tmp_path / "run")
    run = read_run(tmp_path / "run")
    for name in ("attribute", "attribute_weight"):
        del run["settings"][name]
    (tmp_path / "run" / RUN).write_text(json.dumps(run), "utf-8")
    some_faces.train(tmp_path / "run", SMALL, resume=True)
    with pytest.raises(TrainingError, match="its settings differs in attribute_weight;"):
        some_faces.train(tmp_path / "run", small(attribute_weight=0.5), resume=True)


def test_a_head_is_taken_over_for_the_same_attribute_alone(two_heads: Path, lit_faces: Data, tmp_path: Path) -> None:
    renamed = tmp_path / "renamed.csv"
    renamed.write_text(Path(lamp(lit_faces)).read_text("utf-8").replace("photo,lamp", "photo,sun"), "utf-8")
    before = load_model(two_heads)[0].state_dict()
    for path, same in ((lamp(lit_faces), True), (str(renamed), False)):
        settings = small(attribute=path, init=str(two_heads))
        learner = lit_faces.learner(settings)
        after = learner.network.state_dict()
        assert torch.equal(after["attribute_head.weight"], before["attribute_head.weight"]) == same
        assert torch.equal(after["head.0.weight"], before["head.0.weight"])
        assert starts_whole(learner.plan, (), learner.task.second) == same, "else its new head would be kept untrained"
    without = small(init=str(two_heads))
    assert starts_whole(make_plan(without), (), None)
    assert "attribute_head.weight" not in lit_faces.learner(without).network.state_dict()


def test_a_model_that_no_epoch_makes_better_keeps_both_heads(tmp_path: Path) -> None:
    """The start has a TAR of 1, which no epoch can better. Whether the lamp was learned does not matter here."""
    data = repeat_first_photo(switch_lamps(make_people(tmp_path, 12, 4)))
    write_lamp(tmp_path / "lamp.csv", data)
    start = tmp_path / "start"
    assert data.train(start, both(data, epochs=1)).results["validation_tar"] == 1
    settings = both(data, init=str(start), lr=1e-20, head_lr=1e-20, epochs=1)
    card = data.train(tmp_path / "run", settings)
    assert card.training["epoch"] == -1
    assert (card.attribute, card.results) == ("lamp", load_model(start)[1].results)
    begun, kept = (load_file(folder / "weights.safetensors") for folder in (start, tmp_path / "run"))
    assert kept.keys() == begun.keys()
    assert all(torch.equal(kept[name], begun[name]) for name in begun)


# ------------------------------------------------------------------------------------------------- answers


def test_the_attribute_of_new_faces_is_told(two_heads: Path, tmp_path: Path) -> None:
    """Of people nobody trained on; the mean of the logits of a crop and its mirror image, by hand.

    By the network after the last step: the best epoch of the first task may be one before the lamp was learned.
    """
    network, card = load_model(two_heads)
    load_module(two_heads / CHECKPOINT, "network", network)
    save_model(network, tmp_path / "last", card)
    new = switch_lamps(Data(make_people(tmp_path, 16, 2).folder))
    paths = sorted(new.folder.glob("p01[2-5]/*.png"))
    result = running.run("classify", *paths, "--attribute", "--aligned", "--model", tmp_path / "last", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = running.json_lines(result)
    assert sum(line["class"] == lamp_of(path) for line, path in zip(lines, paths, strict=True)) >= 7
    assert len(lines) == 8
    head = network.attribute_head
    assert head is not None
    for line, path in zip(lines, paths, strict=True):
        crop = torch.from_numpy(np.asarray(PIL.Image.open(path))[8:120, 8:120].copy()).permute(2, 0, 1)[None]
        with torch.inference_mode():
            views = [network.prefix(pixels, len(network.stages)) for pixels in (crop, crop.flip(3))]
            logits = torch.stack([F.linear(view, head.weight, head.bias) for view in views]).mean(0)
        expected = dict(zip(card.attribute_values, logits.softmax(1)[0].tolist(), strict=True))
        assert line["probabilities"] == pytest.approx(expected, abs=1e-4)


def test_the_attribute_of_pictures_is_told(lit_classes: Data, tmp_path: Path) -> None:
    lit_classes.train(tmp_path / "run", classes(attribute=lamp(lit_classes), epochs=1))
    classifier = load_classifier(str(tmp_path / "run"), attribute=True)
    assert (classifier.classes, classifier.of_faces) == (["off", "on"], False)
    assert load_classifier(str(tmp_path / "run")).classes == ["c0", "c1", "c2"]
    path = next(lit_classes.folder.glob("c1/*.png"))
    (text,) = running.run("classify", path, "--attribute", "--model", tmp_path / "run").stdout.splitlines()
    assert re.fullmatch(re.escape(f"{path}: ") + r"(on|off) \(\d+\.\d %\)", text)
    (text,) = running.run("classify", path, "--model", tmp_path / "run").stdout.splitlines()
    assert re.fullmatch(re.escape(f"{path}: ") + r"c\d \(\d+\.\d %\)", text)


def test_a_photo_without_a_face_has_no_attribute(two_heads: Path, small_samples: Path, tmp_path: Path) -> None:
    PIL.Image.new("RGB", (200, 200), "grey").save(tmp_path / "wall.png")
    face = next((small_samples / "people").glob("*/*.jpg"))
    result = running.run("classify", tmp_path / "wall.png", face, "--attribute", "--model", two_heads, "--json")
    assert result.exit_code == 1
    none, some = running.json_lines(result)
    assert (none["class"], none["probabilities"]) == (None, {})
    assert "no face found" in none["error"]
    assert some["class"] in ("off", "on")
    with pytest.raises(ValueError, match="a detector is for a classifier of faces, which needs one"):
        next(classify([face], load_classifier(str(two_heads), attribute=True)))


def test_a_model_that_tells_no_attribute_is_refused(two_heads: Path, tiny_model: Path) -> None:
    for model in (tiny_model, "default"):
        with pytest.raises(ModelError, match="tells no attribute; give a model trained with an `attribute`"):
            load_classifier(str(model), attribute=True)
    result = running.run("classify", "a.jpg", "--attribute", "--model", tiny_model)
    assert (result.exit_code, result.stdout) == (2, "")
    with pytest.raises(ModelError, match="embeds faces and knows no classes"):
        load_classifier(str(two_heads))


def test_embeddings_are_what_they_were_without_the_second_head(two_heads: Path, tmp_path: Path) -> None:
    network, card = load_model(two_heads)
    network.attributes, network.attribute_head = 0, None
    save_model(network, tmp_path / "one", dataclasses.replace(card, attribute="", attribute_values=[]))
    crops = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), np.uint8)
    one, two = (load_embedder(str(folder)) for folder in (tmp_path / "one", two_heads))
    np.testing.assert_array_equal(one.embed(crops), two.embed(crops))
    assert one.card.fingerprint != two.card.fingerprint


def test_models_shows_the_attribute(two_heads: Path) -> None:
    assert "  attribute: lamp (off, on)" in running.run("models", "--model", two_heads).stdout.splitlines()


# ------------------------------------------------------------------------------------------------- cards


def test_another_attribute_is_another_fingerprint(tmp_path: Path) -> None:
    network = Network("squeezenet1_1", 4, attributes=2)
    attributes = (("lamp", ["off", "on"]), ("lamp", ["on", "off"]), ("sun", ["off", "on"]))
    cards = [save_model(network, tmp_path, describe(network, "x", (), attribute)) for attribute in attributes]
    assert len({card.fingerprint for card in cards}) == 3


@pytest.mark.parametrize(
    "changes",
    [{"attribute": ""}, {"attribute_values": []}, {"attribute_values": ["on"]}, {"attribute_values": ["a"] * 2}],
)
def test_a_card_with_half_an_attribute_is_refused(changes: dict[str, Any], two_heads: Path, tmp_path: Path) -> None:
    shutil.copytree(two_heads, tmp_path / "model")
    path = tmp_path / "model" / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")
    with pytest.raises(ModelError, match="must have a name and two different values or more; correct the card"):
        load_model(tmp_path / "model")


def test_a_second_head_that_is_missing_is_a_broken_folder(tmp_path: Path) -> None:
    network = Network("squeezenet1_1", 4)
    save_model(network, tmp_path, describe(network, "x", (), ("lamp", ["off", "on"])))
    with pytest.raises(ModelError, match="weights do not fit a squeezenet1_1"):
        load_model(tmp_path)


def test_a_checkpoint_holds_the_second_head(two_heads: Path) -> None:
    stored = load_file(two_heads / CHECKPOINT)
    assert "network/attribute_head.weight" in stored
