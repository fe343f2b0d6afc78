"""The runtime for ONNX and OpenVINO files: OpenVINO, without torch."""

import dataclasses
import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerec.errors import ModelError
from facerec.inference.embedder import Crops, read_views, require_metric, require_unit, run_in_batches
from facerec.models.card import ModelCard, preprocessing_hash, read_card
from facerec.models.compiled import compile_network
from facerec.models.running import require_own_process
from facerec.types import Vectors
from facerec.vectors import unit_rows


class OpenVINOEmbedder:
    """FILE.onnx, or FILE.xml and FILE.bin, with its card FILE.json: one input (N, 3, S, S) float32, one output (N, D).

    It computes in float32 on every CPU, because thresholds are measured so. bf16: compute in bfloat16, for teachers,
    which may be a little less exact but must be fast.
    """

    def __init__(self, path: Path, *, bf16: bool = False) -> None:
        require_own_process()
        card = read_card(path.with_suffix(".json"))
        require_metric(card, path)
        data = _read_bytes(path)
        weights = _read_bytes(path.with_suffix(".bin")) if path.suffix == ".xml" else b""
        self.card = dataclasses.replace(card, fingerprint=_fingerprint(card, path, data, weights))
        self._mean, self._std = np.array(card.mean, np.float32), np.array(card.std, np.float32)
        try:
            self._network = compile_network(data, weights, precision="bf16" if bf16 else "f32")
        except RuntimeError as error:
            raise ModelError(
                f"{path}: OpenVINO cannot load it ({_reason(error)}); give a valid {path.suffix} file"
            ) from error
        inputs = self._network.inputs
        if len(inputs) != 1:
            raise ModelError(f"{path}: has {len(inputs)} inputs; give a network of one input (N, 3, S, S)")
        self.path = path
        self._one_at_a_time = threading.Lock()  # a compiled model answers one call at a time
        shape = inputs[0].partial_shape
        fixed = shape.rank.is_static and shape[0].is_static  # some files take batches of one size only
        self._batch = shape[0].get_length() if fixed else 0

    def embed(self, crops: Crops) -> Vectors:
        """See Embedder; raises ModelError if the file and its card do not fit together."""
        return require_unit(read_views(self._views, crops, self.card.mirrored), self.path)

    def _views(self, crops: Crops) -> Vectors:
        return run_in_batches(self._batch_of_views, crops, self.card, self.card.embedding_dim, self._batch)

    def _batch_of_views(self, crops: Crops) -> Vectors:
        pixels = ((crops.astype(np.float32) - self._mean) / self._std).transpose(0, 3, 1, 2)  # (n, 3, S, S)
        return self._unit(self._run(np.ascontiguousarray(pixels)))

    def _run(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        require_own_process()
        try:
            with self._one_at_a_time:
                return np.array(self._network(pixels)[0], np.float32)  # a copy, as the next batch reuses the memory
        except RuntimeError as error:
            raise ModelError(
                f"{self.path}: does not take {pixels.shape} float32 ({_reason(error)}); mend its card"
            ) from error

    def _unit(self, vectors: NDArray[np.float32]) -> Vectors:
        if vectors.ndim != 2 or vectors.shape[1] != self.card.embedding_dim:
            raise ModelError(
                f"{self.path}: gives numbers of shape {vectors.shape[1:]} for a face, "
                f"its card says {self.card.embedding_dim}; mend the card"
            )
        return unit_rows(vectors)


def _fingerprint(card: ModelCard, path: Path, *parts: bytes) -> str:
    """The fingerprint of a file's parts; raises ModelError if its card states another."""
    digest = preprocessing_hash(card)
    for part in parts:
        digest.update(part)
    found = digest.hexdigest()[:16]
    if card.fingerprint not in ("", found):  # a card written by hand need not state it
        raise ModelError(f"{path}: is not the file its card was written for; copy both again, or export it again")
    return found


def _reason(error: RuntimeError) -> str:
    """The last line of OpenVINO's message. It says what happened; the lines before say where in OpenVINO."""
    return str(error).strip().splitlines()[-1]


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); give a readable file") from error
