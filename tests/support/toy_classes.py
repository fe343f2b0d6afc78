"""A classifier with predictable answers. It needs no training.

The backbone's weights are random. The head compares the features of a picture with those of one picture per class, and
answers with the nearest. A picture of a class is the class's colour with noise.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image

from facerec.models.card import ModelCard
from facerec.types import Image

SIZE = 56  # the side of the network's pictures
NAMES = ("green", "Çelik 王", "red [b]")  # not sorted; "[b]" looks like markup but is part of a name
COLOURS = ((30, 200, 40), (40, 60, 220), (220, 30, 30))


def write_classifier(folder: Path, names: Sequence[str] = NAMES) -> ModelCard:
    """Write a model folder of mode "classify" for up to three classes. Returns its card."""
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
        scale = 10 / torch.nn.functional.pdist(features).square().min()  # large: right answers are sure ones
        last = head[-1]
        assert isinstance(last, torch.nn.Linear)
        last.weight.copy_(scale * features)
        last.bias.copy_(-scale * features.square().sum(dim=1) / 2)
    network.head = head
    return save_model(network, folder, describe(network, "toy classes", names))


def picture(kind: int, number: int, width: int = 90, height: int = 70, noise: float = 4) -> Image:
    """Return picture `number` of class `kind`, (height, width, 3) uint8."""
    random = np.random.default_rng((kind, number)).normal(0, noise, (height, width, 3))
    return np.clip(np.full((height, width, 3), COLOURS[kind]) + random, 0, 255).astype(np.uint8)


def save_picture(path: Path, kind: int, number: int, **shape: int) -> Path:
    """Write a picture, and its folders if need be. Returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(picture(kind, number, **shape)).save(path)
    return path
