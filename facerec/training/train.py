"""Fine-tuning: one straight loop for both modes. The run folder it leaves is also a model folder.

    facerec train ../shared/data/faces --aligned --splits ../shared/data/splits --output runs/first
    torchrun --nproc-per-node 2 -m facerec.cli.train ../shared/data/faces --aligned --output runs/second

A run folder holds `run.json`, `history.json`, `history.png`, `checkpoint.safetensors` (to resume from) and the model
of the best epoch (`model.json`, `weights.safetensors`). The best epoch has the highest validation TAR@FMR 1e-3, or
accuracy when classifying. A run that starts from a model keeps that model until an epoch is better.
"""

import dataclasses
import logging
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facerec.datasets.batches import Batch
from facerec.datasets.photo_sets import NOBODY
from facerec.errors import TrainingError
from facerec.models.card import ModelCard
from facerec.models.checkpoint import describe, load_model, save_model
from facerec.models.cohort import cohort_path, load_cohort, save_cohort
from facerec.models.network import Network
from facerec.training import distributed
from facerec.training.freezing import stage_rows
from facerec.training.initialisation import starts_whole
from facerec.training.learner import Learner
from facerec.training.plan import TrainPlan
from facerec.training.run_folder import (
    CHECKPOINT,
    Entry,
    describe_photos,
    describe_run,
    hold_folder,
    plot_history,
    require_free,
    start_run,
    write_history,
)
from facerec.training.schedule import lacks_bf16
from facerec.training.state import State
from facerec.training.tasks import Task, read_task
from facerec.training.tensorboard import Board, open_board

log = logging.getLogger(__name__)

PLOT_MINUTES = 0.2  # shorter epochs are plotted once, at the end: drawing takes a second
# Parts of a card that make another model of it when a run changes them.
FORM = ("backbone", "kept_stages", "dropped_blocks", "input_size", "alignment", "mean", "std", "mirrored")
COLLAPSED = 0.25  # mean d between different people; it is 2 for unrelated unit vectors


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is: its epoch (from 0) of `epochs`, the batch (from 1) of `batches`, its loss, and the speed.

    seconds: that the last batch took, the wait for its photos included.
    """

    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float
    photos_per_second: float
    seconds: float


Watch = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Run:
    """What stays the same from one epoch to the next. record: what run.json says."""

    output: Path
    plan: TrainPlan
    task: Task
    learner: Learner
    record: dict[str, Any]
    watch: Watch


def train(
    folder: Path, output: Path, plan: TrainPlan, *, resume: bool = False, watch: Watch = lambda progress: None
) -> ModelCard:
    """Fine-tune on the aligned crops in the identity folders, or the pictures in the class folders, of `folder`.

    output: the run's folder; `plan.plan_run` makes the plan for it. resume: go on from the checkpoint in it, to the
    same numbers as a run that was never interrupted. Returns the card of the best model. Raises DataError, ModelError,
    and TrainingError when SIGINT stops the run (a checkpoint is written first) or there is nothing to resume.
    """
    # ---- data, network, losses, optimiser
    require_free(output, resume)
    distributed.join_processes()
    distributed.keep_freed_memory()
    _warn_of_emulation(plan)
    task = read_task(folder, plan)
    distributed.require_shares(len(task.batches(0)[0]))
    learner = Learner(plan, task)
    goes_on = resume and (output / CHECKPOINT).exists()
    measured = {} if goes_on else learner.validate()[0]  # what cannot be validated is refused before it is trained
    run = Run(output, plan, task, learner, _record(plan, task), watch)
    _tell_plan(run)

    with hold_folder(output), closing(learner.feed), distributed.note_interrupts() as interrupted:
        # ---- where it starts
        start_run(output, run.record, resume)
        state = learner.load(output / CHECKPOINT) if goes_on else State()
        if not goes_on and starts_whole(plan, task.classes, task.second):
            state.start = measured[task.score]
            _keep_start(run, {"epoch": -1, **measured})
        board = open_board(output, learner.network, state.epoch) if plan.settings.tensorboard else None

        # ---- epoch after epoch
        while state.epoch < plan.settings.epochs and not _is_over(run, state):
            batches = task.batches(state.epoch)
            clock = _train_epoch(run, state, batches, interrupted)
            _close_epoch(run, state, len(batches), board)
            if clock.minutes() > PLOT_MINUTES:
                plot_history(output, state.history)

        # ---- what is left of it
        write_history(output, state.history)  # a killed run may have a checkpoint newer than its history
        plot_history(output, state.history)
        if state.has_stalled(plan.settings.early_stopping):
            log.info("stopped: the last %d epochs were no better", plan.settings.early_stopping)
        elif _has_no_time(run, state):
            log.info("stopped: trained for %g minutes", plan.settings.minutes)
        if board:
            board.close()
    distributed.wait_for_all()
    return load_model(output)[1]


# ------------------------------------------------------------------------------------------------- one epoch


def _train_epoch(run: Run, state: State, batches: list[Batch], interrupted: threading.Event) -> "Clock":
    """Train on the rest of an epoch's batches; returns the time since the last checkpoint, or since the start."""
    learner, settings, clock = run.learner, run.plan.settings, Clock()
    learner.start_epoch(state)
    began = time.monotonic()
    for given in learner.feed.train(batches[state.batch :], state.epoch):
        facts, photos = learner.step(given, state, len(batches))
        state.count(facts, photos)
        rate, seconds = clock.rate(photos), time.monotonic() - began
        state.seconds += seconds if settings.minutes else 0.0
        run.watch(Progress(state.epoch, settings.epochs, state.batch, len(batches), facts["loss"], rate, seconds))
        stop = distributed.agree(interrupted.is_set())
        if learner.may_pause and (stop or clock.minutes() > settings.checkpoint_minutes):
            learner.save(run.output / CHECKPOINT, state)
            clock = Clock()
            if stop:
                raise TrainingError(f"{run.output}: stopped in epoch {state.epoch + 1}; go on with `resume`")
        if learner.may_pause and distributed.agree(_has_no_time(run, state)):
            break
        began = time.monotonic()
    return clock


