"""Photos of made-up people, and their enrollment."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import toy_model

from facerec import Recogniser
from facerec.faces.detector import AlignedDetector
from facerec.gallery.gallery import Gallery
from facerec.inference.openvino_runtime import OpenVINOEmbedder
from facerec.recognition.enroll import Enrollment, enroll


@pytest.fixture
def photo(tmp_path: Path):
    """photo(person, number): the file of a made-up person's photo."""

    def make(person: int, number: int) -> Path:
        return toy_model.save_crop(tmp_path / "photos" / f"{person}-{number}.png", person, number)

    return make


@pytest.fixture
def enrolled(gallery: Gallery, embedder: OpenVINOEmbedder):
    """enrolled({name: photos}, ...): what `enroll` says of each photo, in their order (known ones come first)."""

    def act(people: dict[str, list[Path]], detector: AlignedDetector | None = None, **rules) -> list[Enrollment]:
        found = {r.path: r for r in enroll(gallery, people, detector or AlignedDetector(), embedder, **rules)}
        return [found[path] for paths in people.values() for path in paths]

    return act


@pytest.fixture
def club(toy: Path, crops: Path, tmp_path: Path) -> Iterator[Recogniser]:
    """A gallery of the made-up people, opened as aligned crops."""
    with Recogniser(tmp_path / "club", create=True, model=toy, detector=AlignedDetector()) as opened:
        opened.enroll(crops / "people")
        yield opened
