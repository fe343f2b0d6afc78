"""Every row of the table against the network its authors wrote, and what is built on it."""

import warnings
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import facenet_pytorch
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from facerec.errors import ConfigError, ModelError
from facerec.models.backbones import (
    BACKBONES,
    HALF,
    IMAGENET_MEAN,
    IMAGENET_STD,
    FromTorchvision,
    build_stages,
    find_backbone,
)
from facerec.models.network import MODES, Network
from facerec.training.schedule import use_bf16

SMALL = 96  # pixels; Inception v3 needs 75
BF16 = use_bf16("auto", torch.device("cpu"))
TORCHVISION = sorted(set(BACKBONES) - {"inception_resnet_v1"})
NORMALISE_INSIDE = ("googlenet", "inception_v3")
LAST = {  # what a family's network ends with, as its authors call it, and no stage holds
    "alexnet": ("classifier.6",),
    "densenet": ("classifier",),
    "efficientnet": ("classifier.1",),
    "googlenet": ("fc", "aux1", "aux2"),
    "inception_resnet": ("last_linear", "last_bn"),
    "inception_v3": ("fc", "AuxLogits"),
    "mnasnet": ("classifier.1",),
    "mobilenet_v2": ("classifier.1",),
    "mobilenet_v3": ("classifier.3",),
    "resnet": ("fc",),
    "resnext": ("fc",),
    "shufflenet": ("fc",),
    "squeezenet": ("classifier.1",),
    "vgg": ("classifier.6",),
    "wide_resnet": ("fc",),
}

every_backbone = pytest.mark.parametrize("name", sorted(BACKBONES))


@dataclass(frozen=True)
class Both:
    """A row's network and the whole one of its authors, on the same weights; what no stage holds has zeros."""

    name: str
    ours: Network
    whole: nn.Module
    paths: dict[str, str]  # our name of a tensor -> theirs


def left_out(name: str) -> tuple[str, ...]:
    return next(layers for family, layers in LAST.items() if name.startswith(family))


def authors_network(name: str) -> nn.Module:
    """Without weights (on torch's `meta` device, where nothing is computed), with the auxiliary heads."""
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of how GoogLeNet and Inception used to be initialised
        if name == "inception_resnet_v1":
            return facenet_pytorch.InceptionResnetV1()
        return torchvision.models.get_model(name, **({"transform_input": True} if name in NORMALISE_INSIDE else {}))


def without_weights(name: str, **options: int) -> Network:
    with torch.device("meta"):
        return Network(name, 24, **options).eval()  # type: ignore[arg-type]


def authors_paths(name: str, stages: nn.Sequential) -> dict[str, str]:
    """stem.0.weight -> conv1.weight, by the row."""
    layers = {f"{stage}.{i}": layer for stage, layers in BACKBONES[name].stages for i, layer in enumerate(layers)}
    paths = {}
    for key in stages.state_dict():
        stage, number, rest = key.split(".", 2)
        paths[key] = f"{layers[f'{stage}.{number}']}.{rest}"
    return paths


@pytest.fixture(scope="module", params=sorted(BACKBONES))
def both(request: pytest.FixtureRequest) -> Both:
    """One row at a time: all of them together would not fit into memory."""
    torch.manual_seed(0)
    ours, whole = Network(request.param, 24), authors_network(request.param)
    paths = authors_paths(request.param, ours.stages)
    state, weights = whole.state_dict(), ours.stages.state_dict()
    state.update({key: torch.zeros(t.shape, dtype=t.dtype) for key, t in state.items()})
    state.update({theirs: weights[key] for key, theirs in paths.items()})
    whole.load_state_dict(state, assign=True)
    return Both(request.param, ours, whole, paths)


def pixels(count: int, size: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, 3, size, size), np.uint8))


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


# ---------------------------------------------------------------------------------------- the whole table


def test_the_table_has_all_47_rows() -> None:
    assert len(BACKBONES) == 47


