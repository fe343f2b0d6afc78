"""The way of a photo: read, detect, embed, then enrol it, search it, or compare it with another; or read, classify."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerec.cohort import load_cohort
from facerec.decide import Verification, decide, same_person
from facerec.detect import Detector, faces_in_photos
from facerec.embed import Classifier, Embedder
from facerec.errors import ConfigError, FacerecError, GalleryError, ImageError, NoFaceError
from facerec.gallery import Gallery, clean_name
from facerec.images import centre_picture, photo_hash, printable, read_image
from facerec.types import Decision, Face, Image, Photo, Template, Threshold, Vectors

BATCH = 16  # photos detected and embedded, or classified, together


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What became of one photo: status is added, skipped or failed; reason says why, in words."""

    path: Path
    person: str
    status: str
    reason: str


@dataclass(frozen=True, eq=False, slots=True)
class Identification:
    """One face of a photo and its decision; or face None and the error, for a photo without a usable face.

    position: of the face in the photo, 0 for the main one.
    """

    path: Path
    position: int
    face: Face | None
    decision: Decision | None
    error: FacerecError | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Classification:
    """A photo and the probability of each class, (C,) float32; or None and the error, for one that cannot be read."""

    path: Path
    probabilities: NDArray[np.float32] | None
    error: ImageError | None = None


def embed_photos(
    paths: Iterable[Path], detector: Detector, embedder: Embedder, *, main_only: bool = False
) -> Iterator[Photo]:
    """Faces and vectors of each photo in order; a photo that cannot be used carries its error instead."""
    found = faces_in_photos(paths, detector, BATCH)
    while batch := list(islice(found, BATCH)):
        kept = [[] if isinstance(faces, FacerecError) else faces[: 1 if main_only else None] for _, faces in batch]
        vectors = _embed([face for faces in kept for face in faces], embedder)
        ends = np.cumsum([len(faces) for faces in kept])
        rows = np.split(vectors, ends[:-1])
        for (path, faces), used, own in zip(batch, kept, rows, strict=True):
            yield Photo(path, tuple(used), own, _trouble(path, faces))


def _embed(faces: Sequence[Face], embedder: Embedder) -> Vectors:
    size = embedder.card.input_size
    crops = np.stack([face.crop for face in faces]) if faces else np.zeros((0, size, size, 3), np.uint8)
    return embedder.embed(crops)


def _trouble(path: Path, faces: list[Face] | FacerecError) -> FacerecError | None:
    if isinstance(faces, FacerecError):
        return faces
    return None if faces else NoFaceError(f"{printable(path)}: no face found; use a photo with a clear, larger face")


def enrol(
    gallery: Gallery, people: Mapping[str, Sequence[Path]], detector: Detector, embedder: Embedder
) -> Iterator[Enrolment]:
    """Enrol the main face of every photo; each result is yielded once the gallery holds the photo for good."""
    owners = [(person, path) for person, paths in people.items() for path in paths]
    for start in range(0, len(owners), BATCH):
        yield from _enrol_batch(gallery, owners[start : start + BATCH], detector, embedder)


