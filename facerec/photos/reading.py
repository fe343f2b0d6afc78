"""Photos from disk: path -> (H, W, 3) uint8 RGB, upright and bounded in size; and walking folders of photos."""

import errno
import hashlib
import io
import os
import stat
import struct
import threading
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from io import BufferedReader
from pathlib import Path
from typing import NoReturn

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL.Image import Resampling, Transpose

from facerec.errors import DataError, ImageError
from facerec.text import printable
from facerec.types import Image

MAX_PIXELS = 120_000_000
"""The largest photo read, in pixels (360 MB as RGB): room for a 108-megapixel phone, none for a decompression bomb."""

EXTENSIONS = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic", ".heif")
)
"""What `find_photos` takes for a photo, in any letter case."""

# Named one by one: Pillow's other plugins (one of them starts Ghostscript) have no business with strangers' files.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

# What Pillow's decoders are known to raise on damaged files.
_DECODING_ERRORS = (
    *(OSError, SyntaxError, ValueError, EOFError, OverflowError, TypeError, LookupError, AttributeError),
    *(NotImplementedError, MemoryError, struct.error, zlib.error, PIL.Image.DecompressionBombError),
)

_ALONE = threading.Lock()
"""Held while Pillow works: what keeps its warnings from stderr belongs to the process, and threads would mix it up."""

_LARGEST_CROP = 4096  # pixels a side

_ORIENTATION_TAG = 0x0112  # EXIF 2.3, 4.6.4
_UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}


def read_image(path: Path) -> Image:
    """Read a photo as (H, W, 3) uint8 RGB, 0..255, turned upright by its EXIF orientation.

    JPEG, PNG, WebP, BMP, TIFF, GIF (the first frame), and HEIC where pillow-heif is installed. 16-bit, 32-bit and
    float grey are scaled to 8 bits, transparency is laid on white. Raises ImageError (one line) for anything else,
    damaged files and photos above MAX_PIXELS.
    """
    with _opened(path) as file, _ALONE, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = _identify(path, file)
        if image.width * image.height > MAX_PIXELS:
            raise _too_large(path)
        try:
            with _quiet() if image.format == "TIFF" else nullcontext():
                image.load()
            return np.array(_rgb(_upright(image)))
        except _DECODING_ERRORS as error:
            raise ImageError(f"{printable(path)}: damaged or cut off ({_line(error)}); get a whole copy") from error


def photo_hash(path: Path) -> str:
    """SHA-256 of the file's bytes as 64 hex digits; raises ImageError when it cannot be read."""
    with _opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def count_copies(photos: Iterable[Path], of: Iterable[Path]) -> int:
    """How many of `photos` are, byte for byte, also among the others; a file that cannot be read is no copy."""
    known = set(map(_hash_or_none, of)) - {None}
    return sum(_hash_or_none(path) in known for path in photos)


def _hash_or_none(path: Path) -> str | None:
    try:
        return photo_hash(path)
    except ImageError:  # whoever reads the photo says why
        return None


def find_photos(folder: Path) -> list[Path]:
    """All photos in `folder` and below, by extension, sorted; hidden files and folders are passed over.

    Links to photos and folders are followed, but for those that lead back to a folder they lie in, or to one that was
    met before in the same sub-folder. A folder below that cannot be read stands there itself, for the photos in it:
    reading it as a photo says why. Raises DataError when `folder` is not a readable folder. It may be empty of photos.
    """
    folders, files = _listed(folder)
    photos = [folder / name for name in files if _is_photo(name)]
    return sorted([*photos, *(photo for name in folders for photo in _walk(folder / name))])


def _listed(folder: Path) -> tuple[list[str], list[str]]:
    """The names of what is in a folder, sorted: folders that are not hidden, and links to such; and everything else."""
    try:
        with os.scandir(folder) as entries:
            kinds = {entry.name: _is_folder(entry) for entry in entries}
    except OSError as error:
        _unreadable_folder(error)
    names = sorted(kinds)
    return [n for n in names if kinds[n] and not n.startswith(".")], [n for n in names if not kinds[n]]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:  # a link to where one may not look is taken for a folder: reading it says so
        return error.errno != errno.ELOOP  # unless it leads to itself


