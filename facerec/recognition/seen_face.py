"""One face that was seen in a photo: enroll it, say who it is not, or keep it until somebody says who it is.

The whole photo need not be at hand any more. So a person can name a face that was found a while ago, without the photo
being kept meanwhile.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from facerec.faces.alignment import template
from facerec.gallery import unknown_faces
from facerec.gallery.gallery import Gallery
from facerec.gallery.unknown_rows import KeptFace
from facerec.photos.memory import AnyPhoto, hash_photo, photo_from, source_of
from facerec.recognition.enroll import Enrollment, enroll_face
from facerec.recognition.identify import Identification
from facerec.text import Brief
from facerec.types import Box, Face, Image, Template


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class SeenFace(Brief):
    """One face of a photo.

    photo: SHA-256 (hex) of the photo, as `hash_photo` makes it. source: as `source_of` says. alone: whether it is the
    photo's only face. face: with its `vector`.
    """

    photo: str
    source: str
    alone: bool
    face: Face

    def template(self) -> Template:
        """The template that enrolls it.

        A photo is enrolled once, with its main face. So one of several faces counts as a photo of its own, which is cut
        out of the other: its hash is made of the photo's hash and the face's box.
        """
        face = self.face
        assert face.vector is not None
        digest = self.photo if self.alone else _hash_of_part(self.photo, face.box)
        return Template(digest, self.source, face.box, face.confidence, face.vector, face.crop)


def seen_faces(photo: AnyPhoto, found: Sequence[Identification]) -> list[SeenFace]:
    """The faces of one photo that `identify` found in it, in that order."""
    faces = [each.face for each in found if each.face is not None]
    if not faces:
        return []
    digest, source = hash_photo(photo), source_of(photo)
    return [SeenFace(digest, source, len(faces) == 1, face) for face in faces]


def kept_face(kept: KeptFace, crop: Image) -> SeenFace:
    """A face that the gallery keeps as unknown. crop: its crop, (S, S, 3) uint8.

    Its landmarks are not kept. They read as those of a frontal face: only faces fit to be enrolled are kept.
    """
    face = Face(crop, kept.box, template(len(crop)), kept.quality, kept.vector)
    return SeenFace(kept.photo, kept.source, kept.photo == kept.photo_hash, face)


def keep_unknown(gallery: Gallery, photo: AnyPhoto, found: Sequence[Identification], until: str) -> int:
    """Keep the faces of one photo that are nobody's, and good enough to be enrolled; return how many are new.

    found: what `identify` found in the photo. until: the last day; see `unknown_faces.last_day`.
    """
    nobody = {id(each.face) for each in found if each.person is None and each.quality and not each.quality.faults}
    faces = [seen.template() for seen in seen_faces(photo, found) if id(seen.face) in nobody] if nobody else []
    return unknown_faces.keep(gallery.store, hash_photo(photo), faces, until) if faces else 0


def keep_held_back(gallery: Gallery, result: Enrollment, until: str) -> int:
    """Keep the face of a photo that `enroll` held back from an enrolled person; return how many are new: 0 or 1."""
    if result.held_back is None or result.person not in gallery:
        return 0
    face = result.held_back
    return unknown_faces.keep(gallery.store, face.photo_hash, [face], until, result.person)


def enroll_seen(
    gallery: Gallery, person: str, seen: SeenFace, *, force: bool = False, again: bool = False
) -> Enrollment:
    """Enroll the face as a person, by the rules of `enroll`, with its arguments. UnfitValueError for a name.

    A face of a photo whose main face it is, and which is enrolled by that face already, is not enrolled twice.
    """
    digest = seen.photo if _is_enrolled(gallery, seen) else seen.template().photo_hash
    return enroll_face(gallery, person, photo_from(seen.source), digest, seen.face, force=force, again=again)


def _is_enrolled(gallery: Gallery, seen: SeenFace) -> bool:
    """Whether the photo was enrolled by this face."""
    owner = gallery.find_photo(seen.photo)
    own = [] if owner is None else gallery.show(owner)
    return any(each.photo_hash == seen.photo and _rounded(each.box) == _rounded(seen.face.box) for each in own)


def _hash_of_part(photo: str, box: Box) -> str:
    return hashlib.sha256(f"{photo} {_rounded(box)}".encode()).hexdigest()


def _rounded(box: Box) -> tuple[int, ...]:
    """The box in whole pixels: what is left of it when it has been shown and comes back."""
    return tuple(round(side) for side in box)
