"""What changed among the people of a gallery since their file was made, as the file keeps it at its end.

header     _HEADER: the stamp of the gallery after the change, how many templates were removed and added, how many
           bytes the names have, and a CRC-32 of these and all that follows
removed    int64, of each template that was removed
ids        int64, of each template that was added
vectors    float32 rows, of each that was added
names      UTF-8, of the person of each that was added, a zero byte between two
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from facerec.search.index import Ids
from facerec.search.people import PeopleIndex
from facerec.types import Template, Vectors

_HEADER = struct.Struct("<64s3QI")
_ENDS = struct.calcsize("<64s3Q")  # where the CRC-32 is


@dataclass(frozen=True, eq=False, slots=True)
class Change:
    """Templates that went and came with one transaction.

    stamp: the gallery's state after it, ASCII, at most 64 bytes. removed: (R,) ids. ids: (N,) of those added, ascending
    and above all earlier ones. owners: N names. vectors: (N, D) unit rows.
    """

    stamp: str
    removed: Ids
    ids: Ids
    owners: Sequence[str]
    vectors: Vectors

    def without(self, ids: Ids) -> Self:
        """Return the change without the templates of these ids among those added."""
        left = np.flatnonzero(~np.isin(self.ids, ids))
        return type(self)(
            self.stamp, self.removed, self.ids[left], [self.owners[i] for i in left.tolist()], self.vectors[left]
        )

    def to_bytes(self) -> bytes:
        """Return the change as the file has it."""
        names = "\0".join(self.owners).encode()
        body = b"".join(
            [*(ids.astype("<i8").tobytes() for ids in (self.removed, self.ids)), _bytes(self.vectors), names]
        )
        sizes = self.stamp.encode(), len(self.removed), len(self.ids), len(names)
        header = _HEADER.pack(*sizes, 0)[:_ENDS]
        return header + struct.pack("<I", zlib.crc32(body, zlib.crc32(header))) + body


def addition(stamp: str, ids: Ids, owners: Sequence[str], vectors: Vectors) -> Change:
    """Return the change that adds templates; the arguments are those of `Change`."""
    return Change(stamp, ids[:0], ids, owners, vectors)


def enrollment(stamp: str, named: Sequence[tuple[str, Template]], numbers: Sequence[int | None]) -> Change:
    """Return the change that adds photos. named: each one's person and template. numbers: the ids; None: not added."""
    added = [(number, *each) for number, each in zip(numbers, named, strict=True) if number is not None]
    vectors = np.array([template.vector for _, _, template in added], np.float32)
    return addition(stamp, np.array([each[0] for each in added], np.int64), [each[1] for each in added], vectors)


def removal(stamp: str, ids: Ids, dimension: int) -> Change:
    """Return the change that removes templates. dimension: D."""
    return Change(stamp, ids, ids[:0], (), np.empty((0, dimension), np.float32))


def read_changes(content: bytes, dimension: int) -> list[Change] | None:
    """Return the changes whose bytes follow each other in `content`; None if they are not what was written."""
    changes, start = [], 0
    while start < len(content):
        if start + _HEADER.size > len(content):
            return None
        stamp, removed, added, length, checksum = _HEADER.unpack_from(content, start)
        body = start + _HEADER.size
        end = body + 8 * (removed + added) + 4 * dimension * added + length
        if end > len(content) or zlib.crc32(content[body:end], zlib.crc32(content[start : start + _ENDS])) != checksum:
            return None
        changes.append(_read(stamp.rstrip(b"\0").decode(), removed, added, content[body:end], dimension))
        start = end
    return changes


def apply(changes: Sequence[Change], people: PeopleIndex) -> None:
    """Bring people up to date, in place. What was added and removed again must be in neither list of the changes."""
    if changes:
        people.remove(np.concatenate([change.removed for change in changes]))
        people.add(
            np.concatenate([change.ids for change in changes]),
            [owner for change in changes for owner in change.owners],
            np.concatenate([change.vectors for change in changes]),
        )


def _read(stamp: str, removed: int, added: int, body: bytes, dimension: int) -> Change:
    ids = np.frombuffer(body, "<i8", removed + added)
    vectors = np.frombuffer(body, "<f4", dimension * added, 8 * len(ids)).reshape(added, dimension)
    names = body[8 * len(ids) + vectors.nbytes :].decode()
    return Change(stamp, ids[:removed], ids[removed:], names.split("\0") if added else (), vectors)


def _bytes(rows: NDArray[np.float32]) -> bytes:
    return np.ascontiguousarray(rows, "<f4").tobytes()
