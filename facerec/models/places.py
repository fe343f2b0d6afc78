"""Where models are: the shipped ones by name, others by path. Imports nothing heavy: a mistyped path costs no time."""

import os
from pathlib import Path

from facerec.errors import ModelError
from facerec.models.names import NAMES

SHIPPED_MODEL = Path(__file__).parents[1] / "weights"
SHIPPED = {"default": "", "int8": "int8.xml", "one-view": "one-view.json"}
"""The names of the models in it, and their files."""
SHIPPED_NAMES = "'default', 'int8' or 'one-view'"  # for messages
CARD = "model.json"  # in a model folder
MODEL_FILES = (".onnx", ".xml")  # the endings of models that are one file, with the card beside it
OTHER_CARD = ".json"  # the ending of another card in a model folder: its network, used in another way
ONE_FILE = (*MODEL_FILES, OTHER_CARD)  # the endings of models that are given by a file instead of a folder


def model_path(model: str | None) -> Path:
    """The file or folder of a model that is given by its name, file or folder; raises ModelError if there is none."""
    if model is None or model in SHIPPED:
        return SHIPPED_MODEL / SHIPPED[model or "default"]
    path = Path(model)
    if not os.path.exists(path):  # False also in a folder that must not be read, where Path.exists raises
        raise ModelError(f"{path}: no such model; give a model folder, a FILE.onnx with its card, {SHIPPED_NAMES}")
    if path.is_file() and path.suffix not in MODEL_FILES and not _is_other_card(path):
        raise ModelError(f"{path}: not a model; give a model folder or a FILE.onnx with its card")
    return path


def _is_other_card(path: Path) -> bool:
    return path.suffix == OTHER_CARD and path.name != CARD and path.with_name(CARD).exists()


def require_layers(model: str | None) -> None:
    """Raise ModelError unless this is a backbone's name, or a model is there."""
    if model in (None, *SHIPPED, *NAMES):
        return
    if not os.path.exists(str(model)):
        raise ModelError(f"{model}: no model folder, and no backbone of this name; facerec models lists those")
    model_path(model)
