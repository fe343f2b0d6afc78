"""Which aligned faces come from one photo: a perceptual hash finds candidates, small pictures confirm them.

The hash alone will not do: aligned faces are all composed alike. Measured on 3,570 training crops of 150 people (6.3
million pairs of different people) and on copies made of each, how many are within RADIUS, and of those reach ALIKE:

    pairs of different people               0.25 %, not one (the largest correlation is 0.964)
    saved as JPEG of quality 60 or 30       100 %, 100 %
    scaled to 80 % or 50 %                  100 %, 100 %
    lit 20 % more, or less                  100 %, 99.7 %, where the light clips, or 100 %
    3 % cut off on each side                95 %, 71 %
    5 % cut off at two sides                68 %, 5 %: too much for a comparison to first order
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
"""Of the small grey picture: enough to tell two photos of one person apart, and 0.6 KB a photo."""
RADIUS = 12
"""The most bits of 64 in which the hashes of a candidate pair differ."""
ALIKE = 0.97
"""The correlation of the small pictures from which on two photos are one."""

_MARGIN = (
    8  # an eighth on each side is left out of the small picture: the black beyond a photo's border is alike in all
)
_QUERIES = 512  # hashes searched together
_PAIRS = 1024  # pairs compared together

Agree = Callable[[NDArray[np.intp], NDArray[np.intp]], NDArray[np.bool_]]


@dataclass(frozen=True, eq=False, slots=True)
class Pictures:
    """What is kept of N aligned faces. hashes: (N, 8) uint8, 64 bits each. small: (N, SIDE, SIDE) uint8 grey."""

    hashes: NDArray[np.uint8]
    small: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.hashes)

    def __getitem__(self, which: NDArray[np.intp]) -> "Pictures":
        """Some of them."""
        return Pictures(self.hashes[which], self.small[which])

    @staticmethod
    def join(parts: Sequence["Pictures"]) -> "Pictures":
        """All the pictures of the parts, one after the other."""
        nothing = Pictures(np.zeros((0, 8), np.uint8), np.zeros((0, SIDE, SIDE), np.uint8))
        every = (nothing, *parts)
        return Pictures(np.concatenate([p.hashes for p in every]), np.concatenate([p.small for p in every]))


@dataclass(frozen=True, eq=False, slots=True)
class Pairs:
    """K pairs. a, b: (K,) positions. correlation: (K,) float64, of their small pictures."""

    a: NDArray[np.intp]
    b: NDArray[np.intp]
    correlation: NDArray[np.float64]


def picture(crop: Image) -> Pictures:
    """An aligned face (S, S, 3) uint8 -> its hash and small picture: Pictures of length 1."""
    grey = PIL.Image.fromarray(crop).convert("L")
    margin = grey.width // _MARGIN
    inner = grey.crop((margin, margin, grey.width - margin, grey.height - margin))
    small = np.asarray(inner.resize((SIDE, SIDE), Resampling.BOX))
    return Pictures(np.packbits(imagehash.phash(grey).hash)[None], small[None])


def one_photo(agree: Agree, a: Pictures, b: Pictures | None = None) -> Pairs:
    """The pairs of faces that come from one photo: of `a` with `b`, or among `a`, each once with first < second.

    agree: tells of (K,) positions in each which pairs to look at more closely, (K,) bool.
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
    """Positions in `a` and in `b` whose hashes are within RADIUS, a batch at a time."""
    index = faiss.IndexBinaryFlat(64)
    index.add(b.hashes)  # pyright: ignore[reportCallIssue]
    for start in range(0, len(a), _QUERIES):
        # FAISS finds what is nearer than the radius, not what lies on it.
        ends, _, second = index.range_search(a.hashes[start : start + _QUERIES], RADIUS + 1)  # pyright: ignore
        first = start + np.repeat(np.arange(len(ends) - 1), np.diff(ends.astype(np.intp)))
        yield first, second.astype(np.intp)


def correlate(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(K, S, S) grey pictures -> (K,) the multiple correlation of each `a` with `b`, 0..1.

    With `b` as it is and, to first order, shifted, zoomed and turned: least squares of `a` on `b` and on the gradients
    that do so. Light and contrast do not count. A picture of one grey correlates with nothing: 0.
    """
    parts = [_correlate(a[i : i + _PAIRS], b[i : i + _PAIRS]) for i in range(0, len(a), _PAIRS)]
    return np.concatenate([np.zeros(0), *parts])


def _correlate(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    left, right = _standard(a), _standard(b)
    down, across = np.gradient((left + right) / 2, axis=(1, 2))  # of both: right to second order
    y, x = np.mgrid[: a.shape[1], : a.shape[2]] - (a.shape[1] - 1) / 2
    moves = [right, across, down, x * across + y * down, x * down - y * across]
    moved = np.stack([m.reshape(len(a), -1) for m in moves], 2)  # (K, S * S, 5)
    moved -= moved.mean(1, keepdims=True)
    target = left.reshape(len(a), -1, 1)
    square = np.swapaxes(moved, 1, 2) @ moved  # (K, 5, 5)
    square += 1e-4 * np.eye(5) * (1 + np.trace(square, axis1=1, axis2=2))[:, None, None]  # where there is no gradient
    fitted = moved @ np.linalg.solve(square, np.swapaxes(moved, 1, 2) @ target)  # (K, S * S, 1)
    lengths = np.linalg.norm(fitted, axis=(1, 2)) * np.linalg.norm(target, axis=(1, 2))
    return (fitted * target).sum((1, 2)) / np.maximum(lengths, 1e-9)


def _standard(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(K, S, S) of mean 0 and deviation 1; of one grey: zeros."""
    values = pictures - pictures.mean((1, 2), keepdims=True)
    return values / np.maximum(values.std((1, 2), keepdims=True), 1e-9)
