"""Where a training run starts: at random, from a model and with which stages; what is frozen stays."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from toy_runs import (
    CLASSES,
    SMALL,
    Data,
    classes,
    make_people,
    measured,
    read_history,
    repeat_first_photo,
    small,
)

from facerec.errors import ConfigError, ModelError
from facerec.models.card import read_card, write_card
from facerec.models.checkpoint import CARD, load_model, save_model
from facerec.models.cohort import cohort_path, load_cohort, save_cohort
from facerec.models.places import SHIPPED_MODEL
from facerec.training.initialisation import starts_whole
from facerec.training.plan import make_plan, plan_run
from facerec.training.run_folder import CHECKPOINT

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_head_for_other_classes_is_not_taken_over(some_classes: Data, tmp_path: Path) -> None:
    some_classes.train(tmp_path / "first", classes(epochs=1))
    shutil.copytree(some_classes.folder, tmp_path / "others")
    (tmp_path / "others" / "c1").rename(tmp_path / "others" / "renamed")
    first = load_model(tmp_path / "first")[0].state_dict()
    for data, same in ((some_classes, True), (Data(tmp_path / "others"), False)):
        following = data.learner(classes(init=str(tmp_path / "first"))).network.state_dict()
        assert torch.equal(following["head.0.weight"], first["head.0.weight"]) == same
        assert all(torch.equal(following[name], first[name]) for name in first if name.startswith("stages"))


def test_another_input_size_must_be_asked_for(some_classes: Data, tmp_path: Path) -> None:
    some_classes.train(tmp_path / "first", classes(epochs=1, input_size=48))
    start = str(tmp_path / "first")
    with pytest.raises(ConfigError, match="was trained at 48 pixels; give `input_size=48`"):
        some_classes.learner(classes(init=start, input_size=0))
    assert some_classes.learner(classes(init=start, input_size=64)).network.input_size == 64


def test_training_goes_on_from_a_model_folder(whole_run: Path, some_faces: Data, tmp_path: Path) -> None:
    """With a rate of next to nothing it stays that model, but for the BatchNorm statistics of the head."""
    some_faces.train(tmp_path / "run", small(init=str(whole_run), strategy="frozen", head_lr=1e-20, epochs=1))
    before, after = load_file(whole_run / "weights.safetensors"), load_file(tmp_path / "run" / CHECKPOINT)
    assert [name for name in sorted(before) if not torch.equal(before[name], after[f"network/{name}"])] == [
        "head.1.num_batches_tracked",
        "head.1.running_mean",
        "head.1.running_var",
    ]


@pytest.fixture(scope="module")
def easy_faces(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """As some_faces, but validation people whom every model tells apart. Do not change."""
    return repeat_first_photo(make_people(tmp_path_factory.mktemp("easy"), 12, 4))


@pytest.fixture(scope="module")
def perfect_run(easy_faces: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on easy_faces. No epoch of another run can have a better TAR than its model. Do not change."""
    output = tmp_path_factory.mktemp("perfect") / "run"
    assert easy_faces.train(output, small(epochs=1)).results["validation_tar"] == 1
    return output


def test_a_model_that_no_epoch_makes_better_stays_as_it_was(
    perfect_run: Path, easy_faces: Data, tmp_path: Path
) -> None:
    """No epoch is better than the start, and the second one in a row ends the run."""
    settings = small(init=str(perfect_run), lr=1e-20, head_lr=1e-20, epochs=9, early_stopping=2)
    card = easy_faces.train(tmp_path / "run", settings)
    assert len(read_history(tmp_path / "run")) == 2
    assert card.training["epoch"] == -1
    assert card.results == load_model(perfect_run)[1].results
    begun, kept = (load_file(folder / "weights.safetensors") for folder in (perfect_run, tmp_path / "run"))
    assert all(torch.equal(kept[name], begun[name]) for name in begun)  # statistics of BatchNorm, too


def well_known(folder: Path, model: Path) -> Path:
    """A copy of a model, with a threshold of many people, and strangers."""
    shutil.copytree(model, folder)
    threshold, probability = {"distance": 0.7, "source": "many"}, {"slope": -9, "threshold_slope": 7, "intercept": 1}
    facts = {"threshold": threshold, "probability": probability, "licence": "to look at", "source": "here"}
    card = dataclasses.replace(read_card(folder / CARD), **facts)
    write_card(card, folder / CARD)
    rows = np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32)
    save_cohort(folder, card, rows / np.linalg.norm(rows, axis=1, keepdims=True), "five people")
    return folder


