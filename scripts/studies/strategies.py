"""What does transfer learning bring under one equal budget? Losses and freezing strategies side by side, over seeds.

    .venv/bin/python -m scripts.studies strategies DATA RUNS [--seeds 0 1 2] [--people 570]

Every run begins with ImageNet's ResNet-50 and sees the same 16 x 4 batches of the crops in RUNS/clean (made by
scripts/default_model/clean_faces.py): 3 epochs of so many people, with AdamW, one warm-up and cosine schedule, and
one learning rate (3e-4, new layers 1.2e-3; under `discriminative` 3e-4 is the last stage's; `gradual` comes down to
the second last stage). Measured is the network after the last step, on the 80 validation people: AUC and TAR at FMR
1e-3, mean and standard error over the seeds, which draw the weights of the new layers, the people, the batches and
the augmentation. `untouched`: ImageNet's pooled features as they are. A run that was killed goes on where it was.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from facerec import metrics
from facerec.datasets.photo_sets import read_photos
from facerec.datasets.splits import split_people
from facerec.training.tasks import VALIDATION_FMR
from scripts.studies.tables import Table, mean_and_error, study_parser
from scripts.studies.trainings import imagenet_features, run_training

EPOCHS = 3
NOTHING = "1e-9*triplet"  # the batches of the triplet loss without the loss
LOSSES = {
    "triplet only": ["--loss", "triplet"],
    "teacher only": ["--loss", NOTHING, "--teacher", "TEACHER"],
    "teacher + triplet": ["--loss", "triplet", "--teacher", "TEACHER"],
}
STRATEGIES = ("frozen", "partial", "discriminative", "gradual", "scratch")
CELLS = {f"{name}, full": [*options, "--strategy", "full"] for name, options in LOSSES.items()}
CELLS |= {f"teacher + triplet, {s}": [*LOSSES["teacher + triplet"], "--strategy", s] for s in STRATEGIES}
COMMON = ("--aligned", "--schedule", "cosine", "--lr", "3e-4", "--head-lr", "1.2e-3", "--weight-decay", "0.02")
COMMON += ("--epochs", str(EPOCHS))


def train(data: Path, runs: Path, cell: str, seed: int, people: int) -> dict[str, float]:
    """What the run's last epoch measured, and how many photos it saw; trains it first unless that was done before."""
    output = runs / f"{cell.replace(' + ', '-').replace(', ', '-').replace(' ', '-')}-{seed}"
    history = output / "history.json"
    if not history.exists() or len(json.loads(history.read_text("utf-8"))) < EPOCHS:
        options = [str(runs / "clean" / "teacher.npz") if word == "TEACHER" else word for word in CELLS[cell]]
        drawn = ("--splits", data / "splits", "--limit-people", people, "--seed", seed)
        run_training(runs / "clean" / "faces", output, *drawn, *COMMON, *options)
    entries = json.loads(history.read_text("utf-8"))
    return {**entries[-1], "photos": sum(entry["photos"] for entry in entries)}


def untouched(data: Path) -> dict[str, float]:
    """What ImageNet's pooled features, made unit-length, measure on the validation people."""
    _, faces = split_people(read_photos(data / "faces"), data / "splits", seed=0)
    curve = metrics.roc(*metrics.all_pairs(imagenet_features(faces.paths), faces.labels))
    tar = float(metrics.tar_at_fmr(curve, VALIDATION_FMR))
    return {"validation_auc": float(metrics.auc(curve)), "validation_tar": tar}


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    made = study_parser(__doc__)
    made.add_argument("data", type=Path)
    made.add_argument("runs", type=Path)
    made.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    made.add_argument("--people", type=int, default=570)
    return made


def main() -> None:
    """Parse, train what is missing, print a Markdown table."""
    options = parser().parse_args()
    found: dict[str, list[dict[str, float]]] = {"untouched": [untouched(options.data)]}
    for seed in options.seeds:  # seed by seed, so that every cell has something to show early
        for cell in CELLS:
            found.setdefault(cell, []).append(train(options.data, options.runs, cell, seed, options.people))
    table = Table(("from ImageNet's weights", "crops seen", "AUC, %", "TAR at FMR 1e-3, %"), options.csv)
    for cell, entries in found.items():
        crops = f"{np.mean([entry.get('photos', 0) for entry in entries]):,.0f}"
        columns = [[entry[f"validation_{name}"] for entry in entries] for name in ("auc", "tar")]
        table.add(cell, crops, *(mean_and_error(column, 100) for column in columns))


if __name__ == "__main__":
    main()
