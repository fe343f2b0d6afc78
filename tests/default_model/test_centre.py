"""scripts/default_model/centre.py: the mean of the people it is shown goes to the origin; nothing else changes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import toy_model
from numpy.typing import NDArray
from running import ROOT
from toy_runs import Data

from facerec.inference.loading import load_embedder
from facerec.models.checkpoint import describe, load_model, save_model
from facerec.models.network import Network
from facerec.photos.crops import aligned_crop
from facerec.photos.reading import read_image

pytestmark = pytest.mark.usefixtures("one_thread")


def centre(model: Path, output: Path, faces: Data) -> None:
    given = ["--crops", faces.folder, "--splits", faces.splits]
    command = [sys.executable, ROOT / "scripts" / "default_model" / "centre.py", model, output, *given]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def both_views(faces: Data) -> NDArray[np.uint8]:
    """(2 N, 112, 112, 3) of the training people (the validation people are named in the splits), mirrored too."""
    assert faces.splits is not None
    named = (faces.splits / "validation.txt").read_text("utf-8").split()
    photos = sorted(path for path in faces.folder.glob("*/*") if f"faces/{path.parent.name}" not in named)
    crops = np.stack([aligned_crop(read_image(path), 112) for path in photos])
    return np.concatenate([crops, crops[:, :, ::-1]])


def test_the_mean_of_a_folder_s_outputs_becomes_zero(some_faces: Data, tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = Network("resnet18", 16, kept_stages=2)
    last = network.head[-1]
    assert isinstance(last, torch.nn.BatchNorm1d)
    torch.nn.init.normal_(last.bias)
    save_model(network, tmp_path / "start", describe(network, "start"))
    centre(tmp_path / "start", tmp_path / "new", some_faces)
    pixels = torch.from_numpy(both_views(some_faces)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        old, new = (
            network.eval().head(network.prefix(pixels, 2))
            for network in (load_model(tmp_path / name)[0] for name in ("start", "new"))
        )
    torch.testing.assert_close(new, old - old.mean(0), atol=1e-4, rtol=1e-4)


def test_a_file_gives_what_is_left_of_its_vectors_without_the_mean(some_faces: Data, tmp_path: Path) -> None:
    path = toy_model.write_model(tmp_path / "model")
    centre(path, tmp_path / "centred", some_faces)
    crops = both_views(some_faces)
    raw = crops.reshape(-1, 4, 28, 4, 28, 3).mean((2, 4)).transpose(0, 3, 1, 2).reshape(len(crops), -1) / 127.5 - 1
    expected = raw - raw.mean(0)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    embedder = load_embedder(str(tmp_path / "centred.onnx"))
    np.testing.assert_allclose(embedder.embed(crops), expected, atol=1e-4)
    assert embedder.card.threshold == {}
    assert embedder.card.fingerprint != load_embedder(str(path)).card.fingerprint
