"""From five landmarks to a crop that is aligned to the ArcFace template."""

import math

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL.Image import Resampling

from facerec.types import Image

Points = NDArray[np.float32]


TEMPLATE: Points = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
)
"""(5, 2): where ArcFace puts the landmarks in a 112x112 crop (Deng et al. 2019, insightface's `arcface_dst`)."""


def template(size: int) -> Points:
    """(5, 2) float32 landmarks of a size x size crop: the 112 template, scaled. At 128, the size of training crops, it
    is not scaled but has a margin of 8 pixels.
    """
    return TEMPLATE + 8 if size == 128 else (TEMPLATE + 0.5) * np.float32(size / 112) - 0.5


def similarity(source: Points, target: Points) -> NDArray[np.float64]:
    """(2, 3) matrix of the similarity without reflection that takes (N, 2) `source` to `target` with least squares.

    Umeyama 1991. With points as complex numbers it is w = c z + t, where c = <z - mean z, w - mean w> / |z - mean z|^2.
    Raises ValueError if all source points coincide.
    """
    z, w = (points.astype(np.float64) @ (1, 1j) for points in (source, target))
    centred = z - z.mean()
    spread = np.vdot(centred, centred).real
    if not spread > 1e-12:
        raise ValueError("the landmarks fall on one point")
    c = np.vdot(centred, w - w.mean()) / spread
    t = w.mean() - c * z.mean()
    return np.array([[c.real, -c.imag, t.real], [c.imag, c.real, t.imag]])


def align(image: Image, landmarks: Points, size: int) -> Image:
    """Warp a face onto the ArcFace template: (H, W, 3) uint8 RGB and (5, 2) pixels -> (size, size, 3) uint8 RGB.

    Bicubic, with a low-pass filter before scaling down. Pixels outside the photo are black.
    Raises ValueError if all landmarks coincide.
    """
    forward = similarity(landmarks, template(size))
    scale = math.hypot(forward[0, 0], forward[1, 0])
    inverse: NDArray[np.float64] = np.linalg.inv(forward[:, :2]).astype(np.float64)
    # In Pillow's continuous coordinates pixel i covers i to i + 1; ours are pixel indices.
    origin = inverse @ (-0.5 - forward[:, 2]) + 0.5
    region = _region(inverse, origin, size, image.shape)
    if region is None:
        return np.zeros((size, size, 3), np.uint8)
    left, top, right, bottom = region
    part = PIL.Image.fromarray(np.ascontiguousarray(image[top:bottom, left:right]))
    if scale < 1:
        part = part.resize((math.ceil(part.width * scale), math.ceil(part.height * scale)), Resampling.BICUBIC)
    zoom = np.array([part.width / (right - left), part.height / (bottom - top)])
    rows = np.column_stack([inverse, origin - (left, top)]) * zoom[:, None]
    return np.asarray(
        part.transform((size, size), PIL.Image.Transform.AFFINE, tuple(rows.ravel()), Resampling.BICUBIC)
    ).copy()


def _region(
    inverse: NDArray[np.float64], origin: NDArray[np.float64], size: int, shape: tuple[int, ...]
) -> tuple[int, int, int, int] | None:
    """The part of the photo that a crop shows, and what the filters need around it: left, top, right, bottom.

    None if the crop lies outside the photo.
    """
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]]) @ inverse.T + origin
    room = 4 + 4 * np.abs(inverse).max()
    low = np.maximum(np.floor(corners.min(0) - room), 0)
    high = np.minimum(np.ceil(corners.max(0) + room), (shape[1], shape[0]))
    if (high <= low).any():
        return None
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])
