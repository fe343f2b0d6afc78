"""What should a larger network have more of: layers, maps or pixels? EfficientNet's compound scaling, at equal work.

    .venv/bin/python -m scripts.studies run scaling [RUNS] [--quick]

A residual network for 16-pixel pictures gets four times the work, counted by torch, in four ways: more layers alone,
more maps alone, more pixels alone, and all three as Tan and Le 2019 (arXiv:1905.11946) found them: alpha 1.2, beta 1.1,
gamma 1.15, with alpha x beta^2 x gamma^2 = 2, here twice. Blocks, maps and pixels are whole numbers, so all come within
5 % of four times; under `compound` the maps are set last for this.

From random weights, on a tenth of CIFAR-10 made smaller, so that pixels bring something. AdamW, one cosine schedule,
mirrored at random. RUNS keeps each training. --quick: one seed and a third of the epochs.
"""

import argparse
import dataclasses
import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim
from torch.utils.flop_counter import FlopCounterMode

from facerec.datasets.augmentation import to_tensor
from facerec.datasets.photo_sets import read_photos
from facerec.files import write_json
from facerec.photos.reading import read_image
from scripts.studies.small_networks import Form, build, start_as_he
from scripts.studies.tables import Table, add_runs, mean_and_error, open_runs, study_parser

SMALL, PIXELS, CLASSES = Form((2, 2, 2), (8, 16, 32)), 16, 10
GROWTH = 4  # times the small network's multiply-adds
ALPHA, BETA, GAMMA, TWICE = 1.2, 1.1, 1.15, 2
BATCH, EPOCHS, QUICK_EPOCHS, RATE = 64, 12, 4, 3e-3
SEEDS = (0, 1, 2)


@dataclasses.dataclass(frozen=True, slots=True)
class Sized:
    """A network, and the side in pixels of the pictures it sees."""

    form: Form
    pixels: int


WAYS = {  # how many times the layers, the maps and the pixels a side
    "small": (1.0, 1.0, 1.0),
    "depth": (4.0, 1.0, 1.0),
    "width": (1.0, 2.0, 1.0),
    "resolution": (1.0, 1.0, 2.0),
    "compound": (ALPHA**TWICE, BETA**TWICE, GAMMA**TWICE),
}


def multiply_adds(sized: Sized) -> int:
    """Of one forward pass of one picture."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        build(sized.form, CLASSES).eval()(torch.zeros(1, 3, sized.pixels, sized.pixels))
    return counter.get_total_flops() // 2


def grown(depth: float, width: float, pixels: float) -> Sized:
    """The small network with so many times the layers, maps and pixels, as near as whole numbers come."""
    blocks = tuple(round(depth * count) for count in SMALL.blocks)
    widths = tuple(round(width * maps) for maps in SMALL.widths)
    return Sized(dataclasses.replace(SMALL, blocks=blocks, widths=widths), round(pixels * PIXELS))


def networks() -> dict[str, Sized]:
    """Way -> network. Those of one factor come within 5 % of the work that is asked for; compound's width is fitted."""
    found = {way: grown(*factors) for way, factors in WAYS.items()}
    aim = GROWTH * multiply_adds(found["small"])
    depth, width, pixels = WAYS["compound"]
    fitted = (grown(depth, width * percent / 100, pixels) for percent in range(80, 121))
    found["compound"] = min(fitted, key=lambda sized: abs(multiply_adds(sized) - aim))
    return found


def read_pictures(folder: Path) -> tuple[Tensor, Tensor]:
    """(N, 3, 32, 32) pictures in 0..1, and their (N,) labels."""
    photos = read_photos(folder)
    return to_tensor([read_image(path) for path in photos.paths]).float() / 255, torch.from_numpy(photos.labels)


def resized(pixels: Tensor, side: int) -> Tensor:
    """The pictures at another size, centred on 0."""
    smaller = F.interpolate(pixels, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
    return (smaller - 0.5) / 0.25


def train(sized: Sized, data: Path, seed: int, epochs: int) -> dict[str, float]:
    """Accuracy on the test and the training pictures after the last step."""
    (pixels, labels), (others, theirs) = (read_pictures(data / "cifar10" / side) for side in ("train", "test"))
    pixels, others = resized(pixels, sized.pixels), resized(others, sized.pixels)
    torch.manual_seed(seed)
    network = build(sized.form, CLASSES)
    start_as_he(network)
    steps = epochs * math.ceil(len(labels) / BATCH)
    optimizer = optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.05)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for _ in range(epochs):
        network.train()
        for rows in torch.randperm(len(labels)).split(BATCH):
            x = pixels[rows]
            x = torch.where((torch.rand(len(x)) < 0.5).view(-1, 1, 1, 1), x.flip(3), x)
            optimizer.zero_grad()
            F.cross_entropy(network(x), labels[rows], label_smoothing=0.1).backward()
            optimizer.step()
            schedule.step()
    return {"test": accuracy(network, others, theirs), "train": accuracy(network, pixels, labels)}


@torch.inference_mode()
def accuracy(network: nn.Module, pixels: Tensor, labels: Tensor) -> float:
    """The share of pictures told right."""
    network.eval()
    answers = torch.cat([network(part).argmax(1) for part in pixels.split(4 * BATCH)])
    return float((answers == labels).float().mean())


def trained(name: str, sized: Sized, seed: int, options: argparse.Namespace) -> dict[str, float]:
    """What a training reached; trains unless RUNS has it."""
    epochs = QUICK_EPOCHS if options.quick else EPOCHS
    file: Path = options.runs / f"{name}-{epochs}-{seed}.json"
    if not file.exists():
        write_json(file, train(sized, options.data, seed, epochs))
    return json.loads(file.read_text("utf-8"))


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    made = study_parser(__doc__, data=True)
    add_runs(made, "scaling")
    made.add_argument("--quick", action="store_true", help=f"one seed and {QUICK_EPOCHS} epochs instead of {EPOCHS}")
    return made


def main() -> None:
    """Parse, train what is missing, print a Markdown table."""
    options = parser().parse_args()
    open_runs(options.runs)
    head = (
        "grown by",
        "layers",
        "maps",
        "pixels",
        "multiply-adds, millions",
        "times",
        "right, %",
        "on training pictures, %",
    )
    table, small = Table(head, options.csv), multiply_adds(grown(*WAYS["small"]))
    for way, sized in networks().items():
        found = [trained(way, sized, seed, options) for seed in (SEEDS[:1] if options.quick else SEEDS)]
        right = (mean_and_error([run[side] for run in found], 100) for side in ("test", "train"))
        work = multiply_adds(sized)
        maps = " ".join(map(str, sized.form.widths))
        table.add(way, sized.form.layers, maps, sized.pixels, f"{work / 1e6:.2f}", f"{work / small:.2f}", *right)


if __name__ == "__main__":
    main()
