"""Residual networks without some of their blocks.

A residual block gives relu(shortcut(x) + f(x)). Dropping the block leaves relu(shortcut(x)), as in the lesion study of
Veit, Wilber and Belongie 2016 ("Residual Networks Behave Like Ensembles of Relatively Shallow Networks", section 4).
The shortcut is x itself, or a projection of x where the block changes the shape, as the first block of most stages
does. The smaller network computes exactly what the whole one would with f(x) = 0. The weights of f are deleted: they
are neither trained nor stored nor part of the fingerprint.
"""

from collections.abc import Iterable, Iterator

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from facerec.errors import ConfigError


class Shortcut(nn.Module):
    """What is left of a dropped residual block; the tensors of its projection keep their names."""

    def __init__(self, downsample: nn.Module | None) -> None:
        super().__init__()
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, s, s), the output of a ReLU and so not negative -> x itself, or relu of its projection."""
        return x if self.downsample is None else F.relu(self.downsample(x))


def _blocks(stages: nn.Sequential) -> Iterator[tuple[str, nn.Module, str]]:
    """Every residual block, dropped or not: its name, as `layer1.0`; the module that holds it; its name in there."""
    for stage, layers in stages.named_children():
        for layer in layers.children():
            for place, block in layer.named_children():
                if isinstance(block, BasicBlock | Bottleneck | Shortcut):
                    yield f"{stage}.{place}", layer, place


def block_names(stages: nn.Sequential) -> list[str]:
    """The names of the residual blocks of a backbone's stages, as `layer1.0`, in the order of computation.

    Empty for backbones that are no ResNets.
    """
    return [name for name, _, _ in _blocks(stages)]


def drop_blocks(stages: nn.Sequential, names: Iterable[str], backbone: str) -> tuple[str, ...]:
    """Drop the named blocks of a backbone's stages, for good; return their names in the order of computation.

    Blocks that are dropped already may be named again. Raises ConfigError for a block that does not exist, and lists
    those that do.
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
