"""The model folder, card and weights: what comes back, and what is said of broken ones."""

import dataclasses
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from facerec.errors import ModelError
from facerec.models.backbones import BACKBONES
from facerec.models.card import ModelCard, read_card, write_card
from facerec.models.checkpoint import (
    CARD,
    WEIGHTS,
    describe,
    load_model,
    network_of,
    save_model,
)
from facerec.models.network import MODES, Network
from facerec.models.places import SHIPPED_MODEL

ROOT = Path(__file__).resolve().parents[2]
THRESHOLD = {"distance": 1.08, "fmr": 0.001, "source": "made up"}
PIXELS = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def new_network(seed: int = 0) -> Network:
    """A network whose every tensor differs from what a fresh one has, BatchNorm statistics included."""
    torch.manual_seed(seed)
    network = Network("squeezenet1_1", 16)
    network.train()(PIXELS)
    return network.eval()


def save(folder: Path, network: Network | None = None, dtype: torch.dtype = torch.float32, **facts: Any) -> ModelCard:
    network = network or new_network()
    return save_model(network, folder, dataclasses.replace(describe(network, "made up"), **facts), dtype)


def embed(network: Network) -> torch.Tensor:
    with torch.inference_mode():
        return network(PIXELS)


# ------------------------------------------------------------------------------------------------- the model folder


def test_a_model_comes_back_as_it_was(tmp_path: Path) -> None:
    network = new_network()
    saved = save(tmp_path / "deep" / "model", network, threshold=THRESHOLD, training={"epoch": 3}, licence="MIT")
    loaded, card = load_model(tmp_path / "deep" / "model")
    assert card == saved
    assert card.training == {"epoch": 3}
    assert card.default_threshold is not None
    assert card.default_threshold.distance == 1.08
    assert not loaded.training
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    assert torch.equal(embed(loaded), embed(network))


def test_half_precision_is_the_reference_from_then_on(tmp_path: Path) -> None:
    network = new_network()
    card = save(tmp_path / "half", network, torch.float16)
    stored = load_file(tmp_path / "half" / WEIGHTS)
    assert {t.dtype for t in stored.values()} == {torch.float16, torch.int64}
    loaded, loaded_card = load_model(tmp_path / "half")
    assert {t.dtype for t in loaded.state_dict().values()} == {torch.float32, torch.int64}
    assert (embed(loaded) - embed(network)).square().sum(1).max() < 1e-4
    assert loaded_card.fingerprint == card.fingerprint
    again = save(tmp_path / "again", loaded, torch.float16)
    assert again.fingerprint == card.fingerprint
    assert torch.equal(embed(load_model(tmp_path / "again")[0]), embed(loaded))


