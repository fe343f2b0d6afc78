"""Both runtimes against vectors worked out by hand, and the border they share."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_model
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from facerec.errors import ModelError
from facerec.inference.embedder import BATCH, Embedder
from facerec.inference.loading import load_embedder, model_card
from facerec.inference.openvino_runtime import OpenVINOEmbedder
from facerec.inference.torch_runtime import TorchEmbedder
from facerec.models.card import ModelCard, read_card, write_card
from facerec.models.checkpoint import load_model
from facerec.models.running import SIZES, batches


def some_crops(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(count).integers(0, 256, (count, 112, 112, 3), np.uint8)


def embedder_of(kind: str, toy: Path, tiny_model: Path) -> Embedder:
    return TorchEmbedder(tiny_model) if kind == "torch" else load_embedder(str(toy if kind == "onnx" else tiny_model))


@pytest.fixture(params=["onnx", "torch", "converted"])
def embedder(request: pytest.FixtureRequest, toy: Path, tiny_model: Path) -> Embedder:
    return embedder_of(request.param, toy, tiny_model)


# ---------------------------------------------------------------------------------------------------- both


@pytest.mark.parametrize("count", [0, 1, 5, BATCH + 3])
def test_rows_are_unit_vectors(embedder: Embedder, count: int) -> None:
    vectors = embedder.embed(some_crops(count))
    assert vectors.shape == (count, embedder.card.embedding_dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_a_face_s_vector_does_not_depend_on_its_company(embedder: Embedder) -> None:
    crops = some_crops(BATCH + 3)
    alone = np.concatenate([embedder.embed(crops[i : i + 1]) for i in (0, 7, BATCH, BATCH + 2)])
    np.testing.assert_allclose(embedder.embed(crops)[[0, 7, BATCH, BATCH + 2]], alone, atol=1e-5)


@pytest.mark.parametrize("kind", ["onnx", "torch", "converted"])
def test_any_number_of_crops_reaches_the_network_in_few_shapes(
    kind: str, toy: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The libraries keep a program, and its memory, for each shape."""
    embedder: Any = embedder_of(kind, toy, tiny_model)
    lengths = []

    def counted(pixels: Any) -> Any:
        lengths.append(len(pixels))
        return pixels

    if kind == "torch":
        network = embedder._network
        monkeypatch.setattr(embedder, "_network", lambda pixels: network(counted(pixels)))
    else:
        run = embedder._requests.run
        monkeypatch.setattr(embedder._requests, "run", lambda inputs: run(map(counted, inputs)))
    for count in (1, 2, 3, 5, 7, 12, 19):
        assert len(embedder.embed(np.zeros((count, 112, 112, 3), np.uint8) + np.uint8(9))) == count
    assert set(lengths) <= {16, 8, 4, 1}
    assert len(set(lengths)) <= len(SIZES)


@given(st.integers(0, 300), st.sampled_from([SIZES, (16, 4), (8,)]))
def test_batches_hold_each_input_once_with_little_padding(count: int, sizes: tuple[int, ...]) -> None:
    parts = list(batches(count, sizes))
    assert [i for part, _ in parts for i in range(part.start, part.stop)] == list(range(count))
    for part, size in parts:
        held = part.stop - part.start
        assert size in sizes
        assert held <= size
        assert 4 * (size - held) <= size or size == min(sizes)


@pytest.mark.parametrize(
    "crops",
    [
        np.zeros((2, 96, 96, 3), np.uint8),
        np.zeros((2, 3, 112, 112), np.uint8),
        np.zeros((112, 112, 3), np.uint8),
        np.zeros((2, 112, 112, 3), np.float32),
    ],
    ids=["size", "channels first", "one crop", "float"],
)
def test_crops_of_another_kind_are_a_programmer_s_error(embedder: Embedder, crops: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match=r"expected \(N, \(112, 112, 3\)\) uint8, got"):
        embedder.embed(crops)


# ---------------------------------------------------------------------------------------------------- torch


def test_torch_agrees_with_the_layers_one_by_one(tiny_model: Path) -> None:
    import torch

    crops = some_crops(3)
    network, card = load_model(tiny_model)
    views = []
    for pixels in (crops, np.ascontiguousarray(crops[:, :, ::-1])):
        with torch.no_grad():
            x = (torch.from_numpy(pixels.astype(np.float32)) - torch.tensor(card.mean)) / torch.tensor(card.std)
            x = x.permute(0, 3, 1, 2)  # (3, 3, 112, 112)
            for _, stage in network.named_stages():
                x = stage(x)
            x = network.head(x.mean(dim=(2, 3))).numpy().astype(np.float64)
        views.append(x / np.sqrt((x**2).sum(axis=1, keepdims=True)))
    assert card.mirrored
    expected = (views[0] + views[1]) / np.sqrt(((views[0] + views[1]) ** 2).sum(axis=1, keepdims=True))
    found = TorchEmbedder(tiny_model).embed(crops)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found - views[0]).max() > 1e-3
    np.testing.assert_allclose(
        TorchEmbedder(tiny_model).embed(np.ascontiguousarray(crops[:, :, ::-1])), found, atol=1e-5
    )


