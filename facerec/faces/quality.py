"""How suitable a face is for recognition: size, sharpness, pose, the detector's confidence, and what is wrong in words.

These are the measures of ISO/IEC 29794-5 that five landmarks and a crop can give. Their limits are measured:
`scripts/studies/photo_quality.py` shows how much more often the default model misses people as each measure gets worse.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any

import numpy as np
import PIL.Image
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL.Image import Resampling

from facerec.text import Brief
from facerec.types import Face, Image

_MOUTH = 40.59 / 35.24  # ArcFace's template: the way from the eyes to the mouth, divided by the eyes' distance
_NOSE = 20.14 / 40.59  # and the way from the eyes to the tip of the nose, divided by the way to the mouth
_WINDOW = 11  # pixels of the blur in `sharpness`; Crete's value


@dataclass(frozen=True, slots=True)
class Limit:
    """The limits of one measure.

    good: the value a good face has. least: the value a face must have to be enrolled. Both are lower limits; with
    `most` they are upper limits of the absolute value. words: what is wrong and what to do, with two places, for the
    value and for `good`. decimals: how many those two are shown with, at least.
    """

    measure: str
    good: float
    least: float
    words: str
    decimals: int = 2
    most: bool = False

    def holds(self, value: float, limit: float) -> bool:
        """Whether `value` keeps to `limit`. NaN does not."""
        return abs(value) <= limit if self.most else value >= limit

    def complaint(self, value: float) -> str:
        """The words for a value that is not good, with enough decimals to see that it differs from `good`."""
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
"""From `scripts/studies/photo_quality.py`, on the validation people's crops: at `good` twice as many comparisons are
missed as usual, at `least` half of all. Only seven of the crops have a yaw above 0.4, and none has a confidence below
0.99. So faces with a lower confidence are reported because nothing is known about them; `least` is MTCNN's default.
Neither pitch nor roll made a difference that these crops could show."""


@dataclass(frozen=True, slots=True, repr=False)
class Quality(Brief):
    """The quality of one face.

    eye_distance: pixels of the photo between the eyes, corrected for a turned head.
    sharpness: of the aligned crop, from 0 (blurred, or enlarged from a few pixels) to 1; see `sharpness`.
    yaw: how far the nose is from the middle between the eyes, along the line through them, divided by their distance.
    0 is frontal, 0.5 has the nose below the eye at the image's right, -0.5 below the one at its left.
    pitch: how far the nose is below (positive) or above its place in a frontal face, divided by the way from the eyes
    to the mouth. roll: the angle of the line through the eyes, in degrees clockwise; alignment removes it.
    confidence: the detector's, 0..1.
    An aligned crop has the template's landmarks, so its pose is unknown and reads as frontal.
    """

    eye_distance: float
    sharpness: float
    yaw: float
    pitch: float
    roll: float
    confidence: float

    @property
    def problems(self) -> tuple[str, ...]:
        """What is doubtful about the face and what to do, one clause each; empty for a good face."""
        return self._complaints(lambda limit: limit.good)

    @property
    def faults(self) -> tuple[str, ...]:
        """Why the face is too poor to be enrolled, one clause each; empty if it may be enrolled."""
        return self._complaints(lambda limit: limit.least)

    def to_json(self) -> dict[str, Any]:
        """The measures, rounded, and the problems, ready for `json.dumps`."""
        return {**{name: round(value, 4) for name, value in asdict(self).items()}, "problems": list(self.problems)}

    def _complaints(self, chosen: Callable[[Limit], float]) -> tuple[str, ...]:
        values = [(limit, getattr(self, limit.measure)) for limit in LIMITS]
        return tuple(limit.complaint(value) for limit, value in values if not limit.holds(value, chosen(limit)))


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class MeasuredFace(Face):
    """A face that was measured when its crop was there. Its crop is empty, (0, 0, 3)."""

    quality: Quality | None = None


def measure(face: Face) -> Quality:
    """Measure one face; one that was measured before has the quality that it had then."""
    if isinstance(face, MeasuredFace) and face.quality is not None:
        return face.quality
    left, right, nose, *mouth = face.landmarks.astype(np.float64)
    eyes, line = (left + right) / 2, right - left
    down = np.mean(mouth, axis=0) - eyes
    across = float(np.hypot(*line))
    return Quality(
        # Turning the head shortens the first, nodding the second.
        eye_distance=max(across, float(np.hypot(*down)) / _MOUTH),
        sharpness=sharpness(face.crop),
        yaw=_part(nose - eyes, line),
        pitch=_part(nose - eyes, down) - _NOSE,
        roll=math.degrees(math.atan2(line[1], line[0])),
        confidence=face.confidence,
    )


def _part(way: NDArray[np.float64], along: NDArray[np.float64]) -> float:
    """How far `way` (2,) leads along the line `along` (2,), divided by the line's length; 0 if that is 0."""
    length = float(along @ along)
    return float(way @ along) / length if length > 0 else 0.0


def sharpness(crop: Image) -> float:
    """The share of the contrast between neighbouring pixels in the middle of a face that blurring it removes, 0..1.

    crop: (S, S, 3) uint8 RGB, aligned. A crop without contrast has 0. The measure does not depend on the amount of
    contrast. Nor does it depend on the face's size in the photo, as all crops show the face in one size: a face that
    was enlarged from a few pixels counts as blurred. Source: F. Crete et al., "The blur effect: perception and
    estimation with a new no-reference perceptual blur metric", SPIE 6492, 2007 (1 minus its measure).
    """
    kept = []
    for axis in (0, 1):
        grey = _middle(crop)
        blurred = _blurred(grey, axis)
        sharp, soft = (np.abs(np.diff(picture, axis=axis)) for picture in (grey, blurred))
        total = sharp.sum()
        kept.append(np.maximum(sharp - soft, 0).sum() / total if total > 0 else 0.0)
    return float(min(kept))  # a moving camera blurs along one axis only


def _blurred(grey: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """The mean of the _WINDOW pixels around each along an axis; the border's go on beyond it."""
    beyond = [(_WINDOW // 2, _WINDOW // 2) if along == axis else (0, 0) for along in (0, 1)]
    return sliding_window_view(np.pad(grey, beyond, mode="edge"), _WINDOW, axis).mean(-1)


def _middle(crop: Image) -> NDArray[np.float64]:
    """(72, 72) grey, 0..255: a crop of size 112 from the brows to the mouth, without the background."""
    grey = PIL.Image.fromarray(crop).convert("L")
    if grey.width == 128:
        grey = grey.crop((8, 8, 120, 120))
    if grey.width != 112:
        grey = grey.resize((112, 112), Resampling.BICUBIC)
    return np.asarray(grey.crop((20, 36, 92, 108)), np.float64)
