"""Files of what can be computed again. One that is missing, unreadable, damaged or stale counts as none."""

import hashlib
from pathlib import Path

from facerec.errors import GalleryError
from facerec.files import write_bytes


def write_cache(path: Path, stamp: str, content: bytes) -> None:
    """Write a file, all or nothing, for its owner alone: a line of stamp and SHA-256 of the content, then the content.

    Raises GalleryError if it cannot be written.
    """
    try:
        write_bytes(path, _header(stamp, content) + content, private=True)
    except OSError as error:
        raise GalleryError(
            f"{path}: cannot be written ({error.strerror}); make its folder writable or free its disk"
        ) from error


def read_cache(path: Path, stamp: str) -> bytes | None:
    """Return the content that `write_cache` wrote under the same stamp; None where the file does not hold it whole."""
    try:
        header, end, content = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    return content if header + end == _header(stamp, content) else None


def _header(stamp: str, content: bytes) -> bytes:
    return f"{stamp} {hashlib.sha256(content).hexdigest()}\n".encode()
