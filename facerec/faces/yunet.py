"""YuNet: one small network that sees faces of all sizes at once: photos -> boxes, five landmarks and scores.

Source: W. Wu, H. Peng, S. Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research, 2023. The
network (`weights/yunet.onnx`) is the OpenCV Zoo's `face_detection_yunet_2023mar_int8bq`. How its outputs are read is
what OpenCV's `face_detect.cpp` does.
"""

import math
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec.faces.alignment import Points
from facerec.faces.found import Found, distinct, iou
from facerec.faces.looking import LookingDetector, SecondLook, shrunk
from facerec.faces.settings import DetectorSettings
from facerec.models.compiled import compile_network
from facerec.models.running import require_own_process
from facerec.types import Image

_NETWORK = Path(__file__).parent / "weights" / "yunet.onnx"
_STRIDES = (8, 16, 32)  # pixels between neighbouring cells of the three grids on which the network sees faces
_LEAST_SCORE = 0.5  # less sure faces are not passed on, whatever `min_confidence` is
_SAME = 0.3  # of two faces with a larger intersection over union only the surer one counts: OpenCV's default
_FINEST = 16  # pixels: large photos are scaled down until the smallest face looked for is no larger
_LEAST_SIDE = 160  # pixels: but no photo's longer side becomes shorter than that
_SIDES = (160, 256, 320, 480, 640)  # of the network's input, in pixels; larger ones are multiples of the last


class YuNetDetector(LookingDetector):
    """YuNet: faster than MTCNN on large photos. Its landmarks lie a little differently."""

    name = "yunet"
    second_look = SecondLook(side=256, least=_FINEST, room=1.25, reach=math.inf)
    """Every face is looked at again: the larger a face is in the input, the more exact are its landmarks."""
    surer = 2.0
    """YuNet sees faces that lie on their side or stand on their head, too, and is only a little less sure of them."""

    def __init__(self, settings: DetectorSettings = DetectorSettings(), crop_size: int = 112) -> None:
        super().__init__(search, settings, crop_size)


def search(images: Sequence[Image], min_face_size: int) -> list[Found]:
    """The faces of each (H, W, 3) uint8 RGB photo, from `min_face_size` pixels on."""
    return [_search_one(image, min_face_size) for image in images]


def _search_one(image: Image, min_face_size: int) -> Found:
    longer = max(image.shape[:2])
    small = shrunk(image, max(_LEAST_SIDE, round(longer * _FINEST / min_face_size)))
    found = decoded(*_seen(small))
    found = found.moved(np.array([image.shape[1] / small.shape[1], image.shape[0] / small.shape[0]], np.float32))
    return found.keep((found.boxes[:, 2:] - found.boxes[:, :2]).max(1) >= min_face_size)


def decoded(outputs: Mapping[str, Points], width: int) -> Found:
    """The faces in an input that is `width` pixels wide.

    outputs: of each grid, whose N cells come row by row, with its stride S: `cls_S` and `obj_S` (N, 1), two scores;
    `bbox_S` (N, 4), the middle of the box seen from the cell, and the logarithms of its width and height; `kps_S`
    (N, 10), the landmarks seen from the cell; all in strides.
    """
    grids = [_of_grid(outputs, stride, width // stride) for stride in _STRIDES]
    boxes, points, scores = (np.concatenate(part) for part in zip(*grids, strict=True))
    best = distinct(scores, lambda face, kept: bool(iou(boxes[face], boxes[kept]).max() > _SAME))
    return Found(boxes[best], points[best], _confidence(scores[best]))


def _of_grid(outputs: Mapping[str, Points], stride: int, columns: int) -> tuple[Points, Points, Points]:
    """The boxes (N, 4), landmarks (N, 5, 2) and scores (N,) of the cells that see a face."""
    both = [np.clip(outputs[f"{kind}_{stride}"][:, 0], 0, 1) for kind in ("cls", "obj")]
    scores = np.sqrt(both[0] * both[1])
    cells = np.flatnonzero(scores >= _LEAST_SCORE)
    places = np.column_stack([cells % columns, cells // columns]).astype(np.float32)
    shapes = outputs[f"bbox_{stride}"][cells]
    middles, halves = places + shapes[:, :2], np.exp(shapes[:, 2:]) / 2
    boxes = np.hstack([middles - halves, middles + halves])
    points = places[:, None] + outputs[f"kps_{stride}"][cells].reshape(-1, 5, 2)
    return (boxes * stride).astype(np.float32), (points * stride).astype(np.float32), scores[cells]


def _confidence(scores: Points) -> Points:
    """The scores on MTCNN's scale, so that `min_confidence` and what else depends on it keep their meaning.

    The doubt, 1 - score, is squared. YuNet gives a score of 0.9 or more to nearly all faces of which MTCNN is sure.
    """
    return 1 - (1 - scores) ** 2


# ---- the network ----------------------------------------------------------------------------------------------------

_one_at_a_time = threading.Lock()  # a compiled network answers one call at a time


def _seen(image: Image) -> tuple[dict[str, NDArray[np.float32]], int]:
    """The network's outputs for one photo, see `decoded`; and the width of its input.

    There are few sizes of inputs, because OpenVINO keeps programs for each. The photo lies in the upper left corner.
    """
    height, width = image.shape[:2]
    pixels = np.zeros((1, 3, _side(height), _side(width)), np.float32)
    pixels[0, :, :height, :width] = image[..., ::-1].transpose(2, 0, 1)  # blue, green, red; 0..255
    require_own_process()
    with _one_at_a_time:
        network = _network()
        outputs = network(pixels)
        names = [f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in _STRIDES]
        return {name: outputs[network.output(name)][0].copy() for name in names}, pixels.shape[3]


def _side(length: int) -> int:
    """The side of the input for `length` pixels."""
    return next((side for side in _SIDES if side >= length), -(-length // _SIDES[-1]) * _SIDES[-1])


@cache
def _network() -> Any:
    return compile_network(_NETWORK.read_bytes(), shape=(1, 3, -1, -1))
