"""The weights file of a model folder, read without torch: whether it is the one that the folder's card names."""

from collections.abc import Iterable
from pathlib import Path

from safetensors import SafetensorError, deserialize

from facerec.errors import ModelError
from facerec.models.card import ModelCard, preprocessing_hash
from facerec.models.places import CARD

WEIGHTS = "weights.safetensors"

Tensors = Iterable[tuple[str, str, tuple[int, ...], bytes]]
"""Of each tensor, in the order of their names: the name, the kind of number as torch names it, the shape, the bytes."""

_KINDS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "BOOL": "bool", "U8": "uint8"}
_KINDS |= {"I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8"}


def fingerprint(card: ModelCard, tensors: Tensors) -> str:
    """16 hexadecimal digits that identify the weights and everything else that the vectors depend on."""
    digest = preprocessing_hash(card)
    for name, kind, shape, content in tensors:
        digest.update(f"{name} {kind} {shape}".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def require_weights(folder: Path, card: ModelCard) -> None:
    """Raise ModelError unless the weights of a model folder are whole, and those that its card was written for."""
    if stored_fingerprint(folder, card) != card.fingerprint:
        raise foreign(folder)


def stored_fingerprint(folder: Path, card: ModelCard) -> str:
    """The fingerprint of the stored weights of a model folder, used as this card says; raises ModelError."""
    return fingerprint(card, _read(folder / WEIGHTS))


def foreign(folder: Path) -> ModelError:
    """The error for a folder whose weights are not those of its card."""
    return ModelError(f"{folder}: {WEIGHTS} is not the file its {CARD} was written for; copy the folder again")


def unreadable(path: Path, error: Exception) -> ModelError:
    """The error for a weights file that cannot be read."""
    if isinstance(error, FileNotFoundError):
        return ModelError(f"{path}: no such file; the model folder is incomplete")
    return ModelError(f"{path}: broken or unreadable ({error}); copy the model again")


def _read(path: Path) -> Tensors:
    try:
        parts = deserialize(path.read_bytes())
    except (SafetensorError, OSError) as error:
        raise unreadable(path, error) from error
    return [
        (name, f"torch.{_KINDS.get(part['dtype'], part['dtype'])}", tuple(part["shape"]), part["data"])
        for name, part in sorted(parts, key=lambda part: part[0])
    ]
