"""Fine-tuning: one straight loop for both modes. The run folder it leaves is also a model folder.

    facerec train ../shared/data/faces --aligned --splits ../shared/data/splits --output runs/first
    torchrun --nproc-per-node 2 -m facerec.cli.train ../shared/data/faces --aligned --output runs/second

A run folder holds `run.json`, `history.json`, `history.png`, `checkpoint.safetensors` (to go on from) and the model
of the best epoch (`model.json`, `weights.safetensors`), by validation TAR@FMR 1e-3, or accuracy when classifying, or
the model it began from while no epoch is better.
"""

import dataclasses
import logging
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facerec.errors import TrainingError
from facerec.models.card import ModelCard, read_card
from facerec.models.checkpoint import CARD, describe, load_model, save_model
from facerec.models.cohort import cohort_path, load_cohort, save_cohort
from facerec.models.network import Network
from facerec.training import distributed
from facerec.training.checks import check_run as check_run
from facerec.training.freezing import plan
from facerec.training.initialisation import start_folder, starts_whole
from facerec.training.initialisation import start_form as start_form
from facerec.training.learner import Learner
from facerec.training.run_folder import (
    CHECKPOINT,
    Entry,
    describe_run,
    hold_folder,
    plot_history,
    start_run,
    write_history,
)
from facerec.training.run_folder import settings_of as settings_of
from facerec.training.settings import PEOPLE_PER_BATCH, TrainSettings
from facerec.training.state import State
from facerec.training.tasks import Task, read_task
from facerec.training.tensorboard import open_board

log = logging.getLogger(__name__)

