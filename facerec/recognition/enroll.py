"""Enroll photos under people's names, with a look at what may be wrong."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerec.albums.album import FaceAlbum
from facerec.albums.clustering import Grouping
from facerec.decision.decide import look_alike, misplaced
from facerec.errors import ConfigError, FacerecError, GalleryError, ImageError
from facerec.faces.detector import Detector
from facerec.faces.quality import Quality, measure
from facerec.gallery.gallery import Gallery
from facerec.gallery.names import clean_name
from facerec.inference.embedder import Embedder
from facerec.inference.pipeline import BATCH, embed_photos
from facerec.photos.memory import AnyPhoto, hash_photo, path_of, source_of
from facerec.text import printable
from facerec.types import Candidate, Photo, Template, Threshold

SEVERAL = ("main", "refuse")  # what `enroll` does with a photo of several faces


@dataclass(frozen=True, eq=False, slots=True)
class Enrollment:
    """What became of one photo.

    status: "added", "skipped" (the gallery holds the photo already) or "failed"; reason: why, in words. quality: of the
    main face; None where no face was looked at. vector: (D,) unit float32 of a photo that was added, else None.
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


@dataclass(frozen=True, slots=True)
class Alike:
    """Two people whose mean templates are `distance` apart, within the gallery's threshold: they may be one.

    person: who of them has fewer photos.
    """

    person: str
    other: str
    distance: float


@dataclass(frozen=True, slots=True)
class Review:
    """What a look back at an enrollment suggests.

    alike: pairs of people who may be one, of whom one at least had photos enrolled; the nearest first. misplaced:
    photos that were enrolled, and why each of them is likely to be of somebody else who was enrolled after it.
    """

    alike: tuple[Alike, ...]
    misplaced: tuple[tuple[Path, str], ...]


def enroll(
    gallery: Gallery,
    people: Mapping[str, Sequence[AnyPhoto]],
    detector: Detector,
    embedder: Embedder,
    *,
    several: str = "main",
    force: bool = False,
) -> Iterator[Enrollment]:
    """Enroll the main face of every photo; each result is yielded once the gallery holds the photo for good.

    A photo fails whose face is too poor, or which is nearer to somebody else enrolled so far than to its own person;
    `force` enrolls those. several: "main" enrolls the main face of a photo of several, "refuse" does not, forced or
    not. Raises ConfigError for another word.
    """
    if several not in SEVERAL:
        raise ConfigError(f"a photo of several faces: {' or '.join(SEVERAL)}, not {several!r}")
    owners = [(person, photo) for person, photos in people.items() for photo in photos]
    admit = partial(_admit, gallery, _RunningThreshold(gallery), several=several, force=force)
    for start in range(0, len(owners), BATCH):
        yield from _enroll_batch(gallery, owners[start : start + BATCH], detector, embedder, admit)


def _enroll_batch(
    gallery: Gallery,
    owners: Sequence[tuple[str, AnyPhoto]],
    detector: Detector,
    embedder: Embedder,
    admit: Callable[["_NewPhoto", Photo], Enrollment],
) -> Iterator[Enrollment]:
    """Photos that are enrolled already are not looked at again: enrolling a folder twice costs next to nothing."""
    new: list[tuple[str, AnyPhoto, str]] = []
    for person, photo in owners:
        path = path_of(photo)
        try:
            name, digest = clean_name(person), hash_photo(photo)
        except GalleryError as error:
            yield Enrollment(path, person, "failed", f"{printable(path)}: {error}")
        except FacerecError as error:
            yield Enrollment(path, person, "failed", str(error))
        else:
            if gallery.find_photo(digest) is not None:
                yield _known(gallery, name, path, digest)
            else:
                new.append((name, photo, digest))
    found = embed_photos([photo for _, photo, _ in new], detector, embedder, main_only=True)
    for (person, photo, digest), seen in zip(new, found, strict=True):
        yield admit(_NewPhoto(person, source_of(photo), digest), seen)


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


@dataclass(frozen=True, slots=True)
class _NewPhoto:
    """A photo that the gallery does not hold yet: whose it is said to be, where it came from, and its hash."""

    person: str
    source: str
    digest: str


