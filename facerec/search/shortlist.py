"""A shortlist of the rows most like a vector, found by short codes of all rows. Exact comparison then ranks these few.

A code is a row's product quantisation (Jegou et al. 2011, IEEE TPAMI 33). The row is turned to its principal axes and
cut into parts, the long axes dealt out to them in turn. Of each part only the number of the nearest of 16 centres is
kept, in 4 bits. FAISS compares a vector with a million codes in about 2 ms on one core (`IndexPQFastScan`; André et al.
2017, ICMR). It compares with all of them: an inverted file, which leaves most of them out, misses more people, because
faces hardly form clusters. `scripts/bench search` measures both.
"""

import io
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from facerec.search.growing import GrowingArray
from facerec.search.index import Ids, faiss, in_order
from facerec.search.keys import Keys
from facerec.search.rows import Rows
from facerec.types import Vectors
from facerec.vectors import paired_distances

Codes = NDArray[np.uint8]  # (N, B): B bytes for each row

LEAST = 20_000
"""From so many people on, the shortlist is used. Comparing with fewer takes a millisecond (`scripts/bench search`)."""
LENGTH = 300
"""How many rows are compared exactly, besides those asked for."""
CENTRES = 16  # in each part: as many as 4 bits can number
_LEARNED_FROM = 32_768  # rows at most
_BLOCK = 65_536  # rows
_ROUNDING = 1e-5  # more than the rounding error of a product of two unit rows


