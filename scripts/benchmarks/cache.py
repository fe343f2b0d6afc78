"""Measures an epoch of strategy `frozen`: the frozen stages' output cached against computed in every epoch.

    scripts/bench cache [--data DIR] [--rounds N] [--json]

DATA (default ../shared/data) holds `faces/` and `splits/`. Both sides run `facerec train` on ResNet-50 with one
augmented view per photo, one side with --cache-gb. Epochs after the first are timed: batches, validation on 80 people,
and writing the model and the checkpoint. The two histories are compared, too.
"""

import argparse
import json
import statistics
import tempfile
import time
from functools import partial
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

from scripts.benchmarks.common import add_data, add_rounds, in_own_process, median_and_range, take_turns, text_table

SIDES = {"plain": "computed every time", "cached": "cached"}
MEASURES = ("validation_auc", "validation_tar")
TOLERANCE = 0.001  # of a measure: the cache keeps rows in half precision


def time_epochs(data: Path, output: Path, cached: bool) -> list[float]:
    """Return the seconds of each epoch after the first. cached: with a cache for the frozen stages."""
    from facerec.training.plan import plan_run
    from facerec.training.settings import TrainSettings
    from facerec.training.train import Progress, train

    starts: dict[int, float] = {}

    def watch(progress: Progress) -> None:
        starts.setdefault(progress.epoch, time.perf_counter())

    settings = TrainSettings(
        strategy="frozen",
        init="random",
        limit_people=200,
        views=1,
        epochs=6,
        cache_gb=4.0 if cached else 0.0,
        checkpoint_minutes=60.0,
    )
    train(data / "faces", output, plan_run(output, settings, splits=data / "splits"), watch=watch)
    times = [starts[epoch] for epoch in sorted(starts)] + [time.perf_counter()]
    return [end - start for start, end in pairwise(times[1:])]


def one_round(data: Path, folder: Path, side: str, number: int) -> list[float]:
    """One side's seconds per epoch in one round, with a cache folder of that round."""
    env = {"FACEREC_CACHE": str(folder / f"cache{number}")}
    return in_own_process(time_epochs, data, folder / f"{side}{number}", side == "cached", env=env)


def curves_of(folder: Path) -> dict[str, dict[str, list[float]]]:
    """Return measure -> side -> its values in the first round, epoch by epoch."""
    histories = {side: json.loads((folder / f"{side}0" / "history.json").read_text("utf-8")) for side in SIDES}
    return {key: {side: [entry[key] for entry in history] for side, history in histories.items()} for key in MEASURES}


# ------------------------------------------------------------------------------------------ the bench


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this bench."""
    add_data(parser)
    add_rounds(parser, 1)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure both sides, in turns, and compare their validation curves."""
    with tempfile.TemporaryDirectory() as folder:
        sides = {side: partial(one_round, options.data, Path(folder), side) for side in SIDES}
        seconds = {side: list(chain(*rounds)) for side, rounds in take_turns(sides, options.rounds).items()}
        curves = curves_of(Path(folder))
    apart = {key: max(abs(a - b) for a, b in zip(*both.values(), strict=True)) for key, both in curves.items()}
    return {
        "seconds_per_epoch": seconds,
        "ratio_of_means": statistics.mean(seconds["plain"]) / statistics.mean(seconds["cached"]),
        "ratio_of_medians": statistics.median(seconds["plain"]) / statistics.median(seconds["cached"]),
        "curves": curves,
        "largest_difference": apart,
        "same_answers": max(apart.values()) <= TOLERANCE,
    }


def table(figures: dict[str, Any]) -> str:
    """The figures as text."""
    seconds = figures["seconds_per_epoch"]
    rows = [
        (name, median_and_range(seconds[side]), " ".join(f"{value:.2f}" for value in seconds[side]))
        for side, name in SIDES.items()
    ]
    lines = [text_table(("frozen stages", "s per epoch", "epoch by epoch"), rows)]
    lines += [f"ratio of the means {figures['ratio_of_means']:.1f}, of the medians {figures['ratio_of_medians']:.1f}"]
    for key, curves in figures["curves"].items():
        values = ", ".join(f"{value:.4f}" for value in curves["cached"])
        lines.append(f"{key}: {values}; the sides differ by at most {figures['largest_difference'][key]:.1g}")
    return "\n".join(lines)
