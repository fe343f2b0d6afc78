"""Photos in memory: every form that is read, and what is refused in one line."""

import io
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import PIL.Image
import pytest

from facerec.errors import ConfigError, ImageError
from facerec.photos.memory import MemoryPhoto, PhotoInput, hash_photo, photo_of, photos_of, read_image

NOISE = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)


def encoded(kind: str, **options: str) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(NOISE).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "GIF"])
def test_threads_may_share_an_image_that_pillow_has_not_decoded_yet(kind: str) -> None:
    expected = read_image(encoded(kind))
    for _ in range(10):
        image, start = PIL.Image.open(io.BytesIO(encoded(kind))), Barrier(8)

        def read(_: int, image: PIL.Image.Image = image, start: Barrier = start) -> np.ndarray:
            start.wait()
            return read_image(image)

        with ThreadPoolExecutor(8) as threads:
            assert all(np.array_equal(found, expected) for found in threads.map(read, range(8)))


def test_threads_that_read_tiff_images_leave_stderr_as_it_was() -> None:
    content, before = encoded("TIFF", compression="tiff_lzw"), os.fstat(2)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: read_image(PIL.Image.open(io.BytesIO(content))), range(400)))
    assert os.path.samestat(os.fstat(2), before)


BUFFERS: dict[str, Callable[[bytes], object]] = {
    "bytearray": bytearray,
    "memoryview": memoryview,
    "every second byte": lambda data: memoryview(bytes(np.repeat(np.frombuffer(data, np.uint8), 2)))[::2],
}


@pytest.mark.parametrize("kind", BUFFERS)
def test_bytes_in_any_kind_of_buffer_are_the_same_photo(kind: str) -> None:
    data = encoded("PNG")
    given: PhotoInput = BUFFERS[kind](data)  # type: ignore[assignment]
    np.testing.assert_array_equal(read_image(given), NOISE)
    assert hash_photo(photo_of(given)) == hash_photo(photo_of(data))


def test_a_buffer_that_changes_later_is_still_the_photo_that_was_given() -> None:
    buffer = bytearray(encoded("PNG"))
    photo = photo_of(buffer)  # type: ignore[arg-type]
    buffer[:] = bytes(len(buffer))
    assert isinstance(photo, MemoryPhoto)
    np.testing.assert_array_equal(read_image(photo.content), NOISE)


class AsBytes:
    def __fspath__(self) -> bytes:
        return b"no such.jpg"


HUGE = np.lib.stride_tricks.as_strided(np.zeros((1, 1, 3), np.uint8), (20_000, 20_000, 3), (0, 0, 1))
REFUSED = {
    "huge array": (HUGE, "120 megapixels"),
    "image without pixels": (PIL.Image.new("RGB", (0, 5)), "no pixel"),
    "image of nothing": (PIL.Image.Image(), "no pixel"),
    "path of bytes": (AsBytes(), "no such.jpg: no such file"),
    "half a character": ("\ud800.jpg", "no file has such a name"),
    "no character": ("a\0b.jpg", "no file has such a name"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_a_photo_is_refused_in_one_line(name: str) -> None:
    photo, words = REFUSED[name]
    with pytest.raises(ImageError, match=words) as caught:
        read_image(photo)  # type: ignore[arg-type]
    assert len(str(caught.value).splitlines()) == 1


ONE = ["a.jpg", Path("a.jpg"), b"bytes", bytearray(b"bytes"), memoryview(b"bytes"), NOISE, PIL.Image.fromarray(NOISE)]


@pytest.mark.parametrize("given", ONE, ids=lambda given: type(given).__name__)
def test_one_photo_in_place_of_several_is_refused_at_once(given: Iterable[PhotoInput]) -> None:
    with pytest.raises(ConfigError, match="strangers: one photo where several are expected"):
        photos_of(given, argument="strangers")


@pytest.mark.parametrize("given", [None, 7])
def test_what_holds_no_photos_is_refused_at_once(given: Iterable[PhotoInput]) -> None:
    with pytest.raises(ConfigError, match="photos: a list of photos is expected"):
        photos_of(given)


def test_photos_are_taken_as_they_are_asked_for() -> None:
    asked = []
    photos = photos_of(asked.append(name) or name for name in ("a.jpg", "b.jpg"))  # type: ignore[func-returns-value]
    assert asked == []
    assert next(photos) == Path("a.jpg")
    assert asked == ["a.jpg"]
