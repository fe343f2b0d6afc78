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
from facerec.photos.folders import photo_hash
from facerec.text import printable
from facerec.types import Candidate, Photo, Template
from facerec.vectors import paired_distances, squared_distances

SEVERAL = ("main", "refuse")  # what `enrol` does with a photo of several faces


@dataclass(frozen=True, eq=False, slots=True)
class Enrolment:
    """What became of one photo: status is added, skipped or failed; reason says why, in words.

    quality: of the face that was looked at; None for a photo that was not, or has none. vector: (D,) of one that is
    added, else None.
    """

    path: Path
    person: str
    status: str
    reason: str
    quality: Quality | None = None
    vector: NDArray[np.float32] | None = None


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
    """What a look back at an enrolment suggests.

    alike: people who may be one, the nearest first. misplaced: photos that were enrolled, and why each of them is
    likely to be of somebody else who was enrolled after it.
    """

    alike: tuple[Alike, ...]
    misplaced: tuple[tuple[Path, str], ...]


def enrol(
    gallery: Gallery,
    people: Mapping[str, Sequence[Path]],
    detector: Detector,
    embedder: Embedder,
    *,
    several: str = "main",
    force: bool = False,
) -> Iterator[Enrolment]:
    """Enrol the main face of every photo; each result is yielded once the gallery holds the photo for good.

    A photo fails whose face is too poor, or which is nearer to somebody else enrolled so far than to its own person;
    `force` enrols those. several: "main" enrols the main face of a photo of several, "refuse" does not, forced or not.
    Raises ConfigError for another word.
    """
    if several not in SEVERAL:
        raise ConfigError(f"a photo of several faces: {' or '.join(SEVERAL)}, not {several!r}")
    owners = [(person, path) for person, paths in people.items() for path in paths]
    admit = partial(_admit, gallery, several=several, force=force)
    for start in range(0, len(owners), BATCH):
        yield from _enrol_batch(gallery, owners[start : start + BATCH], detector, embedder, admit)


def _enrol_batch(
    gallery: Gallery,
    owners: Sequence[tuple[str, Path]],
    detector: Detector,
    embedder: Embedder,
    admit: Callable[[str, str, Photo], Enrolment],
) -> Iterator[Enrolment]:
    """Photos that are enrolled already are not looked at again: enrolling a folder twice costs next to nothing."""
    new: list[tuple[str, Path, str]] = []
    for person, path in owners:
        try:
            name, digest = clean_name(person), photo_hash(path)
        except GalleryError as error:
            yield Enrolment(path, person, "failed", f"{printable(path)}: {error}")
        except FacerecError as error:
            yield Enrolment(path, person, "failed", str(error))
        else:
            if gallery.find_photo(digest) is not None:
                yield _known(gallery, name, path, digest)
            else:
                new.append((name, path, digest))
    photos = embed_photos([path for _, path, _ in new], detector, embedder, main_only=True)
    for (person, _, digest), photo in zip(new, photos, strict=True):
        yield admit(person, digest, photo)


def _admit(gallery: Gallery, person: str, digest: str, photo: Photo, *, several: str, force: bool) -> Enrolment:
    """Enrol one photo, or say why not."""
    path = photo.path
    if photo.error is not None:
        return Enrolment(path, person, "failed", str(photo.error))
    if gallery.find_photo(digest) is not None:  # there twice, or another process was faster
        return _known(gallery, person, path, digest)
    quality, notes = measure(photo.faces[0]), []
    candidates = gallery.search(photo.vectors, max(len(gallery), 1))[0]
    fault = _several(photo) if several == "refuse" and photo.others else None
    if fault is None and not force and (doubts := quality.faults or _held_back(gallery, person, candidates)):
        fault = f"{'; '.join(doubts)}; `force` enrolls it"
    if fault is not None:
        return Enrolment(path, person, "failed", f"{printable(path)}: {fault}", quality)
    if photo.others:
        notes.append(f"the main one of {photo.others + 1} faces, {photo.others} left out")
    notes += _resembles(gallery, person, candidates)
    if not _added(gallery, person, path, digest, photo):
        return _known(gallery, person, path, digest)
    return Enrolment(path, person, "added", "; ".join(notes), quality, photo.vectors[0])


