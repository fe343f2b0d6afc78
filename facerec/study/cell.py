"""One cell of a study, trained in a process of its own, so that its memory is its own and its end is nobody else's.

python -m facerec.study.cell STUDY CELL

The process writes cells/CELL.json, and while it trains runs/CELL/progress.json. It prints nothing.
"""

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from facerec.errors import FacerecError, TrainingError
from facerec.files import write_json
from facerec.models.card import ModelCard
from facerec.models.checkpoint import load_model
from facerec.models.network import METRIC
from facerec.study.planning import pair_counts, train_plan
from facerec.study.results import (
    DONE,
    FAILED,
    Cell,
    CellResult,
    EpochResult,
    Quality,
    StudyPlan,
    read_plan,
    write_cell,
)
from facerec.training.freezing import stage_rows
from facerec.training.plan import TrainPlan
from facerec.training.run_folder import CHECKPOINT, HISTORY, Entry
from facerec.training.tasks import Task, read_task
from facerec.training.train import Progress, train

RUNS, PROGRESS = "runs", "progress.json"
EVERY = 1.0  # seconds between two writings of the progress
LACKING = "ImageNet's weights could not be had here. It began with random ones, so this is no transfer learning."


def run_folder(folder: Path, cell: Cell) -> Path:
    """The training run of a cell, below the study's folder."""
    return folder / RUNS / cell.name


def train_cell(folder: Path, plan: StudyPlan, cell: Cell) -> CellResult:
    """Train a cell of the study in `folder`, or go on with it. An error of facerec is a result, too: it failed."""
    output = run_folder(folder, cell)
    place = (cell.backbone, cell.strategy, cell.seed)
    resume = (output / CHECKPOINT).exists()
    if not resume and output.exists():
        shutil.rmtree(output)  # it was killed before there was anything to go on with
    watch = Stopwatch(output / PROGRESS)
    try:
        training = train_plan(plan, cell)
        card = train(Path(plan.data["trained_on"]), output, training, resume=resume, watch=watch)
    except FacerecError as error:
        return CellResult(*place, FAILED, reason=str(error))
    watch.close()
    return _result(plan, cell, training, output, card, watch)


