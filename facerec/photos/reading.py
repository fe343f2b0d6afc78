"""Photos from disk: path -> (H, W, 3) uint8 RGB, upright and of limited size."""

import ctypes
import importlib
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import PIL.Image

from facerec.errors import ImageError, TooManyPixelsError
from facerec.extras import install
from facerec.photos.cut_ends import without_end
from facerec.photos.frames import choose_frame
from facerec.photos.photo_files import RAW_EXTENSIONS, one_line, opened
from facerec.photos.pixels import DECODING_ERRORS, pixels_of
from facerec.text import printable
from facerec.types import Image

MAX_PIXELS = 120_000_000
"""The largest photo that is read, in pixels: 360 MB as RGB. A 108-megapixel photo fits, a decompression bomb not."""

# Only these of Pillow's plugins may see files from strangers. One of the others starts Ghostscript.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "JPEG2000", "PPM")
_READ = "JPEG, PNG, WebP, AVIF, JPEG 2000, BMP, TIFF, GIF, PPM, HEIC or JPEG XL"
_JXL = (b"\0\0\0\x0cJXL \r\n\x87\n", b"\xff\x0a")  # a file, and a bare stream
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

HALVED = 6400
"""Pixels of the longer side from which a photo may be read at half size.

The smallest faces that are looked for have 100 pixels in such a photo. Halving a face of 100 pixels moves its vector by
0.01 (squared distance; a threshold is about 1), one of 62 pixels by 0.09, so smaller photos are not halved.
"""

_LARGE = 20_000_000  # pixels, of which Pillow holds 80 MB until they are converted

_ALONE = threading.Lock()
"""Held while Pillow decodes. Its warnings, and libtiff's on stderr, are silenced for the whole process, which two
threads must not do at once.
"""


class Reading(NamedTuple):
    """A photo as (H, W, 3) uint8 RGB, and what is odd about it, as `types.Photo.remarks` has it.

    scale: 2 if the photo was halved, so that its pixel (2x, 2y) is the image's (x, y); else 1.
    """

    image: Image
    remarks: tuple[str, ...] = ()
    scale: int = 1


def read_image(path: Path) -> Image:
    """Read a photo as (H, W, 3) uint8 RGB, 0..255, turned upright by its EXIF orientation.

    Formats: JPEG, PNG, WebP, AVIF, JPEG 2000, BMP, TIFF, GIF, PPM and PGM, HEIC if pillow-heif is installed, JPEG XL if
    pillow-jxl-plugin is. Of an animation, and of a file of several pages, the first picture that is not blank is read.
    Grey of 16 bits, 32 bits or floats is scaled to 8 bits; transparent pixels are laid on white. Raises ImageError (one
    line) for other formats, for damaged files (also if 5 % of the rows or more are missing at the end), and for photos
    of more than MAX_PIXELS.
    """
    return read(path).image


def read(path: Path, may_halve: bool = False) -> Reading:
    """As `read_image`, with remarks; may_halve: read photos of HALVED pixels a side or more at half size."""
    with opened(path) as file:
        return decode(path, file, may_halve)


def require_image(path: Path) -> None:
    """Raise ImageError unless the file begins like a photo that is read. Damage further on shows when it is read."""
    with opened(path) as file, _alone():
        image = _identify(path, file)
        require_size(path, image.height, image.width)


def size(path: Path, file: BinaryIO) -> tuple[int, int]:
    """Height and width of a photo, by the head of a file that is open for reading; ImageError for what is no photo."""
    with _alone():
        image = _identify(path, file)
        return image.height, image.width


def decode(path: Path, file: BinaryIO, may_halve: bool = False) -> Reading:
    """As `read`, of a file that is open for reading; path: what messages call it."""
    with _alone():
        image = _identify(path, file)
        require_size(path, image.height, image.width)
        if image.width * image.height >= _LARGE:
            _give_back_memory()
        remarks = choose_frame(image, MAX_PIXELS)
        scale = 2 if may_halve and max(image.size) >= HALVED else 1
        try:
            return Reading(_to_rgb(path, image, scale == 2 and not _drafted(image)), remarks, scale)
        except ImageError as error:
            found = without_end(file, image.format or "") if "truncated" in str(error.__cause__) else None
            if found is None:
                raise
            return Reading(found[0], (*remarks, found[1]))


def to_rgb(path: Path, image: PIL.Image.Image) -> Reading:
    """A PIL image as `read` returns it; path: what messages call it.

    Several threads may ask for one image: it decodes itself when it is first used, and may not do so twice at once.
    """
    with _alone():
        return Reading(_to_rgb(path, image))


def require_size(path: Path, height: int, width: int) -> None:
    """Raise ImageError for an image of no pixel or of more than MAX_PIXELS; path: what the message calls it."""
    if not height * width:
        raise ImageError(f"{printable(path)}: it holds no pixel; give (H, W, 3) uint8 RGB, or another photo")
    if height * width > MAX_PIXELS:
        raise _too_large(path)


@contextmanager
def _alone() -> Iterator[None]:
    with _ALONE, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _give_back_memory() -> None:
    """Have the C library return what is free to the system: after the work on a large photo, 100 MB and more are.

    Only glibc can do that.
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _drafted(image: PIL.Image.Image) -> bool:
    """Have a JPEG decoded at half size, which takes a third of the time. False for other formats."""
    return image.draft(None, (image.width // 2, image.height // 2)) is not None


def _to_rgb(path: Path, image: PIL.Image.Image, halve: bool = False) -> Image:
    require_size(path, image.height, image.width)
    try:
        return pixels_of(image, halve)
    except DECODING_ERRORS as error:
        raise ImageError(f"{printable(path)}: damaged or cut off ({one_line(error)}); get a whole copy") from error


def _identify(path: Path, file: BinaryIO) -> PIL.Image.Image:
    """The image in an open file; its pixels are not decoded yet."""
    head = file.read(64)
    if not head:
        raise ImageError(f"{printable(path)}: the file is empty; get a whole copy")
    if path.suffix.lower() in RAW_EXTENSIONS:
        raise ImageError(f"{printable(path)}: a camera's raw picture; give it as JPEG")
    formats = (*_FORMATS, *_by_plugin(path, head))
    file.seek(0)
    try:
        return PIL.Image.open(file, formats=formats)
    except PIL.UnidentifiedImageError as error:
        raise ImageError(f"{printable(path)}: not an image facerec reads, or damaged; give {_READ}") from error
    except PIL.Image.DecompressionBombError as error:
        raise _too_large(path) from error
    except DECODING_ERRORS as error:
        raise ImageError(f"{printable(path)}: damaged ({one_line(error)}); get a whole copy") from error


def _by_plugin(path: Path, head: bytes) -> tuple[str, ...]:
    """The format, if it is one that needs a plugin, which is registered; ImageError if that is not installed."""
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS and b"avif" not in head[16 : head[3]]:
        _plugin(path, "pillow_heif", "HEIC", "heic").register_heif_opener()
        return ("HEIF",)
    if head.startswith(_JXL):
        _plugin(path, "pillow_jxl", "JPEG XL", "jxl")  # registers itself
        return ("JXL",)
    return ()


def _plugin(path: Path, module: str, form: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImageError(
            f"{printable(path)}: {form} needs a plugin: {install(extra)}; or give the photo as JPEG"
        ) from error


def _too_large(path: Path) -> TooManyPixelsError:
    return TooManyPixelsError(f"{printable(path)}: more than {MAX_PIXELS // 1_000_000} megapixels; scale it down")