@every_backbone
def test_the_stages_leave_nothing_out_and_hold_nothing_twice(name: str) -> None:
    stages, whole = without_weights(name).stages, authors_network(name)
    ours, theirs = stages.state_dict(), whole.state_dict()
    paths = authors_paths(name, stages)
    assert len(set(paths.values())) == len(paths)
    assert all(ours[key].shape == theirs[path].shape for key, path in paths.items())
    ends = tuple(f"{layer}." for layer in left_out(name))
    assert [path for path in theirs if path not in paths.values()] == [p for p in theirs if p.startswith(ends)]
    ended = sum(count(whole.get_submodule(layer)) for layer in left_out(name))
    assert count(stages) + ended == count(whole)
    assert [stage for stage, _ in stages.named_children()] == [stage for stage, _ in BACKBONES[name].stages]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("alexnet", 61_100_840),
        ("vgg19_bn", 143_678_248),
        ("resnet50", 25_557_032),
        ("efficientnet_b7", 66_347_960),
        ("mobilenet_v3_small", 2_542_856),
        ("squeezenet1_1", 1_235_496),
    ],
)
def test_parameters_and_the_last_layer_are_as_many_as_torchvision_publishes(name: str, parameters: int) -> None:
    last = authors_network(name).get_submodule(left_out(name)[0])
    assert count(without_weights(name).stages) + count(last) == parameters


@pytest.mark.parametrize("name", TORCHVISION)
def test_size_and_normalisation_are_those_of_the_weights_the_row_uses(name: str) -> None:
    row = BACKBONES[name]
    assert isinstance(row.build, FromTorchvision)
    preset = row.build.published.transforms()
    assert [row.input_size] == preset.crop_size
    theirs = tuple(torch.tensor(preset.mean) * 255), tuple(torch.tensor(preset.std) * 255)
    assert theirs[0] == pytest.approx(IMAGENET_MEAN)
    assert theirs[1] == pytest.approx(IMAGENET_STD)
    # the two networks that normalise once more, from ImageNet's values to -1..1: here that is one step
    assert (row.mean, row.std) == ((HALF, HALF) if name in NORMALISE_INSIDE else (IMAGENET_MEAN, IMAGENET_STD))


@every_backbone
def test_a_stage_begins_where_the_resolution_falls(name: str) -> None:
    """The last layer of a stage or the first of the next one makes the features smaller."""
    row = BACKBONES[name]
    x, sides = torch.zeros(1, 3, row.input_size, row.input_size, device="meta"), []
    for stage in without_weights(name).stages.children():
        inside = [x.shape[-1]]
        for layer in stage.children():
            x = layer(x)
            inside.append(x.shape[-1] if x.ndim == 4 else 0)
        sides.append(inside)  # before the first layer, after it, ..., after the last
    for before, after in pairwise(sides):
        assert before[-1] == after[0] or after[-1] == 0
        assert after[1] < before[-2] or after[-1] == 0
    assert x.shape[1] == row.width


# ---------------------------------------------------------------------------------------- row by row, with weights


def test_pixels_come_to_the_same_features_as_in_the_authors_network(both: Both) -> None:
    """What their last linear layer is given, by their preprocessing (some of it inside GoogLeNet and Inception v3)."""
    given: list[torch.Tensor] = []
    layer = both.whole.get_submodule(left_out(both.name)[0])
    layer.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    x = pixels(2, SMALL)
    with torch.inference_mode():
        ours = both.ours.eval().prefix(x, len(both.ours.stages))
        if both.name == "inception_resnet_v1":
            both.whole.eval()(facenet_pytorch.fixed_image_standardization(x.float()))
        else:
            mean, std = (torch.tensor(t).view(3, 1, 1) for t in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
            both.whole.eval()((x / 255 - mean) / std)
    theirs = given[0].mean((2, 3)) if given[0].ndim == 4 else given[0]
    assert ours.shape == (2, BACKBONES[both.name].width)
    scale = theirs.abs().max()
    assert (theirs[0] - theirs[1]).abs().max() > 1e-3 * scale, "two pictures, two rows"
    torch.testing.assert_close(ours / scale, theirs / scale, atol=1e-4, rtol=1e-3)


def test_both_modes_run_forward_and_backward_at_the_size_of_the_row(both: Both) -> None:
    """Both heads on one pass through the stages, which are the same in both modes.

    Each head's gradient for the features is looked at by itself; then their sum goes back to the first layer.
    The metric head is in eval mode: of two pictures its BatchNorm would make 1 and -1, whatever they are.
    """
    network, row = both.ours.train(), BACKBONES[both.name]
    network.head.eval()
    classifier = with_classes(network, 10)
    with torch.autocast("cpu", torch.bfloat16, enabled=BF16):
        features = network.prefix(pixels(2, row.input_size), len(network.stages))
        vectors, logits = network.output(features), classifier.output(features)
    assert features.shape == (2, row.width)
    assert (vectors.shape, vectors.dtype) == ((2, 24), torch.float32)
    assert (logits.shape, logits.dtype) == ((2, 10), torch.float32)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))
    assert torch.isfinite(logits).all()
    losses = (vectors @ torch.linspace(0, 1, 24)).sum(), F.cross_entropy(logits, torch.tensor([3, 7]))
    parts = [torch.autograd.grad(loss, features, retain_graph=True)[0] for loss in losses]
    assert all(torch.isfinite(part).all() and part.abs().max() > 0 for part in parts)
    features.backward(parts[0] + parts[1])
    gradients = [p.grad for p in network.stages.parameters()]
    assert all(grad is not None and torch.isfinite(grad).all() for grad in gradients)
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in network.stages[0].parameters() if p.ndim > 1)
    network.zero_grad()


