"""MTCNN's three networks, one after another: photos -> boxes, five landmarks and scores.

Source: K. Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks", 2016.
The networks and their weights are those of facenet-pytorch 2.5.3, which only this file uses. What happens between them
is what its `detect_face` does, except that a photo's faces never depend on the other photos that are looked at with it.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec.faces.alignment import Points
from facerec.faces.found import Found, distinct, smaller_share
from facerec.faces.pyramid import CELL, STRIDE, Photo, Pixels, Sheet, packed, tiles
from facerec.models.running import batches, require_own_process
from facerec.types import Image

_THRESHOLDS = (0.6, 0.7, 0.7)  # of the three networks: facenet-pytorch's defaults
_SIZES = (64, 16, 4)  # of batches. Alone, an input would go through other programs, which round differently


def cascade(images: Sequence[Image], min_face_size: int) -> list[Found]:
    """The faces of each (H, W, 3) uint8 RGB photo with sides of at least `min_face_size` pixels."""
    require_own_process()
    photos = [Photo(image) for image in images]
    boxes = _proposed(photos, min_face_size)
    boxes = _refined(photos, boxes)
    return _judged(photos, boxes)


# ---- the first network: squares in the photo at many sizes ----------------------------------------------------------


def _proposed(photos: Sequence[Photo], min_face_size: int) -> list[Points]:
    """The squares (N, 4) of each photo that may hold a face."""
    cut = [tile for number, photo in enumerate(photos) for tile in tiles(number, photo, min_face_size)]
    found = [_seen_in_sheet(sheet) for sheet in packed(cut)]
    nothing = (np.zeros((0, 9), np.float32), np.zeros(0, np.int64), np.zeros(0))
    rows, owners, levels = (np.concatenate(part) for part in zip(nothing, *found, strict=True))
    return [_proposed_in(rows[owners == number], levels[owners == number]) for number in range(len(photos))]


def _seen_in_sheet(sheet: Sheet) -> tuple[Points, NDArray[np.int64], NDArray[np.float64]]:
    """What the first network sees on a sheet.

    (N, 9) boxes in the photo's pixels, scores, corrections; the photos (N,); the scales of their levels (N,).
    """
    with _inference():
        corrections, scores = _first_network(sheet)
    owners = sheet.owners()
    rows, columns = np.nonzero((scores >= _THRESHOLDS[0]) & (owners >= 0))
    owners = owners[rows, columns]
    scales = np.array([tile.scale for tile in sheet.tiles])[owners]
    starts = np.array([(tile.left, tile.top) for tile in sheet.tiles]) - sheet.places[:, ::-1]
    corners = (STRIDE * np.column_stack([columns, rows]) + starts[owners]).astype(np.float32)
    exact = scales.astype(np.float32)[:, None]
    boxes = [np.floor((corners + 1) / exact), np.floor((corners + CELL) / exact)]
    seen = np.column_stack([*boxes, scores[rows, columns], corrections[:, rows, columns].T])
    return seen, np.array([tile.photo for tile in sheet.tiles])[owners], scales


def _first_network(sheet: Sheet) -> tuple[Points, Points]:
    """The corrections (4, rows, columns) and scores (rows, columns) of the squares of a sheet."""
    import torch

    network = _networks()[0]
    maps = network.prelu1(network.conv1(torch.from_numpy(sheet.pixels[None])))
    sheet.extend_edges(maps[0].numpy())
    maps = network.prelu2(network.conv2(network.pool1(maps)))
    maps = network.prelu3(network.conv3(maps))
    return network.conv4_2(maps)[0].numpy(), network.conv4_1(maps).softmax(1)[0, 1].numpy()


def _proposed_in(seen: Points, levels: NDArray[np.float64]) -> Points:
    """The squares (N, 4) of one photo, from what was seen (N, 9) at its levels (N,); the most likely first."""
    kept = [np.flatnonzero(levels == level) for level in np.unique(levels)[::-1]]
    seen = np.concatenate([seen[:0], *(seen[which][_best(seen[which], 0.5)] for which in kept)])
    seen = seen[_best(seen, 0.7)]
    sides = seen[:, 2:4] - seen[:, :2]
    return _square(_moved(seen[:, :4], seen[:, 5:], sides))


# ---- the second and the third: squares cut from the photo -----------------------------------------------------------


def _refined(photos: Sequence[Photo], boxes: Sequence[Points]) -> list[Points]:
    """The squares (N, 4) that may still hold a face, moved to where it lies."""
    boxes, (corrections, scores) = _read(photos, boxes, 24, _networks()[1])
    refined = []
    for own, correction, score in zip(boxes, corrections, scores, strict=True):
        kept = score[:, 1] > _THRESHOLDS[1]
        rows = np.column_stack([own, score[:, 1]])[kept]
        best = _best(rows, 0.7)
        refined.append(_square(_corrected(rows[best, :4], correction[kept][best])))
    return refined


def _judged(photos: Sequence[Photo], boxes: Sequence[Points]) -> list[Found]:
    """The faces of each photo."""
    boxes, (corrections, landmarks, scores) = _read(photos, boxes, 48, _networks()[2])
    return [_faces(*each) for each in zip(boxes, corrections, landmarks, scores, strict=True)]


def _faces(boxes: Points, corrections: Points, landmarks: Points, scores: Points) -> Found:
    kept = scores[:, 1] > _THRESHOLDS[2]
    boxes, scores = boxes[kept], scores[kept, 1]
    sides = (boxes[:, 2:] - boxes[:, :2] + 1)[:, None]  # (N, 1, 2)
    points = sides * landmarks[kept].reshape(-1, 2, 5).swapaxes(1, 2) + boxes[:, None, :2] - 1
    boxes = _corrected(boxes, corrections[kept])
    best = distinct(scores, lambda face, kept: bool(smaller_share(boxes[face], boxes[kept]).max() > 0.7))
    return Found(boxes[best], points[best], scores[best])


def _read(photos: Sequence[Photo], boxes: Sequence[Points], side: int, network: Any) -> tuple[list[Points], list[Any]]:
    """What a network says of each photo's squares that meet the photo: those squares, and its outputs for them."""
    crops, kept = [np.zeros((0, 3, side, side), np.float32)], []
    for photo, own in zip(photos, boxes, strict=True):
        corners = np.trunc(own).astype(np.int64)
        corners = np.hstack(
            [np.maximum(corners[:, :2], 1) - 1, np.minimum(corners[:, 2:], (photo.width, photo.height))]
        )
        meets = (corners[:, :2] < corners[:, 2:]).all(1)
        crops.append(photo.crops(corners[meets], side))
        kept.append(own[meets])
    ends = np.cumsum([len(own) for own in kept])[:-1]
    return kept, [np.split(output, ends) for output in _run(network, np.concatenate(crops))]


