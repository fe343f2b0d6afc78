"""From photos to aligned faces: MTCNN finds boxes and five landmarks, `alignment` makes the crops.

Source: K. Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks", 2016,
as implemented in facenet-pytorch 2.5.3, which only this file uses. Coordinates are pixel indices: (0, 0) is the centre
of the photo's upper left pixel.
"""

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL.Image import Resampling

from facerec.faces.alignment import Points, align
from facerec.faces.settings import DetectorSettings
from facerec.types import Face, Image

_THRESHOLDS = (0.6, 0.7, 0.7)  # of the three networks: facenet-pytorch's defaults
_PYRAMID_FACTOR = 0.709  # the authors'. 0.6 takes a fifth less time and missed one face in 1,583 photos of LFW
_CANVAS_PIXELS = 4_000_000  # pixels of one batch at most: about 200 MB of activations
_LOOK_SIDE = 160  # pixels a side of the window of a second look; the face fills about half of it
_LOOK_BATCH = 32  # windows of second looks that go through the networks together
_REACH = 1.1  # a face is at the border if the square around it, enlarged by this factor, crosses the border


class MTCNNDetector:
    """MTCNN. Crops are (crop_size, crop_size, 3), cut from the photo in its full resolution.

    The main face is large and near the middle: faces are sorted by area - 2 * offset^2, the largest first. offset is
    the distance of the box's centre from the photo's centre, in pixels.
    """

    def __init__(self, settings: DetectorSettings = DetectorSettings(), crop_size: int = 112) -> None:
        self.settings = settings
        self.crop_size = crop_size

    def detect(self, images: Sequence[Image]) -> list[list[Face]]:
        """The faces of each photo whose confidence is at least `min_confidence`, the main face first."""
        small = [_shrunk(image, self.settings.max_side) for image in images]
        found = _first_look(small, self.settings)
        found = _second_look(small, found, self.settings)
        return [self._faces(*each) for each in zip(images, small, found, strict=True)]

    def _faces(self, image: Image, small: Image, found: "_Found") -> list[Face]:
        """The faces to report, from those `found` in the scaled-down photo `small`, in pixels of the photo."""
        scale = np.array([image.shape[1] / small.shape[1], image.shape[0] / small.shape[0]], np.float32)
        found = found.keep(found.scores >= self.settings.min_confidence).unique().moved(scale)
        faces = [
            Face(
                crop=align(image, points, self.crop_size),
                box=(float(box[0]), float(box[1]), float(box[2]), float(box[3])),
                landmarks=points,
                confidence=float(score),
            )
            for box, points, score in zip(found.boxes, found.points, found.scores, strict=True)
        ]
        return sorted(faces, key=lambda face: -_prominence(face, image))


def _prominence(face: Face, image: Image) -> float:
    """The area of the box less twice the squared distance of its centre from the photo's centre, in pixels^2."""
    x1, y1, x2, y2 = face.box
    offset = ((x1 + x2 - image.shape[1]) / 2, (y1 + y2 - image.shape[0]) / 2)
    return (x2 - x1) * (y2 - y1) - 2 * (offset[0] ** 2 + offset[1] ** 2)


