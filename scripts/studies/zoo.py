"""What does each backbone cost, and what does it know? Every row of the backbone table, filled by code.

    .venv/bin/python -m scripts.studies run zoo [RUNS] [--quick] [--backbones vgg16 resnet50]

Parameters and the multiply-adds of a forward pass: with a linear layer for 1,000 classes as the head. Times and memory:
in fp32, with two classes, batches of 2 photos of the row's own size. The time of a photo's forward pass, and of its
forward and backward pass where all stages train (medians); the most memory that such training holds beyond what Python
and torch do. Each row is measured in a process of its own.

Ants and bees: the test photos told right by ImageNet's frozen features and a linear layer, mean and standard error over
3 seeds, for the backbones whose ImageNet weights are in torch's cache. A fifth of the training photos chooses the
epoch. Every row has the ImageNet error (top-1) that torchvision documents for the weights it offers: their figure.

RUNS keeps what is done, row by row; a study that was stopped goes on. --quick measures each time twice and trains with
one seed.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from facerec.files import write_json
from facerec.models.backbones import BACKBONES, FromTorchvision
from facerec.models.network import CLASSIFY, Network
from scripts.benchmarks.common import in_own_process, peak_mb
from scripts.studies.tables import Table, add_runs, mean_and_error, open_runs, study_parser
from scripts.studies.trainings import run_training, tested_accuracy

BATCH, REPEATS, QUICK_REPEATS = 2, 9, 2
SEEDS = (0, 1, 2)
FROZEN = ("--mode", "classify", "--strategy", "frozen", "--views", "4", "--epochs", "12", "--batch-size", "16")
HEAD = ("backbone", "pixels", "parameters, millions", "multiply-adds, billions", "forward, ms", "training, ms")
HEAD += ("memory, MB", "ants and bees, %", "their ImageNet error, %")


@dataclass(frozen=True, slots=True)
class Cost:
    """What a photo costs: seconds of a forward pass and of training; and MB of memory to train on BATCH of them."""

    forward: float
    training: float
    memory: int


def measure_cost(name: str, repeats: int) -> Cost:
    """The costs of a row, in this process."""
    before = peak_mb()
    network = Network(name, 2, mode=CLASSIFY)
    drawn = np.random.default_rng(0).integers(0, 256, (BATCH, 3, network.input_size, network.input_size), np.uint8)
    pixels, labels = torch.from_numpy(drawn), torch.arange(BATCH) % 2

    def train() -> None:
        network.zero_grad()
        F.cross_entropy(network(pixels), labels).backward()

    training = seconds(train, repeats)
    memory = peak_mb() - before
    network.eval()
    with torch.inference_mode():
        return Cost(seconds(lambda: network(pixels), repeats), training, memory)


def seconds(work: Callable[[], object], repeats: int) -> float:
    """The median time of `work`, after it was done once unmeasured, per photo of a batch."""
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times) / BATCH


def count_work(name: str) -> tuple[int, int, int]:
    """The side of a row's pictures, its parameters with ImageNet's 1,000 classes, and its multiply-adds for a photo."""
    with torch.device("meta"):
        network = Network(name, 1000, mode=CLASSIFY).eval()
        pixels = torch.zeros(1, 3, network.input_size, network.input_size)
        with FlopCounterMode(display=False) as counter:
            network(pixels)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return network.input_size, parameters, counter.get_total_flops() // 2


def published_error(name: str) -> float | None:
    """The top-1 error in percent on ImageNet that torchvision documents for a row's weights; None for other authors."""
    build = BACKBONES[name].build
    return (
        100 - build.published.meta["_metrics"]["ImageNet-1K"]["acc@1"] if isinstance(build, FromTorchvision) else None
    )


def has_weights(name: str) -> bool:
    """Whether ImageNet's weights of a row are in torch's cache."""
    build = BACKBONES[name].build
    if not isinstance(build, FromTorchvision):
        return False
    return (Path(torch.hub.get_dir()) / "checkpoints" / Path(build.published.url).name).exists()


def known_cost(name: str, runs: Path, repeats: int) -> Cost:
    """The costs of a row, measured now unless RUNS has them."""
    file = runs / f"cost-{name}-{repeats}.json"
    if not file.exists():
        write_json(file, asdict(in_own_process(measure_cost, name, repeats)))
    return Cost(**json.loads(file.read_text("utf-8")))


def accuracies(name: str, data: Path, runs: Path, seeds: tuple[int, ...]) -> Iterator[float]:
    """How many of the test photos of ants and bees a frozen row gets right, seed by seed."""
    for seed in seeds:
        output = runs / f"frozen-{name}-{seed}"
        if not (output / "tested.json").exists():
            options = ("--backbone", name, "--seed", seed, *FROZEN)
            run_training(data / "hymenoptera" / "train", output, *options, cache=runs / "cache")
        yield tested_accuracy(output, data / "hymenoptera" / "val")


def row_of(name: str, data: Path, runs: Path, quick: bool) -> list[str]:
    """The cells of a row."""
    size, parameters, work = count_work(name)
    cost = known_cost(name, runs, QUICK_REPEATS if quick else REPEATS)
    error, known = published_error(name), has_weights(name)
    found = mean_and_error([*accuracies(name, data, runs, SEEDS[:1] if quick else SEEDS)], 100) if known else "-"
    times = [f"{1000 * value:.0f}" for value in (cost.forward, cost.training)]
    counts = [f"{size}", f"{parameters / 1e6:.1f}", f"{work / 1e9:.2f}"]
    return [name, *counts, *times, f"{cost.memory:,}", found, "-" if error is None else f"{error:.1f}"]


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    made = study_parser(__doc__, data=True)
    add_runs(made, "zoo")
    made.add_argument("--backbones", nargs="+", choices=BACKBONES, default=[*BACKBONES], metavar="NAME")
    made.add_argument("--quick", action="store_true", help="two measurements of each time, one training of each row")
    return made


def main() -> None:
    """Parse, measure what is missing, print a Markdown table."""
    options = parser().parse_args()
    open_runs(options.runs)
    table = Table(HEAD, options.csv)
    for name in options.backbones:
        table.add(*row_of(name, options.data, options.runs, options.quick))


if __name__ == "__main__":
    main()
