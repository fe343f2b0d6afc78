"""May low-resolution strangers set the threshold for strangers on good photos?

    .venv/bin/python -m scripts.studies cohort MODEL --data ../shared/data

In each of 40 draws, 40 of the 80 validation people are enrolled with 4 crops each. Four kinds of strangers are
searched: `sharp`, all crops of the other 40 people; `blurred`, the same brought down to the cohort's resolution;
`cohort`, the people of `splits/cohort.txt`; and `cohort, corrected`, the cohort's embeddings less the mean of low
resolution, plus the mean of good photos. (Those two means are of the training people in faces_small/ and faces/, so
that nobody who is searched decides them.) For each kind: the distance to the nearest enrolled person, its median and
its 1 % quantile, and the share of the sharp strangers within that quantile. This share is the FPIR of a gallery whose
threshold was set by that kind for 1 %. Intervals: 95 %, the strangers' people resampled.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerec.datasets.photo_sets import PhotoSet, read_photos
from facerec.datasets.splits import split_people
from facerec.inference.embedder import Embedder
from facerec.inference.loading import load_embedder
from facerec.metrics.intervals import tally
from facerec.photos.crops import aligned_crop
from facerec.photos.reading import read_image
from facerec.types import Floats, Vectors
from facerec.vectors import squared_distances, unit_rows
from scripts.studies.people import held_back, listed_folders, resamples
from scripts.studies.spoiling import lowered
from scripts.studies.tables import Table, pooled, shown, study_parser

DRAWS, ENROLLED, REPLICATES, SEED = 40, 4, 400, 0
FPIR = 0.01
LOW = 52  # pixels a cohort photo's aligned 128 px crop was made from: faces of about 45 px
SAMPLE = 3000


def embed(paths: Sequence[Path], embedder: Embedder, low: int = 0) -> Vectors:
    """(N, D) vectors of aligned crops; with `low`, each is first brought down to so many pixels and up again."""
    parts = [np.zeros((0, embedder.card.embedding_dim), np.float32)]
    for start in range(0, len(paths), 256):
        crops = [read_image(path) for path in paths[start : start + 256]]
        crops = [lowered(low)(crop) for crop in crops] if low else crops
        parts.append(embedder.embed(np.stack([aligned_crop(crop, embedder.card.input_size) for crop in crops])))
    return np.concatenate(parts)


def nearest(vectors: Vectors, templates: Vectors) -> Floats:
    """(N,) squared distance to the nearest of (T, D) templates."""
    return squared_distances(vectors, templates).min(axis=1).astype(np.float64)


def training_means(data: Path, embedder: Embedder) -> tuple[Vectors, Vectors]:
    """(D,) means of the embeddings of training people: of faces_small (low resolution) and of faces."""
    listed = held_back(data)
    means = []
    for source in ("faces_small", "faces"):
        photos: PhotoSet = read_photos(data / source)
        free = [path for path in photos.paths if f"{source}/{path.parent.name}" not in listed]
        order = np.random.default_rng(SEED).permutation(len(free))[:SAMPLE]
        means.append(embed([free[i] for i in order], embedder).mean(axis=0))
    return means[0], means[1]


def corrected(cohort: Vectors, low: Vectors, sharp: Vectors) -> Vectors:
    """The cohort's unit rows with the mean of low resolution replaced by that of good photos."""
    return unit_rows(cohort - low + sharp)


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    made = study_parser(__doc__, data=True)
    made.add_argument("model")
    return made


def main() -> None:
    """Parse, embed, draw, print a Markdown table."""
    options = parser().parse_args()
    embedder = load_embedder(options.model)
    _, faces = split_people(read_photos(options.data / "faces"), options.data / "splits", seed=0)
    sharp, blurred = embed(faces.paths, embedder), embed(faces.paths, embedder, LOW)
    cohort = embed([next(folder.iterdir()) for folder in listed_folders(options.data, "cohort")], embedder)
    kinds = {"sharp": sharp, "blurred": blurred, "cohort": cohort}
    kinds["cohort, corrected"] = corrected(cohort, *training_means(options.data, embedder))

    draws = [np.random.default_rng((SEED, i)) for i in range(DRAWS)]
    found: dict[str, list[tuple[Floats, Floats, NDArray[np.int64]]]] = {kind: [] for kind in kinds}
    for rng in draws:
        enrolled = rng.permutation(len(faces.names))[: len(faces.names) // 2]
        rows = np.concatenate([rng.permutation(np.flatnonzero(faces.labels == p))[:ENROLLED] for p in enrolled])
        strangers = np.flatnonzero(~np.isin(faces.labels, enrolled))
        own = nearest(sharp[strangers], sharp[rows])
        for kind, vectors in kinds.items():
            searched = vectors if "cohort" in kind else vectors[strangers]
            found[kind].append((nearest(searched, sharp[rows]), own, faces.labels[strangers]))

    print(f"{len(faces)} crops of {len(faces.names)} validation people, {len(cohort)} cohort people, {DRAWS} draws\n")
    head = ("strangers", "median distance", "1 % quantile", "FPIR of sharp strangers at that quantile, %")
    table = Table(head, options.csv)
    for kind, results in found.items():
        medians, limits = ([np.quantile(d, q) for d, _, _ in results] for q in (0.5, FPIR))
        false = [(own <= limit, people) for limit, (_, own, people) in zip(limits, results, strict=True)]
        shares = [resampled(*each) for each in false]
        of = pooled([(tally(np.ones(len(named), np.bool_), named), people.tolist()) for named, people in false])
        fpir = shown(np.mean(shares, axis=0), 100, 2, of)
        table.add(kind, f"{np.mean(medians):.3f}", f"{np.mean(limits):.3f}", fpir)


def resampled(false: NDArray[np.bool_], people: NDArray[np.int64]) -> Floats:
    """(1 + REPLICATES,) share of false positives, as measured and with the strangers' people resampled."""
    weights = resamples(1 + int(people.max()), REPLICATES, SEED)[:, people]  # (1 + B, N)
    return (weights * false).sum(axis=1) / np.maximum(weights.sum(axis=1), 1)


if __name__ == "__main__":
    main()
