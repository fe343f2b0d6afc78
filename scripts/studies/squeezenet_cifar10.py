"""How much of SqueezeNet must be trained for CIFAR-10, and why may its frozen features do so badly?

    .venv/bin/python -m scripts.studies run squeezenet_cifar10 [RUNS] [--quick] [--tables why grid] [--sizes 32 96]

SqueezeNet 1.1 with ImageNet's weights, a tenth of CIFAR-10, batches of 64, no augmentation, constant rates.

- grid: everything frozen but the head, all but the last two Fire modules and the head, nothing; at 32 pixels, as the
  pictures are, and enlarged to 96; by four optimisers. After 10 and 20 epochs. Overfitting begins after the epoch with
  the lowest loss on the test pictures.
- why: everything frozen, Adam 1e-4, 10 epochs, 32 pixels, SqueezeNet's own new head; and this with one thing changed.

`facerec train` freezes whole stages, and the last of SqueezeNet's has four Fire modules; so the loop is this study's
own. The output of frozen layers is computed once. RUNS gets a file for each training; a study that was stopped goes
on. --quick: one seed, and 96 pixels only where layers are frozen.
"""

import argparse
import dataclasses
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim
from torchvision.models import squeezenet1_1

from facerec.datasets.augmentation import to_tensor
from facerec.datasets.photo_sets import read_photos
from facerec.files import write_json
from facerec.models.backbones import IMAGENET_MEAN, IMAGENET_STD, build_stages
from facerec.photos.reading import read_image
from scripts.studies.tables import Table, add_runs, mean_and_error, open_runs, study_parser

CLASSES, WIDTH, BATCH, EPOCHS = 10, 512, 64, (10, 20)
SEEDS = (0, 1, 2)
FROZEN = {"all frozen": 13, "last two Fire modules": 11, "everything": 0}  # how many of the 13 layers are frozen
THEIRS = {("all frozen", 32): "13.1", ("last two Fire modules", 32): "49.4", ("everything", 32): "72.4"}
OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "Adam": optim.Adam,
    "SGD": lambda parameters, lr: optim.SGD(parameters, lr, momentum=0.9),
    "Adagrad": optim.Adagrad,
}
GRID = (("Adam", 1e-4), ("Adam", 1e-6), ("SGD", 1e-3), ("Adagrad", 1e-3))


@dataclass(frozen=True, slots=True)
class Cell:
    """One training.

    head: see `new_head`. standard: whether the frozen features are scaled to mean 0 and deviation 1, as by a BatchNorm.
    centred: whether pixels are scaled to -1..1 instead of by ImageNet's mean and deviation.
    """

    trained: str = "all frozen"
    size: int = 32
    optimizer: str = "Adam"
    lr: float = 1e-4
    epochs: int = 10
    head: str = "own, new"
    standard: bool = False
    centred: bool = False
    seed: int = 0

    @property
    def name(self) -> str:
        """The name of its file."""
        return "-".join(str(value).replace(" ", "_") for value in dataclasses.astuple(self))


WHY = {
    "nothing": {},
    "rate 1e-6": {"lr": 1e-6},
    "rate 1e-3": {"lr": 1e-3},
    "rate 1e-2": {"lr": 1e-2},
    "20 epochs": {"epochs": 20},
    "100 epochs: as many steps as 10 of the whole CIFAR-10": {"epochs": 100},
    "rate 1e-6, 100 epochs": {"lr": 1e-6, "epochs": 100},
    "pixels scaled to -1..1": {"centred": True},
    "features scaled, in place of BatchNorm": {"standard": True},
    "one linear layer as the head": {"head": "linear"},
    "ImageNet's head of 1,000 classes kept and trained": {"head": "own, of ImageNet"},
    "ImageNet's head kept and frozen, too": {"head": "own, of ImageNet", "lr": 0.0},
    "new head frozen, too": {"lr": 0.0},
    "64 pixels": {"size": 64},
    "96 pixels": {"size": 96},
    "96 pixels, rate 1e-3": {"size": 96, "lr": 1e-3},
    "96 pixels, rate 1e-3, features scaled, linear head": {
        "size": 96,
        "lr": 1e-3,
        "standard": True,
        "head": "linear",
    },
}


@dataclass(frozen=True, eq=False, slots=True)
class Pictures:
    """(N, 3, 32, 32) uint8 pictures and their (N,) labels."""

    pixels: Tensor
    labels: Tensor


