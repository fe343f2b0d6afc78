"""`facerec evaluate`."""

import os
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facerec.cli import common
from facerec.errors import DataError
from facerec.models.card import ModelCard
from facerec.settings import split_names
from facerec.text import same_form

if TYPE_CHECKING:  # imported when needed
    from facerec.datasets.groups import Groups

MOST_STRAYS = 10  # lines of a groups file that match nothing and are named one by one


class EvaluateCommand(common.FacerecCommand):
    """Knows its command line: `ctx.obj`, for the report."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the words before click takes them apart."""
        ctx.obj = f"{ctx.command_path} {shlex.join(args)}"
        return super().parse_args(ctx, args)


class EvaluateGroup(click.Group):
    """Its commands are EvaluateCommands."""

    command_class = EvaluateCommand


groups_option = click.option(
    "--groups", "groups_file", type=common.PHOTOS, metavar="FILE",
    help="CSV 'photo or person,group': every figure for each group, too.",
)  # fmt: skip
report_option = click.option(
    "--report", type=common.PHOTOS, metavar="DIR",
    help="Write DIR/report.html, one page of figures, plots and the worst errors as pictures.",
)  # fmt: skip


def _read_sizes(_: click.Context, __: click.Parameter, text: str | None) -> list[int]:
    parts = text.split(",") if text else []
    if not all(part.strip().isdecimal() and len(part) < 10 for part in parts):
        raise click.BadParameter(f"'{text}'; write whole numbers of people, as in 10,40,100")
    return sorted({int(part) for part in parts})


drop_option = click.option(
    "--drop-blocks", default="", callback=lambda _, __, text: split_names(text), metavar="NAME,NAME...",
    help="Residual blocks of a ResNet that are left out, as in layer1.1,layer3.2; the shortcut around them stays.",
)  # fmt: skip


@click.group(cls=EvaluateGroup)
def evaluate() -> None:
    """Measure a model.

    \b
    facerec evaluate verification --images lfw --pairs lfw_pairs.txt
    facerec evaluate identification --gallery-images people --probe-images party
    facerec evaluate classification --images flowers/test --model models/flowers
    facerec evaluate classification --images party --attribute glasses.csv --model models/two
    """


@evaluate.command()
@click.option("--images", required=True, type=common.PHOTOS, metavar="DIR", help="The photos the pairs name.")
@click.option("--pairs", "pairs_file", required=True, type=common.PHOTOS, metavar="FILE", help="LFW pairs.txt or CSV.")
@groups_option
@report_option
@common.face_options
@drop_option
@common.model_option
@common.json_option
def verification(
    images: Path,
    pairs_file: Path,
    groups_file: Path | None,
    report: Path | None,
    drop_blocks: tuple[str, ...],
    model: str | None,
    as_json: bool,
    **faces: Any,
) -> None:
    """LFW-style pairs: accuracy over folds, ROC AUC, EER, TAR at fixed FMR, with 95 % intervals over people.

    With --groups a line names a photo of the pairs or a person (a photo's folder); pairs across groups are reported as
    such.

    \b
    facerec evaluate verification --images lfw --pairs lfw_pairs.txt --json
    facerec evaluate verification --images lfw --pairs lfw_pairs.txt --groups groups.csv --report report
    facerec evaluate verification --images lfw --pairs lfw_pairs.txt --drop-blocks layer1.1,layer3.2
    """
    from facerec.datasets.pairs import person_of, read_pairs
    from facerec.evaluation.report.tables import verification_tables
    from facerec.evaluation.verification import verification as measure
    from facerec.inference.loading import load_embedder
    from facerec.inference.pipeline import embed_photos, main_vectors

    pairs = read_pairs(pairs_file)
    names = pairs.photos
    if not os.path.isdir(images):
        raise DataError(f"{common.one_line(images)}: not a folder; give the folder the pairs' photos are in")
    groups = _read_groups(groups_file, names, [person_of(name) for name in names])
    _prepare(report)
    embedder = load_embedder(model, drop_blocks=drop_blocks)
    detector = common.make_detector(**faces, crop_size=embedder.card.input_size)
    began = time.monotonic()
    photos = embed_photos([images / name for name in names], detector, embedder, main_only=True)
    vectors = main_vectors(_watched(photos, len(names)), names)
    seconds = time.monotonic() - began
    failed = sum(vector is None for vector in vectors.values())
    if failed == len(names):
        raise DataError(f"{common.one_line(images)}: not one of the {len(names)} photos has a usable face")
    line = measure(pairs, vectors).to_json() | _of_model(embedder.card, seconds)
    line |= {"photos_per_second": round(len(names) / seconds, 2)}
    if groups is not None:
        line |= _pairs_by_group(groups, pairs, vectors, embedder.card)
    common.show_tables(line, as_json, verification_tables)
    if report is not None:
        _report_pairs(report, line, pairs, vectors, images, embedder.card, detector)
    common.finish(failed, len(names) - failed)


