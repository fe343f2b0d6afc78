"""With photos of a class of thirty people and nobody else, which training pays?

    .venv/bin/python -m scripts.studies class_of_thirty DATA RUNS --people validation|test|lfw [--epochs 10]

For each class, 30 people are drawn (nobody is in two classes). 10 photos of each (4 of LFW's people) are known. On
these alone `facerec train` trains once in each of WAYS. The known photos are enrolled. The other photos of the class
are the mated searches. The photos of everybody outside the class are the non-mated ones (of LFW, one photo of 1,000
people).

Reported: rank 1 and FNIR at fixed FPIR, averaged over the classes, with 95 % intervals over people (thresholds chosen
anew, trainings not repeated); and what a gallery answers at its own threshold, which the model's strangers set, or
its card where it has none. Learning rates are the command's own unless WAYS says otherwise. LFW's photos are detected
and aligned first (RUNS/lfw). A run that was killed goes on where it was.
"""

import argparse
from pathlib import Path

import numpy as np

from facerec.datasets.drawn import STORED_SIZE
from facerec.datasets.prepare import align_folder
from facerec.evaluation.identification import Searches, decided, gallery_threshold, search_all
from facerec.faces.mtcnn import MTCNNDetector
from facerec.faces.settings import DetectorSettings
from facerec.inference.loading import load_embedder
from facerec.models.cohort import load_cohort
from facerec.photos.folders import identity_folders
from facerec.types import Threshold
from scripts.studies.cohort import embed
from scripts.studies.open_set import fnirs, missed
from scripts.studies.people import listed_folders
from scripts.studies.tables import Table, shown, study_parser
from scripts.studies.trainings import imagenet_features, run_training

SIZE, SEED = 30, 0
KNOWN = {"validation": 10, "test": 10, "lfw": 4}
STRANGERS = 1000  # of LFW
FPIRS = (0.1, 0.01)
PIXELS = "untouched"  # ImageNet's features as they are; trains nothing
OURS = ["--init", "default"]
ITSELF = ["--teacher", "default", "--teacher-loss", "direct + 10*relational", "--teacher-weight", "3"]
STRATEGIES = ("frozen", "partial", "discriminative", "gradual", "full", "scratch")
WAYS: dict[str, list[str] | None] = {
    f"ImageNet, {PIXELS}": None,
    **{f"ImageNet, {strategy}": ["--strategy", strategy] for strategy in STRATEGIES},
    "shipped, frozen": [*OURS, "--strategy", "frozen"],
    "shipped, full": [*OURS, "--strategy", "full", "--lr", "3e-5", "--head-lr", "1e-4"],
    "shipped, frozen, held to itself": [*OURS, "--strategy", "frozen", "--head-lr", "3e-5", *ITSELF],
    f"shipped, {PIXELS}": None,
}
COMMON = ("--aligned", "--loss", "triplet", "--schedule", "cosine")

Crops = dict[str, list[Path]]


def people_of(data: Path, which: str, runs: Path) -> Crops:
    """Person -> their aligned crops."""
    if which != "lfw":
        return {folder.name: sorted(folder.iterdir()) for folder in listed_folders(data, which)}
    crops, _ = align_folder(data / "lfw", runs, MTCNNDetector(DetectorSettings(), STORED_SIZE))
    return identity_folders(crops)


def draw_class(crops: Crops, which: str, number: int, size: int) -> tuple[Crops, Crops]:
    """Class `number`: (the known photos of its people, the photos that are searched: their others and strangers')."""
    rng = np.random.default_rng(SEED)
    known = KNOWN[which]
    names = rng.permutation(sorted(name for name, own in crops.items() if len(own) > known))
    chosen = names[number * size : (number + 1) * size].tolist()
    if len(chosen) < size:
        raise SystemExit(f"{which}: too few people with more than {known} photos for {number + 1} classes of {size}")
    mixed = {name: [own[i] for i in rng.permutation(len(own))] for name, own in sorted(crops.items())}
    others = [name for name in rng.permutation(sorted(mixed)).tolist() if name not in chosen]
    strangers = (
        {name: mixed[name][:1] for name in others[:STRANGERS]} if which == "lfw" else {n: mixed[n] for n in others}
    )
    return {name: mixed[name][:known] for name in chosen}, {name: mixed[name][known:] for name in chosen} | strangers


