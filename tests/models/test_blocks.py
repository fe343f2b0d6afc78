"""Residual networks without some of their blocks: the network, its card, and the commands that use it."""

import copy
import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import toy_classes
import toy_model
from running import json_lines, run
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck
from toy_runs import Data, assert_same_run, classes, command, interrupt_at, small

from facerec.errors import ConfigError, FacerecError, ModelError, TrainingError
from facerec.inference.loading import load_embedder
from facerec.models.backbones import BACKBONES, build_stages
from facerec.models.blocks import block_names
from facerec.models.card import read_card
from facerec.models.checkpoint import describe, load_model, save_model
from facerec.models.network import Network
from facerec.models.places import SHIPPED_MODEL
from facerec.training.run_folder import settings_of

PIXELS = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
RESNETS = [name for name, row in BACKBONES.items() if "layer1" in dict(row.stages)]

pytestmark = pytest.mark.usefixtures("one_thread")


def new_network(backbone: str = "resnet18", **options: object) -> Network:
    """Random weights, and BatchNorm statistics and weights that differ from what a fresh one has."""
    torch.manual_seed(0)
    network = Network(backbone, 16, **options)  # type: ignore[arg-type]
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    network.train()(PIXELS)
    return network.eval()


def output(network: Network) -> torch.Tensor:
    with torch.inference_mode():
        return network(PIXELS)


