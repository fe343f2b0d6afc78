"""Who is in a video, as it goes: one answer for each track (`tracks`), not one for each picture.

A track's distance to a person is the mean of its best faces' distances to that person. It is held against the
gallery's threshold, which is made for single photos; README.md says why that is right. A track has an answer once
enough of its faces were seen, and at the latest when it ends; the answer is revised as better faces come.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from facerec.decision.decide import decide_photo
from facerec.errors import FacerecError, ImageError, NoFaceError
from facerec.faces.detector import Detector
from facerec.faces.looking import upright
from facerec.gallery.gallery import Gallery
from facerec.inference.embedder import Embedder
from facerec.inference.pipeline import embed_faces
from facerec.photos.video import Frame, VideoFile
from facerec.photos.video_files import EVERY, is_video
from facerec.photos.video_writing import VideoWriter, free_name
from facerec.recognition.identify import Identification, annotate, identify
from facerec.recognition.tracks import Track, Tracker
from facerec.text import Brief, how_many, printable
from facerec.types import Box, Candidate, Decision, Face, Threshold
from facerec.vectors import lengths

ENOUGH = 3
"""How many faces of a track must have been seen before it has an answer, unless it ends earlier."""
SAME = Threshold(1.2, "none on the model's card")
"""Within which two faces of a video match, where the model's card has no threshold for pairs."""


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class TrackEvent(Brief):
    """What happened to a track at `seconds` of the video.

    kind: "appeared"; "identified", with its first answer and with each that names somebody else; or "left", with the
    final answer. answer: who it is, as for a photo: its position is the track's number, its face the best one, and
    `seconds` from when to when it was seen so far. Its decision is None until there is an answer.
    """

    kind: str
    seconds: float
    answer: Identification


class Watcher:
    """Follows the faces of one video and says who they are."""

    def __init__(
        self, gallery: Gallery, detector: Detector, embedder: Embedder, threshold: Threshold, name: Path, top: int = 5
    ) -> None:
        """threshold: for naming people. name: what answers call the video. top: how many candidates they list."""
        self._gallery, self._detector, self._embedder = gallery, upright(detector), embedder
        self._name, self._top = name, top
        self.threshold = threshold
        """May be set between two pictures: it is the threshold from then on."""
        self._tracker = Tracker((embedder.card.default_threshold or SAME).distance)
        self._answers: dict[int, Decision | None] = {}  # of the tracks that have appeared and not left, by number
        self._seconds = 0.0
        self.shown: dict[Box, str | None] = {}
        """The faces in the latest picture: where each is, and its name; None: unknown."""

    def look(self, frame: Frame) -> list[TrackEvent]:
        """Look at the next picture. Returns what happened."""
        self._seconds = frame.seconds
        faces = self._faces(frame)
        found, ended = self._tracker.look(frame.seconds, faces, embed_faces(faces, self._embedder))
        seen = [track for track in found if track is not None and track.number >= 0]
        for track, candidates in zip(seen, self._candidates(seen), strict=True):
            track.candidates = candidates
        left = [event for track in ended for event in self._left(track)]
        events = [*left, *(event for track in seen for event in self._told(track, track.seen >= ENOUGH))]
        self.shown = {face.box: self._name_of(track) for face, track in zip(faces, found, strict=True) if track in seen}
        return events

    def end(self) -> list[TrackEvent]:
        """The video is over: everybody leaves."""
        return [event for track in self._tracker.end() for event in self._left(track)]

    def _faces(self, frame: Frame) -> list[Face]:
        try:
            return self._detector.detect([frame.image])[0]
        except ImageError as error:
            raise ImageError(f"{printable(self._name)}: {error}") from error

    def _candidates(self, tracks: Sequence[Track]) -> list[list[Candidate]]:
        """The people nearest to each track, at the mean distance of its best faces."""
        if not tracks:
            return []
        top = max(self._top, 2 + max(len(track.beside) for track in tracks))  # as in `identify`
        found = self._gallery.search(np.stack([track.mean for track in tracks]), top)
        agreements = [float(lengths(track.vectors.mean(axis=0, keepdims=True))[0]) for track in tracks]
        return [
            [replace(one, distance=mean_distance(one.distance, agreement)) for one in own]
            for own, agreement in zip(found, agreements, strict=True)
        ]

    def _told(self, track: Track, decided: bool) -> Iterator[TrackEvent]:
        """What is new about a track that is there. decided: it has an answer by now."""
        if track.number not in self._answers:
            self._answers[track.number] = None
            yield self._event("appeared", track)
        if not decided:
            return
        before, now = self._answers[track.number], self._decision(track)
        self._answers[track.number] = now
        if before is None or before.person != now.person:
            yield self._event("identified", track)

    def _left(self, track: Track) -> Iterator[TrackEvent]:
        yield from self._told(track, decided=True)
        yield self._event("left", track)
        del self._answers[track.number]
        track.beside.clear()  # they would hold each other in memory for ever

    def _decision(self, track: Track) -> Decision:
        """Who a track is. Nobody is two of the faces that were seen together."""
        together = [track.candidates, *(other.candidates for other in track.beside.values())]
        decision = decide_photo(together, self.threshold, self._gallery.searched, seen_in="video")[0]
        return replace(decision, reason=f"{decision.reason}; the mean of {how_many(len(track.vectors), 'face')}")

    def _event(self, kind: str, track: Track) -> TrackEvent:
        best, decision = track.best[0], self._answers[track.number]
        span = (track.first, track.last)
        face = replace(best.face, vector=best.vector)
        answer = Identification(self._name, track.number, face, decision, None, best.quality, seconds=span)
        return TrackEvent(kind, self._seconds, answer)

    def _name_of(self, track: Track | None) -> str | None:
        decision = None if track is None else self._answers[track.number]
        return None if decision is None else decision.person


