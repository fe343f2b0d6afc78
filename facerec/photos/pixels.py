"""The pixels of an image that Pillow has opened: (H, W, 3) uint8 RGB, upright."""

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL.Image import Transpose

from facerec.types import Image

# What Pillow's decoders raise on damaged files.
DECODING_ERRORS = (
    *(OSError, SyntaxError, ValueError, EOFError, OverflowError, TypeError, LookupError, AttributeError),
    *(NotImplementedError, MemoryError, struct.error, zlib.error, PIL.Image.DecompressionBombError),
)

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


def pixels_of(image: PIL.Image.Image) -> Image:
    """An image of any mode -> (H, W, 3) uint8 RGB, 0..255, turned upright by its EXIF orientation.

    Grey of 16 bits, 32 bits or floats is scaled to 8 bits; transparent pixels are laid on white. Raises DECODING_ERRORS
    for damaged files.
    """
    with quiet() if image.format == "TIFF" else nullcontext():
        image.load()
    return np.array(rgb(_upright(image)))


@contextmanager
def quiet() -> Iterator[None]:
    """Close stderr for a moment: libtiff writes its complaints there directly, not through Python."""
    try:
        stderr = os.dup(2)
    except OSError:  # the process has no stderr
        yield
        return
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def _upright(image: PIL.Image.Image) -> PIL.Image.Image:
    """Turn a loaded image by its EXIF orientation. For TIFF, `load` has done so already and removed the tag."""
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG)
    except DECODING_ERRORS:  # broken EXIF in a sound photo: leave the photo as it is
        return image
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def rgb(image: PIL.Image.Image) -> PIL.Image.Image:
    """An image of any mode as 8-bit RGB; transparent pixels are laid on white."""
    if image.mode.startswith(("I", "F")):
        image = PIL.Image.fromarray(_eight_bit(np.asarray(image), image.mode))
    if image.has_transparency_data:
        above = image.convert("RGBA")
        return PIL.Image.alpha_composite(PIL.Image.new("RGBA", above.size, "white"), above).convert("RGB")
    return image.convert("RGB")


def _eight_bit(grey: NDArray[np.generic], mode: str) -> NDArray[np.uint8]:
    """Scale grey of more than 8 bits to 0..255. (Pillow's own conversion clips instead of scaling.)

    White is 65535 in a 16-bit file. A 32-bit file does not say what white is: the smallest usual value that is not
    below the largest pixel is taken.
    """
    values = np.nan_to_num(grey.astype(np.float64), posinf=0.0, neginf=0.0)
    if mode.startswith("I;16"):
        full = 65535.0
    else:
        usual = (1.0,) * (mode == "F") + (255.0, 65535.0, 2.0**32 - 1)
        full = next((f for f in usual if values.max() <= f), float(values.max()))
    return np.clip(np.rint(values * (255.0 / full)), 0, 255).astype(np.uint8)