def _run(network: Any, crops: Pixels) -> list[Points]:
    """The network's outputs for (N, 3, S, S) crops, which it gets in batches of a few sizes."""
    import torch

    outputs = []
    with _inference():
        for part, size in batches(max(len(crops), 1), _SIZES):
            batch = np.zeros((size, *crops.shape[1:]), np.float32)
            batch[: len(crops[part])] = crops[part]
            outputs.append([output.numpy()[: len(crops[part])] for output in network(torch.from_numpy(batch))])
    return [np.concatenate(output) for output in zip(*outputs, strict=True)]


# ---- boxes ----------------------------------------------------------------------------------------------------------


def _corrected(boxes: Points, corrections: Points) -> Points:
    """(N, 4) boxes whose edges are moved by (N, 4) shares of their sides, in whole pixels."""
    return _moved(boxes, corrections, boxes[:, 2:] - boxes[:, :2] + 1)


def _moved(boxes: Points, shares: Points, sides: Points) -> Points:
    moved = boxes.copy()
    moved += shares * np.tile(sides, 2)
    return moved


def _square(boxes: Points) -> Points:
    """(N, 4) boxes, the shorter sides made as long as the longer."""
    sides = boxes[:, 2:] - boxes[:, :2]
    longer = sides.max(1, keepdims=True)
    squares = np.empty_like(boxes)
    squares[:, :2] = boxes[:, :2] + sides * 0.5 - longer * 0.5
    squares[:, 2:] = squares[:, :2] + longer
    return squares


def _best(rows: Points, most: float) -> NDArray[np.int64]:
    """Of (N, 5 or more) boxes and scores whose IoU is above `most` only the best; the best of all first."""
    import torch
    from torchvision.ops import nms

    return nms(torch.from_numpy(rows[:, :4]), torch.from_numpy(rows[:, 4]), most).numpy()


# ---- torch ----------------------------------------------------------------------------------------------------------

_DTYPE = threading.Lock()  # the default type is the whole process's


@cache
def _networks() -> tuple[Any, Any, Any]:
    """MTCNN's three networks, loaded with the first photo: importing torch takes seconds."""
    from facenet_pytorch.models.mtcnn import ONet, PNet, RNet

    return PNet().eval(), RNet().eval(), ONet().eval()


@contextmanager
def _inference() -> Iterator[None]:
    """Compute without gradients, in float32: layers take torch's default type, which a caller may change."""
    import torch

    with _float32(), torch.inference_mode():
        yield


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
