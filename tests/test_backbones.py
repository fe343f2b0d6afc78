"""Every row of the table against torchvision itself, and the network built on it."""

import functools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from facerec.errors import ConfigError, ModelError
from facerec.models.backbones import BACKBONES, build_stages, find_backbone
from facerec.models.network import Network

# How much smaller the features are than the photo; SqueezeNet never reaches 32.
STRIDE = {"mobilenet_v2": 32, "resnet18": 32, "resnet50": 32, "squeezenet1_1": 16}
CLASSIFIER = {"fc", "classifier", "avgpool"}

every_backbone = pytest.mark.parametrize("name", sorted(BACKBONES))


@functools.cache
def whole(name: str) -> nn.Module:
    """torchvision's network, classifier and all."""
    return torchvision.models.get_model(BACKBONES[name].builder, weights=None).eval()


@functools.cache
def network_of(name: str) -> Network:
    """Ours, in eval mode."""
    return Network(name, 24).eval()


def is_feature(path: str) -> bool:
    return path.split(".")[0] not in CLASSIFIER


def pixels(count: int, size: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, 3, size, size), np.uint8))


@every_backbone
def test_the_stages_are_torchvisions_network_without_its_classifier(name: str) -> None:
    paths = [path for _, modules in BACKBONES[name].stages for path in modules]
    assert len(paths) == len(set(paths))
    theirs = {path: tuple(p.shape) for path, p in whole(name).named_parameters() if is_feature(path)}
    assert [p for p in theirs if any(p.startswith(f"{path}.") for path in paths)] == list(theirs)
    stages = network_of(name).stages
    assert [tuple(p.shape) for p in stages.parameters()] == list(theirs.values())
    assert [stage for stage, _ in stages.named_children()] == [stage for stage, _ in BACKBONES[name].stages]


@every_backbone
def test_the_stages_compute_what_torchvision_computes(name: str) -> None:
    """With the same weights, what torchvision's classifier is given: the features, or their mean over the image."""
    stages = network_of(name).stages
    theirs = [t for path, t in whole(name).state_dict().items() if is_feature(path)]
    for mine, other in zip(stages.state_dict().values(), theirs, strict=True):
        mine.copy_(other)
    given: list[torch.Tensor] = []
    classifier = list(whole(name).children())[-1]
    classifier.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    x = pixels(2, 96).float() / 255
    with torch.inference_mode():
        whole(name)(x)
        features = stages(x)
    torch.testing.assert_close(features if given[0].ndim == 4 else features.mean((2, 3)), given[0])


@every_backbone
@pytest.mark.parametrize("size", [112, 224])
def test_width_and_size_of_the_features_are_as_the_table_says(name: str, size: int) -> None:
    with torch.inference_mode():
        features = network_of(name).stages(torch.zeros(1, 3, size, size))
    side = size // STRIDE[name] - 1 if name == "squeezenet1_1" else math.ceil(size / STRIDE[name])
    assert features.shape == (1, BACKBONES[name].width, side, side)


@every_backbone
def test_a_stage_ends_where_the_resolution_falls(name: str) -> None:
    """So that each stage but squeezenet's last works at its own resolution, finer ones first."""
    x, sides = torch.zeros(1, 3, 224, 224), []
    for stage in network_of(name).stages:
        with torch.inference_mode():
            x = stage(x)
        sides.append(x.shape[-1])
    assert sides == sorted(sides, reverse=True)
    assert len(set(sides)) >= len(sides) - 1


@every_backbone
def test_embeddings_are_unit_float32_and_uint8_and_float_pixels_agree(name: str) -> None:
    network, x = network_of(name), pixels(3, 64)
    with torch.inference_mode():
        from_bytes, from_floats = network(x), network(x.float())
    assert from_bytes.dtype == torch.float32
    assert from_bytes.shape == (3, 24)
    torch.testing.assert_close(from_bytes.norm(dim=1), torch.ones(3))
    assert torch.equal(from_bytes, from_floats)
    assert (from_bytes[0] - from_bytes[1]).abs().max() > 0, "different pixels, different vectors"


def test_a_vector_does_not_depend_on_its_batch() -> None:
    network = Network("squeezenet1_1", 16).eval()
    x = pixels(4, 112)
    with torch.inference_mode():
        torch.testing.assert_close(network(x)[2:3], network(x[2:3]), atol=1e-5, rtol=0)


def test_under_autocast_embeddings_are_still_unit_float32() -> None:
    network = Network("squeezenet1_1", 16).eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        vectors = network(pixels(2, 64))
    assert vectors.dtype == torch.float32
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))


def test_preprocessing_travels_with_the_weights() -> None:
    """mean and std are ImageNet's, stored, and used: pixels equal to the mean are zeros to the first layer."""
    network = Network("squeezenet1_1", 16).eval()
    assert {"mean", "std"} <= set(network.state_dict())
    seen: list[torch.Tensor] = []
    network.stages.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    colours = torch.tensor([0.485, 0.456, 0.406]) * 255 + torch.tensor([0.229, 0.224, 0.225]) * 255
    network(colours.view(1, 3, 1, 1).expand(1, 3, 64, 64))
    torch.testing.assert_close(seen[0], torch.ones(1, 3, 64, 64))


def test_grey_pixels_are_refused() -> None:
    with pytest.raises(AssertionError, match="expected"):
        Network("squeezenet1_1", 16)(torch.zeros(2, 1, 64, 64))


def test_an_unknown_backbone_is_refused_with_the_names() -> None:
    with pytest.raises(ConfigError, match=r"no backbone 'vgg'; known are mobilenet_v2, resnet18, resnet50"):
        find_backbone("vgg")


def test_missing_imagenet_weights_are_one_clear_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without network and cache: the address of the weights leads nowhere."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for proxy in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:1")
    with pytest.raises(ModelError, match=r"ImageNet weights of squeezenet1_1 .* --init random") as caught:
        build_stages("squeezenet1_1", pretrained=True)
    assert "\n" not in str(caught.value)
