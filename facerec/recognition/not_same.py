"""Tell a gallery that a face is not a person. The gallery remembers the face (see `gallery.vetoes`)."""

import math
from dataclasses import dataclass
from pathlib import Path

from facerec.decision.decide import decide_photo, nearest_and_own
from facerec.errors import GalleryError
from facerec.faces.detector import Detector
from facerec.gallery import enrolled, vetoes
from facerec.gallery.gallery import Gallery
from facerec.inference.embedder import Embedder
from facerec.inference.pipeline import embed_photos
from facerec.photos.memory import AnyPhoto, hash_photo, source_of
from facerec.text import Brief, printable
from facerec.types import Decision, Face, Photo, Template, Threshold

NO_THRESHOLD = Threshold(0.0, "none is known")


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class NotSame(Brief):
    """What is remembered of one face.

    person: who it is not. position: the face's number in the photo; 0 is the main face. added: False if the gallery
    knew it already. decision: who the face is now. until: the last day (YYYY-MM-DD) the person may be kept, if any; the
    vetoed face leaves with them.
    """

    path: Path
    person: str
    position: int
    face: Face
    added: bool
    decision: Decision
    until: str | None


def not_same(
    gallery: Gallery, photo: AnyPhoto, name: str, detector: Detector, embedder: Embedder, threshold: Threshold | None
) -> NotSame:
    """Remember that a face of a photo is not this person, and decide anew who it is.

    Of several faces, the one of which this was said before is meant, else the one that is identified as the person,
    else the nearest of those within the threshold of them; without a threshold none is. UnknownPersonError if nobody
    has the name; GalleryError if none of several faces is meant, or the person is enrolled with this photo; ImageError
    or NoFaceError for a photo that cannot be used.
    """
    person = enrolled.name_of(gallery.store, name)
    (seen,) = embed_photos([photo], detector, embedder)
    if seen.error is not None:
        raise seen.error
    content, limit = hash_photo(photo), threshold or NO_THRESHOLD
    position = _which_face(gallery, seen, content, person, limit)
    face = seen.faces[position]
    template = Template(content, source_of(photo), face.box, face.confidence, seen.vectors[position], face.crop)
    added = gallery.veto(person, template)
    decision, (_, until) = _decisions(gallery, seen, limit)[position], enrolled.consent(gallery.store, person)
    return NotSame(seen.path, person, position, face, added, decision, until)


def _which_face(gallery: Gallery, photo: Photo, content: str, person: str, threshold: Threshold) -> int:
    """The number of the face that is meant. content: the photo's hash."""
    if len(photo.faces) == 1:
        return 0
    known = {veto.box for veto in vetoes.vetoes(gallery.store, person) if veto.photo_hash == content}
    for position, face in enumerate(photo.faces):
        if tuple(map(float, face.box)) in known:  # a repetition must not add a bystander
            return position
    for position, decision in enumerate(_decisions(gallery, photo, threshold)):
        if decision.person == person:
            return position
    return _nearest_within(gallery, photo, person, threshold)


def _nearest_within(gallery: Gallery, photo: Photo, person: str, threshold: Threshold) -> int:
    """The number of the face nearest to the person, whatever vetoes say; GalleryError if none is within the limit."""
    found = gallery.nearest_and_named(photo.vectors, [person] * len(photo.faces))
    own = [nearest_and_own(person, candidates)[1] for candidates in found]
    ranked = [(each.distance, position) for position, each in enumerate(own) if each is not None]
    distance, position = min(ranked, default=(math.inf, 0))
    if distance > threshold.distance:
        raise GalleryError(
            f"{printable(photo.path)}: none of its {len(photo.faces)} faces is taken for {person}; "
            "cut out the face that is meant"
        )
    return position


def _decisions(gallery: Gallery, photo: Photo, threshold: Threshold) -> list[Decision]:
    return decide_photo(gallery.search(photo.vectors, len(photo.faces) + 1), threshold, len(gallery))
