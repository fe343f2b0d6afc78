"""An attribute one can see: whether the lamp is on in a photo of toy_runs.py."""

from typing import Any

import numpy as np
import PIL.Image
from toy_runs import Data, lamp_of, small

from facerec.training.settings import TrainSettings


def darken(data: Data) -> Data:
    """Turn the lamp off where it is said to be: every second photo at a third of its light."""
    for path in data.folder.glob("*/*.png"):
        if lamp_of(path) == "off":
            with PIL.Image.open(path) as image:
                dark = np.asarray(image) // 3
            PIL.Image.fromarray(dark).save(path, compress_level=1)
    return data


def lamp(data: Data) -> str:
    """The file that says of each photo whether the lamp is on."""
    return str(data.folder.parent / "lamp.csv")


def both(data: Data, **changes: Any) -> TrainSettings:
    """Small settings to learn it beside the people or classes."""
    return small(attribute=lamp(data), **changes)
