"""The `Detector` protocol, a detector for aligned crops, and the detection of faces in batches of photos."""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol

from facerec.errors import ConfigError, ImageError
from facerec.faces.aligned import CropCheck
from facerec.faces.alignment import template
from facerec.faces.settings import DetectorSettings
from facerec.models.card import ModelCard
from facerec.photos.ahead import Read, batches_of, worked_ahead
from facerec.photos.crops import aligned_crop
from facerec.photos.memory import AnyPhoto
from facerec.photos.reading import Reading
from facerec.text import printable
from facerec.types import Face, Image

log = logging.getLogger(__name__)


class Detector(Protocol):
    """What finds faces in photos. MTCNN is one; any class with this method will do."""

    def detect(self, images: Sequence[Image]) -> list[list[Face]]:
        """The faces of each (H, W, 3) uint8 RGB photo, the main face first. Photos may differ in size."""
        ...


def name_of(detector: Detector) -> str | None:
    """The name by which galleries know a detector: its attribute `name`. None for one without, which they trust.

    Raises ConfigError for a name that is no printable text.
    """
    name = getattr(detector, "name", None)
    if name is not None and not (isinstance(name, str) and name and name.isprintable()):
        raise ConfigError(f"detector: its name {name!a:.40} is no printable text; give it another, or none")
    return name


class PhotoFaces(NamedTuple):
    """A photo's faces, the main one first, or why it cannot be used; and its remarks, as `types.Photo` has them."""

    path: Path
    faces: list[Face] | ImageError
    remarks: tuple[str, ...] = ()


class AlignedDetector:
    """For inputs that are aligned crops already: each is one face with confidence 1."""

    def __init__(self, crop_size: int = 112, known: bool = False) -> None:
        """known: it is known that the photos are aligned crops, so none is doubted."""
        self.crop_size = crop_size
        self._check = None if known else CropCheck()

    def faults(self, photos: Sequence[tuple[Path, Image]]) -> list[str | None]:
        """For each photo, why it is no aligned crop, see `CropCheck`; raises DataError if the first are mostly none."""
        return self._check.faults(photos) if self._check else [None] * len(photos)

    def detect(self, images: Sequence[Image]) -> list[list[Face]]:
        """One face for each image; raises ImageError for an image that is not square."""
        return [[self._face(image)] for image in images]

    def _face(self, image: Image) -> Face:
        crop = aligned_crop(image, self.crop_size)
        side = image.shape[0]
        whole = 112 if side == 112 else 128
        points = (template(whole) + 0.5) * (side / whole) - 0.5
        return Face(crop=crop, box=(0.0, 0.0, float(side), float(side)), landmarks=points, confidence=1.0)


def make_detector(crop_size: int, aligned: bool = False, settings: DetectorSettings = DetectorSettings()) -> Detector:
    """A detector of faces in photos or, for inputs that are `aligned` crops, one that takes them as they are.

    crop_size: side of the crops it gives, in pixels. settings: how faces are looked for in photos.
    """
    if aligned:
        log.info("detector: none, the photos are aligned crops")
        return AlignedDetector(crop_size)
    began = time.monotonic()
    if settings.detector == "yunet":
        from facerec.faces.yunet import YuNetDetector as Chosen
    else:
        from facerec.faces.mtcnn import MTCNNDetector as Chosen

    size, confidence, took = settings.min_face_size, settings.min_confidence, time.monotonic() - began
    said = "detector: %s for faces from %d pixels and confidence %g, loaded in %.1f s"
    log.info(said, Chosen.name, size, confidence, took)
    return Chosen(settings, crop_size)


def usable_detector(given: Detector | DetectorSettings | None, crop_size: int) -> Detector:
    """The detector that a program gave, or one with the settings that it gave; crop_size: for that one's crops.

    Raises ConfigError for what is neither.
    """
    if given is None or isinstance(given, DetectorSettings):
        return make_detector(crop_size, settings=given or DetectorSettings())
    if not callable(getattr(given, "detect", None)):
        raise ConfigError(
            f"detector: {given!a:.80} finds no faces; give `DetectorSettings`, or an object that can `detect`"
        )
    return given


def detector_for(
    card: ModelCard, aligned: bool = False, settings: DetectorSettings = DetectorSettings()
) -> Detector | None:
    """As `make_detector` for the crops that the model of this card reads; None where it reads whole pictures.

    Raises ConfigError for whole pictures that are said to be `aligned`.
    """
    if card.mode == "metric":
        return make_detector(card.input_size, aligned, settings)
    if aligned:
        raise ConfigError(f"{card.name} looks at whole pictures and finds no faces; leave out `aligned`")
    return None


def faces_in_photos(photos: Iterable[AnyPhoto], detector: Detector, batch_size: int) -> Iterator[PhotoFaces]:
    """Read photos and detect their faces, in order, `batch_size` photos at a time (fewer if they are large).

    A photo that cannot be read, or that the detector refuses, yields its ImageError instead of faces. Reading and
    detecting run ahead, each in a thread (`photos.ahead`).
    """
    for found in faces_in_batches(batches_of(photos, batch_size), detector):
        yield from found


def faces_in_batches(batches: Iterable[Sequence[AnyPhoto]], detector: Detector) -> Iterator[list[PhotoFaces]]:
    """As `faces_in_photos`, for each of the batches, which may be empty."""
    return worked_ahead(batches, lambda photos: [*_detect_batch(photos, detector)])


def _detect_batch(batch: Sequence[Read], detector: Detector) -> Iterator[PhotoFaces]:
    if isinstance(detector, AlignedDetector):
        batch = _without_raw(batch, detector)
    found = iter(_faces_or_errors([photo.image for _, photo in batch if not isinstance(photo, ImageError)], detector))
    for path, photo in batch:
        if isinstance(photo, ImageError):
            yield PhotoFaces(path, photo)
            continue
        faces = next(found)
        if isinstance(faces, ImageError):
            yield PhotoFaces(path, ImageError(f"{printable(path)}: {faces}"), photo.remarks)
            continue
        turned = {face.turned: f"turned by {face.turned}° to find the face" for face in faces if face.turned}
        yield PhotoFaces(path, [_in_full(face, photo.scale) for face in faces], (*photo.remarks, *turned.values()))


def _in_full(face: Face, scale: int) -> Face:
    """A face that was found in a photo of 1 / `scale` of its size, in pixels of the photo."""
    if scale == 1:
        return face
    x1, y1, x2, y2 = (side * scale for side in face.box)
    return replace(face, box=(x1, y1, x2, y2), landmarks=(face.landmarks + 0.5) * scale - 0.5)


def _without_raw(batch: Sequence[Read], detector: AlignedDetector) -> list[Read]:
    """The batch, with an error in place of each photo that is no aligned crop."""
    faults = iter(detector.faults([(path, photo.image) for path, photo in batch if isinstance(photo, Reading)]))
    return [
        (path, _raw(path, fault) if isinstance(photo, Reading) and (fault := next(faults)) else photo)
        for path, photo in batch
    ]


def _raw(path: Path, fault: str) -> ImageError:
    return ImageError(f"{printable(path)}: no aligned crop: {fault}; give its crop, or leave out `aligned`")


def _faces_or_errors(images: list[Image], detector: Detector) -> list[list[Face] | ImageError]:
    """Each image's faces. If the detector refuses the batch, it is asked again about each image by itself."""
    try:
        return [*detector.detect(images)] if images else []
    except ImageError as error:
        return [error] if len(images) == 1 else [each for one in images for each in _faces_or_errors([one], detector)]
