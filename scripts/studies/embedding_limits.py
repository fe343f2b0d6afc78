"""How bad may a photo be before its person is no longer recognised? Turned heads, low resolution, blur.

    .venv/bin/python -m scripts.studies embedding_limits MODEL --data ../shared/data

Low resolution and blur: all pairs of the test people's crops (`splits/test.txt`). One crop is as it is; the other is
brought down to so many pixels across the face (the 112 px crop), or blurred by a Gaussian of so many of its pixels.
Turned heads: LFW's 6,000 pairs from raw photos, grouped by the more turned of the two faces. A face's turn is the
distance of the nose from the middle between the eyes, along the line of the eyes, in parts of the eyes' distance: 0
is frontal; 0.5 has the nose below one eye.

Reported: the share of one person's pairs that match, and of different people's, within the threshold on the model's
card. 95 % intervals: people resampled. These are test people: add a row to `results/held_out.csv` when you run this.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec import metrics
from facerec.datasets.pairs import read_pairs
from facerec.evaluation.verification import pair_distances
from facerec.faces.mtcnn import MTCNNDetector
from facerec.faces.quality import measure
from facerec.faces.settings import DetectorSettings
from facerec.inference.embedder import Embedder
from facerec.inference.loading import load_embedder
from facerec.inference.pipeline import embed_photos
from facerec.metrics.intervals import tally
from facerec.photos.crops import aligned_crop
from facerec.photos.folders import find_photos
from facerec.photos.reading import read_image
from facerec.types import Floats, Image, Vectors
from facerec.vectors import squared_distances
from scripts.studies.people import listed_folders
from scripts.studies.spoiling import AS_THEY_ARE, Spoil, ways_to_spoil
from scripts.studies.tables import Counted, Table, shown, study_parser

REPLICATES, SEED = 200, 0
TURNED = (0.1, 0.2, 0.3)
RATES = ("matches of one person, %", "matches of different people, %")

People = NDArray[Any]  # (N,) names or numbers


SPOILED = ways_to_spoil((48, 32, 24, 16), (1, 2, 3))


def embed(crops: list[Image], spoil: Spoil, embedder: Embedder) -> Vectors:
    """(N, D) of the spoiled crops."""
    return embedder.embed(np.stack([spoil(crop) for crop in crops]))


def match_rates(match: NDArray[np.bool_], same: NDArray[np.bool_], a: People, b: People) -> tuple[str, str]:
    """TAR and FMR of (N,) decided pairs in percent, with intervals, as two cells of a table."""

    def rates(weights: Floats) -> Floats:
        return np.stack([(weights * match)[:, s].sum(1) / weights[:, s].sum(1) for s in (same, ~same)], axis=1)

    point = rates(np.ones((1, len(match))))
    values = np.concatenate([point, metrics.bootstrap(rates, a, b, REPLICATES, SEED)])
    tar, fmr = (Counted(tally(kind, match), a, b) for kind in (same, ~same))
    return shown(values[:, 0], 100, 1, tar), shown(values[:, 1], 100, 3, fmr)


def spoiled_crops(data: Path, embedder: Embedder, limit: float, file: Path | None) -> None:
    """The table of low resolution and blur."""
    people = listed_folders(data, "test")
    paths = [path for folder in people for path in find_photos(folder)]
    crops = [aligned_crop(read_image(path), embedder.card.input_size) for path in paths]
    people_of = np.unique([path.parent.name for path in paths], return_inverse=True)[1]
    sharp = embed(crops, SPOILED[AS_THEY_ARE], embedder)
    first, second = np.nonzero(~np.eye(len(crops), dtype=bool))
    print(f"{len(crops)} crops of {len(people)} test people, one of each pair as it is\n")
    table = Table(("the other", *RATES), file, "spoiled")
    for kind, spoil in SPOILED.items():
        distances = squared_distances(sharp, embed(crops, spoil, embedder))[first, second]
        a, b = people_of[first], people_of[second]
        table.add(kind, *match_rates(distances <= limit, a == b, a, b))


def turned_heads(data: Path, embedder: Embedder, limit: float, file: Path | None) -> None:
    """The table of turned heads."""
    pairs = read_pairs(data / "lfw_pairs.txt")
    detector = MTCNNDetector(DetectorSettings(), embedder.card.input_size)
    photos = embed_photos([data / "lfw" / name for name in pairs.photos], detector, embedder, main_only=True)
    found = {name: photo for name, photo in zip(pairs.photos, photos, strict=True) if photo.faces}
    distances = pair_distances(pairs, {n: found[n].vectors[0] if n in found else None for n in pairs.photos})
    angle = {name: abs(measure(photo.faces[0]).yaw) for name, photo in found.items()}
    angles = np.array([max(angle.get(a, 0), angle.get(b, 0)) for a, b in zip(pairs.a, pairs.b, strict=True)])
    a, b = (np.array([Path(photo).parent.name for photo in side]) for side in (pairs.a, pairs.b))
    print()
    table = Table(("the more turned face of a pair", "pairs", *RATES), file, "turned")
    for low, high in zip((0, *TURNED), (*TURNED, np.inf), strict=True):
        some = (angles >= low) & (angles < high)
        rates = match_rates(distances[some] <= limit, pairs.same[some], a[some], b[some])
        kind = f"{low} to {high}" if high < np.inf else f"{low} and more"
        table.add(kind, f"{pairs.same[some].sum()} + {(~pairs.same[some]).sum()}", *rates)


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    made = study_parser(__doc__, data=True)
    made.add_argument("model")
    return made


def main() -> None:
    """Parse, measure, print Markdown tables."""
    options = parser().parse_args()
    embedder = load_embedder(options.model)
    threshold = embedder.card.default_threshold
    if threshold is None:
        parser().error(f"the card of {options.model} states no threshold")
    print(f"threshold {threshold.distance:.4f}: {threshold.source}\n")
    spoiled_crops(options.data, embedder, threshold.distance, options.csv)
    turned_heads(options.data, embedder, threshold.distance, options.csv)


if __name__ == "__main__":
    main()