def _pairs_by_group(groups: "Groups", pairs: Any, vectors: Any, card: ModelCard) -> dict[str, Any]:
    """Thresholds all groups share, what they do to all pairs, and the figures of each group."""
    from facerec.datasets.pairs import person_of
    from facerec.evaluation.verification import at_thresholds, by_group, pair_distances, pair_groups, thresholds_at_fmr

    distances = pair_distances(pairs, vectors)
    of_model = {} if card.default_threshold is None else {"model": card.default_threshold.distance}
    limits = thresholds_at_fmr(distances, pairs) | of_model
    names = pair_groups(pairs, {photo: groups.of(photo, person_of(photo)) for photo in pairs.photos})
    rates = at_thresholds(distances, pairs.same, limits)
    return {"thresholds": limits, **rates, "by_group": by_group(distances, pairs, names, limits)}


def _report_pairs(
    report: Path, line: Any, pairs: Any, vectors: Any, images: Path, card: ModelCard, detector: Any
) -> None:
    from facerec.evaluation.report.protocols import face_pictures, verification_page
    from facerec.evaluation.verification import pair_distances

    distances, limit = pair_distances(pairs, vectors), card.default_threshold
    _write(report, verification_page, line, pairs, distances, limit, images, face_pictures(detector))


@evaluate.command()
@click.option("--gallery-images", required=True, type=common.PHOTOS, metavar="DIR", help="Identity folders to enroll.")
@click.option(
    "--probe-images", required=True, type=common.PHOTOS, metavar="DIR",
    help="Identity folders to search with; those of no name in --gallery-images are strangers.",
)  # fmt: skip
@click.option(
    "--gallery-sizes", callback=_read_sizes, metavar="N,N...",
    help="Also the mean over random galleries of so many of the people, the others being strangers.",
)  # fmt: skip
@groups_option
@report_option
@common.face_options
@drop_option
@common.model_option
@common.json_option
def identification(
    gallery_images: Path,
    probe_images: Path,
    gallery_sizes: list[int],
    groups_file: Path | None,
    report: Path | None,
    drop_blocks: tuple[str, ...],
    model: str | None,
    as_json: bool,
    **faces: Any,
) -> None:
    """Open-set search: who is named, missed and wrongly named: FNIR at fixed FPIR, with 95 % intervals over searchers.

    No gallery is touched. People whose photos cannot be enrolled stay in the count, and their searches miss. With
    --groups a line names a photo below --probe-images or a person; figures are by the searcher's group. With
    --drop-blocks galleries have no threshold: card and strangers are the whole network's.

    \b
    facerec evaluate identification --gallery-images people --probe-images party --json
    facerec evaluate identification --gallery-images people --probe-images party --gallery-sizes 10,40 --report report
    """
    from facerec.evaluation.gallery_sizes import by_gallery_size, require_sizes
    from facerec.evaluation.identification import by_group, gallery_threshold, probability_of, run_searches, summarise
    from facerec.evaluation.report.tables import identification_tables
    from facerec.inference.loading import load_embedder
    from facerec.models.cohort import load_cohort, no_cohort

    people, searchers = _people(gallery_images), _people(probe_images)
    require_sizes(gallery_sizes, len(people))
    owned = [(photo.relative_to(probe_images).as_posix(), name) for name, own in searchers.items() for photo in own]
    groups = _read_groups(groups_file, [photo for photo, _ in owned], [*people, *searchers])
    _prepare(report)
    common.warn_of_copies(people, searchers)
    embedder = load_embedder(model, drop_blocks=drop_blocks)
    detector = common.make_detector(**faces, crop_size=embedder.card.input_size)
    began = time.monotonic()
    enrolled, probes = (_rows_of(folders, detector, embedder) for folders in (people, searchers))
    seconds = time.monotonic() - began
    card = embedder.card
    cohort = load_cohort(embedder.path, card) if not drop_blocks else no_cohort(card)
    threshold = gallery_threshold(enrolled, cohort, card.default_threshold)
    searches = run_searches(enrolled, probes)
    result = summarise(searches, enrolled, threshold)
    line = result.to_json() | _of_model(card, seconds) | _of_threshold(threshold)
    stated = _posterior(card, enrolled, cohort)
    line |= {} if stated is None else {"probability": probability_of(searches, stated)}
    if gallery_sizes:
        sizes = by_gallery_size(enrolled, probes, gallery_sizes, cohort, card.default_threshold)
        line |= {"by_gallery_size": [size.to_json() for size in sizes]}
    if groups is not None:
        names = [groups.of(photo, person) for photo, person in owned]
        failed = Counter(groups.of(name, name) for name, rows in enrolled.items() for row in rows if row is None)
        line |= {"by_group": by_group(searches, names, threshold, result.threshold_at_fpir, failed, stated)}
    common.show_tables(line, as_json, identification_tables)
    if report is not None:
        sides = (_with_rows(people, enrolled), _with_rows(searchers, probes))
        _report_searches(report, line, searches, threshold, *sides, detector)
    _finish(enrolled, probes)


