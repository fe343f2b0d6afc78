"""Where models are: the shipped ones by name, others by path. Imports nothing heavy: a mistyped path costs no time."""

import os
from pathlib import Path

from facerec.errors import ModelError
from facerec.models.names import NAMES

SHIPPED_MODEL = Path(__file__).parents[1] / "weights"
SHIPPED = ("default", "int8")  # the names of the models in it
MODEL_FILES = (".onnx", ".xml")  # the endings of models that are one file, with the card beside it


def model_path(model: str | None) -> Path:
    """The file or folder of a model that is given by its name, file or folder; raises ModelError if there is none."""
    if model in (None, *SHIPPED):
        return SHIPPED_MODEL / "int8.xml" if model == "int8" else SHIPPED_MODEL
    path = Path(str(model))
    if not os.path.exists(path):  # False also in a folder that must not be read, where Path.exists raises
        raise ModelError(f"{path}: no such model; give a model folder, a FILE.onnx with its card, 'default' or 'int8'")
    if path.is_file() and path.suffix not in MODEL_FILES:
        raise ModelError(f"{path}: not a model; give a model folder or a FILE.onnx with its card")
    return path


def require_layers(model: str | None) -> None:
    """Raise ModelError unless this is a backbone's name, or a model is there."""
    if model in (None, *SHIPPED, *NAMES):
        return
    if not os.path.exists(str(model)):
        raise ModelError(f"{model}: no model folder, and no backbone of this name; facerec models lists those")
    model_path(model)
