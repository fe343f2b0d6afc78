"""Whole evaluations: read the files, embed or classify the photos, compare, report.

A run takes paths and `RunSettings` and returns a `Run`. It prints nothing:

    run = verification(Path("lfw"), Path("lfw_pairs.txt"), settings=RunSettings(model="int8"))
    print(run.line["auc"], run.write_report("my study"))
"""

import itertools
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facerec.datasets.attributes import Attribute, read_attribute
from facerec.datasets.groups import Groups, read_groups
from facerec.datasets.pairs import Pairs, person_of, read_pairs, require_two_photos
from facerec.datasets.photo_names import locate, say_endings
from facerec.decision.posterior import Posterior, posterior
from facerec.errors import DataError
from facerec.evaluation import classification as deciding
from facerec.evaluation import identification as searching
from facerec.evaluation import notices
from facerec.evaluation import verification as pairing
from facerec.evaluation.failures import Failures
from facerec.evaluation.gallery_sizes import by_gallery_size, require_sizes
from facerec.evaluation.identification import FaceVector, IdentificationResult, Searches
from facerec.evaluation.report import protocols, tables
from facerec.evaluation.report.page import Page, prepare, write
from facerec.evaluation.report.protocols import SearchPhotos
from facerec.evaluation.report.tables import Table
from facerec.faces.detector import Detector, detector_for, make_detector
from facerec.faces.settings import DetectorSettings
from facerec.inference.embedder import Embedder
from facerec.inference.loading import load_classifier, load_embedder
from facerec.inference.pipeline import classify, embed_photos
from facerec.inference.sources import PhotoSource, photo_source, settled_looks
from facerec.inference.torch_runtime import Classifier
from facerec.models.card import ModelCard
from facerec.models.cohort import load_cohort, no_cohort
from facerec.photos.folders import identity_folders
from facerec.text import printable, same_form
from facerec.types import Threshold, Vectors

MOST_STRAYS = 10
"""Lines of a groups file that match nothing are named one by one up to this many, above it counted."""

Line = dict[str, Any]
Photos = Mapping[str, list[Path]]  # person -> photos
Rows = Mapping[str, list[FaceVector]]  # person -> the main face's vector of each photo


def _unwatched(photos: Iterable[Any], label: str, total: int) -> Iterable[Any]:
    return photos


@dataclass(frozen=True, slots=True)
class RunSettings:
    """What all runs share.

    model: a model's name, file or folder, None: the shipped one. drop_blocks: its residual blocks to leave out.
    aligned: the photos are aligned crops. faces: how faces are found where they are not. skip_missing: leave out photos
    that are missing or unreadable, instead of refusing (`failures`).
    report: the folder that `Run.write_report` will write to; tried before the work begins. None: there is no report.
    watch: passes on the photos as they are done, given a label and how many there are: for a progress bar.
    notice: called with a line about the input that is worth knowing but no error.
    """

    model: str | None = None
    drop_blocks: Sequence[str] = ()
    aligned: bool = False
    faces: DetectorSettings = DetectorSettings()
    skip_missing: bool = False
    report: Path | None = None
    watch: Callable[[Iterable[Any], str, int], Iterable[Any]] = _unwatched
    notice: Callable[[str], None] = lambda line: None


@dataclass(frozen=True, eq=False, slots=True)
class Run:
    """What an evaluation measured.

    line: the figures, as a dict that `json.dumps` takes. failures: the photos that failed. tables: the figures for
    people. page: makes the report's page, given the words that say how it was asked for. report: the folder it is
    written to, None: none.
    """

    line: Line
    failures: Failures
    tables: Callable[[Line], list[Table]]
    page: Callable[[str], Page]
    report: Path | None = None

    def write_report(self, command: str) -> Path | None:
        """Write the page with plots and the worst errors; returns its path, None where no report was asked for.

        Raises ConfigError where it cannot be written.
        """
        return None if self.report is None else write(self.report, self.page(command))


# ------------------------------------------------------------------------------------------------ verification


