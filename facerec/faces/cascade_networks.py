"""MTCNN's three networks, run by OpenVINO. `scripts/default_model/convert_mtcnn.py` made the files, and says what they do."""

import threading
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec.models.compiled import compile_network

WEIGHTS = Path(__file__).parent / "weights"

Array = NDArray[np.float32]


class Network:
    """A network of one input and one output. It computes while its next input is made."""

    def __init__(self, name: str) -> None:
        """name: "pnet", "rnet" or "onet"."""
        self._files = [(WEIGHTS / f"{name}.{kind}").read_bytes() for kind in ("xml", "bin")]
        self._queues: dict[tuple[int, ...], Any] = {}  # of a compiled network, by the shape of its input
        self._one_at_a_time = threading.Lock()

    def run(self, inputs: Iterable[Array]) -> list[Array]:
        """The outputs for some inputs, in their order."""
        outputs: dict[int, Array] = {}
        with self._one_at_a_time:
            queues = set()
            for number, pixels in enumerate(inputs):
                queue = self._queue(pixels.shape)
                queue.start_async({0: pixels}, (outputs, number, pixels), share_inputs=True)
                queues.add(queue)
            for queue in queues:
                queue.wait_all()
        return [outputs[number] for number in range(len(outputs))]

    def _queue(self, shape: tuple[int, ...]) -> Any:
        from openvino import AsyncInferQueue

        if shape not in self._queues:
            self._queues[shape] = AsyncInferQueue(compile_network(*self._files, shape=shape))
            self._queues[shape].set_callback(_keep)
        return self._queues[shape]


def _keep(request: Any, given: tuple[dict[int, Array], int, Array]) -> None:
    outputs, number, _ = given  # the input, which is used where it lies, exists until now
    outputs[number] = request.get_output_tensor().data.copy()  # as the next input reuses the memory


@cache
def network(name: str) -> Network:
    """A network, which is read when the first photo needs it."""
    return Network(name)
