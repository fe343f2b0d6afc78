"""Model folders without torch: the converted file, when it is made, and when it is not used."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from running import run
from toy_model import THRESHOLD

from facerec.errors import ConfigError, MissingExtraError, ModelError
from facerec.inference import export, loading
from facerec.inference.embedder import Embedder
from facerec.inference.export import compare, sample_crops
from facerec.inference.loading import load_embedder, model_card
from facerec.inference.openvino_runtime import OpenVINOEmbedder
from facerec.inference.torch_runtime import TorchEmbedder
from facerec.models.card import read_card, write_card
from facerec.models.checkpoint import describe, save_model
from facerec.models.cohort import load_cohort, save_cohort
from facerec.models.network import Network
from facerec.models.places import SHIPPED_MODEL, model_path
from facerec.models.weights import stored_fingerprint
from facerec.photos.crops import aligned_crop
from facerec.photos.reading import read_image
from facerec.vectors import unit_rows

CROPS = sample_crops(112)[:8]


def save(folder: Path, seed: int, dtype: torch.dtype = torch.float32) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Network("squeezenet1_1", 8, kept_stages=2)
    save_model(network, folder, dataclasses.replace(describe(network, "mine"), threshold=THRESHOLD), dtype)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder that has been converted. Do not change."""
    folder = save(tmp_path_factory.mktemp("converted") / "model", 0)
    assert not list(folder.glob("fp32.*"))
    load_embedder(str(folder))
    assert sorted(path.name for path in folder.glob("fp32.*")) == ["fp32.bin", "fp32.json", "fp32.xml"]
    return folder


@pytest.fixture
def copied(model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model, tmp_path / "model"))


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "is_installed", lambda library: False)
    monkeypatch.setattr(loading, "TorchEmbedder", None)


def agree(embedder: Embedder, folder: Path) -> bool:
    return compare(TorchEmbedder(folder).embed(CROPS), embedder.embed(CROPS), 1e-5).holds


@pytest.mark.usefixtures("without_torch")
def test_a_converted_folder_is_the_model_itself(model: Path) -> None:
    embedder = load_embedder(str(model))
    assert isinstance(embedder, OpenVINOEmbedder)
    assert (embedder.card, embedder.path) == (read_card(model / "model.json"), model)
    assert agree(embedder, model)


def test_a_float16_folder_has_a_file_of_half_the_size_that_is_as_exact(tmp_path: Path, model: Path) -> None:
    half = save(tmp_path / "half", 0, torch.float16)
    assert agree(load_embedder(str(half)), half)
    assert (half / "fp32.bin").stat().st_size < 0.6 * (model / "fp32.bin").stat().st_size


def test_other_weights_take_the_converted_file_away(copied: Path) -> None:
    kept = (copied / "fp32.bin").read_bytes()
    save(copied, 0)
    assert (copied / "fp32.bin").read_bytes() == kept, "the same weights"
    save(copied, 1)
    assert not list(copied.glob("fp32.*"))


@pytest.mark.parametrize("name", ["model.json", "weights.safetensors"])
def test_weights_that_are_not_the_card_s_are_refused_though_the_file_is_whole(
    name: str, copied: Path, tmp_path: Path
) -> None:
    shutil.copy(save(tmp_path / "other", 1) / name, copied)
    with pytest.raises(ModelError, match=r"weights.safetensors is not the file its model.json was written for"):
        load_embedder(str(copied))


def exchange(folder: Path) -> None:
    """Another model, moved into the folder by hand; the converted file stays."""
    save(folder.parent / "other", 1)
    for name in ("model.json", "weights.safetensors"):
        shutil.copy(folder.parent / "other" / name, folder)


def flip_a_bit(folder: Path) -> None:
    content = bytearray((folder / "fp32.bin").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "fp32.bin").write_bytes(content)


def lose_a_part(folder: Path) -> None:
    (folder / "fp32.bin").unlink()


def lose_the_card(folder: Path) -> None:
    (folder / "fp32.json").unlink()


FAULTS = {
    exchange: "has no converted file of these weights",
    lose_the_card: "has no converted file of these weights",
    flip_a_bit: "fp32.xml: is not the file its card was written for",
    lose_a_part: "fp32.bin: cannot be read",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_file_that_does_not_fit_is_made_anew(fault, copied: Path) -> None:
    fault(copied)
    embedder = load_embedder(str(copied))
    assert isinstance(embedder, OpenVINOEmbedder)
    assert agree(embedder, copied)
    assert embedder.card.fingerprint == read_card(copied / "model.json").fingerprint


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.usefixtures("without_torch")
def test_without_torch_one_line_says_what_to_install(fault, copied: Path, good: Path) -> None:
    fault(copied)
    with pytest.raises(MissingExtraError, match="so it needs torch: pip install -e"):
        load_embedder(str(copied))
    result = run("verify", good, good, "--aligned", "--model", copied)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert FAULTS[fault] in result.stderr
    assert "[train]'" in result.stderr


def test_where_it_cannot_be_written_or_made_torch_runs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save(tmp_path / "model", 0)
    monkeypatch.setattr(loading, "may_write", lambda path: False)
    assert isinstance(load_embedder(str(folder)), TorchEmbedder)
    monkeypatch.undo()
    monkeypatch.setitem(export.TOLERANCE, "fp32", -1.0)
    assert isinstance(load_embedder(str(folder)), TorchEmbedder)
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "weights.safetensors"]


