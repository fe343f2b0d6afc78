"""How networks are run on CPUs: in batches of a few sizes, and in the process that loaded them."""

import os
from collections.abc import Iterator, Sequence

from facerec.errors import ConfigError

SIZES = (16, 4, 1)
"""How many inputs may go through a network together. The libraries keep a program, which takes memory, for each shape.

On CPUs 64 are not faster than 16, and take 200 MB more with the shipped model.
"""

_process: int | None = None  # the one that loaded the first network
_threads: int | None = None  # that a network may have; None: as many as there are cores


def batches(count: int, sizes: Sequence[int] = SIZES) -> Iterator[tuple[slice, int]]:
    """Split `count` inputs into batches: for each its inputs and its size. What they do not fill is padding.

    sizes: the sizes that batches may have, the largest first. At most a quarter of a batch is padding, unless the
    smallest size is larger than what is left.

    >>> [(part.start, part.stop, size) for part, size in batches(23)]
    [(0, 16, 16), (16, 20, 4), (20, 23, 4)]
    """
    start = 0
    while start < count:
        left = count - start
        padded = [size for size in sizes if left <= size and 3 * size <= 4 * left]
        size = padded[-1] if padded else next((size for size in sizes if size <= left), sizes[-1])
        yield slice(start, min(start + size, count)), size
        start += size


def limit_threads(threads: int) -> None:
    """Let networks that are loaded from now on compute in so many threads: where several processes share the cores."""
    global _threads
    _threads = threads


def most_threads() -> int | None:
    """How many threads a network may have; None: as many as there are cores."""
    return _threads


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def require_own_process() -> None:
    """Raise ConfigError in a process that was forked from one that had loaded a network; call it before every use.

    The libraries compute in threads. A fork does not copy threads, so the child would wait for them forever.
    """
    global _process
    if _process is None:
        _process = os.getpid()
    if _process != os.getpid():
        raise ConfigError(
            "this process was forked from one that had loaded a network, and networks do not survive that; "
            "start processes by multiprocessing.get_context('spawn') and load the model in each"
        )
