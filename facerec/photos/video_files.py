"""What can be watched, by its name: a webcam, a stream, a folder or a video file; and which files are videos.

Nothing is decoded here, so nothing heavy is imported.
"""

import math
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from facerec.errors import ConfigError, ImageError
from facerec.extras import require
from facerec.photos.photo_files import holds_photo, opened
from facerec.text import printable

VIDEO_EXTENSIONS = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".mkv", ".webm", ".avi", ".divx", ".wmv", ".asf", ".flv"),
        *(".f4v", ".mpg", ".mpeg", ".mpe", ".m2v", ".vob", ".ts", ".mts", ".m2ts", ".ogv", ".ogm", ".dv", ".mxf"),
    )
)
"""The endings by which a video is known, in upper or lower case, unless it begins like a photo."""

EVERY = 0.2
"""Seconds between two pictures of a video that are looked at, unless asked otherwise."""

STREAM_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "udp", "srt", "tcp")

_VIDEO = re.compile(
    rb".{4}(?:ftyp|moov|mdat|wide|free|skip)|\x1aE\xdf\xa3|RIFF....AVI |FLV\x01|\0\0\x01\xba"
    rb"|0&\xb2u\x8ef\xcf\x11|OggS",  # ASF; Ogg
    re.DOTALL,
)
_HOST = re.compile(r"(?:\[[\da-fA-F:.]+\]|[^\s:\[\]]+)(?::\d+)?")  # a name or number, and a port
_LONGEST_START = 12  # bytes that _VIDEO looks at


@dataclass(frozen=True, slots=True)
class Source:
    """What is watched. kind: "webcam", "stream", "folder" or "file".

    address: what is opened. name: what messages and answers call it; of an address only the host.
    """

    kind: str
    address: str
    name: str


def source_of(given: str) -> Source:
    """The source that a text names: a number is a webcam, unless there is a file of this name."""
    if (scheme := _scheme(given)) in STREAM_SCHEMES:
        address = scheme + given[len(scheme) :]  # FFmpeg knows no RTSP://
        return Source("stream", address, host_of(address))
    if given.isascii() and given.isdigit() and not os.path.lexists(given):
        return Source("webcam", given, f"webcam {int(given)}")
    return Source("folder" if os.path.isdir(given) else "file", given, given)


def require_source(given: str) -> None:
    """Raise ConfigError or ImageError for a source that is not there, or that nothing on this machine can read."""
    if not given:
        raise ConfigError("an empty name; give a video file, the number of a webcam, an address or a folder")
    source = source_of(given)
    if source.kind == "webcam":
        _require_webcam(source)
    elif source.kind == "file":
        if _scheme(given):
            raise ConfigError(
                f"{host_of(given)}: no address of a stream; streams begin with rtsp://, http:// or the like"
            )
        _require_video(Path(given))
    if source.kind != "folder":
        require_library()


def require_every(seconds: float) -> None:
    """Raise ConfigError for a time between two pictures that is no number of seconds from 0 on."""
    if not 0 <= seconds < math.inf:
        raise ConfigError(f"`every_seconds` must be a number of seconds from 0 on, not {seconds:g}")


def _require_webcam(source: Source) -> None:
    if not sys.platform.startswith("linux"):
        raise ConfigError("webcams are read on Linux only; give the address of a stream")
    device = Path(f"/dev/video{int(source.address)}")
    if not device.exists():
        raise ImageError(f"{source.name}: there is no {device}; check its number")


def _require_video(path: Path) -> None:
    with opened(path, "video"):
        pass
    if holds_photo(path):
        raise ImageError(f"{printable(path)}: a photo, not a video; `facerec identify` says who is in it")


def require_library() -> None:
    """Raise MissingExtraError unless PyAV is installed, which reads and writes videos."""
    require("av", "reading videos")


def host_of(address: str) -> str:
    """A stream's address as far as it holds no secret: rtsp://door.local:554/...

    Cameras take passwords and keys before the host, in the path and behind it. Where a password holds a "/" of its own,
    nobody can tell where the host begins, so it is left out, too.
    """
    scheme, _, rest = address.partition("://")
    place = re.split("[/?#]", rest, maxsplit=1)[0]
    behind = rest[len(place) :]
    host = _HOST.fullmatch(place.rpartition("@")[2])
    if host is None or ("@" in behind and "@" not in place):
        return f"{scheme}://..."
    return f"{scheme}://{host.group()}{'/...' if behind.strip('/') else behind}"


def is_video(path: Path) -> bool:
    """Whether a file is a video: by its beginning, or by its ending where that does not tell. Photos come first."""
    if holds_photo(path):
        return False
    return path.suffix.lower() in VIDEO_EXTENSIONS or _holds_video(path)


def _holds_video(path: Path) -> bool:
    try:
        with opened(path) as file:
            return _VIDEO.match(file.read(_LONGEST_START)) is not None
    except (ImageError, OSError):  # whoever reads it will report the error
        return False


def _scheme(given: str) -> str:
    found = re.match(r"([a-z][a-z\d+.-]*)://", given, re.IGNORECASE)
    return found.group(1).lower() if found else ""
