"""How do trained models compare on the validation people? Side by side, with intervals over people.

    .venv/bin/python -m scripts.studies runs RUNS/teacher RUNS/full RUNS/frozen --data ../shared/data

Each RUN is a model folder; DATA holds `faces/` and `splits/`. All pairs of the validation people's crops are
compared. A row for each model: AUC and TAR at FMR 1e-3, each also less the first model's. Every resample draws the
same people for all models, so the intervals of the differences are paired. The last column says how many pairs of
people the false matches at that FMR are between, and how many are among the seven people who have most: if few people
have most of them, the model cannot tell some group apart.
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerec import metrics
from facerec.datasets.augmentation import Views
from facerec.datasets.photo_sets import PhotoSet, read_photos
from facerec.datasets.splits import split_people
from facerec.metrics.intervals import tally
from facerec.models.checkpoint import load_model
from facerec.training.feed import photo_rows
from facerec.training.tasks import VALIDATION_FMR
from facerec.types import Floats, Vectors
from scripts.studies.tables import Counted, Table, shown, study_parser

REPLICATES = 200
SEED = 0


def measure(run: Path, faces: PhotoSet) -> tuple[tuple[Floats, Floats, str], Counted]:
    """`pair_statistics` and `matched` of the model in `run`."""
    network, card = load_model(run)
    views = Views(faces=True, size=card.input_size, strong=False, count=0, seed=0)
    rows = photo_rows(network, views, faces)
    return pair_statistics(*rows), matched(*rows)


def pair_statistics(vectors: Vectors, labels: NDArray[np.int64]) -> tuple[Floats, Floats, str]:
    """(2,) AUC and TAR over all pairs, (REPLICATES, 2) bootstrap values of both, and the false matches in words."""
    distances, genuine = metrics.all_pairs(vectors, labels)
    order = np.argsort(distances)  # once, instead of in every replicate
    first, second = (side[order] for side in np.triu_indices(len(labels), 1))
    distances, genuine = distances[order], genuine[order]

    def statistics(weights: Floats) -> Floats:
        curve = metrics.roc(distances, genuine, weights)
        return np.stack([metrics.auc(curve), metrics.tar_at_fmr(curve, VALIDATION_FMR)], axis=-1)

    point = statistics(np.ones((1, len(distances))))[0]
    nearest = np.flatnonzero(~genuine)[: int(VALIDATION_FMR * (~genuine).sum())]
    pairs = Counter(zip(labels[first[nearest]], labels[second[nearest]], strict=True))
    people = Counter(np.concatenate([labels[first[nearest]], labels[second[nearest]]]).tolist())
    most = {person for person, _ in people.most_common(7)}
    among = sum(count for pair, count in pairs.items() if most.issuperset(pair))
    matches = f"{len(nearest)} in {len(pairs)} pairs of people, {among} among seven"
    return point, metrics.bootstrap(statistics, labels[first], labels[second], REPLICATES, SEED), matches


def matched(vectors: Vectors, labels: NDArray[np.int64]) -> Counted:
    """What the TAR of `pair_statistics` counts: the pairs of one person."""
    distances, genuine = metrics.all_pairs(vectors, labels)
    limit = metrics.threshold_at_fmr(metrics.roc(distances, genuine), VALIDATION_FMR)
    owners = labels[np.triu_indices(len(labels), 1)[0][genuine]]
    return Counted(tally(np.ones(len(owners), np.bool_), distances[genuine] <= limit), owners, owners)


def percent(value: float, replicates: Floats, of: Counted | None = None) -> str:
    """A figure in percent with its 95 % interval. of: of a rate, what it counts."""
    return shown(np.append(value, replicates), 100, 2, of)


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    made = study_parser(__doc__, data=True)
    made.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    return made


def main() -> None:
    """Parse, measure, print a Markdown table."""
    options = parser().parse_args()
    _, faces = split_people(read_photos(options.data / "faces"), options.data / "splits", seed=0)
    print(f"{len(faces.names)} validation people, {len(faces)} crops; percent, 95 % intervals over people\n")
    head = ("model", "AUC, %", "AUC less the first's", "TAR at FMR 1e-3, %", "TAR less the first's", "false matches")
    table = Table(head, options.csv)
    first: tuple[Floats, Floats] | None = None
    for run in options.runs:
        (point, values, matches), tar = measure(run, faces)
        gains = ["", ""] if first is None else map(percent, point - first[0], (values - first[1]).T)
        first = first or (point, values)
        figures = map(percent, point, values.T, (None, tar))
        cells = [cell for pair in zip(figures, gains, strict=True) for cell in pair]
        table.add(run.name, *cells, matches)


if __name__ == "__main__":
    main()
