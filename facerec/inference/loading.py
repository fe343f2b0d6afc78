"""From a model's name, folder or file to the object that runs it."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from facerec.errors import ConfigError, FacerecError, MissingExtraError, ModelError
from facerec.extras import install, is_installed, require
from facerec.files import may_write
from facerec.inference.embedder import Embedder, require_metric
from facerec.inference.openvino_runtime import OpenVINOEmbedder
from facerec.inference.torch_runtime import Classifier, StageReader, TorchEmbedder, has_gpu
from facerec.models.card import ModelCard, read_card
from facerec.models.converted import converted_file
from facerec.models.names import NAMES
from facerec.models.places import CARD, MODEL_FILES, ONE_FILE, OTHER_CARD, SHIPPED, model_path, require_layers
from facerec.models.weights import require_weights
from facerec.text import printable

if TYPE_CHECKING:
    from facerec.models.network import Network


log = logging.getLogger(__name__)

LARGEST = 2048  # pixels a side of the largest pictures that a backbone may be given


def model_card(model: str | None) -> ModelCard:
    """The card of a model, without loading its weights. An ONNX or OpenVINO file's card has no fingerprint."""
    path = model_path(model)
    return read_card(path.with_suffix(".json") if path.suffix in ONE_FILE else path / CARD)


def load_embedder(model: str | None = None, *, bf16: bool = False, drop_blocks: Sequence[str] = ()) -> Embedder:
    """An embedder for a model folder, a FILE.onnx or FILE.xml, "default" (or None), or a faster version of it.

    Those are "int8", in 8 bits, and "one-view", which sees each face but not its mirror image: half of the work.
    one-view.json is a card that lies in the default's folder. So any FILE.json in a model folder is a model.
    OpenVINO runs a model folder by its converted file, which is made at the first use, by torch. torch itself runs a
    folder that cannot be converted, one that is to lack blocks or to compute in bfloat16, and any in a process that has
    torch and a GPU.
    bf16: compute in bfloat16. That is three times as fast on CPUs that have it, and cosines are off by a thousandth;
    a gallery needs float32. drop_blocks: residual blocks of a model folder to leave out, see `load_model`.
    Raises ModelError if something is missing or broken (and names it), or if the model classifies; ConfigError for a
    block that does not exist; MissingExtraError if torch is needed and is not installed.
    """
    path, began = model_path(model), time.monotonic()
    if path.suffix in ONE_FILE and drop_blocks:
        raise ConfigError(f"{path}: a model file, whose blocks cannot be dropped; give a model folder or 'default'")
    if path.suffix in MODEL_FILES:
        embedder: Embedder = OpenVINOEmbedder(path, bf16=bf16)
    elif path.suffix == OTHER_CARD:
        embedder = _load_other_card(path)
    elif bf16 or drop_blocks or has_gpu():
        require("torch", "`drop_blocks`" if drop_blocks else "bfloat16")
        embedder = TorchEmbedder(path, bf16=bf16, drop_blocks=drop_blocks)
    else:
        embedder = _load_folder(path)
    _log_model(embedder.card, path, began)
    return embedder


def _load_other_card(path: Path) -> Embedder:
    """The embedder of the model folder that a card lies in, used as this card says."""
    card = read_card(path)
    require_weights(path.parent, card)
    embedder = _load_folder(path.parent)
    embedder.card, embedder.path = card, path
    return embedder


def _load_folder(folder: Path) -> OpenVINOEmbedder | TorchEmbedder:
    """The embedder of a model folder: by its converted file, or else by torch."""
    card = read_card(folder / CARD)
    require_metric(card, folder)
    require_weights(folder, card)
    try:
        return _converted(folder, card)
    except ModelError as error:
        if not is_installed("torch"):
            once = "or use the model once where torch is installed: that converts it"
            raise MissingExtraError(f"{error}, so it needs torch: {install('train')}; {once}") from error
        log.info("%s; torch converts it", error)
    try:
        return _convert(folder, card)
    except (FacerecError, RuntimeError) as error:  # RuntimeError: torch or OpenVINO cannot convert such a network
        log.info("%s: cannot be converted, so torch runs it: %s", printable(folder), error)
        return TorchEmbedder(folder)


