"""How well do models know people from the side? Validation people only.

    .venv/bin/python -m scripts.studies pose default RUNS/various sface.onnx --data ../shared/data

Two tables. In both, pairs of two frontal crops are compared, and pairs of a frontal crop with a turned one.

- profiles: a third of the people of `faces_profile` (`people.pose_people`), whose crops are named frontal or profile.
- turned: the people of `splits/validation.txt`. In a turned crop the nose is at least 0.25 of the eyes' distance off
  the middle between the eyes, in a frontal one at most 0.1, by the landmarks that MTCNN finds in the crop. Others are
  left out, and crops in which it finds no face.

For each kind of pairs, TAR is measured where so many pairs of different people of that kind match.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerec import metrics
from facerec.faces.detector import faces_in_photos
from facerec.faces.mtcnn import MTCNNDetector
from facerec.faces.quality import measure
from facerec.inference.embedder import Embedder
from facerec.inference.loading import load_embedder
from facerec.metrics.intervals import tally
from facerec.photos.crops import aligned_crop
from facerec.photos.folders import find_photos
from facerec.photos.reading import read_image
from facerec.types import Floats
from facerec.vectors import squared_distances
from scripts.studies.people import PROFILES, listed_folders, pose_people
from scripts.studies.tables import Counted, Table, shown, study_parser

FMRS = (1e-2, 1e-3)
FRONTAL, TURNED = 0.1, 0.25
REPLICATES, SEED = 500, 0


@dataclass(frozen=True, eq=False, slots=True)
class Crops:
    """N crops: their paths, (N,) whose they are, and (N,) whether they are turned; the others are frontal."""

    paths: list[Path]
    people: NDArray[np.str_]
    turned: NDArray[np.bool_]


def profiles(data: Path) -> Crops:
    """The crops of the people of faces_profile who validate."""
    paths = [path for name in pose_people(data) for path in find_photos(data / PROFILES / name)]
    return _crops(paths, [path.name.startswith("p") for path in paths])


def turned(data: Path) -> Crops:
    """The validation people's crops that are frontal or turned."""
    paths = [path for folder in listed_folders(data, "validation") for path in find_photos(folder)]
    yaws = {}
    for path, faces, _ in faces_in_photos(paths, MTCNNDetector(), 16):
        if isinstance(faces, list) and faces:
            yaws[path] = abs(measure(faces[0]).yaw)
    kept = [path for path in paths if path in yaws and not FRONTAL < yaws[path] < TURNED]
    return _crops(kept, [yaws[path] >= TURNED for path in kept])


def _crops(paths: list[Path], sides: list[bool]) -> Crops:
    return Crops(paths, np.array([path.parent.name for path in paths]), np.array(sides, np.bool_))


@dataclass(frozen=True, eq=False, slots=True)
class Pairs:
    """P pairs of crops: (P,) distances, and the number of who is on either."""

    distances: NDArray[np.float32]
    a: NDArray[np.intp]
    b: NDArray[np.intp]


def pairs_of(vectors: NDArray[np.float32], crops: Crops) -> dict[str, Pairs]:
    """The two kinds of pairs. vectors: (N, D) unit rows."""
    distances, front = squared_distances(vectors, vectors), ~crops.turned
    people = np.unique(crops.people, return_inverse=True)[1]
    kinds = {
        "both frontal": np.triu(front[:, None] & front, 1),
        "frontal and turned": front[:, None] & crops.turned,
    }
    found = {kind: np.nonzero(chosen) for kind, chosen in kinds.items()}
    return {kind: Pairs(distances[i, j], people[i], people[j]) for kind, (i, j) in found.items()}


def figures(pairs: Pairs) -> list[str]:
    """AUC, and TAR at each of FMRS, in percent with intervals over people."""
    order = np.argsort(pairs.distances)  # once, instead of in every replicate
    d, a, b = pairs.distances[order], pairs.a[order], pairs.b[order]
    same = a == b

    def statistics(weights: Floats) -> Floats:
        curve = metrics.roc(d, same, weights)
        return np.stack([metrics.auc(curve), *(metrics.tar_at_fmr(curve, fmr) for fmr in FMRS)], axis=-1)

    point = statistics(np.ones((1, len(d))))
    values = np.concatenate([point, metrics.bootstrap(statistics, a, b, REPLICATES, SEED)])
    curve = metrics.roc(d, same)
    limits = [metrics.threshold_at_fmr(curve, fmr) for fmr in FMRS]
    counted = [None, *(Counted(tally(same, d <= limit), a, b) for limit in limits)]
    return [shown(column, 100, 1, of) for column, of in zip(values.T, counted, strict=True)]


def embed(crops: Crops, embedder: Embedder) -> NDArray[np.float32]:
    """(N, D) unit rows."""
    return embedder.embed(np.stack([aligned_crop(read_image(path), embedder.card.input_size) for path in crops.paths]))


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    made = study_parser(__doc__)
    made.add_argument("models", nargs="+", metavar="MODEL")
    made.add_argument("--data", type=Path, required=True)
    return made


def main() -> None:
    """Parse, measure, print Markdown tables."""
    options = parser().parse_args()
    for part, crops in (("profiles", profiles(options.data)), ("turned", turned(options.data))):
        people = len(np.unique(crops.people))
        print(f"\n{people} people, {(~crops.turned).sum()} frontal crops, {crops.turned.sum()} turned\n")
        head = ("model", "pairs", "of one person + of two", "AUC, %", *(f"TAR at FMR {fmr:g}, %" for fmr in FMRS))
        table = Table(head, options.csv, part)
        for name in options.models:
            embedder = load_embedder(name)
            for kind, pairs in pairs_of(embed(crops, embedder), crops).items():
                same = int((pairs.a == pairs.b).sum())
                table.add(embedder.card.name, kind, f"{same} + {len(pairs.a) - same}", *figures(pairs))


if __name__ == "__main__":
    main()
