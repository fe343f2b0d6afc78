"""Photos at many sizes, packed into a few fixed shapes.

MTCNN's first network looks for faces of one size, so it reads each photo at many sizes (a pyramid; a photo at one size
is a level). Photos differ in size, and the libraries keep a program for each shape they ever computed. So levels are
cut into tiles, and the tiles of all photos are packed into sheets of a few shapes. The network finds in a tile exactly
what it would find there in the level by itself.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from facerec.types import Image

Pixels = NDArray[np.float32]

SHEET = 256  # pixels a side of a sheet; a shorter one has a height of SHEET / 2 or SHEET / 4
CELL = 12  # pixels a side of the square that the first network judges
STRIDE = 2  # pixels from one square to the next
_FACTOR = 0.709  # from level to level; the authors'


class Photo:
    """An (H, W, 3) uint8 RGB photo, any rectangle of which can be scaled at once: it holds sums over its pixels."""

    def __init__(self, image: Image) -> None:
        self.height, self.width = image.shape[:2]
        sums = np.zeros((3, self.height + 1, self.width + 1), np.uint32)  # differences are right even if it overflows
        inside = sums[:, 1:, 1:]
        np.cumsum(image.transpose(2, 0, 1), axis=1, dtype=np.uint32, out=inside)
        np.cumsum(inside, axis=2, out=inside)
        self._sums = sums

    def scaled(self, height: int, width: int) -> Pixels:
        """The whole photo as (3, height, width) in -1..1, each pixel the mean of the area that it stands for."""
        top, bottom = _windows(self.height, height)
        left, right = _windows(self.width, width)
        rows = self._sums[:, bottom] - self._sums[:, top]
        return _in_range(rows[:, :, right] - rows[:, :, left], np.outer(bottom - top, right - left))

    def crops(self, boxes: NDArray[np.int64], side: int) -> Pixels:
        """(N, 4) rectangles left, top, right, bottom (excluded) as (N, 3, side, side) in -1..1, scaled alike."""
        left, top, right, bottom = boxes.T[:, :, None]
        (above, below), (before, behind) = _windows(bottom - top, side), _windows(right - left, side)
        above, below = (top + above)[:, :, None], (top + below)[:, :, None]
        before, behind = (left + before)[:, None], (left + behind)[:, None]
        total = self._until(below, behind) - self._until(above, behind)
        total += self._until(above, before) - self._until(below, before)
        return _in_range(total, (below - above) * (behind - before)).swapaxes(0, 1)

    def _until(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.uint32]:
        """The sums over the pixels above each row and left of each column, of each colour."""
        return self._sums.reshape(3, -1).take(rows * (self.width + 1) + columns, axis=1)


def _windows(length: int | NDArray[np.int64], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each of `count` windows that cover `length` pixels starts, and where it ends."""
    places = np.arange(count)
    return places * length // count, -((-(places + 1) * length) // count)