def _enrol_batch(
    gallery: Gallery, owners: Sequence[tuple[str, Path]], detector: Detector, embedder: Embedder
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
                yield _add(gallery, name, path, digest, None)
            else:
                new.append((name, path, digest))
    photos = embed_photos([path for _, path, _ in new], detector, embedder, main_only=True)
    for (person, path, digest), photo in zip(new, photos, strict=True):
        yield _add(gallery, person, path, digest, photo)


def _add(gallery: Gallery, person: str, path: Path, digest: str, photo: Photo | None) -> Enrolment:
    if photo is not None and photo.error is not None:
        return Enrolment(path, person, "failed", str(photo.error))
    if photo is not None and _added(gallery, person, path, digest, photo):
        return Enrolment(path, person, "added", "")
    owner = gallery.find_photo(digest)
    if owner == person:
        return Enrolment(path, person, "skipped", "this photo is enrolled already")
    reason = f"{printable(path)}: this photo is enrolled as {owner}; remove it there, or use another photo"
    return Enrolment(path, person, "failed", reason)


def _added(gallery: Gallery, person: str, path: Path, digest: str, photo: Photo) -> bool:
    """Whether the photo is in the gallery by this call; another process may have enrolled it a moment ago."""
    face = photo.faces[0]
    template = Template(digest, str(path.resolve()), face.box, face.confidence, photo.vectors[0])
    try:
        return gallery.add(person, template)
    except GalleryError:
        if gallery.find_photo(digest) is None:
            raise
        return False


def identify(
    gallery: Gallery,
    paths: Iterable[Path],
    detector: Detector,
    embedder: Embedder,
    threshold: Threshold,
    top: int = 5,
) -> Iterator[Identification]:
    """Every face of every photo: who it is, or unknown; `top` people are listed as candidates."""
    for photo in embed_photos(paths, detector, embedder):
        if photo.error is not None:
            yield Identification(photo.path, 0, None, None, photo.error)
        found = gallery.search(photo.vectors, max(top, 2)) if photo.faces else []
        for position, (face, candidates) in enumerate(zip(photo.faces, found, strict=True)):
            decision = decide(candidates, threshold, len(gallery))
            yield Identification(photo.path, position, face, decision)


def verify(a: Path, b: Path, detector: Detector, embedder: Embedder, threshold: Threshold) -> Verification:
    """Whether the main faces of two photos are one person's; raises the error of a photo that cannot be used."""
    first, second = embed_photos([a, b], detector, embedder, main_only=True)
    for photo in (first, second):
        if photo.error is not None:
            raise photo.error
    return same_person(float(np.square(first.vectors[0] - second.vectors[0]).sum()), threshold)


def classify(paths: Iterable[Path], classifier: Classifier) -> Iterator[Classification]:
    """The probabilities of each photo's classes, in order; one photo and BATCH centres are held at a time."""
    waiting = iter(paths)
    while batch := list(islice(waiting, BATCH)):
        pictures = [_picture(path, classifier.card.input_size) for path in batch]
        sound = [picture for picture in pictures if not isinstance(picture, ImageError)]
        rows = iter(classifier.probabilities(np.stack(sound)) if sound else ())
        for path, picture in zip(batch, pictures, strict=True):
            broken = isinstance(picture, ImageError)
            yield Classification(path, None, picture) if broken else Classification(path, next(rows))


def _picture(path: Path, size: int) -> Image | ImageError:
    try:
        return centre_picture(read_image(path), size)
    except ImageError as error:
        return error


def main_vectors(photos: Iterable[Photo], names: Sequence[str]) -> dict[str, np.ndarray | None]:
    """The main face's vector of each photo under its name, None where there is no usable face."""
    return {name: photo.vectors[0] if photo.faces else None for name, photo in zip(names, photos, strict=True)}


def open_gallery(folder: Path, embedder: Embedder, *, create: bool = False) -> Gallery:
    """Open a gallery for use with this model and its cohort of strangers.

    Raises ForeignModelError when it holds another model's vectors, ModelError for a broken cohort.
    """
    card = embedder.card
    cohort = load_cohort(embedder.path, card)
    gallery = Gallery.open(folder, create=create)
    try:
        gallery.bind_model(card.fingerprint, card.name, card.embedding_dim, card.default_threshold, cohort)
    except GalleryError:
        gallery.close()
        raise
    return gallery


def choose_threshold(given: float | None, measured: Threshold | None, model: str) -> Threshold:
    """The threshold asked for, else the one measured; raises ConfigError when there is neither."""
    if given is not None:
        if not 0 <= given <= 4:
            raise ConfigError(f"a threshold is a distance from 0 to 4, not {given:g}")
        return Threshold(given, "given by --threshold")
    if measured is None:
        raise ConfigError(f"the card of {model} states no threshold; give --threshold D (0 to 4)")
    return measured
