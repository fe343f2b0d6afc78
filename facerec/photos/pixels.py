"""The pixels of an image that Pillow has opened: (H, W, 3) uint8 RGB, upright."""

import math
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
    *(RuntimeError, MemoryError, struct.error, zlib.error, PIL.Image.DecompressionBombError),
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
_LYING = (Transpose.TRANSPOSE, Transpose.TRANSVERSE, Transpose.ROTATE_90, Transpose.ROTATE_270)  # rows become columns
_BACKWARDS = (Transpose.FLIP_TOP_BOTTOM, Transpose.ROTATE_180, Transpose.ROTATE_270, Transpose.TRANSVERSE)
_STRIP = 64  # rows that are converted together: they fit into the processor's cache. Even, as they may be halved


def pixels_of(image: PIL.Image.Image, halve: bool = False) -> Image:
    """An image of any mode -> (H, W, 3) uint8 RGB, 0..255, turned upright by its EXIF orientation.

    Grey of 16 bits, 32 bits or floats is scaled to 8 bits; transparent pixels are laid on white. halve: each pixel is
    the mean of 2 x 2 of the image, so there are half as many rows and columns, rounded up. Raises DECODING_ERRORS for
    damaged files.
    """
    with quiet() if image.format == "TIFF" else nullcontext():
        image.load()
    turn = _turn(image)
    if image.mode.startswith(("I", "F")):  # is scaled by its lightest pixel, so as a whole
        image = rgb(image)
    return _in_strips(image, turn, 2 if halve else 1)


def _in_strips(image: PIL.Image.Image, turn: Transpose | None, step: int) -> Image:
    """As `pixels_of`; strip by strip, as copies of a large photo would take time and memory."""
    width, height = (math.ceil(side / step) for side in image.size)
    pixels = np.empty((width, height, 3) if turn in _LYING else (height, width, 3), np.uint8)
    rows = pixels.swapaxes(0, 1) if turn in _LYING else pixels
    for top in range(0, image.height, _STRIP):
        strip = rgb(image.crop((0, top, image.width, min(top + _STRIP, image.height))))
        strip = strip.reduce(step) if step > 1 else strip
        above, below = top // step, top // step + strip.height
        place = slice(height - below, height - above) if turn in _BACKWARDS else slice(above, below)
        turned = np.asarray(strip if turn is None else strip.transpose(turn))
        rows[place] = turned.swapaxes(0, 1) if turn in _LYING else turned
    return pixels


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


def _turn(image: PIL.Image.Image) -> Transpose | None:
    """How to turn a loaded image by its EXIF orientation. For TIFF, `load` has done so already and removed the tag."""
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG)
    except DECODING_ERRORS:  # broken EXIF in a sound photo: leave the photo as it is
        return None
    return _UPRIGHT.get(orientation) if isinstance(orientation, int) else None


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
