"""Photos that a program holds in memory, and one way to read and hash any photo: a file's, or one of these.

photo_of("party.jpg")        # a path: read when it is needed
photo_of(data, "upload 3")   # bytes of an image file, a PIL image, or an (H, W, 3) uint8 RGB array
"""

import hashlib
import io
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from facerec.errors import ConfigError, ImageError
from facerec.photos import reading
from facerec.photos.folders import photo_hash
from facerec.photos.reading import Reading
from facerec.text import how_many, printable
from facerec.types import Image, Photo

PhotoInput = str | os.PathLike[str] | bytes | PIL.Image.Image | Image
"""What counts as a photo: a path, the bytes of an image file, a PIL image, or an (H, W, 3) uint8 RGB array."""
_EXPECTED = "a path, the bytes of an image file, a PIL image, or an (H, W, 3) uint8 RGB array"
_IN_MEMORY = "memory: "
_ONE = str | os.PathLike | bytes | bytearray | memoryview | PIL.Image.Image


@dataclass(frozen=True, eq=False, slots=True)
class MemoryPhoto:
    """A photo in memory.

    path: no file, but what results and messages call the photo. content: bytes, a PIL image or an array; whatever else
    is here, and an array of another form or size, is refused when the photo is read.
    """

    path: Path
    content: Any


class EmbeddedPhoto(ABC):
    """A photo whose faces were found and embedded before. Nobody reads it again, and it need not be there any more.

    path: where it is, or was.
    """

    path: Path

    @abstractmethod
    def embedded(self) -> Photo:
        """Its faces and vectors, or why it cannot be used, and its `digest`."""


AnyPhoto = Path | MemoryPhoto | EmbeddedPhoto


def photo_of(given: PhotoInput | MemoryPhoto, name: str | None = None) -> AnyPhoto:
    """A photo from whatever a program holds; nothing is read, decoded or refused yet.

    name: what messages call a photo in memory; by default what it is ("array of 480 x 640").
    """
    if isinstance(given, MemoryPhoto):
        return given
    if isinstance(given, str | os.PathLike):
        return Path(os.fsdecode(given))
    if isinstance(given, bytearray | memoryview):
        given = bytes(given)
    return MemoryPhoto(Path(name or _described(given)), given)


def photos_of(given: Iterable[PhotoInput], called: str = "photo", argument: str = "photos") -> Iterator[AnyPhoto]:
    """Many photos, of which those in memory are called "photo 1" and so on; each is taken when it is asked for.

    Raises ConfigError, at once, for one photo in place of several (a text would be taken letter by letter) and for
    what holds no photos; argument: what the message calls it.
    """
    if _is_one(given) or (isinstance(given, np.ndarray) and given.ndim < 4):
        raise ConfigError(f"{argument}: one photo where several are expected; give a list of photos, as in [photo]")
    if not isinstance(given, Iterable):
        raise ConfigError(f"{argument}: a list of photos is expected, not {type(given).__name__}")
    return (photo_of(photo, f"{called} {place}") for place, photo in enumerate(given, 1))


def are_several(given: Any) -> bool:
    """Whether this is a list, a generator or the like, and no photo; an array's form is checked when it is read."""
    return isinstance(given, Iterable) and not _is_one(given) and not isinstance(given, np.ndarray)


def _is_one(given: Any) -> bool:
    """Whether this is one photo, or an open file, which is one in a form that is not taken."""
    return isinstance(given, _ONE) or hasattr(given, "read")


def read_image(photo: PhotoInput) -> Image:
    """Read any photo as (H, W, 3) uint8 RGB, 0..255, upright by its EXIF orientation.

    photo: a path, the bytes of an image file, a PIL image, or an array, which is checked and returned as it is. Raises
    ImageError (one line) for whatever is no photo, damaged, or larger than 120 megapixels.

    >>> import facerec
    >>> facerec.read_image("gallery/strangers/eileen_collins_astronaut.jpg").shape
    (512, 512, 3)
    """
    return read_photo(photo_of(photo)).image


