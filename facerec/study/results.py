"""What a study plans and what it finds, and the files it keeps them in.

DIR/study.json                       the plan: a `StudyPlan`
DIR/cells/BACKBONE-STRATEGY-SEED.json    a cell that has ended: a `CellResult`
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from facerec.errors import DataError
from facerec.files import write_json
from facerec.text import printable

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

PLAN, CELLS = "study.json", "cells"
FORMAT = 1
DONE, FAILED, LEFT_OUT = STATUSES = ("done", "failed", "left_out")
GAP = 0.05
"""The gap between training and validation counts as open where it is larger: five points of quality."""

Result = TypeVar("Result", bound="DataclassInstance")


@dataclass(frozen=True, slots=True)
class Cell:
    """One training of a study: its place in the grid."""

    backbone: str
    strategy: str
    seed: int

    @property
    def name(self) -> str:
        """The name of its files: BACKBONE-STRATEGY-SEED."""
        return f"{self.backbone}-{self.strategy}-{self.seed}"


@dataclass(frozen=True, slots=True)
class PhotoCounts:
    """The photos of a study. names: people or classes. fingerprint: changes when a photo does."""

    train_names: int
    train_photos: int
    validation_names: int
    validation_photos: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """Which strategy somebody said to take before anything was trained.

    source: "advise" (which looks at the photos through this backbone) or "lectures" (their table alone). backbone: ""
    for all. kept_stages: how many first stages to use; 0: all. reason: in words.
    """

    source: str
    backbone: str
    strategy: str
    kept_stages: int
    reason: str


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a study was made: what its times and its memory hold for."""

    processor: str
    cores: int
    threads: int
    memory_gib: float
    device: str
    torch: str


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """What a study compares, on which photos, at which budget.

    folder: the photos'. mode: "metric" or "classify". recipe: "tutorial", or "" for the study's own way. seeds: how
    many runs of each combination, with the seeds 0, 1, ... crops: the budget of a cell in training crops; minutes: in
    minutes of training. One of the two is 0; both are where the recipe sets the epochs. quick: a trial, whose figures
    say little. settings: the training settings that all cells share, where they differ from the usual. data: further
    folders and lists, by name: `trained_on` (the photos as they are trained on), `validation`, `splits`, `exclude`.
    weights: backbone -> what its training begins with: "imagenet", "random" (if those cannot be had), or a model.
    """

    folder: str
    mode: str
    recipe: str
    backbones: tuple[str, ...]
    strategies: tuple[str, ...]
    seeds: int
    crops: int
    minutes: float
    quick: bool
    settings: dict[str, Any]
    data: dict[str, str]
    photos: PhotoCounts
    machine: Machine
    predictions: tuple[Prediction, ...]
    weights: dict[str, str] = field(default_factory=dict)

    def cells(self) -> list[Cell]:
        """Every cell of the grid, in the order in which they are run: the first seed of all comes first."""
        grid = product(range(self.seeds), self.backbones, self.strategies)
        return [Cell(backbone, strategy, seed) for seed, backbone, strategy in grid]

    @property
    def names(self) -> str:
        """What the folder holds folders of: "people" or "classes"."""
        return "people" if self.mode == "metric" else "classes"


@dataclass(frozen=True, slots=True)
class EpochResult:
    """One epoch. Losses and qualities are of the network after it, unless the recipe takes the epoch's running means.

    epoch: from 1. crops: trained on so far. seconds: of training so far, without validation. quality: the measure of
    `CellResult.quality`. train_auc, validation_auc: the area under the ROC curve; None where it is not known.
    """

    epoch: int
    crops: int
    seconds: float
    train_loss: float
    validation_loss: float
    train_quality: float
    validation_quality: float
    train_auc: float | None = None
    validation_auc: float | None = None

    @property
    def gap(self) -> float:
        """By how much the quality on the training photos is above that on the validation photos."""
        return self.train_quality - self.validation_quality


