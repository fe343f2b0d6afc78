"""`facerec evaluate`."""

import os
import time
from pathlib import Path
from typing import Any

import click

from facerec.cli import common
from facerec.errors import DataError
from facerec.images import printable, same_form
from facerec.models.card import ModelCard


class EvaluateGroup(click.Group):
    """Its commands are FacerecCommands."""

    command_class = common.FacerecCommand


@click.group(cls=EvaluateGroup)
def evaluate() -> None:
    """Measure a model.

    \b
    facerec evaluate verification --images lfw --pairs lfw_pairs.txt
    facerec evaluate identification --gallery-images people --probe-images party
    facerec evaluate classification --images flowers/test --model models/flowers
    """


@evaluate.command()
@click.option("--images", required=True, type=common.PHOTOS, metavar="DIR", help="The photos the pairs name.")
@click.option("--pairs", "pairs_file", required=True, type=common.PHOTOS, metavar="FILE", help="LFW pairs.txt or CSV.")
@common.face_options
@common.model_option
@common.json_option
def verification(images: Path, pairs_file: Path, model: str | None, as_json: bool, **faces: Any) -> None:
    """LFW-style pairs: accuracy over folds, ROC AUC, EER, TAR at fixed FMR, with 95 % intervals over people.

    \b
    facerec evaluate verification --images lfw --pairs lfw_pairs.txt --json
    """
    from facerec.embed import load_embedder
    from facerec.evaluate import read_pairs
    from facerec.evaluate import verification as measure
    from facerec.recognise import embed_photos, main_vectors

    pairs = read_pairs(pairs_file)
    names = pairs.photos
    if not os.path.isdir(images):
        raise DataError(f"{common.one_line(images)}: not a folder; give the folder the pairs' photos are in")
    embedder = load_embedder(model)
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
    common.emit(line) if as_json else _print_table(line)
    common.finish(failed, len(names) - failed)


@evaluate.command()
@click.option("--gallery-images", required=True, type=common.PHOTOS, metavar="DIR", help="Identity folders to enroll.")
@click.option(
    "--probe-images", required=True, type=common.PHOTOS, metavar="DIR",
    help="Identity folders to search with; those of no name in --gallery-images are strangers.",
)  # fmt: skip
@common.face_options
@common.model_option
@common.json_option
def identification(gallery_images: Path, probe_images: Path, model: str | None, as_json: bool, **faces: Any) -> None:
    """Open-set search: who is named, missed and wrongly named: FNIR at fixed FPIR, with 95 % intervals over searchers.

    No gallery is touched. People whose photos cannot be enrolled stay in the count, and their searches miss.

    \b
    facerec evaluate identification --gallery-images people --probe-images party --json
    """
    from facerec.cohort import load_cohort
    from facerec.embed import load_embedder
    from facerec.identification import gallery_threshold
    from facerec.identification import identification as measure
    from facerec.images import identity_folders

    folders = [identity_folders(gallery_images), identity_folders(probe_images)]
    embedder = load_embedder(model)
    detector = common.make_detector(**faces, crop_size=embedder.card.input_size)
    began = time.monotonic()
    enrolled, probes = (_rows_of(people, detector, embedder) for people in folders)
    seconds = time.monotonic() - began
    card = embedder.card
    threshold = gallery_threshold(enrolled, load_cohort(embedder.path, card), card.default_threshold)
    result = measure(enrolled, probes, threshold)
    line = result.to_json() | _of_model(card, seconds)
    line |= {"gallery_threshold": threshold and threshold.distance}
    line |= {"gallery_threshold_source": threshold and threshold.source}
    common.emit(line) if as_json else _print_searches(line)
    failed = result.failures_to_enrol + result.failures_to_acquire
    common.finish(failed, sum(map(len, (*enrolled.values(), *probes.values()))) - failed)


def _rows_of(folders: dict[str, list[Path]], detector: Any, embedder: Any) -> dict[str, list[Any]]:
    """Person -> the main face's vector of each photo, None where there is none; names compare as Unicode NFC."""
    from facerec.recognise import embed_photos

    paths = [path for photos in folders.values() for path in photos]
    photos = _watched(embed_photos(paths, detector, embedder, main_only=True), len(paths))
    rows = iter([photo.vectors[0] if photo.faces else None for photo in photos])
    people: dict[str, list[Any]] = {}
    for person, photos in folders.items():
        people.setdefault(same_form(person), []).extend(next(rows) for _ in photos)
    return people


