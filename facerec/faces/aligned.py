"""Checks that photos given as aligned crops are aligned crops."""

import math
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facerec.errors import DataError, ImageError
from facerec.faces.alignment import Points, similarity, template
from facerec.photos.reading import read_image
from facerec.text import printable
from facerec.types import Image

if TYPE_CHECKING:
    from facerec.faces.mtcnn import MTCNNDetector

SMALLEST_SIDE = 80  # pixels; in smaller crops the detector finds no face
FARTHEST, FARTHEST_ALONE = 0.06, 0.15
"""How far alignment may move a crop, in its sides: most crops of a run, and any single one.

There are two because of profiles, whose landmarks are less exact. The study `crops_or_photos` says how many crops and
photos are moved farther.
"""
SAMPLE = 6  # photos of a size that may be crops, one after the other: then all others of that size are believed


class CropCheck:
    """Checks the photos of one run, batch by batch.

    A photo is no crop if it is not square, or if alignment would move it, because its face is elsewhere. The detector
    looks at the photos of each size until SAMPLE in a row may be crops.
    """

    def __init__(self) -> None:
        self._passed: Counter[int] = Counter()  # by side
        self._begun = False

    def faults(self, photos: Sequence[tuple[Path, Image]]) -> list[str | None]:
        """For each photo of the next batch, why it is no aligned crop; None if it may be one.

        A photo that is not square counts as none, but to refuse it by itself is left to `aligned_crop`. Raises
        DataError if more than half of the run's first batch, of several photos, are none.
        """
        moved = [self._moved(image) for _, image in photos]
        none = [i for i, far in enumerate(moved) if far > FARTHEST]
        if not self._begun and 2 * len(none) > len(photos) > 1:
            path, image = photos[none[0]]
            raise DataError(
                f"{printable(path)}: no aligned crop: {_fault(image)} ({len(none)} of {len(photos)} photos looked at "
                "are none); leave out `aligned`"
            )
        self._begun = self._begun or bool(photos)
        return [
            _fault(image) if FARTHEST_ALONE < far < math.inf else None
            for far, (_, image) in zip(moved, photos, strict=True)
        ]

    def _moved(self, image: Image) -> float:
        """How far alignment would move a photo, in its sides: 0 where nobody looks, infinity if it is not square."""
        side = len(image)
        if not _is_square(image):
            return math.inf
        if side < SMALLEST_SIDE or self._passed[side] >= SAMPLE:
            return 0.0
        faces = _detector().detect([image])[0]
        moved = min((moved_by_alignment(face.landmarks, side) for face in faces), default=0.0)
        self._passed[side] = 0 if moved > FARTHEST else self._passed[side] + 1
        return moved


def _fault(image: Image) -> str:
    height, width = image.shape[:2]
    return "the face is not where alignment puts it" if height == width else f"{width}x{height} is not square"


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


def moved_by_alignment(landmarks: Points, side: int) -> float:
    """How far alignment by (5, 2) landmarks moves the template's points, root mean square, in sides of the picture.

    A crop hardly moves, also one in profile, whose landmarks are far from the template. side: of the square picture.
    """
    return min(_moved(landmarks, whole, side) for whole in (112, 128))


def _moved(landmarks: Points, whole: int, side: int) -> float:
    """As above, for a picture that is taken for the crop of `whole` pixels, whose template has its own margin."""
    expected = template(whole)
    forward = similarity((landmarks + 0.5) * np.float32(whole / side) - 0.5, expected)
    aligned = expected @ forward[:, :2].T + forward[:, 2]
    return float(np.sqrt(np.square(aligned - expected).sum(axis=1).mean())) / whole


@cache
def _detector() -> "MTCNNDetector":
    from facerec.faces.mtcnn import MTCNNDetector  # only where photos are doubted

    return MTCNNDetector()
