"""What travels between the rooms: frozen dataclasses over numpy arrays, nothing else.

Distances are squared Euclidean between unit vectors everywhere: d = |a - b|^2 = 2 - 2 cos, from 0 to 4.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerec.errors import FacerecError

Floats = NDArray[np.float64]
Image = NDArray[np.uint8]  # (H, W, 3) RGB, 0..255
Vectors = NDArray[np.float32]  # (N, D) rows of length 1
Box = tuple[float, float, float, float]  # x1, y1, x2, y2 in pixels of the upright photo


@dataclass(frozen=True, eq=False, slots=True)
class Face:
    """One detected face.

    crop: (S, S, 3) uint8 RGB, aligned to the ArcFace template (S = 112 to recognise, 128 to train on).
    box: in pixels of the photo as `read_image` returned it; may reach past its border.
    landmarks: (5, 2) float32 pixels: left eye, right eye, nose, left and right mouth corner, as seen in the image.
    confidence: the detector's, 0..1.
    vector: (D,) unit float32, where the face was embedded too; else None.

    >>> import facerec
    >>> face = facerec.load().faces("gallery/people/Joe Biden/blue_room_2010.jpg")[0]
    >>> face.crop.shape, face.landmarks.shape, face.vector.shape
    ((112, 112, 3), (5, 2), (128,))
    """

    crop: Image
    box: Box
    landmarks: NDArray[np.float32]
    confidence: float
    vector: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Photo:
    """A photo after detection and embedding.

    faces: the main face first. vectors: (len(faces), D) unit float32. error: why it could not be read, else None.
    others: how many faces were found besides, where only the main one was asked for.
    """

    path: Path
    faces: tuple[Face, ...]
    vectors: Vectors
    error: FacerecError | None = None
    others: int = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A person and the distance d of the mean of their templates (of length 1 again) to the searched face."""

    person: str
    distance: float


@dataclass(frozen=True, slots=True)
class Threshold:
    """The largest distance that still counts as the same person, and in words where it comes from."""

    distance: float
    source: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer for one face.

    person: the name, or None for "unknown".
    distance: to the best candidate, matched or not, who is not a nearer face of the same photo; None without any. It is
    at most the threshold if and only if there is a `person`.
    margin: distance of the runner-up, the next farther candidate, less that of the best; None without one.
    candidates: all, nearest first. reason: one sentence, also when the answer is "unknown".
    probability: that the best candidate is the right one, 0..1 (`probability.Posterior`); None where it is not known.
    """

    person: str | None
    distance: float | None
    threshold: Threshold
    margin: float | None
    candidates: tuple[Candidate, ...]
    reason: str
    probability: float | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Template:
    """One enrolled face.

    photo_hash: SHA-256 (hex) of the photo file's bytes; a photo is enrolled once.
    source: the path it was enrolled from. quality: detector confidence, 0..1. vector: (D,) unit float32.
    crop: (S, S, 3) what was embedded, for galleries that keep it; None where it is not at hand.
    """

    photo_hash: str
    source: str
    box: Box
    quality: float
    vector: NDArray[np.float32]
    crop: Image | None = None