def _of_threshold(threshold: Any) -> dict[str, Any]:
    parts = (None, None) if threshold is None else (threshold.distance, threshold.source)
    return dict(zip(("gallery_threshold", "gallery_threshold_source"), parts, strict=True))


def _posterior(card: ModelCard, enrolled: Any, cohort: Any) -> Any:
    from facerec.decision.posterior import posterior
    from facerec.evaluation.identification import gallery_calibration

    return posterior(card.probability, gallery_calibration(enrolled, cohort))


def _finish(*photos: dict[str, list[Any]]) -> None:
    """Exit as the photos without a vector have it."""
    rows = [row for people in photos for own in people.values() for row in own]
    failed = sum(row is None for row in rows)
    common.finish(failed, len(rows) - failed)


def _report_searches(
    report: Path, line: Any, searches: Any, threshold: Any, enrolled: Any, probes: Any, detector: Any
) -> None:
    from facerec.evaluation.report.protocols import SearchPhotos, face_pictures, identification_page

    photos = SearchPhotos([photo for own in probes.values() for photo in own], enrolled)
    _write(report, identification_page, line, searches, threshold, photos, face_pictures(detector))


def _with_rows(people: dict[str, list[Path]], rows: dict[str, list[Any]]) -> dict[str, list[tuple[Path, Any]]]:
    """Person -> the photos with their vectors."""
    return {person: list(zip(photos, rows[person], strict=True)) for person, photos in people.items()}


def _people(folder: Path) -> dict[str, list[Path]]:
    """Person -> photos; names compare as Unicode NFC."""
    from facerec.photos.folders import identity_folders

    people: dict[str, list[Path]] = {}
    for person, photos in identity_folders(folder).items():
        people.setdefault(same_form(person), []).extend(photos)
    return people


def _rows_of(people: dict[str, list[Path]], detector: Any, embedder: Any) -> dict[str, list[Any]]:
    """Person -> the main face's vector of each photo, None where there is none."""
    from facerec.inference.pipeline import embed_photos

    paths = [path for photos in people.values() for path in photos]
    photos = _watched(embed_photos(paths, detector, embedder, main_only=True), len(paths))
    rows = iter([photo.vectors[0] if photo.faces else None for photo in photos])
    return {person: [next(rows) for _ in own] for person, own in people.items()}


