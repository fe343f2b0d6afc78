"""Link all crops to train on into one folder, with the people of `faces_profile`, and crops of anybody into another.

    .venv/bin/python scripts/default_model/various_faces.py ../shared/data ../runs/various --teacher sface.onnx

DATA holds `faces/`, `faces_small/`, `faces_profile/`, `faces_unlabelled/` and `splits/`. What is written to OUTPUT:

- `faces/`: a folder of links per person. Who has several names by `faces_profile/same_as.txt` gets one folder.
  Validation people are linked as they are; the others in `splits/` are left out.
- `unlabelled/`: links to `faces_unlabelled/`.
- `times.csv`, for `facerec train --oversample`: crops of the people of `faces_profile` are shown more often.

A third of the people of `faces_profile` validate how well the model knows people from the side (the study `pose`). They
are left out under all their names. So are the unlabelled crops that
may show one of them: by the teacher, their cosine to the mean of somebody's crops is above 0.5.
"""

import argparse
import csv
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facerec.faces.detector import AlignedDetector
from facerec.inference.loading import load_embedder
from facerec.inference.pipeline import embed_photos
from facerec.photos.folders import find_photos, identity_folders
from facerec.types import Vectors
from facerec.vectors import unit_rows
from scripts.studies.people import PROFILES, pose_people

SOURCES = {"faces": "", "faces_small": "small_", PROFILES: ""}  # folder -> prefix of its people's names
TIMES = {"p": 10, "f": 2}  # profile, frontal: how often an epoch shows such a crop of faces_profile
MAY_BE_SAME = 0.5  # cosine


@dataclass(frozen=True)
class Names:
    """Who is who.

    known_as: `folder/name` -> the first of that person's names; who is not there has one name.
    left_out: the first names of the people who validate in profile.
    """

    known_as: dict[str, str]
    left_out: set[str]


def read_names(data: Path) -> Names:
    """Read `same_as.txt`. Two of its people with one name in common are one person, too."""
    groups: dict[str, set[str]] = {}
    for line in (data / PROFILES / "same_as.txt").read_text("utf-8").splitlines():
        if line.startswith("cfp_"):
            person, _, others = line.partition(": ")
            names = {f"{PROFILES}/{person}", *(name for name in others.split(", ") if "/" in name)}
            whole = names.union(*(groups[name] for name in names if name in groups))
            groups |= dict.fromkeys(whole, whole)
    known_as = {name: min(group) for name, group in groups.items()}
    return Names(known_as, {known_as.get(f"{PROFILES}/{name}", f"{PROFILES}/{name}") for name in pose_people(data)})


def link_people(data: Path, output: Path, names: Names) -> dict[str, int]:
    """Link the labelled crops. Returns how often an epoch shows those that it shows more than once."""
    lists = {path.stem: set(path.read_text("utf-8").split()) for path in (data / "splits").glob("*.txt")}
    left_out = set().union(*(people for kind, people in lists.items() if kind != "validation"))
    times = {}
    for folder, prefix in SOURCES.items():
        for person, crops in identity_folders(data / folder).items():
            first = names.known_as.get(f"{folder}/{person}", f"{folder}/{person}")
            if first in names.left_out or f"{folder}/{person}" in left_out:
                continue
            home, name = first.split("/")
            for crop in crops:
                place = f"{SOURCES[home]}{name}/{prefix}{person}-{crop.name}"
                link(output / "faces" / place, crop)
                if folder == PROFILES:
                    times[place] = TIMES[crop.name[0]]
    return times


def link(place: Path, crop: Path) -> None:
    """Make a link, and its folder if need be."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(crop.resolve())


def embed(crops: list[Path], teacher: str) -> tuple[list[Path], Vectors]:
    """The crops that can be read, and the teacher's (N, D) unit rows of them."""
    embedder = load_embedder(teacher)
    found = [photo for photo in embed_photos(crops, AlignedDetector(embedder.card.input_size), embedder) if photo.faces]
    return [photo.path for photo in found], np.stack([photo.vectors[0] for photo in found])


def means_of_left_out(data: Path, names: Names, teacher: str) -> Vectors:
    """(P, D) unit means of all crops of each person who validates in profile."""
    crops: dict[str, list[Path]] = defaultdict(list)
    for folder in SOURCES:
        for person, own in identity_folders(data / folder).items():
            first = names.known_as.get(f"{folder}/{person}", f"{folder}/{person}")
            if first in names.left_out:
                crops[first] += own
    return unit_rows(np.stack([embed(own, teacher)[1].mean(0) for own in crops.values()]))


def main() -> None:
    """Parse the arguments and link."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--teacher", required=True, help="a model that tells who may be one person")
    options = parser.parse_args()
    names = read_names(options.data)
    times = link_people(options.data, options.output, names)
    with (options.output / "times.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([("photo", "times"), *sorted(times.items())])
    crops, rows = embed(find_photos(options.data / "faces_unlabelled"), options.teacher)
    near = (rows @ means_of_left_out(options.data, names, options.teacher).T).max(1) > MAY_BE_SAME
    for crop in [crop for crop, doubt in zip(crops, near, strict=True) if not doubt]:
        link(options.output / "unlabelled" / crop.name, crop)
    print(f"{len(names.left_out)} people of {PROFILES} left out, and {near.sum()} unlabelled crops that may show them")


if __name__ == "__main__":
    main()