@dataclass(frozen=True, eq=False, slots=True)
class Codebook:
    """Turns (N, D) unit rows into (N, B) codes of 2 B parts.

    axes: (D, 2 B W) float32, principal axes, W for each part. centres: (2 B, 16, W) float32.
    """

    axes: NDArray[np.float32]
    centres: NDArray[np.float32]

    @classmethod
    def learn(cls, rows: Vectors) -> Self:
        """Find axes and centres, from (N, D) rows, N >= 16. The same rows give the same ones."""
        drawn = np.sort(np.random.default_rng(0).permutation(len(rows))[:_LEARNED_FROM])
        parts, some = parts_of(rows.shape[1]), rows[drawn]
        axes = _dealt_axes(some, parts)
        quantiser = faiss().ProductQuantizer(axes.shape[1], parts, 4)
        quantiser.cp.min_points_per_centroid = 1  # FAISS warns below
        quantiser.train(some @ axes)
        return cls(axes, faiss().vector_to_array(quantiser.centroids).reshape(parts, CENTRES, -1))

    def quantiser(self) -> Any:
        """Return the centres as FAISS has them."""
        made = faiss().ProductQuantizer(self.axes.shape[1], len(self.centres), 4)
        faiss().copy_array_to_vector(self.centres.ravel(), made.centroids)
        return made

    def encode(self, rows: Vectors) -> Codes:
        """Return the (N, B) codes of (N, D) rows."""
        quantiser, codes = self.quantiser(), np.empty((len(rows), len(self.centres) // 2), np.uint8)
        for start in range(0, len(rows), _BLOCK):  # in blocks, so that few rows are in memory twice
            codes[start : start + _BLOCK] = quantiser.compute_codes(rows[start : start + _BLOCK] @ self.axes)
        return codes

    def to_bytes(self) -> bytes:
        """Return the axes and centres as bytes."""
        content = io.BytesIO()
        np.savez(content, axes=self.axes, centres=self.centres)
        return content.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Return what `to_bytes` wrote."""
        with np.load(io.BytesIO(content)) as arrays:
            return cls(arrays["axes"], arrays["centres"])


@dataclass(frozen=True, eq=False, slots=True)
class KeptCodes:
    """The codes of P people. keys: (P,), one for each person and set of their vectors. codes: (P, B)."""

    codebook: Codebook
    keys: Keys
    codes: Codes

    def of(self, keys: Keys) -> tuple[Codes, NDArray[np.bool_]]:
        """Return the (N, B) codes of N keys, and (N,) which of them there are; the other codes are meaningless."""
        codes, known = np.zeros((len(keys), self.codes.shape[1]), np.uint8), np.zeros(len(keys), np.bool_)
        count = min(len(keys), len(self.keys))
        np.equal(keys[:count], self.keys[:count], out=known[:count])  # most are where they were
        codes[:count] = self.codes[:count]
        if len(others := np.flatnonzero(~known)):
            _, found, at = np.intersect1d(keys[others], self.keys, return_indices=True)
            codes[others[found]], known[others[found]] = self.codes[at], True
        return codes, known


class Shortlist:
    """The codes of rows, searchable: an `Index`."""

    listed = LENGTH
    most = 2**31  # FAISS gives as many as there are

    def __init__(self, codebook: Codebook, codes: Codes) -> None:
        """Hold (N, B) codes that `codebook` made."""
        self.codebook = codebook
        self._codes = GrowingArray(codes)
        made = faiss().IndexPQ(codebook.axes.shape[1], len(codebook.centres), 4)
        made.pq, made.is_trained = codebook.quantiser(), True
        if len(codes):
            made.add_sa_codes(np.ascontiguousarray(codes))
        self._fast: Any = faiss().IndexPQFastScan(made)  # holds the codes again, in an order for fast comparison

    @classmethod
    def of(cls, rows: Vectors) -> Self:
        """Learn a codebook from (N, D) rows, N >= 16, and hold the codes of all of them."""
        codebook = Codebook.learn(rows)
        return cls(codebook, codebook.encode(rows))

    @property
    def codes(self) -> Codes:
        """The (N, B) codes of all rows."""
        return self._codes.rows

    def add(self, rows: Vectors) -> None:
        """Add (N, D) rows at the end."""
        if len(rows):
            self._codes.append(self.codebook.encode(rows))
            self._fast.add(rows @ self.codebook.axes)

    def replace(self, numbers: Ids, rows: Vectors) -> None:
        """Let (N, D) rows take the places of the N rows of these numbers."""
        packer, stored = self._fast.get_CodePacker(), self._fast.codes
        blocks = faiss().rev_swig_ptr(stored.get(), stored.size()).reshape(-1, 1, packer.block_size)
        for number, code in zip(numbers.tolist(), self.codebook.encode(rows), strict=True):
            self._codes.rows[number] = code
            packer.pack_1(code, number % packer.nvec, blocks[number // packer.nvec])

    def nearest(self, vectors: Vectors, count: int) -> Ids:
        """Return (N, `count`): the numbers of the rows nearest to (N, D) vectors by their codes; -1 beyond the last."""
        if not len(vectors) or not len(self.codes):
            return np.full((len(vectors), count), -1, np.int64)
        return self._fast.search(np.ascontiguousarray(vectors @ self.codebook.axes), count)[1]


def nearest_listed(vectors: Vectors, rows: Vectors | Rows, listed: Ids, k: int) -> tuple[NDArray[np.float32], Ids]:
    """Return distances and row numbers, both (N, k), as `nearest_rows` does, of the rows listed for each vector.

    listed: (N, L) numbers of rows; -1 is none. L >= k.
    """
    found = [_ranked(vector, rows, numbers[numbers >= 0], k) for vector, numbers in zip(vectors, listed, strict=True)]
    shape = (len(vectors), k)
    distances, numbers = np.full(shape, np.inf, np.float32), np.full(shape, -1, np.int64)
    for row, (near, which) in enumerate(found):
        distances[row, : len(which)], numbers[row, : len(which)] = near, which
    return distances, numbers


def _ranked(vector: NDArray[np.float32], rows: Vectors | Rows, numbers: Ids, k: int) -> tuple[NDArray[np.float32], Ids]:
    """Return distances and numbers of the `k` nearest of these rows."""
    some = rows[numbers]
    if len(numbers) > k:
        alike = some @ vector
        near = alike >= np.partition(alike, -k)[-k] - _ROUNDING  # with all that may be equally near
        some, numbers = some[near], numbers[near]
    distances, numbers = in_order(paired_distances(some, vector), numbers)
    return distances[:k], numbers[:k]


def parts_of(dimension: int) -> int:
    """Into how many parts rows are cut. More tell rows apart better, and take longer to compare."""
    return 64 if dimension <= 256 else 96


def _dealt_axes(rows: Vectors, parts: int) -> NDArray[np.float32]:
    """Return (D, parts W): the principal axes of (N, D) rows, longest first, dealt out to the parts in turn.

    The shortest of them may be left over; if there are fewer than `parts`, columns of zeros stand for the others.
    """
    axes = np.linalg.eigh(rows.T @ rows)[1][:, ::-1]
    width = max(rows.shape[1] // parts, 1)
    wide = np.zeros((rows.shape[1], parts * width), np.float32)
    used = min(axes.shape[1], parts * width)
    wide[:, :used] = axes[:, :used]
    return np.ascontiguousarray(wide.reshape(-1, width, parts).swapaxes(1, 2).reshape(len(axes), -1))
