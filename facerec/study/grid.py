"""The grid of a study: cell after cell, each in a process of its own, with a table and a page after each."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from facerec.datasets.prepare import Detected, align_folder
from facerec.errors import ConfigError, DataError
from facerec.faces.detector import Detector
from facerec.files import draft_of
from facerec.models.network import METRIC
from facerec.photos.folders import require_outside
from facerec.study import recipe
from facerec.study.cell import PROGRESS, run_folder
from facerec.study.page import write_page
from facerec.study.planning import Asked, differences, look_ahead, plan_study, resolve, train_plan
from facerec.study.results import (
    DONE,
    FAILED,
    LEFT_OUT,
    PLAN,
    Cell,
    CellResult,
    StudyPlan,
    cell_file,
    read_cell,
    read_cells,
    read_plan,
    write_cell,
    write_plan,
)
from facerec.study.table import Row, build_rows, write_tables
from facerec.text import printable
from facerec.training.run_folder import CHECKPOINT, LOCK, hold_folder
from facerec.training.tasks import Task

log = logging.getLogger(__name__)

LOG, CACHE = "output.log", "cache"
CROPS, PHOTOS = "crops", "photos"
BEFORE_PLAN = {LOCK, CROPS, PHOTOS, draft_of(Path(PLAN)).name}
"""What a study that is stopped before its plan is written may leave."""
POLL = 0.3  # seconds between two looks at a cell


@dataclass(frozen=True, slots=True)
class GridProgress:
    """Where a study is. cells: of the whole grid; done: how many have ended; cell: the one that runs, and how far.

    seconds_left: an estimate for all that is left, from the cells of this call; None before there is one to go by.
    ended: the result of a cell that has just ended; None while one runs.
    """

    cells: int
    done: int
    cell: Cell
    share: float
    seconds_left: float | None
    ended: CellResult | None = None


Watch = Callable[[GridProgress], None]


def run_study(
    folder: Path,
    output: Path,
    asked: Asked,
    *,
    detector: Detector | None = None,
    aligning: Callable[[Detected, int], Detected] = lambda photos, _: photos,
    watch: Watch = lambda progress: None,
    keep_models: bool = False,
) -> tuple[StudyPlan, list[Row]]:
    """Compare backbones and strategies on the photos of `folder`, in the folder `output`; go on with what is there.

    detector: finds the faces in raw photos of people; None: they are aligned crops. aligning: watches that. watch: is
    told how the grid goes on. keep_models: keep the best model of each cell, in output/runs. Raises ConfigError and
    DataError before anything is trained, also where `output` lies in `folder`, or holds a study of something else or
    what is no study. A cell that fails is a result; the others go on.
    """
    asked = resolve(asked)
    require_outside(output, [folder, *filter(None, [asked.data.get("validation")])])
    _require_own(folder, output)
    with hold_folder(output):
        trained_on, asked = _ready_photos(folder, output, asked, detector, aligning)
        plan = _claim(output, *plan_study(folder, trained_on, asked))
        _run_cells(output, plan, watch, keep_models)
        return plan, list(build_rows(plan, read_cells(output, plan)))


def _require_own(folder: Path, output: Path) -> None:
    """Raise DataError where `output` holds a study of another folder, or somebody's files, before it is written to."""
    if (output / PLAN).exists():
        if read_plan(output).folder != str(folder.resolve()):
            raise DataError(f"{printable(output)}: holds a study of another folder; give another `output`")
        return
    held = set(os.listdir(output)) if output.is_dir() else set()
    others = sorted(held - (BEFORE_PLAN if LOCK in held else {LOCK}))
    if others:
        raise DataError(f"{printable(output)}: holds {printable(others[0])} and is no study; give another `output`")


def _ready_photos(
    folder: Path,
    output: Path,
    asked: Asked,
    detector: Detector | None,
    aligning: Callable[[Detected, int], Detected],
) -> tuple[Path, Asked]:
    """The folder of what is trained on, made if it must be, and `asked` with the validation photos made with it."""
    if asked.recipe:
        train, validation = recipe.photo_folders(folder, asked.data.get("validation"))
        train, validation = recipe.prepare_photos(train, validation, output / PHOTOS)
        return train, replace(asked, data={**asked.data, "validation": validation})
    if asked.mode != METRIC or detector is None:
        return folder, asked
    crops, failures = align_folder(folder, output / CROPS, detector, aligning)
    for failure in failures:
        log.warning("%s", failure)
    return crops, asked


def _claim(output: Path, plan: StudyPlan, task: Task) -> StudyPlan:
    """The plan that `output` holds, if it is the same, else this one with its predictions, written there."""
    if not (output / PLAN).exists():
        plan = look_ahead(plan, task)
        write_plan(output, plan)
        return plan
    before = read_plan(output)
    if other := list(differences(before, plan)):
        raise DataError(
            f"{printable(output)}: holds a study of other {', '.join(other)}; give what it was started with, "
            "or another `output`"
        )
    return before


