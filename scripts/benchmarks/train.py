"""Measures a training step of ResNet-50: facerec's loop against a plain one.

    scripts/bench train [--data DIR] [--rounds N] [--json]

DATA (default ../shared/data) holds `faces/`, `splits/` and `teacher/sface.npz`. Both sides make the same steps on the
same crops: 112x112, 16 people x 4 photos, semi-hard triplets and SFace's embeddings as the teacher, AdamW, all layers
training. The plain loop uses fp32, channels first and the usual memory allocator. facerec's loop does what
`facerec train` does: bf16 autocast if the CPU has it, channels last, and it keeps freed memory.
"""

import argparse
import dataclasses
import statistics
import time
from functools import partial
from pathlib import Path
from typing import Any

from scripts.benchmarks.common import add_data, add_rounds, in_own_process, median_and_range, take_turns, text_table

WARM_UP, STEPS = 3, 12
SIDES = {"plain": "plain fp32, channels first", "facerec": "facerec"}


def time_steps(data: Path, plain: bool) -> float:
    """Return the crops per second of STEPS training steps. plain: by `plain_step`."""
    import torch

    from facerec.training import distributed
    from facerec.training.learner import Learner
    from facerec.training.plan import make_plan
    from facerec.training.settings import TrainSettings
    from facerec.training.state import State
    from facerec.training.tasks import read_task

    settings = TrainSettings(strategy="full", teacher=(str(data / "teacher" / "sface.npz"),), limit_people=200)
    if plain:
        settings = dataclasses.replace(settings, precision="fp32")
    else:
        distributed.keep_freed_memory()
    plan = dataclasses.replace(make_plan(settings), splits=data / "splits")
    task = read_task(data / "faces", plan)
    learner = Learner(plan, task)
    if plain:
        learner.network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    step = plain_step(learner) if plain else lambda given: learner.step(given, State(), 1)
    began, crops = 0.0, 0
    for i, given in enumerate(learner.feed.train(task.batches(0)[: WARM_UP + STEPS], 0)):
        if i == WARM_UP:
            began = time.perf_counter()
        step(given)
        crops += len(given.positions) if i >= WARM_UP else 0
    return crops / (time.perf_counter() - began)


def plain_step(learner):  # type: ignore[no-untyped-def]
    """Return a training step as a tutorial would write it. It uses the learner's network, losses and optimiser."""
    import torch.nn.functional as F

    network, teacher, loss_of = learner.network, learner.teachers[0], learner.teacher_losses[0]

    def step(given) -> None:  # type: ignore[no-untyped-def]
        x = given.x.contiguous()  # the normalised pixels, channels first
        vectors = F.normalize(network.head(network.stages(x).mean((2, 3))), dim=1)
        labels = learner.labels[given.positions]
        loss = learner.objective(vectors, labels)["triplet"] + loss_of(vectors, teacher.rows(given.positions, None))
        learner.optimizer.zero_grad()
        loss.backward()
        learner.optimizer.step()

    return step


# ------------------------------------------------------------------------------------------ the bench


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this bench."""
    add_data(parser)
    add_rounds(parser, 3)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure both loops, in turns."""
    sides = {side: partial(one_round, options.data, side == "plain") for side in SIDES}
    rates = take_turns(sides, options.rounds)
    ratios = [ours / plain for ours, plain in zip(rates["facerec"], rates["plain"], strict=True)]
    return {"crops_per_second": rates, "ratios": ratios, "ratio": statistics.median(ratios)}


def one_round(data: Path, plain: bool, _: int) -> float:
    """One side's crops per second in one round."""
    return in_own_process(time_steps, data, plain)


def table(figures: dict[str, Any]) -> str:
    """The figures as text."""
    rows = [(name, median_and_range(figures["crops_per_second"][side])) for side, name in SIDES.items()]
    ratios = median_and_range(figures["ratios"])
    return text_table(("loop", "crops/s"), [*rows, ("ratio, round by round", ratios)])
