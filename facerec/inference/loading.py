"""From a model's name, folder or file to the runtime that runs it."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from facerec.errors import ConfigError, ModelError
from facerec.inference.embedder import Embedder
from facerec.inference.openvino_runtime import OpenVINOEmbedder
from facerec.inference.torch_runtime import Classifier, StageReader, TorchEmbedder
from facerec.models.card import MODEL_FILES, ModelCard, read_card

if TYPE_CHECKING:
    from facerec.models.network import Network


SHIPPED_MODEL = Path(__file__).parents[1] / "weights"


SHIPPED = ("default", "int8")  # its names


LARGEST = 2048  # side of the pictures a backbone may be given, in pixels


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


def load_classifier(model: str | None, *, attribute: bool = False, drop_blocks: Sequence[str] = ()) -> Classifier:
    """A classifier for the folder of a model that was trained to classify; attribute: of one that tells an attribute.

    drop_blocks: as for load_embedder. Raises ModelError naming what is missing or broken, and for a model that embeds
    faces, or tells no attribute.
    """
    path = model_path(model)
    if path.suffix in MODEL_FILES:
        raise ModelError(
            f"{path}: a model file; to classify, give the folder of a model that was trained to (`facerec train`)"
        )
    return Classifier(path, attribute=attribute, drop_blocks=drop_blocks)


def reads_pictures(model: str | None) -> bool:
    """Whether a model looks at whole pictures: a backbone by its name, or the folder of a model that classifies."""
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
        raise ConfigError(f"{path}: reads {card.input_size} pixels; `input_size` is for a backbone by its name")
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