# ------------------------------------------------------------------------------------------------------- the cells


def _run_cells(folder: Path, plan: StudyPlan, watch: Watch, keep_models: bool) -> None:
    """Run every cell that is not done or left out; one that failed gets another try."""
    cells = plan.cells()
    waiting = [cell for cell in cells if _waits(folder, cell)]
    _write_report(folder, plan)
    clock = _Clock(len(cells), len(waiting), watch)
    for cell in waiting:
        result = _left_out(plan, cell) or _run_cell(folder, cell, lambda share, cell=cell: clock.tell(cell, share))
        write_cell(folder, result)
        if result.status == DONE:
            _tidy(run_folder(folder, cell), keep_models)
        _write_report(folder, plan)
        clock.close(result)
    shutil.rmtree(folder / CACHE, ignore_errors=True)


def _write_report(folder: Path, plan: StudyPlan) -> None:
    """The table and the page of what has ended so far, so that a study that is stopped has them, too."""
    write_tables(folder, plan, build_rows(plan, read_cells(folder, plan)))
    write_page(folder)


def _left_out(plan: StudyPlan, cell: Cell) -> CellResult | None:
    """The result of a cell that its backbone has no such strategy for."""
    try:
        train_plan(plan, cell)
    except ConfigError as error:
        return CellResult(cell.backbone, cell.strategy, cell.seed, LEFT_OUT, reason=str(error))
    return None


def _waits(folder: Path, cell: Cell) -> bool:
    result = read_cell(folder, cell)
    return result is None or result.status == FAILED


class _Clock:
    """Tells the watcher how the grid goes on, and how long the rest takes if it goes on like this."""

    def __init__(self, cells: int, waiting: int, watch: Watch) -> None:
        self._began, self._cells, self._waiting, self._watch = time.monotonic(), cells, waiting, watch
        self._ended = 0

    def tell(self, cell: Cell, share: float, ended: CellResult | None = None) -> None:
        """share: of the cell that is done, from 0 to 1."""
        part = self._ended + share
        left = (time.monotonic() - self._began) / part * (self._waiting - part) if part else None
        done = self._cells - self._waiting + self._ended
        self._watch(GridProgress(self._cells, done, cell, share, left, ended))

    def close(self, result: CellResult) -> None:
        """A cell has ended."""
        self._ended += 1
        self.tell(result.cell, 0.0, result)


def _run_cell(folder: Path, cell: Cell, tell: Callable[[float], None]) -> CellResult:
    """Run a cell in its process and return its result. A process that dies leaves one, too: it failed."""
    cell_file(folder, cell).unlink(missing_ok=True)
    path = folder / "logs" / f"{cell.name}.log"
    path.parent.mkdir(exist_ok=True)
    env = {**os.environ, "FACEREC_CACHE": str((folder / CACHE).resolve())}
    command = [sys.executable, "-m", "facerec.study.cell", str(folder.resolve()), cell.name]
    with path.open("wb") as output:  # in a session of its own, so that Ctrl-C is handed on once, below
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, start_new_session=True
        )
        _wait(process, folder, cell, tell)
    result = read_cell(folder, cell)
    if result is None:
        why = _last_words(process.returncode, path)
        result = CellResult(cell.backbone, cell.strategy, cell.seed, FAILED, reason=why)
    return result


def _wait(process: "subprocess.Popen[bytes]", folder: Path, cell: Cell, tell: Callable[[float], None]) -> None:
    """Wait for a cell's process. Ctrl-C lets it write a checkpoint first; a second one ends it at once."""
    try:
        while process.poll() is None:
            tell(_share_done(run_folder(folder, cell) / PROGRESS))
            with suppress(subprocess.TimeoutExpired):
                process.wait(POLL)
    except BaseException:  # Ctrl-C, or the watcher's error
        try:
            process.send_signal(signal.SIGINT)
            process.wait()
        finally:
            process.kill()
            process.wait()
            cell_file(folder, cell).unlink(missing_ok=True)  # it says that it was stopped
        raise


def _share_done(path: Path) -> float:
    try:
        return float(json.loads(path.read_text("utf-8"))["done"])
    except FileNotFoundError:
        return 0.0


def _last_words(code: int, path: Path) -> str:
    """Why a process ended without a result: the signal, or the last line that it wrote."""
    if code < 0:
        guess = " (too little memory?)" if code == -signal.SIGKILL else ""
        return f"its process was killed by signal {-code}{guess}"
    lines = [line.strip() for line in path.read_text("utf-8", "replace").splitlines() if line.strip()]
    return f"{lines[-1] if lines else f'exit code {code}'}; see {printable(path)}"


def _tidy(run: Path, keep_models: bool) -> None:
    """Delete what a finished cell leaves that is large."""
    (run / CHECKPOINT).unlink(missing_ok=True)
    if not keep_models:
        for name in ("weights.safetensors", "model.json"):
            (run / name).unlink(missing_ok=True)
