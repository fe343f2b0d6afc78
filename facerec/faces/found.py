"""The faces that were found in one picture, as arrays."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec.faces.alignment import Points
from facerec.faces.main_face import SURE


@dataclass(frozen=True, eq=False, slots=True)
class Found:
    """N faces of one picture: boxes (N, 4), landmarks (N, 5, 2), both in its pixels, and scores (N,). All float32."""

    boxes: Points
    points: Points
    scores: Points

    def keep(self, which: NDArray[Any]) -> "Found":
        """Some of the faces; which: a mask (N,) or indices."""
        return Found(self.boxes[which], self.points[which], self.scores[which])

    def moved(self, scale: Points | float, shift: Points | float = 0.0) -> "Found":
        """The faces in another picture's coordinates: p becomes (p + 0.5) * scale - 0.5 + shift, in x and in y."""
        scale, shift = np.broadcast_to(scale, 2), np.broadcast_to(shift, 2)
        boxes = (self.boxes.reshape(-1, 2, 2) + 0.5) * scale - 0.5 + shift
        points = (self.points + 0.5) * scale - 0.5 + shift
        return Found(boxes.reshape(-1, 4).astype(np.float32), points.astype(np.float32), self.scores)

    def surest(self) -> float:
        """The highest score; 0 where there is no face."""
        return float(self.scores.max(initial=0.0))

    def turned_back(self, quarters: int, shape: tuple[int, ...]) -> "Found":
        """The faces where they are in the picture before it was turned clockwise by some quarters to this shape."""
        found = self
        for width in (shape[1], shape[0], shape[1])[:quarters]:
            x1, y1, x2, y2 = found.boxes.T
            boxes = np.column_stack([y1, width - 1 - x2, y2, width - 1 - x1])
            points = np.stack([found.points[..., 1], width - 1 - found.points[..., 0]], axis=-1)
            found = Found(boxes, points, found.scores)
        return found

    def replaced(self, face: int | None, seen: "Found") -> "Found":
        """The faces, `face` of them as `seen` in a second look; if None, with all that was seen added.

        Other faces that the second look saw are not used, since its window may have cut them.
        """
        if face is None:
            columns = [(self.boxes, seen.boxes), (self.points, seen.points), (self.scores, seen.scores)]
            return Found(*(np.concatenate(column) for column in columns))
        overlaps = iou(self.boxes[face], seen.boxes)
        if overlaps.max(initial=0.0) < 0.3:
            return self
        best, this = overlaps.argmax(), np.arange(len(self.scores)) == face
        return Found(
            np.where(this[:, None], seen.boxes[best], self.boxes),
            np.where(this[:, None, None], seen.points[best], self.points),
            np.where(this, seen.scores[best], self.scores),
        )

    def unique(self) -> "Found":
        """Without repetitions: of boxes with an IoU above 0.4 only the one with the highest score is kept.

        A second look may find a face again. And where two faces are close, MTCNN may see a third, made of parts of
        both. So a face is dropped, too, if all its landmarks lie in the box of a face with a higher score, or if it is
        doubtful and covers more than half of such a box.
        """

        def repeats(face: int, kept: list[int]) -> bool:
            same = iou(self.boxes[face], self.boxes[kept]).max() > 0.4
            return bool(same or self._lies_in(face, kept) or self._covers_in_doubt(face, kept))

        return self.keep(np.array(sorted(distinct(self.scores, repeats)), np.int64))

    def _covers_in_doubt(self, face: int, others: list[int]) -> bool:
        """Whether a face that is not sure covers more than half of one other's box."""
        return bool(self.scores[face] < SURE and covered(self.boxes[face], self.boxes[others]).max() > 0.5)

    def _lies_in(self, face: int, others: list[int]) -> bool:
        """Whether all landmarks of a face are in the box of one other."""
        corners = self.boxes[others].reshape(-1, 1, 2, 2)
        return bool(((corners[:, :, 0] < self.points[face]) & (self.points[face] < corners[:, :, 1])).all((1, 2)).any())


NOTHING = Found(np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32))


def iou(box: Points, boxes: Points) -> Points:
    """(N,) intersection over union of one box (4,) with (N, 4) boxes."""
    shared = _shared(box, boxes)
    return np.divide(shared, _areas(boxes) + _areas(box[None]) - shared)


def covered(box: Points, boxes: Points) -> Points:
    """(N,) the part of each of (N, 4) boxes that lies in one box (4,)."""
    return np.divide(_shared(box, boxes), _areas(boxes))


def _shared(box: Points, boxes: Points) -> Points:
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    return np.clip(sides, 0, None).prod(1)


def _areas(boxes: Points) -> Points:
    return (boxes[:, 2:] - boxes[:, :2]).prod(1)


def distinct(scores: Points, repeats: Callable[[int, list[int]], bool]) -> list[int]:
    """The numbers of the faces that stay, the highest score first: those that do not repeat the ones before them."""
    kept: list[int] = []
    for face in np.argsort(scores, kind="stable")[::-1]:
        if not kept or not repeats(int(face), kept):
            kept.append(int(face))
    return kept