def test_nothing_but_the_two_files_is_left(tmp_path: Path) -> None:
    save(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([CARD, WEIGHTS])


def test_a_model_saved_over_another_replaces_it(tmp_path: Path) -> None:
    save(tmp_path, new_network(0))
    card = save(tmp_path, new_network(1))
    assert load_model(tmp_path)[1].fingerprint == card.fingerprint


def test_what_a_killed_save_left_harms_nobody(tmp_path: Path) -> None:
    card = save(tmp_path)
    for name in (WEIGHTS, CARD):
        (tmp_path / f"{name}.draft").write_bytes(b"half of a")
    assert load_model(tmp_path)[1] == card
    save(tmp_path, new_network(1))
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([CARD, WEIGHTS])


def test_weights_that_cannot_be_written_are_one_line_and_the_old_ones_stay(tmp_path: Path) -> None:
    card = save(tmp_path)
    (tmp_path / f"{WEIGHTS}.draft").mkdir()
    with pytest.raises(ModelError, match=rf"{WEIGHTS}: cannot be written .* make its folder writable") as caught:
        save(tmp_path, new_network(1))
    assert "\n" not in str(caught.value)
    assert load_model(tmp_path)[1] == card


# ------------------------------------------------------------------------------------------------- modes, cuts, heads

CUTS = [(name, kept) for name in ("squeezenet1_1", "mobilenet_v2") for kept in range(len(BACKBONES[name].stages))]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("layers", "pooling"), [(1, "mean"), (3, "flat")])
@pytest.mark.parametrize(("backbone", "kept"), CUTS)
def test_every_mode_cut_head_and_pooling_comes_back_as_it_was(
    backbone: str, kept: int, layers: int, pooling: str, mode: str, tmp_path: Path
) -> None:
    options = {"kept_stages": kept, "head_layers": layers, "pooling": pooling}
    network = Network(backbone, 3, mode=mode, input_size=64, **options)
    network.train()(PIXELS)
    names = ("ant", "bee", "Çelik 王") if mode == "classify" else ()
    saved = save_model(network, tmp_path, describe(network, "made up", names))
    loaded, card = load_model(tmp_path)
    assert card == saved
    assert (card.mode, card.input_size) == (mode, 64)
    assert {name: getattr(card, name) for name in options} == options
    assert (card.classes, card.alignment) == (list(names), "none" if names else "arcface")
    assert torch.equal(embed(loaded), embed(network.eval()))


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_the_card_of_every_row_describes_the_network_it_was_made_of(name: str, tmp_path: Path) -> None:
    """On torch's `meta` device, where networks have shapes and no weights."""
    with torch.device("meta"):
        network = Network(name, 3, mode="classify", kept_stages=2, head_layers=2)
    write_card(describe(network, "made up", "abc"), tmp_path / CARD)
    with torch.device("meta"):
        again = network_of(read_card(tmp_path / CARD))
    shapes, expected = ({key: t.shape for key, t in n.state_dict().items()} for n in (again, network))
    assert shapes == expected
    assert again.input_size == network.input_size == BACKBONES[name].input_size


OLD = ("name", "embedding_dim", "input_size", "mean", "std", "alignment", "backbone", "licence", "source")
OLD += ("threshold", "training", "results", "fingerprint", "format")  # of a card before there were classes


def test_a_card_from_before_there_were_modes_loads_with_its_fingerprint(tmp_path: Path) -> None:
    network = new_network()
    saved = save(tmp_path, network, training={"epoch": 3}, mirrored=False)  # nor did it say how a crop is read
    values = json.loads((tmp_path / CARD).read_text("utf-8"))
    (tmp_path / CARD).write_text(json.dumps({key: values[key] for key in OLD}), "utf-8")
    loaded, card = load_model(tmp_path)
    assert card == saved
    assert torch.equal(embed(loaded), embed(network))


def test_the_shipped_model_is_the_one_it_was() -> None:
    network, card = load_model(SHIPPED_MODEL)
    assert card.fingerprint == "c422691ed529f9a9"
    assert (network.mode, network.kept_stages, network.pooling, network.dim) == ("metric", 4, "flat", 128)


def test_other_class_names_are_another_fingerprint(tmp_path: Path) -> None:
    network = Network("squeezenet1_1", 3, mode="classify")
    orders = (("a", "b", "c"), ("b", "a", "c"), ("a", "b", "d"))
    cards = [save_model(network, tmp_path, describe(network, "x", names)) for names in orders]
    assert len({card.fingerprint for card in cards}) == 3


# ------------------------------------------------------------------------------------------------- the fingerprint


def test_the_fingerprint_is_the_same_in_another_process(tmp_path: Path) -> None:
    card = save(tmp_path / "model")
    code = (
        "import sys, pathlib; from facerec.models.checkpoint import load_model, save_model;"
        "network, card = load_model(pathlib.Path(sys.argv[1]));"
        "print(save_model(network, pathlib.Path(sys.argv[2]), card).fingerprint)"
    )
    env = {**os.environ, "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-c", code, str(tmp_path / "model"), str(tmp_path / "copy")]
    output = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout
    assert output.split() == [card.fingerprint]
    assert (tmp_path / "copy" / WEIGHTS).read_bytes() == (tmp_path / "model" / WEIGHTS).read_bytes()