def _converted(folder: Path, card: ModelCard) -> OpenVINOEmbedder:
    """The embedder by a model folder's converted file; raises ModelError if there is none that is whole."""
    embedder = OpenVINOEmbedder(converted_file(folder, card))
    embedder.card, embedder.path = card, folder  # the model is the folder's, to within the tolerance of the export
    return embedder


def _convert(folder: Path, card: ModelCard) -> OpenVINOEmbedder:
    """Write a model folder's converted file, and load it; raises FacerecError or RuntimeError if it cannot be made."""
    from facerec.inference.export import export_model

    if not may_write(folder):
        raise ModelError("the folder cannot be written to")
    export_model(str(folder), folder, "openvino", "fp32")
    return _converted(folder, card)


def load_classifier(model: str | None, *, attribute: bool = False, drop_blocks: Sequence[str] = ()) -> Classifier:
    """A classifier for a model folder of mode "classify".

    attribute: tell the values of the model's attribute instead, by its second head; the model may have either mode.
    drop_blocks: as for `load_embedder`. Raises ModelError if something is missing or broken (and names it), or if the
    model has no classes, or no attribute.
    """
    path, began = model_path(model), time.monotonic()
    if path.suffix in ONE_FILE:
        raise ModelError(
            f"{path}: a model file; to classify, give a model folder made by `facerec train --mode classify`"
        )
    classifier = Classifier(path, attribute=attribute, drop_blocks=drop_blocks)
    _log_model(classifier.card, path, began)
    return classifier


def reads_pictures(model: str | None) -> bool:
    """Whether a model reads whole pictures instead of faces: a backbone's name, or a folder of mode "classify"."""
    if model in (None, *SHIPPED) or Path(str(model)).suffix in ONE_FILE:
        return False
    return model in NAMES or model_card(model).mode == "classify"


def load_stage(model: str | None = None, layer: str | None = None, input_size: int = 0) -> StageReader:
    """A reader of the features of one stage of a network; model, input_size: as for `load_layers`.

    layer: the stage's name; None: the last stage. Raises ConfigError for a stage or a size that does not exist,
    ModelError if something is missing or broken.
    """
    network, card, path = load_layers(model, input_size)
    return StageReader(network, card, path, layer or list(network.named_stages())[-1][0])


def load_layers(model: str | None = None, input_size: int = 0) -> tuple["Network", ModelCard, Path]:
    """A network, its card and where it is from.

    model: a backbone's name, for the backbone with its authors' weights and without a head; a model folder; or None or
    "default". input_size: pixels a side of the pictures that a backbone reads; 0: what it was trained on. A model has
    its own size. Raises ConfigError for a size that does not fit, ModelError if something is missing or broken.
    """
    if not 0 <= input_size <= LARGEST:
        raise ConfigError(f"an input size of {input_size}; give 1 to {LARGEST} pixels, or 0 for what a backbone is for")
    began = time.monotonic()
    require("torch", "the output of a stage")
    from facerec.models.checkpoint import load_model, load_pretrained

    if model in NAMES:
        network, card = load_pretrained(str(model), input_size)
        _log_model(card, Path(str(model)), began)
        return network, card, Path(str(model))
    require_layers(model)
    path = model_path(model)
    if path.suffix in ONE_FILE:
        raise ModelError(
            f"{path}: a model file, which has no stages: layers cannot be looked at; "
            f"give a model folder or a backbone's name"
        )
    network, card = load_model(path)
    if input_size not in (0, card.input_size):
        raise ConfigError(f"{path}: reads {card.input_size} pixels; `input_size` is for a backbone by its name")
    _log_model(card, path, began)
    return network, card, path


def _log_model(card: ModelCard, path: Path, began: float) -> None:
    """Log what was loaded since `began`, a time of `time.monotonic`."""
    took = time.monotonic() - began
    log.info("model %s (%s) of %s, loaded in %.1f s", card.name, card.fingerprint, printable(path), took)
