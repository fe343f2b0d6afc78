"""Does a second task help the first? Who is on a photo, and which collection it comes from, together and alone.

    .venv/bin/python -m scripts.studies second_task DATA RUNS [--seeds 0 1 2 3]

DATA holds faces/ and splits/. The attribute is the photo's source: CelebA, VGGFace2 or Pins. It is known of every
photo and is no formula of the pixels. But it belongs to the person's folder, so two things leak:

- Whoever knows a person by heart knows their source. So the source is judged on people nobody trained on.
- Whoever knows the source tells people of two sources apart without looking at their faces. So identity is judged
  among the 80 validation people, who are all of CelebA. 15 people each of the other two sources are taken out of the
  training people, for judging the source only. The last column has the AUC among all 110, which the leak flatters.

Every run begins with ImageNet's SqueezeNet 1.1 and sees the same batches of 16 x 4 crops in the same views: 2 epochs,
9,472 crops of 305 people, at the same rates under one cosine schedule. Only the weight of the attribute's
cross-entropy beside the triplet loss differs. `source alone` weighs the triplet loss with 1e-9, which leaves the
batches as they are. At weight 0.001 the second head learns and the stages hardly notice: it shows what features for
identity alone know of the source. Measured is the network after the last step; mean and standard error over the
seeds, which draw the new layers, the batches and the augmentation. A run that was killed goes on where it was.
"""

import argparse
import csv
import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from facerec import metrics
from facerec.datasets.augmentation import Views, still_batches
from facerec.datasets.photo_sets import PhotoSet, read_photos
from facerec.datasets.splits import split_people
from facerec.files import write_json, write_text
from facerec.models.checkpoint import load_model, load_module
from facerec.training.run_folder import CHECKPOINT, HISTORY
from facerec.training.tasks import VALIDATION_FMR
from facerec.types import Vectors
from facerec.vectors import mean_of_views
from scripts.studies.tables import Table, mean_and_error, study_parser
from scripts.studies.trainings import run_training

SOURCES = {"celeba": "CelebA", "pins": "Pins", "n": "VGGFace2"}
HELD_BACK = 15  # people of VGGFace2 and of Pins who are judged
FROM_CELEBA = 200  # people of CelebA who are trained on
TRAINED, JUDGED = 20, 10  # photos of a person, at most
MEASURED = "measured.json"
COMMON = ("--aligned", "--backbone", "squeezenet1_1", "--strategy", "partial", "--schedule", "cosine", "--epochs", "2")
COMMON += ("--views", "2", "--train-size", "80", "--lr", "3e-4", "--head-lr", "1.2e-3", "--weight-decay", "0.02")
HEAD = ("trained on", "AUC, %", "AUC less identity alone", "TAR at FMR 1e-3, %", "TAR less identity alone")
HEAD += ("source told right, %", "AUC among all 110, %")
CELLS = {
    "identity alone": [],
    "source alone": ["--loss", "1e-9*triplet", "--attribute", "SOURCE"],
    **{f"both, weight {w}": ["--attribute", "SOURCE", "--attribute-weight", w] for w in ("0.001", "0.1", "1", "10")},
}


def source_of(person: str) -> str:
    """The source of a person's photos, by the name of their folder."""
    return next(source for prefix, source in SOURCES.items() if person.startswith(prefix))