# ---- MTCNN ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class _Found:
    """N faces of one picture: boxes (N, 4), landmarks (N, 5, 2), both in its pixels, and scores (N,). All float32."""

    boxes: Points
    points: Points
    scores: Points

    def keep(self, which: NDArray[Any]) -> "_Found":
        """Some of the faces; which: a mask (N,) or indices."""
        return _Found(self.boxes[which], self.points[which], self.scores[which])

    def moved(self, scale: Points | float, shift: Points | float = 0.0) -> "_Found":
        """The faces in another picture's coordinates: p becomes (p + 0.5) * scale - 0.5 + shift, in x and in y."""
        scale, shift = np.broadcast_to(scale, 2), np.broadcast_to(shift, 2)
        boxes = (self.boxes.reshape(-1, 2, 2) + 0.5) * scale - 0.5 + shift
        points = (self.points + 0.5) * scale - 0.5 + shift
        return _Found(boxes.reshape(-1, 4).astype(np.float32), points.astype(np.float32), self.scores)

    def replaced(self, face: int | None, seen: "_Found") -> "_Found":
        """The faces after a second look has `seen` some: `face` as seen there, or if None all that was seen.

        Other faces that the second look saw are not used, since its window may have cut them.
        """
        if face is None:
            columns = [(self.boxes, seen.boxes), (self.points, seen.points), (self.scores, seen.scores)]
            return _Found(*(np.concatenate(column) for column in columns))
        overlaps = _iou(self.boxes[face], seen.boxes)
        if overlaps.max(initial=0.0) < 0.3:
            return self
        best, this = overlaps.argmax(), np.arange(len(self.scores)) == face
        return _Found(
            np.where(this[:, None], seen.boxes[best], self.boxes),
            np.where(this[:, None, None], seen.points[best], self.points),
            np.where(this, seen.scores[best], self.scores),
        )

    def unique(self) -> "_Found":
        """Without repetitions: of boxes with an IoU above 0.4 only the one with the highest score is kept.

        A second look may find a face again, and MTCNN may see a third face in two neighbouring ones.
        """
        kept: list[int] = []
        for i in np.argsort(-self.scores, kind="stable"):
            if not kept or _iou(self.boxes[i], self.boxes[kept]).max() <= 0.4:
                kept.append(int(i))
        return self.keep(np.array(sorted(kept), np.int64))


