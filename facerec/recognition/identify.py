"""The way of a photo: read, detect, embed, then enrol it, search it, or compare it with another; or read, classify."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerec.decision.calibration import DEFAULT_FPIR
from facerec.decision.decide import Verification, decide_photo, look_alike, misplaced, same_person
from facerec.decision.posterior import posterior
from facerec.errors import ConfigError, FacerecError, GalleryError, ImageError, NoFaceError
from facerec.faces.mtcnn import Detector, faces_in_photos
from facerec.faces.quality import Quality, measure
from facerec.gallery.gallery import Gallery, clean_name
from facerec.inference.embedder import Classifier, Crops, Embedder
from facerec.models.cohort import load_cohort
from facerec.photos.drawing import save_annotated
from facerec.photos.reading import centre_picture, photo_hash, read_image
from facerec.text import printable
from facerec.types import Box, Candidate, Decision, Face, Image, Photo, Template, Threshold, Vectors

BATCH = 16  # photos detected and embedded, or classified, together
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


@dataclass(frozen=True, eq=False, slots=True)
class Identification:
    """One face of a photo and its decision; or face None and the error, for a photo without a usable face.

    position: of the face in the photo, 0 for the main one. quality: the face's.
    """

    path: Path
    position: int
    face: Face | None
    decision: Decision | None
    error: FacerecError | None = None
    quality: Quality | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Classification:
    """A photo and the probability of each class, (C,) float32; or None and the error, for one that cannot be used."""

    path: Path
    probabilities: NDArray[np.float32] | None
    error: FacerecError | None = None


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
            others = 0 if isinstance(faces, FacerecError) else len(faces) - len(used)
            yield Photo(path, tuple(used), own, _trouble(path, faces), others)


def _embed(faces: Sequence[Face], embedder: Embedder) -> Vectors:
    size = embedder.card.input_size
    crops = np.stack([face.crop for face in faces]) if faces else np.zeros((0, size, size, 3), np.uint8)
    return embedder.embed(crops)


def _trouble(path: Path, faces: list[Face] | FacerecError) -> FacerecError | None:
    if isinstance(faces, FacerecError):
        return faces
    return None if faces else NoFaceError(f"{printable(path)}: no face found; use a photo with a clear, larger face")


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
        fault = f"{'; '.join(doubts)}; --force enrols it"
    if fault is not None:
        return Enrolment(path, person, "failed", f"{printable(path)}: {fault}", quality)
    if photo.others:
        notes.append(f"the main one of {photo.others + 1} faces, {photo.others} left out")
    notes += _resembles(gallery, person, candidates)
    if not _added(gallery, person, path, digest, photo):
        return _known(gallery, person, path, digest)
    return Enrolment(path, person, "added", "; ".join(notes), quality, photo.vectors[0])


def _several(photo: Photo) -> str:
    return f"{photo.others + 1} faces in it; cut out the one that is meant, or `--several main` enrols the main one"


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
    rows, columns = np.nonzero(np.triu(2 - 2 * means @ means.T <= limit.distance, 1))
    distances = np.square(means[rows] - means[columns]).sum(axis=1)
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


def identify(
    gallery: Gallery,
    paths: Iterable[Path],
    detector: Detector,
    embedder: Embedder,
    threshold: Threshold,
    top: int = 5,
) -> Iterator[Identification]:
    """Every face of every photo: who it is, or unknown; nobody is two faces of one photo (`decide_photo`).

    At least `top` people are listed as candidates, if so many are enrolled. How probable it is that the nearest is
    right is said where the model's card and enough strangers tell.
    """
    facts = embedder.card.probability
    probability = posterior(facts, gallery.calibration(DEFAULT_FPIR)) if facts else None
    for photo in embed_photos(paths, detector, embedder):
        if photo.error is not None:
            yield Identification(photo.path, 0, None, None, photo.error)
        # Each face can lose as many people to the others as there are, and then has a next and a runner-up.
        found = gallery.search(photo.vectors, max(top, len(photo.faces) + 1)) if photo.faces else []
        decisions = decide_photo(found, threshold, len(gallery), probability)
        for position, (face, decision) in enumerate(zip(photo.faces, decisions, strict=True)):
            yield Identification(photo.path, position, face, decision, quality=measure(face))


def annotate(results: Iterable[Identification], folder: Path) -> Iterator[Identification]:
    """Pass `identify`'s results on, and once a photo's are through, write it to `folder` with its faces named.

    A photo without a face has no copy, one that is given twice has one. Raises as `save_annotated`; call `ready_folder`
    before the work begins.
    """
    written: set[Path] = set()
    for path, faces in groupby(results, key=lambda result: result.path):
        shown: dict[Box, str | None] = {}  # a face once, where the photo is given twice in a row
        for result in faces:
            if result.face is not None and result.decision is not None:
                shown[result.face.box] = result.decision.person
            yield result
        if shown and path not in written:
            save_annotated(path, list(shown), list(shown.values()), folder)
            written.add(path)


def verify(a: Path, b: Path, detector: Detector, embedder: Embedder, threshold: Threshold) -> Verification:
    """Whether the main faces of two photos are one person's; raises the error of a photo that cannot be used."""
    first, second = embed_photos([a, b], detector, embedder, main_only=True)
    for photo in (first, second):
        if photo.error is not None:
            raise photo.error
    return same_person(float(np.square(first.vectors[0] - second.vectors[0]).sum()), threshold)


def classify(
    paths: Iterable[Path], classifier: Classifier, detector: Detector | None = None
) -> Iterator[Classification]:
    """The probabilities of each photo's classes, in order.

    detector: finds the main face of each photo, for a classifier `of_faces`; leave it out for any other.
    """
    if classifier.of_faces != (detector is not None):
        raise ValueError("a detector is for a classifier of faces, which needs one")
    pictures = _main_faces(paths, detector) if detector else _centres(paths, classifier.card.input_size)
    for path, row in _read(pictures, classifier.probabilities):
        yield Classification(path, None, row) if isinstance(row, FacerecError) else Classification(path, row)


def read_pictures(
    paths: Iterable[Path], size: int, read: Callable[[Crops], NDArray[np.float32]]
) -> Iterator[tuple[Path, NDArray[np.float32] | FacerecError]]:
    """What `read` makes of the middle of each photo, in order: (N, size, size, 3) uint8 RGB -> N rows.

    A photo that cannot be read has its error instead. One photo and BATCH centres are held at a time.
    """
    return _read(_centres(paths, size), read)


def _read(
    pictures: Iterator[tuple[Path, Image | FacerecError]], read: Callable[[Crops], NDArray[np.float32]]
) -> Iterator[tuple[Path, NDArray[np.float32] | FacerecError]]:
    while batch := list(islice(pictures, BATCH)):
        sound = [picture for _, picture in batch if not isinstance(picture, FacerecError)]
        rows = iter(read(np.stack(sound)) if sound else ())
        for path, picture in batch:
            yield path, picture if isinstance(picture, FacerecError) else next(rows)


def _main_faces(paths: Iterable[Path], detector: Detector) -> Iterator[tuple[Path, Image | FacerecError]]:
    for path, faces in faces_in_photos(paths, detector, BATCH):
        yield path, _trouble(path, faces) or faces[0].crop  # type: ignore[index]


def _centres(paths: Iterable[Path], size: int) -> Iterator[tuple[Path, Image | FacerecError]]:
    return ((path, _picture(path, size)) for path in paths)


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
