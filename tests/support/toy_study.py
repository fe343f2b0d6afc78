"""A study's plan and results, made up: nothing is trained."""

import dataclasses
from typing import Any

from facerec.study.results import CellResult, EpochResult, Machine, PhotoCounts, Prediction, Quality, StudyPlan

PLAN = StudyPlan(
    folder="faces",
    mode="metric",
    recipe="",
    backbones=("resnet50", "squeezenet1_1"),
    strategies=("full", "frozen"),
    seeds=2,
    crops=20_000,
    minutes=0.0,
    quick=False,
    settings={"lr": 1e-4},
    data={"splits": "splits"},
    photos=PhotoCounts(90, 1800, 10, 200, "0123456789abcdef"),
    machine=Machine("a processor", 2, 1, 4.0, "cpu", "2.0"),
    predictions=(
        Prediction("advise", "resnet50", "frozen", 0, "little data, like ImageNet's: train the new head alone"),
        Prediction("lectures", "", "full", 0, "much data, unlike ImageNet's: fine-tune the whole network"),
    ),
)


def plan(**changes: Any) -> StudyPlan:
    """Return PLAN with some fields changed."""
    return dataclasses.replace(PLAN, **changes)


def epoch(number: int, train: float, validation: float) -> EpochResult:
    """Return an epoch of 2,000 crops and 10 seconds with these qualities; the losses are 1 less them."""
    return EpochResult(number, 2000 * number, 10.0 * number, 1 - train, 1 - validation, train, validation)


def cell(backbone: str, strategy: str, seed: int, *qualities: tuple[float, float], **changes: Any) -> CellResult:
    """Return a finished cell with an epoch for each (train, validation) quality; the best epoch is the first best."""
    epochs = tuple(epoch(number, *pair) for number, pair in enumerate(qualities, 1))
    best = max(epochs, key=lambda each: each.validation_quality)
    tar = Quality(
        "tar", "TAR at FMR 1e-2", best.validation_quality, {"people": 10, "genuine": 1900, "impostors": 18000}
    )
    result = CellResult(
        *(backbone, strategy, seed, "done"),
        weights="imagenet",
        parameters=1000,
        trained_parameters=100,
        seconds=epochs[-1].seconds,
        total_seconds=epochs[-1].seconds + 5,
        peak_mib=500.0 + seed,
        crops=epochs[-1].crops,
        best_epoch=best.epoch,
        quality=(tar,),
        epochs=epochs,
    )
    return dataclasses.replace(result, **changes)
