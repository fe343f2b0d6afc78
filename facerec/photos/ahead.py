"""Photos that are read ahead of the work on them: one thread reads, one works, and the caller uses what is done.

More threads would not help: Pillow decodes one photo at a time (`reading`), and networks compute in threads of their
own. Which photos are worked on together depends on the photos alone, never on what was ready first.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import PIL.Image

from facerec.errors import ImageError
from facerec.photos.memory import AnyPhoto, MemoryPhoto, path_of, read_photo
from facerec.photos.reading import Reading

T = TypeVar("T")

MOST_PIXELS = 16_000_000
"""Photos with this many pixels are worked on at once, even if there are fewer than a batch. They take 3 bytes each."""
ALONE = 25_000_000  # the next photos are read once those with so many pixels have been worked on
AHEAD = 2  # batches that are taken, read and worked on before they are asked for

Read = tuple[Path, Reading | ImageError]
"""A photo's path, or what it is called, and the photo, which may be halved, or why it cannot be read."""


_Part = tuple[list[Read], bool]
_Made = tuple[Sequence[T], bool]
_Working = Future[_Made[T] | None]


def batches_of(photos: Iterable[AnyPhoto], size: int, begin: Sequence[int] = ()) -> Iterator[list[AnyPhoto]]:
    """Batches of `size` photos, fewer if they are large pictures in memory; begin: the sizes of the first batches."""
    waiting = iter(photos)
    for most in chain(begin, repeat(size)):
        batch: list[AnyPhoto] = []
        pixels = 0
        for photo in islice(waiting, most):
            batch.append(photo)
            pixels += _pixels_in_memory(photo)
            if pixels >= MOST_PIXELS:
                break
        if not batch:
            return
        yield batch


def worked_ahead(
    batches: Iterable[Sequence[AnyPhoto]], work: Callable[[Sequence[Read]], Sequence[T]]
) -> Iterator[list[T]]:
    """For each batch of photos, which may be empty, what `work` makes of them.

    `work` runs in a thread of its own and gets a batch, or the parts of one whose photos are large. `batches` is
    iterated in the caller's thread, AHEAD of what is returned. Raises what `work` and `batches` raise.
    """
    taken, given = deque[Sequence[AnyPhoto]](), iter(batches)
    parts, running, done = _Parts(taken), deque[_Working[T]](), list[T]()
    with _one_thread("facerec-read") as reading, _one_thread("facerec-work") as working:

        def begin() -> None:
            part = reading.submit(parts.read, running[-1] if running else None)
            running.append(working.submit(_worked, part, work))

        # Every task below finds a batch: there are as many as tasks, and a task ends one batch at most.
        taken.extend(islice(given, AHEAD))
        for _ in range(AHEAD):
            begin()
        while (found := running.popleft().result()) is not None:
            made, is_last = found
            taken.extend(islice(given, int(is_last)))
            begin()
            done += made
            if is_last:
                yield done
                done = []


@contextmanager
def _one_thread(name: str) -> Iterator[ThreadPoolExecutor]:
    """A thread that ends with the task that it is at: what waits is given up."""
    pool = ThreadPoolExecutor(1, name)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


class _Parts:
    """Batches, which are read in parts of not much more than MOST_PIXELS."""

    def __init__(self, batches: deque[Sequence[AnyPhoto]]) -> None:
        self._parts = _read_in_parts(batches)
        self._is_large = False  # whether the part that was read last is

    def read(self, before: Future[Any] | None) -> _Part | None:
        """The next part, and whether it is the last of its batch; None if no batch is left.

        before: the work on the part before, which large photos are read after.
        """
        if self._is_large and before is not None:
            with suppress(CancelledError):
                before.exception()  # waits
        part = next(self._parts, None)
        self._is_large = part is not None and sum(map(_pixels_read, part[0])) >= ALONE
        return part


def _read_in_parts(batches: deque[Sequence[AnyPhoto]]) -> Iterator[_Part]:
    while batches:
        part: list[Read] = []
        pixels = 0
        for photo in batches.popleft():
            if pixels >= MOST_PIXELS:
                yield part, False
                part, pixels = [], 0
            part.append((path_of(photo), _read_or_error(photo)))
            pixels += _pixels_read(part[-1])
        yield part, True


def _pixels_read(photo: Read) -> int:
    return 0 if isinstance(photo[1], ImageError) else photo[1].image.shape[0] * photo[1].image.shape[1]


def _read_or_error(photo: AnyPhoto) -> Reading | ImageError:
    try:
        return read_photo(photo, may_halve=True)
    except ImageError as error:
        return error


def _worked(part: Future[_Part | None], work: Callable[[Sequence[Read]], Sequence[T]]) -> _Made[T] | None:
    """What `work` makes of a part, and whether it is a batch's last; None if no batch is left."""
    read = part.result()
    return None if read is None else (work(read[0]), read[1])


def _pixels_in_memory(photo: AnyPhoto) -> int:
    """The pixels that a photo holds before it is read; 0 for a file, and for a file's bytes."""
    content = photo.content if isinstance(photo, MemoryPhoto) else None
    if isinstance(content, PIL.Image.Image):
        return content.width * content.height
    return content.size // 3 if isinstance(content, np.ndarray) else 0
