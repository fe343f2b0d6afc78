"""The people of a gallery in a file that is mapped into memory, ready to be searched.

    _HEAD bytes        one line: _KIND and the fields of `_Head`, the last one a CRC-32 of the line; zeros
    vectors, means     float32 rows, of each template and of each person
    ids, places        int64, of each template; with the rest, they have a CRC-32 in the head
    marks              uint64, of each row of `vectors` and of `means` (`marks_of`)
    names              UTF-8, a zero byte between two
    changes            what changed since then (`people_changes`)

So one person more adds some bytes at the end. One person less overwrites their bytes, wherever they are. Opening reads
neither vectors nor means: each row is checked when it is read. Every change has the stamp of the gallery after it, so a
reader takes those up to the state it knows.

It is a cache: a file that is missing, damaged or without the stamp that is asked for counts as not there. Nothing of
its order on the disk matters, because everything has a checksum. Whoever writes must hold the database's write lock.
"""

import zlib
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from facerec.errors import GalleryError
from facerec.files import fcntl, replacing, settle, unlink
from facerec.gallery.people_changes import Change, apply, read_changes, removal
from facerec.search.index import Ids
from facerec.search.people import PeopleIndex
from facerec.search.rows import DamagedRowsError, Rows, marks_of
from facerec.types import Vectors

_KIND = "facerec-people-2"
_HEAD = 4096  # bytes, so that the arrays lie on their boundaries
_LONG = 1 << 20  # bytes of changes, which are soon read
_SHARE = 32  # the changes may also be as long as this part of the rest


class _Head(NamedTuple):
    """made, stamp: the gallery's states in which the file was made, and after the last change. templates, people: how
    many there were when it was made. dimension: D. names: bytes. end: of the file. checksum: of ids to names.
    """

    made: str
    stamp: str
    templates: int
    people: int
    dimension: int
    names: int
    end: int
    checksum: int

    @classmethod
    def read(cls, file: BinaryIO) -> Self | None:
        """Read it from the beginning of a file; None if it is not what was written."""
        file.seek(0)
        content = file.read(_HEAD)
        kind, *fields = content.partition(b"\n")[0].decode("ascii", "replace").split(" ")
        if kind != _KIND or len(fields) != len(cls._fields) + 1 or not all(map(str.isdecimal, fields[2:])):
            return None
        head = cls(fields[0], fields[1], *map(int, fields[2:-1]))
        return head if head.to_bytes() == content else None

    def to_bytes(self) -> bytes:
        """Return it as the file has it."""
        line = " ".join(map(str, (_KIND, *self)))
        return f"{line} {zlib.crc32(line.encode())}\n".encode().ljust(_HEAD, b"\0")

    @property
    def means_at(self) -> int:
        """Where the means begin."""
        return _HEAD + 4 * self.dimension * self.templates

    @property
    def list_at(self) -> int:
        """Where the ids begin; places, marks and names follow."""
        return self.means_at + 4 * self.dimension * self.people

    @property
    def names_at(self) -> int:
        """Where the names begin."""
        return self.list_at + 24 * self.templates + 8 * self.people

    @property
    def changes_at(self) -> int:
        """Where the changes begin."""
        return self.names_at + self.names


class _List(NamedTuple):
    """Ids, places, marks and names, as the file has them."""

    ids: Ids
    places: NDArray[np.int64]
    marks: NDArray[np.uint64]
    names: bytes

    def to_bytes(self) -> bytes:
        """Return it as the file has it."""
        arrays = self.ids.astype("<i8"), self.places.astype("<i8"), self.marks.astype("<u8")
        return b"".join([*(array.tobytes() for array in arrays), self.names])

    @classmethod
    def read(cls, file: BinaryIO, head: _Head) -> Self | None:
        """Read it; None if it is not what was written."""
        file.seek(head.list_at)
        content = file.read(head.changes_at - head.list_at)
        if len(content) != head.changes_at - head.list_at or zlib.crc32(content) != head.checksum:
            return None
        numbers = np.frombuffer(content, "<i8", 3 * head.templates + head.people)
        ids, places, marks = np.split(numbers, [head.templates, 2 * head.templates])
        return cls(ids, places, marks.view("<u8"), content[numbers.nbytes :])


