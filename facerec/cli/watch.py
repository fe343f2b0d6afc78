"""`facerec watch`."""

import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facerec.cli import common, detector_options, path_types
from facerec.cli.identify import TOP, fpir_option, give_way, show_answer, styled
from facerec.cli.offers import some
from facerec.errors import ConfigError, ImageError
from facerec.gallery.address import Place
from facerec.photos.video_files import EVERY, Source, require_every, source_of
from facerec.recognition import answers
from facerec.text import clock, how_many

if TYPE_CHECKING:
    from facerec.faces.detector import Detector
    from facerec.gallery.gallery import Gallery
    from facerec.inference.embedder import Embedder
    from facerec.photos.video import Frame
    from facerec.photos.video_writing import VideoWriter
    from facerec.recognition.identify import Identification, PresentThreshold
    from facerec.recognition.live import TrackEvent, Watcher

_Parts = tuple["Gallery", "Detector", "Embedder", "PresentThreshold"]


@common.command()
@click.argument("source", type=path_types.SOURCE, shell_complete=some((), or_file=True))
@click.option(
    "--every-seconds", "every", type=float, default=EVERY, show_default=True, metavar="S",
    help="Look at a picture every so many seconds; 0: at every picture, as far as the machine is fast enough.",
)  # fmt: skip
@common.threshold_option
@fpir_option
@click.option(
    "--save-annotated", "video", type=path_types.PATH, metavar="FILE.mp4",
    help="Write the pictures that were looked at to this new video, with every face framed and named.",
)  # fmt: skip
@common.explain_option
@detector_options.face_options
@common.gallery_option
@common.model_option
@common.json_option
def watch(
    source: str,
    every: float,
    threshold: float | None,
    fpir: float | None,
    video: Path | None,
    explain: bool,
    gallery_folder: Place,
    model: str | None,
    as_json: bool,
    **faces: Any,
) -> None:
    """Say who is in a video while it runs.

    SOURCE is a video file, the number of a webcam, the address of a stream (rtsp://, http://), or a folder that fills
    up: its photos and videos are answered once they are written to their end. A face is followed from picture to
    picture and has one answer, which is revised as better pictures of it come. What is changed in the gallery
    meanwhile, and its threshold, count from the next picture on. Ctrl-C ends it.

    \b
    facerec watch party.mp4
    facerec watch 0 --json                  # the first webcam
    facerec watch rtsp://door.local/stream --save-annotated door.mp4
    facerec watch inbox/
    """
    require_every(every)
    stopped = _stop_on_signals()
    fpir = give_way(fpir, threshold)
    where = source_of(source)
    if video is not None and where.kind == "folder":
        raise ConfigError(f"{common.one_line(video)}: a folder is no video; leave out `save_annotated`")
    from facerec.decision.decide import choose_threshold
    from facerec.inference.loading import load_embedder
    from facerec.photos.streams import frames_of
    from facerec.recognition.identify import PresentThreshold, measured_threshold, open_gallery
    from facerec.recognition.live import Watcher

    with ExitStack() as opened:
        writer = None if video is None else opened.enter_context(_writer(video, gallery_folder))
        embedder = load_embedder(model)
        gallery = opened.enter_context(open_gallery(gallery_folder, embedder))
        detector = detector_options.make_detector(**faces, crop_size=embedder.card.input_size, gallery=gallery)
        limit = PresentThreshold(
            gallery, lambda: choose_threshold(threshold, measured_threshold(gallery, fpir), embedder.card.name)
        )
        parts, show = (gallery, detector, embedder, limit), _Shower(limit, as_json, explain, where)
        if where.kind == "folder":
            failed = _watch_folder(where, parts, stopped, show)
        else:
            watcher = Watcher(gallery, detector, embedder, limit(), Path(where.name))
            frames = _with_threshold(frames_of(where, stopped, every, common.remark), watcher, limit)
            failed = _watch_video(frames, watcher, writer, show)
    if not failed or show.counts.total():
        show.summarise()
    common.finish(failed, show.counts.total())


def _stop_on_signals() -> threading.Event:
    """An event that the first SIGINT or SIGTERM sets; a second one ends the process as usual."""
    stopped = threading.Event()
    before = {number: signal.getsignal(number) or signal.SIG_DFL for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, _: object) -> None:
        stopped.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, stop)
    click.get_current_context().call_on_close(lambda: [signal.signal(*each) for each in before.items()])
    return stopped


