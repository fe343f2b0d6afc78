"""Measures a training step of ResNet-50 in bf16 and in fp32: facerec's loop against a plain one; and its feed of crops.

    scripts/bench train [--data DIR] [--rounds N] [--json]
    ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16 scripts/bench train     # as a CPU without AMX would; AVX2: without AVX-512

DATA (default ../shared/data) holds `faces/`, `splits/` and `teacher/sface.npz`. All sides make the same steps on the
same crops: 112x112, 16 people x 4 photos, semi-hard triplets and SFace's embeddings as the teacher, AdamW, all layers
training, from random weights. The plain loop uses fp32, channels first and the usual memory allocator. facerec's loop
does what `facerec train --precision fp32` and `bf16` do: channels last, and it keeps freed memory. Emulated bf16 may
take minutes for a step, so a side stops early after LIMIT_S.

`feed` only loads and augments the crops. In the loops this happens ahead, in threads; `waiting` is the share of the
time for which a loop waits for its next crops. The losses of the first step are compared.
"""

import argparse
import dataclasses
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from scripts.benchmarks.common import add_data, add_rounds, in_own_process, median_and_range, take_turns, text_table

if TYPE_CHECKING:
    from facerec.training.feed import Given
    from facerec.training.learner import Learner

WARM_UP, STEPS = 3, 12
LIMIT_S = 90.0
LOOPS = {"plain": "plain loop, fp32", "fp32": "facerec, fp32", "bf16": "facerec, bf16"}
FEED = "feed"
TOLERANCE = {"fp32": 1e-3, "bf16": 0.05}  # of the first step's loss, relative to the plain loop's


class Side(NamedTuple):
    """What a side measured: crops per second, the share of its time spent waiting for crops, the first step's loss."""

    rate: float
    waiting: float
    loss: float


# ------------------------------------------------------------------------------------------ sides


def measure(data: Path, side: str) -> Side:
    """Measure one side in this process."""
    learner = make_learner(data, "bf16" if side == "bf16" else "fp32", plain=side == "plain")
    if side == FEED:
        return time_steps(learner, lambda _: 0.0)
    return time_steps(learner, plain_step(learner) if side == "plain" else facerec_step(learner))


def make_learner(data: Path, precision: str, plain: bool) -> "Learner":
    """The network, losses, teacher, optimiser and feed of a training run."""
    import torch

    from facerec.training import distributed
    from facerec.training.learner import Learner
    from facerec.training.plan import make_plan
    from facerec.training.settings import TrainSettings
    from facerec.training.tasks import read_task

    if not plain:
        distributed.keep_freed_memory()
    teacher = (str(data / "teacher" / "sface.npz"),)
    settings = TrainSettings(strategy="full", init="random", teacher=teacher, limit_people=200, precision=precision)
    plan = dataclasses.replace(make_plan(settings), splits=data / "splits")
    learner = Learner(plan, read_task(data / "faces", plan))
    if plain:
        learner.network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return learner


def time_steps(learner: "Learner", step: Callable[["Given"], float]) -> Side:
    """Make STEPS steps after WARM_UP others, fewer where LIMIT_S is over before."""
    feed = learner.feed.train(learner.task.batches(0)[: WARM_UP + STEPS], 0)
    began = counted = time.perf_counter()
    crops, waited, losses = 0, 0.0, []
    while True:
        asked = time.perf_counter()
        if (given := next(feed, None)) is None or (crops and asked - began > LIMIT_S):
            break
        waited += time.perf_counter() - asked
        losses.append(step(given))
        crops += len(given.positions)
        if len(losses) == WARM_UP:
            counted, crops, waited = time.perf_counter(), 0, 0.0
    seconds = time.perf_counter() - counted
    return Side(crops / seconds, waited / seconds, losses[0])


def facerec_step(learner: "Learner") -> Callable[["Given"], float]:
    """A step of `facerec train`; returns the loss."""
    from facerec.training.state import State

    return lambda given: learner.step(given, State(), 1)[0]["loss"]


def plain_step(learner: "Learner") -> Callable[["Given"], float]:
    """A step as a tutorial would write it. It uses the learner's network, losses and optimiser. Returns the loss."""
    import torch.nn.functional as F

    network, teacher, loss_of = learner.network, learner.teachers[0], learner.teacher_losses[0]

    def step(given: "Given") -> float:
        x = given.x.contiguous()  # the normalised pixels, channels first
        vectors = F.normalize(network.head(network.stages(x).mean((2, 3))), dim=1)
        labels = learner.labels[given.positions]
        loss = learner.objective(vectors, labels)["triplet"] + loss_of(vectors, teacher.rows(given.positions, None))
        learner.optimizer.zero_grad()
        loss.backward()
        learner.optimizer.step()
        return loss.item()

    return step


def one_round(data: Path, side: str, _: int) -> Side:
    """What one side measures in one round."""
    return in_own_process(measure, data, side)


# ------------------------------------------------------------------------------------------ the bench


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this bench."""
    add_data(parser)
    add_rounds(parser, 3)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure all sides, in turns."""
    import torch

    from facerec.training.schedule import lacks_bf16

    found = take_turns({side: partial(one_round, options.data, side) for side in (*LOOPS, FEED)}, options.rounds)
    rates = {side: [turn.rate for turn in turns] for side, turns in found.items()}
    losses = {side: found[side][0].loss for side in LOOPS}
    off = {side: abs(losses[side] / losses["plain"] - 1) for side in TOLERANCE}
    lack = lacks_bf16(torch.device("cpu"))
    usual = "fp32" if lack else "bf16"
    return {
        "crops_per_second": rates,
        "waiting": {side: statistics.median(turn.waiting for turn in found[side]) for side in LOOPS},
        "ratios": {side: by_round(rates[side], rates["plain"]) for side in TOLERANCE},
        "feed_ratios": by_round(rates[FEED], rates[usual]),
        "bf16": lack or "this CPU has bf16 units",
        "auto": usual,
        "first_loss": losses,
        "same_answers": all(off[side] <= TOLERANCE[side] for side in TOLERANCE),
    }


def by_round(ours: list[float], theirs: list[float]) -> list[float]:
    """The ratio of two sides in each round."""
    return [one / other for one, other in zip(ours, theirs, strict=True)]


def table(figures: dict[str, Any]) -> str:
    """The figures as text."""
    rows = []
    for side, name in LOOPS.items():
        ratio = median_and_range(figures["ratios"].get(side, [1.0]))
        waiting, loss = f"{figures['waiting'][side]:.2%}", f"{figures['first_loss'][side]:.4f}"
        rows.append((name, median_and_range(figures["crops_per_second"][side]), ratio, waiting, loss))
    feed = median_and_range(figures["feed_ratios"])
    rows.append(("the feed alone", median_and_range(figures["crops_per_second"][FEED]), "", "", ""))
    return "\n".join(
        [
            text_table(("loop", "crops/s", "times the plain loop", "waiting", "first loss"), rows),
            f"{figures['bf16']}; `--precision auto` takes {figures['auto']}",
            f"the feed alone is {feed} times as fast as training in {figures['auto']}",
        ]
    )