def test_name_and_results_are_not_part_of_the_fingerprint(tmp_path: Path) -> None:
    network = new_network()
    assert save(tmp_path / "a", network).fingerprint == save(tmp_path / "b", network, name="b", licence="x").fingerprint


@pytest.mark.parametrize(
    "facts",
    [{"mean": (0.0, 0.0, 0.0)}, {"std": (1.0, 1.0, 1.0)}, {"input_size": 128}, {"alignment": "other"}],
    ids=lambda facts: next(iter(facts)),
)
def test_other_preprocessing_is_another_fingerprint(facts: dict[str, Any], tmp_path: Path) -> None:
    network = new_network()
    assert save(tmp_path / "a", network, **facts).fingerprint != save(tmp_path / "b", network).fingerprint


def test_any_changed_tensor_is_another_fingerprint(tmp_path: Path) -> None:
    network = new_network()
    prints = {save(tmp_path / "m", network).fingerprint, save(tmp_path / "m", network, torch.float16).fingerprint}
    state = network.state_dict()
    names = ["stages.stage0.0.bias", "head.0.weight", "head.1.running_mean", "head.1.num_batches_tracked", "mean"]
    for name in names:
        state[name].view(-1)[0] += 1
        prints.add(save(tmp_path / "m", network).fingerprint)
    assert len(prints) == 2 + len(names)


# ------------------------------------------------------------------------------------------------- broken folders


def card_with(**changes: Any) -> Callable[[Path], object]:
    """Change fields of the card; None takes the field away."""

    def change(folder: Path) -> None:
        values = json.loads((folder / CARD).read_text("utf-8")) | changes
        (folder / CARD).write_text(json.dumps({k: v for k, v in values.items() if v is not None}), "utf-8")

    return change


def card_text(text: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / CARD).write_bytes(text)


def cut_weights(size: int) -> Callable[[Path], object]:
    return lambda folder: os.truncate(folder / WEIGHTS, size)


def other_weights(folder: Path) -> None:
    save(folder.parent / "other", new_network(1))
    (folder.parent / "other" / WEIGHTS).rename(folder / WEIGHTS)


def forged(**changes: Any) -> Callable[[Path], object]:
    """A folder whose card and fingerprint agree, but for a network that this is not."""
    return lambda folder: save(folder, None, **changes)


def without_a_tensor(folder: Path) -> None:
    """Weights that lack a tensor, with the fingerprint of what is there."""
    from facerec.models.checkpoint import _fingerprint

    tensors = load_file(folder / WEIGHTS)
    del tensors["head.0.weight"]
    save_file(tensors, folder / WEIGHTS)
    card = read_card(folder / CARD)
    write_card(dataclasses.replace(card, fingerprint=_fingerprint(card, tensors)), folder / CARD)


