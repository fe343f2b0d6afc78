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

from facerec.faces.sums import Photos, Pixels

SHEET = 256  # pixels a side of a sheet; a shorter one has a height of SHEET / 2 or SHEET / 4
CELL = 12  # pixels a side of the square that the first network judges
STRIDE = 2  # pixels from one square to the next
OUTSIDE = -1e6  # the mark of a sheet's pixels outside all tiles. The network adds it to what it pools, which then loses
_FACTOR = 0.709  # from level to level; the authors'


@dataclass(frozen=True, eq=False)
class Level:
    """A photo, given by its number, at one scale. number: the level's among those of the photo, the largest first."""

    photos: Photos
    photo: int
    number: int
    scale: float

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Its height and width."""
        height, width = self.photos.shapes[self.photo].tolist()
        return int(height * self.scale + 1), int(width * self.scale + 1)


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle of a level. top, left: its place there, even. height, width: at most SHEET."""

    level: Level
    top: int
    left: int
    height: int
    width: int

    def draw(self, into: Pixels) -> None:
        """Fill (height, width, 4), see `Photos`."""
        self.level.photos.scaled(self.level.photo, self.level.shape, self.top, self.left, into)


def tiles(photos: Photos, number: int, min_face_size: int) -> list[Tile]:
    """All levels of a photo, cut into tiles that fit a sheet. They overlap, so that no square is cut."""
    found, step = [], SHEET - CELL + STRIDE
    for i, scale in enumerate(scales(min(photos.shapes[number].tolist()), min_face_size)):
        level = Level(photos, number, i, scale)
        height, width = level.shape
        for top in range(0, max(height - CELL + STRIDE, 1), step):
            for left in range(0, max(width - CELL + STRIDE, 1), step):
                found.append(Tile(level, top, left, min(height - top, SHEET), min(width - left, SHEET)))
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

    def pixels(self) -> Pixels:
        """(1, height, SHEET, 4): red, green and blue, and the mark, which is OUTSIDE outside the tiles."""
        picture = np.empty((1, self.height, SHEET, 4), np.float32)
        picture[:] = (0, 0, 0, OUTSIDE)
        for tile, (y, x) in zip(self.tiles, self.places.tolist(), strict=True):
            tile.draw(picture[0, y : y + tile.height, x : x + tile.width])
        return picture

    def owners(self) -> NDArray[np.int64]:
        """The network's output in rows and columns: the number of the tile that each square lies in, or -1."""
        owners = np.full(((self.height - CELL) // STRIDE + 1, (SHEET - CELL) // STRIDE + 1), -1)
        for number, (tile, (y, x)) in enumerate(zip(self.tiles, (self.places // STRIDE).tolist(), strict=True)):
            height, width = ((side - CELL + 1) // STRIDE + 1 for side in (tile.height, tile.width))
            owners[y : y + height, x : x + width] = number
        return owners


def packed(tiles: Sequence[Tile]) -> list[Sheet]:
    """Sheets with all tiles: the tallest first, each on the first shelf with room for it; then shelf above shelf."""
    shelves: list[tuple[int, list[tuple[int, Tile]]]] = []  # each: its height, and its tiles with their left ends
    free: list[int] = []  # the first free column of each shelf
    for tile in sorted(tiles, key=lambda tile: -tile.height):
        width = _even(tile.width)
        shelf = next((i for i, used in enumerate(free) if used + width <= SHEET), len(free))
        if shelf == len(free):
            shelves.append((_even(tile.height), []))
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
