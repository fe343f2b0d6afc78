"""Residual networks without some of their blocks.

A residual block gives relu(shortcut(x) + f(x)). Without it the shortcut alone is left, as in the lesion study of Veit,
Wilber and Belongie 2016 ("Residual Networks Behave Like Ensembles of Relatively Shallow Networks", section 4): x itself
goes on, or where the block changes the shape, as the first of most stages does, what its projection makes of x. That is
exactly the network whose f(x) is 0. The weights of f are gone: nothing trains, stores or hashes them.
"""

from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from facerec.errors import ConfigError
from facerec.models.backbones import build_stages


class Shortcut(nn.Module):
    """What is left of a residual block; its tensors keep their names."""

    def __init__(self, downsample: nn.Module | None) -> None:
        super().__init__()
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, s, s), not negative, as it comes out of a ReLU -> itself, or relu of its projection."""
        return x if self.downsample is None else F.relu(self.downsample(x))


def _blocks(stages: nn.Sequential) -> Iterator[tuple[str, nn.Module, str]]:
    """Every residual block, dropped or not: its name as `layer1.0`, the module it is in, and what it is called there"""
    for stage, layers in stages.named_children():
        for layer in layers.children():
            for place, block in layer.named_children():
                if isinstance(block, BasicBlock | Bottleneck | Shortcut):
                    yield f"{stage}.{place}", layer, place


def block_names(stages: nn.Sequential) -> list[str]:
    """The residual blocks of a backbone's stages in the order of computation, as `layer1.0`; none for most."""
    return [name for name, _, _ in _blocks(stages)]


def drop_blocks(stages: nn.Sequential, names: Iterable[str], backbone: str) -> tuple[str, ...]:
    """Leave the named blocks of a backbone's stages out, for good; returns them in the order of computation.

    One that is left out already may be named again. Raises ConfigError, listing the blocks there are, for another.
    """
    wanted = set(names)
    known = block_names(stages)
    if wanted and not known:
        raise ConfigError(
            f"{backbone} has no residual blocks to drop; leave `drop_blocks` out, or take a ResNet (`facerec models`)"
        )
    if strange := sorted(wanted - set(known)):
        raise ConfigError(f"no residual block '{strange[0]}' in this {backbone}; its blocks are {', '.join(known)}")
    for name, parent, place in list(_blocks(stages)):
        if name in wanted:
            setattr(parent, place, Shortcut(getattr(parent, place).downsample))
    return tuple(name for name in known if name in wanted)


def check_blocks(names: Iterable[str], backbone: str, kept: int | None = None) -> None:
    """Raise what `drop_blocks` would for the first `kept` stages of a backbone (None: all), without its weights."""
    with torch.device("meta"):
        drop_blocks(build_stages(backbone, False, kept), names, backbone)
