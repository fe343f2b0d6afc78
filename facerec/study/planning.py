"""What a study is asked for, and the plan that follows from it and from the photos."""

import dataclasses
import hashlib
import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from facerec.errors import ConfigError, ModelError
from facerec.models.backbones import build_stages, find_backbone, find_stages
from facerec.models.network import CLASSIFY, METRIC, MODES
from facerec.settings import build_settings
from facerec.study import recipe
from facerec.study.budget import Budget, read_budget, spend
from facerec.study.predictions import by_advice, by_lectures
from facerec.study.results import Cell, Machine, PhotoCounts, StudyPlan
from facerec.training.distributed import own_device
from facerec.training.plan import TrainPlan, make_plan, plan_data
from facerec.training.settings import STRATEGIES, TrainSettings
from facerec.training.tasks import Task, read_task

BACKBONES = ("resnet50", "mobilenet_v2", "squeezenet1_1")
QUICK_BACKBONES, QUICK_STRATEGIES = ("squeezenet1_1",), ("full", "frozen")
CROPS, SEEDS = 20_000, 3
MOST_SEEDS = 1000  # a plan lists every cell
QUICK_CROPS = 160
SHARED: dict[str, Any] = {"data_seed": 0, "views": 4, "measure_train": True, "schedule": "cosine"}
"""What all cells train with, where it is not the usual: the same photos validate, and the same views are shown."""
QUICK: dict[str, Any] = {"epochs": 4, "cache_gb": 1.0}
QUICK_SIZE, QUICK_BATCH = 64, 8  # of classes' pictures
OWN = ("mode", "backbone", "strategy", "frozen_stages", "seed", "minutes", "epoch_batches", "measure_train")
"""Settings that the study sets itself."""
FMRS = (1e-3, 1e-2, 1e-1)
LEAST_FALSE_MATCHES = 10
"""TAR is reported at the smallest FMR that allows so many false matches: at fewer it is noise."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a study is asked for; what is empty or None gets the usual value.

    budget: crops, as in "20000", or minutes, as in "30m". settings: training settings for all cells. data: `splits`,
    `validation` and `exclude`, as `facerec train` takes them.
    """

    mode: str = METRIC
    backbones: tuple[str, ...] = ()
    strategies: tuple[str, ...] = ()
    budget: str = ""
    seeds: int | None = None
    quick: bool = False
    recipe: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Path] = field(default_factory=dict)


def resolve(asked: Asked) -> Asked:
    """The same with every usual value filled in; raises ConfigError for a value that does not exist."""
    if asked.recipe not in ("", recipe.TUTORIAL):
        raise ConfigError(f"no recipe {asked.recipe!a:.40}; known is {recipe.TUTORIAL}")
    mode = CLASSIFY if asked.recipe else asked.mode
    if mode not in MODES:
        raise ConfigError(f"no mode {mode!a:.40}; known are {', '.join(MODES)}")
    if asked.seeds is not None and not 1 <= asked.seeds <= MOST_SEEDS:
        raise ConfigError(f"`seeds` must be at least 1 and at most {MOST_SEEDS}, not {asked.seeds}")
    if own := [name for name in OWN if name in asked.settings]:
        raise ConfigError(f"`{own[0]}` is set by the study; leave it out of the settings")
    backbones, strategies, seeds = _usual(asked)
    resolved = dataclasses.replace(asked, mode=mode, backbones=backbones, strategies=strategies, seeds=seeds)
    for backbone in backbones:
        find_backbone(backbone)
    for strategy in strategies:
        read_strategy(strategy)
    for kind, names in (("backbone", backbones), ("strategy", strategies)):
        if twice := [name for name in names if names.count(name) > 1]:
            raise ConfigError(f"the {kind} {twice[0]} is named twice")
    return resolved


