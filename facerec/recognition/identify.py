"""The way of a photo: read, detect, embed, then enroll it, search it, or compare it with another; or read, classify."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from facerec.decision.calibration import DEFAULT_FPIR
from facerec.decision.decide import Verification, decide_photo, same_person
from facerec.decision.posterior import posterior
from facerec.errors import ConfigError, FacerecError, GalleryError
from facerec.faces.detector import Detector, name_of, usable_detector
from facerec.faces.quality import Quality, measure
from facerec.faces.settings import DETECTORS, DetectorSettings
from facerec.gallery.address import Place
from facerec.gallery.encryption import encrypt
from facerec.gallery.gallery import Gallery
from facerec.gallery.layout import is_there
from facerec.gallery.queries import generation_of
from facerec.gallery.schema import scalar, version_of
from facerec.inference.embedder import Embedder
from facerec.inference.pipeline import embed_photos
from facerec.models.cohort import load_cohort
from facerec.photos.memory import AnyPhoto
from facerec.text import UNKNOWN, Brief, main_of_several, printable
from facerec.types import Box, Decision, Face, Photo, Threshold
from facerec.vectors import paired_distances


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Identification(Brief):
    """One face of a photo and who it is; for a photo without a usable face, `face` is None and `error` says why.

    position: the face's number in the photo; 0 is the main face. face: with its vector. quality: the face's.
    remarks: the photo's, as `types.Photo` has them. Of a video, it is somebody followed through it (`live`): face is
    their best one, position their number, seconds from when to when they were seen; None for a photo.

    >>> import facerec
    >>> with facerec.Recogniser("club", create=True) as club:
    ...     _ = club.enroll({"Joe Biden": ["gallery/people/Joe Biden/blue_room_2010.jpg"]})
    ...     (face,) = club.identify("gallery/people/Joe Biden/blue_room_2010.jpg")
    >>> face.person, round(face.distance, 3), face.position
    ('Joe Biden', 0.0, 0)
    """

    path: Path
    position: int
    face: Face | None
    decision: Decision | None
    error: FacerecError | None = None
    quality: Quality | None = None
    remarks: tuple[str, ...] = ()
    seconds: tuple[float, float] | None = None

    @property
    def person(self) -> str | None:
        """The name; None for an unknown face, and where there is no face."""
        return None if self.decision is None else self.decision.person

    @property
    def distance(self) -> float | None:
        """To the nearest person, 0 to 4; None where there is no face or nobody to compare with."""
        return None if self.decision is None else self.decision.distance

    @property
    def reason(self) -> str:
        """One sentence: why this person or nobody, or why the photo cannot be used; "" while there is no answer yet."""
        return str(self.error or "") if self.decision is None else self.decision.reason

    def __str__(self) -> str:
        if self.error is not None:
            return str(self.error)
        return f"{printable(self.path)}: {self.person or UNKNOWN} ({self.reason})"


def identify(
    gallery: Gallery,
    photos: Iterable[AnyPhoto],
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
    for photo in embed_photos(photos, detector, embedder):
        if photo.error is not None:
            yield Identification(photo.path, 0, None, None, photo.error, remarks=photo.remarks)
        # Each face can lose as many people to the others as there are, and then has a next and a runner-up.
        found = gallery.search(photo.vectors, max(top, len(photo.faces) + 1)) if photo.faces else []
        decisions = decide_photo(found, threshold, gallery.searched, probability)
        faces = [replace(face, vector=row) for face, row in zip(photo.faces, photo.vectors, strict=True)]
        for position, (face, decision) in enumerate(zip(faces, decisions, strict=True)):
            yield Identification(photo.path, position, face, decision, None, measure(face), photo.remarks)


def measured_threshold(gallery: Gallery, fpir: float | None = None) -> Threshold | None:
    """The gallery's threshold, or the one for another rate `fpir` of strangers taken for somebody; None if unknown.

    Raises ConfigError where somebody is enrolled and there are no strangers to measure that rate by.
    """
    if fpir is None:
        return gallery.threshold
    calibration = gallery.calibration(fpir)
    if calibration is None and len(gallery):
        raise ConfigError("no strangers to calibrate with; give `threshold`, or `facerec calibrate --strangers DIR`")
    return gallery.threshold if calibration is None else calibration.threshold


State = tuple[str, float, tuple[Any, ...]]


def state_of(gallery: Gallery) -> State:
    """A value that is the same only while the people, the strangers and the target rate of a gallery are."""
    with gallery.store.read() as db:
        known = db.execute("SELECT checksum FROM strangers").fetchall() if version_of(db) > 1 else ()
        return generation_of(db), scalar(db, "SELECT fpir FROM gallery"), tuple(checksum for (checksum,) in known)


class PresentThreshold:
    """The threshold of a gallery that may change meanwhile: chosen anew in each state of the gallery."""

    def __init__(self, gallery: Gallery, choose: Callable[[], Threshold]) -> None:
        """choose: looks at the gallery. It is called now, so that its errors come at once."""
        self._gallery, self._choose = gallery, choose
        self._state, self._chosen = state_of(gallery), choose()

    def __call__(self) -> Threshold:
        """The threshold now. Raises as `choose` does."""
        if (state := state_of(self._gallery)) != self._state:
            self._chosen, self._state = self._choose(), state
        return self._chosen


def annotate(results: Iterable[Identification], folder: Path) -> Iterator[Identification]:
    """Pass `identify`'s results on, and once a photo's are through, write it to `folder` with its faces named.

    A photo without a face has no copy, one that is given twice has one. Raises as `save_annotated`; call `ready_folder`
    before the work begins.
    """
    from facerec.photos.drawing import save_annotated  # fonts take time to load

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


def verify(a: AnyPhoto, b: AnyPhoto, detector: Detector, embedder: Embedder, threshold: Threshold) -> Verification:
    """Whether the main faces of two photos are one person's; raises the error of a photo that cannot be used."""
    first, second = embed_photos([a, b], detector, embedder, main_only=True)
    for photo in (first, second):
        if photo.error is not None:
            raise photo.error
    answer = same_person(float(paired_distances(first.vectors, second.vectors)[0]), threshold)
    return replace(answer, remarks=(*_odd(first), *_odd(second)))