@dataclass(frozen=True, slots=True)
class Quality:
    """The validation quality of the best epoch.

    measure: "tar", "auc" or "accuracy". label: in words, as in "TAR at FMR 1e-2". counts: what it rests on, by name:
    `people`, `genuine` and `impostors` (pairs), or `photos`.
    """

    measure: str
    label: str
    value: float
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class CellResult:
    """How a cell ended.

    status: "done", "failed" (reason says why), or "left_out" (reason says why there is no such combination). weights:
    what the training began with: "imagenet", "random", or a model's name. remark: what a reader must know of it.
    trained_parameters: of all `parameters`, those that ever trained. seconds: of the training alone, without
    validation; total_seconds: of everything, from the start of the process. peak_mib: the largest resident memory of
    the cell's process, libraries included. crops: that were trained on. best_epoch: from 1; 0: the start model.
    quality: of that epoch; the first one ranks the cells.
    """

    backbone: str
    strategy: str
    seed: int
    status: str
    reason: str = ""
    weights: str = ""
    remark: str = ""
    parameters: int = 0
    trained_parameters: int = 0
    seconds: float = 0.0
    total_seconds: float = 0.0
    peak_mib: float = 0.0
    crops: int = 0
    best_epoch: int = 0
    quality: tuple[Quality, ...] = ()
    epochs: tuple[EpochResult, ...] = ()

    @property
    def cell(self) -> Cell:
        """Its place in the grid."""
        return Cell(self.backbone, self.strategy, self.seed)

    @property
    def gap(self) -> float | None:
        """The gap between training and validation at the best epoch."""
        return next((epoch.gap for epoch in self.epochs if epoch.epoch == self.best_epoch), None)

    @property
    def gap_opens(self) -> int | None:
        """The epoch (from 1) from which the gap stays above GAP to the end; None: it is not open at the end."""
        opens = None
        for epoch in reversed(self.epochs):
            if not epoch.gap > GAP:
                break
            opens = epoch.epoch
        return opens


# ------------------------------------------------------------------------------------------------------------- files


def write_plan(folder: Path, plan: StudyPlan) -> None:
    """Write study.json. Raises OSError."""
    write_json(folder / PLAN, {"format": FORMAT, **asdict(plan)})


def read_plan(folder: Path) -> StudyPlan:
    """The plan of the study in a folder; raises DataError where there is none, or it is not what `write_plan` wrote."""
    path = folder / PLAN
    if not path.exists():
        raise DataError(f"{printable(folder)}: holds no study; make one with `facerec study`")
    values = _read(path)
    if values.pop("format", None) != FORMAT:
        raise DataError(f"{printable(path)}: is of another format than {FORMAT}; make the study with this facerec")
    nested = {"photos": PhotoCounts, "machine": Machine, "predictions": (Prediction,)}
    return _built(StudyPlan, values, path, nested)


def write_cell(folder: Path, result: CellResult) -> None:
    """Write the result of a cell below the study's folder. Raises OSError."""
    path = cell_file(folder, result.cell)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, asdict(result))


def read_cell(folder: Path, cell: Cell) -> CellResult | None:
    """The result of a cell; None if it has not ended. Raises DataError where the file is not what was written."""
    path = cell_file(folder, cell)
    if not path.exists():
        return None
    return _built(CellResult, _read(path), path, {"quality": (Quality,), "epochs": (EpochResult,)})


def read_cells(folder: Path, plan: StudyPlan) -> Iterator[CellResult]:
    """Yield the results of the plan's cells that have ended, in its order."""
    for cell in plan.cells():
        if (result := read_cell(folder, cell)) is not None:
            yield result


def cell_file(folder: Path, cell: Cell) -> Path:
    """Where the result of a cell lies, below the study's folder."""
    return folder / CELLS / f"{cell.name}.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise DataError(f"{printable(path)}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise _broken(path, "not JSON") from error
    if not isinstance(values, dict):
        raise _broken(path, "not an object")
    return values


def _built(kind: type[Result], values: Any, path: Path, nested: dict[str, Any] | None = None) -> Result:
    """A `kind` from JSON's values. nested: the kinds of fields that are results themselves; (kind,): tuples of them."""
    if not isinstance(values, dict):
        raise _broken(path, f"{values!a:.40} where {kind.__name__} should stand")
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    for name, inner in (nested or {}).items():
        if isinstance(inner, tuple):
            given[name] = tuple(_built(inner[0], value, path) for value in given.get(name, ()))
        else:
            given[name] = _built(inner, given.get(name), path)
    known = {each.name for each in fields(kind)}
    if unknown := sorted(given.keys() - known):
        raise _broken(path, f"unknown field {unknown[0]!a:.40}")
    try:
        return kind(**given)
    except TypeError as error:
        raise _broken(path, "fields are missing") from error


def _broken(path: Path, why: str) -> DataError:
    of = path.parent if path.name == PLAN else path  # cells without their plan could be anything's
    return DataError(
        f"{printable(path)}: is not what facerec study wrote ({why}); delete {printable(of)}, and start the study again"
    )
