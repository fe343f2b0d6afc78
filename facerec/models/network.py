"""Backbone + embedding head: aligned pixels in, unit vectors out."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facerec.models.backbones import build_stages, find_backbone

INPUT_SIZE = 112  # pixels; the side of an aligned face
IMAGENET_MEAN = (123.675, 116.28, 103.53)  # of RGB 0..255
IMAGENET_STD = (58.395, 57.12, 57.375)


class Network(nn.Module):
    """A backbone's stages, global average pooling and an embedding head (Linear, BatchNorm).

    The head's BatchNorm centres the embedding: pooled ImageNet features are all positive, so a bare linear map starts
    with every face near every other, from where hard triplets collapse.

    The normalisation constants are buffers and the output is made unit-length here, so that preprocessing and
    convention travel with the weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: str, embedding_dim: int, *, pretrained: bool = False) -> None:
        super().__init__()
        self.backbone = backbone
        self.embedding_dim = embedding_dim
        self.frozen: frozenset[str] = frozenset()  # names of stages that must not move; see freezing.py
        self.stages = build_stages(backbone, pretrained)
        self.head = nn.Sequential(
            nn.Linear(find_backbone(backbone).width, embedding_dim, bias=False), nn.BatchNorm1d(embedding_dim)
        )
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, S, S) RGB 0..255, uint8 or float -> (N, D) float32 of length 1."""
        assert pixels.shape[1:2] == (3,), f"expected (N, 3, S, S), got {tuple(pixels.shape)}"
        x = (pixels.float() - self.mean) / self.std
        x = self.stages(x.contiguous(memory_format=torch.channels_last))  # (N, width, s, s)
        x = x.mean((2, 3))  # (N, width)
        return F.normalize(self.head(x).float(), dim=1)  # (N, D)

    def named_stages(self) -> Iterator[tuple[str, nn.Module]]:
        """The stages from the first layers to the last, the head not among them."""
        yield from self.stages.named_children()

    def train(self, mode: bool = True) -> "Network":
        """As nn.Module's, but a frozen stage stays in eval mode: its BatchNorm statistics must not move either."""
        super().train(mode)
        for name, stage in self.named_stages():
            if name in self.frozen:
                stage.eval()
        return self