def _in_range(sums: NDArray[np.uint32], areas: NDArray[np.int64]) -> Pixels:
    return (sums.astype(np.float32) / areas.astype(np.float32) - np.float32(127.5)) * np.float32(0.0078125)


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle of a level. photo: the photo's number. scale: of the level. top, left: the rectangle's, even."""

    photo: int
    scale: float
    pixels: Pixels  # (3, H, W)
    top: int
    left: int


def tiles(number: int, photo: Photo, min_face_size: int) -> list[Tile]:
    """All levels of a photo, cut into tiles that fit a sheet. They overlap, so that no square is cut."""
    found, step = [], SHEET - CELL + STRIDE
    for scale in scales(min(photo.height, photo.width), min_face_size):
        level = photo.scaled(int(photo.height * scale + 1), int(photo.width * scale + 1))
        height, width = level.shape[1:]
        for top in range(0, max(height - CELL + STRIDE, 1), step):
            for left in range(0, max(width - CELL + STRIDE, 1), step):
                part = level[:, top : top + SHEET, left : left + SHEET]
                found.append(Tile(number, scale, part, top, left))
    return found


def scales(shorter_side: int, min_face_size: int) -> list[float]:
    """The scales of the levels. In the first, a face of `min_face_size` fills a square; in the last, the photo does."""
    found, scale = [], CELL / min_face_size
    side = shorter_side * scale
    while side >= CELL:
        found.append(scale)
        scale, side = scale * _FACTOR, side * _FACTOR
    return found


@dataclass(frozen=True, eq=False)
class Sheet:
    """Tiles side by side on one picture of SHEET columns, at even places (top, left)."""

    tiles: Sequence[Tile]
    places: NDArray[np.int64]  # (N, 2)
    height: int

    @cached_property
    def pixels(self) -> Pixels:
        """(3, height, SHEET), zeros between the tiles."""
        picture = np.zeros((3, self.height, SHEET), np.float32)
        for tile, (y, x) in zip(self.tiles, self.places, strict=True):
            picture[:, y : y + tile.pixels.shape[1], x : x + tile.pixels.shape[2]] = tile.pixels
        return picture

    def extend_edges(self, maps: Pixels) -> None:
        """Prepare the (C, height - 2, SHEET - 2) output of 3x3 pixels each for pooling in squares of STRIDE x STRIDE.

        A square that ends beyond its tile would take in what lies there. It gets the tile's last row or column twice.
        """
        for tile, (y, x) in zip(self.tiles, self.places, strict=True):
            bottom, right = y + tile.pixels.shape[1] - 2, x + tile.pixels.shape[2] - 2
            if bottom % STRIDE:
                maps[:, bottom, x:right] = maps[:, bottom - 1, x:right]
            if right % STRIDE:
                maps[:, y : bottom + 1, right] = maps[:, y : bottom + 1, right - 1]

    def owners(self) -> NDArray[np.int64]:
        """The network's output in rows and columns: the number of the tile that each square lies in, or -1."""
        owners = np.full(((self.height - CELL) // STRIDE + 1, (SHEET - CELL) // STRIDE + 1), -1)
        for number, (tile, (y, x)) in enumerate(zip(self.tiles, self.places // STRIDE, strict=True)):
            height, width = ((side - CELL + 1) // STRIDE + 1 for side in tile.pixels.shape[1:])
            owners[y : y + height, x : x + width] = number
        return owners


def packed(tiles: Sequence[Tile]) -> list[Sheet]:
    """Sheets with all tiles: the tallest first, each on the first shelf with room for it; then shelf above shelf."""
    shelves: list[tuple[int, list[tuple[int, Tile]]]] = []  # each: its height, and its tiles with their left ends
    free: list[int] = []  # the first free column of each shelf
    for tile in sorted(tiles, key=lambda tile: -tile.pixels.shape[1]):
        width = _even(tile.pixels.shape[2])
        shelf = next((i for i, used in enumerate(free) if used + width <= SHEET), len(free))
        if shelf == len(free):
            shelves.append((_even(tile.pixels.shape[1]), []))
            free.append(0)
        shelves[shelf][1].append((free[shelf], tile))
        free[shelf] += width
    return _stacked(shelves)


def _stacked(shelves: list[tuple[int, list[tuple[int, Tile]]]]) -> list[Sheet]:
    sheets: list[list[tuple[int, int, Tile]]] = []  # each: its tiles with their places
    used: list[int] = []  # the first free row of each sheet
    for height, shelf in shelves:
        sheet = next((i for i, below in enumerate(used) if below + height <= SHEET), len(used))
        if sheet == len(used):
            sheets.append([])
            used.append(0)
        sheets[sheet] += [(used[sheet], left, tile) for left, tile in shelf]
        used[sheet] += height
    return [
        Sheet([tile for *_, tile in sheet], np.array([place for *place, _ in sheet]), _height(rows))
        for sheet, rows in zip(sheets, used, strict=True)
    ]


def _height(rows: int) -> int:
    return next(height for height in (SHEET // 4, SHEET // 2, SHEET) if rows <= height)


def _even(side: int) -> int:
    return math.ceil(side / STRIDE) * STRIDE
