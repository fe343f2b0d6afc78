"""Videos that are written picture by picture, each at its time. Needs the extra `video`."""

import os
from fractions import Fraction
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from facerec.errors import DataError
from facerec.photos.photo_files import one_line
from facerec.photos.video_files import require_library
from facerec.text import printable
from facerec.types import Image

if TYPE_CHECKING:  # imported when needed
    from av.container import OutputContainer
    from av.video.stream import VideoStream

ENDINGS = (".mp4", ".mov", ".mkv")
_TICK = Fraction(1, 1000)  # seconds: the precision of the pictures' times
_PART = 25  # pictures that are written together: if the program is killed, those before can be watched
_IN_PARTS = {"movflags": "frag_keyframe+empty_moov", "flush_packets": "1"}


def free_name(folder: Path, stem: str) -> Path:
    """The name of a new video in a folder: `party.mp4`, or `party-2.mp4` where that exists, and so on."""
    names = (folder / (f"{stem}.mp4" if number == 1 else f"{stem}-{number}.mp4") for number in count(1))
    return next(name for name in names if not os.path.lexists(name))


class VideoWriter:
    """A new video file. The first picture decides its size; others are scaled to that."""

    def __init__(self, path: Path) -> None:
        """Raises DataError for another ending than ENDINGS, a file that exists, and one that cannot be written."""
        require_library()
        if path.suffix.lower() not in ENDINGS:
            raise DataError(f"{printable(path)}: give a name that ends in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
        self._path = path
        self._container = self._created()
        self._stream: VideoStream | None = None
        self._last = -1  # in ticks

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def add(self, seconds: float, image: Image) -> None:
        """Add an (H, W, 3) uint8 RGB picture, to be shown from `seconds` on. DataError if it cannot be written."""
        from av import VideoFrame
        from av.error import FFmpegError

        frame = VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        stream = self._stream or self._begin(frame.width, frame.height)
        frame = frame.reformat(stream.width, stream.height, "yuv420p")
        self._last = max(round(seconds / _TICK), self._last + 1)
        frame.pts, frame.time_base = self._last, _TICK
        try:
            self._container.mux(stream.encode(frame))
        except FFmpegError as error:
            raise self._unwritable(error) from error

    def close(self) -> None:
        """Write what is left. DataError if it cannot be written. A video without a picture is no file."""
        from av.error import FFmpegError

        try:
            if self._stream is not None:
                self._container.mux(self._stream.encode(None))
            self._container.close()
        except FFmpegError as error:
            raise self._unwritable(error) from error
        if self._stream is None:
            self._path.unlink(missing_ok=True)

    def _created(self) -> "OutputContainer":
        import av
        from av.error import FFmpegError

        try:
            self._path.open("xb").close()
            return av.open(str(self._path.absolute()), "w", container_options=_IN_PARTS)
        except FileExistsError as error:
            raise DataError(f"{printable(self._path)}: is there already; give another name for the video") from error
        except (OSError, ValueError, FFmpegError) as error:
            raise self._unwritable(error) from error

    def _begin(self, width: int, height: int) -> "VideoStream":
        """Begin the video: H.264, with sides of even length, where this build of FFmpeg has it."""
        from av.codec import codecs_available

        codec = "libx264" if "libx264" in codecs_available else "mpeg4"
        options = {"preset": "veryfast", "crf": "23", "tune": "zerolatency"} if codec == "libx264" else {}
        stream = self._container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = (width + 1) // 2 * 2, (height + 1) // 2 * 2, "yuv420p"
        stream.codec_context.time_base, stream.gop_size = _TICK, _PART
        self._stream = stream
        return stream

    def _unwritable(self, error: Exception) -> DataError:
        reason = one_line(getattr(error, "strerror", None) or str(error))
        return DataError(f"{printable(self._path)}: cannot be written ({reason}); give another name for the video")