def _several(photo: Photo) -> str:
    return (
        f"{photo.others + 1} faces in it; cut out the one that is meant, or have the main one enrolled (`several=main`)"
    )


def _held_back(gallery: Gallery, person: str, candidates: Sequence[Candidate]) -> list[str]:
    """Why the photo is likely to be of somebody else; the threshold is only made where the nearest is another."""
    limit = gallery.threshold if candidates and candidates[0].person != person else None
    reason = misplaced(person, candidates, limit) if limit is not None else None
    return [f"held back: {reason}"] if reason else []


def _resembles(gallery: Gallery, person: str, candidates: Sequence[Candidate]) -> list[str]:
    """That a new person may be somebody who is enrolled."""
    if not candidates or any(candidate.person == person for candidate in candidates):
        return []
    limit = gallery.threshold
    like = look_alike(person, candidates, limit) if limit is not None else None
    return [f"{person} looks like {like.person}, at {like.distance:.2f}"] if like else []


def _known(gallery: Gallery, person: str, path: Path, digest: str) -> Enrolment:
    """What comes of a photo that is in the gallery."""
    owner = gallery.find_photo(digest)
    if owner == person:
        return Enrolment(path, person, "skipped", "this photo is enrolled already")
    reason = f"{printable(path)}: this photo is enrolled as {owner}; remove it there, or use another photo"
    return Enrolment(path, person, "failed", reason)


def _added(gallery: Gallery, person: str, path: Path, digest: str, photo: Photo) -> bool:
    """Whether the photo is in the gallery by this call; another process may have enrolled it a moment ago."""
    face = photo.faces[0]
    template = Template(digest, str(path.resolve()), face.box, face.confidence, photo.vectors[0], face.crop)
    try:
        return gallery.add(person, template)
    except GalleryError:
        if gallery.find_photo(digest) is None:
            raise
        return False


def review(gallery: Gallery, added: Sequence[Enrolment]) -> Review:
    """Look back at a gallery, and the photos that were `added` to it just now.

    A photo can only be held back for the sake of somebody who was enrolled before it; here everybody is.
    """
    limit, people = gallery.threshold, len(gallery)
    if limit is None or people < 2:
        return Review((), ())
    names, means = gallery.mean_templates()
    rows, columns = np.nonzero(np.triu(squared_distances(means, means) <= limit.distance, 1))
    distances = paired_distances(means[rows], means[columns])
    photos = {person.name: person.templates for person in gallery.people()}
    alike = []
    for a, b, distance in zip(rows, columns, distances, strict=True):
        fewer, more = sorted((names[a], names[b]), key=lambda name: photos.get(name, 0))
        alike.append(Alike(fewer, more, float(distance)))
    wrong = []
    for result in added:
        if result.vector is not None:
            reason = misplaced(result.person, gallery.search(result.vector[None], people)[0], limit)
            wrong += [(result.path, reason)] if reason is not None else []
    return Review(tuple(sorted(alike, key=lambda pair: pair.distance)), tuple(wrong))


def enrol_group(
    gallery: Gallery, person: str, album: FaceAlbum, grouping: Grouping, number: int
) -> Iterator[Enrolment]:
    """Enrol the faces of one group, each by its own box and vector, as one person; `person` is a `clean_name`."""
    for i in np.flatnonzero(grouping.labels == number):
        face = album.faces[i]
        try:
            digest = photo_hash(face.path)
        except ImageError as error:
            yield Enrolment(face.path, person, "failed", str(error))
            continue
        template = Template(digest, str(face.path.resolve()), face.box, face.confidence, album.vectors[i])
        yield _enrolled(gallery, person, face.path, template)


def _enrolled(gallery: Gallery, person: str, path: Path, template: Template) -> Enrolment:
    owner = gallery.find_photo(template.photo_hash)
    if owner is not None and owner != person:
        reason = f"{printable(path)}: this photo is enrolled as {owner}; remove it there, or use another photo"
        return Enrolment(path, person, "failed", reason)
    if gallery.add(person, template):
        return Enrolment(path, person, "added", "")
    return Enrolment(path, person, "skipped", "this photo is enrolled already")