@cache
def read_pictures(folder: Path) -> Pictures:
    """The pictures in class folders."""
    photos = read_photos(folder)
    return Pictures(to_tensor([read_image(path) for path in photos.paths]), torch.from_numpy(photos.labels))


def prepared(pixels: Tensor, size: int, centred: bool) -> Tensor:
    """(N, 3, size, size) float: enlarged and normalised."""
    mean, std = ((127.5,) * 3,) * 2 if centred else (IMAGENET_MEAN, IMAGENET_STD)
    larger = F.interpolate(pixels.float(), size=(size, size), mode="bilinear", align_corners=False)
    return (larger - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


def fire_layers() -> nn.Sequential:
    """SqueezeNet's 13 layers before its classifier, with ImageNet's weights."""
    stages = build_stages("squeezenet1_1", pretrained=True)
    return nn.Sequential(*(layer for stage in stages.children() for layer in stage.children()))


def new_head(kind: str) -> nn.Module:
    """(N, 512, s, s) -> (N, classes) logits.

    kind: "linear" is the mean of each map and a linear layer. "own, new" is what SqueezeNet ends with, for these
    classes: its ReLU knows no logits below 0. "own, of ImageNet" is that for 1,000 classes, the first ten for these.
    """
    pooled = (nn.AdaptiveAvgPool2d(1), nn.Flatten())
    if kind == "linear":
        return nn.Sequential(*pooled, nn.Linear(WIDTH, CLASSES))
    if kind == "own, new":
        convolution = nn.Conv2d(WIDTH, CLASSES, 1)
        nn.init.normal_(convolution.weight, std=0.01)  # as torchvision draws it
        nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
        return nn.Sequential(nn.Dropout(0.5), convolution, nn.ReLU(), *pooled)
    return nn.Sequential(*squeezenet1_1(weights="IMAGENET1K_V1").classifier, nn.Flatten())


@torch.inference_mode()
def frozen_maps(pictures: Pictures, size: int, centred: bool, layers: int) -> Tensor:
    """The output of so many frozen layers for all pictures."""
    prefix = fire_layers()[:layers].eval()
    return torch.cat([prefix(prepared(batch, size, centred)) for batch in pictures.pixels.split(BATCH)])


class Inputs:
    """What the trained layers see of the training and test pictures: maps that are kept, or pixels made when asked."""

    def __init__(self, data: Path, cell: Cell) -> None:
        self.cell, self.layers = cell, FROZEN[cell.trained]
        self.pictures = [read_pictures(data / "cifar10" / side) for side in ("train", "test")]
        self.maps = [frozen_maps(p, cell.size, cell.centred, self.layers) for p in self.pictures if self.layers]
        if cell.standard:
            mean, deviation = self.maps[0].mean((0, 2, 3), True), self.maps[0].std((0, 2, 3), keepdim=True)
            self.maps = [(maps - mean) / (deviation + 1e-5) for maps in self.maps]

    def batch(self, side: int, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The input and labels of rows of a side: 0 trains, 1 tests."""
        pictures = self.pictures[side]
        if self.maps:
            return self.maps[side][rows].clone(), pictures.labels[rows]
        return prepared(pictures.pixels[rows], self.cell.size, self.cell.centred), pictures.labels[rows]


@torch.inference_mode()
def judged(network: nn.Module, inputs: Inputs, side: int) -> tuple[float, float]:
    """Mean loss and accuracy on a side, without dropout."""
    network.eval()
    loss, right, count = 0.0, 0, len(inputs.pictures[side].labels)
    for rows in torch.arange(count).split(4 * BATCH):
        x, labels = inputs.batch(side, rows)
        logits = network(x)
        loss += F.cross_entropy(logits, labels, reduction="sum").item()
        right += int((logits.argmax(1) == labels).sum())
    return loss / count, right / count


def train(cell: Cell, inputs: Inputs) -> list[dict[str, float]]:
    """Train a cell; what was measured after each epoch."""
    torch.manual_seed(cell.seed)
    network = nn.Sequential(*fire_layers()[inputs.layers :], new_head(cell.head))
    optimizer = OPTIMIZERS[cell.optimizer](network.parameters(), lr=cell.lr)
    order = torch.Generator().manual_seed(cell.seed)
    history = []
    for _ in range(cell.epochs):
        network.train()
        for rows in torch.randperm(len(inputs.pictures[0].labels), generator=order).split(BATCH):
            x, labels = inputs.batch(0, rows)
            optimizer.zero_grad()
            F.cross_entropy(network(x), labels).backward()
            optimizer.step()
        names = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
        history.append(dict(zip(names, judged(network, inputs, 0) + judged(network, inputs, 1), strict=True)))
    return history


def histories(cell: Cell, seeds: tuple[int, ...], data: Path, runs: Path) -> list[list[dict[str, float]]]:
    """The cell's history for each seed; trains those that RUNS does not have."""
    inputs: Inputs | None = None
    for seed in seeds:
        own = dataclasses.replace(cell, seed=seed)
        if not (runs / f"{own.name}.json").exists():
            inputs = inputs or Inputs(data, cell)
            write_json(runs / f"{own.name}.json", train(own, inputs))
    files = (runs / f"{dataclasses.replace(cell, seed=seed).name}.json" for seed in seeds)
    return [json.loads(file.read_text("utf-8")) for file in files]


def after(found: list[list[dict[str, float]]], epoch: int, name: str = "test_accuracy") -> str:
    """What was measured after an epoch, in percent, over the seeds."""
    return mean_and_error([history[epoch - 1][name] for history in found], 100)


def overfits_after(found: list[list[dict[str, float]]]) -> str:
    """The epochs with the lowest test loss, from the seeds' least to their most; of a run that is still falling, no."""
    lowest = [1 + int(np.argmin([entry["test_loss"] for entry in history])) for history in found]
    if min(lowest) == len(found[0]):
        return "not yet"
    return f"{min(lowest)}" if min(lowest) == max(lowest) else f"{min(lowest)} to {max(lowest)}"


def grid_cells(sizes: list[int], quick: bool) -> Iterator[Cell]:
    """The cells of the grid."""
    for trained in FROZEN:
        for size in sizes:
            if quick and size > 32 and not FROZEN[trained]:
                continue
            for optimizer, lr in GRID:
                yield Cell(trained, size, optimizer, lr, max(EPOCHS))


def write_grid(options: argparse.Namespace, seeds: tuple[int, ...]) -> None:
    """A row for each cell of the grid, with the document's figure where it has one."""
    columns = [f"after {epoch} epochs, %" for epoch in EPOCHS]
    head = ("trained", "pixels", "optimiser", *columns, "on training pictures, %", "overfits after", "document, %")
    table = Table(head, options.csv, "grid")
    for cell in grid_cells(options.sizes, options.quick):
        found = histories(cell, seeds, options.data, options.runs)
        theirs = THEIRS.get((cell.trained, cell.size), "-") if cell.optimizer == "Adam" else "-"
        learned = [after(found, epoch) for epoch in EPOCHS] + [after(found, EPOCHS[-1], "train_accuracy")]
        optimizer = f"{cell.optimizer} {cell.lr:g}"
        table.add(cell.trained, cell.size, optimizer, *learned, overfits_after(found), theirs)


def write_why(options: argparse.Namespace, seeds: tuple[int, ...]) -> None:
    """A row for each change."""
    table = Table(("changed", "right, %", "on training pictures, %", "loss"), options.csv, "why")
    for words, change in WHY.items():
        cell = dataclasses.replace(Cell(), **change)
        found = histories(cell, seeds, options.data, options.runs)
        loss = mean_and_error([history[-1]["test_loss"] for history in found])
        table.add(words, after(found, cell.epochs), after(found, cell.epochs, "train_accuracy"), loss)


TABLES = {"why": write_why, "grid": write_grid}


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    made = study_parser(__doc__, data=True)
    add_runs(made, "squeezenet_cifar10")
    made.add_argument("--tables", nargs="+", choices=TABLES, default=[*TABLES])
    made.add_argument("--sizes", nargs="+", type=int, default=[32, 96], help="of the grid's pictures, in pixels")
    made.add_argument("--quick", action="store_true", help="one seed; everything trained at 32 pixels only")
    return made


def main() -> None:
    """Parse, train what is missing, print Markdown tables."""
    options = parser().parse_args()
    open_runs(options.runs)
    for name in options.tables:
        TABLES[name](options, SEEDS[:1] if options.quick else SEEDS)


if __name__ == "__main__":
    main()
