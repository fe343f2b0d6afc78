"""Pixels -> numbers. Aligned faces -> unit vectors, in two runtimes behind one method: a model folder in torch, or
anybody's ONNX file. Whole pictures -> the probabilities of classes: a model folder in torch.
"""

import dataclasses
import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from facerec.errors import ModelError
from facerec.models.card import ModelCard, preprocessing_hash, read_card
from facerec.types import Vectors

SHIPPED_MODEL = Path(__file__).parent / "weights"
BATCH = 64  # crops that go through a network together

Crops = NDArray[np.uint8]  # (N, S, S, 3) RGB, S the card's input_size

_WRONG_MODE = {  # what a model is -> why it is refused where the other kind is wanted
    "metric": "embeds faces and knows no classes; use it with facerec identify, or give a model of --mode classify",
    "classify": "classifies pictures and embeds no faces; use it with facerec classify (or evaluate classification), "
    "or give a model of --mode metric",
}


class Embedder(Protocol):
    """A network that embeds faces; vectors are only comparable under one `card.fingerprint`."""

    @property
    def card(self) -> ModelCard:
        """What the network is and how its input is made."""
        ...

    def embed(self, crops: Crops) -> Vectors:
        """(N, S, S, 3) uint8 RGB aligned faces -> (N, D) float32 rows of length 1; N may be 0."""
        ...


class _TorchModel:
    """A model folder, run by torch in float32 on the first GPU or the CPU; ModelError when it is not of that mode."""

    def __init__(self, folder: Path, mode: str) -> None:
        _require_mode(read_card(folder / "model.json"), mode, folder)
        import torch  # seconds to import; commands that embed nothing should not wait for it

        from facerec.models.checkpoint import load_model

        network, self.card = load_model(folder)
        self._folder = folder
        self._torch = torch
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = network.to(self._device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _run(self, crops: Crops) -> NDArray[np.float32]:
        """(N, S, S, 3) uint8 -> (N, embedding_dim): what the network gives."""
        torch = self._torch
        parts = [np.zeros((0, self.card.embedding_dim), np.float32)]
        with torch.inference_mode():
            for batch in _batches(crops, self.card):
                pixels = torch.from_numpy(batch).permute(0, 3, 1, 2)  # (n, 3, S, S)
                parts.append(self._network(pixels.to(self._device)).cpu().numpy())
        return np.concatenate(parts)


class TorchEmbedder(_TorchModel):
    """A model folder of mode "metric"."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "metric")

    def embed(self, crops: Crops) -> Vectors:
        """See Embedder."""
        return _require_unit(self._run(crops), self._folder)


class Classifier(_TorchModel):
    """A model folder of mode "classify"; `card.classes` names the columns of its probabilities."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "classify")

    def probabilities(self, pictures: Crops) -> NDArray[np.float32]:
        """(N, S, S, 3) uint8 RGB pictures -> (N, C) float32, rows that sum to 1; N may be 0.

        Raises ModelError where the network gives numbers that are not finite.
        """
        logits = self._run(pictures)
        if not np.isfinite(logits).all():
            raise ModelError(f"{self._folder}: gives probabilities that are not finite; copy the model again")
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))  # the largest is 1: nothing overflows
        return odds / odds.sum(axis=1, keepdims=True)


