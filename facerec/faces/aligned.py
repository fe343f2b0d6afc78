"""Checks that photos given as aligned crops are aligned crops."""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facerec.errors import DataError, ImageError
from facerec.faces.alignment import template
from facerec.photos.reading import read_image
from facerec.text import printable
from facerec.types import Image

if TYPE_CHECKING:
    from facerec.faces.mtcnn import MTCNNDetector

USUAL_SIDES = (112, 128)  # pixels; what facerec and ArcFace's data sets hold is not doubted
SMALLEST_SIDE = 80  # pixels; in smaller crops the detector finds no face
FARTHEST = 0.08
"""The largest distance of landmarks from the template, root mean square, in sides of the crop.

In the study `crops_or_photos` all 80 crops of validation people are nearer, and 73 of 86 square photos farther.
"""
SAMPLE = 8  # photos of one size that are looked at, unless one of them is no crop


class CropCheck:
    """Checks the photos of one run, batch by batch.

    A photo is no crop if it is not square, or if the detector finds its face elsewhere. Square photos with a usual side
    are believed. Of any other side the detector looks at each photo, until SAMPLE in a row may be crops.
    """

    def __init__(self) -> None:
        self._passed: Counter[int] = Counter()  # by side: photos in a row that may be crops
        self._begun = False

    def faults(self, photos: Sequence[tuple[Path, Image]]) -> list[str | None]:
        """For each photo of the next batch, why it is no aligned crop; None if it may be one.

        A photo that is not square counts as none, but to refuse it by itself is left to `aligned_crop`. Raises
        DataError if more than half of the run's first batch, of several photos, are none.
        """
        faults = [self._fault(image) for _, image in photos]
        found = [(path, fault) for (path, _), fault in zip(photos, faults, strict=True) if fault]
        if not self._begun and 2 * len(found) > len(photos) > 1:
            path, fault = found[0]
            raise DataError(
                f"{printable(path)}: no aligned crop: {fault} ({len(found)} of {len(photos)} photos looked at are "
                "none); leave out `aligned`"
            )
        self._begun = self._begun or bool(photos)
        return [fault if _is_square(image) else None for fault, (_, image) in zip(faults, photos, strict=True)]

    def _fault(self, image: Image) -> str | None:
        height, width = image.shape[:2]
        if not _is_square(image):
            return f"{width}x{height} is not square"
        if width in USUAL_SIDES or width < SMALLEST_SIDE or self._passed[width] >= SAMPLE:
            return None
        elsewhere = _has_its_face_elsewhere(image)
        self._passed[width] = 0 if elsewhere else self._passed[width] + 1
        return "the face is not where alignment puts it" if elsewhere else None


def require_crops_in(paths: Sequence[Path]) -> None:
    """Raise DataError if more than half of the photos, of which SAMPLE are looked at, are no aligned crops.

    Files that cannot be read are left to whoever reads them.
    """
    photos = []
    for i in _spread(len(paths)):
        try:
            photos.append((paths[i], read_image(paths[i])))
        except ImageError:
            continue
    CropCheck().faults(photos)


def _spread(count: int) -> list[int]:
    """At most SAMPLE positions, spread evenly over `count`."""
    return sorted({i * count // SAMPLE for i in range(SAMPLE)}) if count else []


def _is_square(image: Image) -> bool:
    return image.shape[0] == image.shape[1]


def _has_its_face_elsewhere(image: Image) -> bool:
    """Whether a face is found in a square image, but not where alignment puts it."""
    faces = _detector().detect([image])[0]
    return bool(faces) and from_template(faces[0].landmarks, len(image)) > FARTHEST


def from_template(landmarks: np.ndarray, side: int) -> float:
    """The distance of (5, 2) landmarks in a square picture from where alignment puts them (see FARTHEST)."""
    return min(_distance(landmarks, whole, side) for whole in USUAL_SIDES)


@cache
def _detector() -> "MTCNNDetector":
    from facerec.faces.mtcnn import MTCNNDetector  # only where photos are doubted

    return MTCNNDetector()


def _distance(landmarks: np.ndarray, whole: int, side: int) -> float:
    """The distance of landmarks from the template of `whole` pixels, scaled to `side`; in sides."""
    expected = (template(whole) + 0.5) * (side / whole) - 0.5
    return float(np.sqrt(np.square(landmarks - expected).sum(axis=1).mean())) / side