def _odd(photo: Photo) -> list[str]:
    """Return what is odd about a photo that is compared, each with the photo's name."""
    remarks = (*photo.remarks, *main_of_several(len(photo.faces) + photo.others, "is compared"))
    return [f"{printable(photo.path)}: {remark}" for remark in remarks]


def open_gallery(folder: Place, embedder: Embedder, *, create: bool = False, passphrase: str | None = None) -> Gallery:
    """Open a gallery for use with this model and its cohort of strangers.

    A new gallery is encrypted if a passphrase is given. Raises ForeignModelError when it holds another model's vectors,
    ModelError for a broken cohort.
    """
    card = embedder.card
    cohort = load_cohort(embedder.path, card)
    if create and passphrase is not None and not is_there(folder):
        encrypt(folder, passphrase)
    gallery = Gallery.open(folder, create=create, passphrase=passphrase)
    try:
        gallery.bind_model(card.fingerprint, card.name, card.embedding_dim, card.default_threshold, cohort)
    except GalleryError:
        gallery.close()
        raise
    return gallery


def detector_for(gallery: Gallery, wanted: Detector | DetectorSettings | None, crop_size: int) -> Detector:
    """The detector for photos that go to a gallery: the one that is wanted; if none is named, the gallery's own.

    Raises ForeignDetectorError where another one cut the gallery's crops, ConfigError as `usable_detector` does.
    """
    if wanted is None or isinstance(wanted, DetectorSettings):
        wanted = wanted or DetectorSettings()
        own = gallery.detector if gallery.detector in DETECTORS else None
        wanted = replace(wanted, detector=wanted.detector or own)
    detector = usable_detector(wanted, crop_size)
    gallery.bind_detector(name_of(detector))
    return detector
