"""A model folder's network as an int8 file for OpenVINO: a quarter of the size, many times as fast on a CPU.

Post-training quantisation by NNCF: weights and activations in 8 bits, their ranges found on calibration crops. The
first stages, the sums at the end of every residual block, and the head's convolution stay in floating point. Its
distances are not quite the original's, so the file is a model of its own, with its own fingerprint and threshold.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facerec.errors import ConfigError
from facerec.models.card import ModelCard, write_card
from facerec.models.network import Network
from facerec.vectors import squared_distances

FLOAT_STAGES = 2  # their few channels have the widest ranges: in 8 bits they bring most of the rounding error
RAW = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}  # of the file's card: the network normalises for itself


class _Vectors(nn.Module):
    """The network without its last step, dividing by the length, which whoever runs the file does in full precision."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        return self.network.head(self.network.prefix(pixels, len(self.network.stages)))


def export_int8(network: Network, card: ModelCard, crops: NDArray[np.uint8], path: Path) -> None:
    """Write FILE.xml, FILE.bin and FILE.json, `card` less what was measured with the original.

    crops: (N, S, S, 3) uint8 RGB to calibrate with, some hundred faces as they will come. Raises ConfigError where
    NNCF is not installed.
    """
    try:
        import nncf
    except ImportError as error:
        raise ConfigError("int8 export needs NNCF: pip install facerec[export]") from error
    import openvino

    model = openvino.convert_model(_traced(network))
    pixels = crops.transpose(0, 3, 1, 2).astype(np.float32)  # (N, 3, S, S)
    # Rounded sums carry their error into all later blocks: in floating point they halve that of the distances.
    exact = nncf.IgnoredScope(names=_exact_convolutions(model, network), types=["Add"])
    options: dict[str, Any] = {"subset_size": len(pixels), "preset": nncf.QuantizationPreset.MIXED}
    quantised = nncf.quantize(model, nncf.Dataset([crop[None] for crop in pixels]), ignored_scope=exact, **options)
    path.parent.mkdir(parents=True, exist_ok=True)
    openvino.save_model(quantised, path.with_suffix(".xml"), compress_to_fp16=True)
    measured = {"threshold": {}, "probability": {}, "results": {}}
    own = {"name": f"{card.name}-int8", "fingerprint": "", "training": {}, **measured}
    own |= {"attribute": "", "attribute_values": []}  # the file has the first head alone
    write_card(
        dataclasses.replace(card, backbone="", kept_stages=0, dropped_blocks=[], pooling="mean", **own, **RAW),
        path.with_suffix(".json"),
    )


def _traced(network: Network) -> torch.export.ExportedProgram:
    """The network's operations for a batch of any size."""
    crops = torch.zeros(2, 3, network.input_size, network.input_size)
    with torch.no_grad():
        return torch.export.export(_Vectors(network.eval()), (crops,), dynamic_shapes=({0: torch.export.Dim("faces")},))


def _exact_convolutions(model: Any, network: Network) -> list[str]:
    """What `model`, an OpenVINO copy of the network, calls the convolutions of its first FLOAT_STAGES and its head."""
    every = [op.get_friendly_name() for op in model.get_ordered_ops() if "Convolution" in op.get_type_name()]
    first = sum(map(_convolutions, network.stages[:FLOAT_STAGES]))
    # The order is one of computation: all that comes later needs all of the first, and nothing of these the last.
    return every[:first] + every[len(every) - _convolutions(network.head) :]


def _convolutions(module: nn.Module) -> int:
    return sum(isinstance(layer, nn.Conv2d) for layer in module.modules())


def distance_errors(reference: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    """How far off the distances of all pairs of (N, D) unit rows are in `other`: (N (N - 1) / 2,), signed."""
    pairs = np.triu_indices(len(reference), 1)
    return (squared_distances(other, other) - squared_distances(reference, reference))[pairs].astype(np.float64)
