"""The data that packages exchange: frozen dataclasses of NumPy arrays and plain values.

Distances are squared Euclidean between unit vectors everywhere: d = |a - b|^2 = 2 - 2 cos, from 0 to 4.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerec.errors import FacerecError
from facerec.text import UNKNOWN, Brief, how_many, printable

Floats = NDArray[np.float64]
Image = NDArray[np.uint8]  # (H, W, 3) RGB, 0..255
Vectors = NDArray[np.float32]  # (N, D) rows of length 1
Box = tuple[float, float, float, float]  # x1, y1, x2, y2 in pixels of the upright photo


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Face(Brief):
    """One detected face.

    crop: (S, S, 3) uint8 RGB, aligned to the ArcFace template (S = 112 to recognise, 128 to train on).
    box: in pixels of the photo as `read_image` returned it; may reach past its border.
    landmarks: (5, 2) float32 pixels: left eye, right eye, nose, left and right mouth corner, as seen in the crop.
    confidence: the detector's, 0..1.
    vector: (D,) unit float32; None if the face was not embedded.
    turned: degrees, clockwise, by which the photo was turned to find the face; box and landmarks are in the photo as
    it is given.

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
    turned: int = 0

    def __str__(self) -> str:
        box = ", ".join(f"{side:.0f}" for side in self.box)
        return f"box {box}, confidence {self.confidence:.3f}"


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Photo(Brief):
    """A photo after detection and embedding.

    faces: the main face first. vectors: (len(faces), D) unit float32. error: why the photo cannot be used, or None.
    others: the number of other faces, if only the main face was asked for. remarks: what is odd about how the photo was
    read or its faces found, each in words that follow the photo's name and ": "; mostly none. digest: SHA-256 (hex) of
    the photo file's bytes where it was taken note of (`inference.shards`); else "".
    """

    path: Path
    faces: tuple[Face, ...]
    vectors: Vectors
    error: FacerecError | None = None
    others: int = 0
    remarks: tuple[str, ...] = ()
    digest: str = ""

    def __str__(self) -> str:
        return (
            str(self.error)
            if self.error is not None
            else f"{printable(self.path)}: {how_many(len(self.faces), 'face')}"
        )


@dataclass(frozen=True, slots=True, repr=False)
class Veto(Brief):
    """How near the searched face is to a face that was said not to be a person, and to that person.

    face: the distance to the nearest face said not to be the person. template: to the nearest of the person's
    templates.
    """

    face: float
    template: float


@dataclass(frozen=True, slots=True, repr=False)
class Candidate(Brief):
    """A person, and the distance of the searched face to the unit-length mean of their templates.

    veto: None unless somebody said of a face that it is not this person.
    """

    person: str
    distance: float
    veto: Veto | None = None

    def __str__(self) -> str:
        return f"{self.person} at {self.distance:.2f}"


@dataclass(frozen=True, slots=True, repr=False)
class Threshold(Brief):
    """The largest distance that counts as the same person, and its origin in words (`source`)."""

    distance: float
    source: str

    def __str__(self) -> str:
        return f"{self.distance:.3f}, {self.source}"


@dataclass(frozen=True, slots=True, repr=False)
class Decision(Brief):
    """The answer for one face.

    person: the name, or None for "unknown".
    distance: to the best candidate, even if it does not match; None if there is none. Nobody can be best who is already
    another, nearer face of the same photo. The distance is at most the threshold if and only if there is a `person`.
    margin: the distance of the runner-up minus that of the best candidate; None if there is no runner-up.
    candidates: all, nearest first, those who are other faces of the photo included. People struck by a veto are left
    out; the reason names them if one of them was nearest.
    reason: one sentence, also for "unknown".
    probability: that the best candidate is right, 0..1 (`decision.posterior`); None if not known.
    """

    person: str | None
    distance: float | None
    threshold: Threshold
    margin: float | None
    candidates: tuple[Candidate, ...]
    reason: str
    probability: float | None = None

    def __str__(self) -> str:
        return f"{self.person or UNKNOWN}: {self.reason}"


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Template(Brief):
    """One enrolled face.

    photo_hash: SHA-256 (hex) of the photo file's bytes; a photo is enrolled once.
    source: the path of the photo. box: of the face, in pixels of the photo. quality: the detector's confidence, 0..1.
    vector: (D,) unit float32. crop: the (S, S, 3) uint8 crop that was embedded, for galleries that keep crops; or None.
    """

    photo_hash: str
    source: str
    box: Box
    quality: float
    vector: NDArray[np.float32]
    crop: Image | None = None
