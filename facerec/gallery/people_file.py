"""The people of a gallery in a file that is mapped into memory, ready to be searched.

    _HEAD bytes        _KIND and the stamp in a line; _FACTS: how many templates and people there are, how many numbers
                       a vector has and how many bytes the names, and a CRC-32 of these and all that follows; zeros
    ids, places        int64, of each template
    vectors, means     float32 rows, of each template and of each person
    names              UTF-8, a zero byte between two

It is a cache: a file that is missing, damaged or of another stamp counts as not there.
"""

import functools
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerec.errors import GalleryError
from facerec.files import fcntl, replacing
from facerec.search.people import PeopleIndex

_KIND = "facerec-people-1"
_HEAD = 4096  # bytes, so that the arrays lie on their boundaries
_FACTS = struct.Struct("<4QI")


def save_people(path: Path, stamp: str, people: PeopleIndex) -> None:
    """Write people to a file that only its owner can read, all or nothing.

    stamp: what they were made from, without spaces. The draft beside `path` has a fixed name, so only one process may
    write at a time. GalleryError if the file cannot be written.
    """
    names = "\0".join(people.names).encode()
    arrays = (people.ids.astype("<i8"), people.places.astype("<i8"), people.vectors, people.means)
    parts = [*(np.ascontiguousarray(array).data.cast("B") for array in arrays if array.size), names]
    sizes = (len(people.ids), len(people.names), people.dimension, len(names))
    try:
        with replacing(path, private=True) as draft, draft.open("wb") as file:
            file.write(_head(stamp, sizes, parts))
            file.writelines(parts)
    except OSError as error:
        raise GalleryError(
            f"{path}: cannot be written ({error.strerror}); make its folder writable or free its disk"
        ) from error


def load_people(path: Path, stamp: str) -> PeopleIndex | None:
    """Return the people that `save_people` wrote with this stamp; None if the file does not hold all of them."""
    content = _content(path)
    if content is None or (sizes := _sizes(content, stamp)) is None:
        return None
    templates, people, dimension, length = sizes
    ends = np.cumsum([_HEAD, 8 * templates, 8 * templates, 4 * templates * dimension, 4 * people * dimension])
    ids, places, vectors, means, names = np.split(content[_HEAD:], ends[1:] - _HEAD)
    return PeopleIndex.restored(
        bytes(names).decode().split("\0") if length else [],
        ids.view("<i8"),
        places.view("<i8").astype(np.intp, copy=False),
        vectors.view("<f4").reshape(templates, dimension),
        means.view("<f4").reshape(people, dimension),
    )


def _content(path: Path) -> NDArray[np.uint8] | None:
    """The bytes of a file; None if it cannot be read. What is written to them does not reach the file."""
    try:
        if path.stat().st_size < _HEAD:
            return None
        if fcntl is None:  # Windows lets nobody delete a file that is mapped
            return np.fromfile(path, np.uint8)
        return np.memmap(path, np.uint8, "c").view(np.ndarray)
    except OSError:
        return None


def _sizes(content: NDArray[np.uint8], stamp: str) -> tuple[int, int, int, int] | None:
    """How much there is, as `save_people` wrote it; None if head or content is not what was written."""
    head, begin = bytes(content[:_HEAD]), _begin(stamp)
    if not head.startswith(begin):
        return None
    templates, people, dimension, length, _ = _FACTS.unpack_from(head, len(begin))
    sizes = templates, people, dimension, length
    size = _HEAD + 16 * templates + 4 * dimension * (templates + people) + length
    return sizes if len(content) == size and head == _head(stamp, sizes, [content[_HEAD:].data]) else None


def _head(stamp: str, sizes: tuple[int, ...], parts: Iterable[bytes | memoryview]) -> bytes:
    checksum = functools.reduce(lambda sum, part: zlib.crc32(part, sum), parts, zlib.crc32(repr(sizes).encode()))
    return (_begin(stamp) + _FACTS.pack(*sizes, checksum)).ljust(_HEAD, b"\0")


def _begin(stamp: str) -> bytes:
    return f"{_KIND} {stamp}\n".encode()
