"""Networks compiled by OpenVINO for the CPU. Everything that runs without torch runs through here."""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

from facerec.models.running import require_own_process


def compile_network(
    model: bytes, weights: bytes = b"", *, precision: str = "f32", shape: Sequence[int] | None = None
) -> Any:
    """Compile a network: an `openvino.CompiledModel`, which answers one call at a time.

    model: the content of an ONNX file, or of an .xml file, whose .bin file is `weights`. precision: "f32" or "bf16",
    what it computes in. shape: of the input, if it shall be fixed. Raises RuntimeError, whose last line says why, if
    OpenVINO cannot read it.
    """
    import openvino

    require_own_process()
    core = openvino.Core()
    network = core.read_model(model, weights) if weights else core.read_model(BytesIO(model))
    if shape is not None:
        network.reshape(list(shape))
    return core.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"})
