"""The runtime for model folders: torch. It embeds faces, classifies pictures, and reads the features of a stage."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from facerec.errors import ConfigError, ModelError
from facerec.extras import require
from facerec.inference.embedder import (
    Crops,
    read_views,
    require_attribute,
    require_classify,
    require_metric,
    require_unit,
    run_in_batches,
)
from facerec.models.card import ModelCard, read_card
from facerec.models.running import require_own_process
from facerec.types import Vectors

if TYPE_CHECKING:
    from facerec.models.network import Network


def has_gpu() -> bool:
    """Whether torch has a GPU, in a process that loaded torch already. To load it takes seconds, in vain on a CPU."""
    torch = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_available()


class _TorchModel:
    """A network that torch runs on the first GPU, or else on the CPU."""

    def __init__(self, network: "Network", card: ModelCard, path: Path, *, bf16: bool = False) -> None:
        import torch  # takes seconds, which commands that embed nothing should not wait

        require_own_process()
        self.card, self.path, self._bf16 = card, path, bf16
        self._torch = torch
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = network.to(self._device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _run(self, crops: Crops) -> NDArray[np.float32]:
        """(N, S, S, 3) uint8 -> (N, columns) float32, the network's output."""
        return run_in_batches(partial(map, self._run_batch), crops, self.card, self._columns())

    def _run_batch(self, crops: Crops) -> NDArray[np.float32]:
        require_own_process()
        torch = self._torch
        pixels = torch.from_numpy(crops).permute(0, 3, 1, 2)  # (n, 3, S, S)
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            return self._output(pixels.to(self._device)).cpu().numpy()

    def _columns(self) -> int:
        """How many numbers `_output` gives for each crop."""
        return self.card.embedding_dim

    def _output(self, pixels: Any) -> Any:
        """(n, 3, S, S) tensor -> (n, columns) tensor."""
        return self._network(pixels)


def _load(
    folder: Path, required: Callable[[ModelCard, Path], None], drop_blocks: Sequence[str]
) -> tuple["Network", ModelCard, Path]:
    """Load a model folder without some of its residual blocks.

    required: raises ModelError for the wrong kind of model. It is called before the weights are read. Raises
    ConfigError for a block that does not exist, MissingExtraError without torch.
    """
    required(read_card(folder / "model.json"), folder)
    require("torch", str(folder))
    from facerec.models.checkpoint import load_model

    return *load_model(folder, drop_blocks), folder


class TorchEmbedder(_TorchModel):
    """The embedder of a model folder of mode "metric"."""

    def __init__(self, folder: Path, *, bf16: bool = False, drop_blocks: Sequence[str] = ()) -> None:
        super().__init__(*_load(folder, require_metric, drop_blocks), bf16=bf16)

    def embed(self, crops: Crops) -> Vectors:
        """See Embedder."""
        rows = read_views(self._run, crops, self.card.mirrored)
        return require_unit(rows, self.path)


class Classifier(_TorchModel):
    """The classifier of a model folder: of its classes (mode "classify"), or of its attribute's values (either mode).

    classes: the names of the columns of the probabilities. of_faces: whether it reads aligned faces (mode "metric") or
    whole pictures.
    """

    def __init__(self, folder: Path, *, attribute: bool = False, drop_blocks: Sequence[str] = ()) -> None:
        required = require_attribute if attribute else require_classify
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

        Raises ModelError if the network gives numbers that are not finite.
        """
        logits = self._run(pictures)
        if self.of_faces and self.card.mirrored:
            logits = (logits + self._run(np.ascontiguousarray(pictures[:, :, ::-1]))) / 2
        if not np.isfinite(logits).all():
            raise ModelError(f"{self.path}: gives probabilities that are not finite; copy the model again")
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))  # at most 1, so nothing overflows
        return odds / odds.sum(axis=1, keepdims=True)


class StageReader(_TorchModel):
    """Reads the features of one stage of a network: the mean of each of the stage's maps.

    card: the network's, except that `embedding_dim` is the number of features. A network of mode "metric" reads aligned
    faces, one of mode "classify" whole pictures. layer: the stage's name.
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

        Raises ModelError if the network gives numbers that are not finite.
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
        except RuntimeError as error:  # a kernel that is larger than the maps it reads
            raise ConfigError(
                f"{size} pixels are too few for {self.layer} of {self.card.name}; give a larger `input_size`"
            ) from error
