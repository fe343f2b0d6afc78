"""Give a gallery another model: every template is embedded anew, from the crop kept of it, else from its photo.

Or give it another detector, or both: then every template is cut anew, from its photo.

    with open_model_change(folder, embedder) as change:
        for each in migrate(change, detector, embedder):
            ...                                             # a Step for every template, at the end the Report

The gallery changes once all vectors are there. After a run that was killed, the next one goes on where it stopped.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from facerec.errors import GalleryError, ImageError
from facerec.evaluation.self_search import SelfSearch, search_itself
from facerec.faces.detector import AlignedDetector, Detector, faces_in_photos, name_of
from facerec.gallery import enrolled
from facerec.gallery.address import Place
from facerec.gallery.model_change import ModelChange, NewVector, NextModel, Outstanding
from facerec.inference.embedder import Embedder
from facerec.inference.pipeline import BATCH
from facerec.models.cohort import load_cohort
from facerec.photos.crops import fitted_crop
from facerec.photos.folders import find_photos, photo_hash
from facerec.text import Brief, printable
from facerec.types import Box, Face, Image

SAME_FACE = 0.5  # intersection over union of a face's box with the one that was stored, at least
_REMEDY = "put the photo that was enrolled back, or give the folder it is in now as `photos`"


@dataclass(frozen=True, slots=True, repr=False)
class Step(Brief):
    """One template: where its face was taken from, "crop" or "photo"; or why it cannot be migrated."""

    person: str
    source: str
    taken_from: str | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Loss:
    """Somebody of whose `templates` so many cannot be migrated; all of them: they would not be enrolled any more."""

    person: str
    lost: int
    templates: int


@dataclass(frozen=True, slots=True, repr=False)
class Report(Brief):
    """What a migration came to.

    migrated: the gallery is of the new model now; False: it is as it was. reused: vectors an earlier run had made.
    before, after: the gallery's figures with either model; both None where somebody is lost and may not be left out.
    strangers_dropped: how many strangers given to `facerec calibrate` go, since their vectors are the old model's.
    vetoes: how many vetoed faces have a new vector. vetoes_dropped: those that cannot be migrated. old_detector,
    new_detector: what cut the crops, and what cuts them then; None where that is not known.
    """

    migrated: bool
    old_model: str | None
    new_model: str
    fingerprint: str
    crops: int
    photos: int
    reused: int
    losses: tuple[Loss, ...]
    before: SelfSearch | None = None
    after: SelfSearch | None = None
    strangers_dropped: int = 0
    vetoes: int = 0
    vetoes_dropped: tuple[Step, ...] = ()
    old_detector: str | None = None
    new_detector: str | None = None


def open_model_change(folder: Place, embedder: Embedder, detector: str | None = None) -> ModelChange:
    """Open a gallery to give it another model or detector; GalleryError where it has both already.

    detector: the name of the new one; None if the gallery's own stays.
    """
    change = ModelChange.open(folder)
    if change.fingerprint == embedder.card.fingerprint and _new_detector(change, detector) is None:
        change.close()
        raise GalleryError(f"{folder}: of model {change.model_name} already; there is nothing to migrate")
    return change


def migrate(
    change: ModelChange,
    detector: Detector,
    embedder: Embedder,
    *,
    elsewhere: Path | None = None,
    leave_out: bool = False,
    dry_run: bool = False,
) -> Iterator[Step | Report]:
    """Embed what is not embedded yet, a Step each, then change the gallery's model and report.

    elsewhere: a folder in which photos that were moved are found by their content. If a template cannot be embedded,
    the gallery stays as it is, unless `leave_out`. With `dry_run` it stays in any case, and the figures are shown.
    GalleryError if nothing can be migrated, or nothing may be written. A vetoed face that cannot be embedded is
    dropped. If the detector has another name than the gallery's own, kept crops are cut anew, too.
    """
    model = _next_model(embedder, _new_detector(change, name_of(detector)))
    reused = change.begin(model)
    moved = {} if elsewhere is None else _by_content(elsewhere)
    faces = _Faces(change, detector, embedder.card.input_size, moved, recut=model.detector is not None)
    taken, lost, vetoed = Counter[str](), set[int](), _Vetoes(change, faces, embedder)
    while True:
        revision = change.revision()
        waiting = change.outstanding(model)
        for template, step in _embed(change, model, faces, embedder, [t for t in waiting if t.id not in lost]):
            if step.problem is not None:
                lost.add(template.id)
            taken[step.taken_from or ""] += 1
            yield step
        gone = [t for t in waiting if t.id in lost]
        report = _report(change, model, taken, reused, gone)
        if gone and not (leave_out or dry_run):
            yield report
            return
        if len(gone) == change.store.templates:
            raise GalleryError(
                f"{change.store.folder}: not one of its {len(gone)} photos can be migrated; it is as it was"
            )
        people = change.now_and_then(model, revision, len(gone))
        if people is None:
            continue
        before, after = map(search_itself, people)
        vetoes, dropped = vetoed.anew()
        report = replace(
            report, before=before, after=after, strangers_dropped=change.given_strangers(), vetoes=len(vetoes),
            vetoes_dropped=dropped,
        )  # fmt: skip
        if dry_run or change.finish(model, revision, [t.id for t in gone], vetoes):
            yield replace(report, migrated=not dry_run)
            return


def _report(
    change: ModelChange, model: NextModel, taken: Counter[str], reused: int, gone: Sequence[Outstanding]
) -> Report:
    """What is known before the gallery is changed. taken: from where. gone: what cannot be embedded."""
    return Report(
        False, change.model_name, model.name, model.fingerprint, taken["crop"], taken["photo"], reused,
        _losses(change, gone), old_detector=change.detector, new_detector=model.detector or change.detector,
    )  # fmt: skip


def _new_detector(change: ModelChange, name: str | None) -> str | None:
    """The name of the detector, if it is another than the one that cut the gallery's crops."""
    return name if change.detector is not None and name != change.detector else None


