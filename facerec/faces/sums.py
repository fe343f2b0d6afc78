"""Sums over the pixels of photos: any rectangle of a photo can be scaled at once.

A pixel of a scaled picture is the mean of the area that it stands for, as in torch's `adaptive_avg_pool2d`. A table
holds the sums over the pixels above and left of each place; the sum over a rectangle follows from four of them.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache, reduce
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from facerec.types import Image

Pixels = NDArray[np.float32]
Places = NDArray[np.int64]

_BITS = 21  # of a number that hold the sum over one colour; so three colours are added at once
_WIDEST = 90  # pixels a side of the largest area whose sums have _BITS: 90^2 * 255 < 2^21
_STRIP = 32_768  # sums that are subtracted at a time; with what is made of them, they fit the processor's cache


class Photos:
    """(H, W, 3) uint8 RGB photos. shapes: (N, 2), their heights and widths.

    What is cut from them has four channels: red, green and blue in -1..1, and 0.
    """

    def __init__(self, images: Sequence[Image]) -> None:
        self.shapes = np.array([image.shape[:2] for image in images], np.int64).reshape(-1, 2)
        sizes = (self.shapes + 1).prod(1)
        self._starts = np.cumsum(sizes) - sizes
        self._sums = np.zeros(int(sizes.sum()), np.int64)
        for number, image in enumerate(images):
            _sum_up(image, self._table(number))

    def _table(self, number: int) -> Places:
        """(H + 1, W + 1): the sums over the pixels above a row and left of a column. Only differences are right."""
        start, (height, width) = self._starts[number], self.shapes[number] + 1
        return self._sums[start : start + height * width].reshape(height, width)

    def scaled(self, number: int, shape: tuple[int, int], top: int, left: int, into: Pixels) -> None:
        """Fill (H, W, 4) with a rectangle, which begins at (top, left), of a photo that is scaled to a shape."""
        table, (height, width) = self._table(number), self.shapes[number]
        rows = _windows_of_all(int(height), shape[0])[:, top : top + into.shape[0]]
        columns = _windows_of_all(int(width), shape[1])[:, left : left + into.shape[1]]
        begin, end = columns.min(), columns.max() + 1
        table, columns = table[:, begin:end], columns - begin
        step = max(1, _STRIP // table.shape[1])
        for start in range(0, len(into), step):
            some = rows[:, start : start + step]
            strips = [_difference(table[below], table[above]) for above, below in _cut(some)]
            parts = [
                _difference(strip.take(behind, axis=1), strip.take(before, axis=1))
                for strip in strips
                for before, behind in _cut(columns)
            ]
            _means(parts, np.ptp(some, axis=0)[:, None], np.ptp(columns, axis=0), into[start : start + step])

    def crop(self, owners: Places, boxes: Places, into: Pixels) -> None:
        """Fill (N, side, side, 4) with rectangles (N, 4) of photos (N,): left, top, right, bottom (excluded)."""
        side = into.shape[1]
        left, top, right, bottom = boxes.T[:, :, None]
        rows, columns = _windows(top, bottom - top, side), _windows(left, right - left, side)  # (2, N, side)
        starts, width = self._starts[owners, None], self.shapes[owners, 1:] + 1
        parts = []
        for above, below in _cut(rows):
            above, below = (starts + above * width)[:, :, None], (starts + below * width)[:, :, None]
            for before, behind in _cut(columns):
                before, behind = before[:, None], behind[:, None]
                part = self._sums.take(below + behind)
                part -= self._sums.take(above + behind)
                part += self._sums.take(above + before)
                part -= self._sums.take(below + before)
                parts.append(part)
        _means(parts, np.ptp(rows, axis=0)[:, :, None], np.ptp(columns, axis=0)[:, None], into)


def _sum_up(image: Image, table: Places) -> None:
    """Fill the table (H + 1, W + 1) of a photo: three colours in each number."""
    inside = table[1:, 1:]
    inside[:] = image[..., 2]
    for colour in (1, 0):
        inside <<= _BITS
        inside |= image[..., colour]
    np.cumsum(inside, axis=1, out=inside)
    for above, row in pairwise(inside):
        row += above


def _difference(larger: Places, smaller: Places) -> Places:
    """The difference, in the memory of the first."""
    return np.subtract(larger, smaller, out=larger)


def _windows(first: int | Places, length: int | Places, count: int) -> Places:
    """(2, ..., count): where each window that covers `length` pixels from `first` on starts, and where it ends."""
    places = np.arange(count)
    return np.stack([first + places * length // count, first - ((-(places + 1) * length) // count)])


@lru_cache(256)
def _windows_of_all(length: int, count: int) -> Places:
    """The windows (2, count) that cover `length` pixels."""
    return _windows(0, length, count)


def _cut(windows: Places) -> Iterator[tuple[Places, Places]]:
    """The windows (2, ...) in as few parts as keep each from being wider than _WIDEST: where parts start and end."""
    first, last = windows
    count = -(-int((last - first).max(initial=1)) // _WIDEST)
    for part in range(count):
        yield first + (last - first) * part // count, first + (last - first) * (part + 1) // count


def _means(parts: Sequence[Places], heights: Places, widths: Places, means: Pixels) -> None:
    """Fill (..., 4) with the means of areas, from the sums over their parts. Areas have heights times widths pixels."""
    shares = (1 / (128 * heights)).astype(np.float32) * (1 / widths).astype(np.float32)
    for colour in range(3):
        total = reduce(np.add, (_colour(part, colour) for part in parts)).astype(np.float32)
        total *= shares
        total -= np.float32(127.5 / 128)
        means[..., colour] = total
    means[..., 3] = 0


def _colour(sums: Places, colour: int) -> NDArray[np.int32]:
    return (sums >> _BITS * colour).astype(np.int32) & (2**_BITS - 1)
