"""The `Embedder` protocol, from aligned faces to unit vectors, and what its runtimes share."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from facerec.errors import ModelError
from facerec.models.card import ModelCard
from facerec.models.running import SIZES, batches
from facerec.types import Vectors
from facerec.vectors import are_unit, mean_of_views

BATCH = SIZES[0]  # crops that go through a network together, at most

Crops = NDArray[np.uint8]  # (N, S, S, 3) RGB; S is the card's input_size

_WRONG_MODE = {  # the mode of a model -> what to say where the other mode is needed
    "metric": "embeds faces and knows no classes; use it with facerec identify, or give a model that classifies",
    "classify": "classifies pictures and embeds no faces; use it with facerec classify (or evaluate classification), "
    "or give a model that embeds faces",
}


class Embedder(Protocol):
    """A network that embeds faces. Vectors may only be compared if their models have one `card.fingerprint`."""

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


def read_views(embed: Callable[[Crops], Vectors], crops: Crops, mirrored: bool) -> Vectors:
    """(N, S, S, 3) crops -> (N, D) unit rows, by `embed`.

    mirrored: whether a row is the unit mean of the crop's row and its mirror image's.
    """
    if not mirrored:
        return embed(crops)
    rows = embed(np.concatenate([crops, crops[:, :, ::-1]]))
    return mean_of_views(rows[: len(crops)], rows[len(crops) :])


def require_unit(vectors: Vectors, model: Path) -> Vectors:
    """The (N, D) vectors themselves; raises ModelError unless all are unit rows."""
    if not are_unit(vectors):
        raise ModelError(f"{model}: gives vectors without a direction (zero or not finite); copy the model again")
    return vectors


def run_in_batches(
    run: Callable[[Iterable[Crops]], Iterable[NDArray[np.float32]]],
    crops: Crops,
    card: ModelCard,
    columns: int,
    sizes: Sequence[int] = SIZES,
) -> NDArray[np.float32]:
    """The (N, columns) rows for (N, S, S, 3) crops. `run` gets them in batches and gives the rows of each batch.

    sizes: those that batches may have, the largest first. Batches are filled up with black crops.
    Raises ValueError unless the crops' shape and dtype are what the card asks for.
    """
    expected = (card.input_size, card.input_size, 3)
    if crops.dtype != np.uint8 or crops.shape[1:] != expected:
        raise ValueError(f"expected (N, {expected}) uint8, got {crops.shape} {crops.dtype}")
    parts = list(batches(len(crops), sizes))
    outputs = run(_filled(crops[part], size) for part, size in parts)
    rows = [output[: part.stop - part.start] for output, (part, _) in zip(outputs, parts, strict=True)]
    return np.concatenate([np.zeros((0, columns), np.float32), *rows])


def _filled(crops: Crops, size: int) -> Crops:
    missing = size - len(crops)
    return np.concatenate([crops, np.zeros((missing, *crops.shape[1:]), np.uint8)]) if missing else crops


def require_metric(card: ModelCard, model: Path) -> None:
    """Raise ModelError unless the model embeds faces."""
    if card.mode != "metric":
        raise ModelError(f"{model}: {_WRONG_MODE[card.mode]}")


def require_classify(card: ModelCard, model: Path) -> None:
    """Raise ModelError unless the model classifies pictures."""
    if card.mode != "classify":
        raise ModelError(f"{model}: {_WRONG_MODE[card.mode]}")


def require_attribute(card: ModelCard, model: Path) -> None:
    """Raise ModelError unless the model has a second head, which tells an attribute."""
    if not card.attribute:
        raise ModelError(f"{model}: tells no attribute; give a model trained with an `attribute`")
