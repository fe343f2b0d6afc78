"""From which stage of an ImageNet network should features be taken? A support vector machine on each, on three tasks.

    .venv/bin/python -m scripts.studies stages DATA CACHE [--backbone mobilenet_v2]

`ants or bees` is like what the network learned: ImageNet has both. `who of 20 people` is unlike it: ImageNet has no
people among its classes, all the pictures are of one kind, and what tells them apart is what its classes must ignore.
`in or out of focus` is unlike it in another way: half of the aligned faces are blurred by 0.5 to 1.5 of 128 pixels,
so only the finest texture matters; the people to learn from are not those to test on.

The cost C is found on the training photos; accuracy and ROC AUC are those of the test photos, with 95 % intervals
over photos. CACHE gets the class folders and the features, and is used again. Each cell is what

    facerec features CACHE/TASK/train --model BACKBONE --layer STAGE --classifier svm --test CACHE/TASK/test

prints, but here a picture passes through the network once for all stages.
"""

import argparse
import os
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from PIL.ImageFilter import GaussianBlur

from facerec.datasets.photo_sets import PhotoSet, read_photos
from facerec.datasets.splits import split_people
from facerec.features.classifiers import LearnerResult, tried_on
from facerec.features.table import FeatureTable, folder_label, read_features, write_features
from facerec.models.checkpoint import load_pretrained
from facerec.photos.crops import centre_picture
from facerec.photos.folders import find_photos
from facerec.photos.reading import read_image
from scripts.studies.tables import Table, spanned, study_parser

PEOPLE, CROPS, BLUR = 20, 20, (0.5, 1.5)
SIDES = ("train", "test")
BATCH = 16


def link(photo: Path, folder: Path, name: str) -> None:
    """A link to a photo in a class folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if not os.path.lexists(folder / name):
        (folder / name).symlink_to(photo.resolve())


def make_identity(people: list[str], faces: PhotoSet, folder: Path, rng: np.random.Generator) -> None:
    """Half of CROPS crops of each person to learn from, half to test on."""
    for person in people:
        for i, photo in enumerate(rng.permutation(np.array(faces.photos_of(person), object))[:CROPS]):
            link(photo, folder / SIDES[i % 2] / person, f"{i:02}{photo.suffix}")


def make_focus(people: list[str], faces: PhotoSet, folder: Path, rng: np.random.Generator) -> None:
    """Half of CROPS / 2 crops of each person blurred; half of the people to learn from, half to test on."""
    for number, person in enumerate(people):
        side = folder / SIDES[number % 2]
        for i, photo in enumerate(rng.permutation(np.array(faces.photos_of(person), object))[: CROPS // 2]):
            target = side / ("blurred", "sharp")[i % 2] / f"{person}-{i:02}.png"
            image = PIL.Image.fromarray(read_image(photo))
            radius = rng.uniform(*BLUR)
            target.parent.mkdir(parents=True, exist_ok=True)
            (image if i % 2 else image.filter(GaussianBlur(radius))).save(target)


def make_tasks(data: Path, cache: Path) -> dict[str, Path]:
    """Name -> a folder of train/CLASS and test/CLASS."""
    faces, _ = split_people(read_photos(data / "faces"), data / "splits", seed=0)
    rng = np.random.default_rng(0)
    counts = np.bincount(faces.labels)
    people = rng.permutation([name for name, count in zip(faces.names, counts, strict=True) if count >= CROPS]).tolist()
    insects = cache / "insects"
    for side, theirs in zip(SIDES, ("train", "val"), strict=True):
        for photo in find_photos(data / "hymenoptera" / theirs):
            link(photo, insects / side / photo.parent.name, photo.name)
    make_identity(people[:PEOPLE], faces, cache / "identity", rng)
    make_focus(people[PEOPLE : 3 * PEOPLE], faces, cache / "focus", rng)
    return {
        "ants or bees": insects,
        f"who of {PEOPLE} people": cache / "identity",
        "in or out of focus": cache / "focus",
    }


@torch.inference_mode()
def all_stages(folder: Path, backbone: str, cache: Path) -> dict[str, FeatureTable]:
    """Stage -> its features of the photos in a folder, from the cache where they are there."""
    network, card = load_pretrained(backbone)
    names = [name for name, _ in network.named_stages()]
    files = {name: cache / f"{folder.parent.name}-{folder.name}-{backbone}-{name}.npz" for name in names}
    if not all(file.exists() for file in files.values()):
        paths = find_photos(folder)
        parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
        for start in range(0, len(paths), BATCH):
            pictures = [centre_picture(read_image(path), card.input_size) for path in paths[start : start + BATCH]]
            x = network.prefix(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2), 0)
            for name, stage in network.named_stages():
                x = stage(x)
                parts[name].append((x if x.ndim == 2 else x.mean((2, 3))).numpy())
        keys = tuple(path.relative_to(folder).as_posix() for path in paths)
        labels = tuple(folder_label(path, folder) for path in paths)
        for name, file in files.items():
            table = FeatureTable(np.concatenate(parts[name]), keys, labels, name, card.name, card.fingerprint)
            write_features(table, file)
    return {name: read_features(file) for name, file in files.items()}


def cells_of(result: LearnerResult) -> list[str]:
    """Accuracy in percent and AUC, with their intervals, and the cost that was chosen."""
    measured = result.result
    assert measured.roc_auc is not None, "every class has test photos"
    accuracy = spanned(measured.accuracy, measured.ci95["accuracy"], 100, 1)
    return [accuracy, spanned(measured.roc_auc, measured.ci95["roc_auc"], 1, 3), f"{result.chosen[0]:g}"]


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    made = study_parser(__doc__)
    made.add_argument("data", type=Path)
    made.add_argument("cache", type=Path)
    made.add_argument("--backbone", default="mobilenet_v2")
    return made


def main() -> None:
    """Parse, compute what is missing, print a Markdown table."""
    options = parser().parse_args()
    table = Table(("task", "stage", "features", "accuracy, %", "ROC AUC", "cost C"), options.csv)
    for task, folder in make_tasks(options.data, options.cache).items():
        train, test = (all_stages(folder / side, options.backbone, options.cache) for side in SIDES)
        for stage, learned in train.items():
            other = test[stage]
            result = tried_on("svm", learned.labels, [*learned.features], other.labels, [*other.features])
            table.add(task, stage, learned.features.shape[1], *cells_of(result))


if __name__ == "__main__":
    main()
