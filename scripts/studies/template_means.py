"""How are a photo and a person best read? Mirror averaging, fewer dimensions, one mean template.

    .venv/bin/python -m scripts.studies template_means MODEL [MODEL ...] --data ../shared/data

For each model (a folder, FILE.onnx or `default`), a row for each reading of the validation people's crops: as the
network gives it; averaged with the mirrored crop's; reduced to fewer dimensions by a PCA of 5,000 training crops (not
centred: the best subspace for cosines). AUC and TAR at FMR 1e-3 are over all pairs of crops. FNIR at FPIR 1 % is over
20 random draws of half the people, enrolled with 4 crops each: at each person's nearest template, and at the mean of
their templates. 95 % intervals: people resampled, the same in all rows. A second line gives the difference to the
model's first row.
"""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec.datasets.photo_sets import PhotoSet, read_photos
from facerec.datasets.splits import split_people
from facerec.evaluation.identification import Searches, run_searches
from facerec.inference.embedder import Embedder
from facerec.inference.loading import load_embedder
from facerec.photos.crops import aligned_crop
from facerec.photos.reading import read_image
from facerec.types import Floats, Vectors
from facerec.vectors import squared_distances, unit_rows
from scripts.studies.open_set import fnirs, missed
from scripts.studies.people import Rows, draw
from scripts.studies.runs import REPLICATES, SEED, matched, pair_statistics
from scripts.studies.tables import Counted, Table, shown, study_parser

DRAWS, ENROLLED, FPIR = 20, 4, 0.01
PCA_CROPS = 5000
DIMENSIONS = (256, 128, 64)


def embed(faces: PhotoSet, positions: NDArray[np.int64], embedder: Embedder, mirrored: bool) -> Vectors:
    """(N, D) vectors of the crops at `positions`."""
    parts = []
    for start in range(0, len(positions), 256):
        paths = [faces.paths[i] for i in positions[start : start + 256]]
        crops = np.stack([aligned_crop(read_image(path), embedder.card.input_size) for path in paths])
        parts.append(embedder.embed(np.ascontiguousarray(crops[:, :, ::-1]) if mirrored else crops))
    return np.concatenate(parts)


def readings(train: PhotoSet, validation: PhotoSet, embedder: Any) -> dict[str, Vectors]:
    """Name -> (N, d) unit rows of the validation crops."""
    embedder.card = dataclasses.replace(embedder.card, mirrored=False)  # which view is ours to say here
    everyone = np.arange(len(validation))
    plain, mirrored = (embed(validation, everyone, embedder, flip) for flip in (False, True))
    some = np.random.default_rng(SEED).permutation(len(train))[:PCA_CROPS]
    sample = embed(train, some, embedder, mirrored=False)
    axes = np.linalg.eigh(sample.T @ sample)[1][:, ::-1].astype(np.float32)  # (D, D), the strongest first
    smaller = [size for size in DIMENSIONS if size < plain.shape[1]]
    return {
        "one view": plain,
        "with its mirror image": unit_rows(plain + mirrored),
        **{f"{size} of {plain.shape[1]} dimensions": unit_rows(plain @ axes[:, :size]) for size in smaller},
    }


def measure(rows: Vectors, labels: NDArray[np.int64]) -> tuple[Floats, list[Counted | None]]:
    """(1 + REPLICATES, 4): AUC, TAR, FNIR at the nearest and at the mean template; as measured, then resampled.

    And what each of the four counts; AUC is no rate.
    """
    point, values, _ = pair_statistics(rows, labels)
    people = [f"{label:05}" for label in np.unique(labels)]
    own = {f"{label:05}": list(rows[labels == label]) for label in np.unique(labels)}
    columns, count = [np.concatenate([point[None], values])], [None, matched(rows, labels)]
    draws = [draw(own, ENROLLED, seed) for seed in range(DRAWS)]
    for search in (nearest_template, run_searches):
        drawn = [search(*halves) for halves in draws]
        columns.append(fnirs(drawn, people, (FPIR,), REPLICATES))
        count.append(missed(drawn, FPIR))
    return np.concatenate(columns, axis=1), count


def nearest_template(gallery: Rows, probes: Rows) -> Searches:
    """What `run_searches` would find if a person were as near as their nearest template."""
    owners = np.array([person for person, rows in gallery.items() for _ in rows])
    templates = np.stack([row for rows in gallery.values() for row in rows])  # (T, D)
    searcher = np.array([person for person, rows in probes.items() for _ in rows])
    searched = np.stack([row for rows in probes.values() for row in rows])
    distances = squared_distances(searched, templates)  # (N, T)
    hit = owners[distances.argmin(axis=1)] == searcher
    return Searches(tuple(searcher), np.isin(searcher, owners), hit, distances.min(axis=1), np.zeros(0))


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    made = study_parser(__doc__, data=True)
    made.add_argument("models", nargs="+", metavar="MODEL")
    return made


def main() -> None:
    """Parse, embed, measure, print a Markdown table."""
    options = parser().parse_args()
    train, validation = split_people(read_photos(options.data / "faces"), options.data / "splits", seed=0)
    print(f"{len(validation.names)} validation people, {len(validation)} crops; percent, 95 % intervals over people\n")
    head = ("model", "reading", "AUC, %", "TAR at FMR 1e-3, %")
    table = Table((*head, "FNIR at the nearest template, %", "FNIR at the mean template, %"), options.csv)
    for model in options.models:
        first: Floats | None = None
        for name, rows in readings(train, validation, load_embedder(model)).items():
            values, count = measure(rows, validation.labels)
            cells = [shown(column, 100, 2, of) for column, of in zip(values.T, count, strict=True)]
            table.add(Path(model).name, name, *cells)
            if first is not None:
                gains = [shown(column, 100, 2) for column in (values - first).T]
                table.add("", "less one view's", *gains)
            first = values if first is None else first
        assert first is not None
        gain = shown(first[:, 3] - first[:, 2], 100, 2)
        table.add("", "one view: mean less nearest template", "", "", "", gain)


if __name__ == "__main__":
    main()
