"""`facerec train`.

facerec train people/ --output models/mine
python -m facerec.cli.train people/ --output models/mine
"""

import dataclasses
import logging
import sys
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from facerec.cli import common
from facerec.config import TrainSettings, build_settings, read_settings
from facerec.errors import ConfigError

T = TypeVar("T")


def _settings_options(f: Callable[..., Any]) -> Callable[..., Any]:
    """An option for every field of TrainSettings; what is not given on the command line stays None."""
    for field in reversed(dataclasses.fields(TrainSettings)):
        kind = next(t for t in (typing.get_args(field.type) or (field.type,)) if t is not type(None))
        default = "" if field.default is None else f"  [default: {field.default}]"
        name = "--" + field.name.replace("_", "-")
        name += "/--no-" + field.name.replace("_", "-") if kind is bool else ""
        f = click.option(name, type=kind, default=None, help=field.metadata["help"] + default)(f)
    return f


@common.command()
@click.argument("folder", type=common.PHOTOS)
@click.option("--output", required=True, type=common.PHOTOS, metavar="DIR", help="The run, and the model, go here.")
@click.option("--config", type=common.PHOTOS, metavar="FILE", help="TOML file of settings; options go over it.")
@click.option("--splits", type=common.PHOTOS, metavar="DIR", help="Lists of people: validation.txt; others left out.")
@click.option("--resume", is_flag=True, help="Go on with the run in --output, to the same numbers.")
@common.face_options
@_settings_options
@common.json_option
def train(
    folder: Path,
    output: Path,
    config: Path | None,
    splits: Path | None,
    resume: bool,
    aligned: bool,
    min_face_size: int,
    min_confidence: float,
    as_json: bool,
    **options: Any,
) -> None:
    """Fine-tune a backbone on the identity folders of FOLDER.

    \b
    facerec train people/ --output models/mine
    facerec train crops/ --aligned --strategy discriminative --output models/mine
    """
    given = {key: value for key, value in options.items() if value is not None}
    settings = _settings(given, config, output if resume else None)
    from facerec.data import align_folder
    from facerec.train import check_run
    from facerec.train import train as fine_tune

    check_run(output, settings, resume)  # before the photos, which may take hours
    logging.getLogger(fine_tune.__module__).setLevel(logging.INFO)  # a line on stderr at the end of every epoch
    failures: list[str] = []
    if not aligned:
        detector = common.make_detector(False, min_face_size, min_confidence, crop_size=128)
        folder, failures = align_folder(folder, output / "crops", detector, _bar)
        for failure in failures:
            common.warn(failure)
    card = fine_tune(folder, output, settings, splits=splits, resume=resume, watch=_Bar())
    if as_json:
        common.emit({"output": str(output), "fingerprint": card.fingerprint, **card.results})
    else:
        measured = ", ".join(f"{key} {value:.4f}" for key, value in card.results.items())
        click.echo(f"{common.one_line(output)}: best epoch {card.training['epoch'] + 1}: {measured}")
        click.echo(f"use it with --model {common.one_line(output)}")
    common.finish(len(failures), 1)


def _settings(given: dict[str, Any], config: Path | None, resumed: Path | None) -> TrainSettings:
    """Options over the file's settings; a resumed run keeps its own and may not be given others."""
    if resumed is not None and config is not None:
        raise ConfigError(f"{resumed}: keeps the settings it was started with; resume it without --config")
    if resumed is None:
        settings = read_settings(TrainSettings, config) if config else TrainSettings()
        return build_settings(TrainSettings, dataclasses.asdict(settings) | given, "options")
    from facerec.train import settings_of

    settings = settings_of(resumed)
    for key, value in given.items():
        if getattr(settings, key) != value:
            name = key.replace("_", "-")
            raise ConfigError(f"{resumed}: was started with --{name} {getattr(settings, key)}; resume it with that")
    return settings


def _bar(photos: Iterator[T], total: int) -> Iterator[T]:
    return common.show_progress(photos, "Aligning", total)


class _Bar:
    """Watches a run: a line on stderr that is rewritten where stderr is a terminal."""

    def __call__(self, p: Any) -> None:
        if sys.stderr.isatty():
            text = (
                f"epoch {p.epoch + 1}, batch {p.batch}/{p.batches}, loss {p.loss:.4f}, {p.crops_per_second:.0f} crops/s"
            )
            click.echo(f"\r{text}  ", nl=p.batch == p.batches, err=True)


if __name__ == "__main__":
    train()
