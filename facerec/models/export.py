"""A network as a file that runs without torch: ONNX or OpenVINO in float32, or OpenVINO in 8 bits.

The file takes raw pixels and normalises them itself, as the network does. The runtime divides its output by the length
and averages over the mirror image (`facerec.inference.openvino_runtime`); the card beside the file says so. A file is a
model of its own, with its own fingerprint. `facerec.inference.export` makes one of a model folder and checks it.

An int8 file is a quarter of the size and many times as fast on a CPU. NNCF quantises the trained network: weights and
activations get 8 bits, with ranges measured on calibration crops. The first stages, the sum at the end of each residual
block, and the head's convolution stay in floating point. The file's distances differ a little from the original's.
"""

import dataclasses
import importlib
import logging
import sys
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facerec.extras import require
from facerec.models.card import ModelCard, write_card
from facerec.models.compiled import import_openvino
from facerec.models.network import Network
from facerec.vectors import squared_distances

FLOAT_STAGES = 2  # first stages in floating point: in 8 bits their few, wide channels cause most of the error
OPSET = 17  # of ONNX: read by every OpenVINO that facerec supports
RAW = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}  # in the file's card: the network normalises its input itself


class _Vectors(nn.Module):
    """The network without its last step, the division by the length. The runtime does that in full precision."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        return self.network.head(self.network.prefix(pixels, len(self.network.stages)))


class _InHalf(nn.Module):
    """A module whose weights are stored in float16 and used in float32, as those of a float16 model folder are.

    OpenVINO would fold BatchNorm into weights in float32, and a file of those is twice as large. In float16 they would
    no longer be exact. So the file gets the weights as they are, and OpenVINO folds them when it loads the file.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._module = [module]  # in a list, so that its weights in float32 are not this module's
        self._names = list(_floats(module))
        self.halves = nn.ParameterList(nn.Parameter(each.half(), False) for each in _floats(module).values())

    def forward(self, pixels: Tensor) -> Tensor:
        weights = {name: half.float() for name, half in zip(self._names, self.halves, strict=True)}
        return torch.func.functional_call(self._module[0], weights, (pixels,))


def _floats(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in module.state_dict().items() if tensor.is_floating_point()}


def export_onnx(network: Network, card: ModelCard, path: Path) -> None:
    """Write FILE.onnx and FILE.json, in float32. Raises MissingExtraError where the package onnx is not installed."""
    require("onnx", "ONNX export")
    crops = torch.zeros(2, 3, network.input_size, network.input_size)
    with warnings.catch_warnings():  # the exporter of torch that needs no further package is called deprecated
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Vectors(network.eval()), (crops,), str(path), dynamo=False, opset_version=OPSET, input_names=["faces"],
            output_names=["vectors"], dynamic_axes={"faces": {0: "N"}, "vectors": {0: "N"}},
        )  # fmt: skip
    _write_card(card, f"{card.name}-onnx", path)


def export_openvino(network: Network, card: ModelCard, path: Path) -> None:
    """Write FILE.xml, FILE.bin and FILE.json, which computes in float32.

    Weights that float16 holds exactly, as those of a float16 model folder, are stored so.
    """
    vectors = _Vectors(network.eval())
    in_half = all(torch.equal(weight, weight.half().float()) for weight in _floats(vectors).values())
    model = _converted(_InHalf(vectors) if in_half else vectors, network.input_size)
    import_openvino().save_model(model, path.with_suffix(".xml"), compress_to_fp16=False)
    _write_card(card, f"{card.name}-openvino", path)


def export_int8(network: Network, card: ModelCard, crops: NDArray[np.uint8], path: Path) -> None:
    """Write FILE.xml, FILE.bin and FILE.json, in 8 bits.

    crops: (N, S, S, 3) uint8 RGB to calibrate with, some hundred faces like those to be embedded. Raises
    MissingExtraError if NNCF is not installed.
    """
    require_nncf()
    openvino = import_openvino()  # before NNCF, which imports all of it
    nncf = _import_nncf()
    logging.getLogger("nncf").setLevel(logging.ERROR)  # nncf.set_log_level would silence every other logger, too
    model = _converted(_Vectors(network.eval()), network.input_size)
    pixels = crops.transpose(0, 3, 1, 2).astype(np.float32)  # (N, 3, S, S)
    # Rounded sums pass their error on to all later blocks. In floating point they halve the error of the distances.
    exact = nncf.IgnoredScope(names=_exact_convolutions(model, network), types=["Add"])
    options: dict[str, Any] = {"subset_size": len(pixels), "preset": nncf.QuantizationPreset.MIXED}
    with redirect_stdout(sys.stderr):  # NNCF draws progress bars
        quantised = nncf.quantize(model, nncf.Dataset([crop[None] for crop in pixels]), ignored_scope=exact, **options)
    path.parent.mkdir(parents=True, exist_ok=True)
    openvino.save_model(quantised, path.with_suffix(".xml"), compress_to_fp16=True)
    _write_card(card, f"{card.name}-int8", path)


def _converted(vectors: nn.Module, side: int) -> Any:
    """A network as OpenVINO has it; side: of its crops, in pixels."""
    import_openvino()
    from openvino.tools.ovc import convert_model

    return convert_model(_traced(vectors, side))


def require_nncf() -> None:
    """Raise MissingExtraError where NNCF, which makes int8 files, is not installed."""
    require("nncf", "int8 export")


def _import_nncf() -> Any:
    kept = logging.getLoggerClass()
    try:
        return importlib.import_module("nncf")
    finally:
        logging.setLoggerClass(kept)  # NNCF puts one of its own there, for all loggers that are made later


def _write_card(card: ModelCard, name: str, path: Path) -> None:
    """The card of a file: the network's, less what describes its inside and what was measured with it."""
    own: dict[str, Any] = {"name": name, "fingerprint": "", "training": {}}
    own |= {"threshold": {}, "probability": {}, "results": {}}
    own |= {"attribute": "", "attribute_values": []}  # the file has no second head
    own |= {"backbone": "", "kept_stages": 0, "dropped_blocks": [], "pooling": "mean", **RAW}
    write_card(dataclasses.replace(card, **own), path.with_suffix(".json"))


def _traced(vectors: nn.Module, side: int) -> torch.export.ExportedProgram:
    """A network as a graph of operations, for batches of any size. side: of its crops, in pixels."""
    crops = torch.zeros(2, 3, side, side)
    with torch.no_grad():
        return torch.export.export(vectors, (crops,), dynamic_shapes=({0: torch.export.Dim("faces")},))


def _exact_convolutions(model: Any, network: Network) -> list[str]:
    """The names, in its OpenVINO `model`, of the convolutions of the network's first FLOAT_STAGES and of its head."""
    every = [op.get_friendly_name() for op in model.get_ordered_ops() if "Convolution" in op.get_type_name()]
    first = sum(map(_convolutions, network.stages[:FLOAT_STAGES]))
    # The list is in the order of computation, so the first stages come first and the head last.
    return every[:first] + every[len(every) - _convolutions(network.head) :]


def _convolutions(module: nn.Module) -> int:
    return sum(isinstance(layer, nn.Conv2d) for layer in module.modules())


def distance_errors(reference: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N (N - 1) / 2,) float64: by how much the distances of all pairs of (N, D) unit rows are larger in `other`."""
    pairs = np.triu_indices(len(reference), 1)
    return (squared_distances(other, other) - squared_distances(reference, reference))[pairs].astype(np.float64)
