"""scripts/default_model/reuse_head.py: the student's last layer is its teacher's, its maps are scaled alike."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
import toy_model
from onnx import TensorProto, helper, numpy_helper
from running import ROOT
from toy_runs import Data, small

from facerec.models.card import ModelCard, write_card
from facerec.models.checkpoint import describe, load_model, save_model
from facerec.models.network import Network

pytestmark = pytest.mark.usefixtures("one_thread")
DIM = 24


def write_teacher(folder: Path, *, bent: bool = False) -> tuple[Path, np.ndarray, np.ndarray]:
    """An ONNX network of 64 maps of 28 x 28 and a linear layer, which may be `bent` afterwards; the layer."""
    rng = np.random.default_rng(5)
    weights = {
        "kernel": rng.normal(0, 0.1, (64, 3, 4, 4)).astype(np.float32),
        "weight": rng.normal(0, 0.01, (DIM, 64 * 28 * 28)).astype(np.float32),
        "shift": rng.normal(0, 1, DIM).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["faces", "kernel"], ["drawn"], strides=[4, 4], kernel_shape=[4, 4]),
        helper.make_node("Relu", ["drawn"], ["maps"]),
        helper.make_node("Flatten", ["maps"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weight", "shift"], ["linear" if bent else "vectors"], transB=1),
    ]
    if bent:
        nodes.append(helper.make_node("Tanh", ["linear"], ["vectors"]))
    taken = helper.make_tensor_value_info("faces", TensorProto.FLOAT, ["N", 3, 112, 112])
    given = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["N", DIM])
    constants = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    folder.mkdir()
    graph: onnx.GraphProto = helper.make_graph(nodes, "teacher", [taken], [given], constants)
    toy_model.save_graph(graph, folder / "teacher.onnx")
    card = ModelCard("teacher", DIM, 112, mean=toy_model.GREY, std=toy_model.GREY)
    write_card(card, folder / "teacher.json")
    return folder / "teacher.onnx", weights["weight"], weights["shift"]


def reuse(start: Path, teacher: Path, output: Path, faces: Data, kept: int) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        ROOT / "scripts" / "default_model" / "reuse_head.py",
        start,
        teacher,
        output,
        "--kept-stages",
        kept,
    ]
    given = ["--crops", faces.folder, "--splits", faces.splits]
    return subprocess.run([*map(str, command), *map(str, given)], capture_output=True, text=True)


@pytest.fixture
def start(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    network = Network("resnet18", 16)
    save_model(network, tmp_path / "start", describe(network, "start"))
    return tmp_path / "start"


def test_the_students_head_is_the_teachers(start: Path, some_faces: Data, tmp_path: Path) -> None:
    teacher, weight, shift = write_teacher(tmp_path / "teacher")
    done = reuse(start, teacher, tmp_path / "new", some_faces, 2)
    assert done.returncode == 0, done.stderr
    new, _ = load_model(tmp_path / "new")
    old, _ = load_model(start)
    assert (new.dim, new.kept_stages, new.pooling) == (DIM, 2, "flat")
    for name, tensor in new.stages.state_dict().items():
        assert torch.equal(tensor, old.stages.state_dict()[name]), name
    with torch.inference_mode():
        maps = torch.rand(3, 64, 28, 28)
        flat = maps.flatten(1)
        by_hand = flat @ torch.from_numpy(weight).T + torch.from_numpy(shift)
        torch.testing.assert_close(new.head[4:](flat), by_hand, atol=2e-3, rtol=1e-3)


def test_a_teacher_that_does_not_fit_is_refused(start: Path, some_faces: Data, tmp_path: Path) -> None:
    teacher, _, _ = write_teacher(tmp_path / "teacher")
    assert "the student's maps have" in reuse(start, teacher, tmp_path / "new", some_faces, 3).stderr
    bent, _, _ = write_teacher(tmp_path / "bent", bent=True)
    assert "not affine" in reuse(start, bent, tmp_path / "new", some_faces, 2).stderr
    assert not (tmp_path / "new").exists()


def test_training_goes_on_from_there(start: Path, some_faces: Data, tmp_path: Path) -> None:
    """The new convolution's outputs have the teacher's spread, so that in train mode, too, no output is far off."""
    teacher, _, _ = write_teacher(tmp_path / "teacher")
    assert reuse(start, teacher, tmp_path / "new", some_faces, 2).returncode == 0
    options = {
        "backbone": "resnet18",
        "kept_stages": 2,
        "pooling": "flat",
        "embedding_dim": DIM,
        "train_size": 0,
        "teacher_loss": "direct",
    }
    settings = small(init=str(tmp_path / "new"), teacher=(str(teacher),), loss="none", epochs=1, **options)
    new, _ = load_model(tmp_path / "new")
    pixels = next(iter(some_faces.learner(settings).feed.train([np.arange(32)], 0))).pixels
    assert pixels is not None
    with torch.inference_mode():
        features = new.prefix(pixels, 2)
        still, moving = new.head.eval()(features), new.head.train()(features)
    assert F.cosine_similarity(still, moving).mean() > 0.8
    some_faces.train(tmp_path / "run", settings)