class Stopwatch:
    """Counts the seconds of training epoch by epoch, and keeps them in a file, where a run that goes on finds them.

    Ends the run when the study's own process is gone.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._parent, self._written = path, os.getppid(), 0.0
        known: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
        self.batches: list[int] = known.get("batches", [])
        self.seconds: list[float] = known.get("seconds", [])
        self.total: float = known.get("total", 0.0)
        self._began = time.monotonic() - self.total

    def __call__(self, p: Progress) -> None:
        """Count a batch."""
        if os.getppid() != self._parent:
            raise TrainingError(f"{self._path.parent}: the study was ended; start it again")
        self._reach(p)
        self.seconds[p.epoch] += p.seconds
        self.batches[p.epoch] = p.batch
        if time.monotonic() - self._written > EVERY:
            self._write((p.epoch + p.batch / p.batches) / p.epochs)

    def _reach(self, p: Progress) -> None:
        """Take back what was counted of batches that are done again; a checkpoint is older than the last progress."""
        del self.seconds[p.epoch + 1 :], self.batches[p.epoch + 1 :]
        missing = p.epoch + 1 - len(self.seconds)
        self.seconds += [0.0] * missing
        self.batches += [0] * missing
        if self.batches[p.epoch] >= p.batch:
            self.seconds[p.epoch] *= (p.batch - 1) / self.batches[p.epoch]

    def close(self) -> None:
        """Write the last of it."""
        self._write(1.0)

    def _write(self, done: float) -> None:
        self._written = time.monotonic()
        self.total = self._written - self._began
        facts = {"done": done, "batches": self.batches, "seconds": self.seconds, "total": self.total}
        write_json(self._path, facts)


def _result(
    plan: StudyPlan, cell: Cell, training: TrainPlan, output: Path, card: ModelCard, watch: Stopwatch
) -> CellResult:
    history: list[Entry] = json.loads((output / HISTORY).read_text("utf-8"))
    epochs = _epochs(history, watch.seconds, plan.mode)
    weights = plan.weights.get(cell.backbone, "")
    lacking = weights == "random" != plan.settings.get("init") and cell.strategy != "scratch"
    parameters, trained = _parameters(output, training, len(history))
    return CellResult(
        *(cell.backbone, cell.strategy, cell.seed, DONE),
        weights="random" if cell.strategy == "scratch" else weights,
        remark=LACKING if lacking else "",
        parameters=parameters,
        trained_parameters=trained,
        seconds=epochs[-1].seconds,
        total_seconds=watch.total,
        peak_mib=peak_mib(),
        crops=epochs[-1].crops,
        best_epoch=card.training["epoch"] + 1,
        quality=_quality(read_task(Path(plan.data["trained_on"]), training), training, card.results),
        epochs=epochs,
    )


def _epochs(history: list[Entry], seconds: list[float], mode: str) -> tuple[EpochResult, ...]:
    """The epochs of a run. What was not measured on a sample of the training photos is the epoch's running mean."""
    score = "tar" if mode == METRIC else "accuracy"
    found: list[EpochResult] = []
    for entry, spent in zip(history, seconds, strict=True):
        before = found[-1] if found else None
        found.append(
            EpochResult(
                epoch=entry["epoch"] + 1,
                crops=entry["photos"] + (before.crops if before else 0),
                seconds=spent + (before.seconds if before else 0.0),
                train_loss=entry.get("train_loss", entry["loss"]),
                validation_loss=entry["validation_loss"],
                train_quality=entry[f"train_{score}"] if f"train_{score}" in entry else entry[score],
                validation_quality=entry[f"validation_{score}"],
                train_auc=entry.get("train_auc"),
                validation_auc=entry.get("validation_auc"),
            )
        )
    return tuple(found)


def _quality(task: Task, training: TrainPlan, results: dict[str, Any]) -> tuple[Quality, ...]:
    """The measures of the best epoch, with what they rest on; the one that ranks the cells comes first."""
    photos = task.validation
    if training.settings.mode == METRIC:
        genuine, impostors = pair_counts(photos.labels)
        counts = {"people": len(photos.names), "genuine": genuine, "impostors": impostors}
        fmr = f"{training.settings.validation_fmr:.0e}".replace("e-0", "e-")
        labels = {"tar": f"TAR at FMR {fmr}", "auc": "AUC"}
    else:
        counts, labels = {"photos": len(photos)}, {"accuracy": "accuracy", "auc": "ROC AUC"}
    known = {measure: results.get(f"validation_{measure}") for measure in labels}
    return tuple(Quality(name, labels[name], value, counts) for name, value in known.items() if value is not None)


def _parameters(output: Path, training: TrainPlan, epochs: int) -> tuple[int, int]:
    """How many parameters the network has, and how many of them trained in one of so many epochs."""
    network, _ = load_model(output)
    settings = training.settings
    rows = stage_rows(network, training.freezing, epochs, settings.lr, settings.head_lr)
    return sum(row.parameters for row in rows), sum(row.parameters for row in rows if row.first_epoch is not None)


def peak_mib() -> float:
    """The largest resident memory of this process so far, in MiB.

    Linux is asked for the process's own peak: what `getrusage` says of a child includes that of its parent, from which
    it was forked.
    """
    try:
        lines = Path("/proc/self/status").read_text("utf-8").splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):  # not Linux
        if sys.platform == "win32":
            return 0.0
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 2**20 if sys.platform == "darwin" else peak / 1024


def main(folder: Path, name: str) -> None:
    """Train the cell of this name and write its result."""
    plan = read_plan(folder)
    cell = next(cell for cell in plan.cells() if cell.name == name)
    write_cell(folder, train_cell(folder, plan, cell))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
