"""Which of a photo's faces is the main one: the person that the photo is of."""

from collections.abc import Sequence

from facerec.types import Face

SURE = 0.99
"""The confidence from which a face is not doubted. A photo without such a face is looked at turned, too: README.md."""

_TRUST = 10
"""How much confidence weighs below SURE: each 1 % of doubt takes about 10 % of a face's prominence.

Few of what MTCNN finds with a confidence of 0.9 to 0.98 are faces: of four such finds among the 87 photos of training
people (CelebA in the wild) one is. The largest of the others, a belly at 0.92, was its photo's main face before
confidence weighed.
"""


def main_first(faces: Sequence[Face], image_shape: tuple[int, ...]) -> list[Face]:
    """The faces of one photo, the main one first: large, near the middle, and surely a face.

    image_shape: (H, W) or (H, W, 3) of the photo that the boxes lie in. See `_prominence`.
    """
    return sorted(faces, key=lambda face: -_prominence(face, image_shape))


def _prominence(face: Face, shape: tuple[int, ...]) -> float:
    """(area - 2 offset^2 + 2 reach^2) min(confidence / 0.99, 1)^10.

    offset: of the box's centre from the photo's centre; reach: of the photo's corners from there; in pixels. Among
    sure faces the order is that of area - 2 offset^2 (facenet-pytorch's `center_weighted_size`); the
    summand 2 reach^2 keeps that positive, so that doubt always takes something away.
    """
    (height, width), (x1, y1, x2, y2) = shape[:2], face.box
    offset, reach = ((x1 + x2 - width) ** 2 + (y1 + y2 - height) ** 2) / 4, (width**2 + height**2) / 4
    return ((x2 - x1) * (y2 - y1) + 2 * (reach - offset)) * min(face.confidence / SURE, 1) ** _TRUST