def _admit(
    gallery: Gallery, limit: _RunningThreshold, new: _NewPhoto, photo: Photo, *, several: str, force: bool
) -> Enrollment:
    """Enroll one photo, or say why not."""
    path, person = photo.path, new.person
    if photo.error is not None:
        return Enrollment(path, person, "failed", str(photo.error), remarks=photo.remarks)
    if gallery.find_photo(new.digest) is not None:  # there twice, or another process was faster
        return _known(gallery, person, path, new.digest)
    quality, notes = measure(photo.faces[0]), []
    candidates = gallery.nearest_and_named(photo.vectors, [person])[0]
    fault = _several(photo) if several == "refuse" and photo.others else None
    if fault is None and not force and (doubts := quality.faults or _held_back(limit, person, candidates)):
        fault = f"{'; '.join(doubts)}; `force` enrolls it"
    if fault is not None:
        return Enrollment(path, person, "failed", f"{printable(path)}: {fault}", quality, None, photo.remarks)
    if photo.others:
        notes.append(f"the main one of {photo.others + 1} faces, {photo.others} left out")
    notes += _resembles(limit, person, candidates)
    if not _added(gallery, new, photo):
        return _known(gallery, person, path, new.digest)
    limit.count_photo()
    return Enrollment(path, person, "added", "; ".join(notes), quality, photo.vectors[0], photo.remarks)


def _several(photo: Photo) -> str:
    return (
        f"{photo.others + 1} faces in it; cut out the one that is meant, or have the main one enrolled (`several=main`)"
    )


def _held_back(limit: _RunningThreshold, person: str, candidates: Sequence[Candidate]) -> list[str]:
    """Why the photo is likely to be of somebody else."""
    threshold = limit.current() if candidates and candidates[0].person != person else None
    reason = misplaced(person, candidates, threshold) if threshold is not None else None
    return [f"held back: {reason}"] if reason else []


def _resembles(limit: _RunningThreshold, person: str, candidates: Sequence[Candidate]) -> list[str]:
    """That a new person may be somebody who is enrolled."""
    if not candidates or any(candidate.person == person for candidate in candidates):
        return []
    threshold = limit.current()
    like = look_alike(person, candidates, threshold) if threshold is not None else None
    return [f"{person} looks like {like.person}, at {like.distance:.2f}"] if like else []


def _known(gallery: Gallery, person: str, path: Path, digest: str) -> Enrollment:
    """What comes of a photo that is in the gallery."""
    owner = gallery.find_photo(digest)
    if owner == person:
        return Enrollment(path, person, "skipped", "this photo is enrolled already")
    reason = f"{printable(path)}: this photo is enrolled as {owner}; remove it there, or use another photo"
    return Enrollment(path, person, "failed", reason)


def _added(gallery: Gallery, new: _NewPhoto, photo: Photo) -> bool:
    """Whether the photo is in the gallery by this call; another process may have enrolled it a moment ago."""
    face = photo.faces[0]
    template = Template(new.digest, new.source, face.box, face.confidence, photo.vectors[0], face.crop)
    try:
        return gallery.add(new.person, template)
    except GalleryError:
        if gallery.find_photo(new.digest) is None:
            raise
        return False


def review(gallery: Gallery, results: Sequence[Enrollment]) -> Review:
    """Look back at the photos of an enrollment, those that were added and those that were enrolled already.

    A photo can only be held back for the sake of somebody who was enrolled before it; here everybody is.
    """
    limit = gallery.threshold
    if limit is None or len(gallery) < 2:
        return Review((), ())
    people = dict.fromkeys(result.person for result in results if result.status != "failed")
    alike = tuple(Alike(*pair) for pair in gallery.alike(people, limit.distance))
    return Review(alike, tuple(_misplaced(gallery, results, limit)))


def _misplaced(gallery: Gallery, results: Sequence[Enrollment], limit: Threshold) -> Iterator[tuple[Path, str]]:
    """The photos that were added and are likely to be of somebody else, and why."""
    added = [(result.path, result.person, result.vector) for result in results if result.vector is not None]
    if not added:
        return
    paths, people, vectors = zip(*added, strict=True)
    found = gallery.nearest_and_named(np.stack(vectors), people)
    for path, person, candidates in zip(paths, people, found, strict=True):
        if reason := misplaced(person, candidates, limit):
            yield path, reason


def enroll_group(
    gallery: Gallery, person: str, album: FaceAlbum, grouping: Grouping, number: int
) -> Iterator[Enrollment]:
    """Enroll the faces of one group, each by its own box and vector, as one person; `person` is a `clean_name`."""
    for i in np.flatnonzero(grouping.labels == number):
        face = album.faces[i]
        try:
            digest = hash_photo(face.path)
        except ImageError as error:
            yield Enrollment(face.path, person, "failed", str(error))
            continue
        template = Template(digest, source_of(face.path), face.box, face.confidence, album.vectors[i])
        yield _enrolled(gallery, person, face.path, template)


def _enrolled(gallery: Gallery, person: str, path: Path, template: Template) -> Enrollment:
    owner = gallery.find_photo(template.photo_hash)
    if owner is not None and owner != person:
        reason = f"{printable(path)}: this photo is enrolled as {owner}; remove it there, or use another photo"
        return Enrollment(path, person, "failed", reason)
    if gallery.add(person, template):
        return Enrollment(path, person, "added", "")
    return Enrollment(path, person, "skipped", "this photo is enrolled already")
