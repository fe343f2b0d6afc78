"""Enroll photos under people's names, with a look at what may be wrong."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import tee
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerec.albums.album import AlbumFace, FaceAlbum
from facerec.albums.clustering import Grouping
from facerec.decision.decide import look_alike, misplaced
from facerec.errors import ConfigError, FacerecError, GalleryError, ImageError
from facerec.faces.detector import Detector
from facerec.faces.quality import Quality, measure
from facerec.gallery.gallery import Gallery
from facerec.gallery.names import clean_name
from facerec.inference.embedder import Embedder
from facerec.inference.pipeline import BATCH, embed_batches
from facerec.photos.memory import AnyPhoto, hash_photo, path_of, source_of
from facerec.recognition.spellings import Spellings
from facerec.text import Brief, gallery_command, printable
from facerec.types import Candidate, Face, Photo, Template, Threshold

KNOWN, COPY = "enrolled already", "identical to another photo"  # why a photo is skipped
SEVERAL = ("main", "refuse")  # what `enroll` does with a photo of several faces


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Enrollment(Brief):
    """What became of one photo.

    status: "added", "skipped" (the gallery holds the photo already) or "failed"; reason: why, in words. quality: of the
    main face; None where no face was looked at. vector: (D,) unit float32 of a photo that was added, else None.
    for_all: the reason in words that can hold for most photos of a person (`review.for_one_reason`); "" if none can.
    held_back: the template of a photo that was held back. owner: who else is enrolled with this photo.
    same_as: who is enrolled under another spelling of the name and has this face, `same_distance` away; the photo is
    held back for that.
    remarks: what is odd about the photo, as `types.Photo` has it.

    >>> import facerec
    >>> with facerec.Recogniser("club", create=True) as club:
    ...     (result,) = club.iter_enroll({"Joe Biden": ["gallery/people/Joe Biden/blue_room_2010.jpg"]})
    >>> result.status, result.person
    ('added', 'Joe Biden')
    """

    path: Path
    person: str
    status: str
    reason: str
    quality: Quality | None = None
    vector: NDArray[np.float32] | None = None
    remarks: tuple[str, ...] = ()
    for_all: str = ""
    owner: str | None = None
    same_as: str | None = None
    same_distance: float | None = None
    held_back: Template | None = None

    def __str__(self) -> str:
        return f"{printable(self.path)}: {self.status}, {self.person}{f' ({self.reason})' if self.reason else ''}"


def enroll(
    gallery: Gallery,
    people: Mapping[str, Sequence[AnyPhoto]],
    detector: Detector,
    embedder: Embedder,
    *,
    several: str = "main",
    force: bool = False,
    again: bool = False,
    distinct: Collection[str] = (),
) -> Iterator[Enrollment]:
    """Enroll the main face of every photo; each result is yielded once the gallery holds the photo for good.

    A photo fails whose face is too poor, or which is nearer to somebody else enrolled so far than to its own person.
    So do the photos of a new person whose name and face are like those of somebody enrolled; `distinct` names new
    people who are known to be somebody else. `force` enrolls all of these. A photo that was removed fails unless
    `again`. several: "main" enrolls the main face of a photo with several faces; "refuse" refuses such a photo, forced
    or not. Raises ConfigError for another word.
    """
    if several not in SEVERAL:
        raise ConfigError(f"`several` must be {' or '.join(SEVERAL)}, not {several!a:.40}")
    owners = [(person, photo) for person, photos in people.items() for photo in photos]
    batches = (owners[start : start + BATCH] for start in range(0, len(owners), BATCH))
    admission = _Admission(gallery, Spellings(gallery, distinct), several, force)
    return _admitted((_checked(gallery, batch, admission, again) for batch in batches), detector, embedder, admission)


def enroll_face(
    gallery: Gallery, person: str, photo: AnyPhoto, digest: str, face: Face, *, force: bool = False, again: bool = False
) -> Enrollment:
    """Enroll one face that was found and embedded before, by the rules of `enroll`.

    photo: only its name is used. digest: the hash of the `Template` to be. UnfitValueError for a name.
    """
    name, path, vector = clean_name(person), path_of(photo), face.vector
    assert vector is not None
    admission = _Admission(gallery, Spellings(gallery, ()), "main", force)
    known = admission.known(name, path, digest) or (None if again else _removed(gallery, name, path, digest))
    if known is not None:
        return known
    new, found = _NewPhoto(name, photo, digest), Photo(path, (face,), vector[None])
    admission.look_at([new], [found])
    return admission.admit(new, found)


@dataclass(frozen=True, slots=True)
class _NewPhoto:
    """A photo that the gallery does not hold yet: whose it is said to be, and its hash."""

    person: str
    photo: AnyPhoto
    digest: str


_Checked = tuple[list[Enrollment], list[_NewPhoto]]
"""A batch of photos: what comes of those that need no look, and the others."""


def _checked(
    gallery: Gallery, owners: Sequence[tuple[str, AnyPhoto]], admission: "_Admission", again: bool
) -> _Checked:
    """Photos that are enrolled already are not looked at again: enrolling a folder twice costs next to nothing."""
    settled: list[Enrollment] = []
    new: list[_NewPhoto] = []
    for person, photo in owners:
        path = path_of(photo)
        try:
            name, digest = clean_name(person), hash_photo(photo)
        except GalleryError as error:
            fault = f"not enrolled: {error} (rename the folder, or give another `name`)"
            settled.append(Enrollment(path, person, "failed", f"{printable(path)}: {fault}", for_all=fault))
        except FacerecError as error:
            settled.append(Enrollment(path, person, "failed", str(error)))
        else:
            known = admission.known(name, path, digest)
            if known := known or (None if again else _removed(gallery, name, path, digest)):
                settled.append(known)
            else:
                new.append(_NewPhoto(name, photo, digest))
    return settled, new


def _admitted(
    batches: Iterator[_Checked], detector: Detector, embedder: Embedder, admission: "_Admission"
) -> Iterator[Enrollment]:
    """What comes of each photo. The next batches are checked, read and looked at while one is enrolled."""
    batches, ahead = tee(batches)
    photos = ([each.photo for each in new] for _, new in ahead)
    for found, (settled, new) in zip(embed_batches(photos, detector, embedder, main_only=True), batches, strict=True):
        yield from settled
        admission.look_at(new, found)
        for each, seen in zip(new, found, strict=True):
            yield admission.admit(each, seen)


class _RunningThreshold:
    """The gallery's threshold while photos are enrolled.

    It is the one at the beginning, made anew each time as many photos were added as there were people when it was made
    last. So it follows a gallery that begins empty, and a large one does not make it anew for a photo more.
    """

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._threshold: Threshold | None = None
        self._photos_left = 0  # to be added before it is made anew

    def current(self) -> Threshold | None:
        """Return the threshold; None where the gallery has none."""
        if self._photos_left <= 0:
            self._threshold, self._photos_left = self._gallery.threshold, max(len(self._gallery), 1)
        return self._threshold

    def count_photo(self) -> None:
        """Take note that a photo was added."""
        self._photos_left -= 1


class _Admission:
    """Enrolls photos one after the other, or says why not. The arguments are those of `enroll`."""

    def __init__(self, gallery: Gallery, spellings: Spellings, several: str, force: bool) -> None:
        self._gallery, self._spellings = gallery, spellings
        self._several, self._force = several, force
        self._limit = _RunningThreshold(gallery)
        self._vectors: dict[str, list[NDArray[np.float32]]] = {}  # of the photos that come next
        self._added: set[str] = set()  # hashes of the photos enrolled by now

    def known(self, person: str, path: Path, digest: str) -> Enrollment | None:
        """Say what comes of a photo that is in the gallery, perhaps by a copy of it; None if it is not."""
        known = _known(self._gallery, person, path, digest)
        copied = known is not None and known.status == "skipped" and digest in self._added
        return replace(known, reason=COPY) if known is not None and copied else known

    def look_at(self, new: Sequence[_NewPhoto], found: Sequence[Photo]) -> None:
        """Take note of all photos of a batch: a name is compared by all of them before the first one is enrolled."""
        self._vectors = defaultdict(list)
        for each, seen in zip(new, found, strict=True):
            self._vectors[each.person] += list(seen.vectors)

    def admit(self, new: _NewPhoto, photo: Photo) -> Enrollment:
        """Enroll one photo, or say why not."""
        path, person = photo.path, new.person
        if photo.error is not None:
            return Enrollment(path, person, "failed", str(photo.error), remarks=photo.remarks)
        if known := self.known(person, path, new.digest):  # there twice, or another process was faster
            return known
        quality = measure(photo.faces[0])
        candidates = self._gallery.nearest_and_named(photo.vectors, [person])[0]
        if refused := self._refused(new, photo, quality, candidates):
            return refused
        notes = [f"the main one of {photo.others + 1} faces, {photo.others} left out"] if photo.others else []
        notes += _resembles(self._limit, person, candidates)
        if not _added(self._gallery, new, photo):
            known = _known(self._gallery, person, path, new.digest)
            assert known is not None
            return known
        self._limit.count_photo()
        self._added.add(new.digest)
        return Enrollment(path, person, "added", "; ".join(notes), quality, photo.vectors[0], photo.remarks)

    def _refused(
        self, new: _NewPhoto, photo: Photo, quality: Quality, candidates: Sequence[Candidate]
    ) -> Enrollment | None:
        """Say why a photo is not enrolled; None if it is."""
        fault, twin, held = "", None, None
        if self._several == "refuse" and photo.others:
            fault = _several(photo)
        elif not self._force and (doubts := quality.faults or _held_back(self._limit, new.person, candidates)):
            fault = f"{'; '.join(doubts)}; `force` enrolls it"
            held = None if quality.faults else _template(new, photo)
        elif not self._force and (twin := self._twin(new.person)):
            fault = f"held back: {_alike(new.person, twin)}"
        if not fault:
            return None
        said = Enrollment(photo.path, new.person, "failed", f"{printable(photo.path)}: {fault}", quality)
        said = replace(said, remarks=photo.remarks, held_back=held)
        return replace(said, for_all=fault, same_as=twin.person, same_distance=twin.distance) if twin else said

    def _twin(self, person: str) -> Candidate | None:
        return self._spellings.twin(person, self._vectors[person], self._limit.current)


def _several(photo: Photo) -> str:
    return (
        f"{photo.others + 1} faces in it; cut out the one that is meant, or have the main one enrolled (`several=main`)"
    )


def _held_back(limit: _RunningThreshold, person: str, candidates: Sequence[Candidate]) -> list[str]:
    """Why the photo is likely to be of somebody else."""
    doubtful = candidates and (candidates[0].person != person or candidates[0].veto is not None)
    threshold = limit.current() if doubtful else None
    reason = misplaced(person, candidates, threshold) if threshold is not None else None
    return [f"held back: {reason}"] if reason else []


def _alike(person: str, twin: Candidate, force: str = "`force`") -> str:
    """Say that a new person's name and face are like an enrolled one's. force: what enrolls them all the same."""
    names, apart = f"{printable(twin.person)}'s ({twin.distance:.2f})", printable(person)
    return f"name and face are like {names}; give that name, or {force} enrolls {apart} as somebody else"


def _resembles(limit: _RunningThreshold, person: str, candidates: Sequence[Candidate]) -> list[str]:
    """That a new person may be somebody who is enrolled."""
    if not candidates or any(candidate.person == person for candidate in candidates):
        return []
    threshold = limit.current()
    like = look_alike(person, candidates, threshold) if threshold is not None else None
    return [f"{person} looks like {like.person}, at {like.distance:.2f}"] if like else []


def _known(gallery: Gallery, person: str, path: Path, digest: str) -> Enrollment | None:
    """Say what comes of a photo that is in the gallery; None if it is not."""
    owner = gallery.find_photo(digest)
    if owner is None:
        return None
    if owner == person:
        return Enrollment(path, person, "skipped", KNOWN)
    wrong = f"{printable(path)}: this photo is enrolled as {owner}; if that is wrong, {taking_out(owner, path)}"
    return Enrollment(path, person, "failed", wrong, for_all=f"enrolled as {owner}", owner=owner)


def taking_out(person: str, photo: Path) -> str:
    """Return the command that takes one photo of a person out of the gallery."""
    return gallery_command("remove", person, photo=str(photo))


def _removed(gallery: Gallery, person: str, path: Path, digest: str, again: str = "`again`") -> Enrollment | None:
    """Say that a photo was removed; None if it was not. again: what enrolls it all the same."""
    if (day := gallery.removed_on(digest, person)) is None:
        return None
    reason = f"removed on {day}; {again} enrolls what was removed"
    return Enrollment(path, person, "failed", f"{printable(path)}: {reason}", for_all=reason)


def _template(new: _NewPhoto, photo: Photo) -> Template:
    face = photo.faces[0]
    crop = face.crop if face.crop.size else None  # shards hold none
    return Template(new.digest, source_of(new.photo), face.box, face.confidence, photo.vectors[0], crop)


def _added(gallery: Gallery, new: _NewPhoto, photo: Photo) -> bool:
    """Whether the photo is in the gallery by this call; another process may have enrolled it a moment ago."""
    try:
        return gallery.add(new.person, _template(new, photo))
    except GalleryError:
        if gallery.find_photo(new.digest) is None:
            raise
        return False


def enroll_group(
    gallery: Gallery, person: str, album: FaceAlbum, grouping: Grouping, number: int
) -> Iterator[Enrollment]:
    """Enroll the faces of one group, each by its own box and vector, as one person; `person` is a `clean_name`.

    The rules are those of `enroll`, except that a face may be poor: an album does not hold its points.
    """
    chosen = np.flatnonzero(grouping.labels == number)
    twin = Spellings(gallery).twin(person, list(album.vectors[chosen]), lambda: gallery.threshold)
    limit = _RunningThreshold(gallery)
    for i in chosen:
        yield _of_group(gallery, limit, person, album.faces[i], album.vectors[i], twin)


def _of_group(
    gallery: Gallery,
    limit: _RunningThreshold,
    person: str,
    face: AlbumFace,
    vector: NDArray[np.float32],
    twin: Candidate | None,
) -> Enrollment:
    """Enroll one face of a group, or say why not. twin: who is enrolled under another spelling and has such a face."""
    path = face.path
    try:
        digest = face.digest or hash_photo(path)
    except ImageError as error:
        return Enrollment(path, person, "failed", str(error))
    known = _known(gallery, person, path, digest) or _removed(gallery, person, path, digest, "`facerec enroll --again`")
    if known:
        return known
    if twin:
        fault = f"held back: {_alike(person, twin, '`facerec enroll --force`')}"
        return Enrollment(path, person, "failed", f"{printable(path)}: {fault}", for_all=fault)
    candidates = gallery.nearest_and_named(vector[None], [person])[0]
    if doubts := _held_back(limit, person, candidates):
        cut_out = " once it is cut out" if face.position else ""  # of a whole photo, the main face is enrolled
        fault = f"{'; '.join(doubts)}; `facerec enroll --force` enrolls it{cut_out}"
        return Enrollment(path, person, "failed", f"{printable(path)}: {fault}")
    notes = "; ".join(_resembles(limit, person, candidates))
    gallery.add(person, Template(digest, source_of(path), face.box, face.confidence, vector))
    limit.count_photo()
    return Enrollment(path, person, "added", notes, vector=vector)
