"""What does a residual network lose without some of its blocks (Veit, Wilber and Belongie 2016)? One, and several.

    .venv/bin/python -m scripts.studies dropped_blocks people --data ../shared/data     # validation people
    .venv/bin/python -m scripts.studies dropped_blocks pairs --images ../shared/data/lfw \\
        --pairs ../shared/data/lfw_pairs.txt
    .venv/bin/python -m scripts.studies dropped_blocks pictures --data ../shared/data   # ImageNet's ResNet-50

A row for each network: the whole one, without each of its blocks, without some drawn at random, and without all
blocks that have no projection in their shortcut. Nothing is trained again.

`people` and `pairs` take the model of --model. They show how alike its embeddings are to the whole network's (mean
cosine and 5th percentile), and what the difference costs. `people`: AUC and TAR at FMR 1e-3 over all pairs of the
validation people's crops, with 95 % intervals over people, the differences paired; --crops N takes only N crops of
each person. `pairs`: what `facerec evaluate verification` reports; --aligned where the photos are crops. `pictures`
takes ResNet-50 with ImageNet's weights on ants and bees, which are ImageNet's own photos. Logistic regression learns
from the whole network's features of the training photos, and answers by each smaller network's features of the others
(exact 95 % intervals over photos).

Where the CPU has bfloat16 it is used; cosines are then off by a thousandth.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from facerec.datasets.pairs import read_pairs
from facerec.datasets.photo_sets import PhotoSet, read_photos
from facerec.datasets.splits import split_people
from facerec.errors import FacerecError
from facerec.evaluation.verification import verification
from facerec.faces.detector import AlignedDetector, Detector, faces_in_photos
from facerec.faces.mtcnn import MTCNNDetector
from facerec.inference.loading import load_embedder
from facerec.metrics.intervals import share_interval
from facerec.models.blocks import block_names
from facerec.models.checkpoint import load_model
from facerec.models.network import CLASSIFY, Network
from facerec.models.places import model_path
from facerec.photos.crops import aligned_crop, centre_picture
from facerec.photos.reading import read_image
from facerec.training.schedule import use_bf16
from facerec.vectors import unit_rows
from scripts.studies.runs import matched, pair_statistics, percent
from scripts.studies.tables import Table, spanned, study_parser

SIZES, DRAWS, SEED = (2, 4, 6), 2, 0
BATCH = 64
HEAD = ("without", "cosine to the whole (5th percentile)")
BF16 = use_bf16("auto", torch.device("cpu"))

Names = tuple[str, ...]
Rows = NDArray[np.float32]


def variants(network: Network) -> Iterator[tuple[str, Names]]:
    """For each network: what it leaves out, in words, and the names of those blocks."""
    names = block_names(network.stages)
    plain = [
        name for name in names if not name.endswith(".0")
    ]  # of a stage of ResNet-50 only the first has a projection
    yield "nothing", ()
    yield from ((name, (name,)) for name in names)
    for size in SIZES:
        for draw in range(DRAWS):
            chosen = np.random.default_rng((SEED, size, draw)).permutation(plain)[:size]
            some = tuple(sorted(str(name) for name in chosen))
            yield f"{size} drawn: {', '.join(some)}", some
    yield f"all {len(plain)} without a projection", tuple(plain)


def likeness(rows: Rows, whole: Rows) -> str:
    """A cell: mean and 5th percentile of the cosines of (N, D) rows to the whole network's."""
    cosines = (unit_rows(rows) * unit_rows(whole)).sum(axis=1)
    return f"{cosines.mean():.3f} ({np.quantile(cosines, 0.05):.3f})"


def embeddings(model: str, crops: NDArray[np.uint8]) -> Iterator[tuple[str, Rows]]:
    """Each smaller network's name and its (N, D) embeddings of the crops, the whole network's first."""
    network, _ = load_model(model_path(model))
    for name, blocks in variants(network):
        yield name, load_embedder(model, bf16=BF16, drop_blocks=blocks).embed(crops)


def compare_people(model: str, data: Path, most: int, file: Path | None) -> None:
    """The table over all pairs of the validation people's crops."""
    _, faces = split_people(read_photos(data / "faces"), data / "splits", seed=0)
    if most:
        kept = [np.flatnonzero(faces.labels == person)[:most] for person in range(len(faces.names))]
        faces = faces.take(np.concatenate(kept))
    size = load_embedder(model).card.input_size
    crops = np.stack([aligned_crop(read_image(path), size) for path in faces.paths])
    print(
        f"{len(faces.names)} validation people, {len(faces)} crops; percent, 95 % intervals over people\n", flush=True
    )
    table = Table((*HEAD, "AUC, %", "TAR at FMR 1e-3, %", "TAR less the whole's"), file, "people")
    whole = None
    for name, rows in embeddings(model, crops):
        point, values, _ = pair_statistics(rows, faces.labels)
        lost = "" if whole is None else percent((point - whole[1])[1], (values - whole[2])[:, 1])
        whole = whole or (rows, point, values)
        figures = map(percent, point, values.T, (None, matched(rows, faces.labels)))
        table.add(name, likeness(rows, whole[0]), *figures, lost)


