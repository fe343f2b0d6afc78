"""facerec.models.export: the int8 file is the network to within what 8 bits allow, and a model of its own."""

import dataclasses
import logging
import re
import sys
from pathlib import Path

import numpy as np
import openvino
import pytest
import torch
from toy_model import THRESHOLD

from facerec.errors import ConfigError, ModelError
from facerec.extras import install
from facerec.inference.loading import load_embedder
from facerec.models.card import read_card
from facerec.models.checkpoint import describe, save_model
from facerec.models.export import distance_errors, export_int8
from facerec.models.network import Network


def smooth_pictures(count: int) -> np.ndarray:
    """(count, 112, 112, 3) uint8 with structure, as faces have."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, 4, 4, 3), np.uint8).repeat(28, axis=1).repeat(28, axis=2)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model/, a network with statistics of real activations, and int8.xml made of it."""
    folder = tmp_path_factory.mktemp("export")
    torch.manual_seed(0)
    network = Network("resnet18", 32, attributes=2)
    with torch.no_grad():
        for _ in range(5):
            network.train()(torch.from_numpy(smooth_pictures(32)).permute(0, 3, 1, 2))
    card = dataclasses.replace(
        describe(network.eval(), "mine", (), ("lamp", ["off", "on"])),
        threshold=THRESHOLD,
        results={"validation_auc": 0.9},
    )
    save_model(network, folder / "model", card)
    export_int8(network, read_card(folder / "model" / "model.json"), smooth_pictures(40), folder / "int8.xml")
    return folder


def test_distances_are_nearly_those_of_the_network(exported: Path) -> None:
    pictures = smooth_pictures(60)
    exact, fast = (load_embedder(str(exported / name)).embed(pictures) for name in ("model", "int8.xml"))
    assert fast.shape == exact.shape
    errors, pairs = distance_errors(exact, fast), np.triu_indices(60, 1)
    distances = 2 - 2 * (exact @ exact.T)[pairs]
    assert np.abs(errors).mean() > 0
    assert np.corrcoef(distances, distances + errors)[0, 1] > 0.97  # untrained, and the worse for it
    by_hand = ((fast[0] - fast[1]) ** 2).sum() - ((exact[0] - exact[1]) ** 2).sum()
    assert errors[0] == pytest.approx(by_hand, abs=1e-5)


def test_the_file_is_small_and_a_model_of_its_own(exported: Path) -> None:
    weights = exported / "model" / "weights.safetensors"
    assert (exported / "int8.bin").stat().st_size < 0.3 * weights.stat().st_size
    card, own = read_card(exported / "model" / "model.json"), load_embedder(str(exported / "int8.xml")).card
    assert (own.name, own.threshold, own.results) == ("mine-int8", {}, {})
    assert (card.attribute, own.attribute, own.attribute_values) == ("lamp", "", []), "of the first head alone"
    assert own.fingerprint not in ("", card.fingerprint)
    assert (own.embedding_dim, own.input_size, own.alignment) == (32, 112, "arcface")


def rounded(operation: openvino.Node) -> list[bool]:
    """For each input that is computed and not stored, whether it was rounded to 8 bits just before."""
    sources = [entry.get_source_output().get_node().get_type_name() for entry in operation.inputs()]
    return [source == "FakeQuantize" for source in sources if source not in ("Constant", "Convert")]


def test_sums_and_the_heads_convolution_stay_exact_and_other_convolutions_do_not(tmp_path: Path) -> None:
    network = Network("resnet18", 32, kept_stages=4, pooling="flat").eval()
    card = describe(network, "mine")
    export_int8(network, card, smooth_pictures(8), tmp_path / "int8.xml")
    operations = openvino.Core().read_model(tmp_path / "int8.xml").get_ordered_ops()
    sums = [each for each in map(rounded, (o for o in operations if o.get_type_name() == "Add")) if len(each) == 2]
    convolutions = [rounded(o)[0] for o in operations if o.get_type_name() == "Convolution"]
    assert len(sums) == 6  # two residual blocks in each of three stages
    assert not any(any(inputs) for inputs in sums)
    first, head = 1 + 4, 1  # stem and layer1, two blocks of two; the head's
    assert len(convolutions) == first + 2 * 5 + head
    assert convolutions == [False] * first + [True] * 10 + [False] * head


@pytest.mark.parametrize("name", ["int8.xml", "int8.bin"])
@pytest.mark.parametrize("kept", [0, 1000])
def test_a_cut_off_file_is_one_clear_line(name: str, kept: int, exported: Path, tmp_path: Path) -> None:
    for path in exported.glob("int8.*"):
        content = path.read_bytes()
        (tmp_path / path.name).write_bytes(content[:kept] if path.name == name else content)
    with pytest.raises(ModelError, match="int8"):
        load_embedder(str(tmp_path / "int8.xml"))


def test_a_missing_part_is_one_clear_line(exported: Path, tmp_path: Path) -> None:
    for name in ("int8.xml", "int8.json"):
        (tmp_path / name).write_bytes((exported / name).read_bytes())
    with pytest.raises(ModelError, match=r"int8.bin: cannot be read \(No such file"):
        load_embedder(str(tmp_path / "int8.xml"))


def test_another_weights_file_is_another_model(exported: Path, tmp_path: Path) -> None:
    for path in exported.glob("int8.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    changed = bytearray((tmp_path / "int8.bin").read_bytes())
    changed[len(changed) // 2] ^= 1
    (tmp_path / "int8.bin").write_bytes(bytes(changed))
    one, other = (load_embedder(str(folder / "int8.xml")).card.fingerprint for folder in (exported, tmp_path))
    assert one != other


def test_without_nncf_the_remedy_is_named(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    card = read_card(exported / "model" / "model.json")
    with pytest.raises(ConfigError, match=re.escape(install("export"))):
        export_int8(Network("resnet18", 32), card, smooth_pictures(4), tmp_path / "int8.xml")


def test_other_loggers_are_left_alone(exported: Path, caplog: pytest.LogCaptureFixture) -> None:
    """NNCF would give every later logger a class of its own, and silence all warnings with its own."""
    assert logging.getLoggerClass() is logging.Logger
    logging.getLogger("facerec.test_export").warning("still heard")
    assert [record.getMessage() for record in caplog.records] == ["still heard"]
