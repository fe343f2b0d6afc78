"""What does a gallery gain when it is migrated to another model? `facerec gallery migrate` on real crops.

    .venv/bin/python -m scripts.studies migration int8 sface.onnx --data ../shared/data

The first 60 validation people (`splits/validation.txt`) are enrolled with 6 crops each and --keep-crops; then their
photos are deleted. If the new model FILE.onnx has no strangers of its own, it gets one crop of each of the first
1,000 cohort people (`splits/cohort.txt`). Everything lies in a folder that is deleted at the end. The figures are the
command's own.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from facerec.inference.loading import load_embedder
from facerec.models.cohort import cohort_path, save_cohort
from facerec.photos.crops import aligned_crop
from facerec.photos.folders import find_photos
from facerec.photos.reading import read_image
from scripts.studies.people import listed_folders
from scripts.studies.tables import Table, spanned, study_parser

PEOPLE, CROPS, STRANGERS = 60, 6, 1000
MEASURES = {
    "fnir": "FNIR: each photo is searched while it is left out",
    "fpir_strangers": "FPIR: the strangers that set the threshold",
    "fpir_enrolled": "FPIR: each person is searched while left out",
}


def with_strangers(model: Path, folder: Path, data: Path) -> Path:
    """A copy of FILE.onnx, its card and its strangers in `folder`."""
    copy = Path(shutil.copy(model, folder))
    shutil.copy(model.with_suffix(".json"), folder)
    if cohort_path(model).exists():
        shutil.copy(cohort_path(model), folder)
        return copy
    embedder = load_embedder(str(copy))
    photos = [find_photos(person)[0] for person in listed_folders(data, "cohort")[:STRANGERS]]
    crops = np.stack([aligned_crop(read_image(path), embedder.card.input_size) for path in photos])
    save_cohort(copy, embedder.card, embedder.embed(crops), "one crop of each cohort person")
    return copy


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    made = study_parser(__doc__, data=True)
    made.add_argument("old")
    made.add_argument("new", type=Path, help="FILE.onnx with its card")
    return made


def main() -> None:
    """Enroll, delete the photos, migrate."""
    options = parser().parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, gallery = Path(name), f"--gallery={name}/gallery"
        for person in listed_folders(options.data, "validation")[:PEOPLE]:
            (folder / "people" / person.name).mkdir(parents=True)
            for photo in find_photos(person)[:CROPS]:
                shutil.copy(photo, folder / "people" / person.name)
        enroll = ["enroll", f"{name}/people", "--aligned", "--force", "--keep-crops", "--model", options.old]
        run(*enroll, gallery)
        shutil.rmtree(folder / "people")
        model = with_strangers(options.new, folder, options.data)
        report = json.loads(run("gallery", "migrate", "--model", str(model), gallery, "--json").splitlines()[-1])
    embedded = ", ".join(f"{report[source]} {source}" for source in ("crops", "photos", "reused"))
    print(f"{report['after']['people']} people, {report['after']['templates']} crops; embedded: {embedded}\n")
    table = Table(("model", "threshold", "measure", "errors", "searches", "people", "rate, %"), options.csv)
    for name, side in ((report["old_model"], report["before"]), (report["model"], report["after"])):
        for figure, measure in MEASURES.items():
            if rate := side[figure]:  # a model without strangers has no rate of theirs
                counts = (rate["errors"], rate["searches"], rate["people"])
                share = spanned(rate["rate"], rate["ci95"], 100, 2)
                table.add(name, f"{side['threshold']:.3f}", measure, *counts, share)


def run(*arguments: str) -> str:
    """What `facerec ARGUMENTS` prints."""
    command = [sys.executable, "-m", "facerec.cli.main", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", check=True).stdout


if __name__ == "__main__":
    main()
