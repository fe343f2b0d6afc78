"""The converted file of a model folder, by which OpenVINO runs the model and torch is not needed.

It is fp32.xml and fp32.bin, or fp32.onnx, in the model folder itself, with its own card fp32.json, as `facerec export`
writes them in fp32. The card says which model the file was checked against. A file of other weights is not used.
"""

from pathlib import Path

from facerec import files
from facerec.errors import ModelError
from facerec.models.card import ModelCard, read_card
from facerec.models.places import MODEL_FILES

NAME = "fp32"  # of the files, without their endings


def converted_file(folder: Path, card: ModelCard) -> Path:
    """The converted file of a model folder with this card; raises ModelError if there is none of these weights."""
    for path in (folder / f"{NAME}{ending}" for ending in reversed(MODEL_FILES)):
        if path.exists() and _made_of(path) == card.fingerprint:
            return path
    raise ModelError(f"{folder}: has no converted file of these weights")


def remove_stale(folder: Path, card: ModelCard) -> None:
    """Delete the converted file of a model folder if it is of other weights than this card's. Raises OSError."""
    stated = folder / f"{NAME}.json"
    if stated.exists() and _made_of(stated) != card.fingerprint:
        files.unlink([path for path in folder.glob(f"{NAME}.*") if path.suffix != ".draft"])


def _made_of(path: Path) -> str:
    """The fingerprint of the model that an exported file was checked against; "" if its card does not say."""
    try:
        parity = read_card(path.with_suffix(".json")).results.get("parity")
    except ModelError:  # such a file is no use, and the model is still there
        return ""
    return str(parity.get("fingerprint", "")) if isinstance(parity, dict) else ""
