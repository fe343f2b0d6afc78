"""THE TABLE of backbones. Everything that differs between them stands in a row; no other file asks for a name."""

from collections import OrderedDict
from dataclasses import dataclass
from http.client import HTTPException
from urllib.error import URLError

import torchvision
from torch import nn

from facerec.errors import ConfigError, ModelError


@dataclass(frozen=True, slots=True)
class Backbone:
    """One row: torchvision's name and weights, and how its layers group into stages.

    stages: name -> paths of torchvision's modules in the order of computation; together they map (N, 3, S, S) to
    (N, width, s, s), with s = S / 32 rounded up (SqueezeNet: S / 16 - 1), and leave nothing out but the pooling and the
    ImageNet classifier. A stage ends where the resolution falls, so that "the first N stages" means the same kind of
    thing for every row.
    default_cut: how many first stages `partial` freezes unless told otherwise.
    """

    builder: str
    weights: str
    stages: tuple[tuple[str, tuple[str, ...]], ...]
    width: int
    default_cut: int


def _features(*ends: int) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Stages of a network whose layers are `features.0`, `features.1`, ...: each ends before the index given."""
    starts = (0, *ends)
    return tuple(
        (f"stage{i}", tuple(f"features.{n}" for n in range(start, end)))
        for i, (start, end) in enumerate(zip(starts, ends, strict=False))
    )


_RESNET = (
    ("stem", ("conv1", "bn1", "relu", "maxpool")),
    ("layer1", ("layer1",)),
    ("layer2", ("layer2",)),
    ("layer3", ("layer3",)),
    ("layer4", ("layer4",)),
)

BACKBONES: dict[str, Backbone] = {
    "mobilenet_v2": Backbone("mobilenet_v2", "IMAGENET1K_V1", _features(2, 4, 7, 14, 19), 1280, 2),
    "resnet18": Backbone("resnet18", "IMAGENET1K_V1", _RESNET, 512, 2),
    "resnet50": Backbone("resnet50", "IMAGENET1K_V2", _RESNET, 2048, 2),
    "squeezenet1_1": Backbone("squeezenet1_1", "IMAGENET1K_V1", _features(3, 6, 9, 13), 512, 2),
}


def find_backbone(name: str) -> Backbone:
    """The row called `name`; raises ConfigError listing the names when there is none."""
    if name not in BACKBONES:
        raise ConfigError(f"no backbone '{name}'; known are {', '.join(BACKBONES)}")
    return BACKBONES[name]


def build_stages(name: str, pretrained: bool) -> nn.Sequential:
    """The backbone's stages in order, with torchvision's ImageNet weights or random ones.

    Raises ModelError when the weights can neither be found in torch's cache nor be downloaded.
    """
    row = find_backbone(name)
    try:
        whole = torchvision.models.get_model(row.builder, weights=row.weights if pretrained else None)
    except (URLError, HTTPException, OSError, RuntimeError) as error:  # the last: not the file its hash speaks of
        raise ModelError(
            f"ImageNet weights of {name} cannot be downloaded ({error}); "
            f"connect once, put the file in torch's cache, or train with --init random"
        ) from error
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    for stage, paths in row.stages:
        stages[stage] = nn.Sequential(*(whole.get_submodule(path) for path in paths))
    return nn.Sequential(stages)
