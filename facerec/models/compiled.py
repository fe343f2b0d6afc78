"""Networks compiled by OpenVINO for the CPU. Everything that runs without torch runs through here."""

import contextlib
import hashlib
import importlib
import sys
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from io import BytesIO
from typing import Any

from numpy.typing import NDArray

from facerec.models.kept_networks import keep, kept_at, read_kept
from facerec.models.running import most_threads, require_own_process

_CONVERTER = "openvino.tools.ovc"


def compile_network(
    model: bytes,
    weights: bytes = b"",
    *,
    precision: str = "f32",
    shape: Sequence[int] | None = None,
    streams: int = 1,
) -> Any:
    """Compile a network: an `openvino.CompiledModel`.

    model: the content of an ONNX file, or of an .xml file, whose .bin file is `weights`. precision: "f32" or "bf16",
    what it computes in. shape: of the input, if it shall be fixed. streams: how many calls are answered at the same
    time, each with its share of the cores; 0: one for each core, as small networks gain little from several. What was
    compiled is kept for the next process (`kept_networks`). Raises RuntimeError, whose last line says why, if OpenVINO
    cannot read the model.
    """
    require_own_process()
    openvino = import_openvino()
    core = openvino.Core()
    # Threads that are bound to cores would share them with those of another process while other cores are idle.
    shares = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": streams} if streams else {"PERFORMANCE_HINT": "THROUGHPUT"}
    how = {"INFERENCE_PRECISION_HINT": precision, "ENABLE_CPU_PINNING": False, **shares}
    how |= {} if (threads := most_threads()) is None else {"INFERENCE_NUM_THREADS": threads}
    digest = hashlib.sha256(model)
    digest.update(weights)
    path = kept_at(openvino.__version__, digest.hexdigest(), shape, sorted(how.items()))
    if (compiled := _kept(core, read_kept(path), how)) is not None:
        return compiled
    network = core.read_model(model, weights) if weights else core.read_model(BytesIO(model))
    if shape is not None:
        network.reshape(list(shape))
    compiled = core.compile_model(network, "CPU", how)
    with contextlib.suppress(RuntimeError):  # some networks can be compiled and not exported
        keep(path, compiled.export_model().getvalue())
    return compiled


class Requests:
    """Runs a compiled network of one output on several inputs at a time. Threads that share it take turns."""

    def __init__(self, network: Any) -> None:
        """network: what `compile_network` returned."""
        self._network = network  # requests alone do not keep its numbers in memory
        streams = network.get_property("NUM_STREAMS")
        self._requests = [network.create_infer_request() for _ in range(2 * streams)]  # so that no stream has to wait
        self._one_at_a_time = threading.Lock()

    def run(self, inputs: Iterable[NDArray[Any]]) -> list[NDArray[Any]]:
        """The outputs, in the order of the inputs, which are taken as they are needed; raises RuntimeError."""
        outputs, running, free = [], deque[Any](), deque(self._requests)
        with self._one_at_a_time:
            try:
                for pixels in inputs:
                    if not free:
                        outputs.append(_output(running[0]))
                        free.append(running.popleft())
                    free[0].start_async({0: pixels})
                    running.append(free.popleft())
                outputs += map(_output, running)
            finally:
                for request in running:
                    with contextlib.suppress(RuntimeError):
                        request.wait()
        return outputs


def _output(request: Any) -> NDArray[Any]:
    """The output of a request once it has one; a copy, as the next input reuses the memory."""
    request.wait()
    return request.get_output_tensor(0).data.copy()


def import_openvino() -> Any:
    """Import OpenVINO without its converter of models.

    Importing that takes longer than all the rest, and sends a message about it to Google Analytics.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # OpenVINO then takes a stub
    if "openvino" not in sys.modules:
        sys.modules[_CONVERTER] = None  # type: ignore[assignment]  # as Python marks what cannot be imported
        try:
            importlib.import_module("openvino")
        finally:
            del sys.modules[_CONVERTER]  # whoever needs it can import it
    return sys.modules["openvino"]


def _kept(core: Any, content: Any, how: dict[str, Any]) -> Any:
    """The network that was compiled before; None if there is none, or OpenVINO does not take it."""
    if content is None:
        return None
    try:
        compiled = core.import_model(import_openvino().Tensor(content, shared_memory=True), "CPU", how)
    except RuntimeError:
        return None
    compiled.content = content  # its numbers are used where they lie
    return compiled