def _next_model(embedder: Embedder, detector: str | None) -> NextModel:
    card = embedder.card
    cohort = load_cohort(embedder.path, card)
    return NextModel(card.fingerprint, card.name, card.embedding_dim, card.default_threshold, cohort, detector)


def _by_content(folder: Path) -> dict[str, Path]:
    """Photo hash -> where it is, of all photos in a folder that can be read."""
    found = {}
    for path in find_photos(folder):
        with suppress(ImageError):  # whose photo is not found is said of the template
            found[photo_hash(path)] = path
    return found


def _losses(change: ModelChange, gone: Sequence[Outstanding]) -> tuple[Loss, ...]:
    lost = Counter(template.person for template in gone)
    return tuple(Loss(p.name, lost[p.name], p.templates) for p in enrolled.people(change.store) if p.name in lost)


def _embed(
    change: ModelChange, model: NextModel, faces: "_Faces", embedder: Embedder, templates: Sequence[Outstanding]
) -> Iterator[tuple[Outstanding, Step]]:
    """Each batch is kept before its steps are told."""
    for start in range(0, len(templates), BATCH):
        batch = templates[start : start + BATCH]
        seen = faces.of(batch)
        if vectors := _vectors(batch, seen, embedder):
            change.keep(model, vectors)
        for template, each in zip(batch, seen, strict=True):
            if isinstance(each, _Seen):
                yield template, Step(template.person, template.photo.source, each.origin)
            else:
                yield template, Step(template.person, template.photo.source, None, str(each))


def _vectors(batch: Sequence[Outstanding], seen: "Sequence[_Seen | ImageError]", embedder: Embedder) -> list[NewVector]:
    """The new vectors of those whose face was found."""
    sound = [(each.id, face) for each, face in zip(batch, seen, strict=True) if isinstance(face, _Seen)]
    if not sound:
        return []
    vectors = embedder.embed(np.stack([face.crop for _, face in sound]))
    rows = zip(sound, vectors, strict=True)
    return [NewVector(i, v, face.crop if face.origin == "photo" else None) for (i, face), v in rows]


