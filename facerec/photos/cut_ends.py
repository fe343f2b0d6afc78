"""Photos whose end is missing: they are used if only the last few rows are lost.

The file is decoded twice, with two different fillings for the missing end. A row that is the same in both pictures does
not depend on the missing end. One picture would not tell: a decoder's own filling may look like a part of the photo.

A progressive JPEG is used, too, if its end is missing in the last scan: all rows are there, some a little less sharp.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import BinaryIO

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import ImageFile

from facerec.photos.pixels import DECODING_ERRORS, pixels_of
from facerec.types import Image

MOST_MISSING = 0.05
"""A photo is used if a smaller share of its rows is missing."""

_END_OF_JPEG = b"\xff\xd9"
_NOISE = (bytes(range(254, 0, -1)), bytes(range(85, 255)))  # unlike the zeros that libjpeg reads after the end
_FRAME, _SCAN = b"\xff\xc2", b"\xff\xda"  # what begins a progressive frame, and a scan; not found in its data
_BY_ROWS = ("PNG", "BMP", "PPM", "TIFF")  # formats in which Pillow leaves rows that are missing as they were


def without_end(file: BinaryIO, form: str) -> tuple[Image, str] | None:
    """The picture in a file that Pillow calls truncated, as `pixels_of` gives it, and a remark.

    form: Pillow's name of the format. None if more than MOST_MISSING is missing, or if the format does not tell.
    """
    file.seek(0)
    data = file.read()
    try:
        if form in ("JPEG", "MPO"):
            image, missing = _jpeg(data)
            if image.info.get("progressive") and _ends_in_last_bits(data):
                return pixels_of(image), _remark(missing, image.height, "a little less sharp")
        elif form in _BY_ROWS:
            image, missing = _by_rows(data, form)
        else:
            return None
        return (pixels_of(image), _remark(missing, image.height)) if missing < MOST_MISSING * image.height else None
    except DECODING_ERRORS:
        return None


def _remark(missing: int, rows: int, what: str = "lost") -> str:
    which = f"{missing} of {rows} rows are" if missing > 1 else f"1 of {rows} rows is"
    return f"the file's end is missing, {which} {what}" if missing else "the file's end is missing, but no row is lost"


def _jpeg(data: bytes) -> tuple[PIL.Image.Image, int]:
    """The image, and how many rows are lost: the first that depends on the missing end, and all below it."""
    data = data.removesuffix(b"\xff")  # half a marker
    image, *others = (_decoded(data + end + _END_OF_JPEG, "JPEG") for end in (b"", *_NOISE))
    if image.info.get("progressive") and not _has_all_scans(data):
        raise ValueError("whole scans are missing: all rows are there, but coarse")
    differ = np.any([_differing_rows(image, other) for other in others], axis=0)
    return image, image.height - int(differ.argmax()) if differ.any() else 0


def _has_all_scans(data: bytes) -> bool:
    """Whether a progressive JPEG's scans give every coefficient in full (ITU T.81, B.2.2, B.2.3 and G.1)."""
    frame = data.rfind(_FRAME)
    missing = {(name, place) for name in data[frame + 10 :: 3][: data[frame + 9]] for place in range(64)}
    for scan in re.finditer(_SCAN, data[frame:]):
        header = data[(start := frame + scan.end() + 2) : start + 12]
        names, (first, last, precision) = header[1 : 1 + 2 * header[0] : 2], header[1 + 2 * header[0] :][:3]
        if not precision & 15:
            missing -= {(name, place) for name in names for place in range(first, last + 1)}
    return not missing


def _ends_in_last_bits(data: bytes) -> bool:
    """Whether the last scan of a progressive JPEG gives only the lowest bit of coefficients (ITU T.81, G.1.2.3).

    libjpeg leaves the coefficients without that bit where the scan is cut off.
    """
    header = data[data.rfind(_SCAN) + 4 :]
    return header[3 + 2 * header[0]] == 0x10


def _by_rows(data: bytes, form: str) -> tuple[PIL.Image.Image, int]:
    """The image, and how many rows are lost: those that keep the colour they had before decoding."""
    with _truncated_allowed():
        image, other = (_decoded(data, form, ground) for ground in (0, 255))
    return image, int(_differing_rows(image, other).sum())


def _decoded(data: bytes, form: str, ground: int | None = None) -> PIL.Image.Image:
    image = PIL.Image.open(BytesIO(data), formats=(form,))
    if ground is not None:
        image.im = PIL.Image.new(image.mode, image.size, ground).im
    image.load()
    return image


def _differing_rows(one: PIL.Image.Image, other: PIL.Image.Image) -> NDArray[np.bool_]:
    return (np.asarray(one) != np.asarray(other)).reshape(one.height, -1).any(axis=1)


@contextmanager
def _truncated_allowed() -> Iterator[None]:
    """The setting is the whole process's, so only one thread may be here; `reading` sees to it."""
    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, True
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before
