"""The table of backbones. A row holds all that is special about a backbone; no other file looks at its name."""

import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from http.client import HTTPException
from itertools import pairwise
from urllib.error import URLError

import torch
import torchvision
from torch import nn

from facerec.errors import ConfigError, ModelError

IMAGENET_MEAN = (123.675, 116.28, 103.53)  # of RGB 0..255
IMAGENET_STD = (58.395, 57.12, 57.375)
HALF = (127.5, 127.5, 127.5)

Layer = str | Callable[[], nn.Module]  # the path of a module of the network, or a new layer without parameters
Stage = tuple[str, tuple[Layer, ...]]


@dataclass(frozen=True, slots=True)
class Backbone:
    """One row of the table.

    build: pretrained -> the whole network as its authors wrote it, with its classifier.
    stages: their names and layers, in the order of computation. They hold the whole network except the last linear
    layer, the pooling or dropout just before it, and the auxiliary classifiers of GoogLeNet and Inception v3 (which
    only help to train those from random weights; Szegedy et al. 2015). A stage begins where the resolution falls, so
    "the first N stages" means the same kind of thing in every row. The fully connected layers of AlexNet, VGG and
    MobileNet v3 are a stage of their own, `fc`.
    width: how many features the last stage gives, as (N, width, s, s) or (N, width).
    input_size: pixels a side of the pictures it was trained on.
    default_cut: how many of the first stages the strategy `partial` freezes by default.
    mean, std: the normalisation its weights need, x = (rgb - mean) / std, with RGB 0..255.
    """

    build: Callable[[bool], nn.Module]
    stages: tuple[Stage, ...]
    width: int
    input_size: int = 224
    default_cut: int = 2
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD


@dataclass(frozen=True, slots=True)
class FromTorchvision:
    """torchvision's builder of a network.

    weights: which of its published weights. V1 by default: the recipes of later weights, above all label smoothing,
    make better classifiers but worse features to build on (Kornblith et al. 2019, section 4.3). fresh: the builder's
    further arguments where the weights are random.
    """

    name: str
    weights: str = "IMAGENET1K_V1"
    fresh: Mapping[str, bool] = field(default_factory=dict)

    def __call__(self, pretrained: bool) -> nn.Module:
        options = {"weights": self.weights} if pretrained else {"weights": None, **self.fresh}
        return torchvision.models.get_model(self.name, **options)

    @property
    def published(self) -> torchvision.models.WeightsEnum:
        """What torchvision says of the weights: their address, and what they reach on ImageNet."""
        return torchvision.models.get_model_weights(self.name)[self.weights]


def _inception_resnet_v1(pretrained: bool) -> nn.Module:
    from facenet_pytorch import InceptionResnetV1

    return InceptionResnetV1(pretrained="vggface2" if pretrained else None)


def _numbered(prefix: str, *ends: int) -> tuple[Stage, ...]:
    """Stages of a network with the layers PREFIX.0, PREFIX.1, ...; ends: the index after each stage's last layer."""
    bounds = pairwise((0, *ends))
    return tuple((f"stage{i}", tuple(f"{prefix}.{n}" for n in range(*bound))) for i, bound in enumerate(bounds))


def _fc(last: int) -> Stage:
    """The stage of pooling, flattening and the classifier's layers before index `last`."""
    return ("fc", ("avgpool", nn.Flatten, *(f"classifier.{i}" for i in range(last))))


