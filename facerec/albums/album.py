"""Every face in a folder of photos, without anybody's name: search them, group them, link the groups, enrol one.

Groups are numbered by the order of the photos' paths, so the same folder gives the same numbers again.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facerec.albums.clustering import Grouping, b_cubed, dense_groups, group_faces
from facerec.decision.decide import Verification, same_person
from facerec.errors import ConfigError, DataError, ImageError
from facerec.gallery.gallery import Gallery
from facerec.inference.embedder import Embedder
from facerec.metrics.roc import percentile_interval
from facerec.models.cohort import load_cohort
from facerec.photos.reading import photo_hash
from facerec.recognition.identify import Enrolment, choose_threshold
from facerec.text import printable
from facerec.types import Box, Photo, Template, Threshold, Vectors

_NAME = 60  # characters kept of a link's name: 240 bytes at most, where file systems take 255
_REPLICATES = 1000


@dataclass(frozen=True, slots=True)
class AlbumFace:
    """A face in an album. position: in its photo, 0 for the main one. box, confidence: the detector's, as `Face`."""

    path: Path
    position: int
    box: Box
    confidence: float


@dataclass(frozen=True, eq=False, slots=True)
class FaceAlbum:
    """The N faces of a folder in the order of its photos, without their pictures: vectors are (N, D) unit float32."""

    faces: tuple[AlbumFace, ...]
    vectors: Vectors

    def __len__(self) -> int:
        return len(self.faces)


@dataclass(frozen=True, slots=True)
class Hit:
    """A face of an album and how it compares with the face that was searched for."""

    face: AlbumFace
    answer: Verification


def gather_faces(photos: Iterable[Photo], dimension: int) -> FaceAlbum:
    """The faces of embedded photos; those that could not be used have none. dimension: of the vectors, should none."""
    faces, rows = [], [np.zeros((0, dimension), np.float32)]
    for photo in photos:
        rows.append(photo.vectors)
        faces += [AlbumFace(photo.path, i, face.box, face.confidence) for i, face in enumerate(photo.faces)]
    return FaceAlbum(tuple(faces), np.concatenate(rows))


def most_similar(vector: Vectors, album: FaceAlbum, threshold: Threshold, top: int) -> list[Hit]:
    """The `top` faces nearest to a (D,) unit vector, nearest first; of equally near ones the earlier."""
    distances = np.square(album.vectors - vector).sum(axis=1)
    nearest = np.argsort(distances, kind="stable")[:top]
    return [Hit(album.faces[i], same_person(float(distances[i]), threshold)) for i in nearest]


def grouping_limit(embedder: Embedder, given: float | None) -> Threshold | Vectors:
    """What `group_album` is held to: the distance given, else the model's strangers, else its threshold.

    Raises ConfigError where there is none of them, or for a distance that is not from 0 to 4.
    """
    card = embedder.card
    strangers = load_cohort(embedder.path, card)
    return strangers if given is None and len(strangers) else choose_threshold(given, card.default_threshold, card.name)


def group_album(album: FaceAlbum, limit: Threshold | Vectors, dense: bool = False) -> Grouping:
    """Which faces are one person's, by `group_faces`, or by `dense_groups`; `limit` as there."""
    if dense:
        return dense_groups(album.vectors, limit)
    return group_faces(album.vectors, [face.path for face in album.faces], limit)


def people_of_folders(folder: Path, paths: Iterable[Path]) -> dict[Path, str]:
    """Photo -> the sub-folder of `folder` it is in; raises DataError for a photo in none."""
    people = {}
    for path in paths:
        person, *below = path.relative_to(folder).parts
        if not below:
            raise DataError(f"{printable(path)}: whose photo is it? With --labels every photo is in a person's folder")
        people[path] = person
    return people


def score_groups(album: FaceAlbum, grouping: Grouping, people: Mapping[Path, str]) -> dict[str, Any]:
    """B-cubed figures of the main faces, as `people` (photo -> name) has it, with 95 % intervals over people."""
    main = [i for i, face in enumerate(album.faces) if face.position == 0]
    names = np.array([people[album.faces[i].path] for i in main])
    count = len(np.unique(names))
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), _REPLICATES)
    values = b_cubed(names, grouping.labels[main], np.concatenate([np.ones((1, count)), drawn]))
    figures = dict(zip(("precision", "recall", "f"), values.T, strict=True))
    line: dict[str, Any] = {name: float(column[0]) for name, column in figures.items()}
    return line | {"ci95": {name: list(percentile_interval(column[1:])) for name, column in figures.items()}}


def ready_output(output: Path, folder: Path) -> None:
    """Make the folder `output` before the long work; an empty one will do.

    Raises ConfigError for an output in the album itself, whose links would be photos of it; DataError for one that is
    not empty, or that cannot be written to.
    """
    if Path(os.path.realpath(output)).is_relative_to(os.path.realpath(folder)):
        raise ConfigError(f"{printable(output)}: is in the album; give an --output outside of {printable(folder)}")
    trial = output / f".facerec-{os.getpid()}"
    try:
        if os.path.lexists(output) and next(os.scandir(output), None) is not None:
            raise DataError(f"{printable(output)}: is not empty; give another --output, or remove it")
        output.mkdir(parents=True, exist_ok=True)
        trial.symlink_to("nowhere")  # some file systems have no links
        trial.unlink()
    except OSError as error:
        raise _unfit(output, error) from error


def write_links(album: FaceAlbum, grouping: Grouping, output: Path) -> None:
    """A folder for each group in `output`, `group 001` the first, and in it a relative link to each of its photos.

    Raises DataError where they cannot be made.
    """
    width = max(3, len(str(grouping.groups)))
    try:
        output.mkdir(parents=True, exist_ok=True)
        for number in range(1, grouping.groups + 1):
            folder = output / f"group {number:0{width}}"
            folder.mkdir()
            for place, i in enumerate(np.flatnonzero(grouping.labels == number), 1):
                photo = album.faces[i].path
                target = Path(os.path.realpath(photo.parent), photo.name)
                name = f"{place:04} {printable(photo.name)[-_NAME:]}"
                os.symlink(os.path.relpath(target, os.path.realpath(folder)), folder / name)
    except OSError as error:
        raise _unfit(output, error) from error


def _unfit(output: Path, error: OSError) -> DataError:
    return DataError(f"{printable(output)}: no folder of links ({error.strerror}); give another --output")


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