PLOT_MINUTES = 0.2  # epochs shorter than that are not plotted one by one: drawing takes a second
FORM = ("backbone", "kept_stages", "dropped_blocks", "input_size", "alignment", "mean", "std", "mirrored")
COLLAPSED = 0.25  # mean d between different people; unrelated unit vectors have 2


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is: epoch (from 0) of `epochs`, batch in it (from 1) of `batches`, its loss, photos per second."""

    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float
    photos_per_second: float


def train(
    folder: Path,
    output: Path,
    settings: TrainSettings,
    *,
    splits: Path | None = None,
    validation: Path | None = None,
    exclude: Path | None = None,
    resume: bool = False,
    watch: Callable[[Progress], None] = lambda progress: None,
) -> ModelCard:
    """Fine-tune on the aligned crops in the identity folders, or the pictures in the class folders, of `folder`.

    splits: of people, see data.split_people; validation: of classes, see data.split_classes. exclude: a list of photos
    to leave out, see data.read_exclusions. resume: go on from the checkpoint in `output`, to the same numbers as a run
    that was never interrupted. Returns the card of the best model. Raises DataError, ConfigError, ModelError, and
    TrainingError when stopped by SIGINT (a checkpoint is written first) or when there is nothing to resume.
    """
    # ---- data, network, losses, optimiser
    check_run(output, settings, resume)
    distributed.join_processes()
    distributed.keep_freed_memory()
    task = read_task(folder, settings, splits, validation, exclude)
    settings = _settled(settings, task)
    distributed.require_shares(len(task.batches(0)[0]))
    goes_on = resume and (output / CHECKPOINT).exists()  # it holds all weights: what they began as may be gone
    learner = Learner(dataclasses.replace(settings, init="random") if goes_on else settings, task)
    measured = {} if goes_on else learner.validate()[0]  # refused before hours of training
    run = _describe(settings, task)
    _tell_plan(learner.network, settings, goes_on)

    with hold_folder(output), closing(learner.feed), distributed.note_interrupts() as interrupted:
        start_run(output, run, resume)
        state = learner.load(output / CHECKPOINT) if goes_on else State()
        if not goes_on and starts_whole(settings, task.classes, task.second):
            state.start = measured[task.score]
            _keep_start(learner, output, task, run, {"epoch": -1, **measured})
        board = open_board(output, learner.network, state.epoch) if settings.tensorboard else None
        while state.epoch < settings.epochs and not state.has_stalled(settings.early_stopping):
            # ---- one epoch
            learner.start_epoch(state)
            batches = task.batches(state.epoch)
            clock = Clock()
            for given in learner.feed.train(batches[state.batch :], state.epoch):
                facts, photos = learner.step(given, state, len(batches))
                state.count(facts, photos)
                rate = clock.rate(photos)
                watch(Progress(state.epoch, settings.epochs, state.batch, len(batches), facts["loss"], rate))
                stop = distributed.agree(interrupted.is_set())
                if learner.may_pause and (stop or clock.minutes() > settings.checkpoint_minutes):
                    learner.save(output / CHECKPOINT, state)
                    clock = Clock()
                    if stop:
                        raise TrainingError(f"{output}: stopped in epoch {state.epoch + 1}; go on with --resume")

            # ---- validation, best weights, checkpoint
            measured, rows, labels, positions = learner.validate()
            rates = learner.rates(state.epoch + (state.batch - 1) / len(batches), state.scores)
            entry = {"epoch": state.epoch, **state.means(), **measured, "lr": rates}
            _warn_of_collapse(entry)
            best = state.is_best(entry[task.score])
            if best:
                _keep(learner, output, task, run, entry)
            if board:
                board.epoch(entry)
                if best:
                    board.projector(rows, labels, positions, task, state.epoch)
            state.close_epoch(entry, entry[task.score])
            learner.save(output / CHECKPOINT, state)
            write_history(output, state.history)
            if clock.minutes() > PLOT_MINUTES:
                plot_history(output, state.history)
            log.info("epoch %d of %d: %s", state.epoch, settings.epochs, _shown(entry))
        write_history(output, state.history)  # a kill may have come between checkpoint and history
        plot_history(output, state.history)
        if state.has_stalled(settings.early_stopping):
            log.info("stopped: the last %d epochs were no better", settings.early_stopping)
        if board:
            board.close()
    distributed.wait_for_all()
    return load_model(output)[1]


class Clock:
    """Minutes since it was made, and photos per second."""

    def __init__(self) -> None:
        self.began, self.photos = time.monotonic(), 0

    def minutes(self) -> float:
        return (time.monotonic() - self.began) / 60

    def rate(self, photos: int) -> float:
        self.photos += photos
        return self.photos / (time.monotonic() - self.began)


def _describe(settings: TrainSettings, task: Task) -> dict[str, Any]:
    """`describe_run`, and the attribute of the photos."""
    run = describe_run(settings, task.train, task.validation)
    if task.second is not None:
        for part, labels in (("train", task.second.train), ("validation", task.second.validation)):
            run[part]["attribute"] = task.second.describe(labels)
    return run


def _keep(learner: Learner, output: Path, task: Task, run: dict[str, Any], entry: Entry) -> None:
    """Make the run folder the model folder of this epoch; of several processes the first does."""
    if distributed.is_first():
        network = learner.best_network
        cohort_path(output).unlink(missing_ok=True)  # of the model it began from
        save_model(network, output, make_card(network, task, output.name, run, entry))


def _keep_start(learner: Learner, output: Path, task: Task, run: dict[str, Any], entry: Entry) -> None:
    """`_keep` the model it begins from, with its licence, threshold and strangers, which more people than these made.

    Unless it begins in another form (another input size, without some blocks), which makes it another model.
    """
    start = start_folder(learner.settings)
    assert start is not None, "it begins from a model"
    if not distributed.is_first():
        return
    known, card = read_card(start / CARD), make_card(learner.best_network, task, output.name, run, entry)
    if any(getattr(known, part) != getattr(card, part) for part in FORM):
        return _keep(learner, output, task, run, entry)
    facts = {part: getattr(known, part) for part in ("probability", "licence", "source")}
    facts["threshold"] = known.threshold or card.threshold
    strangers = load_cohort(start, known)
    cohort_path(output).unlink(missing_ok=True)  # of a model that was here before
    card = save_model(learner.best_network, output, dataclasses.replace(card, **facts))
    if len(strangers):
        save_cohort(output, card, strangers, f"those of {known.name}, which it is")


def make_card(network: Network, task: Task, name: str, run: dict[str, Any], entry: Entry) -> ModelCard:
    """The card of a trained network: what it is, how it was trained, and what `entry` says of it."""
    attribute = (task.second.attribute, task.second.classes) if task.second else ("", ())
    card = describe(network, name, task.classes, attribute)
    return dataclasses.replace(card, training={**run, "epoch": entry["epoch"]}, **task.card_facts(entry))


def _tell_plan(network: Network, settings: TrainSettings, goes_on: bool) -> None:
    """What the network goes without, and since when, then what of it trains."""
    if network.dropped_blocks:
        start = None if goes_on else start_folder(settings)  # which may be gone by then
        before = [] if start is None else read_card(start / CARD).dropped_blocks
        since = f"; {settings.init}, which it begins from, is without {', '.join(before)}" if before else ""
        log.info("without the residual blocks %s%s", ", ".join(network.dropped_blocks), since)
    for row in plan(network, settings):
        log.info("%s", row)


def _settled(asked: TrainSettings, task: Task) -> TrainSettings:
    """The settings with what the photos decide; says where that is another than the usual."""
    settings = task.settings
    if settings != asked and settings.people_per_batch != PEOPLE_PER_BATCH:
        people, photos = settings.people_per_batch, settings.photos_per_person
        log.info(
            "batches of %d people x %d photos instead of %d x %d: no more people to train on have %d photos",
            *(people, photos, PEOPLE_PER_BATCH, photos, photos),
        )
    return settings


def _warn_of_collapse(entry: Entry) -> None:
    if entry.get("spread", COLLAPSED) < COLLAPSED:
        log.warning(
            "training has collapsed: different people are at a mean distance of %.2f (unrelated: 2.00). "
            "Start again with --mining all or semihard, a lower --lr, or --margin 0",
            entry["spread"],
        )


def _shown(entry: Entry) -> str:
    """The numbers of an epoch on one line."""
    hidden = ("validation_impostors", "validation_threshold")
    shown = {key: value for key, value in entry.items() if isinstance(value, float) and key not in hidden}
    return ", ".join(f"{key.replace('_', ' ')} {value:.4f}" for key, value in shown.items())
