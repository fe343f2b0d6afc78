"""`facerec features`: features of photos from a stage of a network, for other learners."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facerec.cli import common, detector_options, path_types
from facerec.cli.tables import show_tables
from facerec.errors import ConfigError, DataError
from facerec.photos.folders import find_photos
from facerec.text import how_many

if TYPE_CHECKING:
    from facerec.features.classifiers import LearnerResult
    from facerec.features.table import PhotoFeatures
    from facerec.inference.torch_runtime import StageReader

CLASSIFIERS = ("svm", "logistic", "knn")


@common.command(needs="train")
@click.argument("folder", type=path_types.FOLDER)
@click.option("--layer", metavar="STAGE", help="The network's stage; facerec models lists them  [default: the last]")
@click.option("--output", type=path_types.PATH, metavar="FILE", help="Write the features to FILE.npz or FILE.parquet.")
@click.option(
    "--classifier",
    type=click.Choice(CLASSIFIERS),
    help="Measure a classifier that learns the sub-folders of FOLDER from the features.",
)
@click.option(
    "--test",
    type=path_types.FOLDER,
    metavar="DIR",
    help="Class folders to measure the classifier on  [default: cross-validation]",
)
@common.layers_option
@click.option("--input-size", type=click.IntRange(1, 2048), default=None, help="Side of a backbone's input in pixels.")
@detector_options.face_options
@common.json_option
def features(
    folder: Path,
    layer: str | None,
    output: Path | None,
    classifier: str | None,
    test: Path | None,
    model: str | None,
    input_size: int | None,
    as_json: bool,
    **faces: Any,
) -> None:
    """Turn photos into features for other learners.

    A photo's features are the mean of each map that a stage of the network makes of it. A face model reads the main
    face of each photo; any other network reads the middle of the picture. --classifier measures a classifier on these
    features: a support vector machine, logistic regression or nearest neighbours. The features are scaled first. The
    classifier's cost, or number of neighbours, is chosen by cross-validation on the photos that it learns from.

    \b
    facerec features flowers/ --model resnet50 --layer layer3 --output flowers.npz
    facerec features people/ --output people.parquet
    facerec features flowers/train --model resnet50 --classifier svm --test flowers/test
    """
    _require_aim(output, classifier, test)
    from facerec.features.table import gather_features, ready_file, write_features
    from facerec.inference.loading import load_stage

    if output is not None:
        ready_file(output)
    paths = _photos_in(folder, classifier)
    others = [] if test is None else _photos_in(test, classifier)
    if classifier is not None:
        _check_classes(folder, test)
    reader = load_stage(model, layer, input_size or 0)
    began = time.monotonic()
    photos, held_out = (_read(some, reader, faces) for some in (paths, others))
    seconds = time.monotonic() - began
    failed = sum(photo.row is None for photo in (*photos, *held_out))
    if failed == len(photos) + len(held_out):
        common.finish(failed, 0)  # ends here
    if output is not None:
        table = gather_features(photos, folder, reader)
        write_features(table, output)
        _tell_file(output, len(table), reader, as_json)
    if classifier is not None:
        result = _learn(classifier, photos, folder, held_out, test)
        _tell_result(result, reader, seconds, as_json)
    used = len(photos) + len(held_out) - failed
    common.summarise(used + failed, {"used": used, "failed": failed}, as_json)
    common.finish(failed, used)


def _require_aim(output: Path | None, classifier: str | None, test: Path | None) -> None:
    """Raise ConfigError for options that ask for nothing, or do not go together."""
    if output is None and classifier is None:
        raise ConfigError("give --output FILE to write the features, --classifier to measure a classifier, or both")
    if test is not None and classifier is None:
        raise ConfigError("--test DIR goes with --classifier svm, logistic or knn; give one, or leave it out")


def _photos_in(folder: Path, classifier: str | None) -> list[Path]:
    """Return the photos of a folder.

    Raises DataError if it has none. With a classifier also for a photo that is in no class folder.
    """
    from facerec.features.table import folder_label

    paths = find_photos(folder)
    if not paths:
        raise DataError(f"{common.one_line(folder)}: no photos in this folder; give another")
    loose = [path for path in paths if not folder_label(path, folder)]
    if loose and classifier is not None:
        raise DataError(
            f"{common.one_line(loose[0])}: of which class is it? With --classifier every photo is in a class's folder"
        )
    return paths


def _check_classes(folder: Path, test: Path | None) -> None:
    """Check before the long work that there are two classes, and no photo is in both folders."""
    from facerec.datasets.photo_sets import read_photos
    from facerec.datasets.splits import split_classes

    split_classes(read_photos(folder), None if test is None else read_photos(test), seed=0)


def _read(paths: list[Path], reader: "StageReader", faces: dict[str, Any]) -> "list[PhotoFeatures]":
    """Return the features of each photo. A photo that cannot be used is a line on stderr."""
    from facerec.features.table import photo_features

    detector = detector_options.detector_for(reader.card, **faces)
    return [*common.Watched(photo_features(paths, reader, detector), "Reading", len(paths))]


def _learn(
    classifier: str, photos: "list[PhotoFeatures]", folder: Path, held_out: "list[PhotoFeatures]", test: Path | None
) -> "LearnerResult":
    from facerec.features.classifiers import cross_validated, tried_on
    from facerec.features.table import folder_label

    labels, rows = [folder_label(photo.path, folder) for photo in photos], [photo.row for photo in photos]
    if test is None:
        return cross_validated(classifier, labels, rows)
    truth = [folder_label(photo.path, test) for photo in held_out]
    return tried_on(classifier, labels, rows, truth, [photo.row for photo in held_out])


def _tell_file(output: Path, photos: int, reader: "StageReader", as_json: bool) -> None:
    count, card = reader.card.embedding_dim, reader.card
    if as_json:
        line = {"output": str(output), "photos": photos, "features": count, "layer": reader.layer}
        common.emit(line | {"model": card.name, "model_fingerprint": card.fingerprint})
    else:
        of = how_many(photos, "photo")
        click.echo(f"{common.one_line(output)} holds {count} features of {of}, {_source(reader)}.")


def _tell_result(result: "LearnerResult", reader: "StageReader", seconds: float, as_json: bool) -> None:
    from facerec.evaluation.report.tables import classification_tables

    line = result.to_json() | {"layer": reader.layer, "model": reader.card.name}
    line |= {"model_fingerprint": reader.card.fingerprint, "seconds": round(seconds, 1)}
    line |= {"images_per_second": round(result.result.images / seconds, 2)}
    if not as_json:
        how = f"by {result.folds}-fold cross-validation" if result.folds else "on the photos of --test"
        chosen = ", ".join(f"{value:g}" for value in result.chosen)
        click.echo(f"{result.classifier} on {_source(reader)}, {result.parameter} {chosen}, {how}:")
    show_tables(line, as_json, classification_tables)


def _source(reader: "StageReader") -> str:
    return f"{reader.layer} of {reader.card.name}"
