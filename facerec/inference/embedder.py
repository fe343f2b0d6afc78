"""Pixels -> numbers. Aligned faces -> unit vectors, in two runtimes behind one method: a model folder in torch; an ONNX
file (anybody's) or OpenVINO's own (the int8 model) in OpenVINO. Whole pictures -> the probabilities of classes, faces
or pictures -> those of an attribute's values: a model folder in torch. Either -> what a stage of a network makes of
them.
"""

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from facerec.errors import ConfigError, ModelError
from facerec.models.card import MODEL_FILES, ModelCard, preprocessing_hash, read_card
from facerec.types import Vectors

if TYPE_CHECKING:
    from facerec.models.network import Network

SHIPPED_MODEL = Path(__file__).parents[1] / "weights"
SHIPPED = ("default", "int8")  # its names
BATCH = 64  # crops that go through a network together
LARGEST = 2048  # side of the pictures a backbone may be given, in pixels

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

    @property
    def path(self) -> Path:
        """The model folder or file."""
        ...

    def embed(self, crops: Crops) -> Vectors:
        """(N, S, S, 3) uint8 RGB aligned faces -> (N, D) float32 rows of length 1; N may be 0."""
        ...


class _TorchModel:
    """A network, run by torch on the first GPU or the CPU."""

    def __init__(self, network: "Network", card: ModelCard, path: Path, *, bf16: bool = False) -> None:
        import torch  # seconds to import; commands that embed nothing should not wait for it

        self.card, self.path, self._bf16 = card, path, bf16
        self._torch = torch
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = network.to(self._device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _run(self, crops: Crops) -> NDArray[np.float32]:
        """(N, S, S, 3) uint8 -> (N, columns): what the network gives."""
        torch = self._torch
        parts = [np.zeros((0, self._columns()), np.float32)]
        with torch.inference_mode():
            for batch in _batches(crops, self.card):
                pixels = torch.from_numpy(batch).permute(0, 3, 1, 2)  # (n, 3, S, S)
                with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
                    parts.append(self._output(pixels.to(self._device)).cpu().numpy())
        return np.concatenate(parts)

    def _columns(self) -> int:
        """What `_output` gives for each: so many numbers."""
        return self.card.embedding_dim

    def _output(self, pixels: Any) -> Any:
        """(n, 3, S, S) tensor -> (n, columns) tensor."""
        return self._network(pixels)


def _load(
    folder: Path, required: Callable[[ModelCard, Path], None], drop_blocks: Sequence[str]
) -> tuple["Network", ModelCard, Path]:
    """A model folder without the residual blocks named; ConfigError for a block it does not have.

    ModelError when it is not what is `required`, which is looked at before its weights.
    """
    required(read_card(folder / "model.json"), folder)
    from facerec.models.checkpoint import load_model

    return *load_model(folder, drop_blocks), folder


class TorchEmbedder(_TorchModel):
    """A model folder of mode "metric"."""

    def __init__(self, folder: Path, *, bf16: bool = False, drop_blocks: Sequence[str] = ()) -> None:
        super().__init__(*_load(folder, _require_metric, drop_blocks), bf16=bf16)

    def embed(self, crops: Crops) -> Vectors:
        """See Embedder."""
        rows = read_views(self._run, crops, self.card.mirrored)
        return _require_unit(rows, self.path)


class Classifier(_TorchModel):
    """A model folder of mode "classify", or of either mode to tell an `attribute`, of faces where they are embedded.

    classes: names of the columns of its probabilities. of_faces: it takes aligned faces, else whole pictures.
    """

    def __init__(self, folder: Path, *, attribute: bool = False, drop_blocks: Sequence[str] = ()) -> None:
        required = _require_attribute if attribute else _require_classify
        super().__init__(*_load(folder, required, drop_blocks))
        self.classes = self.card.attribute_values if attribute else self.card.classes
        self.of_faces = self.card.mode == "metric"
        self._attribute = attribute

    def _columns(self) -> int:
        return len(self.classes)

    def _output(self, pixels: Any) -> Any:
        return self._network.attribute_of(pixels) if self._attribute else self._network(pixels)

    def probabilities(self, pictures: Crops) -> NDArray[np.float32]:
        """(N, S, S, 3) uint8 RGB pictures -> (N, C) float32, rows that sum to 1; N may be 0.

        Raises ModelError where the network gives numbers that are not finite.
        """
        logits = self._run(pictures)
        if self.of_faces and self.card.mirrored:
            logits = (logits + self._run(np.ascontiguousarray(pictures[:, :, ::-1]))) / 2
        if not np.isfinite(logits).all():
            raise ModelError(f"{self.path}: gives probabilities that are not finite; copy the model again")
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))  # the largest is 1: nothing overflows
        return odds / odds.sum(axis=1, keepdims=True)