def main_crops(paths: list[Path], detector: Detector) -> list[NDArray[np.uint8] | None]:
    """The main face of each photo, None where there is none."""
    found = faces_in_photos(paths, detector, BATCH)
    return [None if isinstance(faces, FacerecError) or not faces else faces[0].crop for _, faces, _ in found]


def compare_pairs(model: str, images: Path, pairs_file: Path, aligned: bool, file: Path | None) -> None:
    """The table over the pairs of a file; faces are found once."""
    pairs, size = read_pairs(pairs_file), load_embedder(model).card.input_size
    detector = AlignedDetector(size) if aligned else MTCNNDetector(crop_size=size)
    crops = main_crops([images / photo for photo in pairs.photos], detector)
    usable = [photo for photo, crop in zip(pairs.photos, crops, strict=True) if crop is not None]
    print(f"{len(pairs.a)} pairs; percent, 95 % intervals over people\n", flush=True)
    table = Table((*HEAD, "accuracy, %", "AUC, %", "TAR at FMR 1e-3, %"), file, "pairs")
    whole = None
    for name, rows in embeddings(model, np.stack([crop for crop in crops if crop is not None])):
        whole = rows if whole is None else whole
        vectors = dict.fromkeys(pairs.photos) | dict(zip(usable, rows, strict=True))
        line = verification(pairs, vectors).to_json()
        rates = [
            (line["accuracy_mean"], line["ci95"]["accuracy_mean"]),
            (line["auc"], line["ci95"]["auc"]),
            (line["tar_at_fmr"]["1e-3"], line["ci95"]["tar_at_fmr"]["1e-3"]),
        ]
        cells = [spanned(rate, ends, 100, 2) for rate, ends in rates]
        table.add(name, likeness(rows, whole), *cells)


def pictures_of(photos: PhotoSet, size: int) -> torch.Tensor:
    """(N, 3, size, size) uint8, the middle of each photo."""
    return torch.from_numpy(np.stack([centre_picture(read_image(path), size) for path in photos.paths])).permute(
        0, 3, 1, 2
    )


@torch.inference_mode()
def features(network: Network, pictures: torch.Tensor) -> Rows:
    """(N, width) pooled features."""
    count = len(network.stages)
    with torch.autocast("cpu", torch.bfloat16, enabled=BF16):
        return np.concatenate([network.prefix(batch, count).float().numpy() for batch in pictures.split(BATCH)])


def compare_pictures(data: Path, file: Path | None) -> None:
    """The table of ImageNet's ResNet-50 on ants and bees."""
    train, test = (read_photos(data / "hymenoptera" / part) for part in ("train", "val"))
    whole = Network("resnet50", 2, mode=CLASSIFY, pretrained=True).eval()
    learned, asked = (pictures_of(photos, whole.input_size) for photos in (train, test))
    first = features(whole, learned)
    mean, spread = first.mean(axis=0), first.std(axis=0) + 1e-6
    judge = LogisticRegression(C=0.01, max_iter=1000).fit((first - mean) / spread, train.labels)
    print(f"{len(test)} photos of ants and bees, a head learned from the whole network's features of {len(train)}\n")
    table = Table((*HEAD, "same answer as the whole, %", "right, %"), file, "pictures")
    known: tuple[Rows, NDArray[np.int64]] | None = None
    for name, blocks in variants(whole):
        smaller = Network("resnet50", 2, mode=CLASSIFY, pretrained=True, dropped_blocks=blocks).eval()
        rows = features(smaller, asked)
        answers = judge.predict((rows - mean) / spread)
        known = known or (rows, answers)
        same, right = answers == known[1], answers == test.labels
        said = spanned(right.mean(), share_interval(int(right.sum()), len(right)), 100, 1)
        table.add(name, likeness(rows, known[0]), f"{100 * same.mean():.1f}", said)


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    made = study_parser(__doc__)
    made.add_argument("on", choices=("people", "pairs", "pictures"))
    made.add_argument("--model", default="default")
    made.add_argument("--data", type=Path, default=Path("../shared/data"))
    made.add_argument("--crops", type=int, default=0)
    made.add_argument("--images", type=Path)
    made.add_argument("--pairs", type=Path)
    made.add_argument("--aligned", action="store_true")
    return made


def main() -> None:
    """Parse, measure, print a Markdown table."""
    options = parser().parse_args()
    if options.on == "people":
        compare_people(options.model, options.data, options.crops, options.csv)
    elif options.on == "pictures":
        compare_pictures(options.data, options.csv)
    elif options.images and options.pairs:
        compare_pairs(options.model, options.images, options.pairs, options.aligned, options.csv)
    else:
        parser().error("pairs needs --images DIR and --pairs FILE")


if __name__ == "__main__":
    main()