@evaluate.command()
@click.option("--images", required=True, type=common.PHOTOS, metavar="DIR", help="A folder of photos for each class.")
@common.classifier_option
@common.json_option
def classification(images: Path, model: str, as_json: bool) -> None:
    """Class folders: accuracy, ROC AUC and who is taken for whom, with 95 % intervals over photos.

    A photo that cannot be read counts as a wrong answer.

    \b
    facerec evaluate classification --images flowers/test --model models/flowers --json
    """
    from facerec.classification import class_labels
    from facerec.classification import classification as measure
    from facerec.embed import load_classifier
    from facerec.images import identity_folders
    from facerec.recognise import classify

    folders = identity_folders(images)
    classifier = load_classifier(model)
    classes = classifier.card.classes
    paths, labels = class_labels(folders, classes)
    began = time.monotonic()
    photos = _watched(classify(paths, classifier), len(paths), "Classifying")
    rows = [photo.probabilities for photo in photos]
    seconds = time.monotonic() - began
    failed = sum(row is None for row in rows)
    if failed == len(paths):
        raise DataError(f"{common.one_line(images)}: not one of the {len(paths)} photos can be read")
    line = measure(labels, rows, len(classes)).to_json() | _of_model(classifier.card, seconds)
    line |= {"class_names": classes, "images_per_second": round(len(paths) / seconds, 2)}
    common.emit(line) if as_json else _print_classes(line)
    common.finish(failed, len(paths) - failed)


def _of_model(card: ModelCard, seconds: float) -> dict[str, Any]:
    return {"model": card.name, "model_fingerprint": card.fingerprint, "seconds": round(seconds, 1)}


def _watched(photos: Any, total: int, label: str = "Embedding") -> Any:
    for photo in common.show_progress(photos, label, total):
        if photo.error is not None:
            common.warn(str(photo.error))
        yield photo


def _print_table(line: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("measure", "value", "95 % interval", title=f"{line['model']} ({line['model_fingerprint']})")
    ci = line["ci95"]
    for name in ("accuracy_mean", "auc", "eer"):
        table.add_row(name, _number(line[name]), _interval(ci.get(name)))
    for fmr, value in line["tar_at_fmr"].items():
        table.add_row(f"TAR at FMR {fmr}", _number(value), _interval(ci["tar_at_fmr"].get(fmr)))
    for name in ("pairs", "genuine", "impostor", "failures_to_enrol", "accuracy_se", "photos_per_second"):
        table.add_row(name, _number(line[name]), "")
    Console().print(table)


def _print_searches(line: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("measure", "value", "95 % interval", title=f"{line['model']} ({line['model_fingerprint']})")
    ci = line["ci95"]
    for fpir, value in line["fnir_at_fpir"].items():
        table.add_row(f"FNIR at FPIR {fpir}", _number(value), _interval(ci["fnir_at_fpir"][fpir]))
        table.add_row(
            "    at distance", _number(line["threshold_at_fpir"][fpir]), _interval(ci["threshold_at_fpir"][fpir])
        )
    table.add_row("the gallery's threshold", _number(line["gallery_threshold"]), line["gallery_threshold_source"] or "")
    for name in ("rank1_rate", "fpir_at_gallery_threshold", "fnir_at_gallery_threshold"):
        table.add_row(name, _number(line[name]), _interval(ci[name]))
    for name in ("people", "templates", "mated_searches", "nonmated_searches", "failures_to_enrol"):
        table.add_row(name, _number(line[name]), "")
    for name in ("failures_to_acquire", "search_ms_p50", "search_ms_p99"):
        table.add_row(name, _number(line[name]), "")
    Console().print(table)


def _print_classes(line: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("measure", "value", "95 % interval", title=f"{line['model']} ({line['model_fingerprint']})")
    for name in ("accuracy", "roc_auc"):
        table.add_row(name, _number(line[name]), _interval(line["ci95"][name]))
    for name in ("images", "failures", "images_per_second"):
        table.add_row(name, _number(line[name]), "")
    by_class = Table("class", "photos read", "right", "most often taken for")
    for place, row in enumerate(line["confusion"]):
        by_class.add_row(*_class_row(place, row, line["class_names"]))
    Console().print(table, by_class)


def _class_row(place: int, row: list[int], names: list[str]) -> tuple[str, str, str, str]:
    """One class for the human eye: its name, photos, right answers and most frequent mistake."""
    from rich.markup import escape

    names = [escape(printable(name)) for name in names]
    mistakes = [count if other != place else 0 for other, count in enumerate(row)]
    worst = mistakes.index(max(mistakes))
    taken_for = f"{names[worst]} ({mistakes[worst]})" if mistakes[worst] else "-"
    return names[place], str(sum(row)), str(row[place]), taken_for


def _number(value: float | None) -> str:
    return "-" if value is None else str(value) if isinstance(value, int) else f"{value:.5f}"


def _interval(bounds: list[float] | None) -> str:
    return "-" if not bounds else f"{bounds[0]:.5f} to {bounds[1]:.5f}"
