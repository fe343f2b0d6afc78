"""Small networks for small pictures, with random weights: plain or residual, with or without BatchNorm."""

from dataclasses import dataclass
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Form:
    """A network of 3x3 convolutions, as He et al. 2015 (arXiv:1512.03385) built theirs for CIFAR-10.

    blocks: how many blocks of two convolutions each group has. widths: the maps of each group. All groups but the first
    begin with a stride of 2. shortcuts: whether a block's input is added to its output. norm: whether BatchNorm follows
    each convolution.
    """

    blocks: tuple[int, ...]
    widths: tuple[int, ...]
    shortcuts: bool = True
    norm: bool = True

    @property
    def layers(self) -> int:
        """Layers with weights: a first convolution, the blocks, and the linear layer."""
        return 2 + 2 * sum(self.blocks)


def build(form: Form, classes: int) -> nn.Sequential:
    """(N, 3, S, S) float pictures -> (N, classes) logits."""
    widths = (form.widths[0], *form.widths)
    body: list[nn.Module] = [*convolution(3, widths[0], 1, form.norm), nn.ReLU(inplace=True)]
    for group, ((before, width), count) in enumerate(zip(pairwise(widths), form.blocks, strict=True)):
        for number in range(count):
            first = number == 0
            body.append(Block(before if first else width, width, 2 if first and group else 1, form))
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], classes))


def convolution(before: int, after: int, stride: int, norm: bool) -> list[nn.Module]:
    """A 3x3 convolution and its BatchNorm, or its bias."""
    layer = nn.Conv2d(before, after, 3, stride, 1, bias=not norm)
    return [layer, nn.BatchNorm2d(after)] if norm else [layer]


class Block(nn.Module):
    """Two convolutions, and around them a shortcut without weights: every stride-th place, missing maps are 0."""

    def __init__(self, before: int, width: int, stride: int, form: Form) -> None:
        super().__init__()
        self.stride, self.added, self.shortcut = stride, width - before, form.shortcuts
        first = [*convolution(before, width, stride, form.norm), nn.ReLU(inplace=True)]
        self.inside = nn.Sequential(*first, *convolution(width, width, 1, form.norm))

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, s, s) -> (N, width, s / stride, s / stride)."""
        y = self.inside(x)
        if self.shortcut:
            y = y + F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.added))
        return F.relu(y)


def start_as_he(network: nn.Module) -> None:
    """Draw the convolutions' weights as He et al. 2015 (arXiv:1502.01852): ReLU then keeps the gradients' size."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
