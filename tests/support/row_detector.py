"""Photos of several made-up people: their aligned crops in a row, and a detector that finds each of them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import toy_model

from facerec.faces.detector import AlignedDetector
from facerec.types import Face, Image


class Row(AlignedDetector):
    """Finds in each photo, which is a row of crops, the face in each of them."""

    def detect(self, images: Sequence[Image]) -> list[list[Face]]:
        return [[self._at(image, x) for x in range(0, image.shape[1], 112)] for image in images]

    def _at(self, image: Image, x: int) -> Face:
        return replace(self._face(image[:, x : x + 112]), box=(x, 0.0, x + 112.0, 112.0))


def party(*people: int) -> Image:
    """A photo of made-up people in a row."""
    return np.concatenate([toy_model.crop(person, 7) for person in people], axis=1)