class StageReader(_TorchModel):
    """The features a stage of a network has: the mean of each of its maps. `card.embedding_dim` says how many.

    card: the network's own but for that; mode "metric" reads aligned faces, "classify" whole pictures.
    layer: the stage's name.
    """

    def __init__(self, network: "Network", card: ModelCard, path: Path, layer: str) -> None:
        names = [name for name, _ in network.named_stages()]
        if layer not in names:
            raise ConfigError(f"{card.name} has no stage '{layer}'; give one of {', '.join(names)}")
        self.layer, self._count = layer, names.index(layer) + 1
        super().__init__(network, card, path)
        self.card = dataclasses.replace(card, embedding_dim=self._width(card.input_size))

    def embed(self, crops: Crops) -> NDArray[np.float32]:
        """(N, S, S, 3) uint8 RGB faces or pictures -> (N, C) float32 features, of any length; N may be 0.

        Raises ModelError where the network gives numbers that are not finite.
        """
        rows = self._run(crops)
        if not np.isfinite(rows).all():
            raise ModelError(f"{self.path}: gives features that are not finite; copy the model again")
        return rows

    def _output(self, pixels: Any) -> Any:
        return self._network.pooled(pixels, self._count).float()

    def _width(self, size: int) -> int:
        try:
            with self._torch.inference_mode():
                return self._output(self._torch.zeros(1, 3, size, size, device=self._device)).shape[1]
        except RuntimeError as error:  # a kernel or a pool larger than what is left of the picture
            raise ConfigError(
                f"{size} pixels are too few for {self.layer} of {self.card.name}; give a larger --input-size"
            ) from error


