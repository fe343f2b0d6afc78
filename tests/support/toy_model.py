"""A network with predictable vectors, and made-up people that it tells apart.

The network is an ONNX file. The vector of a face is its 4 x 4 thumbnail. A person is a random 4 x 4 pattern, a photo of
them that pattern with noise: two photos of one person are about 0.04 apart, photos of two people about 2.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import PIL.Image
from numpy.typing import NDArray
from onnx import TensorProto, helper

from facerec.models.card import ModelCard, write_card
from facerec.types import Image

DIMENSION = 48
THRESHOLD = {"distance": 0.5, "fmr": 0.001, "source": "made up for tests"}
GREY = (127.5, 127.5, 127.5)
NAMES = ["Ann Lee", "Bob O'Ray", "Çelik 王"]  # of the made-up people in conftest's crops
CARD = ModelCard("toy", DIMENSION, 112, mean=GREY, std=GREY, threshold=THRESHOLD)


def write_model(folder: Path, name: str = "toy", batch: str | int = "N", **facts: Any) -> Path:
    """Write folder/NAME.onnx, which takes `batch` faces at a time, and its card: CARD changed by `facts`."""
    folder.mkdir(parents=True, exist_ok=True)
    taken = helper.make_tensor_value_info("faces", TensorProto.FLOAT, [batch, 3, 112, 112])
    given = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, [batch, DIMENSION])
    pool = helper.make_node("AveragePool", ["faces"], ["pooled"], kernel_shape=[28, 28], strides=[28, 28])
    graph = helper.make_graph([pool, helper.make_node("Flatten", ["pooled"], ["vectors"])], "toy", [taken], [given])
    save_graph(graph, folder / f"{name}.onnx")
    write_card(dataclasses.replace(CARD, name=name, **facts), folder / f"{name}.json")
    return folder / f"{name}.onnx"


def save_graph(graph: onnx.GraphProto, path: Path) -> None:
    """Write a graph in ONNX versions that every OpenVINO supported by facerec can read."""
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def vector(crop: Image) -> NDArray[np.float64]:
    """Compute the network's unit vector of a (112, 112, 3) crop by hand."""
    cells = [crop[28 * i : 28 * i + 28, 28 * j : 28 * j + 28] for i in range(4) for j in range(4)]
    row = np.array([cell[..., channel].mean() / 127.5 - 1 for channel in range(3) for cell in cells])
    return row / np.linalg.norm(row)


def crop(person: int, photo: int) -> Image:
    """Return photo number `photo` of a made-up person, (112, 112, 3) uint8."""
    pattern = np.random.default_rng(person).integers(0, 256, (4, 4, 3))
    noise = np.random.default_rng((person, photo)).normal(0, 10, (4, 4, 3))
    return np.clip(pattern + noise, 0, 255).astype(np.uint8).repeat(28, axis=0).repeat(28, axis=1)


def save_crop(path: Path, person: int, photo: int) -> Path:
    """Write a photo, and its folders if need be. Returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(crop(person, photo)).save(path)
    return path
