"""The Python face of facerec: one object over a gallery, a model and a detector.

    import facerec

    with facerec.Recogniser("club", create=True) as club:
        club.enroll("people/")
        for face in club.identify("party.jpg"):
            print(face.person or "unknown", face.distance, face.reason)

A photo is a path, the bytes of an image file, a PIL image, or an (H, W, 3) uint8 RGB array. Several threads may use one
Recogniser. Distances are squared Euclidean between unit vectors, from 0 (alike) to 4.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Self

import numpy as np

from facerec.decision.calibration import Calibration
from facerec.decision.decide import Verification, choose_pair_threshold, choose_threshold
from facerec.errors import ConfigError, GalleryError, ImageError, NoFaceError
from facerec.faces.detector import Detector
from facerec.faces.settings import DetectorSettings
from facerec.gallery.address import Place, is_address, place_of
from facerec.gallery.names import require_text
from facerec.gallery.queries import PersonSummary
from facerec.inference.face_model import FaceModel, load
from facerec.photos.folders import identity_folders
from facerec.photos.memory import AnyPhoto, PhotoInput, are_several, photo_of, photos_of
from facerec.photos.streams import frames_of
from facerec.photos.video_files import EVERY, require_every, require_source, source_of
from facerec.recognition.enroll import Enrollment, enroll
from facerec.recognition.identify import Identification, detector_for, identify, open_gallery, verify
from facerec.recognition.live import TrackEvent, Watcher, watch
from facerec.recognition.not_same import NotSame, not_same
from facerec.recognition.review import Alike, OneReason, for_one_reason, review
from facerec.settings import path_setting, require_whole
from facerec.text import Brief, how_many, printable
from facerec.types import Threshold

People = str | Path | Mapping[str, Iterable[PhotoInput]]
"""A folder with one sub-folder of photos per person, or each person's name and photos."""


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class EnrollmentSummary(Brief):
    """What became of an enrollment.

    results: every photo's, in order. alike: pairs of people who may be one. misplaced: enrolled photos that may be of
    somebody else, each with the reason. for_one_reason: people all or most of whose photos failed for one reason, such
    as a renamed folder. threshold: the gallery's, after it.

    >>> import facerec
    >>> with facerec.Recogniser("club", create=True) as club:
    ...     print(club.enroll("gallery/people"))
    4 photos: 4 added, 0 skipped, 0 failed
    """

    results: tuple[Enrollment, ...]
    alike: tuple[Alike, ...]
    misplaced: tuple[tuple[Path, str], ...]
    for_one_reason: tuple[OneReason, ...]
    threshold: Threshold | None

    @property
    def added(self) -> int:
        """How many photos are new in the gallery."""
        return self._count("added")

    @property
    def skipped(self) -> int:
        """How many photos were enrolled before."""
        return self._count("skipped")

    @property
    def failed(self) -> tuple[Enrollment, ...]:
        """The photos that could not be enrolled; each has its `reason`."""
        return tuple(result for result in self.results if result.status == "failed")

    def _count(self, status: str) -> int:
        return sum(result.status == status for result in self.results)

    def __str__(self) -> str:
        counts = f"{self.added} added, {self.skipped} skipped, {len(self.failed)} failed"
        return f"{how_many(len(self.results), 'photo')}: {counts}"


