"""Arrays that grow at the end."""

from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)


class GrowingArray(Generic[T]):
    """A NumPy array that takes new rows in constant time each, on average: its memory doubles when it is full."""

    def __init__(self, rows: NDArray[T]) -> None:
        """Begin with these rows. They are copied when more are appended."""
        self._memory, self._count = rows, len(rows)

    @property
    def rows(self) -> NDArray[T]:
        """The rows, as a view; the view itself does not grow."""
        return self._memory[: self._count]

    def append(self, rows: NDArray[Any]) -> None:
        """Add rows of the same width at the end."""
        count = self._count + len(rows)
        if count > len(self._memory):
            grown = np.empty((max(count, 2 * self._count), *self._memory.shape[1:]), self._memory.dtype)
            grown[: self._count] = self.rows
            self._memory = grown
        self._memory[self._count : count] = rows
        self._count = count
