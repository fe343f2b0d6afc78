"""An ONNX network run by torch, so that a teacher works on the GPU beside its student. On a CPU OpenVINO is faster."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facerec.extras import require

Attributes = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """One node of the graph."""

    kind: str
    inputs: tuple[str, ...]
    output: str
    attributes: Attributes


class OnnxNetwork(nn.Module):
    """A network of the operators in OPERATORS: (N, 3, S, S) float32 -> (N, D), the first output of the graph."""

    def __init__(self, path: Path) -> None:
        """Raises ValueError where the graph has another operator, and MissingExtraError without the package onnx."""
        require("onnx", str(path))
        import onnx  # only where such a teacher is run by torch

        super().__init__()
        graph = onnx.load(path).graph
        self._steps = [
            Step(node.op_type, tuple(node.input), node.output[0], _attributes(onnx, node)) for node in graph.node
        ]
        if others := {step.kind for step in self._steps} - OPERATORS.keys():
            raise ValueError(f"operator {min(others)}")
        known = {tensor.name: _tensor(onnx.numpy_helper.to_array(tensor)) for tensor in graph.initializer}
        for step in list(self._steps):  # once, what does not depend on the input
            if all(name in known for name in step.inputs if name):
                known[step.output] = _run(step, known)
                self._steps.remove(step)
        self._input = next(value.name for value in graph.input if value.name not in known)
        self._output = graph.output[0].name
        self._names = {name: f"known_{i}" for i, name in enumerate(known)}
        for name, place in self._names.items():
            self.register_buffer(place, known[name])

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        values = {name: self.get_buffer(place) for name, place in self._names.items()} | {self._input: x}
        for step in self._steps:
            values[step.output] = _run(step, values)
        return values[self._output]


def _run(step: Step, values: Mapping[str, Tensor]) -> Tensor:
    inputs = [values[name] if name else None for name in step.inputs]
    return OPERATORS[step.kind](inputs, step.attributes)


def _attributes(onnx: Any, node: Any) -> dict[str, Any]:
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute} | (
        {"value": onnx.numpy_helper.to_array(node.attribute[0].t)} if node.op_type == "Constant" else {}
    )


def _tensor(array: Any) -> Tensor:
    return torch.from_numpy(np.array(array))


def _padded(x: Tensor, attributes: Attributes, value: float = 0.0) -> Tensor:
    """x with the padding that the attributes ask for: (top, left, bottom, right) in ONNX."""
    top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    return F.pad(x, (left, right, top, bottom), value=value) if top or left or bottom or right else x


def _convolve(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    x, weight, *bias = inputs
    steps, spread = attributes.get("strides", (1, 1)), attributes.get("dilations", (1, 1))
    groups = attributes.get("group", 1)
    return F.conv2d(_padded(x, attributes), weight, *bias, stride=steps, dilation=spread, groups=groups)


def _normalise(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    x, weight, bias, mean, variance = inputs
    return F.batch_norm(x, mean, variance, weight, bias, eps=attributes.get("epsilon", 1e-5))


def _multiply(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    a, b, *c = inputs
    a, b = (part.T if attributes.get(name) else part for part, name in ((a, "transA"), (b, "transB")))
    product = attributes.get("alpha", 1.0) * (a @ b)
    return product + attributes.get("beta", 1.0) * c[0] if c else product


def _average(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    kernel = attributes["kernel_shape"]
    return F.avg_pool2d(_padded(inputs[0], attributes), kernel, attributes.get("strides", (1, 1)))


def _largest(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    kernel, x = attributes["kernel_shape"], _padded(inputs[0], attributes, -torch.inf)
    return F.max_pool2d(x, kernel, attributes.get("strides", (1, 1)))


def _shaped(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    x, shape = inputs
    return x.reshape([size or x.shape[i] for i, size in enumerate(shape.tolist())])


OPERATORS: dict[str, Callable[[Sequence[Any], Attributes], Tensor]] = {
    "Add": lambda inputs, _: inputs[0] + inputs[1],
    "AveragePool": _average,
    "BatchNormalization": _normalise,
    "Constant": lambda _, attributes: _tensor(attributes["value"]),
    "Conv": _convolve,
    "Div": lambda inputs, _: inputs[0] / inputs[1],
    "Dropout": lambda inputs, _: inputs[0],
    "Flatten": lambda inputs, attributes: inputs[0].flatten(attributes.get("axis", 1)),
    "Gemm": _multiply,
    "GlobalAveragePool": lambda inputs, _: inputs[0].mean((2, 3), keepdim=True),
    "Identity": lambda inputs, _: inputs[0],
    "MaxPool": _largest,
    "Mul": lambda inputs, _: inputs[0] * inputs[1],
    "PRelu": lambda inputs, _: F.prelu(inputs[0], inputs[1].flatten().to(inputs[0].dtype)),
    "Relu": lambda inputs, _: inputs[0].relu(),
    "Reshape": _shaped,
    "Sub": lambda inputs, _: inputs[0] - inputs[1],
}