class _Vetoes:
    """The vetoed faces, each embedded once, however often the gallery changes meanwhile."""

    def __init__(self, change: ModelChange, faces: "_Faces", embedder: Embedder) -> None:
        self._change, self._faces, self._embedder = change, faces, embedder
        self._made: dict[int, NewVector] = {}
        self._problems: dict[int, str] = {}

    def anew(self) -> tuple[list[NewVector], tuple[Step, ...]]:
        """The new vectors of all vetoed faces there are now, and those that cannot be had."""
        there = self._change.vetoes()
        new = [each for each in there if each.id not in self._made.keys() | self._problems.keys()]
        for start in range(0, len(new), BATCH):
            batch = new[start : start + BATCH]
            seen = self._faces.of(batch)
            self._made |= {vector.id: vector for vector in _vectors(batch, seen, self._embedder)}
            pairs = zip(batch, seen, strict=True)
            self._problems |= {each.id: str(face) for each, face in pairs if isinstance(face, ImageError)}
        lost = [each for each in there if each.id in self._problems]
        dropped = tuple(Step(each.person, each.photo.source, None, self._problems[each.id]) for each in lost)
        return [self._made[each.id] for each in there if each.id in self._made], dropped


@dataclass(frozen=True, eq=False, slots=True)
class _Seen:
    """A template's face, (S, S, 3) for the new model, and where it is from: "crop" or "photo"."""

    crop: Image
    origin: str


class _Faces:
    """Where the faces of templates are found again."""

    def __init__(
        self, change: ModelChange, detector: Detector, size: int, moved: Mapping[str, Path], recut: bool
    ) -> None:
        """size: S of the new model's crops. moved: photo hash -> where to look if it is not where it was enrolled.

        recut: the detector is another than the one that cut the kept crops.
        """
        self._change, self._moved, self._size, self._recut = change, moved, size, recut
        self._finders = {True: AlignedDetector(size, known=True), False: detector}

    def of(self, templates: Sequence[Outstanding]) -> list[_Seen | ImageError]:
        """The face of each, or why it cannot be had."""
        seen: dict[int, _Seen | ImageError] = {}
        paths: dict[int, Path] = {}
        for template in templates:
            if (crop := self._kept(template)) is not None:
                seen[template.id] = _Seen(fitted_crop(crop, self._size), "crop")
            elif isinstance(path := self._located(template), ImageError):
                seen[template.id] = path
            else:
                paths[template.id] = path
        for aligned, finder in self._finders.items():
            some = [t for t in templates if t.id in paths and _is_aligned(t) == aligned]
            photos = faces_in_photos([paths[t.id] for t in some], finder, BATCH)
            for template, (path, faces, _) in zip(some, photos, strict=True):
                seen[template.id] = faces if isinstance(faces, ImageError) else _same_face(template, path, faces)
        return [seen[template.id] for template in templates]

    def _kept(self, template: Outstanding) -> Image | None:
        """The crop kept of a template, if it can be used."""
        return None if self._recut and not _is_aligned(template) else self._change.crop(template)

    def _located(self, template: Outstanding) -> Path | ImageError:
        """Where a file of just the bytes that were enrolled is."""
        path = Path(template.photo.source)
        try:
            if photo_hash(path) == template.photo.photo_hash:
                return path
            fault = f"{printable(path)}: not the photo that was enrolled any more"
        except ImageError as error:
            fault = str(error).rpartition("; ")[0]
        return self._moved.get(template.photo.photo_hash, ImageError(f"{fault}; {_REMEDY}"))


def _is_aligned(template: Outstanding) -> bool:
    """Whether it was enrolled as an aligned crop: the whole square is the face; no detector hits that to the pixel."""
    x1, y1, x2, y2 = template.photo.box
    return (x1, y1) == (0, 0) and x2 == y2 and x2 == round(x2) and template.photo.quality == 1


def _same_face(template: Outstanding, path: Path, faces: Sequence[Face]) -> _Seen | ImageError:
    """Of the faces in its photo the one that was enrolled."""
    best = max(faces, key=lambda face: _overlap(face.box, template.photo.box), default=None)
    if best is None or _overlap(best.box, template.photo.box) < SAME_FACE:
        return ImageError(
            f"{printable(path)}: the face that was enrolled is not found in it again; give `min_face_size` and "
            "`min_confidence` as they were then"
        )
    return _Seen(best.crop, "photo")


def _overlap(a: Box, b: Box) -> float:
    """Intersection over union, 0..1."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    whole = sum((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (a, b)) - shared
    return shared / whole if whole > 0 else 0.0
