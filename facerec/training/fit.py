"""`facerec.train`: fine-tuning on a folder of photos, from Python, in one call."""

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from facerec.datasets.photo_sets import read_unlabelled
from facerec.datasets.prepare import Detected, align_folder
from facerec.faces.detector import Detector, usable_detector
from facerec.faces.settings import DetectorSettings
from facerec.models.card import ModelCard
from facerec.models.network import METRIC
from facerec.settings import build_settings, path_setting
from facerec.training.plan import TrainPlan, plan_run
from facerec.training.run_folder import begins
from facerec.training.settings import TrainSettings
from facerec.training.train import train as fine_tune

log = logging.getLogger(__name__)


def train(
    folder: str | Path,
    output: str | Path,
    *,
    aligned: bool = False,
    detector: Detector | DetectorSettings | None = None,
    splits: str | Path | None = None,
    validation: str | Path | None = None,
    exclude: str | Path | None = None,
    resume: bool = False,
    **settings: Any,
) -> ModelCard:
    """Fine-tune a backbone on a folder of one sub-folder per person, or per class with `mode="classify"`.

    output: the new model folder; the run's checkpoint and history lie there, too. aligned: the photos are aligned crops
    already; otherwise faces are found first, by `detector` (MTCNN unless given), and their crops kept in `output`.
    splits, validation, exclude: who judges the model, and which photos are left out; see facerec/training/README.md.
    resume: go on with the run in `output`; where torchrun restarts processes, begin it if there is none. settings:
    fields of `TrainSettings`, by name.

    Returns the card of the best model. A photo without a usable face is logged as a warning and left out. Raises
    ConfigError for a setting before anything is read, DataError for folders that cannot be used, and TrainingError for
    a run that cannot go on.

    >>> import facerec
    >>> try:
    ...     facerec.train("gallery/people", "model", strategy="everything")
    ... except facerec.FacerecError as error:
    ...     print(error)
    no strategy 'everything'; known are full, frozen, partial, ...
    """
    folder, output = path_setting(folder, "folder"), path_setting(output, "output")
    chosen = build_settings(TrainSettings, settings, "settings")
    lists = {"splits": splits, "validation": validation, "exclude": exclude}
    paths = {name: None if path is None else path_setting(path, name) for name, path in lists.items()}
    resume = resume and not begins(output)
    plan = plan_run(output, chosen, chosen=settings.keys(), resume=resume, **paths)
    if plan.settings.mode == METRIC and not aligned:
        folder, plan, failures = align_photos(folder, output, plan, usable_detector(detector, 128))
        for failure in failures:
            log.warning("%s", failure)
    return fine_tune(folder, output, plan, resume=resume)


def align_photos(
    folder: Path,
    output: Path,
    plan: TrainPlan,
    detector: Detector,
    watch: Callable[[Detected, int], Detected] = lambda photos, _: photos,
) -> tuple[Path, TrainPlan, list[str]]:
    """Align all photos of a run, those without labels too, into its folder `output`.

    Returns the folder of people to train on, the plan with the crops without labels, and one line for every photo that
    could not be used. detector, watch, and what is raised: see `align_folder`.
    """
    people, failures = align_folder(folder, output / "crops", detector, watch)
    if len(plan.unlabelled):
        root, paths = plan.unlabelled.root, plan.unlabelled.paths
        crops, more = align_folder(root, output / "unlabelled", detector, watch, paths)
        plan, failures = dataclasses.replace(plan, unlabelled=read_unlabelled(crops)), failures + more
    return people, plan, failures
