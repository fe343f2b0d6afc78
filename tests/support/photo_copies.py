"""Pictures with detail, and copies of them."""

import io

import numpy as np
import PIL.Image
import toy_model
from PIL.Image import Resampling

from facerec.types import Image


def scene(seed: int) -> Image:
    """Return a smooth picture with detail, (128, 128, 3) uint8, another one for every seed."""
    rng = np.random.default_rng(seed)
    layers = [rng.normal(0, 255 / side, (side, side)).astype(np.float32) for side in (4, 8, 16, 32)]
    grey = sum(np.asarray(PIL.Image.fromarray(layer).resize((128, 128), Resampling.BICUBIC)) for layer in layers)
    return np.clip(128 + np.asarray(grey)[..., None].repeat(3, 2), 0, 255).astype(np.uint8)


def jpeg(image: Image) -> Image:
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "JPEG", quality=60)
    return np.asarray(PIL.Image.open(file))


def shot(person: int, photo: int) -> np.ndarray:
    """Return toy_model.crop with a texture. The network sees no difference, but photos of a person look different."""
    texture = np.random.default_rng((person, photo, 1)).uniform(-45, 45, (4, 4, 4, 4))
    texture = (texture - texture.mean((1, 3), keepdims=True)).reshape(16, 16, 1).repeat(7, 0).repeat(7, 1)
    return (128 + 0.4 * (toy_model.crop(person, photo) - 128.0) + texture).clip(0, 255).astype(np.uint8)
