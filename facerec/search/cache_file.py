"""Cache files, which can be made again. A missing, unreadable, damaged or stale one counts as not there."""

import hashlib
from pathlib import Path

from facerec.errors import GalleryError
from facerec.files import write_bytes


def write_cache(path: Path, stamp: str, content: bytes) -> None:
    """Write a cache file that only its owner can read, all or nothing.

    Its first line holds the stamp and the content's SHA-256; the content follows. GalleryError if it cannot be written.
    """
    try:
        write_bytes(path, _header(stamp, content) + content, private=True)
    except OSError as error:
        raise GalleryError(
            f"{path}: cannot be written ({error.strerror}); make its folder writable or free its disk"
        ) from error


def read_cache(path: Path, stamp: str) -> bytes | None:
    """Return the content that `write_cache` wrote with the same stamp; None if the file does not hold all of it."""
    try:
        header, end, content = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    return content if header + end == _header(stamp, content) else None


def _header(stamp: str, content: bytes) -> bytes:
    return f"{stamp} {hashlib.sha256(content).hexdigest()}\n".encode()
