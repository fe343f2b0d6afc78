"""The teacher's file and the losses against it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from oracles import relational_loss_by_loop

from facerec.distill import RELATIONAL_WEIGHT, TeacherLoss, read_teacher
from facerec.errors import DataError

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


def identity_loss(dimension: int) -> TeacherLoss:
    loss = TeacherLoss(dimension, dimension)
    with torch.no_grad():
        loss.projection.weight.copy_(torch.eye(dimension))
    return loss


def test_a_student_that_repeats_the_teacher_pays_nothing() -> None:
    rows = unit_rows(9, 5, seed=0)
    assert identity_loss(5)(rows, rows).item() == pytest.approx(0, abs=1e-6)
    assert identity_loss(5)(-rows, rows).item() == pytest.approx(2, abs=1e-5), "opposite: all of the cosine part"


def test_cosine_and_relational_parts_agree_with_loops() -> None:
    student, teacher = unit_rows(7, 6, seed=1), unit_rows(7, 4, seed=2)
    loss = TeacherLoss(6, 4)
    projected = (student @ loss.projection.weight.T).tolist()
    cosines = [np.dot(p, t) / np.linalg.norm(p) for p, t in zip(projected, teacher.tolist(), strict=True)]
    relational = relational_loss_by_loop(student.tolist(), teacher.tolist())
    expected = 1 - np.mean(cosines) + RELATIONAL_WEIGHT * relational
    assert loss(student, teacher).item() == pytest.approx(expected, abs=1e-5)


def test_the_relational_part_sees_what_the_projection_hides() -> None:
    """The student doubles its space and shuffles the half the projection ignores: only the second part can object."""
    teacher = unit_rows(6, 3, seed=4)
    hidden = unit_rows(6, 3, seed=5)
    loss = TeacherLoss(6, 3)
    with torch.no_grad():
        loss.projection.weight.copy_(torch.cat([torch.eye(3), torch.zeros(3, 3)], dim=1))
    student = torch.cat([teacher, hidden], dim=1) / 2**0.5
    relational = relational_loss_by_loop(student.tolist(), teacher.tolist())
    assert relational > 0.01
    assert loss(student, teacher).item() == pytest.approx(RELATIONAL_WEIGHT * relational, abs=1e-5)


def test_both_the_student_and_the_projection_get_a_gradient() -> None:
    student, loss = unit_rows(5, 6, seed=1).requires_grad_(), TeacherLoss(6, 4)
    loss(student, unit_rows(5, 4, seed=2)).backward()
    assert student.grad is not None
    assert loss.projection.weight.grad is not None
    assert student.grad.abs().sum() > 0
    assert loss.projection.weight.grad.abs().sum() > 0