def _is_over(run: Run, state: State) -> bool:
    """Whether a run ends before its last epoch."""
    return state.has_stalled(run.plan.settings.early_stopping) or distributed.agree(_has_no_time(run, state))


def _has_no_time(run: Run, state: State) -> bool:
    limit = run.plan.settings.minutes
    return bool(limit) and state.seconds >= 60 * limit


def _close_epoch(run: Run, state: State, batches: int, board: Board | None) -> None:
    """Validate, keep the best weights, write a checkpoint and the history."""
    learner, task = run.learner, run.task
    measured, rows, labels, positions = learner.validate()
    rates = learner.rates(state.epoch + (state.batch - 1) / batches, state.scores)
    entry = {"epoch": state.epoch, **state.means(), **measured, "lr": rates}
    _warn_of_collapse(entry)
    best = state.is_best(entry[task.score])
    if best:
        _keep(run, entry)
    if board:
        board.epoch(entry)
        if best:
            board.projector(rows, labels, positions, task, state.epoch)
    state.close_epoch(entry, entry[task.score])
    learner.save(run.output / CHECKPOINT, state)
    write_history(run.output, state.history)
    log.info("epoch %d of %d: %s", state.epoch, run.plan.settings.epochs, _shown(entry))


class Clock:
    """Minutes since it was made, and photos per second since then."""

    def __init__(self) -> None:
        self.began, self.photos = time.monotonic(), 0

    def minutes(self) -> float:
        return (time.monotonic() - self.began) / 60

    def rate(self, photos: int) -> float:
        self.photos += photos
        return self.photos / (time.monotonic() - self.began)


# ------------------------------------------------------------------------------------------------- what is kept


def _record(plan: TrainPlan, task: Task) -> dict[str, Any]:
    """What run.json says: `describe_run` with the P that is used, and the attribute of the photos."""
    settings = plan.settings
    if task.batch.people is not None:
        settings = dataclasses.replace(settings, people_per_batch=task.batch.people)
    record = describe_run(settings, plan.teachers, task.train, task.validation)
    if len(task.unlabelled):
        record["train"]["unlabelled"] = describe_photos(task.unlabelled)
    if task.second is not None:
        for part, labels in (("train", task.second.train), ("validation", task.second.validation)):
            record[part]["attribute"] = task.second.describe(labels)
    return record


