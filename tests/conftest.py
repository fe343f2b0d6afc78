"""Fixtures for all tests, and the options --full and --install."""

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

# Small tensors gain nothing from threads, which wait for each other busily. Processes that tests start inherit this.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
OPTIONAL = {"full": "the whole of LFW", "install": "a fresh installation, some minutes"}  # marks that are also options


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add an option for each mark in OPTIONAL, which lets the tests with this mark run."""
    for mark, what in OPTIONAL.items():
        parser.addoption(f"--{mark}", action="store_true", help=f"also run the tests marked `{mark}`: {what}")
    parser.addoption("--screenshots", metavar="DIR", help="a folder for what the tests of the page see")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the tests with a mark in OPTIONAL, with a reason, unless its option is given."""
    for mark, what in OPTIONAL.items():
        if not config.getoption(f"--{mark}"):
            skip = pytest.mark.skip(reason=f"{what}: runs with --{mark}")
            for item in items:
                if item.get_closest_marker(mark):
                    item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep the output of frozen stages in a folder of the tests, also in processes that tests start."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("FACEREC_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def no_user_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Read no facerec.toml of whoever runs the tests, also in processes that tests start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder for this test alone."""
    monkeypatch.setenv("FACEREC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of research data beside the checkout. Tests that need it are marked `real`."""
    if not SHARED.is_dir():
        pytest.skip(f"no research data at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def samples() -> Path:
    """The sample gallery: people/NAME/*.jpg, held_back/*.jpg, strangers/*.jpg."""
    return ROOT / "gallery"


@pytest.fixture(scope="session")
def small_samples(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample gallery with smaller photos, so that detection is quick."""
    folder = tmp_path_factory.mktemp("samples")
    for path in samples.glob("**/*.jpg"):
        (folder / path.relative_to(samples)).parent.mkdir(parents=True, exist_ok=True)
        with PIL.Image.open(path) as image:
            image.thumbnail((320, 320))
            image.save(folder / path.relative_to(samples))
    return folder


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX model with predictable vectors; see toy_model.py."""
    return toy_model.write_model(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder: a small network with seeded random weights, which runs but has learned nothing."""
    import torch

    from facerec.inference.loading import load_embedder
    from facerec.models.checkpoint import describe, save_model
    from facerec.models.network import Network

    folder = tmp_path_factory.mktemp("tiny")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Network("squeezenet1_1", 32)
    save_model(network, folder, dataclasses.replace(describe(network, "tiny"), threshold=toy_model.THRESHOLD))
    load_embedder(str(folder))  # converts it, once for all tests and for their copies
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
    """A photo that can be enrolled."""
    return toy_model.save_crop(tmp_path / "good" / "good.png", 0, 0)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Use one thread, for toy networks; see toy_runs.py."""
    import toy_runs

    with toy_runs.one_thread():
        yield


@pytest.fixture
def random_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the authors' weights of squeezenet1_1, which need a download, by seeded random ones."""
    import torch
    from torchvision.models import get_model

    def seeded(url: str, **_: object) -> dict[str, torch.Tensor]:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            return get_model("squeezenet1_1", weights=None).state_dict()

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", seeded)


@pytest.fixture(scope="session")
def some_faces(tmp_path_factory: pytest.TempPathFactory) -> "Data":
    """12 people with 4 photos each. 8 people train: 4 batches an epoch. Do not change."""
    import toy_runs

    return toy_runs.make_people(tmp_path_factory.mktemp("people"), 12, 4)


@pytest.fixture(scope="session")
def some_classes(tmp_path_factory: pytest.TempPathFactory) -> "Data":
    """Three classes of 5 pictures each. 4 pictures of each train: 3 batches of 4 an epoch. Do not change."""
    import toy_runs

    return toy_runs.make_classes(tmp_path_factory.mktemp("classes") / "colours", 5, 5, 5)


@pytest.fixture(scope="session")
def whole_run(some_faces: "Data", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run of toy_runs.SMALL on some_faces. Do not change."""
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
    """Encrypt the galleries of toy_gallery.py from now on, in other processes too. Returns the passphrase."""
    monkeypatch.setenv("FACEREC_PASSPHRASE", "correct horse")
    return "correct horse"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the derivation of keys quick, for tests that derive hundreds."""
    from facerec.gallery import sqlcipher

    monkeypatch.setattr(sqlcipher, "ITERATIONS", 10)


@pytest.fixture(params=["plain", "encrypted"])
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of gallery: the test runs once with a plain and once with an encrypted one."""
    if request.param == "encrypted":
        request.getfixturevalue("encrypted")
    return request.param


@pytest.fixture
def old(tmp_path: Path) -> "ByHand":
    """The model of a gallery before its migration; see toy_migration.py."""
    from toy_migration import ByHand

    return ByHand(tmp_path / "models", "old", 4)


@pytest.fixture
def new(tmp_path: Path) -> "ByHand":
    """The model of the gallery after its migration. Its vectors are longer."""
    from toy_migration import ByHand

    return ByHand(tmp_path / "models", "new", 8)


@pytest.fixture
def folder(tmp_path: Path, old: "ByHand") -> Path:
    """A gallery of toy_migration.py's PEOPLE with the model `old`. Some test files define another `folder`."""
    from toy_migration import fill

    return fill(tmp_path / "gallery", tmp_path / "photos", old)


@pytest.fixture
def gallery(embedder: "OpenVINOEmbedder", tmp_path: Path) -> "Iterator[Gallery]":
    """An empty gallery of the toy model. Some test files define another `gallery`."""
    from facerec.recognition.identify import open_gallery

    with open_gallery(tmp_path / "gallery", embedder, create=True) as opened:
        yield opened