def _walk(folder: Path) -> list[Path]:
    """As find_photos, for a folder that is below another."""
    photos: list[Path] = []
    closed: list[OSError] = []
    met: set[tuple[int, int]] = set()
    home = folder.parent.resolve()
    for above in (home, *home.parents, *folder.resolve().parents):
        _is_new(above, met)
    if not _is_new(folder, met):
        return []
    for parent, folders, files in os.walk(folder, onerror=closed.append, followlinks=True):
        shown = sorted(Path(parent, name) for name in folders if not name.startswith("."))
        shown.sort(key=lambda path: path.is_symlink())  # what lies here itself is met first
        folders[:] = [path.name for path in shown if _is_new(path, met)]
        photos += [Path(parent, name) for name in files if _is_photo(name)]
    return sorted([*photos, *(Path(error.filename) for error in closed)])


def _is_new(folder: Path, met: set[tuple[int, int]]) -> bool:
    """Whether a folder was not met before, by whatever name; it is from now on."""
    try:
        facts = os.stat(folder)
    except OSError:  # walking it says why
        return True
    place = (facts.st_dev, facts.st_ino)
    if place in met:
        return False
    met.add(place)
    return True


def identity_folders(folder: Path) -> dict[str, list[Path]]:
    """The sub-folders' names, sorted, with the photos in each (and below); one without photos has an empty list.

    Links are followed as by `find_photos`. Raises DataError when `folder` cannot be read or no sub-folder holds a
    photo.
    """
    people = {name: _walk(folder / name) for name in _listed(folder)[0]}
    if not any(people.values()):
        raise DataError(
            f"{printable(folder)}: no folders with photos in it; make one per person, as in people/Ann Lee/1.jpg"
        )
    return people


def aligned_crop(image: Image, size: int = 112) -> Image:
    """A crop that is aligned already -> (size, size, 3) uint8 RGB on the ArcFace template.

    A 112x112 input is the 112 template itself. Any other square (128x128, 80x80) is the template with 8/128 of its
    side as margin all around; it is resized to 128x128 (antialiased) first. Then the centre is cut out, or black put
    around it where there is less; for a `size` that is neither 112 nor 128 the template is scaled. Raises ImageError
    when it is not square.
    """
    height, width = image.shape[:2]
    if height != width:
        raise ImageError(f"{width}x{height} is not an aligned crop: give square crops, or leave out --aligned")
    if width not in (112, 128):
        image = np.asarray(PIL.Image.fromarray(image).resize((128, 128), Resampling.BICUBIC))
    if size not in (112, 128):
        return np.asarray(PIL.Image.fromarray(aligned_crop(image)).resize((size, size), Resampling.BICUBIC))
    margin = (image.shape[0] - size) // 2
    if margin < 0:
        return np.pad(image, ((-margin, -margin), (-margin, -margin), (0, 0)))
    return np.ascontiguousarray(image[margin : margin + size, margin : margin + size])


def fitted_crop(crop: Image, size: int) -> Image:
    """The aligned crop a detector made at its own size (`detect.template`) -> (size, size, 3), on that size's template.

    The 128 template has a margin around the 112 one, the others are the 112 one scaled.
    """
    side, scaled = crop.shape[0], 112 if size == 128 else size
    if side not in (112, 128, scaled):
        crop = np.asarray(PIL.Image.fromarray(crop).resize((scaled, scaled), Resampling.BICUBIC))
    return crop if crop.shape[0] == size else aligned_crop(crop, size)


def encode_png(image: Image) -> bytes:
    """An (H, W, 3) uint8 RGB image as a PNG file's bytes, without loss."""
    data = io.BytesIO()
    PIL.Image.fromarray(image).save(data, "PNG")
    return data.getvalue()


def decode_png(data: bytes) -> Image:
    """The (S, S, 3) uint8 RGB crop `encode_png` was given; ImageError for bytes that are none, or not the same."""
    try:
        with PIL.Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            image.verify()  # the checksum of each chunk; reading the pixels asks for that of the header only
        with PIL.Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if image.mode != "RGB" or not 0 < image.width == image.height <= _LARGEST_CROP:
                raise ImageError(f"a {image.mode} picture of {image.width}x{image.height} instead of a crop")
            return np.array(image)
    except _DECODING_ERRORS as error:
        raise ImageError(f"not a sound PNG ({_line(error)})") from error


def centre_picture(image: Image, size: int) -> Image:
    """The middle of a picture -> (size, size, 3) uint8 RGB, for networks that look at whole pictures.

    As if the shorter side were resized (antialiased bilinear) to size * 256 / 224 and the centre cut out: torchvision's
    usual evaluation transform (He et al. 2016). Small pictures are enlarged alike.
    """
    height, width = image.shape[:2]
    side = min(height, width) * size / round(size * 256 / 224)
    left, top = (width - side) / 2, (height - side) / 2
    # Only the centre is ever computed: a picture of 1 x 100,000 pixels costs no more than any other.
    box = (left, top, width - left, height - top)
    return np.array(PIL.Image.fromarray(image).resize((size, size), Resampling.BILINEAR, box))


