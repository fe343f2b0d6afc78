"""ONNX networks run by torch: they give what OpenVINO gives, and so does a teacher made of one."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import toy_model
from onnx import TensorProto, helper, numpy_helper

from facerec.inference.loading import load_embedder
from facerec.models.card import read_card, write_card
from facerec.training.distillation import LiveTeacher, TorchTeacher
from facerec.training.onnx_network import OnnxNetwork

pytestmark = pytest.mark.usefixtures("one_thread")


def write_every_operator(folder: Path) -> Path:
    """Write FOLDER/every.onnx, in which every operator has a part, and its card."""
    rng = np.random.default_rng(0)
    weights = {
        "shift": np.full((1, 3, 1, 1), 127.5),
        "scale": np.full((1, 3, 1, 1), 64.0),
        "first_flat": rng.normal(size=(8, 27)) / 5,
        "first_shape": np.array([0, 3, 3, -1]),
        "first_bias": rng.normal(size=8),
        "depth": rng.normal(size=(8, 1, 3, 3)) / 3,
        "slope": rng.uniform(0.1, 0.4, (8, 1, 1)),
        **{name: rng.uniform(0.5, 1.5, 8) for name in ("gamma", "beta", "mean", "variance")},
        "last": rng.normal(size=(16, 8)),
        "last_bias": rng.normal(size=16),
        "centre": rng.normal(size=(1, 16)),
        "rows": np.array([0, -1]),
    }
    nodes = [
        helper.make_node("Sub", ["faces", "shift"], ["a"]),
        helper.make_node("Div", ["a", "scale"], ["b"]),
        helper.make_node("Reshape", ["first_flat", "first_shape"], ["first"]),
        helper.make_node("Conv", ["b", "first", "first_bias"], ["c"], strides=[2, 2], pads=[1, 1, 0, 0]),
        helper.make_node("PRelu", ["c", "slope"], ["d"]),
        helper.make_node("Conv", ["d", "depth"], ["e"], group=8, dilations=[2, 2], pads=[2, 2, 2, 2]),
        helper.make_node("BatchNormalization", ["e", "gamma", "beta", "mean", "variance"], ["f"], epsilon=1e-3),
        helper.make_node("Relu", ["f"], ["g"]),
        helper.make_node("MaxPool", ["g"], ["h"], kernel_shape=[2, 2], strides=[2, 2], pads=[1, 1, 0, 0]),
        helper.make_node("AveragePool", ["h"], ["i"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Identity", ["i"], ["j"]),
        helper.make_node("Dropout", ["j"], ["k"]),
        helper.make_node("GlobalAveragePool", ["k"], ["l"]),
        helper.make_node("Flatten", ["l"], ["m"]),
        helper.make_node("Gemm", ["m", "last", "last_bias"], ["n"], transB=1, alpha=0.5, beta=2.0),
        helper.make_node("Constant", [], ["half"], value=numpy_helper.from_array(np.array([0.5], np.float32))),
        helper.make_node("Mul", ["n", "half"], ["o"]),
        helper.make_node("Add", ["o", "centre"], ["p"]),
        helper.make_node("Reshape", ["p", "rows"], ["vectors"]),
    ]
    whole = ("rows", "first_shape")
    arrays = {name: value.astype(np.int64 if name in whole else np.float32) for name, value in weights.items()}
    constants = [numpy_helper.from_array(value, name) for name, value in arrays.items()]
    taken = helper.make_tensor_value_info("faces", TensorProto.FLOAT, ["N", 3, 112, 112])
    given = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["N", 16])
    toy_model.save_graph(helper.make_graph(nodes, "every", [taken], [given], constants), folder / "every.onnx")
    facts = {"name": "every", "embedding_dim": 16, "mean": (0, 0, 0), "std": (1, 1, 1), "mirrored": True}
    card = dataclasses.replace(toy_model.CARD, **facts)
    write_card(card, folder / "every.json")
    return folder / "every.onnx"


def teachers(path: Path) -> tuple[TorchTeacher, LiveTeacher]:
    embedder = load_embedder(str(path))
    live = LiveTeacher(embedder.embed, embedder.card.embedding_dim, embedder.card.input_size)
    return TorchTeacher(OnnxNetwork(path), read_card(path.with_suffix(".json")), bf16=False), live


@pytest.mark.parametrize("kind", ["every operator", "toy"])
@pytest.mark.parametrize("size", [112, 80])
def test_a_teacher_says_the_same_by_torch_and_by_openvino(kind: str, size: int, tmp_path: Path) -> None:
    """Mirror images are seen by both where the card asks for them."""
    path = write_every_operator(tmp_path) if kind == "every operator" else toy_model.write_model(tmp_path)
    by_torch, live = teachers(path)
    pixels = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (5, 3, size, size), np.uint8))
    found, expected = (teacher.rows(np.arange(5), pixels) for teacher in (by_torch, live))
    assert by_torch.dim == live.dim
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)


def test_what_does_not_depend_on_the_input_is_computed_once(tmp_path: Path) -> None:
    network = OnnxNetwork(write_every_operator(tmp_path))
    kinds = [step.kind for step in network._steps]
    assert kinds.count("Reshape") == 1
    assert "Constant" not in kinds


def test_an_operator_that_is_not_known_is_named(tmp_path: Path) -> None:
    path = write_every_operator(tmp_path)
    model = onnx.load(path)
    model.graph.node[7].op_type = "Softplus"
    onnx.save(model, path)
    with pytest.raises(ValueError, match="operator Softplus"):
        OnnxNetwork(path)