@evaluate.command()
@click.option("--images", required=True, type=common.PHOTOS, metavar="DIR", help="A folder of photos for each class.")
@click.option(
    "--attribute", "attribute_file", type=common.PHOTOS, metavar="FILE",
    help="CSV as for train --attribute: how right the model is about that, instead of the class.",
)  # fmt: skip
@report_option
@common.face_options
@drop_option
@common.classifier_option
@common.json_option
def classification(
    images: Path,
    attribute_file: Path | None,
    report: Path | None,
    drop_blocks: tuple[str, ...],
    model: str,
    as_json: bool,
    **faces: Any,
) -> None:
    """Class folders: accuracy, ROC AUC and who is taken for whom, with 95 % intervals over photos.

    With --attribute the folders are of classes or people, and what FILE says of their photos is compared with the
    second head's answers; where the model embeds faces, of the main face, with intervals over people. A photo that
    cannot be used counts as a wrong answer.

    \b
    facerec evaluate classification --images flowers/test --model models/flowers --json
    facerec evaluate classification --images party --attribute glasses.csv --model models/two
    """
    from facerec.datasets.attributes import read_attribute
    from facerec.evaluation.classification import classification as measure
    from facerec.evaluation.report.tables import classification_tables
    from facerec.inference.loading import load_classifier
    from facerec.inference.pipeline import classify
    from facerec.photos.folders import identity_folders

    folders = identity_folders(images)
    attribute = None if attribute_file is None else read_attribute(attribute_file)
    _prepare(report)
    classifier = load_classifier(model, attribute=attribute is not None, drop_blocks=drop_blocks)
    paths, labels, people = _labelled(folders, images, attribute, classifier)
    detector = common.detector_for(classifier, **faces)
    began = time.monotonic()
    photos = _watched(classify(paths, classifier, detector), len(paths), "Classifying")
    rows = [photo.probabilities for photo in photos]
    seconds = time.monotonic() - began
    failed = sum(row is None for row in rows)
    if failed == len(paths):
        fault = "has a usable face" if detector else "can be read"
        raise DataError(f"{common.one_line(images)}: not one of the {len(paths)} photos {fault}")
    line = measure(labels, rows, len(classifier.classes), people).to_json() | _of_model(classifier.card, seconds)
    line |= {"class_names": classifier.classes, "images_per_second": round(len(paths) / seconds, 2)}
    line |= {} if attribute is None else {"attribute": attribute.name, "ci95_over": "people" if people else "photos"}
    common.show_tables(line, as_json, classification_tables)
    if report is not None:
        from facerec.evaluation.report.protocols import centre_pictures, classification_page, face_pictures

        shown = face_pictures(detector) if detector else centre_pictures
        _write(report, classification_page, line, paths, labels, rows, images, shown)
    common.finish(failed, len(paths) - failed)


def _labelled(
    folders: dict[str, list[Path]], images: Path, attribute: Any, classifier: Any
) -> tuple[list[Path], list[int], list[str] | None]:
    """The photos, the places of their classes or values, and who is on them where they are of faces."""
    from facerec.evaluation.classification import attribute_labels, class_labels

    if attribute is None:
        return *class_labels(folders, classifier.classes), None
    name, values = classifier.card.attribute, classifier.classes
    paths, labels, people = attribute_labels(folders, images, attribute, name, values)
    return paths, labels, people if classifier.of_faces else None


def _of_model(card: ModelCard, seconds: float) -> dict[str, Any]:
    line = {"model": card.name, "model_fingerprint": card.fingerprint, "seconds": round(seconds, 1)}
    return line | {"dropped_blocks": card.dropped_blocks} if card.dropped_blocks else line


def _watched(photos: Any, total: int, label: str = "Embedding") -> Any:
    for photo in common.show_progress(photos, label, total):
        if photo.error is not None:
            common.warn(str(photo.error))
        yield photo


def _read_groups(path: Path | None, photos: Sequence[str], people: Iterable[str]) -> "Groups | None":
    """The groups asked for; lines that match nothing are named, or counted where they are many."""
    from facerec.datasets.groups import read_groups

    if path is None:
        return None
    groups = read_groups(path)
    strays = groups.strays(photos, people)
    for name in strays if len(strays) <= MOST_STRAYS else []:
        common.warn(f"{path}: {name} is no photo and no person here")
    if len(strays) > MOST_STRAYS:
        common.warn(f"{path}: {len(strays)} lines name no photo and no person here, the first {strays[0]}")
    return groups


def _prepare(report: Path | None) -> None:
    """Before the long work begins."""
    if report is not None:
        from facerec.evaluation.report.page import prepare

        prepare(report)


def _write(report: Path, make: Callable[..., Any], *measured: Any) -> None:
    from facerec.evaluation.report.page import write

    common.warn(f"The report is {write(report, make(*measured, click.get_current_context().obj))}")
