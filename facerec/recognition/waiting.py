"""What waits for a person to decide: who an unknown face is, and who of those enrolled may be one or misplaced.

A face is a near miss if a small change of the threshold would change its answer: it is between the thresholds for a
NEAR-th of the gallery's target rate (FPIR) and for NEAR times that rate. A person who was said not to be a face, and
people who were said to be two, are never suggested again (`gallery.vetoes`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facerec.albums.album import AlbumFace, FaceAlbum, group_album, grouping_limit
from facerec.decision.decide import is_struck
from facerec.gallery import enrolled
from facerec.gallery.gallery import Gallery
from facerec.gallery.queries import StoredTemplate
from facerec.gallery.unknown_faces import kept_faces
from facerec.gallery.unknown_rows import KeptFace
from facerec.inference.embedder import Embedder
from facerec.recognition.enroll import Enrollment
from facerec.recognition.review import Alike, misplaced_reasons
from facerec.text import Brief
from facerec.types import Candidate, Threshold

NEAR = 5.0
_PEOPLE = 200  # whose photos are compared with everybody at a time, to limit memory


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Suggestion(Brief):
    """A kept face and the person whom it is most like, `distance` away. within: whether it would be named so."""

    face: KeptFace
    person: str
    distance: float
    within: bool


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Doubt(Brief):
    """An enrolled photo that is likely to be of somebody else than its `person`, and why, in words."""

    person: str
    photo: StoredTemplate
    reason: str


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Waiting(Brief):
    """All that waits.

    held_back: faces that were to be enrolled as `face.claimed`, and somebody else whom they are near now. A face that
    was said not to be that person, or is near nobody else any more, waits as another unknown face does.
    near: near misses among the unknown faces, the nearest first. groups: the other unknown faces, grouped by person:
    the largest group first. alike: pairs of people who may be one. doubts: enrolled photos.
    """

    held_back: tuple[Suggestion, ...]
    near: tuple[Suggestion, ...]
    groups: tuple[tuple[KeptFace, ...], ...]
    alike: tuple[Alike, ...]
    doubts: tuple[Doubt, ...]

    @property
    def count(self) -> int:
        """How many decisions wait."""
        return sum(map(len, (self.held_back, self.near, self.groups, self.alike, self.doubts)))


class AmongEnrolled(NamedTuple):
    """What is doubtful among those enrolled; see `Waiting`. It changes with the gallery's generation and threshold."""

    alike: tuple[Alike, ...]
    doubts: tuple[Doubt, ...]


def among_enrolled(gallery: Gallery) -> AmongEnrolled:
    """Look at everybody enrolled. Time grows with the square of their number."""
    limit, names = gallery.threshold, gallery.names()
    alike = () if limit is None else tuple(Alike(*pair) for pair in gallery.alike(names, limit.distance))
    return AmongEnrolled(alike, tuple(doubts(gallery, names)))


def waiting(gallery: Gallery, embedder: Embedder, among: AmongEnrolled | None = None) -> Waiting:
    """Collect all that waits. Time grows with the square of the faces kept.

    among: what `among_enrolled` found while nothing has changed since; None: look now.
    """
    kept = kept_faces(gallery.store)
    found, claims = suggestions(gallery, kept), _open_claims(gallery, kept)
    suggested = [each for each in found if each is not None]
    held = [each for each in suggested if claims.get(each.face.number, each.person) != each.person]
    near = sorted((each for each in suggested if each not in held), key=lambda each: each.distance)
    rest = [face for face, each in zip(kept, found, strict=True) if each is None]
    return Waiting(tuple(held), tuple(near), tuple(grouped(rest, embedder)), *(among or among_enrolled(gallery)))


def suggestions(gallery: Gallery, faces: Sequence[KeptFace]) -> list[Suggestion | None]:
    """For each face the person whom it is most like, if it is a near miss or nearer; else None."""
    limit = gallery.threshold
    if limit is None or not faces:
        return [None] * len(faces)
    wider = gallery.calibration(min(NEAR * gallery.given()[0], 0.5))
    reach = limit.distance if wider is None else max(wider.distance, limit.distance)
    best = _nearest(gallery, faces)
    return [
        Suggestion(face, each.person, each.distance, each.distance <= limit.distance)
        if each is not None and each.distance <= reach
        else None
        for face, each in zip(faces, best, strict=True)
    ]


def grouped(faces: Sequence[KeptFace], embedder: Embedder) -> list[tuple[KeptFace, ...]]:
    """The faces grouped by person, as `facerec cluster` does it; a face that is like no other is a group of its own."""
    if not faces:
        return []
    rows = np.stack([face.vector for face in faces])
    album = FaceAlbum(tuple(AlbumFace(Path(face.photo), 0, face.box, face.quality) for face in faces), rows)
    labels = group_album(album, grouping_limit(embedder, None)).labels
    groups = [_chosen(faces, labels == number) for number in range(1, labels.max() + 1)]
    return groups + [(face,) for face in _chosen(faces, labels == 0)]


def _chosen(faces: Sequence[KeptFace], which: NDArray[np.bool_]) -> tuple[KeptFace, ...]:
    return tuple(face for face, is_one in zip(faces, which, strict=True) if is_one)


def doubts(gallery: Gallery, names: Iterable[str]) -> list[Doubt]:
    """The photos of these people that are likely to be of somebody else, person by person."""
    if (limit := gallery.threshold) is None:
        return []
    names = list(names)
    some = [names[start : start + _PEOPLE] for start in range(0, len(names), _PEOPLE)]
    return [doubt for each in some for doubt in _doubts(gallery, each, limit)]


def _doubts(gallery: Gallery, names: Sequence[str], limit: Threshold) -> list[Doubt]:
    stored = [(name, *each) for name in names for each in enrolled.templates(gallery.store, name)]
    added = [Enrollment(Path(photo.source), name, "added", "", vector=vector) for name, photo, vector in stored]
    reasons = misplaced_reasons(gallery, added, limit)
    found = zip(added, stored, strict=True)
    return [Doubt(name, photo, reasons[each]) for each, (name, photo, _) in found if each in reasons]


def _open_claims(gallery: Gallery, faces: Sequence[KeptFace]) -> dict[int, str]:
    """As whom faces were held back, by their numbers, but for those who were said not to be that person."""
    claimed = [(face, face.claimed) for face in faces if face.claimed]
    if not claimed:
        return {}
    names = [name for _, name in claimed]
    found = gallery.nearest_and_named(np.stack([face.vector for face, _ in claimed]), names)
    struck = [{each.person for each in candidates if is_struck(each)} for candidates in found]
    return {face.number: name for (face, name), gone in zip(claimed, struck, strict=True) if name not in gone}


def _nearest(gallery: Gallery, faces: Sequence[KeptFace]) -> list[Candidate | None]:
    """For each face the nearest person whom no veto strikes; None if there is nobody."""
    if not faces:
        return []
    found = gallery.search(np.stack([face.vector for face in faces]), 1)
    return [next((each for each in candidates if not is_struck(each)), None) for candidates in found]
