"""`facerec models` and `facerec doctor`."""

import dataclasses
import importlib
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facerec.cli import common
from facerec.cli.user_settings import is_set, read_everyday, settings_file
from facerec.errors import FacerecError
from facerec.extras import EXTRAS, install, is_installed
from facerec.gallery.address import Place
from facerec.models.names import NAMES
from facerec.text import printable

if TYPE_CHECKING:
    from facerec.models.card import ModelCard

PACKAGES = ("facerec", "torch", "torchvision", "facenet-pytorch", "faiss-cpu", "openvino", "numpy", "pillow")


@common.command()
@common.model_option
@common.json_option
def models(model: str | None, as_json: bool) -> None:
    """List the backbones and strategies, and show a model's card.

    Without --model, the card is that of the model that comes with facerec.

    \b
    facerec models
    facerec models --model models/mine
    """
    from facerec.inference.loading import model_card
    from facerec.training.settings import STRATEGIES

    card, backbones = dataclasses.asdict(model_card(model)), _backbones()
    if as_json:
        common.emit({"backbones": backbones, "strategies": list(STRATEGIES), "card": card})
        return
    click.echo("Backbones (stages, first layers first):")
    for name, stages in backbones.items():
        click.echo(f"  {name}: {', '.join(stages)}" if stages else f"  {name}")
    click.echo(f"Strategies: {', '.join(STRATEGIES)}")
    click.echo(f"Model {card['name']}:")
    for key in ("fingerprint", "mode", "backbone", "embedding_dim", "input_size", "licence", "source"):
        click.echo(f"  {key}: {card[key]}")
    if card["dropped_blocks"]:
        click.echo(f"  without the blocks: {', '.join(map(printable, card['dropped_blocks']))}")
    if card["classes"]:
        click.echo(f"  classes: {', '.join(map(printable, card['classes']))}")
    if card["attribute"]:
        values = ", ".join(map(printable, card["attribute_values"]))
        click.echo(f"  attribute: {printable(card['attribute'])} ({values})")
    for part in ("threshold", "results"):
        for key, value in _leaves(card[part], part):
            click.echo(f"  {key}: {value}")


def _backbones() -> dict[str, list[str]]:
    """Return the stages of each backbone; without torch, which knows them, its name alone."""
    if not is_installed("torch"):
        common.remark(f"no stages are shown and nothing is trained without torch: {install('train')}")
        return {name: [] for name in NAMES}
    from facerec.models.backbones import BACKBONES

    return {name: [stage for stage, _ in row.stages] for name, row in BACKBONES.items()}


def _leaves(facts: dict[str, Any], name: str) -> Iterator[tuple[str, Any]]:
    """Yield the values in nested dicts, each with its full name, such as `threshold.distance`."""
    for key, value in facts.items():
        yield from _leaves(value, f"{name}.{key}") if isinstance(value, dict) else [(f"{name}.{key}", value)]


@common.command()
@common.new_gallery_option
@common.any_model_option
@common.json_option
def doctor(gallery_folder: Place, model: str | None, as_json: bool) -> None:
    """Check that facerec works here.

    Shows versions and the device, and checks that the model and the gallery are sound and belong together.

    \b
    facerec doctor
    """
    known, card = _model(model)
    checks = {
        "versions": _versions(),
        "device": _device(),
        "settings": _settings(),
        "model": known,
        "gallery": _gallery(gallery_folder, card),
    }
    checks = {name: common.in_options(value) for name, value in checks.items()}
    problems = [value for value in checks.values() if value.startswith("problem: ")]
    for problem in problems:
        common.warn(problem.removeprefix("problem: "))
    if as_json:
        common.emit(checks)
    else:
        for name, value in checks.items():
            click.echo(f"{name}: {value}")
    common.finish(len(problems), len(checks) - len(problems))