def _is_photo(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in EXTENSIONS


def _unreadable_folder(error: OSError) -> NoReturn:
    raise DataError(f"{printable(error.filename)}: {error.strerror}; give a readable folder of photos") from error


@contextmanager
def _opened(path: Path) -> Iterator[BufferedReader]:
    """The file, open for reading; whatever keeps it from being read is an ImageError."""
    if "\0" in str(path):
        raise ImageError(f"{printable(path)}: no file has such a name; check it")
    try:
        # Asked first, because opening a named pipe would wait for ever.
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            os.scandir(path).close()
            raise ImageError(f"{printable(path)}: a folder, not a photo; name the photos in it")
        if not stat.S_ISREG(mode):
            raise ImageError(f"{printable(path)}: not a regular file; give a photo file")
        with path.open("rb") as file:
            yield file
    except FileNotFoundError as error:
        raise ImageError(f"{printable(path)}: no such file; check the name") from error
    except OSError as error:
        raise ImageError(
            f"{printable(path)}: cannot be read ({_line(error.strerror or error)}); make it a readable file"
        ) from error


def _identify(path: Path, file: BufferedReader) -> PIL.Image.Image:
    """The image behind an open file, its pixels not yet decoded."""
    head = file.read(16)
    if not head:
        raise ImageError(f"{printable(path)}: the file is empty; get a whole copy")
    formats = _FORMATS
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        _register_heif(path)
        formats = (*_FORMATS, "HEIF")
    file.seek(0)
    try:
        return PIL.Image.open(file, formats=formats)
    except PIL.UnidentifiedImageError as error:
        raise ImageError(
            f"{printable(path)}: not an image facerec reads, or damaged; give JPEG, PNG, WebP, BMP, TIFF, GIF or HEIC"
        ) from error
    except PIL.Image.DecompressionBombError as error:
        raise _too_large(path) from error
    except _DECODING_ERRORS as error:
        raise ImageError(f"{printable(path)}: damaged ({_line(error)}); get a whole copy") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """No stderr for a moment: libtiff writes its complaints there itself, past Python."""
    try:
        stderr = os.dup(2)
    except OSError:  # there is none
        yield
        return
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def _register_heif(path: Path) -> None:
    try:
        import pillow_heif  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImageError(f"{printable(path)}: reading HEIC needs pillow-heif: pip install facerec[heic]") from error
    pillow_heif.register_heif_opener()


def _too_large(path: Path) -> ImageError:
    return ImageError(f"{printable(path)}: more than {MAX_PIXELS // 1_000_000} megapixels; scale it down")


def _line(error: BaseException | str) -> str:
    """The error's own words on one line."""
    return printable(" ".join(str(error).split())) or type(error).__name__


def _upright(image: PIL.Image.Image) -> PIL.Image.Image:
    """Turned by the EXIF orientation; after `load`, which turns TIFFs itself and then takes their tag away."""
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG)
    except _DECODING_ERRORS:  # broken EXIF beside a sound photo: it is taken as it lies
        return image
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _rgb(image: PIL.Image.Image) -> PIL.Image.Image:
    """Any mode -> 8-bit RGB."""
    if image.mode.startswith(("I", "F")):
        image = PIL.Image.fromarray(_eight_bit(np.asarray(image), image.mode))
    if image.has_transparency_data:
        above = image.convert("RGBA")
        return PIL.Image.alpha_composite(PIL.Image.new("RGBA", above.size, "white"), above).convert("RGB")
    return image.convert("RGB")


def _eight_bit(grey: NDArray[np.generic], mode: str) -> NDArray[np.uint8]:
    """Grey of more than 8 bits -> 0..255 (Pillow's own conversion clips instead of scaling).

    16-bit files are full scale at 65535. 32-bit ones do not say: the smallest usual full scale that holds the largest
    value is taken.
    """
    values = np.nan_to_num(grey.astype(np.float64), posinf=0.0, neginf=0.0)
    if mode.startswith("I;16"):
        full = 65535.0
    else:
        usual = (1.0,) * (mode == "F") + (255.0, 65535.0, 2.0**32 - 1)
        full = next((f for f in usual if values.max() <= f), float(values.max()))
    return np.clip(np.rint(values * (255.0 / full)), 0, 255).astype(np.uint8)
