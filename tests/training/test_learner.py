"""One step of learning: gradients, averages, memories and teachers."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy_model
from safetensors.torch import load_file
from toy_faces import write_teacher
from toy_runs import SMALL, Data, classes, given_photos, measured, read_history, small

from facerec.errors import ConfigError
from facerec.models.checkpoint import load_model
from facerec.training.distillation import LiveTeacher
from facerec.training.learner import Learner
from facerec.training.losses import Objective
from facerec.training.plan import make_plan
from facerec.training.run_folder import CHECKPOINT
from facerec.training.settings import TrainSettings
from facerec.training.state import State

pytestmark = pytest.mark.usefixtures("one_thread")

Grads = dict[str, torch.Tensor]


def grads_of_steps(learner: Learner, count: int) -> list[Grads]:
    """The gradients each step of the first `count` batches uses, before any clipping; the weights stay."""
    found: list[Grads] = []

    def note(*_: object) -> None:
        parameters = learner.network.named_parameters()
        found.append({name: p.grad.clone() for name, p in parameters if p.grad is not None})

    learner.optimizer.register_step_pre_hook(note)
    learner.network.eval()
    state = State()
    for given in given_photos(learner)[:count]:
        state.count(*learner.step(given, state, count))
    return found


def assert_close(one: Grads, other: Grads) -> None:
    assert one.keys() == other.keys()
    for name in one:
        scale = other[name].abs().max().item()
        torch.testing.assert_close(one[name], other[name], rtol=1e-3, atol=1e-4 * scale + 1e-9)


# ------------------------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize("mode", ["metric", "classify"])
def test_accumulated_gradients_are_those_of_the_mean_loss(mode: str, some_faces: Data, some_classes: Data) -> None:
    """Three batches, two to a step: a step of two, and one of the one that is left."""
    changes: dict[str, Any] = {"optimizer": "sgd", "lr": 1e-30, "head_lr": 1e-30}
    data, settings = (some_faces, small(**changes)) if mode == "metric" else (some_classes, classes(**changes))
    first, second, third = grads_of_steps(data.learner(settings), 3)
    both, rest = grads_of_steps(data.learner(dataclasses.replace(settings, accumulate=2)), 3)
    assert_close(both, {name: (first[name] + second[name]) / 2 for name in first})
    assert_close(rest, third)


def test_a_long_gradient_is_scaled_down_and_a_short_one_left(some_faces: Data) -> None:
    changes: dict[str, Any] = {"optimizer": "sgd", "lr": 1e-30, "head_lr": 1e-30}
    (plain,) = grads_of_steps(some_faces.learner(small(**changes)), 1)
    length = torch.stack([grad.square().sum() for grad in plain.values()]).sum().sqrt().item()
    (clipped,) = grads_of_steps(some_faces.learner(small(clip_norm=length / 4, **changes)), 1)
    assert_close(clipped, {name: grad / 4 for name, grad in plain.items()})
    (left,) = grads_of_steps(some_faces.learner(small(clip_norm=length * 4, **changes)), 1)
    assert_close(left, plain)


def test_the_loss_is_the_weighted_sum_of_its_terms(some_faces: Data, tmp_path: Path) -> None:
    teacher = write_teacher(tmp_path / "teacher.npz", some_faces.task(SMALL).train)
    settings = small(loss="triplet + 0.1*cross-entropy + 2*arcface", teacher=(str(teacher),), teacher_weight=0.3)
    learner = some_faces.learner(settings)
    facts, photos = learner.step(given_photos(learner)[0], State(), 4)
    weighted = [facts["triplet_loss"], 0.1 * facts["cross_entropy_loss"], 2 * facts["arcface_loss"]]
    assert facts["loss"] == pytest.approx(sum(weighted) + 0.3 * facts["teacher_loss"], rel=1e-5)
    assert photos == 8
    names = [group["name"] for group in learner.optimizer.param_groups]
    assert names == ["stage0", "stage1", "stage2", "stage3", "head", "loss", "teacher"]


def test_class_vectors_learn_and_the_card_does_not_hold_them(some_faces: Data, tmp_path: Path) -> None:
    settings = small(loss="arcface", batch_size=8, epochs=1)
    torch.manual_seed(settings.seed)
    some_faces.train(tmp_path / "run", settings)
    stored = {name: t for name, t in load_file(tmp_path / "run" / CHECKPOINT).items() if name.startswith("loss/")}
    (after,) = [tensor for tensor in stored.values() if tensor.ndim == 2]
    assert sorted(after.shape) == [8, 16], "a vector for each person who is trained on"
    before = next(parameter for parameter in some_faces.learner(settings).objective.parameters())
    assert not torch.equal(before, after)
    assert not [name for name in load_file(tmp_path / "run" / "weights.safetensors") if "loss" in name]


def test_a_memory_adds_the_pairs_of_earlier_batches(some_faces: Data) -> None:
    """The second batch's loss is over triplets of both, whose outputs are compared here in one batch."""
    settings = small(memory=16, lr=1e-30, head_lr=1e-30, loss="contrastive")
    learner, state = some_faces.learner(settings), State()
    learner.network.eval()
    batches = given_photos(learner)[:2]
    with torch.no_grad():
        rows = [learner.network.output(learner.network.suffix(given.x, 0)) for given in batches]
    labels = [learner.labels[given.positions] for given in batches]
    losses = []
    for given in batches:
        facts, photos = learner.step(given, state, 4)
        state.count(facts, photos)
        losses.append(facts["loss"])
    assert losses[0] == pytest.approx(contrastive_by_loop(rows[0], labels[0], rows[0], labels[0]), rel=1e-4)
    both = contrastive_by_loop(rows[1], labels[1], torch.cat(rows[::-1]), torch.cat(labels[::-1]))
    assert losses[1] == pytest.approx(both, rel=1e-4)
    assert losses[1] != pytest.approx(contrastive_by_loop(rows[1], labels[1], rows[1], labels[1]), rel=1e-3)


