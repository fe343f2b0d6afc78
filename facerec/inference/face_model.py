"""A detector and an embedder as one object: photos -> faces -> vectors, for programs that keep their own gallery."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from facerec.errors import NoFaceError
from facerec.faces.detector import AlignedDetector, Detector, usable_detector
from facerec.faces.settings import DetectorSettings
from facerec.inference.embedder import Embedder
from facerec.inference.loading import load_embedder
from facerec.inference.pipeline import embed_photos
from facerec.photos.memory import AnyPhoto, PhotoInput, photo_of, photos_of
from facerec.text import printable
from facerec.types import Face, Photo, Vectors


class FaceModel:
    """A detector and an embedder together. Several threads may use one.

    >>> import facerec
    >>> model = facerec.load()
    >>> model.embed(["gallery/people/Joe Biden/blue_room_2010.jpg"]).shape
    (1, 128)
    """

    def __init__(self, embedder: Embedder, detector: Detector) -> None:
        self.embedder, self.detector = embedder, detector
        self._taking_crops = AlignedDetector(embedder.card.input_size)

    def __repr__(self) -> str:
        return f"FaceModel({printable(self.embedder.card.name)})"

    def embed(self, photos: Iterable[PhotoInput], *, aligned: bool = False) -> Vectors:
        """The vector of each photo's main face: (N, D) unit float32, a row per photo, in their order.

        aligned: the photos are aligned crops, (S, S, 3) each or (N, S, S, 3) together; detection is skipped. Raises
        NoFaceError naming the first photo without a face, ImageError the first that cannot be read.
        """
        found = self.photos(list(photos_of(photos)), aligned=aligned, main_only=True)
        for photo in found:
            if photo.error is not None:
                raise photo.error
        nothing = np.zeros((0, self.embedder.card.embedding_dim), np.float32)
        return np.concatenate([nothing, *(photo.vectors for photo in found)])

    def faces(self, photo: PhotoInput) -> list[Face]:
        """All faces of a photo, the main one first, each with its `vector`; none is an empty list.

        Raises ImageError for a photo that cannot be read.
        """
        (found,) = self.photos([photo_of(photo)])
        if found.error is not None and not isinstance(found.error, NoFaceError):
            raise found.error
        return [dataclasses.replace(face, vector=row) for face, row in zip(found.faces, found.vectors, strict=True)]

    def photos(self, photos: Sequence[AnyPhoto], *, aligned: bool = False, main_only: bool = False) -> list[Photo]:
        """Faces and vectors of each photo; one that cannot be used carries its error."""
        detector = self._taking_crops if aligned else self.detector
        return list(embed_photos(photos, detector, self.embedder, main_only=main_only))


def load(model: str | Path | None = None, *, detector: Detector | DetectorSettings | None = None) -> FaceModel:
    """A model ready to embed faces: a model folder, a FILE.onnx or FILE.xml, or a shipped model by its name.

    model: None or "default" is the shipped model, "int8" and "one-view" are faster versions of it. detector: how faces
    are found; by default MTCNN. Raises ModelError naming what is missing or broken, and for a model that classifies.

    >>> import facerec
    >>> len(facerec.load("int8").faces("gallery/people/Joe Biden/blue_room_2010.jpg"))
    1
    """
    embedder = load_embedder(None if model is None else str(model))
    return FaceModel(embedder, usable_detector(detector, embedder.card.input_size))
