"""The folder a training run leaves: what was run on what, how it went, and where to go on from."""

import dataclasses
import json
import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from facerec.config import TrainSettings, build_settings
from facerec.data import FaceSet
from facerec.errors import TrainingError

RUN, HISTORY, PLOT, CHECKPOINT = "run.json", "history.json", "history.png", "checkpoint.safetensors"

try:
    import fcntl
except ImportError:  # not on Windows: there, nothing keeps two processes apart
    fcntl = None

log = logging.getLogger(__name__)

Entry = dict[str, Any]  # one epoch of the history


@dataclass(slots=True)
class State:
    """What a run must remember besides tensors. epoch and batch are the next to do; sums are over this epoch so far."""

    epoch: int = 0
    batch: int = 0
    best: float = -1.0
    photos: int = 0
    sums: dict[str, float] = dataclasses.field(default_factory=dict)
    history: list[Entry] = dataclasses.field(default_factory=list)

    def count(self, facts: dict[str, float], photos: int) -> None:
        """A batch is done."""
        self.batch += 1
        self.photos += photos
        for key, value in facts.items():
            self.sums[key] = self.sums.get(key, 0.0) + value * photos

    def means(self) -> dict[str, float]:
        """The epoch's facts, averaged over its photos."""
        return {"photos": self.photos} | {key: value / self.photos for key, value in self.sums.items()}

    def close_epoch(self, entry: Entry) -> None:
        """An epoch is done."""
        self.history.append(entry)
        self.best = max(self.best, entry["validation_tar"])
        self.epoch, self.batch, self.photos, self.sums = self.epoch + 1, 0, 0, {}


def describe_run(settings: TrainSettings, faces: FaceSet, validation: FaceSet) -> dict[str, Any]:
    """Exactly what is run: settings, data (with a fingerprint of the file names), versions, threads."""
    return {
        "settings": dataclasses.asdict(settings),
        "train": _describe_faces(faces),
        "validation": _describe_faces(validation),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "threads": torch.get_num_threads(),
    }


def _describe_faces(faces: FaceSet) -> dict[str, Any]:
    return {
        "folder": faces.root.name,
        "people": len(faces.people),
        "photos": len(faces),
        "fingerprint": faces.fingerprint(),
    }


def require_free(output: Path, resume: bool) -> None:
    """Raise TrainingError when a new run would take the place of another, or there is none to resume."""
    if resume:
        read_run(output)
    elif (output / CHECKPOINT).exists():
        raise TrainingError(f"{output}: already holds a run; go on with --resume or give another --output")
    elif (output / "model.json").exists():
        raise TrainingError(f"{output}: already holds a model; give another --output")


@contextmanager
def hold_folder(output: Path) -> Iterator[None]:
    """Make the folder and keep other processes from training in it; raises TrainingError when one does already."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        lock = (output / ".lock").open("w")
    except OSError as error:
        raise TrainingError(f"{output}: cannot be made ({error.strerror}); give another --output") from error
    with lock:
        try:
            if fcntl:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise TrainingError(f"{output}: another process trains here; wait, or give another --output") from error
        yield


def start_run(output: Path, run: dict[str, Any], resume: bool) -> None:
    """Note what is run, or check that the folder holds the same run; raises TrainingError with the remedy otherwise."""
    require_free(output, resume)
    if resume:
        before = read_run(output)
        for part in ("settings", "train", "validation"):
            if before[part] != run[part]:
                changed = [key for key in run[part] if before[part].get(key) != run[part][key]]
                raise TrainingError(
                    f"{output}: cannot resume, its {part} differs in {', '.join(changed)}; "
                    f"give what it was started with"
                )
        for part in ("versions", "threads"):
            if before[part] != run[part]:
                log.warning("%s: was started with other %s (%s): its numbers may differ", output, part, before[part])
        return
    write_json(output / RUN, run)


def read_run(output: Path) -> dict[str, Any]:
    """What `describe_run` said when the run began; raises TrainingError when there is none."""
    try:
        run = json.loads((output / RUN).read_text("utf-8"))
        return {part: run[part] for part in ("settings", "train", "validation", "versions", "threads")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{output}: holds no run to resume; start without --resume") from error


def settings_of(output: Path) -> TrainSettings:
    """The settings of the run in `output`."""
    return build_settings(TrainSettings, read_run(output)["settings"], str(output / RUN))


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON, whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8")
    os.replace(part, path)


def write_history(output: Path, history: list[Entry]) -> None:
    """history.json and its plot."""
    write_json(output / HISTORY, history)
    _plot(output / PLOT, history)


def _plot(path: Path, history: list[Entry]) -> None:
    from matplotlib.figure import Figure  # slow to import, and only needed here

    panels = [
        ("loss", [key for key in ("loss", "triplet_loss", "teacher_loss") if key in history[-1]]),
        ("validation", ["validation_auc", "validation_tar"]),
        ("triplets within the margin, spread / 2", ["active_triplets", "spread"]),
    ]
    epochs = [entry["epoch"] + 1 for entry in history]
    figure = Figure(figsize=(16, 3.6), layout="constrained")
    axes = figure.subplots(1, 4)
    for axis, (title, keys) in zip(axes, panels, strict=False):
        for key in keys:
            scale = 2 if key == "spread" else 1
            axis.plot(epochs, [entry[key] / scale for entry in history], marker="o", label=key)
        axis.set(title=title, xlabel="epoch")
        axis.legend()
    for name in history[-1]["lr"]:
        axes[3].plot(epochs, [entry["lr"].get(name, 0.0) for entry in history], marker="o", label=name)
    axes[3].set(title="learning rate", xlabel="epoch", yscale="log")
    axes[3].legend()
    figure.savefig(path, dpi=100)