def read_photo(photo: AnyPhoto, may_halve: bool = False) -> Reading:
    """(H, W, 3) uint8 RGB, upright, of any photo, with remarks; raises ImageError as `read_image` does.

    may_halve: a very large photo may be read at half size (`reading.HALVED`), unless it is decoded already.
    """
    if isinstance(photo, Path | EmbeddedPhoto):
        return reading.read(path_of(photo), may_halve)
    if isinstance(photo.content, bytes):
        return reading.decode(photo.path, io.BytesIO(photo.content), may_halve)
    if isinstance(photo.content, PIL.Image.Image):
        return reading.to_rgb(photo.path, photo.content)
    if isinstance(photo.content, np.ndarray):
        return Reading(_checked(photo.content, photo.path))
    read = " (`.read()` gives them)" if hasattr(photo.content, "read") else ""
    raise ImageError(f"{printable(photo.path)}: {type(photo.content).__name__} is no photo; give {_EXPECTED}{read}")


def size_of(photo: MemoryPhoto) -> tuple[int, int]:
    """Height and width of the bytes of an image file, by their head alone: no pixel is decoded. ImageError for others.

    Of an animation or a file of several pages, those of the first; a photo that lies on its side is not turned.
    """
    return reading.size(photo.path, io.BytesIO(photo.content))


def hash_photo(photo: AnyPhoto) -> str:
    """SHA-256 as 64 hex digits: of a file's bytes, or, of an image that never was a file, of its size and pixels.

    A file and its bytes in memory have the same hash. Raises ImageError for a file that cannot be read.
    """
    if isinstance(photo, Path):
        return photo_hash(photo)
    if isinstance(photo, EmbeddedPhoto):
        return _digest(photo.embedded())
    if isinstance(photo.content, bytes):
        return hashlib.sha256(photo.content).hexdigest()
    pixels = read_photo(photo).image
    return hashlib.sha256(f"RGB {pixels.shape}".encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def _digest(photo: Photo) -> str:
    if not photo.digest:
        raise photo.error or ImageError(f"{printable(photo.path)}: was not read; embed it again")
    return photo.digest


def count_copies(photos: Iterable[AnyPhoto], of: Iterable[AnyPhoto]) -> int:
    """How many of `photos` have the same bytes as one of the photos `of`; a file that cannot be read is no copy."""
    known = set(map(_hash_or_none, of)) - {None}
    return sum(_hash_or_none(photo) in known for photo in photos)


def _hash_or_none(photo: AnyPhoto) -> str | None:
    try:
        return hash_photo(photo)
    except ImageError:  # reading the photo will report it
        return None


def path_of(photo: AnyPhoto) -> Path:
    """The photo's path, or what a photo in memory is called."""
    return photo if isinstance(photo, Path) else photo.path


def source_of(photo: AnyPhoto) -> str:
    """Where the photo came from, as a gallery notes it: the absolute path, or "memory: " and its name."""
    return f"{_IN_MEMORY}{printable(photo.path)}" if isinstance(photo, MemoryPhoto) else str(path_of(photo).resolve())


def photo_from(source: str) -> AnyPhoto:
    """The photo that `source_of` calls `source`; of one in memory only the name is left."""
    name = source.removeprefix(_IN_MEMORY)
    return Path(source) if name == source else MemoryPhoto(Path(name), b"")


def _described(content: Any) -> str:
    """What a photo in memory is called that was given no name."""
    if isinstance(content, bytes):
        return how_many(len(content), "byte")
    if isinstance(content, PIL.Image.Image):
        return f"image of {content.height} x {content.width}"
    if isinstance(content, np.ndarray):
        return f"array of {' x '.join(map(str, content.shape[:2]))}"
    return type(content).__name__


def _checked(array: np.ndarray[Any, Any], path: Path) -> Image:
    """The array as it is, if it is an RGB image."""
    if array.ndim == 3 and array.shape[2] == 3 and array.dtype == np.uint8:
        reading.require_size(path, *array.shape[:2])
        return array
    hints = {
        array.ndim == 2: "a grey image: repeat it, np.stack([grey] * 3, axis=2)",
        array.ndim == 3 and array.shape[-1] == 4: "an RGBA image: drop the fourth channel, array[:, :, :3]",
        array.dtype != np.uint8 and array.ndim == 3: "convert its values to uint8, 0 to 255",
    }
    hint = next((f" ({text})" for fits, text in hints.items() if fits), "")
    raise ImageError(
        f"{printable(path)}: has shape {array.shape} and dtype {array.dtype}{hint}; give (H, W, 3) uint8 RGB"
    )
