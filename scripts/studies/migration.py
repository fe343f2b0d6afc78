"""A gallery of one model is migrated to another by the command itself: what it reports on real crops.

    .venv/bin/python -m scripts.studies migration int8 sface.onnx --data ../shared/data

Enrolled are the first 60 validation people (`splits/validation.txt`) with 6 crops each, with --keep-crops, and their
photos are then gone. A new model FILE.onnx without strangers of its own gets one crop of each of the first 1,000 cohort
people (`splits/cohort.txt`). Everything lies in a folder that is deleted at the end.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np

from facerec.cli.main import main as facerec
from facerec.inference.loading import load_embedder
from facerec.models.cohort import cohort_path, save_cohort
from facerec.photos.crops import aligned_crop
from facerec.photos.folders import find_photos
from facerec.photos.reading import read_image

PEOPLE, CROPS, STRANGERS = 60, 6, 1000


def listed(data: Path, split: str) -> list[Path]:
    """The folders a split list names."""
    return [data / line for line in (data / "splits" / split).read_text("utf-8").split()]


def with_strangers(model: Path, folder: Path, data: Path) -> Path:
    """A copy of FILE.onnx, its card and its strangers in `folder`."""
    copy = Path(shutil.copy(model, folder))
    shutil.copy(model.with_suffix(".json"), folder)
    if cohort_path(model).exists():
        shutil.copy(cohort_path(model), folder)
        return copy
    embedder = load_embedder(str(copy))
    photos = [find_photos(person)[0] for person in listed(data, "cohort.txt")[:STRANGERS]]
    crops = np.stack([aligned_crop(read_image(path), embedder.card.input_size) for path in photos])
    save_cohort(copy, embedder.card, embedder.embed(crops), "one crop of each cohort person")
    return copy


def main() -> None:
    """Enroll, delete the photos, migrate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new", type=Path, help="FILE.onnx with its card")
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, gallery = Path(name), f"--gallery={name}/gallery"
        for person in listed(options.data, "validation.txt")[:PEOPLE]:
            (folder / "people" / person.name).mkdir(parents=True)
            for photo in find_photos(person)[:CROPS]:
                shutil.copy(photo, folder / "people" / person.name)
        enroll = ["enroll", f"{name}/people", "--aligned", "--force", "--keep-crops", "--model", options.old]
        facerec([*enroll, gallery], standalone_mode=False)
        shutil.rmtree(folder / "people")
        model = with_strangers(options.new, folder, options.data)
        facerec(["gallery", "migrate", "--model", str(model), gallery], standalone_mode=False)


if __name__ == "__main__":
    main()
