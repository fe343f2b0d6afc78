"""facerec.inference.export and `facerec export`: files that stand for a model, and others, which are refused."""

import dataclasses
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import toy_classes
from running import json_lines, run
from toy_model import THRESHOLD

from facerec.errors import ConfigError, DataError, ModelError
from facerec.extras import install
from facerec.faces.detector import make_detector
from facerec.inference import export
from facerec.inference.export import Parity, compare, crops_of, export_model, sample_crops
from facerec.inference.loading import load_embedder
from facerec.models.card import read_card
from facerec.models.checkpoint import describe, save_model
from facerec.models.cohort import load_cohort, save_cohort
from facerec.models.network import Network

FILES = {
    ("onnx", "fp32"): ["fp32.cohort.safetensors", "fp32.json", "fp32.onnx"],
    ("openvino", "fp32"): ["fp32.bin", "fp32.cohort.safetensors", "fp32.json", "fp32.xml"],
    ("openvino", "int8"): ["int8.bin", "int8.cohort.safetensors", "int8.json", "int8.xml"],
}


def write_model(folder: Path, stages: int) -> Path:
    """A model folder with strangers, of so many stages of an untrained network with statistics of real activations.

    Two stages stay in floating point in an int8 file, whose distances are then nearly right; the third does not.
    """
    crops = sample_crops(112)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        network = Network("resnet18", 16, kept_stages=stages)
        for _ in range(5):
            network.train().prefix(torch.from_numpy(crops).permute(0, 3, 1, 2), stages)
    facts = {"threshold": THRESHOLD, "results": {"validation_auc": 0.9}, "training": {"run": "made up"}}
    card = save_model(network.eval(), folder, dataclasses.replace(describe(network, "mine"), **facts))
    save_cohort(folder, card, load_embedder(str(folder)).embed(crops[:5]), "made up")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do not change."""
    return write_model(tmp_path_factory.mktemp("export") / "model", 2)


@pytest.fixture(scope="module")
def made(model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], export.Exported]:
    """The model exported in every way. Do not change."""
    folder = tmp_path_factory.mktemp("made")
    return {kind: export_model(str(model), folder / "-".join(kind), *kind) for kind in FILES}


@pytest.mark.parametrize("kind", FILES)
def test_the_folder_is_usable_at_once(kind: tuple[str, str], model: Path, made: dict) -> None:
    exported = made[kind]
    assert sorted(path.name for path in exported.path.parent.iterdir()) == FILES[kind]
    assert sorted(exported.files) == sorted(exported.path.parent.iterdir())
    whole, file = load_embedder(str(model)), load_embedder(str(exported.path))
    assert file.card.fingerprint == exported.card.fingerprint not in ("", whole.card.fingerprint)
    assert (file.card.mean, file.card.std, file.card.mirrored) == ((0, 0, 0), (1, 1, 1), True)
    strangers = load_cohort(exported.path, file.card)
    np.testing.assert_allclose(strangers, load_cohort(model, whole.card), atol=1e-6)


@pytest.mark.parametrize("kind", FILES)
def test_parity_is_the_largest_difference_of_distances(kind: tuple[str, str], model: Path, made: dict) -> None:
    exported, crops = made[kind], sample_crops(112)
    a, b = (load_embedder(str(path)).embed(crops).astype(np.float64) for path in (model, exported.path))
    pairs = [(i, j) for i in range(len(crops)) for j in range(i)]
    errors = [abs(((a[i] - a[j]) ** 2).sum() - ((b[i] - b[j]) ** 2).sum()) for i, j in pairs]
    assert (exported.parity.crops, exported.parity.pairs) == (48, len(pairs))
    assert exported.parity.largest == pytest.approx(max(errors), abs=2e-6)
    assert exported.parity.mean == pytest.approx(np.mean(errors), abs=2e-6)
    assert 0 < exported.parity.largest <= exported.parity.tolerance == {"fp32": 1e-4, "int8": 0.1}[kind[1]]
    stated = read_card(exported.path.with_suffix(".json")).results["parity"]
    whole = read_card(model / "model.json")
    assert stated == {**dataclasses.asdict(exported.parity), "model": "mine", "fingerprint": whole.fingerprint}


def test_fp32_keeps_what_was_measured_and_int8_says_whose_its_threshold_is(model: Path, made: dict) -> None:
    whole = read_card(model / "model.json")
    for kind in (("onnx", "fp32"), ("openvino", "fp32")):
        card = read_card(made[kind].path.with_suffix(".json"))
        assert (card.name, card.threshold, card.training) == (f"mine-{kind[0]}", whole.threshold, whole.training)
        assert card.results["validation_auc"] == 0.9
    card = read_card(made["openvino", "int8"].path.with_suffix(".json"))
    assert (card.name, card.training, list(card.results)) == ("mine-int8", {}, ["parity"])
    assert card.threshold["distance"] == THRESHOLD["distance"]
    assert "measured with mine, whose distances differ by up to 0.0" in card.threshold["source"]


def test_an_int8_file_that_is_too_far_off_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    rough = write_model(tmp_path / "rough", 3)
    message = r"int8\.xml: not written: over 48 faces .* at most 0\.1 is allowed; give more `images` like those"
    with pytest.raises(ModelError, match=message):
        export_model(str(rough), tmp_path / "a" / "b", "openvino", "int8")
    assert list(tmp_path.iterdir()) == [rough]


def test_an_fp32_file_that_is_too_far_off_leaves_a_folder_as_it_was(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(export.TOLERANCE, "fp32", 1e-12)
    (tmp_path / "mine.txt").touch()
    with pytest.raises(ModelError, match=r"fp32\.onnx: not written: over 48 faces .* at most 1e-12 is allowed"):
        export_model(str(model), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_difference_that_is_no_number_does_not_pass() -> None:
    rows = np.eye(3, dtype=np.float32)
    assert compare(rows, rows, 0.0) == Parity(3, 3, 0.0, 0.0, 0.0)
    assert compare(rows, rows, 0.0).holds
    assert not Parity(3, 3, float("nan"), 0.0, 1.0).holds
    with pytest.raises(ConfigError, match="give two or more"):
        compare(rows[:1], rows[:1], 1.0)


def test_what_cannot_be_exported_is_refused(model: Path, toy: Path, made: dict, tmp_path: Path) -> None:
    toy_classes.write_classifier(tmp_path / "classes", ("ants", "bees"))
    output = tmp_path / "out"
    with pytest.raises(ModelError, match="classifies pictures and embeds no faces"):
        export_model(str(tmp_path / "classes"), output)
    with pytest.raises(ModelError, match="a model file already; give a model folder"):
        export_model(str(toy), output)
    with pytest.raises(ConfigError, match="format 'tflite' is not known; give onnx or openvino"):
        export_model(str(model), output, "tflite")
    with pytest.raises(ConfigError, match="precision 'int4' is not known; give fp32 or int8"):
        export_model(str(model), output, "onnx", "int4")
    with pytest.raises(ConfigError, match="int8 files are made for OpenVINO; give `format=openvino`"):
        export_model(str(model), output, "onnx", "int8")
    assert not output.exists()
    with pytest.raises(ConfigError, match=r"fp32\.onnx: has the card that fp32\.xml would have"):
        export_model(str(model), made["onnx", "fp32"].path.parent, "openvino")
    with pytest.raises(ModelError, match=r"cannot be written \(Not a directory\); give another `output`"):
        export_model(str(model), toy / "below")


@pytest.mark.parametrize(("missing", "kind"), [("nncf", ("openvino", "int8")), ("onnx", ("onnx", "fp32"))])
def test_a_missing_library_is_one_line(
    missing: str, kind: tuple[str, str], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    format, precision = kind
    result = run("export", "--model", model, "--format", format, "--precision", precision, "--output", tmp_path / "out")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1].endswith(install("export"))
    assert not (tmp_path / "out").exists()


def test_the_command(model: Path, crops: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    command = ("export", "--model", model, "--format", "onnx", "--output", output)
    result = run(*command, "--images", crops, "--aligned", "--json")
    (line,) = json_lines(result)
    assert result.exit_code == 0
    assert line["file"] == str(output / "fp32.onnx")
    assert line["files"] == [str(output / name) for name in FILES["onnx", "fp32"]]
    assert line["bytes"] == sum(path.stat().st_size for path in output.iterdir())
    assert (line["crops"], line["pairs"], line["tolerance"]) == (8, 28, 1e-4)
    assert 0 <= line["mean_difference"] <= line["largest_difference"] < 1e-5
    assert line["model_fingerprint"] == load_embedder(line["file"]).card.fingerprint
    shown = run(*command).stdout
    assert "Distances of 48 faces differ from the model's by at most " in shown
    assert shown.endswith(f"Use it with --model {output / 'fp32.onnx'}\n")
    verified = run("verify", crops / "ann.png", crops / "ann.png", "--aligned", "--model", output / "fp32.onnx")
    assert verified.exit_code == 0


def test_the_command_speaks_of_options(model: Path, tmp_path: Path) -> None:
    command = ("export", "--model", model, "--format", "onnx", "--precision", "int8", "--output", tmp_path / "out")
    result = run(*command)
    assert result.stderr.endswith("made for OpenVINO; give --format openvino, or --precision fp32\n")


def test_faces_of_a_folder(crops: Path, tmp_path: Path) -> None:
    found = crops_of(crops, make_detector(112, aligned=True))
    assert (found.shape, found.dtype) == ((8, 112, 112, 3), np.uint8)
    np.testing.assert_array_equal(found, crops_of(crops, make_detector(112, aligned=True)))
    (tmp_path / "few").mkdir()
    shutil.copy(crops / "ann.png", tmp_path / "few")
    (tmp_path / "few" / "bad.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="1 photos with a usable face; give a folder with two or more"):
        crops_of(tmp_path / "few", make_detector(112, aligned=True))


@pytest.mark.parametrize("side", [112, 128, 160])
def test_the_sample_is_of_faces_in_many_lights(side: int) -> None:
    crops = sample_crops(side)
    assert (crops.shape, crops.dtype) == ((48, side, side, 3), np.uint8)
    assert len({crop.tobytes() for crop in crops}) == 48
