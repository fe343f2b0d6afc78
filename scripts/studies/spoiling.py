"""Aligned crops made worse: brought down to few pixels, or blurred."""

from collections.abc import Callable, Sequence

import numpy as np
import PIL.Image
import PIL.ImageFilter
from PIL.Image import Resampling

from facerec.types import Image

Spoil = Callable[[Image], Image]
AS_THEY_ARE = "as they are"


def lowered(side: int) -> Spoil:
    """Brings a crop down to `side` x `side` pixels and up again."""

    def lower(crop: Image) -> Image:
        image = PIL.Image.fromarray(crop)
        return np.asarray(image.resize((side, side), Resampling.BOX).resize(image.size, Resampling.BICUBIC))

    return lower


def blurred(sigma: float) -> Spoil:
    """Blurs a crop by a Gaussian of `sigma` pixels."""
    return lambda crop: np.asarray(PIL.Image.fromarray(crop).filter(PIL.ImageFilter.GaussianBlur(sigma)))


def ways_to_spoil(sides: Sequence[int], sigmas: Sequence[float]) -> dict[str, Spoil]:
    """Name -> what spoils a crop so; the first leaves it as it is."""
    return {
        AS_THEY_ARE: lambda crop: crop,
        **{f"{side} pixels": lowered(side) for side in sides},
        **{f"blur of {sigma} pixels": blurred(sigma) for sigma in sigmas},
    }
