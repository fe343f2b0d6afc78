"""Videos from disk: path -> pictures with their times. Decoded by FFmpeg (PyAV); needs the extra `video`.

for frame in VideoFile(Path("party.mp4")).frames(every=0.2):
    frame.seconds, frame.image
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from facerec.errors import ImageError
from facerec.photos.photo_files import one_line, opened
from facerec.photos.reading import MAX_PIXELS, require_size
from facerec.photos.video_files import require_library
from facerec.text import clock, how_many, printable
from facerec.types import Image

if TYPE_CHECKING:  # imported when needed
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# Files from strangers: only containers of one file. Playlists make FFmpeg open other files, or addresses.
_FORMATS = "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,dv,mxf,h264,hevc"
_MICROSECONDS = 1_000_000  # in a second; containers count so
_TOLERANCE = 1e-6  # seconds
END = 1.0
"""Seconds that may be missing at the end of a whole video, by what the file says about itself."""


class Frame(NamedTuple):
    """One picture of a video. seconds: since the video's first picture. image: (H, W, 3) uint8 RGB, upright."""

    seconds: float
    image: Image


class VideoFile:
    """A video on disk.

    remarks: what is odd about it, as `types.Photo.remarks` has it; complete once all frames were taken.
    """

    def __init__(self, path: Path) -> None:
        require_library()
        self.path = path
        self.remarks: tuple[str, ...] = ()

    def frames(self, every: float = 0.0) -> Iterator[Frame]:
        """The pictures, at least `every` seconds apart; one at a time is held in memory.

        A damaged part is passed over, with a remark; another one says if the end is missing, where the file says how
        long it lasts. Raises ImageError (one line) for a file that cannot be read, is no video, or holds not one
        picture that can be decoded.
        """
        import av

        with opened(self.path, "video") as file, _reported(self.path):
            options = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
            with av.open(file, "r", options=options) as container:
                pictures = Pictures(container, str(self.path))
                yield from pictures.frames(every)
        if not pictures.count:
            raise ImageError(f"{printable(self.path)}: no picture in it can be decoded; get a whole copy")
        odd = [f"{how_many(pictures.damaged, 'part')} of it damaged and passed over"] if pictures.damaged else []
        odd += [f"cut off, the last {clock(missing)} is missing"] if (missing := pictures.missing) > END else []
        self.remarks = ("; ".join(odd),) if odd else ()


class Pictures:
    """The pictures of an open container.

    count: how many were decoded. damaged: parts that were not. seconds: the time of the latest picture. missing: once
    all were taken, the seconds at the end that should be there.
    """

    def __init__(self, container: "InputContainer", name: str, at_once: bool = False) -> None:
        """Raises ImageError without a video in it. name: what messages call it.

        at_once: give each picture as soon as it is complete. Decoding several at once is faster, but keeps some back.
        """
        self._container, self._path = container, Path(name)
        self._stream = _video_stream(container, self._path)
        self._stream.thread_type = "SLICE" if at_once else "AUTO"
        self._began: float | None = None
        self.count = self.damaged = 0
        self.seconds, self.missing = 0.0, (container.duration or 0) / _MICROSECONDS

    def frames(self, every: float = 0.0) -> Iterator[Frame]:
        """The pictures, at least `every` seconds apart."""
        due = 0.0
        for decoded in self._decoded():
            self.seconds = self._time(decoded)
            self.count += 1
            if self.seconds >= due - _TOLERANCE:
                due = self.seconds + every
                yield Frame(self.seconds, self._upright(decoded))

    def _decoded(self) -> "Iterator[VideoFrame]":
        """The sound pictures. A damaged end is one more damaged part."""
        from av.error import FFmpegError, InvalidDataError

        packets = self._packets()
        while True:
            try:
                packet = next(packets, None)
            except InvalidDataError:
                packet, self.damaged = None, self.damaged + 1
            if packet is None:
                return
            try:
                frames = packet.decode()
            except FFmpegError:
                frames, self.damaged = [], self.damaged + 1
            sound = [frame for frame in frames if not frame.is_corrupt]
            self.damaged += len(frames) - len(sound)
            yield from sound

    def _packets(self) -> "Iterator[Packet]":
        """The packets of the video. Those of the sound are looked at, too: it may go on behind the last picture."""
        ends = ((self._container.start_time or 0) + (self._container.duration or 0)) / _MICROSECONDS
        for packet in self._container.demux():
            if packet.pts is not None:
                reached = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                self.missing = max(min(self.missing, ends - reached), 0.0)
            if packet.stream.index == self._stream.index:
                yield packet

    def _time(self, frame: "VideoFrame") -> float:
        """Seconds since the first picture; never less than before, whatever the file says."""
        rate = float(self._stream.average_rate or 25)
        time = frame.time
        if time is None:
            return self.seconds + (1 / rate if self.count else 0.0)
        self._began = time if self._began is None else self._began
        return max(time - self._began, self.seconds)

    def _upright(self, frame: "VideoFrame") -> Image:
        """(H, W, 3) uint8 RGB, turned as the file says, with square pixels."""
        require_size(self._path, frame.height, frame.width)
        ratio = float(self._stream.sample_aspect_ratio or 1)
        image = frame.to_ndarray(format="rgb24", width=max(1, round(frame.width * ratio)))
        return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90)), np.uint8)


def _video_stream(container: "InputContainer", path: Path) -> "VideoStream":
    """The first video in a container. No picture above MAX_PIXELS is decoded."""
    stream = next(iter(container.streams.video), None)
    if stream is None:
        raise ImageError(f"{printable(path)}: no video in it, or damaged; give a whole video file")
    if stream.codec_context is None:
        raise ImageError(
            f"{printable(path)}: damaged, or of a kind of video that is not known; give a whole copy, as MP4"
        )
    require_size(path, stream.codec_context.height or 1, stream.codec_context.width or 1)
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    return stream


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    """Raise ImageError instead of FFmpeg's errors."""
    from av.error import FFmpegError

    try:
        yield
    except (FFmpegError, OSError) as error:
        reason = one_line(error.strerror or "unknown")
        raise ImageError(
            f"{printable(path)}: not a video facerec reads, or damaged ({reason}); give MP4, MOV, MKV, WebM or AVI"
        ) from error
