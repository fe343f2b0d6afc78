"""Do gradients vanish on their way to the first layers? Plain and residual networks, with and without BatchNorm.

    .venv/bin/python -m scripts.studies run gradients [--csv gradients.csv]

Four networks of 34 layers with random weights, each drawn in two ways: as PyTorch draws them unless told otherwise, and
as He et al. 2015 do. They see a batch of CIFAR-10's pictures once, in train mode. The table shows, for some layers,
the norm of the cross-entropy's gradient for the layer's weights before any step; the plot shows all layers. Both are
geometric means over the seeds, which draw the weights and the batch; the last column has the least and the most of
the seeds. With --csv FILE.csv the plot is FILE.svg.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from facerec.datasets.augmentation import to_tensor
from facerec.datasets.photo_sets import read_photos
from facerec.models.backbones import IMAGENET_MEAN, IMAGENET_STD
from facerec.photos.reading import read_image
from scripts.studies.small_networks import Form, build, start_as_he
from scripts.studies.tables import Table, study_parser

BATCH = 128
BLOCKS, WIDTHS = (3, 4, 6, 3), (16, 32, 64, 128)  # ResNet-34's, with a quarter of its maps
NETWORKS = {
    f"{kind}, {'with' if norm else 'without'} BatchNorm": Form(BLOCKS, WIDTHS, shortcuts, norm)
    for kind, shortcuts in (("plain", False), ("residual", True))
    for norm in (False, True)
}
STARTS: dict[str, Callable[[nn.Module], None]] = {"PyTorch's weights": lambda network: None, "He's": start_as_he}
SHOWN = (1, 9, 17, 25, 33)  # layers in the table; 34 is the linear one

Norms = NDArray[np.float64]  # (seeds, layers)


def norms_by_layer(network: nn.Module, pixels: Tensor, labels: Tensor) -> list[float]:
    """The norms of the loss's gradient for the weights of each convolution and linear layer, in order."""
    torch.nn.functional.cross_entropy(network(pixels), labels).backward()
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    return [float(layer.weight.grad.norm()) for layer in layers if layer.weight.grad is not None]


def read_batch(folder: Path, seed: int, size: int = BATCH) -> tuple[Tensor, Tensor]:
    """(B, 3, 32, 32) normalised pictures drawn from class folders, and their (B,) labels."""
    photos = read_photos(folder)
    drawn = np.random.default_rng(seed).permutation(len(photos))[:size]
    pixels = to_tensor([read_image(photos.paths[i]) for i in drawn]).float()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (pixels - mean) / std, torch.from_numpy(photos.labels[drawn])


def measure(folder: Path, seeds: list[int]) -> dict[tuple[str, str], Norms]:
    """(network, start) -> its norms."""
    found: dict[tuple[str, str], list[list[float]]] = {}
    for seed in seeds:
        batch = read_batch(folder, seed)
        for name, form in NETWORKS.items():
            for start, draw in STARTS.items():
                torch.manual_seed(seed)
                network = build(form, classes=10)
                draw(network)
                found.setdefault((name, start), []).append(norms_by_layer(network, *batch))
    return {key: np.array(norms) for key, norms in found.items()}


def middle(norms: Norms) -> Norms:
    """(layers,) geometric means over the seeds."""
    return np.exp(np.log(norms).mean(axis=0))


def brief(value: float) -> str:
    """Two digits of a value."""
    return f"{float(f'{value:.2g}'):g}"


def write_table(found: dict[tuple[str, str], Norms], file: Path | None) -> None:
    """A row for each network and start."""
    layers = [f"layer {layer}" for layer in SHOWN]
    table = Table(("network", "weights", *layers, "first over last (seeds)"), file)
    for (name, start), norms in found.items():
        shares = norms[:, SHOWN[0] - 1] / norms[:, SHOWN[-1] - 1]
        share = f"{brief(middle(shares[:, None])[0])} ({brief(shares.min())} to {brief(shares.max())})"
        table.add(name, start, *(brief(middle(norms)[layer - 1]) for layer in SHOWN), share)


def draw_plot(found: dict[tuple[str, str], Norms], file: Path) -> None:
    """All layers, a panel for each start."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, len(STARTS), sharey=True)
    for panel, start in zip(panels, STARTS, strict=True):
        for name, form in NETWORKS.items():
            colour, dashes = "tab:blue" if form.shortcuts else "tab:orange", "-" if form.norm else "--"
            values = middle(found[name, start])
            panel.semilogy(range(1, len(values) + 1), values, dashes, color=colour, label=name)
        panel.set(title=start, xlabel="layer, from the picture")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("norm of the gradient")
    panels[0].legend(fontsize=8)
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "facerec"}):
        figure.savefig(file, format="svg", metadata={"Date": None})


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    made = study_parser(__doc__, data=True)
    made.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    return made


def main() -> None:
    """Parse, measure, print a Markdown table, draw the plot."""
    options = parser().parse_args()
    found = measure(options.data / "cifar10" / "train", options.seeds)
    write_table(found, options.csv)
    if options.csv:
        draw_plot(found, options.csv.with_suffix(".svg"))


if __name__ == "__main__":
    main()