def mean_distance(distance: float, agreement: float) -> float:
    """The mean of the squared distances from some unit vectors to another one.

    distance: from their unit mean to it. agreement: the length of their plain mean, 1 where they are all the same.
    """
    return 2 - (2 - distance) * agreement


def watch(frames: Iterable[Frame], watcher: Watcher, writer: VideoWriter | None = None) -> Iterator[TrackEvent]:
    """What happens in a video, as it happens; at the end everybody leaves.

    writer: takes the pictures that were looked at, with every face framed and named.
    """
    for frame in frames:
        yield from watcher.look(frame)
        if writer is not None:
            from facerec.photos.drawing import annotated  # fonts take time to load

            writer.add(frame.seconds, annotated(frame.image, [*watcher.shown], [*watcher.shown.values()]))
    yield from watcher.end()


def identify_video(
    gallery: Gallery,
    path: Path,
    detector: Detector,
    embedder: Embedder,
    threshold: Threshold,
    top: int = 5,
    pictures: Path | None = None,
) -> Iterator[Identification]:
    """Who is in a video file: the final answer for each track, in the order in which they appeared.

    A video that cannot be read, or without a face, has an `error` instead. pictures: a folder, to which a copy of the
    video with every face framed and named is written.
    """
    video, watcher = VideoFile(path), Watcher(gallery, detector, embedder, threshold, path, top)
    found: list[Identification] = []
    error: FacerecError | None = None
    with nullcontext() if pictures is None else VideoWriter(free_name(pictures, path.stem)) as writer:
        try:
            for event in watch(video.frames(EVERY), watcher, writer):
                if event.kind == "left":
                    found.append(event.answer)
        except ImageError as broken:
            error = broken
            found += [event.answer for event in watcher.end() if event.kind == "left"]
    if error is None and not found:
        error = NoFaceError(f"{printable(path)}: no face found; use a video with a clear, larger face")
    for answer in sorted(found, key=lambda answer: answer.position):
        yield replace(answer, remarks=video.remarks)
    if error is not None:
        yield Identification(path, 0, None, None, error, remarks=video.remarks)


def identify_files(
    gallery: Gallery,
    paths: Iterable[Path],
    detector: Detector,
    embedder: Embedder,
    threshold: Threshold,
    top: int = 5,
    pictures: Path | None = None,
) -> Iterator[Identification]:
    """As `identify` for photos and `identify_video` for videos, in order. pictures: as for `annotate`."""
    for moving, several in groupby(paths, is_video):
        if moving:
            for path in several:
                yield from identify_video(gallery, path, detector, embedder, threshold, top, pictures)
        else:
            found = identify(gallery, several, detector, embedder, threshold, top)
            yield from found if pictures is None else annotate(found, pictures)