_RESNET: tuple[Stage, ...] = (
    ("stem", ("conv1", "bn1", "relu", "maxpool")),
    *((f"layer{i}", (f"layer{i}",)) for i in (1, 2, 3, 4)),
)
_DENSENET: tuple[Stage, ...] = (
    ("stem", ("features.conv0", "features.norm0", "features.relu0", "features.pool0")),
    ("block1", ("features.denseblock1",)),
    ("block2", ("features.transition1", "features.denseblock2")),
    ("block3", ("features.transition2", "features.denseblock3")),
    ("block4", ("features.transition3", "features.denseblock4", "features.norm5", nn.ReLU)),
)
_SHUFFLENET: tuple[Stage, ...] = (
    ("stem", ("conv1", "maxpool")),
    *((f"stage{i}", (f"stage{i}",)) for i in (2, 3)),
    ("stage4", ("stage4", "conv5")),
)
_GOOGLENET: tuple[Stage, ...] = (
    ("stem", ("conv1", "maxpool1", "conv2", "conv3", "maxpool2")),
    ("inception3", ("inception3a", "inception3b")),
    ("inception4", ("maxpool3", *(f"inception4{x}" for x in "abcde"))),
    ("inception5", ("maxpool4", "inception5a", "inception5b")),
)
_INCEPTION_V3: tuple[Stage, ...] = (
    ("stem1", ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1")),
    ("stem2", ("Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2")),
    ("mixed5", tuple(f"Mixed_5{x}" for x in "bcd")),
    ("mixed6", tuple(f"Mixed_6{x}" for x in "abcde")),
    ("mixed7", tuple(f"Mixed_7{x}" for x in "abc")),
)
_INCEPTION_RESNET_V1: tuple[Stage, ...] = (
    ("stem1", ("conv2d_1a", "conv2d_2a", "conv2d_2b", "maxpool_3a")),
    ("stem2", ("conv2d_3b", "conv2d_4a", "conv2d_4b")),
    ("block35", ("repeat_1",)),
    ("block17", ("mixed_6a", "repeat_2")),
    ("block8", ("mixed_7a", "repeat_3", "block8")),
)
# The indices of `features` where the resolution falls. VGG with BatchNorm has one more layer for each convolution.
_VGG = {
    "vgg11": (3, 6, 11, 16, 21),
    "vgg13": (5, 10, 15, 20, 25),
    "vgg16": (5, 10, 17, 24, 31),
    "vgg19": (5, 10, 19, 28, 37),
    "vgg11_bn": (4, 8, 15, 22, 29),
    "vgg13_bn": (7, 14, 21, 28, 35),
    "vgg16_bn": (7, 14, 24, 34, 44),
    "vgg19_bn": (7, 14, 27, 40, 53),
}
_EFFICIENTNET = {0: (1280, 224), 1: (1280, 240), 2: (1408, 288), 3: (1536, 300)}  # width, input size
_EFFICIENTNET |= {4: (1792, 380), 5: (2048, 456), 6: (2304, 528), 7: (2560, 600)}
_NO_AUXILIARY = {"aux_logits": False, "init_weights": True}
_BOTTLENECK = ("resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d")
_BOTTLENECK += ("wide_resnet50_2", "wide_resnet101_2")

BACKBONES: dict[str, Backbone] = {
    "alexnet": Backbone(FromTorchvision("alexnet"), (*_numbered("features", 3, 6, 13), _fc(6)), 4096),
    **{
        name: Backbone(FromTorchvision(name), _DENSENET, width)
        for name, width in {"densenet121": 1024, "densenet161": 2208, "densenet169": 1664, "densenet201": 1920}.items()
    },
    **{
        f"efficientnet_b{i}": Backbone(
            FromTorchvision(f"efficientnet_b{i}"), _numbered("features", 2, 3, 4, 6, 9), width, size
        )
        for i, (width, size) in _EFFICIENTNET.items()
    },
    "googlenet": Backbone(FromTorchvision("googlenet", fresh=_NO_AUXILIARY), _GOOGLENET, 1024, mean=HALF, std=HALF),
    "inception_resnet_v1": Backbone(
        _inception_resnet_v1, _INCEPTION_RESNET_V1, 1792, 160, mean=HALF, std=(128.0, 128.0, 128.0)
    ),
    "inception_v3": Backbone(
        FromTorchvision("inception_v3", fresh=_NO_AUXILIARY), _INCEPTION_V3, 2048, 299, mean=HALF, std=HALF
    ),
    **{
        f"mnasnet{size}": Backbone(FromTorchvision(f"mnasnet{size}"), _numbered("layers", 8, 9, 10, 12, 17), 1280)
        for size in ("0_5", "0_75", "1_0", "1_3")
    },
    "mobilenet_v2": Backbone(FromTorchvision("mobilenet_v2"), _numbered("features", 2, 4, 7, 14, 19), 1280),
    "mobilenet_v3_large": Backbone(
        FromTorchvision("mobilenet_v3_large"), (*_numbered("features", 2, 4, 7, 13, 17), _fc(2)), 1280
    ),
    "mobilenet_v3_small": Backbone(
        FromTorchvision("mobilenet_v3_small"), (*_numbered("features", 1, 2, 4, 9, 13), _fc(2)), 1024
    ),
    "resnet18": Backbone(FromTorchvision("resnet18"), _RESNET, 512),
    "resnet34": Backbone(FromTorchvision("resnet34"), _RESNET, 512),
    "resnet50": Backbone(FromTorchvision("resnet50", "IMAGENET1K_V2"), _RESNET, 2048),
    **{name: Backbone(FromTorchvision(name), _RESNET, 2048) for name in _BOTTLENECK},
    **{
        f"shufflenet_v2_x{size}": Backbone(FromTorchvision(f"shufflenet_v2_x{size}"), _SHUFFLENET, width)
        for size, width in {"0_5": 1024, "1_0": 1024, "1_5": 1024, "2_0": 2048}.items()
    },
    "squeezenet1_0": Backbone(FromTorchvision("squeezenet1_0"), _numbered("features", 3, 7, 12, 13), 512),
    "squeezenet1_1": Backbone(FromTorchvision("squeezenet1_1"), _numbered("features", 3, 6, 9, 13), 512),
    **{
        name: Backbone(FromTorchvision(name), (*_numbered("features", *ends), _fc(6)), 4096, default_cut=3)
        for name, ends in _VGG.items()
    },
}


def find_backbone(name: str) -> Backbone:
    """The row called `name`; raises ConfigError that lists the names if there is none."""
    if name not in BACKBONES:
        raise ConfigError(f"no backbone '{name}'; known are {', '.join(BACKBONES)}")
    return BACKBONES[name]


def find_stages(name: str, kept: int | None = None) -> tuple[Stage, ...]:
    """The first `kept` stages of a backbone (None: all); raises ConfigError for a number that it does not have."""
    stages = find_backbone(name).stages
    if kept is not None and not 0 < kept <= len(stages):
        raise ConfigError(f"{name} has {len(stages)} stages; keep between 1 and {len(stages)} of them, not {kept}")
    return stages[:kept]


def build_stages(name: str, pretrained: bool, kept: int | None = None) -> nn.Sequential:
    """The backbone's first `kept` stages (None: all) in order; pretrained: the authors' weights instead of random ones.

    Raises ModelError if the weights are not in torch's cache and cannot be downloaded.
    """
    try:
        with redirect_stdout(sys.stderr):  # torch reports downloads on stdout, which is for a command's results
            whole = find_backbone(name).build(pretrained)
    except (URLError, HTTPException, OSError, RuntimeError) as error:  # RuntimeError: the file has another hash
        raise ModelError(
            f"the pre-trained weights of {name} cannot be downloaded ({error}); "
            f"connect once, put the file in torch's cache, or train with `init=random`"
        ) from error
    stages = ((stage, _assemble(whole, layers)) for stage, layers in find_stages(name, kept))
    return nn.Sequential(OrderedDict(stages))


def _assemble(whole: nn.Module, layers: Sequence[Layer]) -> nn.Sequential:
    return nn.Sequential(*(whole.get_submodule(layer) if isinstance(layer, str) else layer() for layer in layers))


def feature_width(name: str, stages: nn.Sequential, kept: int | None = None) -> int:
    """How many features the first `kept` stages (None: all) give at each place."""
    if kept in (None, len(find_backbone(name).stages)):
        return find_backbone(name).width
    with torch.no_grad():
        return stages.eval()(torch.zeros(1, 3, 96, 96)).shape[1]