def with_classes(network: Network, classes: int) -> Network:
    """A network of mode classify on the same stages."""
    with torch.device("meta"):
        other = Network(network.backbone, classes, mode="classify")
    other.stages = network.stages
    other.head.to_empty(device="cpu")
    torch.nn.init.normal_(other.head[0].weight, std=0.1)  # type: ignore[arg-type]
    torch.nn.init.zeros_(other.head[0].bias)  # type: ignore[arg-type]
    return other


# ---------------------------------------------------------------------------------------- cuts and heads

SMALL_ROWS = ("resnet18", "squeezenet1_1", "mobilenet_v3_small", "shufflenet_v2_x0_5", "efficientnet_b0", "googlenet")
every_cut = pytest.mark.parametrize(
    ("name", "kept"), [(name, i + 1) for name in SMALL_ROWS for i in range(len(BACKBONES[name].stages))]
)


@every_cut
def test_a_cut_network_has_the_first_stages_and_the_width_they_give(name: str, kept: int) -> None:
    network = Network(name, 5, kept_stages=kept).eval()
    assert [stage for stage, _ in network.named_stages()] == [stage for stage, _ in BACKBONES[name].stages][:kept]
    with torch.inference_mode():
        features = network.prefix(pixels(2, 64), kept)
        assert features.shape == (2, network.width)
        raw = network.stages((pixels(2, 64) - network.mean) / network.std)
        torch.testing.assert_close(features, raw.mean((2, 3)) if raw.ndim == 4 else raw, atol=1e-4, rtol=1e-3)
        assert network(pixels(2, 64)).shape == (2, 5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_head_has_as_many_linear_layers_as_asked_the_inner_ones_with_batch_norm_and_relu(
    mode: str, layers: int
) -> None:
    network = Network("resnet18", 7, mode=mode, head_layers=layers)
    inner = ["Linear", "BatchNorm1d", "ReLU"] * (layers - 1)
    last = ["Linear", "BatchNorm1d"] if mode == "metric" else ["Linear"]
    assert [type(layer).__name__ for layer in network.head] == inner + last
    linear = [(m.in_features, m.out_features) for m in network.head if isinstance(m, nn.Linear)]
    assert linear == list(pairwise([512, *[512] * (layers - 1), 7]))
    network(pixels(3, 64)).sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_prefix_and_suffix_are_the_network_in_two_parts(count: int) -> None:
    network = Network("resnet18", 7).eval()
    with torch.inference_mode():
        split = network.output(network.suffix(network.prefix(pixels(2, 64), count), count))
        torch.testing.assert_close(split, network(pixels(2, 64)))


def test_the_size_of_the_pixels_is_the_rows_to_classify_and_112_for_faces() -> None:
    assert without_weights("efficientnet_b3").input_size == 112
    with torch.device("meta"):
        assert Network("efficientnet_b3", 4, mode="classify").input_size == 300
        assert Network("efficientnet_b3", 4, mode="classify", input_size=64).input_size == 64


@pytest.mark.parametrize("kept", [-1, 6, 99])
def test_a_cut_that_there_is_not_is_refused(kept: int) -> None:
    with pytest.raises(ConfigError, match=rf"resnet18 has 5 stages; keep between 1 and 5 of them, not {kept}"):
        Network("resnet18", 5, kept_stages=kept)


def test_flat_pooling_lets_every_place_of_every_map_into_the_head() -> None:
    """Against the layers one by one; without it two places that change over make no difference."""
    flat = Network("resnet18", 7, kept_stages=4, pooling="flat").eval()
    assert flat.width == 256 * 7 * 7
    with torch.inference_mode():
        maps = flat.stages(flat.prefix(pixels(2, 112), 0))  # (2, 256, 7, 7)
        features = flat.prefix(pixels(2, 112), 4)
        torch.testing.assert_close(features, maps.reshape(2, -1))
        convolution, norm = flat.head[1], flat.head[2]
        mixed = torch.einsum("oc,nchw->nohw", convolution.get_parameter("weight")[:, :, 0, 0], maps)
        by_hand = flat.head[5](flat.head[4](norm(mixed).reshape(2, -1)))
        torch.testing.assert_close(flat(pixels(2, 112)), F.normalize(by_hand, dim=1), atol=1e-5, rtol=0)
        turned = flat.output(maps.flip(3).reshape(2, -1))
        assert (turned - flat.output(features)).abs().max() > 0.01
        mean = Network("resnet18", 7, kept_stages=4).eval()
        assert mean.width == 256


@pytest.mark.parametrize(
    ("backbone", "options", "message"),
    [
        ("resnet18", {"pooling": "max"}, "no pooling 'max'; known are mean, flat"),
        ("alexnet", {"pooling": "flat"}, "alexnet ends in fully connected layers"),
        ("densenet121", {"pooling": "flat", "input_size": 8}, "8 pixels are too few for densenet121"),
    ],
)
def test_a_pooling_that_there_is_not_is_refused(backbone: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Network(backbone, 5, **options)


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ConfigError, match="no mode 'rank'; known are metric, classify"):
        Network("resnet18", 5, mode="rank")


# ---------------------------------------------------------------------------------------- the network's conventions


@pytest.mark.parametrize("name", ["squeezenet1_1", "resnet18", "mobilenet_v3_small"])
def test_embeddings_are_unit_float32_and_uint8_and_float_pixels_agree(name: str) -> None:
    network = Network(name, 24).eval()
    with torch.inference_mode():
        from_bytes, from_floats = network(pixels(2, 64)), network(pixels(2, 64).float())
    assert (from_bytes.shape, from_bytes.dtype) == ((2, 24), torch.float32)
    torch.testing.assert_close(from_bytes.norm(dim=1), torch.ones(2))
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
    """mean and std are ImageNet's, stored, and used: one deviation above the mean is 1 to the first layer."""
    network = Network("squeezenet1_1", 16).eval()
    assert {"mean", "std"} <= set(network.state_dict())
    seen: list[torch.Tensor] = []
    network.stages[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    colours = torch.tensor([0.485, 0.456, 0.406]) * 255 + torch.tensor([0.229, 0.224, 0.225]) * 255
    network(colours.view(1, 3, 1, 1).expand(1, 3, 64, 64))
    torch.testing.assert_close(seen[0], torch.ones(1, 3, 64, 64))


def test_grey_pixels_are_refused() -> None:
    with pytest.raises(AssertionError, match="expected"):
        Network("squeezenet1_1", 16)(torch.zeros(2, 1, 64, 64))


def test_an_unknown_backbone_is_refused_with_the_names() -> None:
    with pytest.raises(ConfigError, match=r"no backbone 'vgg'; known are alexnet, densenet121, densenet161"):
        find_backbone("vgg")


@pytest.mark.parametrize("name", ["squeezenet1_1", "inception_v3", "inception_resnet_v1"])
def test_missing_weights_are_one_clear_line(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without network and cache: the address of the weights leads nowhere."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for proxy in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:1")
    with pytest.raises(ModelError, match=rf"pre-trained weights of {name} .* `init=random`") as caught:
        build_stages(name, pretrained=True)
    assert "\n" not in str(caught.value)


def test_what_is_downloaded_is_not_told_on_stdout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for proxy in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:1")
    with pytest.raises(ModelError, match="squeezenet1_1 cannot be downloaded"):
        build_stages("squeezenet1_1", pretrained=True)
    told = capsys.readouterr()
    assert (told.out, "Downloading" in told.err) == ("", True), "stdout holds JSON and nothing else"
