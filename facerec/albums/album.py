"""All faces in a folder of photos without names: search them, group them, and score the groups.

The numbers of groups depend only on the faces and the order of the photos' paths, so the same folder gives the same
numbers again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facerec.albums.clustering import Grouping, dense_groups, group_faces
from facerec.decision.decide import Verification, choose_threshold, same_person
from facerec.errors import DataError
from facerec.inference.embedder import Embedder
from facerec.metrics.clustering import b_cubed
from facerec.metrics.intervals import people_weights, percentile_interval
from facerec.models.cohort import load_cohort
from facerec.text import Brief, printable
from facerec.types import Box, Photo, Threshold, Vectors
from facerec.vectors import paired_distances

_REPLICATES = 1000


@dataclass(frozen=True, slots=True, repr=False)
class AlbumFace(Brief):
    """A face in an album.

    position: its place in the photo, 0 for the main face. box, confidence: as in `Face`. digest: as in `Photo`.
    """

    path: Path
    position: int
    box: Box
    confidence: float
    digest: str = ""


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class FaceAlbum(Brief):
    """The N faces of a folder, in the order of its photos. vectors: (N, D) unit float32."""

    faces: tuple[AlbumFace, ...]
    vectors: Vectors

    def __len__(self) -> int:
        return len(self.faces)


@dataclass(frozen=True, slots=True, repr=False)
class Hit(Brief):
    """A face of an album, and its comparison with the face searched for."""

    face: AlbumFace
    answer: Verification


def gather_faces(photos: Iterable[Photo], dimension: int) -> FaceAlbum:
    """Return the faces of embedded photos. Photos that cannot be used have none.

    dimension: of the vectors, needed if there is no face.
    """
    faces, rows = [], [np.zeros((0, dimension), np.float32)]
    for photo in photos:
        rows.append(photo.vectors)
        faces += [
            AlbumFace(photo.path, i, face.box, face.confidence, photo.digest) for i, face in enumerate(photo.faces)
        ]
    return FaceAlbum(tuple(faces), np.concatenate(rows))


def most_similar(vector: Vectors, album: FaceAlbum, threshold: Threshold, top: int) -> list[Hit]:
    """Return the `top` faces nearest to a (D,) unit vector, nearest first; of two equally near, the earlier first."""
    distances = paired_distances(album.vectors, vector)
    nearest = np.argsort(distances, kind="stable")[:top]
    return [Hit(album.faces[i], same_person(float(distances[i]), threshold)) for i in nearest]


def grouping_limit(embedder: Embedder, given: float | None) -> Threshold | Vectors:
    """Return the limit for `group_album`: the distance given, else the model's strangers, else its threshold.

    ConfigError if there is none of these, or the distance is not from 0 to 4.
    """
    card = embedder.card
    strangers = load_cohort(embedder.path, card)
    return strangers if given is None and len(strangers) else choose_threshold(given, card.default_threshold, card.name)


def group_album(album: FaceAlbum, limit: Threshold | Vectors, dense: bool = False) -> Grouping:
    """Group the faces of an album by person, with `group_faces`, or if `dense` with `dense_groups`.

    limit: as in these functions.
    """
    if dense:
        return dense_groups(album.vectors, limit)
    return group_faces(album.vectors, [face.path for face in album.faces], limit)


def people_of_folders(folder: Path, paths: Iterable[Path]) -> dict[Path, str]:
    """Return photo -> the sub-folder of `folder` it is in; DataError for a photo in none."""
    people = {}
    for path in paths:
        person, *below = path.relative_to(folder).parts
        if not below:
            raise DataError(f"{printable(path)}: in no person's folder; with `labels`, put every photo in one")
        people[path] = person
    return people


def score_groups(album: FaceAlbum, grouping: Grouping, people: Mapping[Path, str]) -> dict[str, Any]:
    """Return B-cubed precision, recall and F of the main faces, with 95 % intervals over people.

    people: photo -> the true name. Source: Bagga and Baldwin 1998 (`metrics.clustering`).
    """
    main = [i for i, face in enumerate(album.faces) if face.position == 0]
    names = np.array([people[album.faces[i].path] for i in main])
    people_once = np.unique(names)
    drawn = people_weights(people_once, people_once, _REPLICATES, seed=0)
    weights = np.concatenate([np.ones((1, len(people_once))), *drawn])
    values = b_cubed(names, grouping.labels[main], weights)
    figures = dict(zip(("precision", "recall", "f"), values.T, strict=True))
    line: dict[str, Any] = {name: float(column[0]) for name, column in figures.items()}
    return line | {"ci95": {name: list(percentile_interval(column[1:])) for name, column in figures.items()}}