class Recogniser:
    """An open gallery with its model: enroll people, identify photos, verify two.

    >>> import facerec
    >>> with facerec.Recogniser("club", create=True) as club:
    ...     _ = club.enroll({"Grace Hopper": ["gallery/people/Grace Hopper/official_portrait_1984.jpg"]})
    ...     [face.person for face in club.identify("gallery/strangers/eileen_collins_astronaut.jpg")]
    [None]
    """

    def __init__(
        self,
        gallery: str | Place,
        *,
        create: bool = False,
        model: str | Path | None = None,
        detector: Detector | DetectorSettings | None = None,
        passphrase: str | None = None,
    ) -> None:
        """Open the gallery in a folder, or at an address on a server (`postgresql://user@host/database`).

        create: make an empty gallery where there is none. model, detector: see `facerec.load`; unless a detector is
        named, the one that cut the gallery's crops is used. passphrase: of an
        encrypted gallery, by default $FACEREC_PASSPHRASE; a gallery that is made here is encrypted with it. Raises
        GalleryError where there is no gallery or it cannot be opened, also for a wrong passphrase; PassphraseError
        where an encrypted gallery gets no passphrase, or another gallery gets one; ForeignModelError where the gallery
        holds vectors of another model, ForeignDetectorError where another detector cut its crops; ModelError for a
        model that cannot be used.
        """
        place = place_of(gallery) if is_address(gallery) else path_setting(gallery, "gallery").absolute()
        embedder = load(model, detector=detector).embedder
        with ExitStack() as opening:
            opened = open_gallery(place, embedder, create=create, passphrase=passphrase)
            self.gallery = opening.enter_context(opened)
            self._model = FaceModel(embedder, detector_for(self.gallery, detector, embedder.card.input_size))
            opening.pop_all()

    def __repr__(self) -> str:
        try:
            people = how_many(len(self.gallery), "person", "people")
        except GalleryError:
            people = "closed"
        model = self._model.embedder.card.name
        return printable(f"Recogniser({self.gallery.folder}, {people}, model {model})")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the gallery's files, and keep a backup copy if something was changed."""
        self.gallery.close()

    # ------------------------------------------------------------------------------------------------ changes

    def enroll(
        self, people: People, *, several: str = "main", force: bool = False, again: bool = False
    ) -> EnrollmentSummary:
        """Enroll people's photos and say what became of each; what can be used is enrolled, the rest is reported.

        people: a folder of one sub-folder per person, or {name: photos}. several: "main" enrolls the main
        face of a photo with several faces, "refuse" none. force: also enroll poor photos, those that are nearer to
        somebody else, and those of new people whose name and face are like somebody's. again: also enroll what was
        removed.
        """
        results = tuple(self.iter_enroll(people, several=several, force=force, again=again))
        found = review(self.gallery, results)
        reasons, threshold = for_one_reason(self.gallery, results), self.gallery.threshold
        return EnrollmentSummary(results, found.alike, found.misplaced, reasons, threshold)

    def iter_enroll(
        self, people: People, *, several: str = "main", force: bool = False, again: bool = False
    ) -> Iterator[Enrollment]:
        """As `enroll`, photo by photo: each result comes once the gallery holds the photo for good."""
        photos = _photos_by_person(people)
        return enroll(
            self.gallery,
            photos,
            self._model.detector,
            self._model.embedder,
            several=several,
            force=force,
            again=again,
        )

    def remove(self, name: str, photo: PhotoInput | None = None) -> int:
        """Forget a person, or one photo of theirs, and leave nothing of it in the gallery's files.

        photo: the wrong photo; if its file is gone or changed, the path it was enrolled from, or the beginning of its
        hash. The person goes with their last photo. Returns how many photos went. Raises UnknownPersonError where
        nobody has the name, GalleryError where the photo is none of theirs.
        """
        return self.gallery.remove(require_text(name), None if photo is None else photo_of(photo))

    def not_same(self, photo: PhotoInput, name: str) -> NotSame:
        """Remember that a face is not this person: it, and faces like it, are never again identified as them.

        If there are several faces, the one that is identified as the person is meant; saying it again adds no other.
        The gallery keeps the face until the person is removed, or until `facerec gallery not-same --forget`.
        UnknownPersonError where nobody has the name; GalleryError where none of several faces is taken for the person,
        or the person is enrolled with this photo; ImageError or NoFaceError for a photo that cannot be used.
        """
        model, limit = self._model, self.gallery.threshold
        return not_same(self.gallery, photo_of(photo), name, model.detector, model.embedder, limit)

    def not_same_people(self, one: str, other: str) -> bool:
        """Remember that two people are two, however alike they look; False if that was known.

        UnknownPersonError where nobody has one of the names, GalleryError where both name the same person.
        """
        return self.gallery.set_apart(require_text(one), require_text(other))

    def calibrate(self, fpir: float | None = None, strangers: Iterable[PhotoInput] | None = None) -> Calibration | None:
        """Set the gallery's target and its strangers, and return the threshold they lead to.

        fpir: how many of all strangers may be taken for somebody enrolled (false positive identification rate, between
        0 and 1); by default the target stays. strangers: photos of people who are not enrolled, every face of which
        counts; they replace those given before. None without strangers or people. Raises ConfigError for a rate not
        between 0 and 1, NoFaceError where no photo of `strangers` has a face.
        """
        vectors = None if strangers is None else self._vectors_of(strangers)
        if fpir is not None or vectors is not None:
            self.gallery.set_calibration(fpir, strangers=vectors, source="given from Python")
        return self.gallery.calibration()

    # ------------------------------------------------------------------------------------------------ questions

    def identify(self, photo: PhotoInput, *, top: int = 5) -> list[Identification]:
        """Every face in a photo and who it is, the main face first; no face is an empty list.

        top: how many candidates each decision lists at least, 1 or more. Raises ImageError for a photo that cannot be
        read, ConfigError for another `top`.
        """
        if are_several(photo):
            raise ImageError(f"photo: {type(photo).__name__} is no photo; give several photos to iter_identify")
        found = list(self.iter_identify([photo], top=top))
        error = found[0].error
        if error is None:
            return found
        if isinstance(error, NoFaceError):
            return []
        raise error

    def iter_identify(self, photos: Iterable[PhotoInput], *, top: int = 5) -> Iterator[Identification]:
        """The faces of many photos, as they come; a photo without a face or that cannot be read says so in `error`."""
        require_whole(top, "top", 1)
        limit = choose_threshold(None, self.gallery.threshold, self._model.embedder.card.name)
        return identify(self.gallery, photos_of(photos), self._model.detector, self._model.embedder, limit, top)

    def watch(self, source: str | Path, *, every_seconds: float = EVERY, top: int = 5) -> Iterator[TrackEvent]:
        """Who appears, is identified and leaves in a video, as it happens (`live.TrackEvent`).

        source: a video file, the number of a webcam ("0") or the address of a stream (rtsp://, http://), which go on
        until the iterator is closed. every_seconds: between two pictures that are looked at. top: as for `identify`.
        Needs the extra `video`. Raises ImageError for a source that cannot be read, ConfigError for a folder and for
        another `top` or `every_seconds`.
        """
        require_whole(top, "top", 1)
        require_every(every_seconds)
        limit = choose_threshold(None, self.gallery.threshold, self._model.embedder.card.name)
        require_source(str(source))
        where = source_of(str(source))
        if where.kind == "folder":
            raise ConfigError(f"{printable(where.name)}: a folder is no video; give the videos in it, one by one")
        parts = (self.gallery, self._model.detector, self._model.embedder, limit, Path(where.name), top)
        return watch(frames_of(where, Event(), every_seconds), Watcher(*parts))

    def verify(self, photo: PhotoInput, other: PhotoInput) -> Verification:
        """Whether the main faces of two photos are one person's, by the threshold on the model's card.

        The gallery's threshold is for searches and depends on who is enrolled. Raises NoFaceError or ImageError for a
        photo that cannot be used, ConfigError where the card states no usable threshold.
        """
        card = self._model.embedder.card
        limit = choose_pair_threshold(None, card.default_threshold, card.name)
        first, second = photo_of(photo, "first photo"), photo_of(other, "second photo")
        return verify(first, second, self._model.detector, self._model.embedder, limit)

    def people(self) -> list[PersonSummary]:
        """Everybody in the gallery, by name, with how many photos they have."""
        return self.gallery.people()

    @property
    def threshold(self) -> Threshold | None:
        """The largest distance that counts as the same person now, and where it comes from."""
        return self.gallery.threshold

    def _vectors_of(self, strangers: Iterable[PhotoInput]) -> np.ndarray:
        found = self._model.photos(list(photos_of(strangers, "stranger", "strangers")))
        if not any(photo.faces for photo in found):
            raise NoFaceError("strangers: not one of the photos has a usable face; give others")
        return np.concatenate([photo.vectors for photo in found])


def _photos_by_person(people: People) -> dict[str, list[AnyPhoto]]:
    if isinstance(people, str | Path):
        return {name: list(photos) for name, photos in identity_folders(path_setting(people, "people")).items()}
    if not isinstance(people, Mapping):
        raise ConfigError(f"people: a folder, or a mapping of names to photos, not {type(people).__name__}")
    return {name: list(photos_of(photos, name, printable(name))) for name, photos in people.items()}
