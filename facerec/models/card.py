"""The card of a model: what it is, how its input is made, how it was trained, what was measured. Imports no torch."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_origin

from facerec.errors import ModelError
from facerec.files import write_json
from facerec.text import Brief
from facerec.types import Threshold

CARD_FORMAT = 1
COEFFICIENTS = ("slope", "threshold_slope", "intercept")  # of `posterior.Posterior`
ALIGNMENTS = {"metric": "arcface", "classify": "none"}  # mode -> aligned faces (`faces/alignment`), or whole pictures


@dataclass(frozen=True, slots=True, repr=False)
class ModelCard(Brief):
    """The readable part of a model: `model.json` in a model folder, NAME.json beside NAME.onnx.

    embedding_dim: the length of an output row: D, or the number of classes.
    input_size: pixels a side of the input, an aligned crop or a whole picture.
    mean, std: how the input is normalised: x = (rgb - mean) / std, with RGB 0..255.
    alignment: what ALIGNMENTS says for the mode.
    mode: "metric" (embeds faces) or "classify". classes: their names, in the order of the logits.
    attribute: what the second head tells about a photo; "" without one. attribute_values: in the order of its logits.
    backbone: its name in the table of backbones; "" for an ONNX or OpenVINO file. kept_stages: how many of its first
    stages are used; 0: all. dropped_blocks: its residual blocks that are left out.
    head_layers: how many linear layers the head has. pooling: see `Network`.
    mirrored: whether an embedding is the unit mean of the crop's vector and its mirror image's.
    licence, source: of the weights, in words.
    threshold: {"distance", "fmr", "source", ...}, the default threshold and what it was measured on; or empty.
    probability: COEFFICIENTS, "source", ... of `posterior.Posterior`, measured on the same photos; or empty.
    training: how it was trained. results: what was measured with it.
    fingerprint: identifies the weights and the preprocessing. Vectors are only compared under one fingerprint.
    format: of the card.
    """

    name: str
    embedding_dim: int
    input_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    alignment: str = ALIGNMENTS["metric"]
    mode: str = "metric"
    classes: list[str] = field(default_factory=list)
    attribute: str = ""
    attribute_values: list[str] = field(default_factory=list)
    backbone: str = ""
    kept_stages: int = 0
    dropped_blocks: list[str] = field(default_factory=list)
    head_layers: int = 1
    pooling: str = "mean"
    mirrored: bool = False
    licence: str = ""
    source: str = ""
    threshold: dict[str, Any] = field(default_factory=dict)
    probability: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    format: int = CARD_FORMAT

    @property
    def default_threshold(self) -> Threshold | None:
        """The threshold that was measured with the model, or None if the card has none."""
        if "distance" not in self.threshold:
            return None
        return Threshold(float(self.threshold["distance"]), str(self.threshold.get("source", "model card")))

    def __str__(self) -> str:
        kind = f"{len(self.classes)} classes" if self.mode == "classify" else f"{self.embedding_dim} dimensions"
        return f"{self.name} ({self.fingerprint}), {self.backbone or 'a file'}, {kind}"


def preprocessing_hash(card: ModelCard) -> "hashlib._Hash":
    """A SHA-256 of everything besides the weights that the vectors depend on. The caller adds the weights.

    A field that came later only counts where it is used, so that older models keep their fingerprints.
    """
    parts = (card.backbone, card.embedding_dim, card.input_size, card.alignment, card.mean, card.std)
    parts += (card.classes,) if card.classes else ()
    parts += (card.attribute, card.attribute_values) if card.attribute else ()
    parts += ("mirrored",) if card.mirrored else ()
    parts += (("without", *card.dropped_blocks),) if card.dropped_blocks else ()
    return hashlib.sha256(json.dumps(parts).encode())


def read_card(path: Path) -> ModelCard:
    """Read a card; raises ModelError that names the file and what is wrong with it."""
    try:
        values = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such file; a model needs its card") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"{path}: not a model card (bad JSON: {error}); correct it, or copy the model again"
        ) from error
    return _card_from(values, path)


def _card_from(values: Any, path: Path) -> ModelCard:
    known = {f.name for f in dataclasses.fields(ModelCard)}
    needed = {"name", "embedding_dim", "input_size", "mean", "std"}
    if not isinstance(values, dict) or not needed <= values.keys():
        raise ModelError(f"{path}: not a model card; it must state {', '.join(sorted(needed))}")
    if values.get("format", CARD_FORMAT) != CARD_FORMAT:
        raise ModelError(f"{path}: card format {values['format']} is not known; upgrade facerec")
    if unknown := values.keys() - known:
        raise ModelError(f"{path}: unknown fields {', '.join(sorted(unknown))}; known are {', '.join(sorted(known))}")
    card = ModelCard(**{**values, "mean": _triple(values["mean"], path), "std": _triple(values["std"], path)})
    _require_sense(card, path)
    return card


def _require_sense(card: ModelCard, path: Path) -> None:
    sizes = (card.embedding_dim, card.input_size, card.head_layers)
    if not all(map(_positive, sizes)) or not all(s > 0 for s in card.std):
        raise ModelError(f"{path}: embedding_dim, input_size, head_layers and std must be positive")
    for f in dataclasses.fields(ModelCard):
        kind = get_origin(f.type) or f.type
        if not isinstance(getattr(card, f.name), kind):  # type: ignore[arg-type]
            raise ModelError(f"{path}: {f.name} must be {getattr(kind, '__name__', kind)}; correct the card")
    limit = card.threshold.get("distance", 0)
    if not isinstance(limit, int | float) or not 0 <= limit <= 4:
        raise ModelError(f"{path}: the threshold's distance must be from 0 to 4, not {limit!r}; correct the card")
    parts = [card.probability.get(name) for name in COEFFICIENTS]
    if card.probability and not (all(map(_moderate, parts)) and card.probability["slope"] < 0):
        needed = ", ".join(COEFFICIENTS)
        raise ModelError(f"{path}: the probability needs {needed}, numbers, the first below 0; correct the card")
    if card.mode not in ALIGNMENTS:
        raise ModelError(f"{path}: mode '{card.mode}' is not known; known are {', '.join(ALIGNMENTS)}")
    if card.alignment != ALIGNMENTS[card.mode]:
        aligned = ALIGNMENTS[card.mode]
        raise ModelError(f"{path}: alignment '{card.alignment}' is not known; facerec aligns to '{aligned}'")
    names = card.classes
    if card.mode == "classify" and (len(names) != card.embedding_dim or len(set(map(str, names))) != len(names)):
        raise ModelError(f"{path}: must name {card.embedding_dim} different classes; correct the card")
    values = card.attribute_values
    if bool(card.attribute) != bool(values) or (values and len(set(map(str, values))) != max(2, len(values))):
        raise ModelError(f"{path}: an attribute must have a name and two different values or more; correct the card")


def _positive(value: object) -> bool:
    return type(value) is int and value > 0


def _moderate(value: object) -> bool:
    return isinstance(value, int | float) and -1e9 < value < 1e9  # False for nan


def _triple(value: Any, path: Path) -> tuple[float, float, float]:
    if not isinstance(value, list) or len(value) != 3 or not all(_moderate(v) for v in value):
        raise ModelError(f"{path}: mean and std must be three numbers, of red, green and blue 0..255")
    return (float(value[0]), float(value[1]), float(value[2]))


def write_card(card: ModelCard, path: Path) -> None:
    """Write a card as indented JSON, whole or not at all; raises OSError if it cannot be written."""
    write_json(path, dataclasses.asdict(card))
