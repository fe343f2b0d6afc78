"""Follows faces from picture to picture: a track is one person's face, from when it appears until it leaves.

Which face continues which track is one assignment for the whole picture (Hungarian method), by likeness first and
motion second. A face continues a track

- if it matches the track's mean vector by the threshold for pairs, and is where the track can be by now;
- or, wherever it is, if it matches far more closely (ALIKE): somebody reappears, or the camera cuts to another view.

A face that is like no track begins a new one, even in the very place of another: two people who cross keep their
tracks, and a cut from one person to another ends one track and begins the next. Only a face that is too poor to be
compared (blurred, turned away), in a place where a track is, belongs to none.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec.faces.found import iou
from facerec.faces.quality import Quality, measure
from facerec.text import Brief
from facerec.types import Candidate, Face, Floats, Vectors
from facerec.vectors import squared_distances, unit_means

ALIKE = 0.75
"""The part of the threshold for pairs within which a face continues a track wherever it is."""
REACH, SPEED = 1.0, 3.0
"""How far from the expected place a face can be, in its sides: at once, and for each second since it was seen."""
OVERLAP = 0.3
"""The intersection over union from which a face is in the place of a track."""
MOTION = 0.1
"""What a distance of one side from the expected place weighs, as squared distance of vectors."""
PATIENCE = 2.0
"""Seconds after which a track that is not seen has ended, at the earliest."""
MISSED = 3
"""Where pictures are far apart: how many times as long as from one to the next a track may not be seen."""
BEST = 10
"""How many of a track's faces its answer rests on: its best ones."""
_BESIDE = 50  # other tracks that a track remembers to have been seen with
_NEVER = 1e6  # the cost of a pair that is not allowed


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Sighting(Brief):
    """A face in a picture at `seconds`, its vector (D,) and its quality."""

    seconds: float
    face: Face
    vector: NDArray[np.float32]
    quality: Quality

    @property
    def worth(self) -> tuple[bool, float]:
        """What the best faces are chosen by: fit to be enrolled; then sure, sharp, large and frontal."""
        quality = self.quality
        size = min(quality.eye_distance / 40, 1.0)
        return not quality.faults, quality.confidence * quality.sharpness * size * max(1 - abs(quality.yaw), 0.1)


@dataclass(eq=False, slots=True, repr=False)
class Track(Brief):
    """One person's face through a video.

    first, last: when it was seen first and last, in seconds. box, speed: where it was seen last, (4,), and how far it
    moves in a second, (2,), in pixels. best: the best sightings, the very best first; only that one keeps its crop.
    number: from 0 on, in the order in which tracks are believed; -1 until then. seen: how often. beside: tracks that
    were seen in the same picture as this one. candidates: the people nearest to it, from `live`.
    """

    first: float
    last: float
    box: Floats
    best: list[Sighting]
    number: int = -1
    seen: int = 1
    speed: Floats = field(default_factory=lambda: np.zeros(2))
    beside: "dict[int, Track]" = field(default_factory=dict)
    candidates: list[Candidate] = field(default_factory=list)

    @property
    def vectors(self) -> Vectors:
        """(N, D) unit float32: of the best sightings, without the poor ones if there are others."""
        fit = [each.vector for each in self.best if not each.quality.faults]
        return np.stack(fit or [each.vector for each in self.best])

    @property
    def mean(self) -> NDArray[np.float32]:
        """(D,) the unit mean of the vectors."""
        return unit_means(self.vectors, np.zeros(len(self.vectors), np.intp))[0]

    @property
    def believed(self) -> bool:
        """Whether it is surely a face: it was seen twice, or once with no doubt about its quality."""
        return self.seen > 1 or not self.best[0].quality.problems

    def expected(self, seconds: float) -> Floats:
        """(4,) the box where it would be by now."""
        return self.box + np.tile(self.speed * (seconds - self.last), 2)

    def go_on(self, seen: Sighting, best: int) -> None:
        """Continue with a sighting. best: how many are kept."""
        box, gap = np.array(seen.face.box), max(seen.seconds - self.last, 1e-3)
        way = _centre(box) - _centre(self.box)
        jumped = np.hypot(*way) > _reach(gap) * _side(self.box)  # to another place, or in another view
        self.speed = np.zeros(2) if jumped else (self.speed + way / gap) / 2
        self.box, self.last, self.seen = box, seen.seconds, self.seen + 1
        ranked = sorted([*self.best, seen], key=lambda each: each.worth, reverse=True)
        self.best = [ranked[0], *map(_without_crop, ranked[1:best])]