def silenced(network: Network, names: tuple[str, ...]) -> Network:
    """The oracle: the blocks are there and do all their work, but what they add to the shortcut is times zero."""
    network = copy.deepcopy(network)
    blocks = [b for b in network.modules() if isinstance(b, BasicBlock | Bottleneck)]
    for name, block in zip(block_names(network.stages), blocks, strict=True):
        last = block.bn3 if isinstance(block, Bottleneck) else block.bn2
        if name in names:
            last.load_state_dict(last.state_dict() | {"weight": last.weight * 0, "bias": last.bias * 0})  # type: ignore[operator]
    return network


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of a resnet18 that embeds. Do not change."""
    folder = tmp_path_factory.mktemp("blocks") / "whole"
    network = new_network()
    save_model(network, folder, dataclasses.replace(describe(network, "whole"), threshold=toy_model.THRESHOLD))
    return folder


# ------------------------------------------------------------------------------------------------- the network


@pytest.mark.parametrize("names", [("layer1.1",), ("layer2.0",), ("layer1.0", "layer3.0", "layer4.1")], ids=" ".join)
@pytest.mark.parametrize("backbone", ["resnet18", "resnet50"])
def test_without_blocks_is_as_if_they_added_nothing(backbone: str, names: tuple[str, ...]) -> None:
    network = new_network(backbone)
    before, expected = output(network), output(silenced(network, names))
    network.drop_blocks(names)
    assert network.dropped_blocks == names
    torch.testing.assert_close(output(network), expected)
    assert not torch.allclose(output(network), before, atol=1e-3)


def test_every_block_may_go() -> None:
    network = new_network()
    names = tuple(block_names(network.stages))
    expected = output(silenced(network, names))
    network.drop_blocks(names)
    torch.testing.assert_close(output(network), expected)
    assert not any(isinstance(module, BasicBlock) for module in network.modules())


def test_one_by_one_in_any_order_and_twice_is_all_at_once() -> None:
    network, other = new_network(), new_network(dropped_blocks=["layer4.0", "layer1.1"])
    for name in ("layer4.0", "layer1.1", "layer4.0"):
        network.drop_blocks([name])
    assert network.dropped_blocks == other.dropped_blocks == ("layer1.1", "layer4.0")
    assert network.state_dict().keys() == other.state_dict().keys()


def test_the_weights_of_a_dropped_block_are_gone_and_those_of_its_shortcut_stay() -> None:
    network = new_network()
    before = network.state_dict()
    network.drop_blocks(["layer1.1", "layer2.0"])
    left = network.state_dict()
    gone = [name for name in before if name not in left]
    assert {name.split(".")[1] + name.split(".")[3] for name in gone} == {"layer11", "layer20"}
    assert not any("downsample" in name for name in gone)
    assert all(torch.equal(before[name], tensor) for name, tensor in left.items())
    assert any(name.startswith("stages.layer2.0.0.downsample") for name in left)


@pytest.mark.parametrize("backbone", sorted(BACKBONES))
def test_every_resnet_has_the_blocks_of_its_layers_and_nothing_else_has_any(backbone: str) -> None:
    with torch.device("meta"):
        stages = build_stages(backbone, False)
    names = block_names(stages)
    assert bool(names) == (backbone in RESNETS)
    if backbone in RESNETS:
        layers = dict(stages.named_children())
        assert names == [f"layer{i}.{n}" for i in (1, 2, 3, 4) for n in range(len(list(layers[f"layer{i}"][0])))]  # type: ignore[index]


@pytest.mark.parametrize(
    ("backbone", "kept", "name", "message"),
    [
        ("resnet18", None, "layer9.1", "no residual block 'layer9.1' in this resnet18; its blocks are layer1.0, layer"),
        ("resnet18", 2, "layer2.0", "its blocks are layer1.0, layer1.1$"),
        ("resnet18", None, "layer1", "no residual block 'layer1' "),
        ("squeezenet1_1", None, "layer1.1", "squeezenet1_1 has no residual blocks to drop; leave `drop_blocks` out"),
        ("resnet18", 1, "layer1.1", "has no residual blocks to drop"),
    ],
)
def test_a_name_that_is_no_block_is_one_line(backbone: str, kept: int | None, name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Network(backbone, 16, kept_stages=kept or 0, dropped_blocks=[name])
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------------- the model folder


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_dropping_when_it_is_read_is_as_saving_the_smaller_one(tmp_path: Path, dtype: torch.dtype) -> None:
    network = new_network()
    card = save_model(network, tmp_path / "whole", describe(network, "n"), dtype)
    dropped, read = load_model(tmp_path / "whole", ["layer3.1", "layer2.0"])
    saved = save_model(dropped, tmp_path / "smaller", describe(dropped, "n"), dtype)
    assert saved == read
    assert read.dropped_blocks == ["layer2.0", "layer3.1"]
    assert read.fingerprint != card.fingerprint
    again, its_card = load_model(tmp_path / "smaller")
    assert (its_card, again.dropped_blocks) == (saved, ("layer2.0", "layer3.1"))
    assert torch.equal(output(again), output(dropped))
    more, more_card = load_model(tmp_path / "smaller", ["layer1.0"])
    assert more_card.dropped_blocks == ["layer1.0", "layer2.0", "layer3.1"] == list(more.dropped_blocks)
    assert more_card.fingerprint == load_model(tmp_path / "whole", more.dropped_blocks)[1].fingerprint


def test_what_was_measured_with_the_whole_network_is_not_said_of_the_smaller(whole: Path) -> None:
    assert load_model(whole)[1].default_threshold is not None
    card = load_model(whole, ["layer1.1"])[1]
    assert (card.threshold, card.results, card.default_threshold) == ({}, {}, None)


def test_a_card_that_names_other_blocks_than_its_weights_lack_is_refused(whole: Path, tmp_path: Path) -> None:
    network, card = load_model(whole, ["layer1.1"])
    save_model(network, tmp_path, card)
    written = json.loads((tmp_path / "model.json").read_text("utf-8"))
    for names in ([], ["layer1.0"], ["layer1.1", "layer3.1"], [7], ["layer9.9"]):
        (tmp_path / "model.json").write_text(json.dumps(written | {"dropped_blocks": names}), "utf-8")
        with pytest.raises(ModelError, match=r"is not the file its model.json was written for"):
            load_model(tmp_path)
    (tmp_path / "model.json").write_text(json.dumps(written | {"dropped_blocks": "layer1.1"}), "utf-8")
    with pytest.raises(ModelError, match="dropped_blocks must be list"):
        load_model(tmp_path)


def test_a_whole_network_has_the_fingerprint_it_always_had() -> None:
    assert load_embedder().card.fingerprint == read_card(SHIPPED_MODEL / "model.json").fingerprint


# ------------------------------------------------------------------------------------------------- evaluate


def aligned_pairs(crops: Path, folder: Path) -> Path:
    names = [str(path.relative_to(crops)) for path in sorted((crops / "people").glob("*/*.png"))]
    lines = [f'"{a}","{b}",{int(Path(a).parent == Path(b).parent)}' for i, a in enumerate(names) for b in names[:i]]
    (folder / "pairs.csv").write_text("\n".join(["a,b,same", *lines]), "utf-8")
    return folder / "pairs.csv"


def shown(line: dict[str, object]) -> dict[str, object]:
    """What is measured, without the time it took."""
    return {key: value for key, value in line.items() if not key.endswith(("seconds", "second", "_p50", "_p99"))}


def test_verification_without_blocks_is_that_of_the_smaller_model(whole: Path, crops: Path, tmp_path: Path) -> None:
    network, card = load_model(whole, ["layer1.1", "layer3.0"])
    save_model(network, tmp_path / "smaller", card)
    words = ["evaluate", "verification", "--aligned", "--images", crops, "--pairs", aligned_pairs(crops, tmp_path)]
    given = run(*words, "--model", whole, "--drop-blocks", "layer3.0, layer1.1", "--json")
    assert given.exit_code == 0, given.stderr
    (line,), (expected,) = json_lines(given), json_lines(run(*words, "--model", tmp_path / "smaller", "--json"))
    assert shown(line) == shown(expected)
    assert line["dropped_blocks"] == ["layer1.1", "layer3.0"]
    (uncut,) = json_lines(run(*words, "--model", whole, "--json"))
    assert "dropped_blocks" not in uncut
    assert uncut["model_fingerprint"] != line["model_fingerprint"]
    table = run(*words, "--model", whole, "--drop-blocks", "layer1.1", "--report", tmp_path / "report")
    assert table.exit_code == 0, table.stderr
    assert "whole without layer1.1 (" in table.stdout


def test_identification_without_blocks_has_no_threshold(crops: Path) -> None:
    words = ["evaluate", "identification", "--aligned", "--gallery-images", crops / "people", "--probe-images"]
    words += [crops / "people", "--json", "--gallery-sizes", "2"]
    (line,) = json_lines(run(*words, "--drop-blocks", "layer1.1"))
    assert line["dropped_blocks"] == ["layer1.1"]
    assert line["gallery_threshold"] is None
    assert line["mated_searches"] == 6


def test_classification_without_blocks(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Network("resnet18", 2, mode="classify", input_size=56).eval()
    save_model(network, tmp_path / "model", describe(network, "two", ("a", "b")))
    for kind, name in enumerate("ab"):
        for number in range(3):
            toy_classes.save_picture(tmp_path / "pictures" / name / f"{number}.png", kind, number)
    words = ["evaluate", "classification", "--images", tmp_path / "pictures", "--model", tmp_path / "model", "--json"]
    result = run(*words, "--drop-blocks", "layer2.1")
    assert result.exit_code == 0, result.stderr
    (line,) = json_lines(result)
    assert (line["dropped_blocks"], line["images"]) == (["layer2.1"], 6)
    result = run(*words, "--drop-blocks", "stem.1")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "no residual block 'stem.1' in this resnet18; its blocks are layer1.0" in result.stderr


@pytest.mark.parametrize("model", ["toy", "int8", "tiny_model"])
def test_a_model_without_such_blocks_is_one_line(
    model: str, crops: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    given = model if model == "int8" else request.getfixturevalue(model)
    words = ["evaluate", "verification", "--aligned", "--images", crops, "--pairs", aligned_pairs(crops, tmp_path)]
    result = run(*words, "--model", given, "--drop-blocks", "layer1.1")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert ("has no residual blocks" if model == "tiny_model" else "blocks cannot be dropped") in result.stderr


# ------------------------------------------------------------------------------------------------- train


@pytest.mark.parametrize("strategy", ["full", "frozen"])
def test_a_model_trained_without_blocks_says_so_and_goes_on_without_them(
    some_faces: Data, tmp_path: Path, strategy: str
) -> None:
    settings = small(backbone="resnet18", strategy=strategy, drop_blocks="layer4.1,layer2.0", views=1)
    card = some_faces.train(tmp_path / "run", settings)
    assert card.dropped_blocks == ["layer2.0", "layer4.1"]
    network, _ = load_model(tmp_path / "run")
    assert network.dropped_blocks == ("layer2.0", "layer4.1")
    words = ["train", some_faces.folder, "--aligned", "--splits", some_faces.splits, "--people-per-batch", 4]
    words += ["--photos-per-person", 2, "--epochs", 1, "--train-size", 32, "--strategy", strategy]
    result = run(*words, "--init", tmp_path / "run", "--output", tmp_path / "on")
    assert result.exit_code == 0, result.stderr
    assert settings_of(tmp_path / "on").drop_blocks == "layer2.0,layer4.1"
    assert load_model(tmp_path / "on")[1].dropped_blocks == ["layer2.0", "layer4.1"]
    fewer = ("--init", tmp_path / "run", "--drop-blocks", "layer1.0,layer2.0,layer4.1", "--output", tmp_path / "fewer")
    assert run(*words, *fewer).exit_code == 0
    assert load_model(tmp_path / "fewer")[1].dropped_blocks == ["layer1.0", "layer2.0", "layer4.1"]


def test_a_run_says_first_what_it_goes_without_and_since_when(
    some_classes: Data, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def first_line(output: str, **changes: Any) -> str:
        caplog.clear()
        settings = classes(backbone="resnet18", input_size=48, epochs=1, **changes)
        with caplog.at_level("INFO", "facerec.training.train"):
            some_classes.train(tmp_path / output, settings, resume=(tmp_path / output).exists())
        return caplog.records[0].getMessage()

    begun = str(tmp_path / "run")
    assert first_line("run", drop_blocks="layer3.1") == "without the residual blocks layer3.1"
    more = {"drop_blocks": "layer1.1,layer3.1", "init": begun}
    said = f"without the residual blocks layer1.1, layer3.1; {begun}, which it starts from, is without layer3.1"
    assert first_line("next", **more) == said
    shutil.rmtree(begun)
    assert first_line("next", **more) == "without the residual blocks layer1.1, layer3.1"
    assert re.match(r"stem +[\d,]+ parameters", first_line("whole"))


def test_the_blocks_of_a_model_are_no_other_backbones(some_classes: Data, tmp_path: Path) -> None:
    """That is a matter of the backbone, and nobody asked for blocks to be dropped."""
    some_classes.train(tmp_path / "run", classes(backbone="resnet18", drop_blocks="layer4.1", input_size=48, epochs=1))
    words = [
        "train",
        some_classes.folder,
        "--mode",
        "classify",
        "--init",
        tmp_path / "run",
        "--output",
        tmp_path / "on",
    ]
    for other in (["--backbone", "squeezenet1_1"], ["--kept-stages", 4]):
        result = run(*words, "--batch-size", 4, *other)
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
        assert "give --backbone resnet18 and --kept-stages 0" in result.stderr


def test_a_run_without_blocks_resumes_to_the_same_numbers(some_classes: Data, tmp_path: Path) -> None:
    settings = classes(backbone="resnet18", drop_blocks="layer3.1", input_size=48)
    some_classes.train(tmp_path / "whole", settings)
    with pytest.raises(TrainingError, match="go on with `resume`"):
        some_classes.train(tmp_path / "halves", settings, watch=interrupt_at(1, 1))
    some_classes.train(tmp_path / "halves", settings, resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "halves")


def test_what_a_run_without_blocks_refuses(some_faces: Data, whole: Path, tmp_path: Path) -> None:
    network, card = load_model(whole, ["layer1.1"])
    save_model(network, tmp_path / "smaller", card)
    same = {"backbone": "resnet18", "embedding_dim": 16, "init": str(tmp_path / "smaller")}
    refused: list[tuple[dict[str, str], str]] = [
        ({"drop_blocks": "layer3.1"}, r"smaller: was trained without the block layer1.1; give `drop_blocks=layer1.1`$"),
        (
            {"drop_blocks": "layer1.1,layer8.0"},
            "no residual block 'layer8.0' in this resnet18; its blocks are layer1.0",
        ),
    ]
    for options, message in refused:
        with pytest.raises(FacerecError, match=message):
            some_faces.train(tmp_path / "run", small(**same, **options))
    words = command(some_faces, tmp_path / "run", small(drop_blocks="layer1.1"))[1:]
    result = run("train", *words)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "squeezenet1_1 has no residual blocks to drop" in result.stderr
    assert not (tmp_path / "run").exists()