class OpenVINOEmbedder:
    """FILE.onnx, or FILE.xml and FILE.bin, with its card FILE.json: one input (N, 3, S, S) float32, one output (N, D).

    Computed in float32 also where the CPU has bfloat16, as thresholds are for vectors that are computed so; bf16 is for
    teachers, which may be a little off but not slow.
    """

    def __init__(self, path: Path, *, bf16: bool = False) -> None:
        import openvino

        card = read_card(path.with_suffix(".json"))
        _require_metric(card, path)
        data = _read_bytes(path)
        weights = _read_bytes(path.with_suffix(".bin")) if path.suffix == ".xml" else b""
        digest = preprocessing_hash(card)
        digest.update(data + weights)
        self.card = dataclasses.replace(card, fingerprint=digest.hexdigest()[:16])
        options = {"INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32", "PERFORMANCE_HINT": "LATENCY"}
        try:
            core = openvino.Core()
            model = core.read_model(data, weights) if weights else core.read_model(BytesIO(data))
            self._network = core.compile_model(model, "CPU", options)
        except RuntimeError as error:
            raise ModelError(
                f"{path}: OpenVINO cannot load it ({_reason(error)}); give a valid {path.suffix} file"
            ) from error
        inputs = self._network.inputs
        if len(inputs) != 1:
            raise ModelError(f"{path}: has {len(inputs)} inputs; give a network of one input (N, 3, S, S)")
        self.path = path
        faces = inputs[0].partial_shape[0] if inputs[0].partial_shape.rank.is_static else openvino.Dimension()
        self._batch = faces.get_length() if faces.is_static else 0  # exported with a fixed one, mostly of 1

    def embed(self, crops: Crops) -> Vectors:
        """See Embedder; raises ModelError when the file and its card do not agree."""
        return _require_unit(read_views(self._views, crops, self.card.mirrored), self.path)

    def _views(self, crops: Crops) -> Vectors:
        parts = [np.zeros((0, self.card.embedding_dim), np.float32)]
        mean, std = np.array(self.card.mean, np.float32), np.array(self.card.std, np.float32)
        for batch in _batches(crops, self.card, self._batch or BATCH):
            pixels = ((batch.astype(np.float32) - mean) / std).transpose(0, 3, 1, 2)  # (n, 3, S, S)
            parts.append(self._unit(self._run(np.ascontiguousarray(pixels))))
        return np.concatenate(parts)

    def _run(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            return np.array(self._network(pixels)[0], np.float32)  # a copy: the next batch reuses the memory
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
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def read_views(embed: Callable[[Crops], Vectors], crops: Crops, mirrored: bool) -> Vectors:
    """(N, S, S, 3) crops -> (N, D) rows; `mirrored`: the mean of a crop's and its mirror image's, of length 1 again."""
    rows = embed(crops)
    return unit_mean(rows, embed(np.ascontiguousarray(crops[:, :, ::-1]))) if mirrored else rows


def unit_mean(rows: Vectors, others: Vectors) -> Vectors:
    """The means of (N, D) unit rows and others, of length 1 again."""
    total = rows + others
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), np.float32(1e-12))


def _reason(error: RuntimeError) -> str:
    """The last of OpenVINO's lines, which says what happened; the others say where."""
    return str(error).strip().splitlines()[-1]


def _require_unit(vectors: Vectors, model: Path) -> Vectors:
    if not (np.abs(np.linalg.norm(vectors, axis=1) - 1) < 1e-3).all():  # also where it is not a number
        raise ModelError(f"{model}: gives vectors without a direction (zero or not finite); copy the model again")
    return vectors


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); give a readable file") from error


def _require_metric(card: ModelCard, model: Path) -> None:
    if card.mode != "metric":
        raise ModelError(f"{model}: {_WRONG_MODE[card.mode]}")


def _require_classify(card: ModelCard, model: Path) -> None:
    if card.mode != "classify":
        raise ModelError(f"{model}: {_WRONG_MODE[card.mode]}")


def _require_attribute(card: ModelCard, model: Path) -> None:
    if not card.attribute:
        raise ModelError(f"{model}: tells no attribute; give a model trained with facerec train --attribute FILE.csv")


def _batches(crops: Crops, card: ModelCard, size: int = BATCH) -> Iterator[Crops]:
    expected = (card.input_size, card.input_size, 3)
    if crops.dtype != np.uint8 or crops.shape[1:] != expected:
        raise ValueError(f"expected (N, {expected}) uint8, got {crops.shape} {crops.dtype}")
    for start in range(0, len(crops), size):
        yield crops[start : start + size]


def model_card(model: str | None) -> ModelCard:
    """The card of a model without loading its weights; an ONNX file's lacks the fingerprint."""
    path = model_path(model)
    return read_card(path.with_suffix(".json") if path.suffix in MODEL_FILES else path / "model.json")