def verification(
    images: Path, pairs_file: Path, groups: Path | None = None, settings: RunSettings | None = None
) -> Run:
    """Compare the pairs of photos that a file names (`read_pairs`).

    images: the folder of the photos. groups: a file of groups (`read_groups`), whose figures are reported apart.
    Raises DataError for files that cannot be used and where no photo has a usable face, ModelError, ConfigError.
    """
    settings = settings or RunSettings()
    pairs = read_pairs(pairs_file)
    if not os.path.isdir(images):
        raise DataError(f"{printable(images)}: not a folder; give the folder the pairs' photos are in")
    source = photo_source(images)
    images = source.root
    members = _groups(groups, pairs.photos, map(person_of, pairs.photos), settings)
    _prepare(settings)
    paths, unclear = locate(pairs.photos, images, source.embedded if source.plan else None)
    require_two_photos(pairs, paths, pairs_file)
    failures = Failures(settings.skip_missing, known=source.embedded)
    readable = failures.readable(paths.values(), unclear)
    embedder, detector = _embedder(settings, [source])
    began = time.monotonic()
    embedded = _embedded(readable, detector, embedder, failures, settings)
    seconds = time.monotonic() - began
    vectors = {name: embedded[path] for name, path in paths.items() if path in embedded}
    pairs, skipped = pairing.with_photos(pairs, vectors)
    if not pairs.a:
        raise DataError(f"{pairs_file}: no pair is left, the first {failures.first()}")
    failures.require_some(images)
    if said := say_endings(pairs_file, {path.relative_to(images).as_posix(): name for name, path in paths.items()}):
        settings.notice(said)
    if said := notices.of_copied_pairs(pairs, {name: source.of(path) for name, path in paths.items()}):
        settings.notice(said)
    line = pairing.verification(pairs, vectors, skipped).to_json() | failures.counts()
    line |= _of_model(embedder.card, seconds) | {"photos_per_second": round(len(embedded) / seconds, 2)}
    line |= {} if members is None else _by_pair_group(members, pairs, vectors, embedder.card)

    def report(command: str) -> Page:
        kept, distances = pairing.compared(pairs, pairing.pair_distances(pairs, vectors))
        limit, pictures = embedder.card.default_threshold, protocols.face_pictures(detector)
        return protocols.verification_page(line, kept, distances, limit, paths, pictures, command)

    return Run(line, failures, tables.verification_tables, report, settings.report)


def _by_pair_group(groups: Groups, pairs: Pairs, vectors: Mapping[str, FaceVector], card: ModelCard) -> Line:
    """Thresholds all groups share, what they do to all pairs, and the figures of each group."""
    distances = pairing.pair_distances(pairs, vectors)
    limits = pairing.thresholds_at_fmr(distances, pairs)
    if card.default_threshold is not None:
        limits["model"] = card.default_threshold.distance
    names = pairing.pair_groups(pairs, {photo: groups.of(photo, person_of(photo)) for photo in pairs.photos})
    rates = pairing.at_thresholds(distances, pairs.same, limits)
    return {"thresholds": limits, **rates, "by_group": pairing.by_group(distances, pairs, names, limits)}


# ---------------------------------------------------------------------------------------------- identification


def identification(
    gallery_images: Path,
    probe_images: Path,
    sizes: Sequence[int] = (),
    groups: Path | None = None,
    settings: RunSettings | None = None,
) -> Run:
    """Search for the people of one folder among those of another; people without a folder there are strangers.

    gallery_images, probe_images: identity folders. sizes: also measure random galleries of so many people.
    groups: a file of groups of searchers (`read_groups`), whose figures are reported apart.
    Raises DataError for folders and files that cannot be used, ConfigError for sizes there cannot be, ModelError.
    """
    settings = settings or RunSettings()
    sources = photo_source(gallery_images), photo_source(probe_images)
    people, searchers = map(_people, sources)
    probe_images = sources[1].root
    require_sizes(sizes, len(people))
    named = [photo for photo, _ in _owned(searchers, probe_images)]
    members = _groups(groups, named, [*people, *searchers], settings)
    _prepare(settings)
    known = {**sources[0].embedded, **sources[1].embedded}
    failures = Failures(settings.skip_missing, known=known)
    readable = failures.readable([photo for side in (people, searchers) for own in side.values() for photo in own])
    embedder, detector = _embedder(settings, sources)
    began = time.monotonic()
    embedded = _embedded(readable, detector, embedder, failures, settings)
    seconds = time.monotonic() - began
    asked = people, searchers
    people, searchers = (_only(folders, embedded) for folders in asked)
    for said in notices.of_searches(asked, (people, searchers), known):
        settings.notice(said)
    enrolled, probes = (
        {person: [embedded[photo] for photo in own] for person, own in side.items()} for side in (people, searchers)
    )
    measured = _Measured.of(enrolled, probes, embedder, len(failures.left_out), whole=not settings.drop_blocks)
    line = measured.line() | failures.counts() | _of_model(embedder.card, seconds)
    line |= {"by_gallery_size": measured.by_size(sizes)} if sizes else {}
    line |= {} if members is None else {"by_group": measured.by_group(members, _owned(searchers, probe_images))}

    def report(command: str) -> Page:
        shown, pictures = _search_photos(people, enrolled, searchers, probes), protocols.face_pictures(detector)
        return protocols.identification_page(line, measured.searches, measured.threshold, shown, pictures, command)

    return Run(line, failures, tables.identification_tables, report, settings.report)


