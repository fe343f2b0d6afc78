"""A classifier whose answers one can predict, without training it.

The backbone's weights are random; the head compares its features with those of one picture per class, and answers
with the nearest. A picture of a class is its colour with noise.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image

from facerec.models.card import ModelCard
from facerec.types import Image

SIZE = 56  # the side of the network's pictures
NAMES = ("green", "Çelik 王", "red [b]")  # in no order; what looks like markup is a name, too
COLOURS = ((30, 200, 40), (40, 60, 220), (220, 30, 30))


def write_classifier(folder: Path, names: Sequence[str] = NAMES) -> ModelCard:
    """A model folder of mode "classify" for up to three classes; returns its card."""
    import torch

    from facerec.models.checkpoint import describe, save_model
    from facerec.models.network import Network

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Network("squeezenet1_1", len(names), mode="classify", input_size=SIZE).eval()
    typical = np.stack([picture(kind, 0, SIZE, SIZE) for kind in range(len(names))])
    head, network.head = network.head, torch.nn.Sequential()
    with torch.inference_mode():
        features = network(torch.from_numpy(typical).permute(0, 3, 1, 2))  # (C, width)
        scale = 10 / torch.nn.functional.pdist(features).square().min()  # of the logits: a right answer is a sure one
        last = head[-1]
        assert isinstance(last, torch.nn.Linear)
        last.weight.copy_(scale * features)
        last.bias.copy_(-scale * features.square().sum(dim=1) / 2)
    network.head = head
    return save_model(network, folder, describe(network, "toy classes", names))


def picture(kind: int, number: int, width: int = 90, height: int = 70, noise: float = 4) -> Image:
    """Picture `number` of class `kind`, (height, width, 3)."""
    random = np.random.default_rng((kind, number)).normal(0, noise, (height, width, 3))
    return np.clip(np.full((height, width, 3), COLOURS[kind]) + random, 0, 255).astype(np.uint8)


def save_picture(path: Path, kind: int, number: int, **shape: int) -> Path:
    """Write a picture, its folders too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(picture(kind, number, **shape)).save(path)
    return path
