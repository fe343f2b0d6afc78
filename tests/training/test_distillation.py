"""Teachers, stored and run, and the losses against them."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
import torch.nn.functional as F
import toy_faces
from training_oracles import cosine, relational_loss_by_loop, squared_distance

from facerec.errors import ConfigError, DataError
from facerec.inference.embedder import Embedder
from facerec.inference.loading import load_embedder
from facerec.training.distillation import TERMS, LiveTeacher, StoredTeacher, TeacherLoss, read_teacher
from facerec.training.losses import read_terms
from facerec.training.plan import make_plan
from facerec.training.settings import TrainSettings

KEYS = ["faces/b/1.webp", "faces/a/2.webp"]
NAMES = np.array(["faces/a/1.webp", "faces/a/2.webp", "faces/b/1.webp"])
ROWS = np.array([[1, 0, 0], [0, 3, 4], [2, 0, 0]], np.float16)


def unit_rows(count: int, dimension: int, seed: int) -> torch.Tensor:
    rows = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return F.normalize(torch.from_numpy(rows), dim=1)


def write(path: Path, **arrays: Any) -> Path:
    np.savez_compressed(path, **arrays)
    return path


def test_the_rows_asked_for_in_their_order_made_unit_length(tmp_path: Path) -> None:
    teacher = read_teacher(write(tmp_path / "t.npz", names=NAMES, embeddings=ROWS), KEYS)
    assert teacher.dtype == torch.float32
    torch.testing.assert_close(teacher, torch.tensor([[1, 0, 0], [0, 0.6, 0.8]]))


def damaged(path: Path) -> Path:
    """A sound archive whose compressed bytes were changed."""
    content = bytearray(write(path, names=NAMES, embeddings=np.random.default_rng(0).random((3, 4000))).read_bytes())
    content[len(content) // 2 : len(content) // 2 + 2000] = bytes(2000)
    path.write_bytes(content)
    return path


def cut_off(path: Path) -> Path:
    content = write(path, names=NAMES, embeddings=ROWS).read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def plain_array(path: Path) -> Path:
    with path.open("wb") as file:
        np.save(file, ROWS)
    return path


def text(path: Path, content: str) -> Path:
    path.write_text(content, "utf-8")
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    return path


BAD_FILES = {
    "missing": lambda path: path,
    "a folder": folder,
    "empty": lambda path: text(path, ""),
    "text": lambda path: text(path, "names, embeddings\n"),
    "one array": plain_array,
    "cut off": cut_off,
    "damaged": damaged,
    "without names": lambda path: write(path, embeddings=ROWS),
    "without embeddings": lambda path: write(path, names=NAMES),
    "pickled": lambda path: write(path, names=NAMES.astype(object), embeddings=ROWS),
    "not a matrix": lambda path: write(path, names=NAMES, embeddings=ROWS[0]),
    "a row too few": lambda path: write(path, names=NAMES, embeddings=ROWS[:2]),
    "one name for all": lambda path: write(path, names=NAMES[0], embeddings=ROWS),
    "words": lambda path: write(path, names=NAMES, embeddings=ROWS.astype(str)),
    "zero": lambda path: write(path, names=NAMES, embeddings=np.zeros((3, 3))),
    "not finite": lambda path: write(path, names=NAMES, embeddings=np.full((3, 3), np.nan)),
}


@pytest.mark.parametrize("make", BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_one_line_that_names_it(make: Any, tmp_path: Path) -> None:
    path = make(tmp_path / "teacher.npz")
    with pytest.raises(DataError) as caught:
        read_teacher(path, KEYS)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_photo_the_teacher_has_not_seen_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "t.npz", names=NAMES, embeddings=ROWS)
    with pytest.raises(DataError, match=r"no embedding of faces/c/1.webp and 1 more"):
        read_teacher(path, [*KEYS, "faces/c/1.webp", "faces/d/1.webp"])


def test_stored_rows_are_given_by_position_whatever_the_pixels(tmp_path: Path) -> None:
    teacher = StoredTeacher(write(tmp_path / "t.npz", names=NAMES, embeddings=ROWS), KEYS)
    assert teacher.dim == 3
    rows = torch.tensor([[0, 0.6, 0.8], [1, 0, 0], [0, 0.6, 0.8]])
    torch.testing.assert_close(teacher.rows(np.array([1, 0, 1]), None), rows)
    assert torch.equal(teacher.rows(np.array([0]), torch.zeros(1, 3, 4, 4)), teacher.rows(np.array([0]), None))


# ---------------------------------------------------------------------------------------- a teacher that is run


def crops(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)


def live(embedder: Embedder) -> LiveTeacher:
    return LiveTeacher(embedder.embed, embedder.card.embedding_dim, embedder.card.input_size)


@pytest.mark.parametrize("kind", ["model folder", "ONNX file"])
def test_a_live_teacher_says_what_its_embedder_says_of_the_same_crops(kind: str, tiny_model: Path, toy: Path) -> None:
    embedder = load_embedder(str(tiny_model if kind == "model folder" else toy))
    teacher, images = live(embedder), crops(3, embedder.card.input_size)
    rows = teacher.rows(np.arange(3), torch.from_numpy(images).permute(0, 3, 1, 2))
    assert rows.shape == (3, teacher.dim)
    assert rows.dtype == torch.float32
    assert np.array_equal(rows.numpy(), embedder.embed(images))


@pytest.mark.parametrize("size", [56, 80, 112, 224])
def test_a_live_teacher_is_shown_the_pixels_at_its_own_size(size: int) -> None:
    """Every colour stays what it was where the picture is of one colour, and as uint8."""
    shown: list[np.ndarray] = []

    def embed(images: np.ndarray) -> np.ndarray:
        shown.append(images)
        return np.ones((len(images), 1), np.float32)

    pixels = torch.tensor([[0, 128, 255], [7, 8, 9]], dtype=torch.uint8)[:, :, None, None].repeat(1, 1, size, size)
    assert LiveTeacher(embed, 1, 112).rows(np.arange(2), pixels).shape == (2, 1)
    assert shown[0].dtype == np.uint8
    assert shown[0].shape == (2, 112, 112, 3)
    assert (shown[0] == pixels[:, :, 0, 0].numpy()[:, None, None]).all()


def test_a_picture_scaled_for_a_live_teacher_is_the_picture_pillow_scales() -> None:
    """Within a grey level or two: both take the mean over the pixels that become one."""
    shown: list[np.ndarray] = []
    teacher = LiveTeacher(lambda images: shown.append(images) or np.ones((1, 1), np.float32), 1, 64)
    image = toy_faces.photo(0, 0)  # 128 x 128
    teacher.rows(np.arange(1), torch.from_numpy(image.copy()).permute(2, 0, 1)[None])
    pillow = np.asarray(PIL.Image.fromarray(image).resize((64, 64), PIL.Image.Resampling.BILINEAR))
    assert np.abs(shown[0][0].astype(int) - pillow).max() <= 2


def test_a_live_teacher_without_pixels_is_a_mistake_of_the_caller(tiny_model: Path) -> None:
    with pytest.raises(AssertionError, match="needs the pixels"):
        live(load_embedder(str(tiny_model))).rows(np.arange(1), None)


# ---------------------------------------------------------------------------------------- the losses against a teacher

WEIGHTS = [
    {"cosine": 1.0},
    {"mse": 1.0},
    {"relational": 1.0},
    {"cosine": 1.0, "relational": 10.0},
    {"mse": 0.5, "cosine": 2.0, "relational": 3.0},
]


def parts_by_loop(student: torch.Tensor, teacher: torch.Tensor, projection: torch.Tensor) -> dict[str, float]:
    projected = (student @ projection.T).tolist()
    pairs = list(zip(projected, teacher.tolist(), strict=True))
    return {
        "cosine": 1 - sum(cosine(p, t) for p, t in pairs) / len(pairs),
        "mse": sum(squared_distance(p, t) for p, t in pairs) / len(pairs),
        "relational": relational_loss_by_loop(student.tolist(), teacher.tolist()),
    }


def identity_loss(dimension: int, weights: dict[str, float]) -> TeacherLoss:
    loss = TeacherLoss(dimension, dimension, weights)
    with torch.no_grad():
        loss.projection.weight.copy_(torch.eye(dimension))
    return loss


@pytest.mark.parametrize("weights", WEIGHTS, ids="+".join)
def test_a_student_that_repeats_the_teacher_pays_nothing(weights: dict[str, float]) -> None:
    rows = unit_rows(9, 5, seed=0)
    assert identity_loss(5, weights)(rows, rows).item() == pytest.approx(0, abs=1e-6)
    opposite = weights.get("cosine", 0) * 2 + weights.get("mse", 0) * 4
    assert identity_loss(5, weights)(-rows, rows).item() == pytest.approx(opposite, abs=1e-5)


@pytest.mark.parametrize("weights", WEIGHTS, ids="+".join)
def test_every_part_and_sum_of_parts_agrees_with_loops(weights: dict[str, float]) -> None:
    student, teacher = unit_rows(7, 6, seed=1), unit_rows(7, 4, seed=2)
    loss = TeacherLoss(6, 4, weights)
    parts = parts_by_loop(student, teacher, loss.projection.weight.detach())
    expected = sum(weight * parts[name] for name, weight in weights.items())
    assert loss(student, teacher).item() == pytest.approx(expected, abs=1e-5)


def test_the_default_is_the_cosine_and_ten_times_the_relational_part() -> None:
    assert read_terms(TrainSettings().teacher_loss, TERMS, "teacher loss") == {"cosine": 1.0, "relational": 10.0}
    with pytest.raises(ConfigError, match="no teacher loss 'kl'; known are cosine, mse, relational, direct"):
        read_terms("kl", TERMS, "teacher loss")


def test_the_direct_part_has_no_projection_to_learn() -> None:
    student, loss = unit_rows(5, 4, seed=1).requires_grad_(), TeacherLoss(4, 4, {"direct": 2.0})
    teacher = unit_rows(5, 4, seed=2)
    expected = 2 * (1 - sum(cosine(s, t) for s, t in zip(student.tolist(), teacher.tolist(), strict=True)) / 5)
    found = loss(student, teacher)
    assert found.item() == pytest.approx(expected, abs=1e-5)
    found.backward()
    assert student.grad is not None
    assert student.grad.abs().sum() > 0
    assert loss.projection.weight.grad is None


def test_the_direct_part_is_refused_between_embeddings_of_unequal_length(tmp_path: Path) -> None:
    stored = write(tmp_path / "t.npz", names=NAMES, embeddings=ROWS)
    settings = TrainSettings(teacher=(str(stored),), teacher_loss="direct + relational", embedding_dim=6)
    with pytest.raises(ConfigError, match=r"have 3 numbers, the student's 6; .* give `embedding_dim=3`"):
        make_plan(settings)
    assert make_plan(dataclasses.replace(settings, embedding_dim=3)).teachers[0].dim == 3


def test_the_relational_part_sees_what_the_projection_hides() -> None:
    """The student doubles its space and shuffles the half the projection ignores: only the second part can object."""
    teacher = unit_rows(6, 3, seed=4)
    hidden = unit_rows(6, 3, seed=5)
    student = torch.cat([teacher, hidden], dim=1) / 2**0.5
    for weights, expected in (
        ({"cosine": 1.0}, 0.0),
        ({"cosine": 1.0, "relational": 10.0}, 10 * relational_loss_by_loop(student.tolist(), teacher.tolist())),
    ):
        loss = TeacherLoss(6, 3, weights)
        with torch.no_grad():
            loss.projection.weight.copy_(torch.cat([torch.eye(3), torch.zeros(3, 3)], dim=1))
        assert loss(student, teacher).item() == pytest.approx(expected, abs=1e-5)
    assert expected > 0.1


@pytest.mark.parametrize("weights", WEIGHTS, ids="+".join)
def test_the_student_and_a_projection_in_use_get_a_gradient(weights: dict[str, float]) -> None:
    student, loss = unit_rows(5, 6, seed=1).requires_grad_(), TeacherLoss(6, 4, weights)
    loss(student, unit_rows(5, 4, seed=2)).backward()
    assert student.grad is not None
    assert student.grad.abs().sum() > 0
    grad = loss.projection.weight.grad
    assert (grad is not None and bool(grad.abs().sum() > 0)) == (set(weights) != {"relational"})
