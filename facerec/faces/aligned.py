"""Checks that photos given as aligned crops are aligned crops."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facerec.errors import DataError, ImageError
from facerec.faces.alignment import template
from facerec.photos.reading import read_image
from facerec.text import printable
from facerec.types import Image

USUAL_SIDES = (112, 128)  # pixels; what facerec and ArcFace's data sets hold is not doubted
SMALLEST_SIDE = 80  # pixels; in smaller crops the detector finds no face
FARTHEST = 0.08
"""The largest distance of landmarks from the template, root mean square, in sides of the crop.

95 % of 40 crops, made 96 to 250 pixels large, were nearer than 0.061. 95 % of 60 photos of LFW were farther than 0.101:
their faces are in the middle, but smaller.
"""
SAMPLE = 8  # photos that are looked at


def require_crops(photos: Sequence[tuple[Path, Image]]) -> bool:
    """Raise DataError unless half of the photos, of which SAMPLE are looked at, may be aligned crops.

    A photo is no crop if it is not square, or if the detector finds its face elsewhere. Square photos of a usual size
    are not doubted. Returns whether any photo was doubted. A single photo that is not square is not refused here.
    """
    sample = [photos[i] for i in _spread(len(photos))]
    doubtful = [(path, image) for path, image in sample if image.shape[0] != image.shape[1] or _is_odd(image)]
    faults = [(path, fault) for path, image in doubtful if (fault := _fault(image, len(sample)))]
    if 2 * len(faults) > len(sample):
        path, fault = faults[0]
        others = f" ({len(faults)} of {len(sample)} photos looked at are none)" if len(sample) > 1 else ""
        raise DataError(f"{printable(path)}: no aligned crop: {fault}{others}; leave out `aligned`")
    return bool(doubtful)


def require_crops_in(paths: Sequence[Path]) -> None:
    """As `require_crops`, of files; those that cannot be read are left to whoever reads them."""
    photos = []
    for i in _spread(len(paths)):
        try:
            photos.append((paths[i], read_image(paths[i])))
        except ImageError:
            continue
    require_crops(photos)


def _spread(count: int) -> list[int]:
    """At most SAMPLE positions, spread evenly over `count`."""
    return sorted({i * count // SAMPLE for i in range(SAMPLE)}) if count else []


def _is_odd(image: Image) -> bool:
    return image.shape[0] not in USUAL_SIDES and image.shape[0] >= SMALLEST_SIDE


def _fault(image: Image, together: int) -> str | None:
    height, width = image.shape[:2]
    if height != width:
        return f"{width}x{height} is not square" if together > 1 else None
    from facerec.faces.mtcnn import MTCNNDetector  # loads torch

    faces = MTCNNDetector().detect([image])[0]
    if not faces or min(_distance(faces[0].landmarks, whole, width) for whole in USUAL_SIDES) <= FARTHEST:
        return None
    return "the face is not where alignment puts it"


def _distance(landmarks: np.ndarray, whole: int, side: int) -> float:
    """The distance of landmarks from the template of `whole` pixels, scaled to `side`; in sides."""
    expected = (template(whole) + 0.5) * (side / whole) - 0.5
    return float(np.sqrt(np.square(landmarks - expected).sum(axis=1).mean())) / side