def contrastive_by_loop(rows: torch.Tensor, labels: torch.Tensor, others: torch.Tensor, theirs: torch.Tensor) -> float:
    """The mean d of positive pairs that are apart, and the mean 1 - d of negative ones within 1; not with itself."""
    positives, negatives = [], []
    for i, row in enumerate(rows):
        for j, other in enumerate(others):
            if i == j:
                continue
            d = float((row - other).square().sum())
            if labels[i] == theirs[j]:
                positives.append(d)
            elif d < 1:
                negatives.append(1 - d)
    return float(np.mean(positives)) + (float(np.mean(negatives)) if negatives else 0.0)


# ------------------------------------------------------------------------------------------------- averages


def test_the_moving_average_is_what_is_validated_and_saved(some_faces: Data, tmp_path: Path) -> None:
    """Every step's weights are noted, and averaged by hand; the first step begins the average."""
    settings = small(ema=0.8, epochs=1)
    learner, state = some_faces.learner(settings), State()
    expected: dict[str, torch.Tensor] = {}
    for given in given_photos(learner):
        state.count(*learner.step(given, state, 4))
        for name, tensor in learner.network.state_dict().items():
            if tensor.is_floating_point():
                expected[name] = 0.8 * expected[name] + 0.2 * tensor if name in expected else tensor.clone()
    some_faces.train(tmp_path / "run", settings)
    network, _ = load_model(tmp_path / "run")
    for name, tensor in expected.items():
        torch.testing.assert_close(network.state_dict()[name], tensor, rtol=1e-5, atol=1e-6)
    (entry,) = read_history(tmp_path / "run")
    assert measured(network, learner.task)["validation_auc"] == pytest.approx(entry["validation_auc"], abs=1e-6)
    moved = learner.network.state_dict()["head.0.weight"]
    assert not torch.allclose(moved, expected["head.0.weight"], atol=1e-5)


# ------------------------------------------------------------------------------------------------- teachers


def teacher_projections(learner: Learner) -> list[torch.Tensor]:
    return [loss.projection.weight for loss in learner.teacher_losses]  # type: ignore[union-attr,misc]


def test_the_loss_of_several_teachers_is_their_mean(some_faces: Data, tmp_path: Path) -> None:
    stored = str(write_teacher(tmp_path / "teacher.npz", some_faces.task(SMALL).train))
    live = str(toy_model.write_model(tmp_path))
    learner = some_faces.learner(small(loss="none", teacher=(stored, live), batch_size=8))
    given = given_photos(learner)[0]
    with torch.no_grad():
        outputs = learner.network.output(learner.network.suffix(given.x, 0))
        parts = [
            loss(outputs, teacher.rows(given.positions, given.pixels)).item()
            for teacher, loss in zip(learner.teachers, learner.teacher_losses, strict=True)
        ]
    facts, _ = learner.step(given, State(), 4)
    assert facts["teacher_loss"] == facts["loss"] == pytest.approx(np.mean(parts), rel=1e-5)
    assert parts[0] != pytest.approx(parts[1], rel=1e-2)