def _writer(video: Path, gallery_folder: Place) -> "VideoWriter":
    """The video to be written, which is made before the work begins."""
    from facerec.gallery.archive import require_elsewhere
    from facerec.photos.video_writing import VideoWriter

    require_elsewhere(gallery_folder, video, video)
    return VideoWriter(video)


def _with_threshold(frames: "Iterator[Frame]", watcher: "Watcher", limit: "PresentThreshold") -> "Iterator[Frame]":
    """Pass on the pictures, each to be looked at by the threshold that the gallery has by then."""
    for frame in frames:
        watcher.threshold = limit()
        yield frame


def _watch_video(frames: "Iterator[Frame]", watcher: "Watcher", writer: "VideoWriter | None", show: "_Shower") -> int:
    """Tell what happens in a video, webcam or stream. Returns how many errors there were: 0 or 1."""
    from facerec.recognition import live

    try:
        for event in live.watch(frames, watcher, writer):
            show.event(event)
    except ImageError as error:  # what was found until then is told, too
        for event in watcher.end():
            show.event(event)
        common.warn(str(error))
        return 1
    return 0


def _watch_folder(where: Source, parts: "_Parts", stopped: threading.Event, show: "_Shower") -> int:
    """Tell who is in the photos and videos of a folder, as they come. Returns how many could not be used."""
    from facerec.photos.incoming import Incoming
    from facerec.recognition.live import identify_files

    failed = 0
    for paths in Incoming(Path(where.address)).batches(stopped):
        waiting = takewhile(lambda _: not stopped.is_set(), paths)
        gallery, detector, embedder, limit = parts
        for result in identify_files(gallery, waiting, detector, embedder, limit(), TOP):
            failed += result.error is not None
            show.photo(result)
    return failed


class _Shower:
    """Prints what happens, and counts the faces that are known and unknown in the end."""

    def __init__(self, limit: "PresentThreshold", as_json: bool, explain: bool, where: Source) -> None:
        self._limit, self._as_json, self._explain = limit, as_json, explain
        self._live = where.kind != "file"
        self._image = {} if where.kind == "folder" else {"image": where.name}  # a path would change an address
        self.counts = Counter(known=0, unknown=0)

    def event(self, event: "TrackEvent") -> None:
        """Print an event of a video."""
        answer = event.answer
        if event.kind == "left":
            self._count(answer)
        if self._as_json:
            common.emit(self._line(event.kind, event.seconds, answer))
            return
        said = f"{self._time(event.seconds)} face {answer.position + 1}: "
        if event.kind == "identified":
            click.echo(said + styled(answer.person))
            if self._explain:
                click.echo(f"    {common.in_options(answer.reason)}")
        else:
            click.echo(said + (event.kind if event.kind == "appeared" else f"left, {styled(answer.person)}"))

    def photo(self, answer: "Identification") -> None:
        """Print a face of a photo, or of a video, that came into a folder; an error goes to stderr."""
        if answer.error is not None:
            common.warn(str(answer.error))
        else:
            self._count(answer)
        if self._as_json:
            common.emit(self._line("identified", None, answer))
        else:
            show_answer(answer, TOP if self._explain else 0)

    def summarise(self) -> None:
        """Print how many faces there were."""
        faces = self.counts.total()
        kinds = f"{self.counts['known']} known, {self.counts['unknown']} unknown"
        common.summary(f"{how_many(faces, 'face')}: {kinds}", self._as_json)

    def _count(self, answer: "Identification") -> None:
        self.counts["unknown" if answer.person is None else "known"] += 1

    def _line(self, kind: str, seconds: float | None, answer: "Identification") -> dict[str, Any]:
        now = datetime.now(UTC).isoformat(timespec="milliseconds") if self._live else None
        line = {"event": kind, "time": now, "at": None if seconds is None else round(seconds, 3)}
        line["track"] = None if answer.seconds is None else answer.position
        return line | answers.identified(answer, self._limit(), TOP) | self._image

    def _time(self, seconds: float) -> str:
        return datetime.now().strftime("%H:%M:%S") if self._live else clock(seconds)
