"""Convert facenet-pytorch's MTCNN to OpenVINO: the networks that facerec/faces/cascade.py asks.

    .venv/bin/python scripts/default_model/convert_mtcnn.py [--output facerec/faces/weights]

Each network becomes NAME.xml and NAME.bin; facenet-pytorch's licence is stored beside them. The networks take pixels of
four channels: red, green and blue in -1..1, and a mark. They give side by side what facenet-pytorch's give: the scores
of *no face* and of *face* before their softmax, four corrections of the box and, the third network, ten landmarks.

    pnet   (N, H, W, 4)    ->  (N, rows, columns, 6)
    rnet   (N, 24, 24, 4)  ->  (N, 6)
    onet   (N, 48, 48, 4)  ->  (N, 16)

The mark is for the first network, which looks at sheets of many pictures (`pyramid.Sheet`): 0 in a picture, OUTSIDE
outside. Where a picture ends, only what lies in the picture may be pooled. So the marks are added to what is pooled.

Printed: of each network, the largest difference of its outputs from facenet-pytorch's, and its size. SystemExit if a
difference is above LARGEST; then nothing is stored.
"""

import argparse
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import torch
from facenet_pytorch.models.mtcnn import ONet, PNet, RNet
from numpy.typing import NDArray
from openvino import opset1, opset13
from torch import nn

from facerec.faces.cascade_networks import WEIGHTS

LARGEST = 1e-5

Node = Any  # of an OpenVINO graph
Array = NDArray[np.float32]

# ---- layers ---------------------------------------------------------------------------------------------------------


def array(tensor: torch.Tensor | None) -> Array:
    """A tensor's numbers."""
    assert tensor is not None
    return tensor.detach().numpy()


def convolved(maps: Node, layer: nn.Conv2d, bend: nn.PReLU, channels: int) -> Node:
    """A convolution of (N, channels, H, W), then a PReLU. Channels that the layer does not know count nothing."""
    weights = np.zeros((layer.out_channels, channels, *layer.kernel_size), np.float32)
    weights[:, : layer.in_channels] = array(layer.weight)
    found = opset13.convolution(maps, weights, [1, 1], [0, 0], [0, 0], [1, 1])
    return opset13.prelu(opset13.add(found, array(layer.bias).reshape(1, -1, 1, 1)), array(bend.weight))


def pooled(maps: Node, side: int) -> Node:
    """The largest value of each square. Squares lie 2 apart, and the last ones may be cut."""
    # The nodes of later opsets also say where the values were, which takes time.
    return opset1.max_pool(maps, [2, 2], [0, 0], [0, 0], [side, side], "ceil")


def linear(rows: Node, weights: Array, bias: Array) -> Node:
    """(N, inputs) -> (N, outputs)."""
    return opset13.add(opset13.matmul(rows, weights, False, True), bias[None])


def flat(maps: Node, layer: nn.Linear, bend: nn.PReLU) -> Node:
    """A linear layer of (N, C, 3, 3), then a PReLU. facenet-pytorch counts the places column by column."""
    weights = array(layer.weight).reshape(layer.out_features, 3, 3, -1).swapaxes(1, 2)
    rows = opset13.reshape(opset13.transpose(maps, [0, 2, 3, 1]), [-1, layer.in_features], False)
    return opset13.prelu(linear(rows, weights.reshape(layer.out_features, -1), array(layer.bias)), array(bend.weight))


def side_by_side(*layers: nn.Linear | nn.Conv2d) -> tuple[Array, Array]:
    """The weights (outputs, inputs) and bias (outputs,) of layers that read the same."""
    weights = [array(layer.weight).reshape(len(layer.weight), -1) for layer in layers]
    return np.concatenate(weights), np.concatenate([array(layer.bias) for layer in layers])


# ---- networks -------------------------------------------------------------------------------------------------------


def pixels(side: int) -> tuple[Node, Node]:
    """The input (N, side, side, 4) of a network, and the same with the channels first."""
    given = opset13.parameter([-1, side, side, 4], np.float32, "pixels")
    return given, opset13.transpose(given, [0, 3, 1, 2])


