"""Which strategy on which backbone suits faces, and does that change with the data, the start and the budget?

    .venv/bin/python -m scripts.studies run faces DATA RUNS --part resnet50 --csv resnet50.csv
    .venv/bin/python -m scripts.studies run faces DATA RUNS --part lfw --csv lfw.csv

Every part but `lfw` is one or more `facerec study` on aligned crops. Where the part does not say otherwise, a training
begins with ImageNet's weights, has the triplet loss and sees 20,000 crops, with 3 seeds. The 80 validation people
judge. Nobody in the lists of DATA/splits is trained on.

resnet50, mobilenet_v2, squeezenet1_1: a backbone under its strategies. losses: ResNet-50 under classification, and
under both losses at once. starts: ResNet-50 from the shipped model. sizes: 10, 50, 200 and 1,000 people with 2, 5 and
20 photos each at half the budget; sizes that DATA lacks are named. (--corners: without 50 people and 5 photos.)
budget: two strategies at five times the budget. lfw: LFW's pairs and open sets for the models of the three backbones;
nothing is chosen by them.

What was trained stays in RUNS; a part that was stopped goes on where it was. --quick: one seed, 320 crops
and two strategies. It shows that a part runs; its figures say nothing.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np

from facerec.datasets.drawn import STORED_SIZE
from facerec.datasets.pairs import read_pairs
from facerec.datasets.photo_sets import PhotoSet, read_photos
from facerec.datasets.prepare import align_folder
from facerec.datasets.splits import split_people
from facerec.evaluation.identification import fnir_at_fpir, run_searches
from facerec.evaluation.verification import verification
from facerec.faces.mtcnn import MTCNNDetector
from facerec.faces.settings import DetectorSettings
from facerec.inference.loading import load_embedder
from facerec.photos.folders import identity_folders
from facerec.study.cell import run_folder
from facerec.study.results import PLAN, Cell, read_cells, read_plan
from facerec.study.table import Measured, Row, build_rows
from facerec.types import Floats
from scripts.studies.cohort import embed
from scripts.studies.constant_threshold import ENROLLED, draw_lfw
from scripts.studies.tables import Table, mean_and_error, study_parser

CROPS, SEEDS = 20_000, 3
QUICK = ("--budget", "320", "--seeds", "1")
PEOPLE, PHOTOS = (10, 50, 200, 1000), (2, 5, 20)
SMALL = "full,frozen,partial"
SHIPPED = {"init": "default", "kept_stages": 4, "pooling": "flat", "embedding_dim": 128}  # and its own shape
DRAWS, FPIR = 20, 0.01
SEED = 0


@dataclass(frozen=True, slots=True)
class Part:
    """One `facerec study`. name: its folder in RUNS; settings: of `facerec train`, for all of its trainings."""

    name: str
    backbones: str
    strategies: str
    crops: int = CROPS
    settings: Mapping[str, str | int] = field(default_factory=dict)
    folder: Path | None = None


PARTS = {
    "resnet50": (Part("resnet50", "resnet50", "full,frozen,partial2,partial4,discriminative,gradual,scratch"),),
    "mobilenet_v2": (Part("mobilenet_v2", "mobilenet_v2", SMALL),),
    "squeezenet1_1": (Part("squeezenet1_1", "squeezenet1_1", SMALL),),
    "losses": (
        Part("losses-classes", "resnet50", SMALL, settings={"loss": "cross-entropy"}),
        Part("losses-joint", "resnet50", SMALL, settings={"loss": "triplet + cross-entropy"}),
    ),
    "starts": (Part("starts-shipped", "resnet50", SMALL, settings=SHIPPED),),
    "budget": (Part("budget", "resnet50", "full,partial2", crops=5 * CROPS),),
}
GRID = ("resnet50", "mobilenet_v2", "squeezenet1_1")


def sizes(data: Path, runs: Path, corners: bool) -> Iterator[Part]:
    """The parts of `sizes`; says which sizes the data lack."""
    train, validation = split_people(read_photos(data / "faces"), data / "splits", SEED)
    for people, photos in product(PEOPLE, PHOTOS):
        if corners and (people == PEOPLE[1] or photos == PHOTOS[1]):
            continue
        drawn = draw_photos(train, people, photos)
        if drawn is None:
            print(f"left out: {people} people with {photos} photos each; the data have too few", file=sys.stderr)
            continue
        folder = link_photos(runs / "drawn" / f"{people}-{photos}" / "faces", [*drawn, *validation.paths])
        settings = {"photos_per_person": min(photos, 4)}
        yield Part(f"sizes-{people}-{photos}", "resnet50", "frozen,partial,full", CROPS // 2, settings, folder)


def draw_photos(photos: PhotoSet, people: int, each: int) -> list[Path] | None:
    """`each` photos of so many people, drawn by SEED; None where too few people have so many."""
    own: dict[int, list[Path]] = {}
    for path, label in zip(photos.paths, photos.labels.tolist(), strict=True):
        own.setdefault(label, []).append(path)
    rng = np.random.default_rng(SEED)
    enough = [label for label in rng.permutation(len(photos.names)).tolist() if len(own[label]) >= each]
    if len(enough) < people:
        return None
    return [own[label][i] for label in enough[:people] for i in rng.permutation(len(own[label]))[:each]]


def link_photos(folder: Path, paths: list[Path]) -> Path:
    """A folder of people with links to these photos."""
    for path in paths:
        link = folder / path.parent.name / path.name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(path.resolve())
    return folder


def run_part(part: Part, data: Path, runs: Path, quick: bool) -> list[Row]:
    """Run the study of a part, or go on with it, and return its rows."""
    output = runs / (f"quick-{part.name}" if quick else part.name)
    config = runs / f"{part.name}.toml"
    config.write_text("".join(f"{name} = {value!r}\n" for name, value in part.settings.items()), "utf-8")
    size = QUICK if quick else ("--budget", part.crops, "--seeds", SEEDS)
    command = [sys.executable, "-m", "facerec.cli.main", "study", part.folder or data / "faces", "--aligned"]
    command += ["--splits", data / "splits", "--output", output, "--config", config]
    few = slice(2) if quick else slice(None)
    command += ["--backbones", part.backbones, "--strategies", ",".join(part.strategies.split(",")[few])]
    done = subprocess.run([*map(str, [*command, *size, "--keep-models"])], stdout=sys.stderr)
    if done.returncode not in (0, 1):  # 1: a training failed, and its row says so
        raise SystemExit(done.returncode)
    plan = read_plan(output)
    return build_rows(plan, read_cells(output, plan))


def cells_of(part: str, row: Row) -> list[str]:
    """A row of a study as a row of this page."""
    if not row.done:
        return [part, row.backbone, row.strategy, "0", f"none: {row.reason}", *[""] * 5]
    quality = {each.measure: shown_mean(each) for each in row.quality}
    return [
        *(part, row.backbone, row.strategy, str(row.done), quality.get("tar", ""), quality.get("auc", "")),
        "" if row.gap is None else f"{100 * row.gap:.1f}",
        f"{row.trained_parameters / 1e6:.1f}",
        f"{(row.seconds or 0) / 60:.1f}",
        f"{(row.peak_mib or 0) / 1024:.1f}",
    ]


def shown_mean(each: Measured) -> str:
    """A quality in percent with its interval over the seeds."""
    ends = f" ({100 * each.ci95[0]:.1f} to {100 * each.ci95[1]:.1f})" if each.ci95 else ""
    return f"{100 * each.mean:.1f}{ends}"


# --------------------------------------------------------------------------------------------------------------- LFW


def on_lfw(data: Path, crops: dict[str, list[Path]], model: Path) -> Floats:
    """(4,) accuracy, AUC and TAR at FMR 1e-3 of LFW's pairs, and FNIR at FPIR 1 % over random galleries."""
    embedder = load_embedder(str(model))
    paths = [path for own in crops.values() for path in own]
    rows = dict(zip(map(photo_of, paths), embed(paths, embedder), strict=True))
    pairs = read_pairs(data / "lfw_pairs.txt")
    found = verification(pairs, {name: rows.get(name) for name in pairs.photos})
    people = {person: [rows[photo_of(path)] for path in own] for person, own in crops.items()}
    draws = [run_searches(*draw_lfw(people, ENROLLED, seed)) for seed in range(DRAWS)]
    missed = np.mean([fnir_at_fpir(searches, FPIR) for searches in draws])
    return np.array([found.accuracy_mean, found.auc, found.tar_at_fmr["1e-3"], missed], np.float64)


