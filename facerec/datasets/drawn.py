"""What is random about a view of a face. It is drawn here; `augmentation` or `training.device_views` does it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facerec.types import Floats

STORED_SIZE = 128  # side of a training crop: 8 px more on every side than the network sees, so that it can be shifted
SEEN_SIZE = 112


@dataclass(frozen=True, eq=False, slots=True)
class Move:
    """Where a view takes its pixels from: output (x, y) shows the stored crop at `linear` @ (x, y) + `start`.

    Coordinates run from 0 at the left and upper edge. linear: (2, 2), or None where the view is only shifted. mirrored:
    the view is mirrored afterwards.
    """

    linear: Floats | None
    start: Floats
    mirrored: bool


@dataclass(frozen=True, eq=False, slots=True)
class Disturbance:
    """What happens to the pixels of a view of side S, in this order.

    tint: factor of each channel; None: the view is made grey. contrast: factor of the distance from 128. light: what is
    added. coarse: the view is brought down to so many pixels and up again; 0: it is not. blur: the Gaussian's width in
    pixels, or 0. cover: top, left, height and width of a part that gets the colour `paint`; height 0: none.
    """

    tint: Floats | None
    contrast: float
    light: float
    coarse: int = 0
    blur: float = 0.0
    cover: tuple[int, int, int, int] = (0, 0, 0, 0)
    paint: tuple[int, int, int] = (0, 0, 0)


@dataclass(frozen=True, eq=False, slots=True)
class Mixing:
    """How B views of a batch are mixed, each with another.

    other: (B,) which one. kept: (B,) the share of the view itself where it is blended, 1 where it is left alone; nan
    where it is cut. angle, offset: (B,) of the soft line along which it is cut, in radians and in sides.
    """

    other: NDArray[np.int64]
    kept: Floats
    angle: Floats
    offset: Floats


def draw_shift(rng: np.random.Generator) -> Move:
    """Draw a shift by up to 8 px each way, mirrored half the time."""
    top, left = rng.integers(0, STORED_SIZE - SEEN_SIZE + 1, 2)
    return Move(None, np.array([left, top], np.float64), rng.random() < 0.5)


def draw_warp(rng: np.random.Generator) -> Move:
    """Draw half the time as `draw_shift`; otherwise also turn, stretch and shear."""
    if rng.random() < 0.5:
        return draw_shift(rng)
    turn, shear = rng.uniform(-0.2, 0.2), rng.uniform(-0.1, 0.1)  # radians, share of the height
    stretch, shift = np.exp(rng.uniform(-0.15, 0.15, 2)), rng.uniform(-4, 4, 2)
    linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ [[1, shear], [0, 1]] * stretch
    middle = SEEN_SIZE / 2
    start = STORED_SIZE / 2 + shift - linear @ (middle, middle)  # the middle moves by the shift only
    return Move(linear, start, rng.random() < 0.5)


def draw_disturbance(side: int, rng: np.random.Generator) -> Disturbance:
    """Draw a change of light and colour; now and then also grey, coarse, blurred or partly covered."""
    tint = None if rng.random() < 0.2 else rng.uniform(0.85, 1.15, 3)
    contrast, light = rng.uniform(0.7, 1.3), rng.uniform(-30, 30)
    coarse = int(side * rng.uniform(0.3, 0.7)) if rng.random() < 0.25 else 0
    blur = side * rng.uniform(0.005, 0.02) if rng.random() < 0.15 else 0.0
    if rng.random() >= 0.3:
        return Disturbance(tint, contrast, light, coarse, blur)
    height, width = (int(part) for part in side * rng.uniform(0.15, 0.45, 2))
    top, left = int(rng.integers(0, side - height)), int(rng.integers(0, side - width))
    red, green, blue = (int(value) for value in rng.integers(0, 256, 3))
    return Disturbance(tint, contrast, light, coarse, blur, (top, left, height, width), (red, green, blue))


def draw_mixing(count: int, share: float, rng: np.random.Generator) -> Mixing:
    """Draw which of `count` views are mixed, about `share` (0..1) of them, and how.

    Half of them are blended, in any proportion (Zhang et al. 2018, "mixup"). The others are cut in any direction.
    """
    angle, offset = rng.uniform(0, 2 * np.pi, count), rng.uniform(-0.25, 0.25, count)
    kept = np.where(rng.random(count) < 0.5, rng.random(count), np.nan)
    kept[rng.random(count) >= share] = 1
    return Mixing(rng.permutation(count), kept, angle, offset)
