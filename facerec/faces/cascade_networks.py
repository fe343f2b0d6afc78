"""MTCNN's three networks, run by OpenVINO. What they read and give: `scripts/default_model/convert_mtcnn.py`."""

import threading
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec.models.compiled import compile_network, import_openvino

WEIGHTS = Path(__file__).parent / "weights"

Array = NDArray[np.float32]


class Network:
    """A network of one input and one output. It computes while its next input is made."""

    def __init__(self, name: str) -> None:
        """name: "pnet", "rnet" or "onet"."""
        self._fixed = name == "pnet"  # compiled for any number of inputs, it takes a fifth longer; the others do not
        self._files = [(WEIGHTS / f"{name}.{kind}").read_bytes() for kind in ("xml", "bin")]
        self._compiled: dict[tuple[int, ...], tuple[Any, Any]] = {}  # by the shape of the input: the network, its queue
        self._one_at_a_time = threading.Lock()

    def run(self, inputs: Iterable[Array]) -> list[Array]:
        """The outputs for some inputs, in their order."""
        outputs: dict[int, Array] = {}
        with self._one_at_a_time:
            queues = set()
            for number, pixels in enumerate(inputs):
                queue = self._queue(pixels.shape if self._fixed else (-1, *pixels.shape[1:]))
                queue.start_async({0: pixels}, (outputs, number, pixels), share_inputs=True)
                queues.add(queue)
            for queue in queues:
                queue.wait_all()
        return [outputs[number] for number in range(len(outputs))]

    def _queue(self, shape: tuple[int, ...]) -> Any:
        if shape not in self._compiled:
            compiled = compile_network(*self._files, shape=shape, streams=0)
            queue = import_openvino().AsyncInferQueue(compiled)
            queue.set_callback(_keep)
            self._compiled[shape] = compiled, queue  # a queue alone does not keep the network's numbers in memory
        return self._compiled[shape][1]


def _keep(request: Any, given: tuple[dict[int, Array], int, Array]) -> None:
    outputs, number, _ = given  # the input, which is used where it lies, exists until now
    outputs[number] = request.get_output_tensor().data.copy()  # as the next input reuses the memory


@cache
def network(name: str) -> Network:
    """A network, which is read when the first photo needs it."""
    return Network(name)