def photo_of(crop: Path) -> str:
    """The photo PERSON/FILE of a crop that `align_folder` made."""
    return f"{crop.parent.name}/{crop.stem}"


def lfw_rows(data: Path, runs: Path, quick: bool) -> Iterator[list[str]]:
    """A row for each backbone and strategy: the mean of its seeds' models with its standard error, in percent."""
    folder, _ = align_folder(data / "lfw", runs / "lfw", MTCNNDetector(DetectorSettings(), STORED_SIZE))
    crops = identity_folders(folder)
    for name in GRID:
        study = runs / (f"quick-{name}" if quick else name)
        if not (study / PLAN).exists():
            continue
        plan = read_plan(study)
        for row in build_rows(plan, read_cells(study, plan)):
            models = [run_folder(study, Cell(row.backbone, row.strategy, seed)) for seed in range(plan.seeds)]
            found = np.array([on_lfw(data, crops, model) for model in models if (model / "model.json").exists()])
            figures = [mean_and_error(100 * column) for column in found.T] if len(found) else ["none"] * 4
            yield [row.backbone, row.strategy, str(len(found)), *figures]


# ----------------------------------------------------------------------------------------------------------- command


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    made = study_parser(__doc__)
    made.add_argument("data", type=Path)
    made.add_argument("runs", type=Path)
    made.add_argument("--part", choices=(*PARTS, "sizes", "lfw"), required=True)
    made.add_argument("--corners", action="store_true", help="of `sizes`: the smallest and the largest numbers alone")
    made.add_argument("--quick", action="store_true", help="a trial: one seed, 320 crops, two strategies")
    return made


def main() -> None:
    """Parse, train what is missing, print a Markdown table."""
    options = parser().parse_args()
    options.runs.mkdir(parents=True, exist_ok=True)
    if options.part == "lfw":
        head = ("accuracy, %", "AUC, %", "TAR at FMR 1e-3, %", "FNIR at FPIR 1 %")
        table = Table(("backbone", "strategy", "seeds", *head), options.csv)
        for cells in lfw_rows(options.data, options.runs, options.quick):
            table.add(*cells)
        return
    parts = PARTS.get(options.part) or sizes(options.data, options.runs, options.corners)
    head = ("study", "backbone", "strategy", "seeds", "validation TAR, %", "AUC, %", "gap, points")
    table = Table((*head, "trained, millions", "minutes", "peak, GiB"), options.csv)
    for part in parts:
        for row in run_part(part, options.data, options.runs, options.quick):
            table.add(*cells_of(part.name, row))


if __name__ == "__main__":
    main()
