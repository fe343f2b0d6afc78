"""MTCNN's three networks, one after another: photos -> boxes, five landmarks and scores.

Source: K. Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks", 2016.
The networks are those of facenet-pytorch 2.5.3. What happens between them is what its `detect_face` does, except that a
photo's faces never depend on the other photos that are looked at with it.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from facerec.faces.alignment import Points
from facerec.faces.boxes import moved, overlaps, smaller_shares, squares, unrepeated
from facerec.faces.cascade_networks import network
from facerec.faces.found import Found
from facerec.faces.pyramid import CELL, STRIDE, Sheet, packed, tiles
from facerec.faces.sums import Photos, Pixels, Places
from facerec.models.running import batches, require_own_process
from facerec.types import Image

_THRESHOLDS = (0.6, 0.7, 0.7)  # of the three networks: facenet-pytorch's defaults
_SIZES = (64, 16, 4)  # of batches. Alone, an input would go through other programs, which round differently


def cascade(images: Sequence[Image], min_face_size: int) -> list[Found]:
    """The faces of each (H, W, 3) uint8 RGB photo with sides of at least `min_face_size` pixels."""
    require_own_process()
    photos = Photos(images)
    owners, boxes = _proposed(photos, min_face_size)
    owners, boxes = _refined(photos, owners, boxes)
    return _judged(photos, owners, boxes)


# ---- the first network: squares in the photo at many sizes ----------------------------------------------------------


def _proposed(photos: Photos, min_face_size: int) -> tuple[Places, Points]:
    """The squares that may hold a face: the numbers of their photos (N,), rising, and the squares (N, 4)."""
    sheets = packed([tile for number in range(len(photos.shapes)) for tile in tiles(photos, number, min_face_size)])
    outputs = network("pnet").run(sheet.pixels() for sheet in sheets)
    seen = [_seen(*each) for each in zip(sheets, outputs, strict=True)]
    places = np.concatenate([np.zeros((0, 4), np.int64), *(where for where, _ in seen)])
    rows = np.concatenate([np.zeros((0, 9), np.float32), *(what for _, what in seen)])
    order = np.lexsort((*places.T[:0:-1], -rows[:, 4], places[:, 0]))  # of each photo, the most likely first
    places, rows = places[order], rows[order]
    best = _best(1000 * places[:, 0] + places[:, 1], rows[:, :4], 0.5)  # in each level by itself
    places, rows = places[best], rows[best]
    best = _best(places[:, 0], rows[:, :4], 0.7)
    places, rows = places[best], rows[best]
    boxes, corrections = rows[:, :4], rows[:, 5:]
    return places[:, 0], squares(moved(boxes, corrections, boxes[:, 2:] - boxes[:, :2]))


def _seen(sheet: Sheet, output: Pixels) -> tuple[Places, Points]:
    """What the first network sees on a sheet, of which it gives (1, rows, columns, 6).

    (N, 4) places: numbers of photo and level, row and column there. (N, 9): boxes in the photo's pixels, scores,
    corrections.
    """
    output, owners = output[0], sheet.owners()
    scores = _scores(output)
    rows, columns = np.nonzero((scores >= _THRESHOLDS[0]) & (owners >= 0))
    owners = owners[rows, columns]
    starts = np.array([(tile.top, tile.left) for tile in sheet.tiles]) - sheet.places
    corners = STRIDE * np.column_stack([rows, columns]) + starts[owners]
    scales = np.array([tile.level.scale for tile in sheet.tiles], np.float32)[owners, None]
    edges = [np.floor((corners[:, ::-1] + np.float32(far)) / scales) for far in (1, CELL)]
    levels = np.array([(tile.level.photo, tile.level.number) for tile in sheet.tiles])
    found = np.column_stack([*edges, scores[rows, columns], output[rows, columns, 2:]])
    return np.column_stack([levels[owners], corners]), found


# ---- the second and the third: squares cut from the photo -----------------------------------------------------------


def _refined(photos: Photos, owners: Places, boxes: Points) -> tuple[Places, Points]:
    """The squares that may still hold a face, moved to where it lies; and their photos."""
    owners, boxes, output = _read(photos, owners, boxes, "rnet", 24, 6)
    scores = _scores(output)
    order = np.lexsort((-scores, owners))
    order = order[scores[order] > _THRESHOLDS[1]]
    best = order[_best(owners[order], boxes[order], 0.7)]
    return owners[best], squares(_corrected(boxes[best], output[best, 2:]))


def _judged(photos: Photos, owners: Places, boxes: Points) -> list[Found]:
    """The faces of each photo."""
    owners, boxes, output = _read(photos, owners, boxes, "onet", 48, 16)
    scores = _scores(output)
    order = np.lexsort((-np.arange(len(owners)), -scores, owners))  # of equal scores, the last comes first
    order = order[scores[order] > _THRESHOLDS[2]]
    owners, boxes, scores, output = owners[order], boxes[order], scores[order], output[order]
    sides = (boxes[:, 2:] - boxes[:, :2] + 1)[:, None]  # (N, 1, 2)
    points = sides * output[:, 6:].reshape(-1, 2, 5).swapaxes(1, 2) + boxes[:, None, :2] - 1
    faces = Found(_corrected(boxes, output[:, 2:6]), points, scores)
    return [
        faces.keep(own[unrepeated(smaller_shares(faces.boxes[own]) > 0.7)])
        for own in (np.flatnonzero(owners == number) for number in range(len(photos.shapes)))
    ]


def _read(
    photos: Photos, owners: Places, boxes: Points, name: str, side: int, width: int
) -> tuple[Places, Points, Points]:
    """The squares that meet their photos: those photos, the squares, and a network's outputs for them (N, width)."""
    corners = np.trunc(boxes).astype(np.int64)
    corners = np.hstack([np.maximum(corners[:, :2], 1) - 1, np.minimum(corners[:, 2:], photos.shapes[owners, ::-1])])
    meets = (corners[:, :2] < corners[:, 2:]).all(1)
    owners, boxes, corners = owners[meets], boxes[meets], corners[meets]
    parts = list(batches(len(owners), _SIZES))

    def inputs() -> Iterator[Pixels]:
        for part, size in parts:
            batch = np.zeros((size, side, side, 4), np.float32)
            photos.crop(owners[part], corners[part], batch[: part.stop - part.start])
            yield batch

    outputs = zip(network(name).run(inputs()), parts, strict=True)
    filled = [output[: part.stop - part.start] for output, (part, _) in outputs]
    return owners, boxes, np.concatenate([np.zeros((0, width), np.float32), *filled])


# ---- what all three need --------------------------------------------------------------------------------------------


def _scores(output: Points) -> Points:
    """The scores (...) of *face*, from the raw ones of *no face* and *face* that begin a network's outputs (..., n)."""
    doubt = np.minimum(output[..., 0] - output[..., 1], 80)  # so that `exp` is finite
    return np.divide(1, 1 + np.exp(doubt))


def _best(groups: Places, boxes: Points, most: float) -> Places:
    """Which of (N, 4) boxes stay: of those of one group (N,) whose IoU is above `most`, only the first."""
    order = np.argsort(groups, kind="stable")
    ends = np.flatnonzero(np.diff(groups[order])) + 1
    return np.sort(np.concatenate([own[unrepeated(overlaps(boxes[own]) > most)] for own in np.split(order, ends)]))


def _corrected(boxes: Points, corrections: Points) -> Points:
    """(N, 4) boxes whose edges are moved by (N, 4) shares of their sides, in whole pixels."""
    return moved(boxes, corrections, boxes[:, 2:] - boxes[:, :2] + 1)