# ---------------------------------------------------------------------------------------------------- ONNX


@pytest.mark.parametrize("batch", ["N", 1, 3], ids=["any batch", "one at a time", "three at a time"])
def test_onnx_agrees_with_arithmetic(batch: str | int, tmp_path: Path) -> None:
    crops = np.concatenate([some_crops(3), [toy_model.crop(1, 2)]])
    vectors = OpenVINOEmbedder(toy_model.write_model(tmp_path, batch=batch)).embed(crops)
    np.testing.assert_allclose(vectors, [toy_model.vector(crop) for crop in crops], atol=1e-5)


def test_a_card_may_ask_for_the_mirror_image_too(tmp_path: Path) -> None:
    crops = some_crops(3)
    plain = OpenVINOEmbedder(toy_model.write_model(tmp_path))
    both = OpenVINOEmbedder(toy_model.write_model(tmp_path / "both", mirrored=True))
    total = plain.embed(crops) + plain.embed(np.ascontiguousarray(crops[:, :, ::-1]))
    np.testing.assert_allclose(both.embed(crops), total / np.linalg.norm(total, axis=1, keepdims=True), atol=1e-5)
    assert both.card.fingerprint != plain.card.fingerprint


def test_mean_and_std_are_of_red_green_and_blue(tmp_path: Path) -> None:
    crop = np.zeros((112, 112, 3), np.uint8) + np.array([30, 60, 90], np.uint8)
    model = toy_model.write_model(tmp_path, mean=(10.0, 20.0, 30.0), std=(1.0, 2.0, 3.0))
    row = np.repeat([(30 - 10) / 1, (60 - 20) / 2, (90 - 30) / 3], 16)
    np.testing.assert_allclose(OpenVINOEmbedder(model).embed(crop[None])[0], row / np.linalg.norm(row), atol=1e-6)


# ---------------------------------------------------------------------------------------------------- identity


def fingerprint(folder: Path, **facts: Any) -> str:
    return OpenVINOEmbedder(toy_model.write_model(folder, **facts)).card.fingerprint


def test_an_onnx_fingerprint_names_weights_and_preprocessing_and_no_more(tmp_path: Path) -> None:
    plain = fingerprint(tmp_path)
    assert plain == fingerprint(tmp_path / "elsewhere")
    assert plain == fingerprint(tmp_path, licence="MIT", threshold={}, results={"auc": 1.0})
    others = [fingerprint(tmp_path, mean=(0.0, 0.0, 0.0)), fingerprint(tmp_path, std=(1.0, 1.0, 1.0))]
    others.append(fingerprint(tmp_path, batch=1))
    assert len({plain, *others}) == 4


@pytest.mark.parametrize("change", [{"mean": (0.0, 0.0, 0.0)}, {"input_size": 128}, {"embedding_dim": 31}], ids=str)
def test_a_model_folder_is_bound_to_its_preprocessing(
    change: dict[str, object], tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "weights.safetensors").write_bytes((tiny_model / "weights.safetensors").read_bytes())
    card = read_card(tiny_model / "model.json")
    write_card(card, tmp_path / "model.json")
    assert TorchEmbedder(tmp_path).card == card
    write_card(dataclasses.replace(card, **change), tmp_path / "model.json")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=r"weights\.safetensors is not the file its model\.json was written for"):
        TorchEmbedder(tmp_path)


def test_cards_are_read_without_weights(toy: Path, tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_bytes((tiny_model / "model.json").read_bytes())
    assert model_card(str(tmp_path)) == model_card(str(tiny_model)) == load_embedder(str(tiny_model)).card
    assert model_card(str(toy)).name == "toy"


def test_a_card_survives_its_file(tmp_path: Path) -> None:
    card = ModelCard("Ä", 3, 112, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), threshold={"distance": 1.5, "source": "here"})
    write_card(card, tmp_path / "card.json")
    assert read_card(tmp_path / "card.json") == card
    assert card.default_threshold is not None
    assert (card.default_threshold.distance, card.default_threshold.source) == (1.5, "here")
    assert dataclasses.replace(card, threshold={}).default_threshold is None
