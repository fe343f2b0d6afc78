"""Does fine-tuning the shipped model on a few dozen people make it worse for everybody else?

    .venv/bin/python -m scripts.studies finetuning DATA RUNS [--seeds 0 1 2]

Each seed takes another 36 of the training people. The head alone trains, for 4 epochs, with the default settings and
held to the model itself as a teacher. Judged is what the last epoch made, on the 80 validation people, who are not
trained on: AUC and TAR at FMR 1e-3, less the untrained model's; mean and standard error over the seeds. (`facerec
train` itself keeps the best epoch, and the untrained model where no epoch is better.) A run that was killed goes on
where it was.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from facerec.datasets.photo_sets import read_photos
from facerec.datasets.splits import split_people
from facerec.models.card import read_card
from facerec.models.places import SHIPPED_MODEL
from scripts.studies.tables import Table, mean_and_error, study_parser
from scripts.studies.trainings import run_training

PEOPLE, EPOCHS = 36, 4
COMMON = ("--aligned", "--init", "default", "--strategy", "frozen", "--epochs", str(EPOCHS))
ITSELF = ("--teacher", "default", "--teacher-loss", "direct + 10*relational", "--teacher-weight", "3")
WAYS = {"the defaults": (), "held to itself": ("--head-lr", "3e-5", *ITSELF)}


def faces_of(data: Path, runs: Path, seed: int) -> Path:
    """A folder of 36 training people and the validation people."""
    train, validation = split_people(read_photos(data / "faces"), data / "splits", seed=0)
    folder = runs / f"people-{seed}" / "faces"
    folder.mkdir(parents=True, exist_ok=True)
    chosen = np.random.default_rng(seed).permutation(train.names)[:PEOPLE].tolist()
    for name in (*chosen, *validation.names):
        if not (folder / name).exists():
            (folder / name).symlink_to((data / "faces" / name).resolve())
    return folder


def train(data: Path, runs: Path, way: str, seed: int) -> dict[str, float]:
    """What the last epoch measured; trains first unless that was done before."""
    output = runs / f"{way.replace(' ', '-')}-{seed}"
    history = output / "history.json"
    if not history.exists() or len(json.loads(history.read_text("utf-8"))) < EPOCHS:
        faces = faces_of(data, runs, seed)
        run_training(faces, output, "--splits", data / "splits", "--seed", seed, *COMMON, *WAYS[way])
    return json.loads(history.read_text("utf-8"))[-1]


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    made = study_parser(__doc__)
    made.add_argument("data", type=Path)
    made.add_argument("runs", type=Path)
    made.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    return made


def main() -> None:
    """Parse, train what is missing, print a Markdown table."""
    options = parser().parse_args()
    begun = read_card(SHIPPED_MODEL / "model.json").results
    measures = ("validation_auc", "validation_tar")
    print(f"untrained: {', '.join(f'{100 * begun[measure]:.2f}' for measure in measures)}\n")
    head = ("trained", "AUC less the untrained model's, %", "TAR at FMR 1e-3 less the untrained model's, %")
    table = Table(head, options.csv)
    for way in WAYS:
        entries = [train(options.data, options.runs, way, seed) for seed in options.seeds]
        gains = [[entry[measure] - begun[measure] for entry in entries] for measure in measures]
        table.add(way, *(mean_and_error(gain, 100) for gain in gains))


if __name__ == "__main__":
    main()