def _keep(run: Run, entry: Entry) -> None:
    """Save the network of this epoch in the run folder; only the first process does."""
    if distributed.is_first():
        network = run.learner.best_network
        cohort_path(run.output).unlink(missing_ok=True)  # the start model's strangers
        save_model(network, run.output, make_card(network, run.task, run.output.name, run.record, entry))


def _keep_start(run: Run, entry: Entry) -> None:
    """`_keep` the start model with its licence, threshold and strangers: they rest on more people than this run has.

    If the run changes its form (another input size, dropped blocks), it is another model and is kept like any epoch's.
    """
    start, output, network = run.plan.start, run.output, run.learner.best_network
    assert start is not None, "it starts from a model"
    if not distributed.is_first():
        return
    known, card = start.card, make_card(network, run.task, output.name, run.record, entry)
    if any(getattr(known, part) != getattr(card, part) for part in FORM):
        return _keep(run, entry)
    facts = {part: getattr(known, part) for part in ("probability", "licence", "source")}
    facts["threshold"] = known.threshold or card.threshold
    strangers = load_cohort(start.folder, known)
    cohort_path(output).unlink(missing_ok=True)  # strangers of a model that was here before
    card = save_model(network, output, dataclasses.replace(card, **facts))
    if len(strangers):
        save_cohort(output, card, strangers, f"those of {known.name}, which it is")


def make_card(network: Network, task: Task, name: str, run: dict[str, Any], entry: Entry) -> ModelCard:
    """The card of a trained network: its form, the run's record, and the measures of `entry`."""
    attribute = (task.second.attribute, task.second.classes) if task.second else ("", ())
    card = describe(network, name, task.classes, attribute)
    return dataclasses.replace(card, training={**run, "epoch": entry["epoch"]}, **task.card_facts(entry))


# ------------------------------------------------------------------------------------------------- what is said


def _tell_plan(run: Run) -> None:
    """Log smaller batches than usual, the dropped blocks, stage by stage what trains, and that random stages do not."""
    plan, network = run.plan, run.learner.network
    usual, used = plan.batch, run.task.batch
    if usual.people != used.people:
        log.info(
            "batches of %d people x %d photos instead of %d x %d: no more people have %d training photos",
            *(used.people, used.photos, usual.people, usual.photos, usual.photos),
        )
    if len(run.task.unlabelled):
        count = int((run.learner.labels[run.task.batches(0)[0]] == NOBODY).sum())
        log.info("%d photos of a batch have no label, out of %d", count, len(run.task.unlabelled))
    if network.dropped_blocks:
        before = plan.start.card.dropped_blocks if plan.start else []
        since = f"; {plan.settings.init}, which it starts from, is without {', '.join(before)}" if before else ""
        log.info("without the residual blocks %s%s", ", ".join(network.dropped_blocks), since)
    settings = plan.settings
    rows = stage_rows(network, plan.freezing, settings.epochs, settings.lr, settings.head_lr)
    for row in rows:
        log.info("%s", row)
    if settings.init == "random" and any(row.first_epoch is None for row in rows):
        log.info("frozen stages stay random, as `init=random` makes them; `strategy=scratch` trains all stages")


def _warn_of_emulation(plan: TrainPlan) -> None:
    lack = lacks_bf16(distributed.own_device())
    if plan.bf16 and lack and distributed.is_first():
        log.warning("%s: `precision=bf16` is emulated, up to hundreds of times slower; give `precision=fp32`", lack)


def _warn_of_collapse(entry: Entry) -> None:
    if entry.get("spread", COLLAPSED) < COLLAPSED:
        log.warning(
            "training has collapsed: different people have a mean distance of %.2f (unrelated: 2.00). "
            "Start again with `mining=all` or `mining=semihard`, a lower `lr`, or `margin=0`",
            entry["spread"],
        )


def _shown(entry: Entry) -> str:
    """The numbers of an epoch on one line."""
    hidden = ("validation_impostors", "validation_threshold")
    shown = {key: value for key, value in entry.items() if isinstance(value, float) and key not in hidden}
    return ", ".join(f"{key.replace('_', ' ')} {value:.4f}" for key, value in shown.items())
