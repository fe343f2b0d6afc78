"""A picture without faces, and the message for a picture that cannot be read."""

from pathlib import Path

import numpy as np
import pytest

from facerec.errors import ImageError
from facerec.photos.reading import read_image
from facerec.text import printable
from facerec.types import Image


def scene(height: int = 24, width: int = 32) -> np.ndarray:
    """Return a smooth (height, width, 3) uint8 picture without symmetry."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, (x + 2 * y) % 64 + 60], 2).astype(np.uint8)


def smooth(height: int, width: int) -> Image:
    """Slow waves, different in every colour: bilinear and bicubic sampling agree on them."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 17 + y / 31), np.cos(x / 23 - y / 13), np.sin((x + y) / 29)]
    return (127.5 + 120 * np.stack(waves, 2)).astype(np.uint8)


def error_of(path: Path) -> str:
    """Return the message of the ImageError that `read_image` raises. Asserts one line with the file's name."""
    with pytest.raises(ImageError) as caught:
        read_image(path)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert printable(path) in message
    return message
