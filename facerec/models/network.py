"""A backbone with a head: from pixels to unit vectors, or to the logits of classes."""

from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facerec.errors import ConfigError
from facerec.models.backbones import build_stages, feature_width, find_backbone
from facerec.models.blocks import drop_blocks

FACE_SIZE = 112  # pixels a side of an aligned face
HIDDEN = 512  # units of each layer of the head but the last
METRIC, CLASSIFY = MODES = ("metric", "classify")
MEAN, FLAT, FLAT_LINEAR = POOLINGS = ("mean", "flat", "flat-linear")


class Network(nn.Module):
    """The stages of a backbone, pooling, and a head.

    mode "metric": the head ends in Linear and BatchNorm, and the output is scaled to length 1. BatchNorm centres the
    embedding. Without it training would start with all faces near each other, because pooled ImageNet features are all
    positive; and from there hard triplets collapse. mode "classify": the head ends in Linear, which gives the logits.

    pooling "mean": the mean of each map is a feature. pooling "flat": every place of every map is a feature, as in an
    aligned face a place has a meaning. The head then begins with a 1x1 convolution and BatchNorm (option E of ArcFace,
    Deng et al. 2019, section 3.2). pooling "flat-linear": the same features go straight into the linear layers, as in
    AlexNet and VGG.

    attributes: the number of an attribute's values, which a second head (linear, on the same features) tells; 0: none.

    The constants of the normalisation are buffers, and the output is scaled in here. So preprocessing and the length of
    the output travel with the weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: str,
        dim: int,
        *,
        mode: str = METRIC,
        kept_stages: int = 0,
        head_layers: int = 1,
        input_size: int = 0,
        pooling: str = MEAN,
        dropped_blocks: Iterable[str] = (),
        attributes: int = 0,
        pretrained: bool = False,
    ) -> None:
        """dim: the length of the output, D or the number of classes.

        kept_stages: how many of the backbone's first stages to use; 0: all. head_layers: how many linear layers the
        head has; each but the last has HIDDEN units, BatchNorm and ReLU. input_size: pixels a side of the input; 0:
        FACE_SIZE for faces, the backbone's own size for pictures. dropped_blocks: see blocks.py. pretrained: whether to
        load the authors' weights. Raises ConfigError for a backbone, mode, pooling, number of stages or block that does
        not exist, and for flat pooling of a backbone without maps.
        """
        if pooling not in POOLINGS:
            raise ConfigError(f"no pooling '{pooling}'; known are {', '.join(POOLINGS)}")
        super().__init__()
        if mode not in MODES:
            raise ConfigError(f"no mode '{mode}'; known are {', '.join(MODES)}")
        row = find_backbone(backbone)
        self.backbone, self.dim, self.mode = backbone, dim, mode
        self.kept_stages, self.head_layers, self.pooling = kept_stages, head_layers, pooling
        self.input_size = input_size or (FACE_SIZE if mode == METRIC else row.input_size)
        self.frozen: frozenset[str] = frozenset()  # the names of the frozen stages; see training/freezing
        self.stages = build_stages(backbone, pretrained, kept_stages or None)
        self.dropped_blocks: tuple[str, ...] = ()
        self.drop_blocks(dropped_blocks)
        self.width = feature_width(backbone, self.stages, kept_stages or None)
        side = 1 if pooling == MEAN else _map_side(self.stages, self.input_size, backbone)
        first = _flat_layers(self.width, side) if pooling == FLAT else []
        self.width *= side**2
        self.head = _head(self.width, dim, mode, head_layers, first)
        self.attributes = attributes
        self.attribute_head = nn.Linear(self.width, attributes) if attributes else None
        self.register_buffer("mean", torch.tensor(row.mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(row.std).view(3, 1, 1))

    def drop_blocks(self, names: Iterable[str]) -> None:
        """Drop these residual blocks, besides those that are dropped already; raises ConfigError for an unknown one."""
        self.dropped_blocks = drop_blocks(self.stages, (*self.dropped_blocks, *names), self.backbone)

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, S, S) RGB 0..255, uint8 or float -> (N, dim) float32: unit rows, or logits."""
        return self.output(self.prefix(pixels, len(self.stages)))

    def attribute_of(self, pixels: Tensor) -> Tensor:
        """(N, 3, S, S) RGB 0..255 -> (N, attributes) float32 logits of the second head."""
        return self.attribute(self.prefix(pixels, len(self.stages)))

    def prefix(self, pixels: Tensor, count: int) -> Tensor:
        """The output of the first `count` stages for pixels: (N, C, s, s), or (N, width) features after all stages.

        With count 0 it is the normalised pixels.
        """
        maps = self.maps(pixels, count)
        return self._pooled(maps) if count == len(self.stages) else maps

    def pooled(self, pixels: Tensor, count: int) -> Tensor:
        """(N, C): the mean of each map that the first `count` >= 1 stages give, whatever the network's pooling is.

        A stage of fully connected layers has no maps; its outputs are returned as they are.
        """
        x = self.maps(pixels, count)
        return x if x.ndim == 2 else x.mean((2, 3))

    def suffix(self, x: Tensor, count: int) -> Tensor:
        """The output of `prefix` for `count` stages -> (N, width) features."""
        return x if count == len(self.stages) else self.features(x, count)

    def maps(self, pixels: Tensor, count: int) -> Tensor:
        """As `prefix`, but without pooling after the last stage."""
        assert pixels.shape[1:2] == (3,), f"expected (N, 3, S, S), got {tuple(pixels.shape)}"
        return self._run((pixels.float() - self.mean) / self.std, 0, count)

    def features(self, maps: Tensor, count: int) -> Tensor:
        """The output of `maps` for `count` stages -> (N, width) features."""
        return self._pooled(self._run(maps, count, len(self.stages)))

    def output(self, features: Tensor) -> Tensor:
        """(N, width) features -> (N, dim) float32: unit rows, or logits."""
        x = self.head(features).float()
        return F.normalize(x, dim=1) if self.mode == METRIC else x

    def attribute(self, features: Tensor) -> Tensor:
        """(N, width) features -> (N, attributes) float32 logits of the second head; (N, 0) without one."""
        if self.attribute_head is None:
            return features.new_zeros((len(features), 0), dtype=torch.float32)
        return self.attribute_head(features).float()

    def _run(self, x: Tensor, start: int, end: int) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        for stage in self.stages[start:end]:
            x = stage(x)
        return x

    def _pooled(self, x: Tensor) -> Tensor:
        if x.ndim == 2:
            return x
        return x.mean((2, 3)) if self.pooling == MEAN else x.flatten(1)

    def named_stages(self) -> Iterator[tuple[str, nn.Module]]:
        """The names and modules of the stages, from the first to the last, without the head."""
        yield from self.stages.named_children()

    def train(self, mode: bool = True) -> "Network":
        """As nn.Module's, but frozen stages stay in eval mode, so that the statistics of their BatchNorm stay, too."""
        super().train(mode)
        for name, stage in self.named_stages():
            if name in self.frozen:
                stage.eval()
        return self