@dataclass(frozen=True, eq=False, slots=True)
class _Measured:
    """Searches, and the threshold and the probability that a gallery of these people would have."""

    enrolled: Rows
    probes: Rows
    cohort: Vectors
    fallback: Threshold | None
    threshold: Threshold | None
    stated: Posterior | None
    searches: Searches
    result: IdentificationResult

    @classmethod
    def of(cls, enrolled: Rows, probes: Rows, embedder: Embedder, skipped: int, *, whole: bool) -> "_Measured":
        """skipped: photos left out. whole: the network has all its blocks, so that the model's cohort is of it."""
        card = embedder.card
        cohort = load_cohort(embedder.path, card) if whole else no_cohort(card)
        threshold = searching.gallery_threshold(enrolled, cohort, card.default_threshold)
        stated = posterior(card.probability, searching.gallery_calibration(enrolled, cohort))
        searches = searching.run_searches(enrolled, probes)
        result = searching.summarise(searches, enrolled, threshold, skipped)
        return cls(enrolled, probes, cohort, card.default_threshold, threshold, stated, searches, result)

    def line(self) -> Line:
        """The figures of all searches."""
        line = self.result.to_json()
        line["gallery_threshold"] = None if self.threshold is None else self.threshold.distance
        line["gallery_threshold_source"] = None if self.threshold is None else self.threshold.source
        if self.stated is not None:
            line["probability"] = searching.probability_of(self.searches, self.stated)
        return line

    def by_size(self, sizes: Sequence[int]) -> list[Line]:
        """The figures of random galleries of so many people."""
        found = by_gallery_size(self.enrolled, self.probes, sizes, self.cohort, self.fallback)
        return [size.to_json() for size in found]

    def by_group(self, groups: Groups, owned: Sequence[tuple[str, str]]) -> dict[str, Line]:
        """The figures of each group of searchers; owned: the probe photos and who is on them."""
        names = [groups.of(photo, person) for photo, person in owned]
        failed = Counter(groups.of(name, name) for name, rows in self.enrolled.items() for row in rows if row is None)
        limits = self.result.threshold_at_fpir
        return searching.by_group(self.searches, names, self.threshold, limits, failed, self.stated)


def _people(source: PhotoSource) -> dict[str, list[Path]]:
    """Person -> photos; names compare as Unicode NFC."""
    people: dict[str, list[Path]] = {}
    for person, photos in source.people().items():
        people.setdefault(same_form(person), []).extend(photos)
    return people


def _owned(people: Photos, root: Path) -> list[tuple[str, str]]:
    """Every photo, named relative to `root`, and who is on it."""
    return [(photo.relative_to(root).as_posix(), name) for name, photos in people.items() for photo in photos]


def _only(people: Photos, usable: Collection[Path]) -> dict[str, list[Path]]:
    """The same people, with those photos alone."""
    return {person: [photo for photo in photos if photo in usable] for person, photos in people.items()}


def _search_photos(people: Photos, enrolled: Rows, searchers: Photos, probes: Rows) -> SearchPhotos:
    """The photos with their vectors: of the searches in their order, and of each person."""
    made = _with_rows(searchers, probes).values()
    return SearchPhotos(list(itertools.chain(*made)), _with_rows(people, enrolled))


def _with_rows(people: Photos, rows: Rows) -> dict[str, list[tuple[Path, FaceVector]]]:
    return {person: list(zip(photos, rows[person], strict=True)) for person, photos in people.items()}


# ---------------------------------------------------------------------------------------------- classification