def _settings() -> str:
    where = common.one_line(settings_file())
    held = ", ".join(f"{name} {value}" for name, value in read_everyday().items())
    return f"{where}: {printable(held) or 'empty'}" if is_set() else f"none at {where}"


def _versions() -> str:
    return f"Python {platform.python_version()}, " + ", ".join(f"{name} {_version(name)}" for name in PACKAGES)


def _version(package: str) -> str:
    from importlib import metadata  # slow to import

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # conda has other names for some packages
        library = package.replace("-", "_")
        return "(not installed)" if library in EXTRAS and not is_installed(library) else "(not under this name)"


def _device() -> str:
    if not is_installed("torch"):
        return f"CPU; without torch nothing can be trained: {install('train')}"
    torch: Any = importlib.import_module("torch")
    if torch.cuda.is_available():
        return torch.cuda.get_device_name(0)
    return f"CPU, {torch.get_num_threads()} threads"


def _model(model: str | None) -> tuple[str, "ModelCard | None"]:
    """Return a text about the model; and its card, if the model works and embeds faces."""
    from facerec.inference.loading import model_card

    try:
        return (_classifier(str(model)), None) if model_card(model).mode == "classify" else _embedder(model)
    except FacerecError as error:
        return f"problem: {error}", None


def _classifier(model: str) -> str:
    import numpy as np

    from facerec.inference.loading import load_classifier

    classifier = load_classifier(model)
    size = classifier.card.input_size
    classifier.probabilities(np.full((1, size, size, 3), 127, np.uint8))
    return f"{classifier.card.name} ({classifier.card.fingerprint}), {len(classifier.card.classes)} classes, works"


def _embedder(model: str | None) -> tuple[str, "ModelCard | None"]:
    import numpy as np

    from facerec.inference.loading import load_embedder
    from facerec.models.cohort import load_cohort
    from facerec.vectors import are_unit

    embedder = load_embedder(model)
    cohort = load_cohort(embedder.path, embedder.card)  # raises for a broken file: a gallery's threshold rests on it
    size = embedder.card.input_size
    vector = embedder.embed(np.full((1, size, size, 3), 127, np.uint8))
    if not are_unit(vector):
        return f"problem: {embedder.card.name} does not give unit vectors; copy the model again", None
    works = f"{embedder.card.name} ({embedder.card.fingerprint}), {embedder.card.embedding_dim} dimensions, works"
    return f"{works}, {_strangers(len(cohort), embedder.card.default_threshold is not None)}", embedder.card


def _strangers(count: int, has_threshold: bool) -> str:
    """Return a text about what sets the threshold of a gallery, for a model with `count` strangers."""
    if count:
        return f"brings {count} strangers to set thresholds by"
    instead = "its card's threshold holds for every gallery" if has_threshold else "nor a threshold in its card"
    return f"brings no strangers: {instead} until `facerec calibrate --strangers DIR`"


def _gallery(folder: Place, card: "ModelCard | None") -> str:
    """Return a text about the gallery. card: of the model that it is used with; None: not checked."""
    from facerec.gallery.cut_by import detector_of
    from facerec.gallery.encryption import is_encrypted
    from facerec.gallery.maintenance import check
    from facerec.gallery.model import require_model
    from facerec.gallery.store import Store

    if isinstance(folder, Path) and not folder.exists():
        return f"none at {common.one_line(folder)} yet; facerec enroll makes it"
    try:
        with Store.open(folder) as store:
            report = check(store)
            if card is not None:
                require_model(store, card.fingerprint, card.name, card.embedding_dim)
            with store.read() as db:
                detector = detector_of(db)
        state = "sound, encrypted" if is_encrypted(folder) else "sound"
        state += f", faces cut by {printable(detector)}" if detector else ""
    except FacerecError as error:
        return f"problem: {error}"
    if report.problems:
        return f"problem: {common.one_line(folder)}: {report.problems[0]}; see facerec gallery check"
    return f"{common.one_line(folder)}: {common.photos_of(report.templates, report.people)}, {state}"
