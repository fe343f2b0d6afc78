"""Small training runs on made-up people and classes, shared by the tests of training."""

import dataclasses
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from _thread import interrupt_main
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import toy_classes
from toy_faces import some_people, write_splits

from facerec.models.card import ModelCard
from facerec.models.checkpoint import read_facts
from facerec.models.network import Network
from facerec.training.feed import Given, photo_rows
from facerec.training.learner import Learner
from facerec.training.plan import TrainPlan, make_plan, plan_run
from facerec.training.run_folder import CHECKPOINT, HISTORY, RUN
from facerec.training.settings import TrainSettings
from facerec.training.tasks import Task, read_task
from facerec.training.train import Progress, train

if TYPE_CHECKING:  # other processes that run this need no pytest
    import pytest

ROOT = Path(__file__).resolve().parents[2]
VALIDATION = ("p000", "p001", "p002", "p003")
SMALL = TrainSettings(
    backbone="squeezenet1_1",
    strategy="full",
    embedding_dim=16,
    init="random",
    mining="all",
    people_per_batch=4,
    photos_per_person=2,
    epochs=2,
    lr=5e-4,
    head_lr=2e-3,
    train_size=32,
    precision="fp32",
)
CLASSES = TrainSettings(
    mode="classify",
    backbone="squeezenet1_1",
    strategy="full",
    init="random",
    input_size=32,
    batch_size=4,
    epochs=2,
    lr=5e-4,
    head_lr=2e-3,
    precision="fp32",
)


@dataclass(frozen=True)
class Data:
    """A folder of people or classes. splits: the folder of lists that names VALIDATION."""

    folder: Path
    splits: Path | None = None

    def train(self, output: Path, settings: TrainSettings, **options: Any) -> ModelCard:
        """Run a training on the folder."""
        return run_of(self.folder, output, settings, splits=self.splits, **options)

    def plan(self, settings: TrainSettings) -> TrainPlan:
        """Return the plan of such a run."""
        return dataclasses.replace(make_plan(settings), splits=self.splits)

    def task(self, settings: TrainSettings) -> Task:
        """Return the task of such a run."""
        return read_task(self.folder, self.plan(settings))

    def learner(self, settings: TrainSettings) -> Learner:
        """Return the learner of such a run."""
        plan = self.plan(settings)
        return Learner(plan, read_task(self.folder, plan))


def run_of(
    folder: Path,
    output: Path,
    settings: TrainSettings,
    *,
    resume: bool = False,
    watch: Callable[[Progress], None] = lambda progress: None,
    **data: Any,
) -> ModelCard:
    """Plan a run and train. data: `splits`, `validation`, `exclude`."""
    return train(folder, output, plan_run(output, settings, resume=resume, **data), resume=resume, watch=watch)


def make_people(folder: Path, people: int, photos: int) -> Data:
    """Write folder/faces with so many people, of whom VALIDATION validate."""
    splits = write_splits(folder / "splits", validation=[f"faces/{person}" for person in VALIDATION])
    return Data(some_people(folder / "faces", people, photos), splits)


def make_classes(folder: Path, *counts: int, first: int = 0) -> Data:
    """Write class folders c0, c1, ... (at most three), with so many pictures each, from number `first` on."""
    for kind, count in enumerate(counts):
        for number in range(first, first + count):
            toy_classes.save_picture(folder / f"c{kind}" / f"{number:02}.png", kind, number)
    return Data(folder)


def repeat_first_photo(data: Data) -> Data:
    """Make all photos of each validation person copies of the first one.

    Every model that tells these people apart at all then has a validation TAR of 1, in any arithmetic: distances within
    a person are 0, up to rounding, and distances between people are not.
    """
    for person in VALIDATION:
        first, *others = sorted((data.folder / person).glob("*.png"))
        for path in others:
            shutil.copy(first, path)
    return data


def write_lamp(path: Path, data: Data) -> Path:
    """Write the file of an attribute: every second photo of a person or class is `off`, the others `on`."""
    photos = sorted(photo.relative_to(data.folder) for photo in data.folder.glob("*/*.png"))
    lines = [f"{photo.as_posix()},{lamp_of(photo)}" for photo in photos]
    path.write_text("\n".join(["photo,lamp", *lines]), "utf-8")
    return path


