"""A stranger whom the toy model takes for Ann, the first of the made-up people: some 0.2 away from her photos."""

from pathlib import Path

import numpy as np
import PIL.Image
import toy_model

from facerec.types import Image


def look_alike(photo: int) -> Image:
    """Return a photo of the stranger, (112, 112, 3)."""
    return (0.7 * toy_model.crop(0, photo) + 0.3 * toy_model.crop(9, photo)).astype(np.uint8)


def save_look_alike(path: Path, photo: int) -> Path:
    """Write a photo of the stranger as a PNG file; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(look_alike(photo)).save(path)
    return path
