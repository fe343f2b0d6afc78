"""Rows of vectors that may lie in a file. What is read from there is compared with a mark of what was written."""

import numpy as np
from numpy.typing import NDArray

from facerec.errors import FacerecError
from facerec.search.growing import GrowingArray
from facerec.types import Vectors

Marks = NDArray[np.uint64]
Numbers = NDArray[np.integer]
_BLOCK = 65_536  # rows that are checked together


class DamagedRowsError(FacerecError):
    """Rows in a file are not what was written. Whoever mapped the file makes it again (`gallery.people_cache`)."""


class Rows:
    """(N, D) float32 rows, numbered from 0 on. Reading some of them by number reads no others.

    The first rows may be mapped from a file, so that opening it reads none of them. Each is checked whenever it is
    read, because another process may overwrite it at any time. Nothing is written to the file: a row that changes is
    held in memory from then on.
    """

    def __init__(self, rows: Vectors, marks: Marks | None = None) -> None:
        """Hold (N, D) rows. marks: (N,) their `marks_of`, if the rows are mapped from a file."""
        self._mapped, self._marks = rows[:0], marks
        self._held = GrowingArray(rows)
        self._where: GrowingArray[np.intp] | None = None  # (N,) where each row is: first those mapped, then those held
        if marks is not None:
            self._mapped, self._held = rows, GrowingArray(np.empty_like(rows[:0]))
            self._where = GrowingArray(np.arange(len(rows)))

    def __len__(self) -> int:
        """Return N."""
        return len(self._held.rows if self._where is None else self._where.rows)

    @property
    def dimension(self) -> int:
        """D."""
        return self._mapped.shape[1]

    def __getitem__(self, numbers: Numbers) -> Vectors:
        """Return a copy of the (K, D) rows of these numbers; DamagedRowsError if one is not what was written."""
        if self._where is None:
            return self._held.rows[numbers]
        where = self._where.rows[numbers]
        mapped = where < len(self._mapped)
        rows = np.empty((len(where), self.dimension), np.float32)
        rows[mapped], rows[~mapped] = self._mapped[where[mapped]], self._held.rows[where[~mapped] - len(self._mapped)]
        assert self._marks is not None
        if not np.array_equal(marks_of(rows[mapped]), self._marks[where[mapped]]):
            raise DamagedRowsError("people.cache: damaged; `facerec gallery rebuild` makes it again")
        return rows

    def all(self) -> Vectors:
        """Return all rows, as a view. They are in memory from then on; DamagedRowsError as above."""
        if self._where is not None:
            numbers = np.arange(len(self))
            rows = np.empty((len(numbers), self.dimension), np.float32)
            for start in range(0, len(rows), _BLOCK):
                rows[start : start + _BLOCK] = self[numbers[start : start + _BLOCK]]
            self._mapped, self._held, self._where = rows[:0], GrowingArray(rows), None
        return self._held.rows

    def append(self, rows: Vectors) -> None:
        """Add (K, D) rows at the end."""
        if self._where is not None:
            self._where.append(self._next(len(rows)))
        self._held.append(rows)

    def put(self, numbers: Numbers, rows: Vectors) -> None:
        """Let (K, D) rows take the places of the K rows of these numbers."""
        if self._where is None:
            self._held.rows[numbers] = rows
        else:
            self._where.rows[numbers] = self._next(len(rows))
            self._held.append(rows)

    def keep(self, numbers: Numbers) -> None:
        """Keep only the rows of these numbers, in this order."""
        if self._where is None:
            self._held = GrowingArray(self._held.rows[numbers])
        else:
            self._where = GrowingArray(self._where.rows[numbers])

    def _next(self, count: int) -> NDArray[np.intp]:
        """Where so many more rows will be."""
        return len(self._mapped) + len(self._held.rows) + np.arange(count)


def marks_of(rows: Vectors) -> Marks:
    """Return (N,) 64-bit hashes of the bytes of (N, D) float32 rows, the same in every process.

    If one number of a row changes, so does its hash.
    """
    odd = np.random.default_rng(0).integers(0, 2**63, rows.shape[1], np.uint64) * 2 + 1
    bits = np.ascontiguousarray(rows, np.float32).view(np.uint32)
    return np.einsum("nd,d->n", bits, odd, dtype=np.uint64, casting="safe")
