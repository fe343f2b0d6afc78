"""The file of people's codes. It is changed in place: one person more or less does not rewrite the rest.

    one line     MAGIC, the stamp, the codebook's size and SHA-256
    codebook     as `Codebook.to_bytes`
    records      one for each person: key, check, code; a free one is all zeros

The stamp says which model's vectors they are. A key stands for one person and one set of their vectors
(`keys.keys_of`), so a record is right or of nobody, whatever happened since. A record that was cut off or damaged has
a wrong check and counts as free. The reader makes what is missing. Writers hold a lock of the caller's.
"""

import hashlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from facerec.errors import GalleryError
from facerec.files import settle, unlink, write_bytes
from facerec.search.keys import Keys
from facerec.search.shortlist import Codebook, KeptCodes

MAGIC = "facerec-codes-1"
_ODD = np.random.default_rng(0).integers(0, 2**62, 64, np.uint64) * np.uint64(2) + np.uint64(1)
_LONGEST_LINE = 1000  # bytes

Records = NDArray[np.void]


def load_codes(path: Path, stamp: str) -> KeptCodes | None:
    """Return the codes of a file with this stamp; None if it is missing, unreadable or has another stamp."""
    try:
        with path.open("rb") as file:
            if (head := _read_head(file)) is None or head[0] != stamp:
                return None
            codebook = Codebook.from_bytes(head[1])
            records = _read_records(file, len(codebook.centres) // 2)
    except OSError:
        return None
    sound = records[_are_sound(records)]
    return KeptCodes(codebook, sound["key"], sound["code"])


def save_codes(path: Path, stamp: str, kept: KeptCodes) -> None:
    """Make the file hold these codes and no others. stamp: without spaces. GalleryError if it cannot be written.

    Only the records that differ are written, unless the file is of another codebook or mostly free.
    """
    book = kept.codebook.to_bytes()
    try:
        if not path.is_file() or not _bring_up_to_date(path, (stamp, book), kept):
            write_bytes(path, _head(stamp, book) + _records(kept.keys, kept.codes).tobytes(), private=True)
    except OSError as error:
        raise GalleryError(
            f"{path}: cannot be written ({error.strerror}); make its folder writable or free its disk"
        ) from error


def keep_only(path: Path, keys: Keys) -> None:
    """Overwrite all records but those of these keys with zeros. It is on disk when this returns. Raises OSError.

    A file that is damaged at its head is deleted.
    """
    if not path.is_file():
        return
    with path.open("r+b") as file:
        if (head := _read_head(file)) is not None:
            start = file.tell()
            records = _read_records(file, len(Codebook.from_bytes(head[1]).centres) // 2)
            _write(file, start, np.flatnonzero(~np.isin(records["key"], keys)), np.zeros_like(records))
            file.truncate(start + records.nbytes)  # the rest is a record cut off, perhaps of one of those who go
            _sync(file)
    if head is None:
        unlink([path])


def _bring_up_to_date(path: Path, head: tuple[str, bytes], kept: KeptCodes) -> bool:
    """Write what differs; False if the whole file must be written."""
    with path.open("r+b") as file:
        if _read_head(file) != head:
            return False
        start = file.tell()
        records = _read_records(file, kept.codes.shape[1])
        stay = _are_sound(records) & np.isin(records["key"], kept.keys)
        free, new = np.flatnonzero(~stay), np.flatnonzero(~np.isin(kept.keys, records["key"][stay]))
        if len(free) - len(new) > len(records) // 2:
            return False
        places = np.concatenate([free, np.arange(len(records), len(records) + len(new))])
        written = np.zeros(len(places), records.dtype)
        written[: len(new)] = _records(kept.keys[new], kept.codes[new])
        used = max(len(free), len(new))
        _write(file, start, places[:used], written[:used])
        _sync(file)
    return True


def _head(stamp: str, book: bytes) -> bytes:
    return f"{MAGIC} {stamp} {len(book)} {hashlib.sha256(book).hexdigest()}\n".encode() + book


def _read_head(file: BinaryIO) -> tuple[str, bytes] | None:
    """Return stamp and codebook, and leave the file where the records begin; None if they are not what was written."""
    line = file.readline(_LONGEST_LINE).split(b" ")
    if len(line) != 4 or not line[2].isdigit():
        return None
    stamp, book = line[1].decode("ascii", "replace"), file.read(int(line[2]))
    whole = _head(stamp, book)
    return (stamp, book) if b" ".join(line) == whole[: len(whole) - len(book)] else None


def _type_of(size: int) -> np.dtype[np.void]:
    """The type of a record whose code has so many bytes, a multiple of 8."""
    return np.dtype([("key", "<u8"), ("check", "<u8"), ("code", "u1", (size,))])


def _read_records(file: BinaryIO, size: int) -> Records:
    content, kind = file.read(), _type_of(size)
    return np.frombuffer(content, kind, len(content) // kind.itemsize)


def _records(keys: Keys, codes: NDArray[np.uint8]) -> Records:
    made = np.zeros(len(keys), _type_of(codes.shape[1]))
    made["key"], made["code"] = keys, codes
    made["check"] = _checks(made)
    return made


def _checks(records: Records) -> NDArray[np.uint64]:
    """Return (N,) sums over each record's key and code; any one of their 64-bit words changed changes the sum."""
    words = np.ascontiguousarray(records["code"]).view("<u8")
    return words @ _ODD[1 : words.shape[1] + 1] + records["key"] * _ODD[0] + np.uint64(1)


def _are_sound(records: Records) -> NDArray[np.bool_]:
    return records["check"] == _checks(records)


def _write(file: BinaryIO, start: int, places: NDArray[np.intp], records: Records) -> None:
    """Write N records at N places, ascending. Places that follow each other are written at once."""
    for run in np.split(np.arange(len(places)), np.flatnonzero(np.diff(places) != 1) + 1):
        if len(run):
            file.seek(start + int(places[run[0]]) * records.itemsize)
            file.write(records[run].tobytes())


def _sync(file: BinaryIO) -> None:
    file.flush()
    settle(Path(file.name))