def train(known: Crops, folder: Path, way: str, epochs: int) -> str:
    """The folder of the model trained on these photos; trains it unless that was done before."""
    crops = folder / "known"
    for name, own in known.items():
        (crops / name).mkdir(parents=True, exist_ok=True)
        for path in own:
            link = crops / name / path.name
            if not link.exists():
                link.symlink_to(path.resolve())
    output = folder / way.replace(", ", "-").replace(" ", "-")
    run_training(crops, output, *COMMON, "--epochs", epochs, *(WAYS[way] or []))
    return str(output)


def search(known: Crops, probes: Crops, folder: Path, way: str, epochs: int) -> tuple[Searches, Threshold | None]:
    """All searches in a gallery of the class, and the threshold it would set itself."""
    paths = [path for crops in (known, probes) for own in crops.values() for path in own]
    trained = WAYS[way] is not None
    embedder = load_embedder(train(known, folder, way, epochs) if trained else "default")
    bare = way == f"ImageNet, {PIXELS}"
    rows = iter(imagenet_features(paths) if bare else embed(paths, embedder))
    enrolled, searched = ({name: [next(rows) for _ in own] for name, own in c.items()} for c in (known, probes))
    searches = search_all(enrolled, searched)
    if bare:
        return searches, None
    cohort = load_cohort(embedder.path, embedder.card)
    return searches, gallery_threshold(enrolled, cohort, embedder.card.default_threshold)


def row_of(way: str, found: list[tuple[Searches, Threshold | None]]) -> list[str]:
    """One row of the table."""
    people = sorted({person for searches, _ in found for person in searches.searcher})
    draws = [searches for searches, _ in found]
    values = fnirs(draws, people, FPIRS)
    rank1 = np.mean([searches.hit[searches.mated].mean() for searches in draws])
    named, right = zip(*(decided(searches, threshold) for searches, threshold in found), strict=True)
    own = [
        np.mean([1 - r[s.mated].mean() for (s, _), r in zip(found, right, strict=True)]),
        np.mean([n[~s.mated].mean() for (s, _), n in zip(found, named, strict=True)]),
    ]
    columns = zip(values.T, FPIRS, strict=True)
    cells = [way, f"{100 * rank1:.1f}", *(shown(column, 100, 1, missed(draws, fpir)) for column, fpir in columns)]
    return cells + ["-" if np.isnan(value) else f"{100 * value:.1f}" for value in own]


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    made = study_parser(__doc__)
    made.add_argument("data", type=Path)
    made.add_argument("runs", type=Path)
    made.add_argument("--people", choices=tuple(KNOWN), required=True)
    made.add_argument("--classes", type=int, default=2)
    made.add_argument("--size", type=int, default=SIZE)
    made.add_argument("--epochs", type=int, default=10)
    made.add_argument("--ways", nargs="+", choices=tuple(WAYS), default=tuple(WAYS), metavar="WAY")
    return made


def main() -> None:
    """Parse, train what is missing, print a Markdown table."""
    options = parser().parse_args()
    crops = people_of(options.data, options.people, options.runs)
    drawn = [draw_class(crops, options.people, number, options.size) for number in range(options.classes)]
    counts = [sum(len(own) for name, own in probes.items() if (name in known) == mated) for mated in (True, False)
              for known, probes in drawn]  # fmt: skip
    new, strange = np.mean(counts[: len(drawn)]), np.mean(counts[len(drawn) :])
    print(f"{options.people}: {KNOWN[options.people]} photos of each person known; {options.epochs} epochs; percent;")
    print(f"classes: {len(drawn)}, of {options.size} people, {new:.0f} new and {strange:.0f} strange photos each\n")
    head = ("trained", "rank 1, %", "FNIR at FPIR 10 %", "FNIR at FPIR 1 %")
    table = Table((*head, "FNIR at its own threshold, %", "FPIR at its own threshold, %"), options.csv)
    for way in options.ways:
        folders = [options.runs / f"{options.people}-{number}" for number in range(len(drawn))]
        found = [search(*each, folder, way, options.epochs) for each, folder in zip(drawn, folders, strict=True)]
        table.add(*row_of(way, found))


if __name__ == "__main__":
    main()