class PeopleFile:
    """The file at a path; it need not exist."""

    def __init__(self, path: Path) -> None:
        """Read nothing yet."""
        self.path = path

    @property
    def is_long(self) -> bool:
        """Whether it holds so many changes that it should be saved anew."""
        with suppress(OSError), self.path.open("rb") as file:
            head = _Head.read(file)
            return head is not None and head.end - head.changes_at > max(_LONG, head.changes_at // _SHARE)
        return False

    def goes_beyond(self, stamp: str) -> bool:
        """Whether it holds the state of this stamp, and changes after it."""
        with suppress(OSError), self.path.open("rb") as file:
            head = _Head.read(file)
            return head is not None and head.stamp != stamp and _end_of(file, head, stamp) is not None
        return False

    def save(self, stamp: str, people: PeopleIndex) -> None:
        """Make it hold these people, all or nothing, for its owner alone. GalleryError if it cannot be written.

        stamp: what they were made from, ASCII, without spaces. The draft has a fixed name, so only one process may
        write at a time.
        """
        vectors, means = people.vectors, people.means
        names, marks = "\0".join(people.names).encode(), np.concatenate([marks_of(vectors), marks_of(means)])
        listed = _List(people.ids, people.places, marks, names).to_bytes()
        sizes = len(vectors), len(means), people.dimension, len(names)
        head = _Head(stamp, stamp, *sizes, 0, zlib.crc32(listed))
        try:
            with replacing(self.path, private=True) as draft, draft.open("wb") as file:
                file.write(head._replace(end=head.changes_at).to_bytes())
                file.writelines(
                    np.ascontiguousarray(rows, "<f4").data.cast("B") for rows in (vectors, means) if rows.size
                )
                file.write(listed)
        except OSError as error:
            raise GalleryError(
                f"{self.path}: cannot be written ({error.strerror}); make its folder writable or free its disk"
            ) from error

    def load(self, stamp: str) -> PeopleIndex | None:
        """Return the people of this stamp; None if the file does not hold all of them.

        The rows of many people are mapped: whatever needs them may raise DamagedRowsError.
        """
        with suppress(OSError, DamagedRowsError), self.path.open("rb") as file:
            if (head := _Head.read(file)) is None or (changes := _changes(file, head, stamp)) is None:
                return None
            if (listed := _List.read(file, head)) is None:
                return None
            people = PeopleIndex.restored(
                listed.names.decode().split("\0") if head.people else [],
                listed.ids,
                listed.places.astype(np.intp, copy=False),
                Rows(_rows(file, _HEAD, head.templates, head.dimension), listed.marks[: head.templates]),
                Rows(_rows(file, head.means_at, head.people, head.dimension), listed.marks[head.templates :]),
            )
            apply(changes, people)
            return people if people.is_large else people.in_memory()
        return None

    def append(self, before: str, change: Change) -> None:
        """Add what changed since the gallery had the stamp `before`. Does nothing if the file has not that stamp.

        Raises OSError; the file then counts as damaged, or as not having the change.
        """
        if not self.path.exists():
            return
        with self.path.open("r+b") as file:
            if (head := _Head.read(file)) is not None and (end := _end_of(file, head, before)) is not None:
                _write(file, head, end, change.to_bytes(), change.stamp)

    def changes(self, before: str, after: str) -> list[Change] | None:
        """Return what changed between two stamps; None if the file does not tell."""
        with suppress(OSError), self.path.open("rb") as file:
            if (head := _Head.read(file)) is None or (changes := _changes(file, head, after)) is None:
                return None
            stamps = [head.made, *(change.stamp for change in changes)]
            return changes[stamps.index(before) :] if before in stamps else None
        return None

    def forget(self, before: str, after: str, left: Ids) -> None:
        """Overwrite whatever there is of templates that are not `left`. It is on disk when this returns.

        before, after: the gallery's stamps with them and without. left: (N,) ids, ascending. A file that is damaged, or
        has not the stamp `before`, is deleted. Raises OSError.
        """
        if self.path.exists():
            with self.path.open("r+b") as file:
                done = _forget(file, before, after, left)
            settle(self.path) if done else unlink([self.path])

    def cut_after(self, stamp: str) -> None:
        """Take off changes of a process that was killed before its commit. Raises OSError.

        stamp: the gallery's. A file that does not hold that state stays: whoever needs one makes it again.
        """
        with self.path.open("r+b") as file:
            if (head := _Head.read(file)) is not None and (end := _end_of(file, head, stamp)) is not None:
                _write(file, head, end, b"", stamp)


def _rows(file: BinaryIO, start: int, count: int, dimension: int) -> Vectors:
    """Map (N, D) rows of a file into memory."""
    if not count * dimension:
        return np.empty((count, dimension), np.float32)
    if fcntl is None:  # Windows lets nobody delete a file that is mapped
        file.seek(start)
        return np.fromfile(file, "<f4", count * dimension).reshape(count, dimension)
    return np.memmap(file, "<f4", "r", start, (count, dimension)).view(np.ndarray)


def _changes(file: BinaryIO, head: _Head, stamp: str) -> list[Change] | None:
    """Return the changes up to the one of this stamp; None if they are damaged, or the file does not hold that state.

    What a later change removed is overwritten already.
    """
    file.seek(head.changes_at)
    changes = read_changes(file.read(head.end - head.changes_at), head.dimension)
    stamps = [head.made, *(change.stamp for change in changes or ())]
    if changes is None or stamp not in stamps:
        return None
    count = stamps.index(stamp)
    return None if any(len(change.removed) for change in changes[count:]) else changes[:count]


def _end_of(file: BinaryIO, head: _Head, stamp: str) -> int | None:
    """Return where the change of this stamp ends; None if there is none."""
    if stamp == head.stamp:
        return head.end
    changes = _changes(file, head, stamp)
    return None if changes is None else head.changes_at + sum(len(change.to_bytes()) for change in changes)


def _write(file: BinaryIO, head: _Head, end: int, content: bytes, stamp: str) -> None:
    """Write changes at `end`, and let them be the last."""
    file.seek(end)
    file.write(content)
    file.truncate(end + len(content))
    file.seek(0)
    file.write(head._replace(stamp=stamp, end=end + len(content)).to_bytes())


def _forget(file: BinaryIO, before: str, after: str, left: Ids) -> bool:
    """As `PeopleFile.forget`; False if the file must be deleted."""
    if (head := _Head.read(file)) is None or (changes := _changes(file, head, before)) is None:
        return False
    if (listed := _List.read(file, head)) is None:
        return False
    ids, stay = listed.ids, _among(listed.ids, left)
    before_that = np.concatenate([ids[:0], *(change.removed for change in changes)])
    gone = np.flatnonzero(~stay & ~np.isin(ids, before_that))
    listed = _blanked(file, head, listed, gone, stay)
    added = np.concatenate([ids[:0], *(change.ids for change in changes)])
    removed = np.concatenate([ids[gone], added[~_among(added, left)]])
    if before == after and not len(removed):
        return True
    kept = [*(change.without(removed) for change in changes), removal(after, removed, head.dimension)]
    head = head._replace(checksum=zlib.crc32(listed.to_bytes()))
    _write(file, head, head.changes_at, b"".join(change.to_bytes() for change in kept), after)
    return True


def _among(ids: Ids, others: Ids) -> NDArray[np.bool_]:
    """Whether each of (N,) ids is among the others; both are ascending, which makes it fast."""
    at = np.searchsorted(others, ids)
    return np.append(others, -1)[at] == ids


def _blanked(file: BinaryIO, head: _Head, listed: _List, gone: NDArray[np.intp], stay: NDArray[np.bool_]) -> _List:
    """Overwrite the vectors at the rows `gone`, the means of their people, and the names of people of whom none stays.

    stay: of each row, whether it does. Returns the list as it is then.
    """
    theirs = np.unique(listed.places[gone])
    _blank(file, _HEAD, gone, 4 * head.dimension)
    _blank(file, head.means_at, theirs, 4 * head.dimension)
    marked = np.concatenate([gone, head.templates + theirs])
    _blank(file, head.names_at - 8 * len(listed.marks), marked, 8, b"\xff")
    marks = listed.marks.copy()
    marks[marked] = np.uint64(2**64 - 1)
    nameless = theirs[np.bincount(listed.places[stay], minlength=head.people)[theirs] == 0]
    return listed._replace(marks=marks, names=_blank_names(file, head, listed.names, nameless))


def _blank(file: BinaryIO, start: int, numbers: NDArray[np.integer], size: int, byte: bytes = b"\0") -> None:
    """Overwrite the rows of these numbers with the same byte."""
    for number in numbers.tolist():
        file.seek(start + number * size)
        file.write(byte * size)


def _blank_names(file: BinaryIO, head: _Head, names: bytes, places: NDArray[np.integer]) -> bytes:
    """Overwrite the names at these places by as many bytes that no name has; return all names as they are then."""
    ends = np.concatenate([[-1], np.flatnonzero(np.frombuffer(names, np.uint8) == 0), [len(names)]])
    left = bytearray(names)
    for start, end in zip((ends[places] + 1).tolist(), ends[places + 1].tolist(), strict=True):
        left[start:end] = b"\1" * (end - start)
        file.seek(head.names_at + start)
        file.write(left[start:end])
    return bytes(left)