def _usual(asked: Asked) -> tuple[tuple[str, ...], tuple[str, ...], int]:
    """The backbones, the strategies and the number of seeds: those asked for, else the usual."""
    if asked.recipe:
        usual = recipe.BACKBONES, recipe.STRATEGIES, SEEDS
    elif asked.quick:
        usual = QUICK_BACKBONES, QUICK_STRATEGIES, 1
    else:
        usual = BACKBONES, STRATEGIES, SEEDS
    seeds = (1 if asked.quick else usual[2]) if asked.seeds is None else asked.seeds
    return asked.backbones or usual[0], asked.strategies or usual[1], seeds


def read_strategy(name: str) -> dict[str, Any]:
    """The training settings of a strategy: one of STRATEGIES, or partialN, which freezes the first N stages."""
    if found := re.fullmatch(r"partial([0-9]+)", name):
        return {"strategy": "partial", "frozen_stages": int(found[1])}
    if name not in STRATEGIES:
        raise ConfigError(f"no strategy {name!a:.40}; known are {', '.join(STRATEGIES)}, and partialN: N frozen stages")
    return {"strategy": name}


# ------------------------------------------------------------------------------------------------------- the plan


def plan_study(folder: Path, trained_on: Path, asked: Asked) -> tuple[StudyPlan, Task]:
    """The plan of what `resolve` returned, still without predictions and weights, and the task on its photos.

    folder: the photos, as they were given. trained_on: as they are trained on: aligned crops, or those of a recipe.
    Raises ConfigError and DataError as `training.plan` and `read_task` do.
    """
    settings = _shared_settings(asked)
    data = {"trained_on": trained_on, **asked.data}
    plan = StudyPlan(
        folder=str(folder.resolve()),
        mode=asked.mode,
        recipe=asked.recipe,
        backbones=asked.backbones,
        strategies=asked.strategies,
        seeds=asked.seeds or 1,
        crops=0,
        minutes=0.0,
        quick=asked.quick,
        settings=settings,
        data={name: str(path.resolve()) for name, path in data.items()},
        photos=PhotoCounts(0, 0, 0, 0, ""),
        machine=this_machine(),
        predictions=(),
    )
    task = read_task(trained_on, _first_plan(plan))
    return _with_photos(plan, task, _budget(asked)), task


def _shared_settings(asked: Asked) -> dict[str, Any]:
    settings = dict(SHARED)
    if asked.quick:
        settings |= QUICK
        settings |= {"input_size": QUICK_SIZE, "batch_size": QUICK_BATCH} if asked.mode == CLASSIFY else {}
    settings |= recipe.SETTINGS if asked.recipe else {}
    settings |= dict(asked.settings)
    build_settings(TrainSettings, settings, "settings")  # refuses what does not exist
    return settings


def _budget(asked: Asked) -> Budget | None:
    """The budget of a cell; None where the recipe says how many epochs there are."""
    if asked.budget:
        return read_budget(asked.budget)
    if asked.quick:
        return Budget(QUICK_CROPS, 0)
    return None if asked.recipe else Budget(CROPS, 0)


def _first_plan(plan: StudyPlan) -> TrainPlan:
    """The training plan of the first cell that there is; raises the ConfigError of the last one if there is none."""
    cells = [cell for cell in plan.cells() if cell.seed == 0]
    for cell in cells:
        try:
            made = make_plan(cell_settings(plan, cell))
        except ConfigError:
            if cell == cells[-1]:
                raise
        else:
            return _on_data(plan, made)
    raise AssertionError("a study has cells")


def train_plan(plan: StudyPlan, cell: Cell) -> TrainPlan:
    """The training plan of a cell; raises ConfigError where there is no such combination."""
    return _on_data(plan, make_plan(cell_settings(plan, cell)))


def _on_data(plan: StudyPlan, made: TrainPlan) -> TrainPlan:
    return plan_data(made, **{name: Path(path) for name, path in plan.data.items() if name != "trained_on"})


