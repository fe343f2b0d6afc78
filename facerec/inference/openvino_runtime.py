"""The runtime for ONNX and OpenVINO files: OpenVINO, without torch."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerec.errors import ModelError
from facerec.inference.embedder import Crops, read_views, require_metric, require_unit, run_in_batches
from facerec.models.card import ModelCard, preprocessing_hash, read_card
from facerec.models.compiled import Requests, compile_network
from facerec.models.running import require_own_process
from facerec.types import Vectors
from facerec.vectors import unit_rows

_STREAMS = (
    2  # batches that are computed at a time, such as a crop and its mirror image: faster than both cores for each
)
_SIZES = (8, 4, 1)  # of batches: of 16 crops, each stream gets 8


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
            network = compile_network(data, weights, precision="bf16" if bf16 else "f32", streams=_STREAMS)
        except RuntimeError as error:
            raise ModelError(
                f"{path}: OpenVINO cannot load it ({_reason(error)}); give a valid {path.suffix} file"
            ) from error
        inputs = network.inputs
        if len(inputs) != 1:
            raise ModelError(f"{path}: has {len(inputs)} inputs; give a network of one input (N, 3, S, S)")
        self.path = path
        self._requests = Requests(network)
        shape = inputs[0].partial_shape
        fixed = shape.rank.is_static and shape[0].is_static  # some files take batches of one size only
        self._sizes = (shape[0].get_length(),) if fixed else _SIZES

    def embed(self, crops: Crops) -> Vectors:
        """See Embedder; raises ModelError if the file and its card do not fit together."""
        return require_unit(read_views(self._views, crops, self.card.mirrored), self.path)

    def _views(self, crops: Crops) -> Vectors:
        rows = run_in_batches(self._run, crops, self.card, self.card.embedding_dim, self._sizes)
        return unit_rows(rows)

    def _run(self, batches: Iterable[Crops]) -> list[NDArray[np.float32]]:
        require_own_process()
        try:
            return [self._checked(rows) for rows in self._requests.run(map(self._pixels, batches))]
        except RuntimeError as error:
            size = self.card.input_size
            raise ModelError(
                f"{self.path}: does not take (N, 3, {size}, {size}) float32 ({_reason(error)}); mend its card"
            ) from error

    def _pixels(self, crops: Crops) -> NDArray[np.float32]:
        """(N, S, S, 3) crops as the network takes them, (N, 3, S, S)."""
        return np.ascontiguousarray(((crops.astype(np.float32) - self._mean) / self._std).transpose(0, 3, 1, 2))

    def _checked(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        if vectors.ndim != 2 or vectors.shape[1] != self.card.embedding_dim:
            raise ModelError(
                f"{self.path}: gives numbers of shape {vectors.shape[1:]} for a face, "
                f"its card says {self.card.embedding_dim}; mend the card"
            )
        return vectors.astype(np.float32, copy=False)


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
