"""Photos through detector and embedder: in batches that are small at first, and errors of both reach the caller."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from facerec.errors import ImageError
from facerec.faces.detector import AlignedDetector
from facerec.inference.pipeline import BATCH, embed_photos
from facerec.photos.memory import MemoryPhoto
from facerec.types import Face, Image

SIZE = 112


class Centre:
    """A detector: the face is the whole photo. A photo that begins with 7 is refused; one with 9 breaks it."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def detect(self, images: Sequence[Image]) -> list[list[Face]]:
        self.batches.append(len(images))
        first = [int(image[0, 0, 0]) for image in images]
        if 7 in first:
            raise ImageError("refused")
        if 9 in first:
            raise ZeroDivisionError
        return [AlignedDetector(SIZE).detect([image])[0] for image in images]


class Means:
    """An embedder: a vector says what the crop's first pixel is. `fails` on that number of crops."""

    card: Any = SimpleNamespace(input_size=SIZE)
    path = Path("toy")

    def __init__(self, fails: int = -1) -> None:
        self.fails, self.batches = fails, list[int]()

    def embed(self, crops: np.ndarray) -> np.ndarray:
        self.batches.append(len(crops))
        if len(crops) == self.fails:
            raise ZeroDivisionError
        return crops[:, 0, 0, :1].astype(np.float32)


def photos(values: Sequence[int]) -> Iterator[MemoryPhoto]:
    for number, value in enumerate(values):
        yield MemoryPhoto(Path(f"photo {number}"), np.full((SIZE, SIZE, 3), value, np.uint8))


@pytest.fixture(autouse=True)
def nobody_is_left() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("facerec-")]


def test_the_first_answer_waits_for_one_photo() -> None:
    detector, embedder = Centre(), Means()
    found = list(embed_photos(photos([1] * 50), detector, embedder))
    assert [float(photo.vectors[0, 0]) for photo in found] == [1.0] * 50
    assert [photo.path for photo in found] == [photo.path for photo in photos([1] * 50)]
    assert detector.batches == embedder.batches == [1, 4, BATCH, BATCH, 13]


def test_aligned_crops_are_judged_by_a_whole_batch() -> None:
    embedder = Means()
    list(embed_photos(photos([1] * 20), AlignedDetector(SIZE), embedder))
    assert embedder.batches == [BATCH, 4]


def test_a_photo_that_the_detector_refuses_fails_alone() -> None:
    found = list(embed_photos(photos([1, 2, 7, 3]), Centre(), Means()))
    assert [photo.vectors.ravel().tolist() for photo in found] == [[1], [2], [], [3]]
    assert str(found[2].error) == "photo 2: refused"


def test_an_error_of_the_detector_or_the_embedder_reaches_the_caller_after_what_was_found() -> None:
    for detector, embedder, values in ((Centre(), Means(), [1] * 6 + [9] * 20), (Centre(), Means(BATCH), [1] * 40)):
        found = embed_photos(photos(values), detector, embedder)
        assert [next(found).error for _ in range(5)] == [None] * 5
        with pytest.raises(ZeroDivisionError):
            next(found)
        assert next(found, None) is None


def test_leaving_early_ends_the_work() -> None:
    detector = Centre()
    for _ in embed_photos(photos([1] * 1000), detector, Means()):
        break
    assert sum(detector.batches) <= 1 + 4 + BATCH
