"""Webcams and streams: the newest picture whenever one is asked for.

A thread decodes; it holds one picture, and a newer one takes its place. So a slow machine passes pictures over and is
never behind. A stream that drops is joined again, after 1 second, then 2, 4 and so on up to LONGEST.
"""

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from facerec.errors import ImageError
from facerec.photos.photo_files import one_line
from facerec.photos.video import END, Frame, Pictures, VideoFile
from facerec.photos.video_files import Source, require_library
from facerec.text import printable

if TYPE_CHECKING:  # imported when needed
    from av.container import InputContainer

log = logging.getLogger(__name__)

SILENCE = 10.0
"""Seconds without data after which a stream counts as dropped."""
LONGEST = 30.0
"""The longest time between two attempts to join a stream, in seconds."""
_PROTOCOLS = "rtsp,rtsps,rtp,srtp,rtmp,rtmps,http,https,httpproxy,tls,tcp,udp,srt,crypto"  # not "file"
_LOOK = 0.2  # seconds between two looks whether to stop


def frames_of(
    source: Source, stopped: threading.Event, every: float = 0.0, tell: Callable[[str], None] = log.warning
) -> Generator[Frame]:
    """The pictures of a video file, webcam or stream, at least `every` seconds apart, until `stopped` is set.

    tell: is given what is odd about a video file, once it was read to its end. Raises
    ImageError as `VideoFile.frames` and `LiveFrames` do.
    """
    if source.kind == "file":
        video = VideoFile(Path(source.address))
        yield from takewhile(lambda _: not stopped.is_set(), video.frames(every))
        for remark in video.remarks:
            tell(f"{printable(source.name)}: {remark}")
        return
    frames = LiveFrames(source, stopped, every)
    try:
        yield from frames
    finally:
        frames.close()


class LiveFrames(Iterator[Frame]):
    """Pictures of a webcam or stream, at least `every` seconds apart, until `stopped` is set.

    `seconds` counts from the first picture. A stream that says how long it lasts is a recording: each of its pictures
    waits until it is taken, and has the recording's time. Raises ImageError if the source cannot be joined at first.
    """

    def __init__(self, source: Source, stopped: threading.Event, every: float = 0.0, pause: float = 1.0) -> None:
        """pause: seconds before a dropped stream is joined again for the first time."""
        require_library()
        self._source, self._stopped, self._every, self._pause = source, stopped, every, pause
        self._changed = threading.Condition()
        self._frame: Frame | None = None
        self._error: ImageError | None = None
        self._over = False
        self._due, self._reached = 0.0, -1.0  # seconds: of the next picture; of the latest one
        self._began: float | None = None  # when the first picture came
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="facerec-stream", daemon=True)
        self._thread.start()

    def __next__(self) -> Frame:
        with self._changed:
            while not self._stopped.is_set():
                frame, self._frame = self._frame, None
                self._changed.notify_all()
                if frame is not None and frame.seconds >= self._due:
                    self._due = frame.seconds + self._every
                    return frame
                if self._over:
                    break
                self._changed.wait(_LOOK)
            if self._error is not None and not self._stopped.is_set():
                raise self._error
        self.close()
        raise StopIteration

    def close(self) -> None:
        """Let go of the source. A thread that waits for data ends within SILENCE seconds."""
        self._closed.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(_LOOK)

    # ------------------------------------------------------------------------------------- in the thread

    def _run(self) -> None:
        try:
            self._read()
        except ImageError as error:
            self._error = error
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def _read(self) -> None:
        """Join the source again and again, until it is over or nobody wants it any more."""
        from av.error import FFmpegError

        pause = self._pause
        while not self._closed.is_set():
            reason, before = "it ended", self._reached
            try:
                if self._read_once():
                    return
            except (FFmpegError, ImageError) as error:
                reason = _reason(error)
            if self._began is None:
                raise self._unreachable(reason)
            pause = self._pause if self._reached > before else min(2 * pause, LONGEST)
            log.warning("%s: lost (%s); joining again in %g s", printable(self._source.name), reason, pause)
            self._closed.wait(pause)

    def _read_once(self) -> bool:
        """Read until the source drops. Whether it is over: a recording that was read to its end, or closed."""
        again = self._began is not None
        with _opened(self._source) as container:
            lasts = (container.duration or 0) / 1_000_000
            pictures = Pictures(container, self._source.name, at_once=not lasts)
            for frame in pictures.frames():
                if again:
                    log.warning("%s: joined again", printable(self._source.name))
                    again = False
                self._keep(frame, recorded=lasts > 0)
                if self._closed.is_set():
                    return True
        return lasts > 0 and pictures.seconds >= lasts - END

    def _keep(self, frame: Frame, recorded: bool) -> None:
        """Offer a picture; one of a recording waits for the one before to be taken."""
        self._began = time.monotonic() if self._began is None else self._began
        if recorded and (frame.seconds <= self._reached or frame.seconds < self._due):
            return  # the recording began again; or nobody asks for it
        with self._changed:
            while recorded and self._frame is not None and not self._closed.is_set():
                self._changed.wait(_LOOK)
            self._reached = frame.seconds if recorded else time.monotonic() - self._began
            self._frame = frame._replace(seconds=self._reached)
            self._changed.notify_all()

    def _unreachable(self, reason: str) -> ImageError:
        advice = "check its number" if self._source.kind == "webcam" else "check the address, and that it is running"
        return ImageError(f"{printable(self._source.name)}: cannot be opened ({reason}); {advice}")


def _reason(error: Exception) -> str:
    """Why a source dropped. FFmpeg says "Immediate exit requested" where its time is up."""
    from av.error import ExitError

    if isinstance(error, ExitError):
        return f"no data for {SILENCE:g} s"
    return one_line(getattr(error, "strerror", None) or str(error))


def _opened(source: Source) -> "InputContainer":
    """Open a webcam or stream. FFmpegError where it cannot be joined."""
    import av

    if source.kind == "webcam":
        return av.open(f"/dev/video{int(source.address)}", "r", format="v4l2", timeout=SILENCE)
    options = {"protocol_whitelist": _PROTOCOLS, "rtsp_transport": "tcp"}
    return av.open(source.address, "r", options=options, timeout=SILENCE)