def test_a_teacher_that_is_run_sees_the_pixels_of_the_batch(some_faces: Data, tmp_path: Path) -> None:
    learner = some_faces.learner(small(teacher=(str(toy_model.write_model(tmp_path)),), views=1, strategy="frozen"))
    (teacher,) = learner.teachers
    assert isinstance(teacher, LiveTeacher)
    for _ in range(2):  # with rows of frozen stages that could be kept, too
        given = given_photos(learner)[1]
        assert given.pixels is not None
        rows = teacher.rows(given.positions, given.pixels).numpy()
        expected = [toy_model.vector(pixels.permute(1, 2, 0).numpy()) for pixels in given.pixels]
        np.testing.assert_allclose(rows, expected, atol=1e-3)
    learner.feed.close()


@pytest.mark.parametrize("mode", ["metric", "classify"])
def test_runs_with_a_model_folder_and_a_file_as_teachers(
    mode: str, some_faces: Data, some_classes: Data, tiny_model: Path, tmp_path: Path
) -> None:
    teachers = (str(tiny_model), str(toy_model.write_model(tmp_path)))
    data, settings = (some_faces, small(epochs=1)) if mode == "metric" else (some_classes, classes(epochs=1))
    data.train(tmp_path / "run", dataclasses.replace(settings, teacher=teachers, teacher_loss="cosine"))
    (entry,) = read_history(tmp_path / "run")
    assert 0 < entry["teacher_loss"] < 2
    stored = load_file(tmp_path / "run" / CHECKPOINT)
    width = 16 if mode == "metric" else 512  # the embedding, or the features before the classes
    assert stored["teacher/0.projection.weight"].shape == (32, width)
    assert stored["teacher/1.projection.weight"].shape == (toy_model.DIMENSION, width)


def test_a_run_that_starts_from_another_goes_on_with_its_teachers_projection(some_faces: Data, tmp_path: Path) -> None:
    settings = small(teacher=(str(write_teacher(tmp_path / "teacher.npz", some_faces.task(SMALL).train)),), epochs=1)
    some_faces.train(tmp_path / "first", settings)
    stored = load_file(tmp_path / "first" / CHECKPOINT)["teacher/0.projection.weight"]
    following = some_faces.learner(dataclasses.replace(settings, init=str(tmp_path / "first")))
    assert torch.equal(teacher_projections(following)[0], stored)
    assert not torch.equal(teacher_projections(some_faces.learner(settings))[0], stored)


def test_a_run_goes_on_only_in_the_form_of_head_it_began_with(
    whole_run: Path, some_faces: Data, tmp_path: Path
) -> None:
    """A head that does not fit would be left out in silence; to classify, a new head is what is asked for."""
    with pytest.raises(ConfigError, match=r"give .*`head_layers=1` and `pooling=mean`"):
        some_faces.learner(small(init=str(whole_run), pooling="flat", train_size=0))
    settings = small(pooling="flat", train_size=0, epochs=1)
    some_faces.train(tmp_path / "flat", settings)
    first = some_faces.learner(dataclasses.replace(settings, init=str(tmp_path / "flat"))).network
    stored = load_model(tmp_path / "flat")[0]
    for name, tensor in stored.head.state_dict().items():
        assert torch.equal(first.head.state_dict()[name], tensor), name
    with pytest.raises(ConfigError, match=r"give .* and `pooling=flat`"):
        some_faces.learner(small(init=str(tmp_path / "flat")))


def test_a_teacher_is_run_in_the_precision_of_the_run(some_faces: Data, tmp_path: Path) -> None:
    """bfloat16 has 8 bits: a hundredth off, where float32 is not."""
    path = str(toy_model.write_model(tmp_path))
    off = {}
    for precision in ("fp32", "bf16"):
        learner = some_faces.learner(small(teacher=(path,), precision=precision))
        given = given_photos(learner)[0]
        rows = learner.teachers[0].rows(given.positions, given.pixels).numpy()
        assert given.pixels is not None
        expected = [toy_model.vector(pixels.permute(1, 2, 0).numpy()) for pixels in given.pixels]
        off[precision] = float(np.abs(rows - expected).max())
    assert off["fp32"] < 1e-5
    assert off["bf16"] < 0.02


def test_the_same_seed_begins_with_the_same_weights(some_faces: Data) -> None:
    def weights(settings: TrainSettings) -> torch.Tensor:
        return some_faces.learner(settings).network.state_dict()["head.0.weight"]

    assert torch.equal(weights(SMALL), weights(SMALL))
    assert not torch.equal(weights(SMALL), weights(small(seed=1)))
    assert list(Objective(make_plan(SMALL).loss, 5).parameters()) == [], "triplets have nothing to learn of their own"
