"""What the API and the page both do: questions and changes on one open gallery, with the model warm. No HTTP here.

Every method is plain and blocks. An endpoint runs it by `ask` or `change`:

    found = await service.ask(service.identify, photos)
    await service.change(caller.by, service.rename, 7, "Ann Lee")
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from threading import Lock
from typing import ParamSpec, Self, TypeVar

import numpy as np

from facerec.decision.decide import Verification, choose_pair_threshold, choose_threshold, decide_photo
from facerec.errors import ConfigError, NoFaceError
from facerec.evaluation.operating_points import Point
from facerec.faces.detector import Detector, faces_in_photos
from facerec.faces.quality import measure
from facerec.faces.settings import DetectorSettings
from facerec.gallery import enrolled, erasure, maintenance, unknown_faces, vetoes
from facerec.gallery.address import Place
from facerec.gallery.audit_log import LogEntry, made_by
from facerec.gallery.gallery import Gallery
from facerec.gallery.layout import is_there
from facerec.gallery.proof import Proof, remove_and_prove
from facerec.gallery.queries import PersonSummary, StoredTemplate
from facerec.gallery.store import Who
from facerec.inference.embedder import Embedder
from facerec.inference.loading import load_embedder
from facerec.inference.pipeline import embed_photos
from facerec.photos.crops import encode_png
from facerec.photos.memory import AnyPhoto
from facerec.recognition import answers
from facerec.recognition.answers import Json
from facerec.recognition.enroll import Enrollment, enroll
from facerec.recognition.identify import (
    Identification,
    State,
    detector_for,
    identify,
    measured_threshold,
    open_gallery,
    state_of,
    verify,
)
from facerec.recognition.not_same import NotSame, not_same
from facerec.recognition.review import review
from facerec.recognition.seen_face import SeenFace, enroll_seen, keep_held_back, keep_unknown, kept_face, seen_faces
from facerec.recognition.waiting import AmongEnrolled, Waiting, among_enrolled, waiting
from facerec.server.costs import Costs
from facerec.server.pool import Pool, SharedDetector, SharedEmbedder
from facerec.server.problems import without_folder
from facerec.server.results import Enrolling, Removed, Seen, by_photo
from facerec.text import how_many, printable
from facerec.types import Decision, Threshold

P = ParamSpec("P")
R = TypeVar("R")

BOUND, THREADS = 32, 4  # requests that are here at a time; questions that are worked on


class Service:
    """An open gallery, its model and detector, and the pool whose threads use them."""

    def __init__(
        self,
        gallery: Gallery,
        detector: Detector,
        embedder: Embedder,
        *,
        keep_unknown: int | None = None,
        bound: int = BOUND,
        threads: int = THREADS,
    ) -> None:
        """keep_unknown: for how many days unknown faces are kept; None: they are not. bound, threads: see `Pool`."""
        self.keep_unknown = keep_unknown
        self.gallery, self.pool, self.costs = gallery, Pool(bound, threads), Costs(gallery)
        self.detector, self.embedder = SharedDetector(detector), SharedEmbedder(embedder)
        self._looking = Lock()
        self._known: tuple[tuple[State, Threshold | None], AmongEnrolled] | None = None

    @classmethod
    def open(
        cls,
        folder: Place,
        model: str | None = None,
        detector: DetectorSettings | None = None,
        keep_unknown: int | None = None,
    ) -> Self:
        """Open a gallery, or make one that keeps crops. Raises as `Recogniser` does."""
        embedder, new = load_embedder(model), not is_there(folder)
        gallery = open_gallery(folder, embedder, create=True)
        if new:
            maintenance.keep_crops(gallery.store, True)
        finder = detector_for(gallery, detector, embedder.card.input_size)
        return cls(gallery, finder, embedder, keep_unknown=keep_unknown)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the work that was begun, and close the gallery."""
        self.pool.close()
        self.gallery.close()

    async def ask(self, question: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a method that changes nothing, in a thread."""
        return await self.pool.ask(question, *args, **kwargs)

    async def change(self, by: str | None, change: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a method that changes the gallery, one after the other. by: the key that the log names."""

        return await self.pool.change(_signed, by, change, *args, **kwargs)

    async def identify_and_keep(
        self, by: str | None, photos: Sequence[AnyPhoto], threshold: Threshold, top: int = 5
    ) -> list[Identification]:
        """As `identify`. If the server keeps unknown faces, that is a change, for which the log names `by`.

        It does not wait for the changes that were asked for before: no name is looked up for it.
        """
        found = await self.ask(self.identify, photos, threshold, top)
        if self.keep_unknown is not None:
            await self.ask(_signed, by, self.keep, photos, found)
        return found

    # ------------------------------------------------------------------------------------------------ questions

    def threshold(self, given: float | None = None, fpir: float | None = None) -> Threshold:
        """The threshold to identify by: one that is asked for, or that for a rate, or else the gallery's."""
        measured = None if given is not None else measured_threshold(self.gallery, fpir)
        return choose_threshold(given, measured, self.embedder.card.name)

    def identify(self, photos: Sequence[AnyPhoto], threshold: Threshold, top: int = 5) -> list[Identification]:
        """Every face of every photo; see `recognition.identify`. Nothing is kept; see `identify_and_keep`."""
        return list(identify(self.gallery, photos, self.detector, self.embedder, threshold, top))

    def decide(self, seen: SeenFace) -> Decision:
        """Who a face is that was seen before, without its photo."""
        assert seen.face.vector is not None
        found = self.gallery.search(seen.face.vector[None], 5)
        return decide_photo(found, self.threshold(), self.gallery.searched)[0]

    def verify(self, first: AnyPhoto, second: AnyPhoto, threshold: float | None = None) -> Verification:
        """Whether the main faces of two photos are one person's."""
        card = self.embedder.card
        limit = choose_pair_threshold(threshold, card.default_threshold, card.name)
        return verify(first, second, self.detector, self.embedder, limit)

    def faces(self, photos: Sequence[AnyPhoto]) -> list[Seen]:
        """The faces of each photo and their quality, without asking who they are."""
        return [
            Seen(found.path, tuple((face, measure(face)) for face in found.faces), found.remarks)
            if isinstance(found.faces, list)
            else Seen(found.path, (), found.remarks, str(found.faces))
            for found in faces_in_photos(photos, self.detector, len(photos))
        ]

    def people(self, containing: str = "", after: str = "", most: int | None = None) -> list[PersonSummary]:
        """People by name; see `enrolled.some`."""
        return enrolled.some(self.gallery.store, containing, after, most)

    def person(self, who: Who) -> PersonSummary:
        """One person."""
        return enrolled.person(self.gallery.store, who)

    def photos(self, who: Who) -> list[StoredTemplate]:
        """A person's photos, oldest first."""
        return enrolled.photos(self.gallery.store, who)

    def crop(self, who: Who, photo: int) -> bytes | None:
        """The crop of a person's photo as a PNG file; None where none is kept."""
        return enrolled.crop(self.gallery.store, who, photo)

    def numbers(self) -> dict[str, int]:
        """Everybody's number, by name."""
        return {person.name: person.number for person in self.gallery.people() if person.number is not None}

    def numbers_of(self, names: Iterable[str]) -> dict[str, int]:
        """The numbers of some people, by name: much quicker than `numbers` where many are enrolled."""
        return enrolled.numbers(self.gallery.store, names)

    def log(self) -> tuple[list[LogEntry], str]:
        """The audit log, oldest entry first, and its head hash."""
        return self.gallery.log()

    def keeps_crops(self) -> bool:
        """Whether the crops of what is enrolled are kept."""
        return enrolled.keeps_pictures(self.gallery.store)

    def calibration(self) -> Json:
        """The threshold and what sets it; where nobody is enrolled, the model's, and null for the rest."""
        fpir, given, _ = self.gallery.given()
        limit, found = self.gallery.threshold, self.gallery.calibration()
        line = {"threshold": limit and limit.distance, "threshold_source": limit and limit.source, "fpir": fpir}
        return line | (answers.calibrated(found) if found else {}) | {"given_strangers": given}

    def what_costs(self, rates: Sequence[float]) -> list[Json]:
        """The threshold for each rate of strangers, and the members it would miss; none where nobody is enrolled."""
        found = self.costs.at(tuple(sorted(set(rates))))
        return [] if found is None else [_cost(point) for point in found[1]]

    def require_gallery(self) -> None:
        """Raise GalleryError if the gallery cannot be read any more."""
        self.gallery.given()

    # ------------------------------------------------------------------------------------------------ what waits

    def waiting(self) -> Waiting:
        """What waits for a person to decide."""
        return waiting(self.gallery, self.embedder, self._among_enrolled())

    def _among_enrolled(self) -> AmongEnrolled:
        """What is doubtful among those enrolled, looked for once in each state of the gallery: it takes long."""
        with self._looking:
            state = state_of(self.gallery), self.gallery.threshold
            if self._known is None or self._known[0] != state:
                self._known = state, among_enrolled(self.gallery)
            return self._known[1]

    def unknown_crop(self, number: int) -> bytes:
        """The crop of a kept face as a PNG file; NotKeptError if it is not kept any more."""
        return encode_png(unknown_faces.crop_of(self.gallery.store, number))

    def enroll_unknown(self, who: Who, numbers: Sequence[int], *, force: bool = False) -> Enrolling:
        """Enroll kept faces as one person; see `seen_face.enroll_seen`. NotKeptError if one is not kept."""
        name, seen = self._name_of(who), self._unknown(numbers)
        return self._enrolled([self.enroll_seen(name, each, force=force) for each in seen])

    def veto_unknown(self, who: Who, numbers: Sequence[int]) -> int:
        """Remember that kept faces are not somebody; how many were not known. NotKeptError as above."""
        name, seen = self._name_of(who), self._unknown(numbers)
        return sum(self.gallery.veto(name, each.template()) for each in seen)

    def _unknown(self, numbers: Sequence[int]) -> list[SeenFace]:
        return [kept_face(*kept) for kept in unknown_faces.some_kept(self.gallery.store, numbers)]

    def keep(self, photos: Sequence[AnyPhoto], found: Sequence[Identification]) -> None:
        """Keep the unknown faces of photos until somebody says who they are. found: what `identify` found in them."""
        assert self.keep_unknown is not None
        until = unknown_faces.last_day(self.keep_unknown)
        for photo, own in zip(photos, by_photo(found), strict=True):
            keep_unknown(self.gallery, photo, own, until)

    def forget_unknown(self, numbers: Sequence[int] | None = None) -> int:
        """Delete kept faces from all files; all unless their numbers are given."""
        return unknown_faces.forget(self.gallery.store, numbers)

    # ------------------------------------------------------------------------------------------------ changes

    def enroll(
        self,
        who: Who,
        photos: Sequence[AnyPhoto],
        *,
        several: str = "main",
        face: int | None = None,
        force: bool = False,
        again: bool = False,
    ) -> Enrolling:
        """Enroll photos of one person; see `recognition.enroll`. who: a name, or the number of somebody enrolled.

        face: which face of a single photo is meant, as `identify` counts them; see `seen_face.enroll_seen`.
        """
        name = self._name_of(who)
        if face is not None:
            seen = self._face_in(photos, face)
            return self._enrolled([self.enroll_seen(name, seen, force=force, again=again)])
        rules = {"several": several, "force": force, "again": again}
        results = list(enroll(self.gallery, {name: photos}, self.detector, self.embedder, **rules))
        self._keep_held_back(results)
        return self._enrolled(results)

    def _name_of(self, who: Who) -> str:
        """A name as it is given, or that of somebody enrolled, by their number."""
        return enrolled.name_of(self.gallery.store, who) if isinstance(who, int) else who

    def _face_in(self, photos: Sequence[AnyPhoto], number: int) -> SeenFace:
        """A face of a single photo. ConfigError for several photos; ImageError or NoFaceError if it is not there."""
        if len(photos) != 1:
            raise ConfigError(f"`face` is for one photo, not for {len(photos)}; send them one by one")
        found = self.identify(photos, self.threshold())
        if found[0].error is not None:
            raise found[0].error
        if number >= len(found):
            raise NoFaceError(f"{printable(found[0].path)}: shows {how_many(len(found), 'face')}; the first is face 0")
        return seen_faces(photos[0], found)[number]

    def _enrolled(self, results: Sequence[Enrollment]) -> Enrolling:
        owners = [result.person for result in results if result.status != "failed"]
        person = enrolled.person(self.gallery.store, owners[0]) if owners else None
        return Enrolling(tuple(results), review(self.gallery, results), person)

    def _keep_held_back(self, results: Sequence[Enrollment]) -> None:
        """Keep the photos that were held back until somebody decides, if the server keeps unknown faces."""
        if self.keep_unknown is not None:
            for result in results:
                keep_held_back(self.gallery, result, unknown_faces.last_day(self.keep_unknown))

    def enroll_seen(self, who: str, seen: SeenFace, *, force: bool = False, again: bool = False) -> Enrollment:
        """Enroll one face that was seen; see `seen_face.enroll_seen`."""
        result = enroll_seen(self.gallery, who, seen, force=force, again=again)
        self._keep_held_back([result])
        return result

    def rename(self, who: Who, name: str) -> None:
        """Give a person another name."""
        enrolled.rename(self.gallery.store, who, name)

    def edit(self, who: Who, name: str | None, note: str | None, until: str | None) -> None:
        """Rename a person and note their consent and last day: all of it, or nothing where a value is unfit.

        None leaves a value as it is. UnknownPersonError for somebody who is not there.
        """
        enrolled.change(self.gallery.store, who, name=name, note=note, until=until)

    def merge(self, who: Who, into: Who) -> int:
        """Give all photos of a person to another; how many."""
        return enrolled.merge(self.gallery.store, who, into)

    def set_consent(self, who: Who, note: str | None = None, until: str | None = None) -> None:
        """Note what a person agreed to, and their last day; see `enrolled.set_consent`."""
        enrolled.set_consent(self.gallery.store, who, note, until)

    def remove(self, who: Who, photo: int | None = None) -> Removed:
        """Remove a person, or one photo of theirs, from every file of the gallery."""
        removal = erasure.remove(self.gallery.store, who, photo)
        return Removed(removal, erasure.data_may_remain(self.gallery.store))

    def remove_and_prove(self, who: Who) -> Proof:
        """Remove a person, and search the files for what is left of them. Problems do not say where the gallery is."""
        proof, folder = remove_and_prove(self.gallery.store, who), self.gallery.folder
        return dataclasses.replace(proof, problems=tuple(without_folder(each, folder) for each in proof.problems))

    def plan_removal(self, who: Who, photo: int | None = None) -> Removed:
        """What `remove` would take out; nothing is changed."""
        return Removed(erasure.plan_removal(self.gallery.store, who, photo), remains=False)

    def not_same(self, who: Who, photo: AnyPhoto) -> NotSame:
        """Remember that the face in a photo is not this person; see `recognition.not_same`."""
        name = enrolled.name_of(self.gallery.store, who)
        return not_same(self.gallery, photo, name, self.detector, self.embedder, self.gallery.threshold)

    def set_apart(self, one: Who, other: Who) -> bool:
        """Remember that two people are two."""
        return vetoes.set_apart(self.gallery.store, one, other)

    def unite(self, one: Who, other: Who) -> bool:
        """Take back that two people are two; whether it had been said."""
        return vetoes.forget_apart(self.gallery.store, one, other)

    def keep_crops(self, keep: bool) -> None:
        """Keep the crops of what is enrolled from now on, or delete all; see `maintenance.keep_crops`."""
        maintenance.keep_crops(self.gallery.store, keep)

    def set_target(self, fpir: float) -> None:
        """Set the share of strangers who may be taken for somebody; ConfigError unless it is between 0 and 1."""
        self.gallery.set_calibration(fpir)

    def set_strangers(self, photos: Sequence[AnyPhoto]) -> int:
        """Let every face of some photos set the threshold, in place of those given before; how many there are.

        No photo: only the model's strangers set it. NoFaceError if not one of the photos has a face.
        """
        vectors = [np.zeros((0, self.embedder.card.embedding_dim), np.float32)]
        vectors += [photo.vectors for photo in embed_photos(photos, self.detector, self.embedder)]
        if photos and not any(map(len, vectors)):
            raise NoFaceError("strangers: not one of the photos has a usable face; give others")
        self.gallery.set_calibration(strangers=np.concatenate(vectors), source="given to the server" if photos else "")
        return sum(map(len, vectors))


def _signed(by: str | None, change: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Change the gallery as the key that the log names."""
    with made_by(by):
        return change(*args, **kwargs)


def _cost(point: Point) -> Json:
    """A rate of strangers and its price, as the API's `Cost`."""
    missed = point.missed and {**dataclasses.asdict(point.missed), "rate": point.missed.rate}
    made = point.calibration
    return {"fpir": point.fpir, "threshold": made.distance, "fpir_ci95": list(made.interval), "missed": missed}
