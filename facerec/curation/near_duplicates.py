"""Finding aligned faces that come from one photo: a perceptual hash finds candidates, small pictures confirm them.

The hash alone is not enough, because all aligned faces have the same composition. The table was measured on 3,570
training crops of 150 people (6.3 million pairs of different people) and on copies made of each crop. It gives the share
of pairs within RADIUS, and of those the share that reach ALIKE:

    pairs of different people               0.25 %, not one (the largest correlation is 0.964)
    saved as JPEG of quality 60 or 30       100 %, 100 %
    scaled to 80 % or 50 %                  100 %, 100 %
    lit 20 % more, or less                  100 %, 99.7 %, where the light clips, or 100 %
    3 % cut off on each side                95 %, 71 %
    5 % cut off at two sides                68 %, 5 %: too much for a first-order comparison
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import faiss
import imagehash
import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL.Image import Resampling

from facerec.types import Image

SIDE = 24
"""Side of the small grey picture in pixels: enough to tell two photos of one person apart; 0.6 KB a photo."""
RADIUS = 12
"""The most bits, of 64, in which the hashes of a candidate pair differ."""
ALIKE = 0.97
"""The least correlation of small pictures that come from one photo."""

_MARGIN = 8  # an eighth on each side is left out of the small picture: beyond a photo's border, all crops are black
_QUERIES = 512  # hashes searched together
_PAIRS = 1024  # pairs compared together

Agree = Callable[[NDArray[np.intp], NDArray[np.intp]], NDArray[np.bool_]]


@dataclass(frozen=True, eq=False, slots=True)
class Pictures:
    """Summaries of N aligned faces. hashes: (N, 8) uint8, 64 bits each. small: (N, SIDE, SIDE) uint8 grey."""

    hashes: NDArray[np.uint8]
    small: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.hashes)

    def __getitem__(self, which: NDArray[np.intp]) -> "Pictures":
        """Return the pictures at these positions."""
        return Pictures(self.hashes[which], self.small[which])

    @staticmethod
    def join(parts: Sequence["Pictures"]) -> "Pictures":
        """Return the pictures of all parts, one after the other."""
        nothing = Pictures(np.zeros((0, 8), np.uint8), np.zeros((0, SIDE, SIDE), np.uint8))
        every = (nothing, *parts)
        return Pictures(np.concatenate([p.hashes for p in every]), np.concatenate([p.small for p in every]))


@dataclass(frozen=True, eq=False, slots=True)
class Pairs:
    """K pairs. a, b: (K,) positions. correlation: (K,) float64, of the pairs' small pictures."""

    a: NDArray[np.intp]
    b: NDArray[np.intp]
    correlation: NDArray[np.float64]


def picture(crop: Image) -> Pictures:
    """Return the hash and the small picture of an aligned face, (S, S, 3) uint8, as Pictures of length 1."""
    grey = PIL.Image.fromarray(crop).convert("L")
    margin = grey.width // _MARGIN
    inner = grey.crop((margin, margin, grey.width - margin, grey.height - margin))
    small = np.asarray(inner.resize((SIDE, SIDE), Resampling.BOX))
    return Pictures(np.packbits(imagehash.phash(grey).hash)[None], small[None])


def one_photo(agree: Agree, a: Pictures, b: Pictures | None = None) -> Pairs:
    """Return the pairs of faces that come from one photo: one of `a` and one of `b`, or two of `a` without `b`.

    Each pair among `a` comes once, with the smaller position first. agree: takes (K,) positions in each and returns
    (K,) bool, which pairs to compare more closely.
    """
    found = [Pairs(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0))]
    for first, second in _candidates(a, a if b is None else b):
        chosen = agree(first, second) & ((b is not None) | (first < second))
        first, second = first[chosen], second[chosen]
        correlation = correlate(a.small[first], (a if b is None else b).small[second])
        same = correlation >= ALIKE
        found.append(Pairs(first[same], second[same], correlation[same]))
    return Pairs(*(np.concatenate([getattr(pairs, name) for pairs in found]) for name in ("a", "b", "correlation")))


def _candidates(a: Pictures, b: Pictures) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield the positions in `a` and in `b` of pairs whose hashes are within RADIUS, in batches."""
    index = faiss.IndexBinaryFlat(64)
    index.add(b.hashes)  # pyright: ignore[reportCallIssue]
    for start in range(0, len(a), _QUERIES):
        # FAISS returns distances less than the given radius, so RADIUS itself needs + 1.
        ends, _, second = index.range_search(a.hashes[start : start + _QUERIES], RADIUS + 1)  # pyright: ignore
        first = start + np.repeat(np.arange(len(ends) - 1), np.diff(ends.astype(np.intp)))
        yield first, second.astype(np.intp)


def correlate(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(K, S, S) uint8 grey pictures -> (K,) float64: the multiple correlation of each `a` with its `b`, 0..1.

    `a` is fitted by least squares to `b` and to the gradients that shift, zoom and turn `b` to first order. So small
    moves do not matter, nor do brightness and contrast. A picture of a single grey has correlation 0.
    """
    parts = [_correlate(a[i : i + _PAIRS], b[i : i + _PAIRS]) for i in range(0, len(a), _PAIRS)]
    return np.concatenate([np.zeros(0), *parts])


def _correlate(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    left, right = _standard(a), _standard(b)
    down, across = np.gradient((left + right) / 2, axis=(1, 2))  # of the mean of both, which is exact to second order
    y, x = np.mgrid[: a.shape[1], : a.shape[2]] - (a.shape[1] - 1) / 2
    moves = [right, across, down, x * across + y * down, x * down - y * across]
    moved = np.stack([m.reshape(len(a), -1) for m in moves], 2)  # (K, S * S, 5)
    moved -= moved.mean(1, keepdims=True)
    target = left.reshape(len(a), -1, 1)
    square = np.swapaxes(moved, 1, 2) @ moved  # (K, 5, 5)
    square += 1e-4 * np.eye(5) * (1 + np.trace(square, axis1=1, axis2=2))[:, None, None]  # keeps it regular
    fitted = moved @ np.linalg.solve(square, np.swapaxes(moved, 1, 2) @ target)  # (K, S * S, 1)
    lengths = np.linalg.norm(fitted, axis=(1, 2)) * np.linalg.norm(target, axis=(1, 2))
    return (fitted * target).sum((1, 2)) / np.maximum(lengths, 1e-9)


def _standard(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return (K, S, S) float64 pictures of mean 0 and standard deviation 1; zeros for a picture of a single grey."""
    values = pictures - pictures.mean((1, 2), keepdims=True)
    return values / np.maximum(values.std((1, 2), keepdims=True), 1e-9)