def load_embedder(model: str | None = None, *, bf16: bool = False, drop_blocks: Sequence[str] = ()) -> Embedder:
    """An embedder for a model folder, a FILE.onnx or FILE.xml, or the shipped model (None or "default"; "int8": fast).

    bf16: three times as fast where the CPU has it, cosines off by a thousandth; galleries want float32.
    drop_blocks: residual blocks of a model folder to leave out (`load_model`); ConfigError for one it does not have.
    Raises ModelError naming what is missing or broken, and for a model that classifies.
    """
    path = model_path(model)
    if path.suffix not in MODEL_FILES:
        return TorchEmbedder(path, bf16=bf16, drop_blocks=drop_blocks)
    if drop_blocks:
        raise ConfigError(f"{path}: a model file, whose blocks cannot be dropped; give a model folder or 'default'")
    return OpenVINOEmbedder(path, bf16=bf16)


def load_classifier(model: str, *, attribute: bool = False, drop_blocks: Sequence[str] = ()) -> Classifier:
    """A classifier for the model folder of a training with --mode classify; attribute: of one with --attribute.

    drop_blocks: as for load_embedder. Raises ModelError naming what is missing or broken, and for a model that embeds
    faces, or tells no attribute.
    """
    path = model_path(model)
    if path.suffix in MODEL_FILES:
        raise ModelError(f"{path}: a model file; to classify, give a model folder (facerec train --mode classify)")
    return Classifier(path, attribute=attribute, drop_blocks=drop_blocks)


def reads_pictures(model: str | None) -> bool:
    """Whether a model looks at whole pictures: a backbone by its name, or a model folder of --mode classify."""
    if model in (None, *SHIPPED) or Path(str(model)).suffix in MODEL_FILES:
        return False
    from facerec.models.backbones import BACKBONES  # with torch, which a model file does without

    return model in BACKBONES or model_card(model).mode == "classify"


def load_stage(model: str | None = None, layer: str | None = None, input_size: int = 0) -> StageReader:
    """A stage of a network given as to `load_layers`.

    layer: the stage's name, None: the last before the head. Raises ConfigError for a stage or a size that there is not,
    ModelError naming what is missing or broken.
    """
    network, card, path = load_layers(model, input_size)
    return StageReader(network, card, path, layer or list(network.named_stages())[-1][0])


def load_layers(model: str | None = None, input_size: int = 0) -> tuple["Network", ModelCard, Path]:
    """A backbone with its authors' weights, given by its name, or a model folder's network (None: the shipped one).

    A backbone has no head. input_size: side of the pictures it reads, 0: what it was trained on; a model has its own.
    Raises ConfigError for a size that there is not, ModelError naming what is missing or broken.
    """
    if not 0 <= input_size <= LARGEST:
        raise ConfigError(f"an input size of {input_size}; give 1 to {LARGEST} pixels, or 0 for what a backbone is for")
    from facerec.models.backbones import BACKBONES
    from facerec.models.checkpoint import load_model, load_pretrained

    if model in BACKBONES:
        return *load_pretrained(str(model), input_size), Path(str(model))
    if model not in (None, *SHIPPED) and not os.path.exists(str(model)):
        raise ModelError(f"{model}: no model folder, and no backbone of this name; facerec models lists those")
    path = model_path(model)
    if path.suffix in MODEL_FILES:
        raise ModelError(
            f"{path}: a model file, which has no stages: layers cannot be looked at; "
            f"give a model folder or a backbone's name"
        )
    network, card = load_model(path)
    if input_size not in (0, card.input_size):
        raise ConfigError(f"{path}: reads {card.input_size} pixels; an --input-size is for a backbone by its name")
    return network, card, path


def model_path(model: str | None) -> Path:
    """Where a model given by its name, file or folder lies; raises ModelError where there is none."""
    if model in (None, *SHIPPED):
        return SHIPPED_MODEL / "int8.xml" if model == "int8" else SHIPPED_MODEL
    path = Path(str(model))
    if not os.path.exists(path):  # unlike Path's, False where it cannot be looked at
        raise ModelError(f"{path}: no such model; give a model folder, a FILE.onnx with its card, 'default' or 'int8'")
    if path.is_file() and path.suffix not in MODEL_FILES:
        raise ModelError(f"{path}: not a model; give a model folder or a FILE.onnx with its card")
    return path
