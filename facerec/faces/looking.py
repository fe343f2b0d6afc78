"""From photos to aligned faces, around a network that finds boxes and five landmarks; `alignment` makes the crops.

Coordinates are pixel indices: (0, 0) is the centre of the photo's upper left pixel.
"""

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
import PIL.Image
from PIL.Image import Resampling

from facerec.faces.alignment import align
from facerec.faces.detector import Detector
from facerec.faces.found import NOTHING, Found
from facerec.faces.main_face import SURE, main_first
from facerec.faces.settings import DetectorSettings
from facerec.types import Face, Image

_BATCH_PIXELS = 4_000_000  # of photos that are looked at together: 8 bytes each
_LOOK_BATCH = 32  # windows of second looks that go through the networks together

Square = tuple[int, int, int]  # left, top, side

Search = Callable[[Sequence[Image], int], list[Found]]
"""The faces from a number of pixels on in each (H, W, 3) uint8 RGB photo, whose sides are larger than that number."""


@dataclass(frozen=True, slots=True)
class SecondLook:
    """How some faces are looked at again, each in a square window of the photo, black outside the photo.

    side: the window is scaled to so many pixels a side. least: the smallest face looked for in it, in these pixels.
    room: how often the face's longer side goes into the window's.
    reach: a face is looked at again if the square around it, enlarged by this factor, crosses the photo's border.
    """

    side: int = 160
    least: int = 40
    room: float = 2.0
    reach: float = 1.1


class LookingDetector:
    """What MTCNN and YuNet share: how often and where their networks look, and what becomes of the faces.

    Crops are (crop_size, crop_size, 3), cut from the photo in its full resolution.
    """

    second_look = SecondLook()
    """MTCNN clamps its windows to the photo, which squeezes a face at the border and moves its landmarks."""

    turns = True
    """Whether photos are looked at turned at all (`upright`)."""

    surer = 10.0
    """How many times less doubt there must be about a turned photo's surest face: see `needed_if_turned`."""

    def __init__(self, search: Search, settings: DetectorSettings, crop_size: int) -> None:
        """search: asks the network about photos."""
        self._search = search
        self.settings = settings
        self.crop_size = crop_size

    def detect(self, images: Sequence[Image]) -> list[list[Face]]:
        """The faces of each photo whose confidence is at least `min_confidence`, the main face first.

        A photo without a sure face is looked at again after each quarter turn. If one then shows a far surer face
        (`needed_if_turned`), its faces are used.
        """
        small = [shrunk(image, self.settings.max_side) for image in images]
        found = [(0, faces) for faces in self.look(small)]
        unsure = [i for i, (_, faces) in enumerate(found) if self.turns and faces.surest() < SURE]
        for i, turned in zip(unsure, self.look_turned([small[i] for i in unsure]), strict=True):
            if turned[1].surest() >= needed_if_turned(found[i][1].surest(), self.surer):
                found[i] = turned
        return [self._faces(image, little, *each) for image, little, each in zip(images, small, found, strict=True)]

    def look(self, images: Sequence[Image]) -> list[Found]:
        """The faces of each photo whose confidence is at least `min_confidence`, each once."""
        found = self._looked_again(images, _first_look(self._search, images, self.settings))
        return [faces.keep(faces.scores >= self.settings.min_confidence).unique() for faces in found]

    def _looked_again(self, images: Sequence[Image], found: Sequence[Found]) -> list[Found]:
        """The faces after a second look at some of them (`_looks`)."""
        how, least = self.second_look, self.settings.min_face_size
        looks = [
            (i, *look)
            for i, faces in enumerate(found)
            for look in _looks(faces, images[i], self.settings.min_confidence, how)
        ]
        result = list(found)
        for start in range(0, len(looks), _LOOK_BATCH):
            some = looks[start : start + _LOOK_BATCH]
            windows = [_window(images[i], square, how.side) for i, _, square in some]
            for (i, face, (left, top, side)), seen in zip(some, self._search(windows, how.least), strict=True):
                seen = seen.moved(side / how.side, np.array([left, top], np.float32))
                large = (seen.boxes[:, 2:] - seen.boxes[:, :2]).max(1) >= least
                result[i] = result[i].replaced(face, seen.keep(large))
        return result

    def look_turned(self, images: Sequence[Image]) -> list[tuple[int, Found]]:
        """By how many degrees each photo is turned clockwise to show its surest face; and its faces, turned back."""
        best = [(0, NOTHING)] * len(images)
        for quarters in (1, 2, 3):
            turned = [np.ascontiguousarray(np.rot90(image, -quarters)) for image in images]
            for i, faces in enumerate(self.look(turned)):
                if faces.surest() > best[i][1].surest():
                    best[i] = (90 * quarters, faces.turned_back(quarters, turned[i].shape))
        return best

    def _faces(self, image: Image, small: Image, turned: int, found: Found) -> list[Face]:
        """The faces to report, from those `found` in the scaled-down photo `small`, in pixels of the photo."""
        scale = np.array([image.shape[1] / small.shape[1], image.shape[0] / small.shape[0]], np.float32)
        found = found.moved(scale)
        faces = [
            Face(
                crop=align(image, points, self.crop_size),
                box=(float(box[0]), float(box[1]), float(box[2]), float(box[3])),
                landmarks=points,
                confidence=float(score),
                turned=turned,
            )
            for box, points, score in zip(found.boxes, found.points, found.scores, strict=True)
        ]
        return main_first(faces, image.shape)