def cell_settings(plan: StudyPlan, cell: Cell) -> TrainSettings:
    """The training settings of a cell."""
    values = {"mode": plan.mode, "backbone": cell.backbone, "seed": cell.seed, **plan.settings}
    values |= recipe.form_of(cell.backbone) if plan.recipe else {}
    values |= read_strategy(cell.strategy)
    if cell.strategy == "gradual" and not plan.minutes:  # every stage trains in the second half at least
        stages = len(find_stages(cell.backbone)) + 1
        values.setdefault("unfreeze_epochs", max(1, values.get("epochs", 10) // (2 * stages)))
    if plan.weights.get(cell.backbone) == "random":
        values["init"] = "random"
    return build_settings(TrainSettings, values, "settings")


def _with_photos(plan: StudyPlan, task: Task, budget: Budget | None) -> StudyPlan:
    """The plan with what follows from the photos: their counts, the FMR that they can show, the epochs."""
    settings, crops = dict(plan.settings), 0
    if plan.mode == METRIC and "validation_fmr" not in settings:
        settings["validation_fmr"] = shown_fmr(task.validation.labels)
    if budget is not None:
        batches = task.batches(0)
        spent, crops = spend(budget, len(batches), len(batches[0]), settings.get("epochs", TrainSettings().epochs))
        settings |= spent
    if budget is not None and budget.minutes and settings["schedule"] == "cosine":
        settings["schedule"] = "plateau"  # nobody knows how many epochs the minutes make
    prints = task.train.fingerprint() + task.validation.fingerprint()
    counts = PhotoCounts(
        len(task.train.names),
        len(task.train),
        len(task.validation.names),
        len(task.validation),
        hashlib.sha256(prints.encode()).hexdigest()[:16],
    )
    minutes = budget.minutes if budget else 0.0
    return dataclasses.replace(plan, settings=settings, crops=crops, minutes=minutes, photos=counts)


def pair_counts(labels: Sequence[int] | np.ndarray) -> tuple[int, int]:
    """How many genuine and how many impostor pairs (N,) photos of these people make."""
    each = np.unique(labels, return_counts=True)[1]
    genuine = int((each * (each - 1) // 2).sum())
    return genuine, len(labels) * (len(labels) - 1) // 2 - genuine


def shown_fmr(labels: Sequence[int] | np.ndarray) -> float:
    """The smallest of FMRS that photos of these people can show: LEAST_FALSE_MATCHES of their pairs lie within it."""
    impostors = pair_counts(labels)[1]
    return next((fmr for fmr in FMRS if fmr * impostors >= LEAST_FALSE_MATCHES), FMRS[-1])


def look_ahead(plan: StudyPlan, task: Task) -> StudyPlan:
    """The plan with what each backbone begins with, and with the predictions."""
    weights = {backbone: _weights(plan, backbone) for backbone in plan.backbones}
    size = plan.settings.get("input_size", 0)
    advised = (by_advice(task.train, name, plan.mode, size) for name in plan.backbones if weights[name] == "imagenet")
    predictions = [advice for advice in advised if advice is not None]
    predictions.append(by_lectures(len(task.train), plan.mode))
    return dataclasses.replace(plan, weights=weights, predictions=tuple(predictions))


def _weights(plan: StudyPlan, backbone: str) -> str:
    """What a backbone's training begins with: "imagenet", "random", or the model that the settings name."""
    asked = plan.settings.get("init", TrainSettings().init)
    if asked != "imagenet":
        return str(asked)
    try:
        build_stages(backbone, pretrained=True)
    except ModelError:
        return "random"
    return asked


SAME = tuple(f.name for f in dataclasses.fields(StudyPlan) if f.name not in ("machine", "weights", "predictions"))
"""What must be equal when a study goes on."""


def differences(one: StudyPlan, other: StudyPlan) -> Iterable[str]:
    """The names of the fields in which two plans differ, so that one cannot go on with the other."""
    return [name for name in SAME if getattr(one, name) != getattr(other, name)]


def this_machine() -> Machine:
    """Where this runs."""
    device = own_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return Machine(_processor(), os.cpu_count() or 1, torch.get_num_threads(), _memory_gib(), name, torch.__version__)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _memory_gib() -> float:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return 0.0
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)