def test_bfloat16_and_a_gpu_that_is_in_use_stay_with_torch(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(load_embedder(str(model), bf16=True), TorchEmbedder)
    monkeypatch.setattr(loading, "has_gpu", lambda: True)
    assert isinstance(load_embedder(str(model)), TorchEmbedder)


def test_the_shipped_model_is_converted() -> None:
    card = read_card(SHIPPED_MODEL / "model.json")
    embedder = load_embedder()
    assert isinstance(embedder, OpenVINOEmbedder)
    assert (embedder.card, embedder.path) == (card, SHIPPED_MODEL)
    parity = compare(TorchEmbedder(SHIPPED_MODEL).embed(CROPS), embedder.embed(CROPS), 1e-4)
    assert parity.largest <= 1e-5
    assert np.isfinite(parity.mean)


def other_card(folder: Path, **facts: object) -> Path:
    """A card of the folder's network that sees one view of each face."""
    card = dataclasses.replace(read_card(folder / "model.json"), name="one", mirrored=False, **facts)  # type: ignore[arg-type]
    write_card(dataclasses.replace(card, fingerprint=stored_fingerprint(folder, card)), folder / "one.json")
    return folder / "one.json"


def test_another_card_in_a_folder_is_a_model_of_its_own(copied: Path) -> None:
    path = other_card(copied)
    one, two = load_embedder(str(path)), load_embedder(str(copied))
    assert (one.card, one.path, model_card(str(path))) == (read_card(path), path, one.card)
    assert one.card.fingerprint != two.card.fingerprint
    assert isinstance(one, OpenVINOEmbedder)
    views = [one.embed(crops) for crops in (CROPS, np.ascontiguousarray(CROPS[:, :, ::-1]))]
    np.testing.assert_allclose(two.embed(CROPS), unit_rows(views[0] + views[1]), atol=1e-5)
    assert np.abs(views[0] - views[1]).max() > 1e-3
    save_cohort(path, one.card, views[0], "made up")
    np.testing.assert_allclose(load_cohort(path, one.card), views[0], atol=1e-3)
    assert len(load_cohort(copied, two.card)) == 0


def test_a_card_of_other_weights_is_refused(copied: Path, tmp_path: Path) -> None:
    path = other_card(copied)
    for name in ("model.json", "weights.safetensors"):
        shutil.copy(save(tmp_path / "other", 1) / name, copied)
    with pytest.raises(ModelError, match=r"weights.safetensors is not the file its model.json was written for"):
        load_embedder(str(path))
    with pytest.raises(ModelError, match=r"a model file already; give a model folder"):
        export.export_model(str(path), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"a model file, whose blocks cannot be dropped"):
        load_embedder(str(path), drop_blocks=["a"])
    for stray in (shutil.copy(path, tmp_path / "notes.json"), copied / "model.json"):
        with pytest.raises(ModelError, match="not a model; give a model folder"):
            model_path(str(stray))


def test_one_view_of_the_shipped_model() -> None:
    one, two = load_embedder("one-view"), load_embedder()
    assert one.card.name == "facerec-resnet50-one-view"
    assert one.card.fingerprint == stored_fingerprint(SHIPPED_MODEL, one.card) != two.card.fingerprint
    assert (one.card.mirrored, two.card.mirrored) == (False, True)
    assert one.card.default_threshold is not None
    assert one.card.probability
    assert load_cohort(one.path, one.card).shape == load_cohort(two.path, two.card).shape


@pytest.mark.real
def test_the_shipped_file_gives_torch_s_distances_on_real_faces(shared_data: Path) -> None:
    people = sorted((shared_data / "faces").iterdir())[::20][:48]
    crops = np.stack([aligned_crop(read_image(sorted(person.iterdir())[0]), 112) for person in people])
    parity = compare(TorchEmbedder(SHIPPED_MODEL).embed(crops), load_embedder().embed(crops), 1e-4)
    assert (parity.crops, parity.holds) == (48, True)


def test_the_shipped_file_was_checked_on_2000_crops() -> None:
    stated = read_card(SHIPPED_MODEL / "fp32.json").results["parity"]
    assert stated["fingerprint"] == read_card(SHIPPED_MODEL / "model.json").fingerprint
    assert stated["crops"] >= 2000
    assert stated["largest"] <= stated["tolerance"] == 1e-4