def a_folder(name: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return change


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no card": (lambda folder: (folder / CARD).unlink(), "no such file; a model needs its card"),
    "card a folder": (a_folder(CARD), "cannot be read"),
    "empty card": (card_text(b""), "not a model card"),
    "bad JSON": (card_text(b'{"name": "x",'), "bad JSON"),
    "not UTF-8": (card_text(b"\xff\xfe{}"), "not a model card"),
    "a list": (card_text(b"[1, 2]"), "it must state"),
    "missing field": (card_with(mean=None), "it must state"),
    "unknown field": (card_with(colour="red"), "unknown fields colour"),
    "newer format": (card_with(format=2), "format 2 is not known; upgrade facerec"),
    "other alignment": (card_with(alignment="eyes"), "alignment 'eyes' is not known"),
    "name a number": (card_with(name=5), "name must be str"),
    "licence a list": (card_with(licence=["MIT"]), "licence must be str"),
    "training a word": (card_with(training="long"), "training must be dict"),
    "threshold a number": (card_with(threshold=1.08), "threshold must be dict"),
    "distance a word": (card_with(threshold={"distance": "near"}), "from 0 to 4"),
    "distance too large": (card_with(threshold={"distance": 7}), "from 0 to 4"),
    "distance not a number": (card_with(threshold={"distance": float("nan")}), "from 0 to 4"),
    "dimension a word": (card_with(embedding_dim="16"), "must be positive"),
    "dimension half": (card_with(embedding_dim=16.5), "must be positive"),
    "dimension zero": (card_with(embedding_dim=0), "must be positive"),
    "input size negative": (card_with(input_size=-112), "must be positive"),
    "mean too short": (card_with(mean=[1, 2]), "three numbers"),
    "std words": (card_with(std=["a", "b", "c"]), "three numbers"),
    "std infinite": (card_with(std=[math.inf, 1, 1]), "three numbers"),
    "mean beyond all floats": (card_with(mean=[10**400, 0, 0]), "three numbers"),
    "nested without end": (card_text(b"[" * 100_000), "not a model card"),
    "std zero": (card_with(std=[0, 1, 1]), "must be positive"),
    "another fingerprint": (card_with(fingerprint="0" * 16), "not the file its model.json was written for"),
    "no fingerprint": (card_with(fingerprint=None), "not the file its model.json was written for"),
    "another dimension": (card_with(embedding_dim=32), "not the file its model.json was written for"),
    "another backbone": (card_with(backbone="resnet18"), "not the file its model.json was written for"),
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), "no such file; the model folder is incomplete"),
    "weights a folder": (a_folder(WEIGHTS), "broken or unreadable"),
    "weights empty": (cut_weights(0), "broken or unreadable"),
    "weights cut in the header": (cut_weights(100), "broken or unreadable"),
    "weights cut": (cut_weights(1_000_000), "broken or unreadable"),
    "weights of another model": (other_weights, "not the file its model.json was written for"),
    "backbone not known": (forged(backbone="vit_b_16"), "no backbone 'vit_b_16'"),
    "backbone that does not fit": (forged(backbone="resnet18"), "do not fit a resnet18"),
    "dimension that does not fit": (forged(embedding_dim=32), "do not fit a squeezenet1_1"),
    "mode not known": (card_with(mode="rank"), "mode 'rank' is not known; known are metric, classify"),
    "classes a word": (card_with(classes="abc"), "classes must be list"),
    "heads a word": (card_with(head_layers="two"), "must be positive"),
    "cut a word": (card_with(kept_stages="two"), "kept_stages must be int"),
    "alignment of the other mode": (card_with(alignment="none"), "alignment 'none' is not known"),
    "classes not named": (card_with(mode="classify", alignment="none"), "must name 16 different classes"),
    "a class twice": (card_with(mode="classify", alignment="none", classes=["a"] * 16), "must name 16 different"),
    "cut that there is not": (forged(kept_stages=9), "do not fit a squeezenet1_1"),
    "cut negative": (forged(kept_stages=-1), "do not fit a squeezenet1_1"),
    "cut that does not fit": (forged(kept_stages=2), "do not fit a squeezenet1_1"),
    "head that does not fit": (forged(head_layers=2), "do not fit a squeezenet1_1"),
    "head without layers": (forged(head_layers=0), "must be positive"),
    "a tensor missing": (without_a_tensor, "do not fit a squeezenet1_1"),
}


@pytest.mark.parametrize(("change", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_model_folder_is_one_line_that_names_it(
    change: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    save(folder)
    change(folder)
    with pytest.raises(ModelError) as caught:
        load_model(folder)
    assert message in str(caught.value)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_none_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file; a model needs its card"):
        load_model(tmp_path / "nowhere")


def test_a_card_without_a_threshold_has_no_default(tmp_path: Path) -> None:
    save(tmp_path)
    assert read_card(tmp_path / CARD).default_threshold is None