def graph(output: Node, given: Node) -> openvino.Model:
    """The network that computes an output from what is given."""
    return openvino.Model([output], [given], "")  # type: ignore[call-overload]


def pnet(net: PNet) -> openvino.Model:
    """The first network."""
    given, maps = pixels(-1)
    end = 2**31 - 1
    marks = opset13.slice(given, [2, 2, 3], [end, end, 4], [1, 1, 1], [1, 2, 3])  # of each 3x3 pixels' last one
    maps = convolved(maps, net.conv1, net.prelu1, 4)
    maps = pooled(opset13.add(maps, opset13.transpose(marks, [0, 3, 1, 2])), 2)
    maps = convolved(maps, net.conv2, net.prelu2, 10)
    maps = convolved(maps, net.conv3, net.prelu3, 16)
    weights, bias = side_by_side(net.conv4_1, net.conv4_2)
    maps = opset13.convolution(maps, weights[:, :, None, None], [1, 1], [0, 0], [0, 0], [1, 1])
    maps = opset13.add(maps, bias.reshape(1, -1, 1, 1))
    return graph(opset13.transpose(maps, [0, 2, 3, 1]), given)


def rnet(net: RNet) -> openvino.Model:
    """The second network."""
    given, maps = pixels(24)
    maps = pooled(convolved(maps, net.conv1, net.prelu1, 4), 3)
    maps = pooled(convolved(maps, net.conv2, net.prelu2, 28), 3)
    maps = convolved(maps, net.conv3, net.prelu3, 48)
    rows = flat(maps, net.dense4, net.prelu4)
    return graph(linear(rows, *side_by_side(net.dense5_1, net.dense5_2)), given)


def onet(net: ONet) -> openvino.Model:
    """The third network."""
    given, maps = pixels(48)
    maps = pooled(convolved(maps, net.conv1, net.prelu1, 4), 3)
    maps = pooled(convolved(maps, net.conv2, net.prelu2, 32), 3)
    maps = pooled(convolved(maps, net.conv3, net.prelu3, 64), 2)
    maps = convolved(maps, net.conv4, net.prelu4, 64)
    rows = flat(maps, net.dense5, net.prelu5)
    return graph(linear(rows, *side_by_side(net.dense6_1, net.dense6_2, net.dense6_3)), given)


# ---- files ----------------------------------------------------------------------------------------------------------


def difference(model: openvino.Model, net: nn.Module, side: int) -> float:
    """The largest difference of scores, corrections and landmarks, for random pixels that fill the pictures."""
    given = np.random.default_rng(0).uniform(-1, 1, (4, side, side, 4)).astype(np.float32)
    given[..., 3] = 0
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = torch.from_numpy(np.moveaxis(compiled(given)[0], -1, 1))
    with torch.inference_mode():
        *expected, scores = net(torch.from_numpy(given[..., :3].transpose(0, 3, 1, 2)))
    ours = torch.cat([found[:, :2].softmax(1), found[:, 2:]], 1)
    return float((ours - torch.cat([scores, *expected], 1)).abs().max())


def store(model: openvino.Model, net: nn.Module, side: int, path: Path) -> None:
    """Compare a network with facenet-pytorch's and store it."""
    largest = difference(model, net, side)
    if largest > LARGEST:
        raise SystemExit(f"{path.stem}: differs from facenet-pytorch's by {largest:.1e}")
    openvino.save_model(model, path, compress_to_fp16=False)
    size = sum(file.stat().st_size for file in (path, path.with_suffix(".bin")))
    print(f"{path.stem}: differs by {largest:.1e}, {size / 1000:.0f} kB")


def main() -> None:
    """Convert, compare, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=WEIGHTS, help="the folder for the files (default: the shipped)")
    output = parser.parse_args().output
    first, second, third = PNet().eval(), RNet().eval(), ONet().eval()
    store(pnet(first), first, 61, output / "pnet.xml")
    store(rnet(second), second, 24, output / "rnet.xml")
    store(onet(third), third, 48, output / "onet.xml")
    licence = next(file for file in distribution("facenet-pytorch").files or () if file.name == "LICENSE.md")
    (output / "mtcnn.LICENSE.txt").write_text(licence.read_text(), "utf-8")


if __name__ == "__main__":
    main()
