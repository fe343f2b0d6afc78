"""Measure speed, and memory. Sides that are compared take turns, each in a process of its own except for enroll.

    scripts/bench train     # training ResNet-50: facerec's loop against a plain one
    scripts/bench cache     # strategy `frozen`: the output of the frozen stages cached against computed in every epoch
    scripts/bench enroll    # enrolling one more photo with 100, 10,000 and 100,000 people (see bench_enroll.py)
    scripts/bench memory    # the memory of a process after 500 and after 5,000 photos (see bench_memory.py)

DATA (default ../shared/data) holds `faces/`, `splits/` and `teacher/sface.npz`.
train: both sides make the same steps on the same crops: 112x112, 16 people x 4 photos, semi-hard triplets and SFace's
embeddings as the teacher, AdamW, all layers training. The plain loop uses fp32, channels first and the usual memory
allocator. facerec's loop does what `facerec train` does: bf16 autocast if the CPU has it, channels last, and it keeps
freed memory.
cache: both sides run `facerec train` on ResNet-50 with one augmented view per photo, one side with --cache-gb. Epochs
after the first are timed: batches, validation on 80 people, and writing the model and the checkpoint. The two histories
are compared, too.
"""

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import bench_enroll
import bench_memory

WARM_UP, STEPS = 3, 12
ROOT = Path(__file__).resolve().parents[1]


# ------------------------------------------------------------------------------------------ sides, each in its process


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


def time_epochs(data: Path, output: Path, cached: bool) -> list[float]:
    """Return the seconds of each epoch after the first. cached: with a cache for the frozen stages."""
    from facerec.training.plan import plan_run
    from facerec.training.settings import TrainSettings
    from facerec.training.train import Progress, train

    starts: dict[int, float] = {}

    def watch(progress: Progress) -> None:
        starts.setdefault(progress.epoch, time.perf_counter())

    settings = TrainSettings(
        strategy="frozen", limit_people=200, views=1, epochs=6, cache_gb=4.0 if cached else 0.0, checkpoint_minutes=60.0
    )
    train(data / "faces", output, plan_run(output, settings, splits=data / "splits"), watch=watch)
    times = [starts[epoch] for epoch in sorted(starts)] + [time.perf_counter()]
    return [end - start for start, end in pairwise(times[1:])]


# ------------------------------------------------------------------------------------------ both sides, in turns


def run_side(words: list[str], cache: Path) -> list[Any]:
    """Run this script for one side, in a process and with a cache folder of its own. Returns its figures."""
    env = {**os.environ, "FACEREC_CACHE": str(cache)}
    done = subprocess.run([sys.executable, __file__, *words], env=env, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def bench_train(data: Path, rounds: int, folder: Path) -> None:
    """Print the crops per second of both loops, and their ratio."""
    rates: dict[str, list[float]] = {"plain": [], "facerec": []}
    for _ in range(rounds):
        for side, found in rates.items():
            found += run_side(["train", "--data", str(data), "--side", side], folder)
    _print_side("plain fp32, channels first", rates["plain"], "crops/s")
    _print_side("facerec", rates["facerec"], "crops/s")
    ratios = [ours / plain for ours, plain in zip(rates["facerec"], rates["plain"], strict=True)]
    print(f"ratio, round by round: {', '.join(f'{ratio:.2f}' for ratio in ratios)}; {statistics.median(ratios):.2f}")


def bench_cache(data: Path, rounds: int, folder: Path) -> None:
    """Print the seconds per epoch of both sides, their ratio, and how much their validation curves differ."""
    seconds: dict[str, list[float]] = {"plain": [], "cached": []}
    for number in range(rounds):
        for side, found in seconds.items():
            words = ["cache", "--data", str(data), "--side", side, "--output", str(folder / f"{side}{number}")]
            found += run_side(words, folder / f"cache{number}")
    _print_side("computed every time", seconds["plain"], "s per epoch")
    _print_side("cached", seconds["cached"], "s per epoch")
    for side, values in seconds.items():
        print(f"{side}, epoch by epoch: {', '.join(f'{value:.2f}' for value in values)}")
    means = statistics.mean(seconds["plain"]) / statistics.mean(seconds["cached"])
    print(f"ratio of the means: {means:.1f}")
    print(f"ratio of the medians: {statistics.median(seconds['plain']) / statistics.median(seconds['cached']):.1f}")
    curves = [json.loads((folder / f"{side}0" / "history.json").read_text("utf-8")) for side in seconds]
    for key in ("validation_auc", "validation_tar"):
        apart = max(abs(a[key] - b[key]) for a, b in zip(*curves, strict=True))
        print(f"{key}: {', '.join(f'{entry[key]:.4f}' for entry in curves[1])}; difference at most {apart:.1g}")


def bench_memory_of_models(data: Path, folder: Path, as_json: bool) -> None:
    """Print how much the memory of a process grows, for each model."""
    rows = [
        bench_memory.figures(model, run_side(["memory", "--data", str(data), "--side", model], folder))
        for model in bench_memory.MODELS
    ]
    if as_json:
        print(json.dumps({"models": rows, "machine": bench_enroll.machine()}))
    else:
        bench_memory.show(rows)


def run_this_side(options: argparse.Namespace) -> list[Any]:
    """Return the figures of one side, measured in this process."""
    if options.what == "memory":
        return list(bench_memory.measure(options.data, options.side))
    if options.what == "train":
        return [time_steps(options.data, options.side == "plain")]
    return time_epochs(options.data, options.output, options.side == "cached")


def _print_side(name: str, values: list[float], unit: str) -> None:
    print(f"{name}: median {statistics.median(values):.2f} {unit} ({min(values):.2f} to {max(values):.2f})", flush=True)


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "cache", "enroll", "memory"))
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument(
        "--rounds", type=int, default=0, help="turns of each side (default: train 3, cache 1, enroll 7)"
    )
    parser.add_argument(
        "--json", action="store_true", help="for enroll and memory: print one JSON object instead of a table"
    )
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(run_this_side(options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        if options.what == "enroll":
            bench_enroll.run(options.rounds or 7, Path(folder), options.json)
        elif options.what == "memory":
            bench_memory_of_models(options.data, Path(folder), options.json)
        elif options.what == "train":
            bench_train(options.data, options.rounds or 3, Path(folder))
        else:
            bench_cache(options.data, options.rounds or 1, Path(folder))


if __name__ == "__main__":
    main()
