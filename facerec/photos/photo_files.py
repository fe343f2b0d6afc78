"""Files of photos: their endings, how they begin, opening them. Nothing is decoded, so nothing heavy is imported."""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from facerec.errors import ImageError
from facerec.files import may_name_a_file
from facerec.text import printable

EXTENSIONS = frozenset(
    (
        *(
            ".jpg",
            ".jpeg",
            ".jpe",
            ".jfif",
            ".pjpeg",
            ".mpo",
            ".png",
            ".apng",
            ".webp",
            ".bmp",
            ".tif",
            ".tiff",
            ".gif",
        ),
        *(".avif", ".jp2", ".j2k", ".jpf", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm", ".heic", ".heif", ".hif", ".jxl"),
    )
)
"""The endings by which `find_photos` knows a photo, in upper or lower case. It looks into files with others."""

RAW_EXTENSIONS = frozenset(
    (
        *(
            ".dng",
            ".cr2",
            ".cr3",
            ".crw",
            ".nef",
            ".nrw",
            ".arw",
            ".srf",
            ".sr2",
            ".orf",
            ".rw2",
            ".raw",
            ".rwl",
            ".pef",
        ),
        *(".raf", ".srw", ".3fr", ".fff", ".erf", ".kdc", ".dcr", ".mef", ".mos", ".iiq", ".x3f", ".gpr"),
    )
)
"""A camera's raw pictures. Many look like TIFF, but hold a small copy where a TIFF has its picture."""


_PHOTO = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|RIFF....WEBP|GIF8[79]a|II[*+]\0|MM\0[*+]"
    rb"|BM.{4}\0{4}.{4}[\x0c\x28\x34\x38\x40\x6c\x7c]\0{3}"  # a text may begin with BM, but not so
    rb"|\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"  # JPEG 2000: a file, and a bare stream
    rb"|.{4}ftyp(?:avi[fs]|he[iv][cxms]|m[is]f1)|P[1-6][ \t\r\n]+(?:#|\d+[ \t\r\n]+\d)"
    rb"|\0\0\0\x0cJXL \r\n\x87\n|\xff\x0a",  # JPEG XL: a file, and a bare stream
    re.DOTALL,
)
_LONGEST_START = 32  # bytes that _PHOTO looks at


def holds_photo(path: Path) -> bool:
    """Whether a file begins like a photo that facerec reads, whatever its name; False if it cannot be read.

    A camera's raw picture (RAW_EXTENSIONS) is none.
    """
    if path.suffix.lower() in RAW_EXTENSIONS:
        return False
    try:
        with opened(path) as file:
            return _PHOTO.match(file.read(_LONGEST_START)) is not None
    except (ImageError, OSError):  # a file that is no photo by its name: nobody asked for it
        return False


@contextmanager
def opened(path: Path, kind: str = "photo") -> Iterator[BufferedReader]:
    """Open a file for reading; raises ImageError for anything that prevents it. kind: what it should be."""
    if not may_name_a_file(path):
        raise ImageError(f"{printable(path)}: no file has such a name; check it")
    try:
        # Opening a named pipe would wait for ever, so look first.
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            os.scandir(path).close()
            raise ImageError(f"{printable(path)}: a folder, not a {kind}; name the {kind}s in it")
        if not stat.S_ISREG(mode):
            raise ImageError(f"{printable(path)}: not a regular file; give a file with a {kind}")
        with path.open("rb") as file:
            yield file
    except FileNotFoundError as error:
        raise ImageError(f"{printable(path)}: no such file; check the name") from error
    except OSError as error:
        raise ImageError(
            f"{printable(path)}: cannot be read ({one_line(error.strerror or error)}); make it a readable file"
        ) from error


def one_line(error: BaseException | str) -> str:
    """The error's message on one line."""
    return printable(" ".join(str(error).split())) or type(error).__name__
