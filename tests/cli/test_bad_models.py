"""A model that cannot be used, folder or ONNX file: nothing is done, and one clear line says why."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import toy_model
from complaints import Build, clear, refused, written
from onnx import TensorProto, helper
from running import run


@pytest.fixture
def folder_model(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of a model folder, to be spoiled."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def test_a_card_that_is_no_json_names_the_remedy(folder_model: Path, good: Path) -> None:
    refused(
        run("verify", good, good, "--model", card_without_json(folder_model)), "correct it, or copy the model again"
    )


def edit_card(path: Path, **facts: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | facts), "utf-8")


def no_model(path: Path) -> Path:
    return path.parent / "no-such-model"


def no_card(path: Path) -> Path:
    (path / "model.json").unlink()
    return path


def no_weights(path: Path) -> Path:
    (path / "weights.safetensors").unlink()
    return path


def cut_weights(path: Path) -> Path:
    file = path / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:100_000])
    return path


def garbage_weights(path: Path) -> Path:
    (path / "weights.safetensors").write_bytes(b"garbage" * 1000)
    return path


def other_card(path: Path) -> Path:
    edit_card(path / "model.json", fingerprint="0" * 16)
    return path


def newer_card(path: Path) -> Path:
    edit_card(path / "model.json", format=99)
    return path


def unknown_field(path: Path) -> Path:
    edit_card(path / "model.json", favourite_colour="blue")
    return path


def unknown_backbone(path: Path) -> Path:
    from facerec.models.card import read_card
    from facerec.models.checkpoint import _fingerprint, _read_tensors

    edit_card(path / "model.json", backbone="resnet9000")
    fingerprint = _fingerprint(read_card(path / "model.json"), _read_tensors(path / "weights.safetensors"))
    edit_card(path / "model.json", fingerprint=fingerprint)
    return path


def card_without_json(path: Path) -> Path:
    (path / "model.json").write_text("name: mine", "utf-8")
    return path


def card_of_a_list(path: Path) -> Path:
    (path / "model.json").write_text("[]", "utf-8")
    return path


def mean_in_words(path: Path) -> Path:
    edit_card(path / "model.json", mean="grey")
    return path


def mad_threshold(path: Path) -> Path:
    edit_card(path / "model.json", threshold={"distance": "far"})
    return path


def threshold_no_table(path: Path) -> Path:
    edit_card(path / "model.json", threshold=1.1)
    return path


def no_weights_file(path: Path) -> Path:
    return written(path / "weights.bin", b"")


SPOILS: dict[Build, str] = {
    no_model: "no such model", no_card: "no such file", no_weights: "incomplete", cut_weights: "copy the model again",
    garbage_weights: "copy the model again", other_card: "not the file its model.json was written for",
    newer_card: "upgrade facerec", unknown_field: "favourite_colour", unknown_backbone: "resnet9000",
    card_without_json: "not a model card", card_of_a_list: "not a model card", mean_in_words: "three numbers",
    mad_threshold: "from 0 to 4", threshold_no_table: "threshold must be", no_weights_file: "not a model",
}  # fmt: skip


@pytest.mark.parametrize("spoil", SPOILS, ids=lambda spoil: spoil.__name__)
def test_a_spoiled_model_folder(spoil: Build, folder_model: Path, good: Path) -> None:
    bad = spoil(folder_model)
    result = run("verify", good, good, "--aligned", "--model", bad)
    refused(result, SPOILS[spoil], bad)
    broken = run("doctor", "--model", bad, gallery=good.parent / "none")
    assert broken.exit_code == 1
    assert clear(broken.stderr)


def constant_model(path: Path, value: float) -> Path:
    """A network that gives every face the same numbers."""
    taken = helper.make_tensor_value_info("faces", TensorProto.FLOAT, ["N", 3, 112, 112])
    given = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["N", toy_model.DIMENSION])
    weights = onnx.numpy_helper.from_array(np.full((3, toy_model.DIMENSION), value, np.float32), "weights")
    nodes = [
        helper.make_node("GlobalAveragePool", ["faces"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["vectors"]),
    ]
    toy_model.save_graph(helper.make_graph(nodes, "constant", [taken], [given], [weights]), path)
    return path


def two_inputs(path: Path) -> Path:
    shape = [1, toy_model.DIMENSION]
    taken = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("a", "b")]
    given = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, shape)
    node = helper.make_node("Add", ["a", "b"], ["vectors"])
    toy_model.save_graph(helper.make_graph([node], "two", taken, [given]), path)
    return path


def remove_card(path: Path) -> Path:
    path.with_suffix(".json").unlink()
    return path


def card_says(**facts: Any) -> Build:
    def spoil(path: Path) -> Path:
        edit_card(path.with_suffix(".json"), **facts)
        return path

    return spoil


ONNX: dict[str, tuple[Build, str]] = {
    "garbage": (lambda path: written(path, b"garbage" * 1000), "give a valid .onnx file"),
    "empty": (lambda path: written(path, b""), "toy.onnx"),
    "cut off": (lambda path: written(path, path.read_bytes()[:150]), "give a valid .onnx file"),
    "without its card": (remove_card, "toy.json: no such file"),
    "other dimension": (card_says(embedding_dim=64), "its card says 64"),
    "other input size": (card_says(input_size=96), "mend its card"),
    "two inputs": (two_inputs, "2 inputs"),
    "zeros": (lambda path: constant_model(path, 0.0), "without a direction"),
    "not a number": (lambda path: constant_model(path, float("nan")), "without a direction"),
    "missing": (lambda path: path.with_name("other.onnx"), "no such model"),
    "folder": (lambda path: path.parent, "model.json: no such file"),
}


@pytest.mark.parametrize("kind", ONNX)
def test_a_spoiled_onnx_file(kind: str, good: Path, tmp_path: Path) -> None:
    build, word = ONNX[kind]
    bad = build(toy_model.write_model(tmp_path / "onnx"))
    refused(run("verify", good, good, "--aligned", "--model", bad), tmp_path / "onnx", word)
    (tmp_path / "pairs.csv").write_text("a,b,same\ngood.png,other.png,1\n", "utf-8")
    toy_model.save_crop(good.parent / "other.png", 0, 1)
    files = ["--images", good.parent, "--pairs", tmp_path / "pairs.csv"]
    refused(run("evaluate", "verification", *files, "--aligned", "--model", bad), tmp_path / "onnx", word)