def test_a_run_keeps_what_is_known_of_the_model_it_keeps(perfect_run: Path, easy_faces: Data, tmp_path: Path) -> None:
    known = well_known(tmp_path / "known", perfect_run)
    card = easy_faces.train(tmp_path / "run", small(init=str(known), lr=1e-20, head_lr=1e-20, epochs=1))
    assert card.training["epoch"] == -1
    for part in ("threshold", "probability", "licence", "source"):
        assert getattr(card, part) == getattr(read_card(known / CARD), part)
    rows = load_cohort(tmp_path / "run", card)
    assert len(rows) == 5
    assert np.array_equal(rows, load_cohort(known, read_card(known / CARD)))


def test_strangers_of_a_model_that_was_there_before_are_not_taken_for_its_own(
    perfect_run: Path, easy_faces: Data, tmp_path: Path
) -> None:
    other = dataclasses.replace(read_card(perfect_run / CARD), fingerprint="another")
    (tmp_path / "run").mkdir()
    save_cohort(tmp_path / "run", other, np.eye(16, dtype=np.float32), "left behind")
    card = easy_faces.train(tmp_path / "run", small(init=str(perfect_run), lr=1e-20, head_lr=1e-20, epochs=1))
    assert card.training["epoch"] == -1
    assert len(load_cohort(tmp_path / "run", card)) == 0


def test_a_model_with_broken_strangers_is_refused_before_any_work(whole_run: Path, tmp_path: Path) -> None:
    known = well_known(tmp_path / "known", whole_run)
    cohort_path(known).write_bytes(b"broken")
    with pytest.raises(ModelError, match=r"cohort.safetensors: broken or unreadable .* copy the model again"):
        make_plan(small(init=str(known)))
    make_plan(classes(init=str(known)))  # which has no use for them
    plan_run(whole_run, small(init=str(known)), resume=True)  # nor, perhaps, has a run that goes on
    assert not (tmp_path / "run").exists()


def test_a_flat_head_is_refused_pictures_of_another_size(some_classes: Data, tmp_path: Path) -> None:
    settings = small(init="default", train_size=0)
    with pytest.raises(ConfigError, match="flat pooling, made for 112 pixels; give `input_size=112`"):
        make_plan(dataclasses.replace(settings, input_size=96), chosen=("input_size",))
    assert make_plan(settings, chosen=()).input_size == 112
    some_classes.train(tmp_path / "flat", classes(pooling="flat", input_size=48, epochs=1))
    with pytest.raises(ConfigError, match="flat pooling, made for 48 pixels; give `input_size=48`"):
        some_classes.learner(classes(pooling="flat", input_size=64, init=str(tmp_path / "flat")))


def blind_model(folder: Path, model: Path) -> Path:
    """folder/blind, a copy of a model that gives all faces one and the same embedding."""
    network, card = load_model(model)
    norm = network.head[1]
    assert isinstance(norm, torch.nn.BatchNorm1d)
    torch.nn.init.zeros_(norm.weight)
    torch.nn.init.ones_(norm.bias)
    save_model(network, folder / "blind", card)
    return folder / "blind"


@pytest.mark.parametrize("form", [{}, {"input_size": 64}], ids=str)
def test_of_another_model_it_knows_nothing(
    perfect_run: Path, easy_faces: Data, tmp_path: Path, form: dict[str, int]
) -> None:
    """That it became by an epoch that is better, or is from the start by its form.

    The start has a TAR of 0. A step of learning betters it: class vectors pull apart even embeddings that are equal.
    """
    known, output, seen = well_known(tmp_path / "known", blind_model(tmp_path, perfect_run)), tmp_path / "run", []
    settings = small(init=str(known), loss="arcface", batch_size=8, head_lr=0.1, epochs=4, **form)
    card = easy_faces.train(
        output, settings, watch=lambda _: seen.append(len(load_cohort(output, read_card(output / CARD))))
    )
    assert seen[0] == (0 if form else 5)
    assert card.training["epoch"] >= 0
    assert (len(load_cohort(output, card)), card.probability) == (0, {})
    assert card.threshold.get("source") != "many"