def _iou(box: Points, boxes: Points) -> Points:
    """(N,) intersection over union of one box (4,) with (N, 4) boxes."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    shared = np.clip(sides, 0, None).prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return shared / (areas + (box[2:] - box[:2]).prod() - shared)


def _shrunk(image: Image, max_side: int) -> Image:
    """`image`, scaled down (antialiased) if its longer side is above `max_side` pixels."""
    height, width = image.shape[:2]
    scale = max_side / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(PIL.Image.fromarray(image).resize(size, Resampling.BICUBIC, reducing_gap=3.0))


def _first_look(images: Sequence[Image], settings: DetectorSettings) -> list[_Found]:
    """The faces of each photo; photos of similar size go through the networks as one batch."""
    found: dict[int, _Found] = {}
    for chosen in _batches([image.shape[:2] for image in images], settings.batch_size):
        # The cascade needs a canvas that is larger than its smallest window.
        height = max(settings.min_face_size + 1, *(images[i].shape[0] for i in chosen))
        width = max(settings.min_face_size + 1, *(images[i].shape[1] for i in chosen))
        canvas = np.zeros((len(chosen), height, width, 3), np.uint8)
        for place, i in zip(canvas, chosen, strict=True):
            place[: images[i].shape[0], : images[i].shape[1]] = images[i]
        for i, faces in zip(chosen, _cascade(canvas, settings.min_face_size), strict=True):
            found[i] = _inside(faces, images[i])
    return [found[i] for i in range(len(images))]


def _batches(shapes: Sequence[tuple[int, ...]], batch_size: int) -> Iterator[list[int]]:
    """Indices of photos that share a canvas: at most `batch_size`, with at most a third of the canvas as padding."""
    batch: list[int] = []
    height = width = area = 0
    for i in sorted(range(len(shapes)), key=lambda i: shapes[i]):
        canvas = max(height, shapes[i][0]) * max(width, shapes[i][1]) * (len(batch) + 1)
        if batch and (len(batch) >= batch_size or canvas > min(1.5 * (area + math.prod(shapes[i])), _CANVAS_PIXELS)):
            yield batch
            batch, height, width, area = [], 0, 0, 0
        batch.append(i)
        height, width = max(height, shapes[i][0]), max(width, shapes[i][1])
        area += math.prod(shapes[i])
    if batch:
        yield batch


def _second_look(images: Sequence[Image], found: Sequence[_Found], settings: DetectorSettings) -> list[_Found]:
    """Look again at faces at the border, and at photos without a face, with black pixels around the photo.

    The cascade clamps its windows to the photo. That squeezes a face at the border and moves its landmarks.
    """
    looks = [(i, *look) for i, faces in enumerate(found) for look in _looks(faces, images[i], settings)]
    result = list(found)
    for start in range(0, len(looks), _LOOK_BATCH):
        some = looks[start : start + _LOOK_BATCH]
        windows = np.stack([_window(images[i], square) for i, _, square in some])
        for (i, face, (left, top, side)), seen in zip(some, _cascade(windows, _LOOK_SIDE // 4), strict=True):
            seen = seen.moved(side / _LOOK_SIDE, np.array([left, top], np.float32))
            large = (seen.boxes[:, 2:] - seen.boxes[:, :2]).max(1) >= settings.min_face_size
            result[i] = result[i].replaced(face, seen.keep(large))
    return result


def _looks(found: _Found, image: Image, settings: DetectorSettings) -> list[tuple[int | None, tuple[int, int, int]]]:
    """Which squares (left, top, side) of a photo to look at again, and each one's face.

    A face at the border is looked at in a square twice as large. A photo without a sure face is looked at as a whole,
    with a margin; that look is for no face in particular (None).
    """
    height, width = image.shape[:2]
    if not (found.scores >= settings.min_confidence).any():
        side = round(1.5 * max(height, width))
        return [(None, ((width - side) // 2, (height - side) // 2, side))]
    looks = []
    for face, (x1, y1, x2, y2) in enumerate(found.boxes.tolist()):
        x, y, half = (x1 + x2) / 2, (y1 + y2) / 2, max(x2 - x1, y2 - y1) / 2
        if min(x, y, width - x, height - y) < _REACH * half:
            looks.append((face, (round(x - 2 * half), round(y - 2 * half), max(1, round(4 * half)))))
    return looks


def _window(image: Image, square: tuple[int, int, int]) -> Image:
    """A square (left, top, side) of the photo as (_LOOK_SIDE, _LOOK_SIDE, 3) uint8, black outside the photo."""
    left, top, side = square
    part = PIL.Image.fromarray(image).crop((left, top, left + side, top + side))
    return np.asarray(part.resize((_LOOK_SIDE, _LOOK_SIDE), Resampling.BICUBIC))


def _inside(found: _Found, image: Image) -> _Found:
    """The faces whose box has its centre in the photo; the others were seen in the padding of the canvas."""
    centres = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    return found.keep(np.all(centres < (image.shape[1], image.shape[0]), axis=1))


def _cascade(canvas: NDArray[np.uint8], min_face_size: int) -> list[_Found]:
    """Run MTCNN on (N, H, W, 3) uint8 RGB photos of one size; H and W must be above min_face_size."""
    import torch
    from facenet_pytorch.models.utils.detect_face import detect_face

    with _float32(), torch.inference_mode():
        boxes, points = detect_face(canvas, min_face_size, *_networks(), list(_THRESHOLDS), _PYRAMID_FACTOR, "cpu")
    return [_found(*each) for each in zip(boxes, points, strict=True)]


def _found(boxes: Any, points: Any) -> _Found:
    """One photo's faces from facenet-pytorch's object arrays: boxes (N, 5), the score last, and points (N, 5, 2)."""
    boxes = np.asarray(boxes, np.float32).reshape(-1, 5)
    return _Found(boxes[:, :4], np.asarray(points, np.float32).reshape(-1, 5, 2), boxes[:, 4])


_DTYPE = threading.Lock()  # the default type is the whole process's


@cache
def _networks() -> tuple[Any, Any, Any]:
    """MTCNN's three networks, loaded with the first photo: importing torch takes seconds."""
    from facenet_pytorch.models.mtcnn import ONet, PNet, RNet

    return PNet().eval(), RNet().eval(), ONet().eval()


@contextmanager
def _float32() -> Iterator[None]:
    """Make float32 torch's default type for a moment: facenet-pytorch uses the default, which a caller may change."""
    import torch

    if torch.get_default_dtype() == torch.float32:
        yield
        return
    with _DTYPE:
        default = torch.get_default_dtype()
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(default)