def lamp_of(photo: Path) -> str:
    """Return the lamp of photo number NNN: `on` or `off`."""
    return "off" if int(photo.stem) % 2 else "on"


def small(**changes: Any) -> TrainSettings:
    """Return SMALL with some settings changed."""
    return dataclasses.replace(SMALL, **changes)


def classes(**changes: Any) -> TrainSettings:
    """Return CLASSES with some settings changed."""
    return dataclasses.replace(CLASSES, **changes)


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one thread: networks this small gain nothing from more, and lose much on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# ------------------------------------------------------------------------------------------------- looking at runs


def read_history(run: Path) -> list[dict[str, Any]]:
    """Read history.json."""
    return json.loads((run / HISTORY).read_text("utf-8"))


def read_run(run: Path) -> dict[str, Any]:
    """Read run.json."""
    return json.loads((run / RUN).read_text("utf-8"))


def assert_same_run(one: Path, other: Path) -> None:
    """Assert that two runs left the same bytes, except for the folder's name in the card and the picture."""
    for name in ("weights.safetensors", CHECKPOINT, HISTORY, RUN):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    cards = [json.loads((run / "model.json").read_text("utf-8")) for run in (one, other)]
    assert cards[0] | {"name": ""} == cards[1] | {"name": ""}


def measured(network: Network, task: Task) -> dict[str, float]:
    """Return the validation measures of a network."""
    return task.measure(*photo_rows(network, task.views, task.validation))


def given_photos(learner: Learner, epoch: int = 0) -> list[Given]:
    """Return the batches of an epoch."""
    return list(learner.feed.train(learner.task.batches(epoch), epoch))


def stores(folder: Path) -> dict[str, int]:
    """Return the name of each store of frozen stages' output, and the bytes of its rows."""
    return {path.parent.name: path.stat().st_size for path in folder.glob("*/rows")}


def warnings_of(caplog: "pytest.LogCaptureFixture") -> list[str]:
    """Return the messages logged as a warning or worse."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# ------------------------------------------------------------------------------------------------- interrupting them


def interrupt_at(epoch: int, batch: int) -> Callable[[Progress], None]:
    """Return a `watch` that interrupts this process after that batch (from 1), as SIGINT would.

    No signal is sent: sandboxed kernels have killed processes that sent themselves one (SIGSEGV inside kill(2)). Runs
    in other processes are sent real signals.
    """

    def watch(progress: Progress) -> None:
        if (progress.epoch, progress.batch) == (epoch, batch):
            interrupt_main()

    return watch


def command(data: Data, output: Path, settings: TrainSettings, *more: str) -> list[str]:
    """Return the words of a run on the command line, after `python -m`."""
    words = ["facerec.cli.train", str(data.folder), "--aligned", "--output", str(output)]
    words += ["--splits", str(data.splits)] if data.splits else []
    for key, value in dataclasses.asdict(settings).items():
        if value != getattr(TrainSettings(), key):
            name = f"--{key.replace('_', '-')}"
            words += [name] if value is True else [name, str(value)]
    return [*words, *more]


def start(*words: str, **options: Any) -> subprocess.Popen[str]:
    """Start `python -m WORDS` with one thread."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}  # training/README.md
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen([sys.executable, "-m", *words], cwd=ROOT, env=env, text=True, **pipes)


def start_two(*words: str) -> subprocess.Popen[str]:
    """Start `torchrun --nproc-per-node 2 WORDS`."""
    return start("torch.distributed.run", "--standalone", "--nproc-per-node", "2", *words)


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Wait for a process to end well. Returns its stdout and stderr."""
    output, errors = process.communicate(timeout=600)  # minutes where much else runs; an endless wait ends
    assert process.returncode == 0, errors
    return output, errors


def wait_for_checkpoint(process: subprocess.Popen[str], run: Path, epoch: int, batch: int) -> None:
    """Wait until a checkpoint says that `batch` of `epoch` is done."""
    while process.poll() is None:
        if (run / CHECKPOINT).exists():
            try:
                facts = read_facts(run / CHECKPOINT)
            except RuntimeError:  # safetensors opens a file twice; it was replaced in between
                continue
            if (facts["epoch"], facts["batch"]) >= (epoch, batch):
                return
        time.sleep(0.005)
    raise AssertionError(f"the run ended too early: {process.communicate()}")
