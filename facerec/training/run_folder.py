"""The folder of a training run: what was run on which data, how it went, and the checkpoint to resume from."""

import dataclasses
import json
import logging
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from facerec.datasets.photo_sets import PhotoSet
from facerec.errors import TrainingError
from facerec.files import replacing, write_json
from facerec.models.card import read_card
from facerec.photos.folders import photo_hash
from facerec.settings import build_settings
from facerec.training.distillation import TeacherSource
from facerec.training.distributed import is_first, process_count
from facerec.training.settings import TrainSettings

RUN, HISTORY, PLOT, CHECKPOINT = "run.json", "history.json", "history.png", "checkpoint.safetensors"
LOCK = ".lock"

try:
    import fcntl
except ImportError:  # not on Windows; there two processes can train in one folder
    fcntl = None

log = logging.getLogger(__name__)

Entry = dict[str, Any]  # one epoch of the history
SAME = ("settings", "teachers", "train", "validation")  # must be equal when a run is resumed
PARTS = (*SAME, "versions", "threads", "processes")


def describe_run(
    settings: TrainSettings, teachers: Sequence[TeacherSource], train: PhotoSet, validation: PhotoSet
) -> dict[str, Any]:
    """What run.json says: settings, fingerprints of teachers and data, versions, threads, processes."""
    return {
        "settings": _as_json(settings),
        "teachers": {teacher.name: _fingerprint(teacher.path) for teacher in teachers},
        "train": _describe_labelled(train, settings.mode),
        "validation": _describe_labelled(validation, settings.mode),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "threads": torch.get_num_threads(),
        "processes": process_count(),
    }


def _as_json(settings: TrainSettings) -> dict[str, Any]:
    """The settings as they are after a round trip through JSON."""
    return dataclasses.asdict(settings) | {"teacher": list(settings.teacher)}


def _fingerprint(path: Path) -> str:
    """The fingerprint of a file's content, or of the model in a folder."""
    return read_card(path / "model.json").fingerprint if path.is_dir() else photo_hash(path)[:16]


def _describe_labelled(photos: PhotoSet, mode: str) -> dict[str, Any]:
    kind = "classes" if mode == "classify" else "people"
    return {"folder": photos.root.name, kind: len(photos.names), **describe_photos(photos)}


def describe_photos(photos: PhotoSet) -> dict[str, Any]:
    """What run.json says of any photos: their folder's name, their number and a fingerprint of their content."""
    return {"folder": photos.root.name, "photos": len(photos), "fingerprint": photos.fingerprint()}


def require_free(output: Path, resume: bool) -> None:
    """Raise TrainingError when a new run finds another run, a model or a file there, or `resume` finds no run."""
    if resume:
        read_run(output)
    elif (output / CHECKPOINT).exists():
        raise TrainingError(f"{output}: already holds a run; go on with `resume` or give another `output`")
    elif (output / "model.json").exists():
        raise TrainingError(f"{output}: already holds a model; give another `output`")
    elif any(path.exists() and not path.is_dir() for path in (output, *output.parents)):
        raise TrainingError(f"{output}: cannot be made (Not a directory); give another `output`")


def begins(output: Path) -> bool:
    """Whether `resume` begins a run in `output`, because there is none yet and torchrun restarts processes that end.

    It restarts them with the same command, which therefore gives `resume` from the start.
    """
    return os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0") != "0" and not (output / RUN).exists()


@contextmanager
def hold_folder(output: Path) -> Iterator[None]:
    """Make the folder and lock it; raises TrainingError when another process trains there already."""
    if not is_first():
        yield
        return
    try:
        output.mkdir(parents=True, exist_ok=True)
        lock = lock_file(output / LOCK)
    except BlockingIOError as error:
        raise TrainingError(f"{output}: another process trains here; wait, or give another `output`") from error
    except OSError as error:
        raise TrainingError(f"{output}: cannot be made ({error.strerror}); give another `output`") from error
    with lock:
        yield


def lock_file(path: Path) -> IO[str]:
    """The file, opened and locked until it is closed; raises BlockingIOError while another process holds it."""
    file = path.open("w")
    try:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise
    return file


def start_run(output: Path, run: dict[str, Any], resume: bool) -> None:
    """Write run.json, or with `resume` check that it says the same; raises TrainingError where it does not."""
    if not is_first():
        return
    require_free(output, resume)
    if resume:
        before = read_run(output) | {"settings": _as_json(settings_of(output))}  # an older facerec had fewer settings
        for part in SAME:
            if before[part] != run[part]:
                changed = [key for key in run[part] if before[part].get(key) != run[part][key]]
                raise TrainingError(
                    f"{output}: cannot resume, its {part} differs in {', '.join(changed)}; "
                    f"give what it was started with"
                )
        for part in ("versions", "threads", "processes"):
            if before[part] != run[part]:
                log.warning("%s: was started with other %s (%s): its numbers may differ", output, part, before[part])
        return
    write_json(output / RUN, run)


def read_run(output: Path) -> dict[str, Any]:
    """What run.json says; raises TrainingError when there is no such file or it is broken."""
    try:
        run = json.loads((output / RUN).read_text("utf-8"))
        parts = {part: run[part] for part in PARTS}
        if not all(isinstance(parts[part], dict) for part in SAME):
            raise ValueError("not what describe_run writes")
        return parts
    except FileNotFoundError as error:
        raise TrainingError(f"{output}: holds no run to resume; start without `resume`") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{output}: holds no run to resume, {RUN} is broken; give another `output`") from error


def settings_of(output: Path) -> TrainSettings:
    """The settings of the run in `output`."""
    return build_settings(TrainSettings, read_run(output)["settings"], str(output / RUN))


def write_history(output: Path, history: list[Entry]) -> None:
    """history.json."""
    if is_first():
        write_json(output / HISTORY, history)


def plot_history(output: Path, history: list[Entry]) -> None:
    """history.png: losses, measures, triplets and learning rates over the epochs."""
    if not is_first() or not history:
        return
    from matplotlib.figure import Figure  # slow to import, and needed here only

    panels = {
        "loss": [key for key in history[-1] if key.endswith("loss")],
        "accuracy, AUC, TAR": [key for key in history[-1] if key.endswith(("accuracy", "auc", "tar"))],
        "triplets within the margin, spread / 2": [key for key in ("active_triplets", "spread") if key in history[-1]],
    }
    panels = {title: keys for title, keys in panels.items() if keys}
    epochs = [entry["epoch"] + 1 for entry in history]
    figure = Figure(figsize=(4 * (len(panels) + 1), 3.6), layout="constrained")
    *axes, last = figure.subplots(1, len(panels) + 1)
    for axis, (title, keys) in zip(axes, panels.items(), strict=True):
        for key in keys:
            scale = 2 if key == "spread" else 1
            axis.plot(epochs, [entry.get(key, np.nan) / scale for entry in history], marker="o", label=key)
        axis.set(title=title, xlabel="epoch")
        axis.legend()
    for name in history[-1]["lr"]:
        last.plot(epochs, [entry["lr"].get(name, np.nan) for entry in history], marker="o", label=name)
    last.set(title="learning rate", xlabel="epoch", yscale="log")
    last.legend()
    with replacing(output / PLOT) as draft:
        figure.savefig(draft, format="png", dpi=100)