class Tracker:
    """The tracks of one video."""

    def __init__(self, same: float, best: int = BEST) -> None:
        """same: the largest squared distance of two faces that match, as for pairs of photos."""
        self._same, self._best = same, best
        self._tracks: list[Track] = []
        self._numbers = 0
        self._looks = (0.0, 0.0)  # when the two latest pictures were, in seconds

    def look(self, seconds: float, faces: Sequence[Face], vectors: Vectors) -> tuple[list[Track | None], list[Track]]:
        """Continue with the faces of the next picture and their (N, D) unit vectors.

        Returns the track of each face, None for one that belongs to none; and the believed tracks that have ended.
        """
        patience = max(PATIENCE, MISSED * (self._looks[1] - self._looks[0]))
        ended = self._part_from([track for track in self._tracks if seconds - track.last > patience])
        self._looks = (self._looks[1], seconds)
        seen = [Sighting(seconds, face, row, measure(face)) for face, row in zip(faces, vectors, strict=True)]
        found = [self._placed(*each) for each in zip(seen, *self._matches(seen), strict=True)]
        self._believe([track for track in found if track is not None])
        return found, ended

    def end(self) -> list[Track]:
        """End all tracks. Returns the believed ones."""
        return self._part_from(self._tracks)

    def _believe(self, present: Sequence[Track]) -> None:
        """Number the tracks in a picture that are believed from now on, and note who is beside whom."""
        for track in present:
            if track.number < 0 and track.believed:
                track.number, self._numbers = self._numbers, self._numbers + 1
        for track in present:
            others = {other.number: other for other in present if other is not track and other.number >= 0}
            track.beside = dict([*(track.beside | others).items()][-_BESIDE:])

    def _part_from(self, tracks: Sequence[Track]) -> list[Track]:
        gone = set(map(id, tracks))
        self._tracks = [track for track in self._tracks if id(track) not in gone]
        return sorted((track for track in tracks if track.number >= 0), key=lambda track: track.number)

    def _placed(self, seen: Sighting, track: Track | None, covers: bool) -> Track | None:
        """The track of a sighting: the one that it continues, or a new one. covers: whether it is where a track is."""
        if track is not None:
            track.go_on(seen, self._best)
        elif not (covers and seen.quality.faults):
            track = Track(seen.seconds, seen.seconds, np.array(seen.face.box), [seen])
            self._tracks.append(track)
        return track

    def _matches(self, seen: Sequence[Sighting]) -> tuple[list[Track | None], list[bool]]:
        """For each sighting the track that it continues, if any; and whether it is in the place of a track."""
        from scipy.optimize import linear_sum_assignment  # here, because few commands need it

        if not seen or not self._tracks:
            return [None] * len(seen), [False] * len(seen)
        costs, overlaps = self._compared(seen)
        pairs = zip(*map(np.ndarray.tolist, linear_sum_assignment(costs)), strict=True)
        chosen = {row: column for row, column in pairs if costs[row, column] < _NEVER}
        tracks = [self._tracks[chosen[i]] if i in chosen else None for i in range(len(seen))]
        return tracks, [bool((row >= OVERLAP).any()) for row in overlaps]

    def _compared(self, seen: Sequence[Sighting]) -> tuple[Floats, Floats]:
        """(N, T) each: what it costs that a sighting continues a track; and the overlap of their boxes."""
        now = seen[0].seconds
        expected = np.stack([track.expected(now) for track in self._tracks]).astype(np.float32)
        boxes = np.array([each.face.box for each in seen], np.float32)
        means = np.stack([track.mean for track in self._tracks])
        distances = squared_distances(np.stack([each.vector for each in seen]), means).astype(np.float64)
        sides = np.array([_side(track.box) for track in self._tracks])
        ways = np.linalg.norm(_centre(boxes)[:, None] - _centre(expected)[None], axis=2) / sides
        near = ways <= _reach(np.array([now - track.last for track in self._tracks]))
        alike = (distances <= ALIKE * self._same) | (near & (distances <= self._same))
        costs = np.where(alike, distances + MOTION * np.minimum(ways, 4), _NEVER)
        return costs, np.stack([iou(box, expected) for box in boxes]).astype(np.float64)


def _centre(boxes: Any) -> Any:
    """(..., 2) the centres of (..., 4) boxes."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def _side(box: Floats) -> float:
    """The longer side of a box (4,), in pixels; at least 1."""
    return float(max(box[2] - box[0], box[3] - box[1], 1))


def _reach(gap: Any) -> Any:
    """How far a face can have moved in so many seconds, in its sides."""
    return REACH + SPEED * gap


def _without_crop(seen: Sighting) -> Sighting:
    return replace(seen, face=replace(seen.face, crop=seen.face.crop[:0]))