class OnnxEmbedder:
    """FILE.onnx with its card FILE.json: one input (N, 3, S, S) float32, one output (N, D), any length."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        card = read_card(path.with_suffix(".json"))
        _require_mode(card, "metric", path)
        data = _read_bytes(path)
        digest = preprocessing_hash(card)
        digest.update(data)
        self.card = dataclasses.replace(card, fingerprint=digest.hexdigest()[:16])
        try:
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3  # errors only: its warnings tell users of facerec nothing
            self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except _onnx_errors() as error:
            raise ModelError(
                f"{path}: ONNX Runtime cannot load it ({_reason(error)}); give a valid .onnx file"
            ) from error
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise ModelError(f"{path}: has {len(inputs)} inputs; give a network of one input (N, 3, S, S)")
        self._path = path
        self._input = inputs[0].name
        self._single = inputs[0].shape[:1] == [1]  # exported with a fixed batch of 1: one face at a time

    def embed(self, crops: Crops) -> Vectors:
        """See Embedder; raises ModelError when the file and its card do not agree."""
        parts = [np.zeros((0, self.card.embedding_dim), np.float32)]
        mean, std = np.array(self.card.mean, np.float32), np.array(self.card.std, np.float32)
        for batch in _batches(crops, self.card, 1 if self._single else BATCH):
            pixels = ((batch.astype(np.float32) - mean) / std).transpose(0, 3, 1, 2)  # (n, 3, S, S)
            parts.append(self._unit(self._run(np.ascontiguousarray(pixels))))
        return _require_unit(np.concatenate(parts), self._path)

    def _run(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            return np.asarray(self._session.run(None, {self._input: pixels})[0], np.float32)
        except _onnx_errors() as error:
            raise ModelError(
                f"{self._path}: does not take {pixels.shape} float32 ({_reason(error)}); mend its card"
            ) from error

    def _unit(self, vectors: NDArray[np.float32]) -> Vectors:
        if vectors.ndim != 2 or vectors.shape[1] != self.card.embedding_dim:
            raise ModelError(
                f"{self._path}: gives numbers of shape {vectors.shape[1:]} for a face, "
                f"its card says {self.card.embedding_dim}; mend the card"
            )
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _onnx_errors() -> tuple[type[Exception], ...]:
    """All that ONNX Runtime raises; its exceptions have no common base of their own."""
    state = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    kinds = (getattr(state, name) for name in dir(state))
    return tuple(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Exception))


def _reason(error: Exception) -> str:
    """ONNX Runtime's words on one line, without its error codes."""
    return str(error).splitlines()[0].split(" : ")[-1]


def _require_unit(vectors: Vectors, model: Path) -> Vectors:
    if not (np.abs(np.linalg.norm(vectors, axis=1) - 1) < 1e-3).all():  # also where it is not a number
        raise ModelError(f"{model}: gives vectors without a direction (zero or not finite); copy the model again")
    return vectors


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); give an .onnx file") from error


def _require_mode(card: ModelCard, mode: str, model: Path) -> None:
    if card.mode != mode:
        raise ModelError(f"{model}: {_WRONG_MODE[card.mode]}")


def _batches(crops: Crops, card: ModelCard, size: int = BATCH) -> Iterator[Crops]:
    expected = (card.input_size, card.input_size, 3)
    if crops.dtype != np.uint8 or crops.shape[1:] != expected:
        raise ValueError(f"expected (N, {expected}) uint8, got {crops.shape} {crops.dtype}")
    for start in range(0, len(crops), size):
        yield crops[start : start + size]


def model_card(model: str | None) -> ModelCard:
    """The card of a model without loading its weights; an ONNX file's lacks the fingerprint."""
    path = _model_path(model)
    return read_card(path.with_suffix(".json") if path.suffix == ".onnx" else path / "model.json")


def load_embedder(model: str | None = None) -> Embedder:
    """An embedder for a model folder, a FILE.onnx, or the shipped model (None or "default").

    Raises ModelError naming what is missing or broken, and for a model that classifies.
    """
    path = _model_path(model)
    return OnnxEmbedder(path) if path.suffix == ".onnx" else TorchEmbedder(path)


def load_classifier(model: str) -> Classifier:
    """A classifier for the model folder of a training with --mode classify.

    Raises ModelError naming what is missing or broken, and for a model that embeds faces.
    """
    path = _model_path(model)
    if path.suffix == ".onnx":
        raise ModelError(f"{path}: an ONNX file; to classify, give a model folder (facerec train --mode classify)")
    return Classifier(path)


def _model_path(model: str | None) -> Path:
    if model in (None, "default"):
        return SHIPPED_MODEL
    path = Path(str(model))
    if not os.path.exists(path):  # unlike Path's, False where it cannot be looked at
        raise ModelError(f"{path}: no such model; give a model folder, a FILE.onnx with its card, or 'default'")
    if path.is_file() and path.suffix != ".onnx":
        raise ModelError(f"{path}: not a model; give a model folder or a FILE.onnx with its card")
    return path
