"""How good a face is to be known by: size, sharpness, pose and the detector's confidence, and in words what is wrong.

The measures are those of ISO/IEC 29794-5 that five landmarks and a crop can give. Their limits are not guessed:
`scripts/studies/photo_quality.py` shows how much oftener the shipped model misses people as each of them gets worse.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL.Image import Resampling
from scipy.ndimage import uniform_filter1d

from facerec.types import Face, Image

_MOUTH = 40.59 / 35.24  # ArcFace's template: from the eyes to the mouth, in parts of the eyes' distance
_NOSE = 20.14 / 40.59  # and from the eyes to the tip of the nose, in parts of the way to the mouth
_WINDOW = 11  # of the blur that is compared with, in pixels; Crete's


@dataclass(frozen=True, slots=True)
class Limit:
    """What a measure must reach (`most`: must not pass, whatever its sign) for a good face, and at the least to enroll.

    words: what is wrong and what to do, with a place for the value and one for `good`. decimals: they have at least.
    """

    measure: str
    good: float
    least: float
    words: str
    decimals: int = 2
    most: bool = False

    def holds(self, value: float, limit: float) -> bool:
        """Whether `value` is as `limit` asks; what is no number is not."""
        return abs(value) <= limit if self.most else value >= limit

    def complaint(self, value: float) -> str:
        """The words for a value that is not good; its decimals tell it from what is."""
        shown = abs(value) if self.most else value
        good = f"{self.good:.{self.decimals}f}"
        digits = next(n for n in count(self.decimals) if n > 9 or not self.holds(float(f"{shown:.{n}f}"), float(good)))
        return self.words.format(f"{shown:.{digits}f}", good)


LIMITS = (
    Limit("eye_distance", 10, 7, "the face is small, {} pixels between the eyes; use a photo with {} or more", 0),
    Limit("sharpness", 0.43, 0.31, "the face is blurred, sharpness {}; use a photo with {} or more"),
    Limit(
        "yaw",
        0.58,
        0.73,
        "the face is turned aside, the nose {} of the eyes' distance off the middle; use a photo with {} or less",
        most=True,
    ),
    Limit("confidence", 0.99, 0.9, "it may be no face, confidence {}; use a photo with {} or more"),
)
"""By `scripts/studies/photo_quality.py`, on the validation people's crops: at `good` twice as many comparisons are
missed as usual, at `least` half. Only seven of the crops are turned by more than 0.4, and none has a confidence below
0.99: less sure faces are doubtful because nothing is known of them, and too poor where MTCNN's default passes them
over. Neither pitch nor roll made a difference that these crops can show."""


@dataclass(frozen=True, slots=True)
class Quality:
    """One face's quality.

    eye_distance: pixels of the photo between the eyes, as far apart as they would be were the face not turned.
    sharpness: of the aligned crop, 0 (blurred, or enlarged from a few pixels) to 1; see `sharpness`.
    yaw: how far the nose is from the middle between the eyes, along their line, in parts of their distance: 0 frontal,
    0.5 the nose below the eye at the image's right, -0.5 at its left. pitch: how far the nose is below (positive) or
    above its place on a frontal face, in parts of the way from the eyes to the mouth. roll: of the eyes' line, degrees
    clockwise; alignment undoes it. confidence: the detector's, 0..1.
    Of an aligned crop the landmarks are the template's: its pose is not known and reads as frontal.
    """

    eye_distance: float
    sharpness: float
    yaw: float
    pitch: float
    roll: float
    confidence: float

    @property
    def problems(self) -> tuple[str, ...]:
        """What is doubtful about the face and what to do, a clause each; empty for a good one."""
        return self._complaints(lambda limit: limit.good)

    @property
    def faults(self) -> tuple[str, ...]:
        """What makes the face too poor to be known by, a clause each; empty for one that may be enrolled."""
        return self._complaints(lambda limit: limit.least)

    def to_json(self) -> dict[str, Any]:
        """The measures, rounded, and the problems, as a dict that `json.dumps` takes."""
        return {**{name: round(value, 4) for name, value in asdict(self).items()}, "problems": list(self.problems)}

    def _complaints(self, chosen: Callable[[Limit], float]) -> tuple[str, ...]:
        values = [(limit, getattr(self, limit.measure)) for limit in LIMITS]
        return tuple(limit.complaint(value) for limit, value in values if not limit.holds(value, chosen(limit)))


def measure(face: Face) -> Quality:
    """Measure one face."""
    left, right, nose, *mouth = face.landmarks.astype(np.float64)
    eyes, line = (left + right) / 2, right - left
    down = np.mean(mouth, axis=0) - eyes
    across = float(np.hypot(*line))
    return Quality(
        # Turning the head shortens the one, nodding the other.
        eye_distance=max(across, float(np.hypot(*down)) / _MOUTH),
        sharpness=sharpness(face.crop),
        yaw=_part(nose - eyes, line),
        pitch=_part(nose - eyes, down) - _NOSE,
        roll=math.degrees(math.atan2(line[1], line[0])),
        confidence=face.confidence,
    )


def _part(way: NDArray[np.float64], along: NDArray[np.float64]) -> float:
    """How far `way` leads along a line, in parts of it; 0 along none."""
    length = float(along @ along)
    return float(way @ along) / length if length > 0 else 0.0


def sharpness(crop: Image) -> float:
    """How much of the contrast between neighbouring pixels of the middle of a face is lost when it is blurred, 0..1.

    crop: (S, S, 3) uint8 RGB, aligned. 0 for one that has no contrast. It depends neither on contrast nor, because it
    is measured where all faces are of one size, on the face's: what was enlarged from a few pixels is as blurred as it
    looks. Source: F. Crete et al., "The blur effect: perception and estimation with a new no-reference perceptual blur
    metric", SPIE 6492, 2007 (1 less its measure).
    """
    kept = []
    for axis in (0, 1):
        grey = _middle(crop)
        blurred = uniform_filter1d(grey, _WINDOW, axis, mode="nearest")
        sharp, soft = (np.abs(np.diff(picture, axis=axis)) for picture in (grey, blurred))
        total = sharp.sum()
        kept.append(np.maximum(sharp - soft, 0).sum() / total if total > 0 else 0.0)
    return float(min(kept))  # blur of a moving camera has a direction


def _middle(crop: Image) -> NDArray[np.float64]:
    """(72, 72) grey, 0..255: brows to mouth of a crop at the size of 112, without what is behind the face."""
    grey = PIL.Image.fromarray(crop).convert("L")
    if grey.width == 128:
        grey = grey.crop((8, 8, 120, 120))
    if grey.width != 112:
        grey = grey.resize((112, 112), Resampling.BICUBIC)
    return np.asarray(grey.crop((20, 36, 92, 108)), np.float64)
