"""From photos to faces and vectors, or to probabilities: in batches, and in the order of the photos."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, tee
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from facerec.errors import FacerecError, ImageError, NoFaceError
from facerec.faces.detector import AlignedDetector, Detector, PhotoFaces, faces_in_batches, faces_in_photos
from facerec.inference.embedder import Crops, Embedder
from facerec.inference.torch_runtime import Classifier
from facerec.photos.ahead import Read, batches_of, worked_ahead
from facerec.photos.crops import centre_picture
from facerec.photos.memory import AnyPhoto, EmbeddedPhoto
from facerec.text import Brief, printable
from facerec.types import Face, Image, Photo, Vectors

Of = TypeVar("Of")
BATCH = 16  # photos that are detected and embedded, or classified, together
_FIRST = (1, 4)  # the sizes of the first batches, so that the first answers come at once


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Classification(Brief):
    """A photo and the probabilities of its classes, (C,) float32; or None and the photo's error.

    faces: the main face, if the classifier reads faces. remarks: as `types.Photo` has them.
    """

    path: Path
    probabilities: NDArray[np.float32] | None
    error: FacerecError | None = None
    faces: tuple[Face, ...] = ()
    remarks: tuple[str, ...] = ()


def embed_photos(
    photos: Iterable[AnyPhoto], detector: Detector, embedder: Embedder, *, main_only: bool = False
) -> Iterator[Photo]:
    """Each photo with its faces and their vectors, in order; a photo that cannot be used has its error instead.

    main_only: embed only the main face of each photo, and count the others. The next photos are read, and their faces
    found, in two threads, while the caller's thread embeds faces.
    """
    begin = () if isinstance(detector, AlignedDetector) else _FIRST  # aligned crops are judged by a whole batch
    for batch in embed_batches(batches_of(photos, BATCH, begin), detector, embedder, main_only=main_only):
        yield from batch


def embed_batches(
    batches: Iterable[Sequence[AnyPhoto]], detector: Detector, embedder: Embedder, *, main_only: bool = False
) -> Iterator[list[Photo]]:
    """As `embed_photos`, for each of the batches, which may be empty.

    Photos that were embedded before, as those of shards, go past the detector and the embedder.
    """
    given, ahead = tee(batches)
    new = ([photo for photo in batch if not isinstance(photo, EmbeddedPhoto)] for batch in ahead)
    for batch, found in zip(given, _embed_new(new, detector, embedder, main_only), strict=True):
        done = iter(found)
        yield [_kept(photo, main_only) if isinstance(photo, EmbeddedPhoto) else next(done) for photo in batch]


def _kept(photo: EmbeddedPhoto, main_only: bool) -> Photo:
    kept = photo.embedded()
    if not main_only or len(kept.faces) < 2:
        return kept
    return replace(kept, faces=kept.faces[:1], vectors=kept.vectors[:1], others=len(kept.faces) - 1)


def _embed_new(
    batches: Iterable[Sequence[AnyPhoto]], detector: Detector, embedder: Embedder, main_only: bool
) -> Iterator[list[Photo]]:
    for batch in faces_in_batches(batches, detector):
        kept = [[] if isinstance(faces, FacerecError) else faces[: 1 if main_only else None] for _, faces, _ in batch]
        vectors = embed_faces([face for faces in kept for face in faces], embedder)
        rows = np.split(vectors, np.cumsum([len(faces) for faces in kept])[:-1])
        yield [_photo(found, used, own) for found, used, own in zip(batch, kept, rows[: len(batch)], strict=True)]


def _photo(found: PhotoFaces, used: Sequence[Face], vectors: Vectors) -> Photo:
    others = 0 if isinstance(found.faces, FacerecError) else len(found.faces) - len(used)
    return Photo(found.path, tuple(used), vectors, _trouble(*found), others, found.remarks)


def embed_faces(faces: Sequence[Face], embedder: Embedder) -> Vectors:
    """(N, D) unit float32: the vectors of N faces, which may be none."""
    size = embedder.card.input_size
    crops = np.stack([face.crop for face in faces]) if faces else np.zeros((0, size, size, 3), np.uint8)
    return embedder.embed(crops)


def _trouble(path: Path, faces: list[Face] | FacerecError, remarks: tuple[str, ...]) -> FacerecError | None:
    if isinstance(faces, FacerecError):
        return faces
    if faces:
        return None
    odd = f" ({'; '.join(remarks)})" if remarks else ""
    return NoFaceError(f"{printable(path)}: no face found{odd}; use a photo with a clear, larger face")


def classify(
    paths: Iterable[Path], classifier: Classifier, detector: Detector | None = None
) -> Iterator[Classification]:
    """The probabilities of the classes of each photo, in order.

    detector: finds the main face of each photo. A classifier `of_faces` needs one, any other must not have one
    (ValueError).
    """
    if classifier.of_faces != (detector is not None):
        raise ValueError("a detector is for a classifier of faces, which needs one")
    pictures = _main_faces(paths, detector) if detector else _centres(paths, classifier.card.input_size)
    for found, row in _read(pictures, classifier.probabilities):
        error = row if isinstance(row, FacerecError) else None
        answer = None if isinstance(row, FacerecError) else row
        faces = () if isinstance(found.faces, FacerecError) else tuple(found.faces[:1])
        yield Classification(found.path, answer, error, faces, found.remarks)


def read_pictures(
    paths: Iterable[Path], size: int, read: Callable[[Crops], NDArray[np.float32]]
) -> Iterator[tuple[Path, NDArray[np.float32] | FacerecError, tuple[str, ...]]]:
    """Each photo, the row that `read` gives for its middle, and the photo's remarks, in order.

    A photo that cannot be read has its error instead of a row. read: (N, size, size, 3) uint8 RGB -> N rows.
    """
    return ((found.path, row, found.remarks) for found, row in _read(_centres(paths, size), read))


def _read(
    pictures: Iterator[tuple[Of, Image | FacerecError]], read: Callable[[Crops], NDArray[np.float32]]
) -> Iterator[tuple[Of, NDArray[np.float32] | FacerecError]]:
    while batch := list(islice(pictures, BATCH)):
        sound = [picture for _, picture in batch if not isinstance(picture, FacerecError)]
        rows = iter(read(np.stack(sound)) if sound else ())
        for of, picture in batch:
            yield of, picture if isinstance(picture, FacerecError) else next(rows)


def _main_faces(paths: Iterable[Path], detector: Detector) -> Iterator[tuple[PhotoFaces, Image | FacerecError]]:
    for found in faces_in_photos(paths, detector, BATCH):
        yield found, _trouble(*found) or found.faces[0].crop  # type: ignore[index]


def _centres(paths: Iterable[Path], size: int) -> Iterator[tuple[PhotoFaces, Image | FacerecError]]:
    """Each photo, with its remarks and without faces, and its middle."""

    def middles(photos: Sequence[Read]) -> list[tuple[PhotoFaces, Image | FacerecError]]:
        return [
            (PhotoFaces(path, []), photo)
            if isinstance(photo, ImageError)
            else (PhotoFaces(path, [], photo.remarks), centre_picture(photo.image, size))
            for path, photo in photos
        ]

    for batch in worked_ahead(batches_of(paths, BATCH), middles):
        yield from batch