def upright(detector: Detector) -> Detector:
    """A detector like this one for pictures that are known to be upright, as those of a video: it turns none.

    Looking at pictures without a face four times would take most of the time. Detectors of other kinds stay as they
    are.
    """
    if not isinstance(detector, LookingDetector):
        return detector
    alike = copy(detector)
    alike.turns = False
    return alike


def needed_if_turned(upright: float, surer: float = LookingDetector.surer) -> float:
    """The confidence that a turned photo's surest face needs: its doubt times `surer` is at most the upright face's.

    The doubt is 1 - confidence. An upright face below 0.9, or no face (0), counts as 0.9.
    """
    return 1 - (1 - max(upright, 0.9)) / surer


def shrunk(image: Image, max_side: int) -> Image:
    """`image`, scaled down (antialiased) if its longer side is above `max_side` pixels."""
    height, width = image.shape[:2]
    scale = max_side / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(PIL.Image.fromarray(image).resize(size, Resampling.HAMMING, reducing_gap=3.0))


def _first_look(search: Search, images: Sequence[Image], settings: DetectorSettings) -> list[Found]:
    """The faces of each photo, of some photos at a time."""
    found: list[Found] = []
    for some in _batches(images, settings.batch_size):
        # The networks need photos that are larger than their smallest window.
        seen = search([_at_least(image, settings.min_face_size + 1) for image in some], settings.min_face_size)
        found += [_inside(*each) for each in zip(seen, some, strict=True)]
    return found


def _batches(images: Sequence[Image], batch_size: int) -> Iterator[Sequence[Image]]:
    """The photos in order, at most `batch_size` together, and no more than _BATCH_PIXELS allows."""
    start = pixels = 0
    for i, image in enumerate(images):
        pixels += image.shape[0] * image.shape[1]
        if i > start and (i - start >= batch_size or pixels > _BATCH_PIXELS):
            yield images[start:i]
            start, pixels = i, image.shape[0] * image.shape[1]
    if len(images) > start:
        yield images[start:]


def _at_least(image: Image, side: int) -> Image:
    """The photo, with black pixels on its right and below where it is smaller than side x side."""
    missing = [max(0, side - length) for length in image.shape[:2]]
    return np.pad(image, [(0, missing[0]), (0, missing[1]), (0, 0)]) if any(missing) else image


def _looks(found: Found, image: Image, min_confidence: float, how: SecondLook) -> list[tuple[int | None, Square]]:
    """Which squares of a photo to look at again, and each one's face.

    A photo without a sure face is looked at as a whole, with a margin; that look is for no face in particular (None).
    """
    height, width = image.shape[:2]
    if not (found.scores >= min_confidence).any():
        side = round(1.5 * max(height, width))
        return [(None, ((width - side) // 2, (height - side) // 2, side))]
    looks = []
    for face, (x1, y1, x2, y2) in enumerate(found.boxes.tolist()):
        x, y, half = (x1 + x2) / 2, (y1 + y2) / 2, max(x2 - x1, y2 - y1) / 2
        side = 2 * how.room * half
        if min(x, y, width - x, height - y) < how.reach * half:
            looks.append((face, (round(x - how.room * half), round(y - how.room * half), max(1, round(side)))))
    return looks


def _window(image: Image, square: Square, size: int) -> Image:
    """A square of the photo as (size, size, 3) uint8, black outside the photo."""
    left, top, side = square
    right, bottom, x, y = left + side, top + side, max(left, 0), max(top, 0)
    inside = PIL.Image.fromarray(np.ascontiguousarray(image[y : max(bottom, y), x : max(right, x)]))
    part = inside.crop((left - x, top - y, right - x, bottom - y))
    return np.asarray(part.resize((size, size), Resampling.BICUBIC))


def _inside(found: Found, image: Image) -> Found:
    """The faces whose box has its centre in the photo; the others were seen in what `_at_least` added."""
    centres = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    return found.keep(np.all(centres < (image.shape[1], image.shape[0]), axis=1))
