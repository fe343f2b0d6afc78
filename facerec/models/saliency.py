"""Looking into a network: its first filters, the maps of a stage, and which parts of a photo a decision rests on.

Grad-CAM (Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization")
explains a score. It sums the maps of a stage, each weighted by the mean gradient of the score in that map. Where the
sum is positive, the photo speaks for the score. The scores are:

- for a model that classifies: the logit of the most probable class;
- for a model that embeds faces: the cosine of the photo's embedding with that of another photo, which is held fixed;
- without another photo: the length of the photo's embedding before it is scaled to 1. (The cosine of an embedding with
  itself is always 1, so its gradient is 0 everywhere.) For a backbone without a head: the length of its features.

Only the crop itself is explained, even if the model also embeds its mirror image. `likeness` is that of the embeddings.
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
from facerec.vectors import mean_of_views

Maps = NDArray[np.float32]


@dataclass(frozen=True, eq=False, slots=True)
class Sight:
    """What a stage of a network sees in a picture. All arrays but the picture are float32.

    picture: (S, S, 3) uint8 RGB, the network's input. filters: (K, k, k, 3), the weights of the first convolution for
    normalised red, green and blue. maps: (C, s, s), the stage's output. heat: (s, s), Grad-CAM; not negative.
    row: (dim,), the probabilities of the classes; or the embedding, or without a head the features, of length 1.
    score: the largest probability; or the cosine with the other embedding, of this one view of both; or the length of
    the embedding before it was scaled to 1. remarks: what is odd about the photos, each with the photo's name.
    """

    picture: Image
    filters: Maps
    maps: Maps
    heat: Maps
    row: Maps
    score: float
    remarks: tuple[str, ...] = ()


def look(network: Network, picture: Image, stage: str, against: Image | None = None) -> Sight:
    """Look at a picture (S, S, 3) uint8 RGB with a network in eval mode; against: another face to compare it with.

    Raises ConfigError for a stage that does not exist, or that is fully connected and so has no maps.
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


@torch.inference_mode()
def likeness(network: Network, picture: Image, other: Image, mirrored: bool) -> float:
    """The cosine of the embeddings of two faces (S, S, 3) uint8 RGB, as they are compared: distance = 2 - 2 cosine.

    mirrored: whether an embedding is the unit mean of the crop's vector and its mirror image's.
    """
    crops = torch.from_numpy(np.stack([picture, other])).permute(0, 3, 1, 2)  # (2, 3, S, S)
    rows = network(crops).float().numpy()
    if mirrored:
        rows = mean_of_views(rows, network(crops.flip(3)).float().numpy())
    return float(rows[0] @ rows[1])


def _classifies(network: Network) -> bool:
    """Whether the network has classes. A backbone without a head has none."""
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
    """(K, k, k, 3) float32: the weights of the first convolution."""
    first = next(layer for layer in network.stages.modules() if isinstance(layer, nn.Conv2d))
    return first.weight.detach().permute(0, 2, 3, 1).numpy()


def stage_maps(network: Network, picture: Image, stage: str) -> Tensor:
    """(1, C, s, s) float32: the output of a stage for a picture (S, S, 3). Raises as `look` does."""
    maps = network.maps(_pixels(picture), _place(network, stage))
    if maps.ndim != 4:
        raise ConfigError(f"stage '{stage}' of {network.backbone} is fully connected: no maps; take one before it")
    return maps.float()


def grad_cam(network: Network, maps: Tensor, stage: str, score: Callable[[Tensor], Tensor]) -> Maps:
    """(s, s) float32, not negative: Grad-CAM of (1, C, s, s) maps of a stage.

    score: of the (dim,) logits, or of the embedding before it is scaled to length 1.
    """
    maps = maps.detach().requires_grad_()
    output = _unscaled(network, maps.clone(), stage)  # a clone: some layers work in place
    (gradient,) = torch.autograd.grad(score(output), maps)
    weights = gradient.mean((2, 3), keepdim=True)  # (1, C, 1, 1)
    return (weights * maps).sum(1)[0].clamp(min=0).detach().numpy()


def _unscaled(network: Network, maps: Tensor, stage: str) -> Tensor:
    """(dim,) logits, or the embedding before it is scaled to length 1, computed from a stage's maps."""
    return network.head(network.features(maps, _place(network, stage)))[0].float()


def _pixels(picture: Image) -> Tensor:
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)[None]  # (1, 3, S, S)


def _all(network: Network) -> int:
    return len(network.stages)


def _place(network: Network, stage: str) -> int:
    """The number of the stage, counted from 1."""
    names = [name for name, _ in network.named_stages()]
    if stage not in names:
        raise ConfigError(f"no stage '{stage}' in this {network.backbone}; its stages are {', '.join(names)}")
    return names.index(stage) + 1


@torch.inference_mode()
def pooled_stages(network: Network, pictures: NDArray[np.uint8]) -> dict[str, Maps]:
    """Stage -> (N, C) float32, the means of its maps; pictures: (N, S, S, 3) uint8 RGB of the network's input size."""
    x = network.maps(torch.from_numpy(pictures).permute(0, 3, 1, 2), 0)
    rows: dict[str, Maps] = {}
    for name, stage in network.named_stages():
        x = stage(x)
        rows[name] = (x.mean((2, 3)) if x.ndim == 4 else x).float().numpy()
    return rows
