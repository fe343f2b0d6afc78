"""A picture without faces, and the message for a picture that cannot be read."""

from pathlib import Path

import numpy as np
import pytest

from facerec.errors import ImageError
from facerec.photos.reading import read_image
from facerec.text import printable


def scene(height: int = 24, width: int = 32) -> np.ndarray:
    """Return a smooth (height, width, 3) uint8 picture without symmetry."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, (x + 2 * y) % 64 + 60], 2).astype(np.uint8)


def error_of(path: Path) -> str:
    """Return the message of the ImageError that `read_image` raises. Asserts one line with the file's name."""
    with pytest.raises(ImageError) as caught:
        read_image(path)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert printable(path) in message
    return message
