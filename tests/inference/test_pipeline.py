"""Photos through detector and embedder: in batches that are small at first, and errors of both reach the caller."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest
from PIL.Image import Resampling

from facerec.errors import ImageError
from facerec.faces.alignment import align
from facerec.faces.detector import AlignedDetector, make_detector
from facerec.inference.loading import load_embedder
from facerec.inference.pipeline import BATCH, embed_photos
from facerec.photos import reading
from facerec.photos.memory import MemoryPhoto
from facerec.photos.reading import HALVED, read_image
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


def test_faces_of_a_photo_that_is_looked_at_halved_are_in_its_own_pixels(tmp_path: Path) -> None:
    class Left(Centre):
        def detect(self, images: Sequence[Image]) -> list[list[Face]]:
            assert [image.shape for image in images] == [(8, HALVED // 2, 3)]
            face = AlignedDetector(SIZE).detect([images[0][:, :8]])[0][0]
            points = np.array([[0, 0], [7.5, 3], *[[1, 1]] * 3], np.float32)
            return [[replace(face, box=(1.0, 2.0, 8.0, 7.5), landmarks=points)]]

    PIL.Image.new("RGB", (HALVED, 16)).save(tmp_path / "a.jpg")
    (photo,) = embed_photos([tmp_path / "a.jpg"], Left(), Means())
    assert photo.faces[0].box == (2, 4, 16, 15)
    np.testing.assert_allclose(photo.faces[0].landmarks[:2], [[0.5, 0.5], [15.5, 6.5]])


@pytest.mark.real
def test_halving_a_very_large_photo_hardly_moves_the_vectors_of_its_smallest_faces(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have 100 pixels there; `HALVED` says what becomes of them, and of smaller ones."""
    detector, embedder = make_detector(SIZE), load_embedder("int8")
    monkeypatch.setattr(reading, "HALVED", 1)
    moved: dict[int, list[float]] = {100: [], 62: []}
    paths = sorted((shared_data / "lfw").rglob("*.jpg"))[::900]
    for (face, *_), image in zip(detector.detect(images := [*map(read_image, paths)]), images, strict=True):
        for side, distances in moved.items():
            scale = side / (face.box[2] - face.box[0])
            size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
            PIL.Image.fromarray(image).resize(size, Resampling.BICUBIC).save(tmp_path / "a.jpg", quality=90)
            points = (face.landmarks + 0.5) * np.float32(scale) - 0.5
            whole, half = (reading.read(tmp_path / "a.jpg", may_halve=halve) for halve in (False, True))
            crops = [
                align(found.image, (points + 0.5) * np.float32(1 / found.scale) - 0.5, SIZE) for found in (whole, half)
            ]
            one, other = embedder.embed(np.stack(crops))
            distances.append(float(np.square(one - other).sum()))
    assert np.median(moved[100]) < 0.02
    assert np.median(moved[62]) > 0.05
