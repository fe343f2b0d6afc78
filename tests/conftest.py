"""Fixtures every test may use, and --full."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import PIL.Image
import pytest
import toy_model

if TYPE_CHECKING:  # slow to import
    from toy_migration import ByHand
    from toy_runs import Data

    from facerec.gallery.gallery import Gallery
    from facerec.inference.openvino_runtime import OpenVINOEmbedder

# Small tensors gain nothing from threads, which wait for each other busily; of the tests' own processes, too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --full, which lets the tests marked `full` run."""
    parser.addoption("--full", action="store_true", help="also run what the default run samples: the whole of LFW")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the tests marked `full`, saying so, unless --full is given."""
    if config.getoption("--full"):
        return
    skip = pytest.mark.skip(reason="the whole of LFW: runs with --full")
    for item in items:
        if item.get_closest_marker("full"):
            item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What frozen stages make of photos is kept in a folder of the tests, by other processes too."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("FACEREC_CACHE", str(folder))
        yield folder


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's stores lie, and nobody else's."""
    monkeypatch.setenv("FACEREC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real faces beside the checkout; tests that need it are marked `real`."""
    if not SHARED.is_dir():
        pytest.skip(f"no research data at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def samples() -> Path:
    """The sample gallery: people/NAME/*.jpg, held_back/*.jpg, strangers/*.jpg."""
    return ROOT / "gallery"


@pytest.fixture(scope="session")
def small_samples(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample gallery with its photos scaled down, so that detection takes a moment only."""
    folder = tmp_path_factory.mktemp("samples")
    for path in samples.glob("**/*.jpg"):
        (folder / path.relative_to(samples)).parent.mkdir(parents=True, exist_ok=True)
        with PIL.Image.open(path) as image:
            image.thumbnail((320, 320))
            image.save(folder / path.relative_to(samples))
    return folder


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX model whose vectors one can predict; see toy_model.py."""
    return toy_model.write_model(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder: a small network of seeded random weights, good for nothing but running."""
    import torch

    from facerec.models.checkpoint import describe, save_model
    from facerec.models.network import Network

    folder = tmp_path_factory.mktemp("tiny")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Network("squeezenet1_1", 32)
    save_model(network, folder, dataclasses.replace(describe(network, "tiny"), threshold=toy_model.THRESHOLD))
    return folder


@pytest.fixture(scope="session")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Aligned photos of made-up people: people/NAME/*.png, ann.png (not among them) and stranger.png. Do not change."""
    folder = tmp_path_factory.mktemp("crops")
    for person, name in enumerate(toy_model.NAMES):
        for photo in range(2):
            toy_model.save_crop(folder / "people" / name / f"{photo}.png", person, photo)
    toy_model.save_crop(folder / "ann.png", 0, 2)
    toy_model.save_crop(folder / "stranger.png", 9, 0)
    return folder


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A good photo."""
    return toy_model.save_crop(tmp_path / "good" / "good.png", 0, 0)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """For toy networks; see toy_runs.py."""
    import toy_runs

    with toy_runs.one_thread():
        yield


@pytest.fixture
def random_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """No authors' weights offline: squeezenet1_1's are seeded random ones. All else is the real thing."""
    import torch
    from torchvision.models import get_model

    def seeded(url: str, **_: object) -> dict[str, torch.Tensor]:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            return get_model("squeezenet1_1", weights=None).state_dict()

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", seeded)


@pytest.fixture(scope="session")
def some_faces(tmp_path_factory: pytest.TempPathFactory) -> "Data":
    """12 people with 4 photos each, 8 of them to train on: 4 batches an epoch. Do not change."""
    import toy_runs

    return toy_runs.make_people(tmp_path_factory.mktemp("people"), 12, 4)


@pytest.fixture(scope="session")
def some_classes(tmp_path_factory: pytest.TempPathFactory) -> "Data":
    """Three classes of 5 pictures each, 4 of them to train on: 3 batches of 4 an epoch. Do not change."""
    import toy_runs

    return toy_runs.make_classes(tmp_path_factory.mktemp("classes") / "colours", 5, 5, 5)


@pytest.fixture(scope="session")
def whole_run(some_faces: "Data", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What toy_runs.SMALL leaves of some_faces when nothing interrupts it. Do not change."""
    import toy_runs

    output = tmp_path_factory.mktemp("whole") / "run"
    with toy_runs.one_thread():
        some_faces.train(output, toy_runs.SMALL)
    return output


@pytest.fixture(scope="module")
def embedder(toy: Path) -> "OpenVINOEmbedder":
    """The toy model, ready to embed."""
    from facerec.inference.openvino_runtime import OpenVINOEmbedder

    return OpenVINOEmbedder(toy)


@pytest.fixture
def encrypted(monkeypatch: pytest.MonkeyPatch) -> str:
    """The galleries of toy_gallery.py are encrypted from now on, in other processes too; their passphrase."""
    monkeypatch.setenv("FACEREC_PASSPHRASE", "correct horse")
    return "correct horse"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that are derived in a moment, for those who derive hundreds."""
    from facerec.gallery import sqlcipher

    monkeypatch.setattr(sqlcipher, "ITERATIONS", 10)


@pytest.fixture(params=["plain", "encrypted"])
def kind(request: pytest.FixtureRequest) -> str:
    """Of galleries, one after the other: what holds for a plain one holds for an encrypted one."""
    if request.param == "encrypted":
        request.getfixturevalue("encrypted")
    return request.param


@pytest.fixture
def old(tmp_path: Path) -> "ByHand":
    """The model of a gallery that is migrated; see toy_migration.py."""
    from toy_migration import ByHand

    return ByHand(tmp_path / "models", "old", 4)


@pytest.fixture
def new(tmp_path: Path) -> "ByHand":
    """The model it is migrated to, of more numbers."""
    from toy_migration import ByHand

    return ByHand(tmp_path / "models", "new", 8)


@pytest.fixture
def folder(tmp_path: Path, old: "ByHand") -> Path:
    """A gallery of toy_migration.py's PEOPLE, of the old model; files with folders of their own kind have a fixture of
    this name, too."""
    from toy_migration import fill

    return fill(tmp_path / "gallery", tmp_path / "photos", old)


@pytest.fixture
def gallery(embedder: "OpenVINOEmbedder", tmp_path: Path) -> "Iterator[Gallery]":
    """An empty gallery of the toy model; files with galleries of their own kind have a fixture of this name, too."""
    from facerec.recognition.identify import open_gallery

    with open_gallery(tmp_path / "gallery", embedder, create=True) as opened:
        yield opened