def prepare(data: Path, runs: Path) -> None:
    """Write RUNS/splits, RUNS/source.csv and RUNS/exclude.txt; they come out the same every time."""
    faces, lists = read_photos(data / "faces"), data / "splits"
    listed = {path.stem: path.read_text("utf-8").splitlines() for path in sorted(lists.glob("*.txt"))}
    taken = {line.split("/")[1] for lines in listed.values() for line in lines}
    rng = np.random.default_rng(0)
    validation = set(listed.pop("validation"))
    rest = set().union(*listed.values())
    for source in SOURCES.values():
        own = rng.permutation([name for name in faces.names if source_of(name) == source and name not in taken])
        judged = [] if source == "CelebA" else own[:HELD_BACK]
        validation |= {f"faces/{name}" for name in judged}
        rest |= {f"faces/{name}" for name in own[FROM_CELEBA:]} if source == "CelebA" else set()
    (runs / "splits").mkdir(parents=True, exist_ok=True)
    for name, lines in (("validation", validation), ("rest", rest)):
        write_text(runs / "splits" / f"{name}.txt", "\n".join(sorted(lines)) + "\n")
    with (runs / "source.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("person", "source"), *((name, source_of(name)) for name in faces.names)])
    places = {name: np.flatnonzero(faces.labels == label) for label, name in enumerate(faces.names)}
    keys, most = faces.keys(), {f"faces/{name}": TRAINED for name in faces.names} | dict.fromkeys(validation, JUDGED)
    beyond = [keys[i] for name, own in places.items() for i in rng.permutation(own)[most[f"faces/{name}"] :]]
    write_text(runs / "exclude.txt", "\n".join(sorted(beyond)) + "\n")


def train(data: Path, runs: Path, cell: str, seed: int) -> Path:
    """The run of a cell; trains what is missing of it."""
    output = runs / f"{cell.replace(', ', '-').replace(' ', '-')}-{seed}"
    words = [str(runs / "source.csv") if word == "SOURCE" else word for word in CELLS[cell]]
    lists = ("--splits", runs / "splits", "--exclude", runs / "exclude.txt")
    run_training(data / "faces", output, "--seed", seed, *lists, *COMMON, *words, cache=runs / "cache")
    return output


def answers(run: Path, faces: PhotoSet) -> tuple[Vectors, NDArray[np.float32]]:
    """(N, D) embeddings and (N, A) logits of the crops, by the network after the run's last step."""
    network, _ = load_model(run)
    load_module(run / CHECKPOINT, "network", network)
    views = Views(faces=True, size=network.input_size, strong=False, count=0, seed=0)
    parts = []
    batches = [np.arange(i, min(i + 64, len(faces))) for i in range(0, len(faces), 64)]
    with torch.inference_mode():
        for pixels, _ in still_batches(views, faces.paths, batches):
            both = [network.prefix(seen, len(network.stages)) for seen in (pixels, pixels.flip(3))]
            rows = mean_of_views(*(network.output(features).numpy() for features in both))
            parts.append((rows, sum(network.attribute(features).numpy() for features in both)))
    vectors, logits = (np.concatenate(part) for part in zip(*parts, strict=True))
    return vectors, logits


def identity(vectors: Vectors, labels: NDArray[np.int64]) -> list[float]:
    """AUC and TAR at FMR 1e-3 over all pairs."""
    curve = metrics.roc(*metrics.all_pairs(vectors, labels))
    return [float(metrics.auc(curve)), float(metrics.tar_at_fmr(curve, VALIDATION_FMR))]


def measure(run: Path, faces: PhotoSet, official: set[str]) -> dict[str, float]:
    """In percent, kept in the run's folder: AUC and TAR among the validation people proper, and where there is a second
    head how often it is right about the source, the mean over the three, for most photos are of CelebA.
    """
    if (run / MEASURED).exists():
        return json.loads((run / MEASURED).read_text("utf-8"))
    vectors, logits = answers(run, faces)
    proper = np.array([name in official for name in faces.names])[faces.labels]
    auc, tar = identity(vectors[proper], faces.labels[proper])
    found = {"auc": auc, "tar": tar}
    if logits.shape[1]:
        sources = np.array([source_of(name) for name in faces.names])[faces.labels]
        told = np.array(sorted(SOURCES.values()))[logits.argmax(1)]
        found["source"] = float(np.mean([(told == sources)[sources == source].mean() for source in np.unique(sources)]))
    found = {key: 100 * value for key, value in found.items()}
    write_json(run / MEASURED, found)
    return found


def shown(values: list[float], signed: bool = False) -> str:
    """Mean and standard error over the seeds; nothing where there are none."""
    return mean_and_error(values, signed=signed) if values else ""


def print_table(found: dict[str, list[dict[str, float]]], file: Path | None) -> None:
    """A row for each cell; differences are paired by seed."""
    table = Table(HEAD, file)
    for cell, runs in found.items():
        cells = [cell]
        for key in ("auc", "tar"):
            pairs = zip(runs, found["identity alone"], strict=True)
            less = [run[key] - alone[key] for run, alone in pairs] if cell != "identity alone" else []
            cells += [shown([run[key] for run in runs]), shown(less, signed=True)]
        cells += [shown([run[key] for run in runs if key in run]) for key in ("source", "auc, all")]
        table.add(*cells)


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    made = study_parser(__doc__)
    made.add_argument("data", type=Path)
    made.add_argument("runs", type=Path)
    made.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3])
    return made


def main() -> None:
    """Parse, train what is missing, print a Markdown table."""
    options = parser().parse_args()
    prepare(options.data, options.runs)
    photos = read_photos(options.data / "faces", options.runs / "exclude.txt")
    _, faces = split_people(photos, options.runs / "splits", seed=0)
    official = set((options.data / "splits" / "validation.txt").read_text("utf-8").replace("faces/", "").splitlines())
    found: dict[str, list[dict[str, float]]] = {}
    for seed in options.seeds:  # seed by seed, so that every cell has something to show early
        for cell in CELLS:
            run = train(options.data, options.runs, cell, seed)
            among_all = json.loads((run / HISTORY).read_text("utf-8"))[-1]["validation_auc"]
            found.setdefault(cell, []).append({**measure(run, faces, official), "auc, all": 100 * among_all})
    print_table(found, options.csv)


if __name__ == "__main__":
    main()