@torch.no_grad()
def _map_side(stages: nn.Sequential, size: int, backbone: str) -> int:
    try:
        shape = stages.eval()(torch.zeros(1, 3, size, size)).shape
    except RuntimeError as error:  # a kernel that is larger than the maps it reads
        raise ConfigError(f"{size} pixels are too few for {backbone}; give a larger `input_size`") from error
    if len(shape) != 4:
        raise ConfigError(f"{backbone} ends in fully connected layers: there is no map; give `pooling=mean`")
    return shape[-1]


def _flat_layers(width: int, side: int) -> list[nn.Module]:
    """The first layers of a flat head, for the (N, width * side * side) places of the maps."""
    convolution = nn.Conv2d(width, width, 1, bias=False)
    return [nn.Unflatten(1, (width, side, side)), convolution, nn.BatchNorm2d(width), nn.Flatten()]


def _head(width: int, dim: int, mode: str, layers: int, first: Iterable[nn.Module]) -> nn.Sequential:
    """The head for (N, width) features. first: the layers that it begins with."""
    parts = [*first]
    for _ in range(layers - 1):
        parts += [nn.Linear(width, HIDDEN, bias=False), nn.BatchNorm1d(HIDDEN), nn.ReLU(inplace=True)]
        width = HIDDEN
    last = [nn.Linear(width, dim, bias=False), nn.BatchNorm1d(dim)] if mode == METRIC else [nn.Linear(width, dim)]
    return nn.Sequential(*parts, *last)
