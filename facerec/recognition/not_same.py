"""Tell a gallery that a face is not a person. The gallery remembers the face (see `gallery.vetoes`)."""

from dataclasses import dataclass
from pathlib import Path

from facerec.decision.decide import decide_photo, is_struck, nearest_and_own
from facerec.errors import GalleryError
from facerec.faces.detector import Detector
from facerec.gallery import enrolled
from facerec.gallery.gallery import Gallery
from facerec.inference.embedder import Embedder
from facerec.inference.pipeline import embed_photos
from facerec.photos.memory import AnyPhoto, hash_photo, source_of
from facerec.text import Brief
from facerec.types import Decision, Face, Photo, Template, Threshold


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
    gallery: Gallery, photo: AnyPhoto, name: str, detector: Detector, embedder: Embedder, threshold: Threshold
) -> NotSame:
    """Remember that a face of a photo is not this person, and decide anew who it is.

    The face is the one that is identified as the person; if none is, the one that is nearest to them.
    UnknownPersonError if nobody has the name; GalleryError if the person is enrolled with this photo; ImageError or
    NoFaceError for a photo that cannot be used.
    """
    person = enrolled.name_of(gallery.store, name)
    (seen,) = embed_photos([photo], detector, embedder)
    if seen.error is not None:
        raise seen.error
    position = _which_face(gallery, seen, person, threshold)
    face = seen.faces[position]
    template = Template(
        hash_photo(photo), source_of(photo), face.box, face.confidence, seen.vectors[position], face.crop
    )
    added = gallery.veto(person, template)
    decision, (_, until) = _decisions(gallery, seen, threshold)[position], enrolled.consent(gallery.store, person)
    return NotSame(seen.path, person, position, face, added, decision, until)


def _which_face(gallery: Gallery, photo: Photo, person: str, threshold: Threshold) -> int:
    """The face's number in the photo."""
    for position, decision in enumerate(_decisions(gallery, photo, threshold)):
        if decision.person == person:
            return position
    found = gallery.nearest_and_named(photo.vectors, [person] * len(photo.faces))
    own = [nearest_and_own(person, candidates)[1] for candidates in found]
    ranked = [(is_struck(each), each.distance, position) for position, each in enumerate(own) if each is not None]
    if not ranked:
        raise GalleryError(f"{gallery.folder}: '{person}' was removed meanwhile")
    return min(ranked)[2]


def _decisions(gallery: Gallery, photo: Photo, threshold: Threshold) -> list[Decision]:
    return decide_photo(gallery.search(photo.vectors, len(photo.faces) + 1), threshold, len(gallery))
