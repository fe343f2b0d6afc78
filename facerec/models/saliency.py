"""Looking into a network: what its first layer looks for, what a stage makes of a photo, and what a decision rests on.

Grad-CAM (Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization"):
a stage's maps, each weighted by the mean over its places of the gradient of a score; what is positive of their sum
shows where the photo speaks for the score. The scores here:

- of a model that classifies, the logit of the likeliest class;
- of one that embeds faces, the cosine between the photo's embedding and another photo's, which is held fixed;
- without another photo, how far the photo's embedding reaches in its own direction, that is its length before it is
  made unit-length. (Its cosine with itself is at its largest, so that the gradient is 0 everywhere.) Likewise of a
  backbone without a head the features.

One view of a face is looked at, also where the model embeds the mean of a crop's and its mirror image's.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from facerec.errors import ConfigError
from facerec.models.network import METRIC, Network
from facerec.types import Image

Maps = NDArray[np.float32]


@dataclass(frozen=True, eq=False, slots=True)
class Sight:
    """What a stage of a network sees in a picture.

    picture: (S, S, 3) uint8 RGB, as the network is given it. filters: (K, k, k, 3) weights of the first convolution for
    normalised red, green and blue. maps: (C, s, s) what the stage makes of the picture. heat: (s, s), Grad-CAM, from 0.
    row: (dim,) probabilities of the classes, or the embedding (without a head, the features) of unit length. score: the
    largest probability; the cosine with the other embedding; or the length before it was made unit-length.
    """

    picture: Image
    filters: Maps
    maps: Maps
    heat: Maps
    row: Maps
    score: float


def look(network: Network, picture: Image, stage: str, against: Image | None = None) -> Sight:
    """Look at a picture (S, S, 3) with a network in eval mode; `against`: of another face, to compare with.

    Raises ConfigError for a stage that does not exist, or is fully connected and has no maps.
    """
    network.requires_grad_(False)
    with torch.no_grad():
        maps = stage_maps(network, picture, stage)
        output = _unscaled(network, maps, stage)
        other = (
            None if against is None else F.normalize(network.head(network.prefix(_pixels(against), _all(network))))[0]
        )
    score = _score(network, output, other)
    row = output.softmax(0) if _classifies(network) else F.normalize(output, dim=0)
    shown = row.max() if _classifies(network) else score(output)
    return Sight(
        picture=picture,
        filters=first_filters(network),
        maps=maps[0].numpy(),
        heat=grad_cam(network, maps, stage, score),
        row=row.numpy(),
        score=float(shown),
    )


def _classifies(network: Network) -> bool:
    """Whether it knows classes; a backbone without a head knows none."""
    return network.mode != METRIC and len(network.head) > 0


def _score(network: Network, output: Tensor, other: Tensor | None) -> Callable[[Tensor], Tensor]:
    if _classifies(network):
        likeliest = int(output.argmax())
        return lambda row: row[likeliest]
    if other is not None:
        return lambda row: F.normalize(row, dim=0) @ other
    direction = F.normalize(output, dim=0)
    return lambda row: row @ direction


def first_filters(network: Network) -> Maps:
    """(K, k, k, 3) of the first convolution."""
    first = next(layer for layer in network.stages.modules() if isinstance(layer, nn.Conv2d))
    return first.weight.detach().permute(0, 2, 3, 1).numpy()


def stage_maps(network: Network, picture: Image, stage: str) -> Tensor:
    """(1, C, s, s) float32: what a stage, and all before it, make of a picture (S, S, 3). Raises as `look`."""
    maps = network.maps(_pixels(picture), _place(network, stage))
    if maps.ndim != 4:
        raise ConfigError(f"stage '{stage}' of {network.backbone} is fully connected: no maps; take one before it")
    return maps.float()


def grad_cam(network: Network, maps: Tensor, stage: str, score: Callable[[Tensor], Tensor]) -> Maps:
    """(s, s) from 0: for the `score` of the logits, or of the embedding before it is made unit-length, (dim,)."""
    maps = maps.detach().requires_grad_()
    output = _unscaled(network, maps.clone(), stage)  # a clone: some layers work in place
    (gradient,) = torch.autograd.grad(score(output), maps)
    weights = gradient.mean((2, 3), keepdim=True)  # (1, C, 1, 1)
    return (weights * maps).sum(1)[0].clamp(min=0).detach().numpy()


def _unscaled(network: Network, maps: Tensor, stage: str) -> Tensor:
    """(dim,) logits, or the embedding before it is made unit-length, that follow from a stage's maps."""
    return network.head(network.features(maps, _place(network, stage)))[0].float()


def _pixels(picture: Image) -> Tensor:
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)[None]  # (1, 3, S, S)


def _all(network: Network) -> int:
    return len(network.stages)


def _place(network: Network, stage: str) -> int:
    """How many stages end with this one."""
    names = [name for name, _ in network.named_stages()]
    if stage not in names:
        raise ConfigError(f"no stage '{stage}' in this {network.backbone}; its stages are {', '.join(names)}")
    return names.index(stage) + 1


@torch.inference_mode()
def pooled_stages(network: Network, pictures: NDArray[np.uint8]) -> dict[str, Maps]:
    """Stage -> (N, C): the mean of each of its maps over the places, for pictures (N, S, S, 3) of a network's size."""
    x = network.maps(torch.from_numpy(pictures).permute(0, 3, 1, 2), 0)
    rows: dict[str, Maps] = {}
    for name, stage in network.named_stages():
        x = stage(x)
        rows[name] = (x.mean((2, 3)) if x.ndim == 4 else x).float().numpy()
    return rows
