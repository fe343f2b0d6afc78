"""`facerec classify`."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facerec.cli import common, detector_options, path_types
from facerec.text import printable

if TYPE_CHECKING:
    from facerec.inference.pipeline import Classification


@common.command(needs="train")
@click.argument("photos", nargs=-1, required=True, type=path_types.PATH)
@click.option(
    "--top", type=click.IntRange(min=1), metavar="K", help="List the K likeliest classes  [default: 1; with --json all]"
)
@click.option(
    "--attribute",
    is_flag=True,
    help="Say which value of the attribute the photo has. For a model of facerec train --attribute. A face model reads "
    "the main face.",
)
@detector_options.face_options
@common.classifier_option
@common.json_option
def classify(
    photos: tuple[Path, ...], top: int | None, attribute: bool, model: str, as_json: bool, **faces: Any
) -> None:
    """Say what each picture shows: its likeliest class.

    The model must come from facerec train --mode classify, or for --attribute from facerec train --attribute. A folder
    stands for all pictures in it.

    \b
    facerec classify garden.jpg --model models/flowers
    facerec classify --json --top 3 inbox/ --model models/flowers > answers.jsonl
    facerec classify party.jpg --attribute --model models/mine
    """
    paths, empty = common.photos_to_open(photos, {}, as_json, _failed)
    from facerec.inference.loading import load_classifier
    from facerec.inference.pipeline import classify as classify_photos

    classifier = load_classifier(model, attribute=attribute)
    detector = detector_options.detector_for(classifier.card, **faces)
    counts: Counter[str] = Counter()
    photos_read = common.Watched(classify_photos(paths, classifier, detector), "Classifying", len(paths))
    for result in photos_read:
        likeliest = _likeliest(result, classifier.classes)
        counts.update(name for name, _ in likeliest[:1])
        if as_json:
            common.emit(_as_json(result, dict(likeliest[:top])))
        elif likeliest:
            click.echo(_as_text(result, likeliest[: top or 1]))
    failed = photos_read.failed
    common.summarise(len(paths), {**dict(counts.most_common()), "failed": failed}, as_json)
    common.finish(failed + empty, len(paths) - failed)


def _likeliest(result: "Classification", classes: list[str]) -> list[tuple[str, float]]:
    """Return (class, probability), the likeliest first. Empty for a photo that could not be read."""
    if result.probabilities is None:
        return []
    return sorted(zip(classes, result.probabilities.tolist(), strict=True), key=lambda each: -each[1])


def _as_text(result: "Classification", likeliest: list[tuple[str, float]]) -> str:
    answers = ", ".join(f"{printable(name)} ({100 * probability:.1f} %)" for name, probability in likeliest)
    return f"{common.one_line(result.path)}: {answers}"


def _as_json(result: "Classification", probabilities: dict[str, float]) -> dict[str, Any]:
    line = _line(result.path, probabilities) | common.remarks_json(result.remarks)
    return line if result.error is None else line | {"error": str(result.error)}


def _failed(photo: Path, error: str) -> dict[str, Any]:
    return _line(photo, {}) | {"error": error}


def _line(photo: Path, probabilities: dict[str, float]) -> dict[str, Any]:
    name, probability = next(iter(probabilities.items()), (None, None))
    return {"image": str(photo), "class": name, "probability": probability, "probabilities": probabilities}
