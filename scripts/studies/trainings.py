"""Trainings that a study starts, each a `facerec train` of its own; and ImageNet's features, which need none."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from facerec.datasets.augmentation import Views, still_batches
from facerec.files import write_text
from facerec.models.network import Network
from facerec.training.run_folder import CHECKPOINT
from facerec.types import Vectors

BATCH = 64


def run_training(folder: Path, output: Path, *options: object, cache: Path | None = None) -> None:
    """`facerec train FOLDER --output OUTPUT OPTIONS...`; a run that was killed goes on. Its words go to stderr."""
    command = [sys.executable, "-m", "facerec.cli.main", "train", folder, "--output", output, *options]
    resume = ["--resume"] if (output / CHECKPOINT).exists() else []
    env = {**os.environ, "FACEREC_CACHE": str(cache)} if cache else None
    subprocess.run([*map(str, command), *resume], check=True, stdout=sys.stderr, env=env)


def tested_accuracy(run: Path, images: Path) -> float:
    """The accuracy of a run's model on class folders by `facerec evaluate classification`; kept in RUN/tested.json."""
    file = run / "tested.json"
    if not file.exists():
        words = ["evaluate", "classification", "--images", images, "--model", run, "--json"]
        command = [sys.executable, "-m", "facerec.cli.main", *map(str, words)]
        write_text(file, subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return json.loads(file.read_text("utf-8"))["accuracy"]


def imagenet_features(crops: Sequence[Path]) -> Vectors:
    """(N, 2048) pooled features of aligned crops by ImageNet's ResNet-50, of unit length."""
    network = Network("resnet50", 2, pretrained=True).eval()
    batches = [np.arange(i, min(i + BATCH, len(crops))) for i in range(0, len(crops), BATCH)]
    rows = np.zeros((len(crops), 2048), np.float32)
    views = Views(faces=True, size=network.input_size, strong=False, count=0, seed=0)
    with torch.inference_mode():
        for pixels, positions in still_batches(views, crops, batches):
            features = network.prefix(pixels, len(network.stages))
            rows[positions] = torch.nn.functional.normalize(features, dim=1).numpy()
    return rows
