"""How many planted errors does `facerec check-data` find?

    .venv/bin/python -m scripts.studies planted_errors ../shared/data/faces ../shared/data/splits/test.txt \\
        [--model sface.onnx]

From the people whom the list names (a line `FOLDER/PERSON` each), some are chosen by seed, with all their aligned
crops.

wrong_label      3 % of the crops move to somebody else; every copy below has a wrong label, too
same_person      five people get a second name for half of their crops
duplicate        five unchanged copies go to somebody else
near_duplicate   so do JPEG copies of quality 60, five each as they are, scaled to 80 %, lit 20 % more, cut by 3 %

Reported for each: how many were found of those planted, what else was found, and how much had been found before
anything was planted (a fault of the data, or a false alarm). All of it happens in a folder of links, which is
deleted. Half a minute a model on two idle cores. Expected of 60 test people: `results/planted_errors-*.csv`.
"""

import argparse
import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import PIL.Image
from PIL.Image import Resampling

from facerec.curation.check import Report, check, read_album
from facerec.faces.detector import AlignedDetector
from facerec.inference.embedder import Embedder
from facerec.inference.loading import load_embedder
from facerec.photos.folders import identity_folders
from scripts.studies.tables import Table, study_parser

MOVED = 0.03
EACH = 5
CHANGES: dict[str, Callable[[PIL.Image.Image], PIL.Image.Image]] = {
    "jpeg": lambda image: image,
    "scaled": lambda image: image.resize((image.width * 4 // 5, image.height * 4 // 5), Resampling.BICUBIC),
    "lit": lambda image: image.point([min(value * 6 // 5, 255) for value in range(256)] * 3),
    "cut": lambda image: image.crop((4, 4, image.width - 4, image.height - 4)),
}
Planted = list[tuple[str, set[str]]]  # kind of finding, and the photos or people it must name


def link_people(source: Path, people: list[str], target: Path) -> list[Path]:
    """Links to the crops of the people in target/NAME; returns them."""
    links = [target / person / path.name for person in people for path in sorted((source / person).iterdir())]
    for link in links:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(source.resolve() / link.relative_to(target))
    return links


def plant(links: list[Path], rng: np.random.Generator) -> Planted:
    """Plant errors in the folder of links; each link is touched at most once."""
    people = sorted({link.parent for link in links})
    todo = iter([links[i] for i in rng.permutation(len(links))])

    def to_others(count: int) -> Iterator[tuple[Path, Path]]:
        for link in itertools.islice(todo, count):
            others = [folder for folder in people if folder != link.parent]
            yield link, others[rng.integers(len(others))] / f"{link.parent.name}-{link.name}"

    planted: Planted = []
    for link, place in to_others(round(MOVED * len(links))):
        link.rename(place)
        planted.append(("wrong_label", {key(place)}))
    for link, place in to_others(EACH):
        place.symlink_to(link.resolve())
        planted += [("wrong_label", {key(place)}), ("duplicate", {key(link), key(place)})]
    for name, change in CHANGES.items():
        for link, place in to_others(EACH):
            place = place.with_suffix(f".{name}.jpg")
            with PIL.Image.open(link) as image:
                change(image.convert("RGB")).save(place, quality=60)
            planted += [("wrong_label", {key(place)}), ("near_duplicate", {key(link), key(place)})]
    return planted + split(people, set(todo), rng)


def split(people: list[Path], untouched: set[Path], rng: np.random.Generator) -> Planted:
    """Give EACH people a second name for every other of their untouched links."""
    planted: Planted = []
    for i in rng.permutation(len(people))[:EACH]:
        second = people[i].with_name(f"{people[i].name} again")
        second.mkdir()
        for link in sorted(untouched & set(people[i].iterdir()))[::2]:
            link.rename(second / link.name)
        planted.append(("same_person", {people[i].name, second.name}))
    return planted


def key(path: Path) -> str:
    """folder/person/file, as findings name a photo."""
    return "/".join(path.parts[-3:])


def look(folder: Path, embedder: Embedder) -> Report:
    """What `facerec check-data FOLDER --aligned` finds."""
    album = read_album(folder, identity_folders(folder), AlignedDetector(embedder.card.input_size), embedder)
    return check(album, threshold=embedder.card.default_threshold)


def print_table(planted: Planted, before: Report, after: Report, file: Path | None) -> None:
    """A row for each kind: found, planted, other findings, findings before."""
    table = Table(("error", "found", "planted", "other findings", "findings before planting"), file)
    for kind in sorted({kind for kind, _ in planted}):
        errors = [error for planted_kind, error in planted if planted_kind == kind]
        named = [{*f.photos, *(f.people if kind == "same_person" else ())} for f in after.findings if f.kind == kind]
        found = sum(any(error <= names for names in named) for error in errors)
        other = sum(not any(error <= names for error in errors) for names in named)
        table.add(kind, found, len(errors), other, before.counts()[kind])


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    made = study_parser(__doc__)
    made.add_argument("folder", type=Path)
    made.add_argument("people", type=Path)
    made.add_argument("--count", type=int, default=60)
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--model")
    return made


def main() -> None:
    """Parse, link, look, plant, look again."""
    options = parser().parse_args()
    listed = [line.split("/", 1)[1] for line in options.people.read_text("utf-8").split()]
    rng = np.random.default_rng(options.seed)
    people = sorted(rng.permutation(listed)[: options.count].tolist())
    embedder = load_embedder(options.model)
    with tempfile.TemporaryDirectory() as scratch:
        links = link_people(options.folder, people, Path(scratch) / "faces")
        before = look(Path(scratch) / "faces", embedder)
        planted = plant(links, rng)
        after = look(Path(scratch) / "faces", embedder)
    print(f"{embedder.card.name}: {before.photos} crops of {before.people} people; {len(planted)} errors planted\n")
    print_table(planted, before, after, options.csv)


if __name__ == "__main__":
    main()