def classification(images: Path, attribute_file: Path | None = None, settings: RunSettings | None = None) -> Run:
    """Classify the photos of class folders and compare the answers with the folders' names.

    attribute_file: compare what it says of the photos (`read_attribute`) with what the model's second head tells
    instead; the folders are then of classes or people. What it names and is not in the folders is missing.
    Raises DataError for folders and files that cannot be used and where no photo can, ModelError, ConfigError.
    """
    settings = settings or RunSettings()
    folders = identity_folders(images)
    attribute = None if attribute_file is None else read_attribute(attribute_file)
    _prepare(settings)
    failures = Failures(settings.skip_missing)
    absent = {} if attribute is None else deciding.absent_photos(folders, images, attribute)
    readable = set(failures.readable([photo for own in folders.values() for photo in own], absent))
    classifier = load_classifier(settings.model, attribute=attribute is not None, drop_blocks=settings.drop_blocks)
    paths, labels, people = _labelled(folders, images, attribute, classifier)
    detector = detector_for(classifier.card, settings.aligned, settings.faces)
    began = time.monotonic()
    wanted = [path for path in paths if path in readable]
    photos = settings.watch(classify(wanted, classifier, detector), "Classifying", len(wanted))
    answers = {photo.path: photo.probabilities for photo in failures.noted(photos)}
    seconds = time.monotonic() - began
    failures.require_some(images)
    paths, labels, people, rows = _with_answers(paths, labels, people, answers)
    measured = deciding.classification(labels, rows, len(classifier.classes), people, len(failures.left_out))
    line = measured.to_json() | failures.counts() | _of_model(classifier.card, seconds)
    line |= {"class_names": classifier.classes, "images_per_second": round(len(wanted) / seconds, 2)}
    line |= {"of_faces": classifier.of_faces}
    line |= {} if attribute is None else {"attribute": attribute.name, "ci95_over": "people" if people else "photos"}

    def report(command: str) -> Page:
        pictures = protocols.face_pictures(detector) if detector else protocols.centre_pictures
        return protocols.classification_page(line, paths, labels, rows, images, pictures, command)

    return Run(line, failures, tables.classification_tables, report, settings.report)


def _labelled(
    folders: Photos, images: Path, attribute: Attribute | None, classifier: Classifier
) -> tuple[list[Path], list[int], list[str] | None]:
    """The photos, the places of their classes or values, and who is on them where they are of faces."""
    if attribute is None:
        return *deciding.class_labels(folders, classifier.classes), None
    name, values = classifier.card.attribute, classifier.classes
    paths, labels, people = deciding.attribute_labels(folders, images, attribute, name, values)
    return paths, labels, people if classifier.of_faces else None


def _with_answers(
    paths: list[Path], labels: list[int], people: list[str] | None, answers: Mapping[Path, Any]
) -> tuple[list[Path], list[int], list[str] | None, list[Any]]:
    """Return the photos that were not left out, and their answers."""
    kept = [i for i, path in enumerate(paths) if path in answers]
    paths, labels = [paths[i] for i in kept], [labels[i] for i in kept]
    return paths, labels, people and [people[i] for i in kept], [answers[path] for path in paths]


# --------------------------------------------------------------------------------------------- what they share


def _prepare(settings: RunSettings) -> None:
    """Before the long work begins: there is a folder for the report."""
    if settings.report is not None:
        prepare(settings.report)


def _embedder(settings: RunSettings, sources: Sequence[PhotoSource]) -> tuple[Embedder, Detector]:
    """The model, and a detector that finds faces in its size, as it did for the shards."""
    embedder = load_embedder(settings.model, drop_blocks=settings.drop_blocks)
    aligned, faces = settled_looks(sources, embedder.card, settings.aligned, settings.faces)
    return embedder, make_detector(embedder.card.input_size, aligned, faces)


def _embedded(
    paths: Sequence[Path], detector: Detector, embedder: Embedder, failures: Failures, settings: RunSettings
) -> dict[Path, FaceVector]:
    """Photo -> the main face's vector, None if there is no face. Photos that turn out to be unreadable are left out."""
    given = (failures.known.get(path, path) for path in paths)
    photos = settings.watch(embed_photos(given, detector, embedder, main_only=True), "Embedding", len(paths))
    return {photo.path: photo.vectors[0] if photo.faces else None for photo in failures.noted(photos)}


def _groups(path: Path | None, photos: Sequence[str], people: Iterable[str], settings: RunSettings) -> Groups | None:
    """The groups asked for. What the file names and is not here gets a notice: a line each, or one where it is much."""
    if path is None:
        return None
    groups, names = read_groups(path).for_photos(photos)
    if said := say_endings(path, names):
        settings.notice(said)
    strays = groups.strays(photos, people)
    for name in strays if len(strays) <= MOST_STRAYS else []:
        settings.notice(f"{path}: {name} is no photo and no person here")
    if len(strays) > MOST_STRAYS:
        settings.notice(f"{path}: {len(strays)} lines name no photo and no person here, the first {strays[0]}")
    return groups


def _of_model(card: ModelCard, seconds: float) -> Line:
    line = {"model": card.name, "model_fingerprint": card.fingerprint, "seconds": round(seconds, 1)}
    return line | {"dropped_blocks": card.dropped_blocks} if card.dropped_blocks else line