def test_a_run_that_starts_from_half_a_model_has_nothing_to_keep(whole_run: Path, some_classes: Data) -> None:
    assert not starts_whole(make_plan(classes(init=str(whole_run))), some_classes.task(CLASSES).classes)
    assert not starts_whole(make_plan(SMALL), ())
    assert starts_whole(make_plan(small(init=str(whole_run))), ())
    assert starts_whole(make_plan(small(init="default", train_size=0), chosen=()), ())


def test_training_goes_on_from_the_shipped_model(some_faces: Data) -> None:
    card = read_card(SHIPPED_MODEL / "model.json")
    facts = {name: getattr(card, name) for name in ("backbone", "kept_stages", "embedding_dim", "pooling")}
    settings = small(init="default", train_size=0, **facts)
    begun = some_faces.learner(settings).network.state_dict()
    assert all(torch.equal(begun[name], tensor) for name, tensor in load_model(SHIPPED_MODEL)[0].state_dict().items())


def test_a_classifier_starts_from_what_a_metric_model_sees(
    whole_run: Path, some_faces: Data, some_classes: Data, tmp_path: Path
) -> None:
    """And the other way round: the stages are taken, the head is new."""
    some_classes.train(tmp_path / "classes", classes(init=str(whole_run), strategy="frozen", epochs=1))
    some_faces.train(tmp_path / "faces", small(init=str(tmp_path / "classes"), strategy="frozen", epochs=1))
    first, then, last = (load_model(run)[0] for run in (whole_run, tmp_path / "classes", tmp_path / "faces"))
    for name, tensor in first.stages.state_dict().items():
        assert torch.equal(tensor, then.stages.state_dict()[name])
        assert torch.equal(tensor, last.stages.state_dict()[name])
    assert then.dim == 3
    assert not torch.equal(first.head.state_dict()["0.weight"], last.head.state_dict()["0.weight"])


def test_the_strategy_scratch_starts_at_random_whatever_the_default(some_faces: Data) -> None:
    scratch = some_faces.learner(small(strategy="scratch", init="imagenet")).network.state_dict()
    fresh = some_faces.learner(small(strategy="full", init="random")).network.state_dict()
    assert all(torch.equal(scratch[name], fresh[name]) for name in fresh)


def test_first_stages_alone_under_a_deeper_head(some_faces: Data, tmp_path: Path) -> None:
    some_faces.train(tmp_path / "run", small(kept_stages=2, head_layers=3, epochs=1))
    network, card = load_model(tmp_path / "run")
    assert (card.kept_stages, card.head_layers) == (2, 3)
    assert [name for name, _ in network.named_stages()] == ["stage0", "stage1"]
    widths = [tuple(layer.weight.shape) for layer in network.head if isinstance(layer, torch.nn.Linear)]
    assert widths == [(512, 128), (512, 512), (16, 512)]
    assert measured(network, some_faces.task(SMALL))["validation_auc"] == pytest.approx(
        read_history(tmp_path / "run")[0]["validation_auc"], abs=1e-6
    )


def test_gradual_unfreezing_shows_in_rates_and_weights(some_faces: Data, tmp_path: Path) -> None:
    """A stage more in every second epoch, from the last one down; what is frozen does not move."""
    settings = small(strategy="gradual", unfreeze_epochs=2, epochs=5)
    some_faces.train(tmp_path / "run", settings)
    trained = [{name for name, lr in entry["lr"].items() if lr > 0} for entry in read_history(tmp_path / "run")]
    expected = [{"head"}, {"head"}, {"head", "stage3"}, {"head", "stage3"}, {"head", "stage3", "stage2"}]
    assert trained == expected
    learner = some_faces.learner(settings)
    fresh = {name: tensor.clone() for name, tensor in learner.network.state_dict().items()}
    state = learner.load(tmp_path / "run" / CHECKPOINT)
    assert state.epoch == 5
    after = learner.network.state_dict()
    for name in fresh:
        frozen = name.startswith(("stages.stage0", "stages.stage1", "mean", "std"))
        if not frozen and name.endswith("weight"):
            assert not torch.equal(fresh[name], after[name]), name
        elif frozen:
            assert torch.equal(fresh[name], after[name]), name
