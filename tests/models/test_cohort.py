"""facerec.models.cohort: strangers' embeddings in a model folder."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from toy_model import CARD

from facerec.errors import ModelError
from facerec.models.cohort import COHORT, load_cohort, save_cohort

MINE = dataclasses.replace(CARD, embedding_dim=8, fingerprint="0123456789abcdef")


def rows(count: int, dim: int = 8) -> np.ndarray:
    vectors = np.random.default_rng(0).normal(size=(count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_a_cohort_comes_back_to_half_precision_and_of_unit_length(tmp_path: Path) -> None:
    save_cohort(tmp_path, MINE, rows(50), "made up")
    found = load_cohort(tmp_path, MINE)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, rows(50), atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert [path.name for path in tmp_path.iterdir()] == [COHORT]


def test_a_model_without_a_cohort_has_none(tmp_path: Path) -> None:
    assert load_cohort(tmp_path, MINE).shape == (0, 8)


def test_another_models_cohort_is_refused(tmp_path: Path) -> None:
    save_cohort(tmp_path, MINE, rows(5), "made up")
    with pytest.raises(ModelError, match=r"cohort.safetensors: is of another model \(0123456789abcdef\)"):
        load_cohort(tmp_path, dataclasses.replace(MINE, fingerprint="f" * 16))


@pytest.mark.parametrize(
    "content",
    [
        {"embeddings": rows(5, 9).astype(np.float16)},
        {"embeddings": 3 * rows(5).astype(np.float16)},
        {"embeddings": np.full((5, 8), np.nan, np.float16)},
        {"embeddings": np.ones(8, np.float16)},
        {"others": rows(5).astype(np.float16)},
    ],
    ids=["longer rows", "no unit rows", "not finite", "one row", "no rows"],
)
def test_what_is_no_cohort_is_one_clear_line(content: dict[str, np.ndarray], tmp_path: Path) -> None:
    save_file(content, tmp_path / COHORT, {"fingerprint": MINE.fingerprint})
    with pytest.raises(ModelError, match=r"cohort.safetensors: .*; copy the model"):
        load_cohort(tmp_path, MINE)


@pytest.mark.parametrize("kept", [0, 40, 400])
def test_a_file_that_is_cut_off_is_one_clear_line(kept: int, tmp_path: Path) -> None:
    save_cohort(tmp_path, MINE, rows(50), "made up")
    whole = (tmp_path / COHORT).read_bytes()
    (tmp_path / COHORT).write_bytes(whole[:kept])
    with pytest.raises(ModelError, match=r"cohort.safetensors: broken or unreadable"):
        load_cohort(tmp_path, MINE)


def test_a_model_file_has_its_cohort_beside_it(tmp_path: Path) -> None:
    save_cohort(tmp_path / "fast.xml", MINE, rows(5), "made up")
    assert load_cohort(tmp_path / "fast.xml", MINE).shape == (5, 8)
    assert [path.name for path in tmp_path.iterdir()] == ["fast.cohort.safetensors"]
    assert not len(load_cohort(tmp_path, MINE))


def test_a_cohort_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / f"{COHORT}.draft").mkdir()
    with pytest.raises(ModelError, match=r"cohort.safetensors: cannot be written .*; free its disk") as caught:
        save_cohort(tmp_path, CARD, np.eye(CARD.embedding_dim, dtype=np.float32), "made up")
    assert "\n" not in str(caught.value)
