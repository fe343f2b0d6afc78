"""`facerec train`.

facerec train people/ --output models/mine
torchrun --nproc-per-node 2 -m facerec.cli.train people/ --aligned --output models/mine
"""

import dataclasses
import logging
import os
import sys
import typing
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from facerec.cli import common, detector_options, path_types
from facerec.cli.offers import some
from facerec.cli.progress import show_progress
from facerec.errors import ConfigError
from facerec.models.names import NAMES
from facerec.settings import build_settings, read_settings, read_values
from facerec.training.settings import LOSSES, TrainSettings

if TYPE_CHECKING:  # slow to import
    from facerec.models.card import ModelCard
    from facerec.training.plan import TrainPlan
    from facerec.training.train import Progress

T = TypeVar("T")

OFFERED = {  # completions of options that take other values as well
    "backbone": some(NAMES),
    "init": some(("imagenet", "random", "default"), or_file=True),
    "loss": some(LOSSES),
    "attribute": some((), or_file=True),
    "teacher": some(("default",), or_file=True),
    "unlabelled": some((), or_file=True),
    "oversample": some((), or_file=True),
}


FILES = {  # types of options that name files
    "init": path_types.file_or("imagenet", "random", "default"),
    "attribute": path_types.file_or(),
    "teacher": path_types.file_or("default"),
    "unlabelled": path_types.FOLDER_NAME,
    "oversample": path_types.file_or(),
}


class _Listed(click.Choice):
    """Values that help lists and shells complete. The library refuses any other, as it does in a file of settings."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Take the value as it is."""
        return value


def _settings_options(f: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for every field of TrainSettings. Its value is None unless it is given on the command line."""
    for field in reversed(dataclasses.fields(TrainSettings)):
        kinds = typing.get_args(field.type) or (field.type,)
        kind, several = next(t for t in kinds if t is not type(None)), ... in kinds
        kind = FILES.get(field.name, kind)
        default = "" if field.default in (None, "", ()) else f"  [default: {field.default}]"
        name = "--" + field.name.replace("_", "-")
        name += "/--no-" + field.name.replace("_", "-") if kind is bool else ""
        text = field.metadata["help"] + default
        complete = OFFERED.get(field.name)
        if field.metadata["choices"]:
            kind = _Listed(field.metadata["choices"])
        f = click.option(name, type=kind, default=None, multiple=several, help=text, shell_complete=complete)(f)
    return f


@common.command(needs="train")
@click.argument("folder", type=path_types.FOLDER)
@click.option(
    "--output", required=True, type=path_types.PATH, metavar="DIR", help="The folder for the run and its model."
)
@click.option("--config", type=path_types.FILE, metavar="FILE", help="A TOML file of settings; options override it.")
@click.option(
    "--splits",
    type=path_types.FOLDER,
    metavar="DIR",
    help="A folder of lists of people. People in validation.txt validate; people in other lists are left out.",
)
@click.option(
    "--validation",
    type=path_types.FOLDER,
    metavar="DIR",
    help="Class folders to validate on  [default: a fifth of the photos]",
)
@click.option(
    "--exclude",
    type=path_types.FILE,
    metavar="FILE",
    help="A list of photos of FOLDER to leave out, as written by facerec check-data --output.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Continue the run in --output. The results are those of an uninterrupted run. "
    "Under torchrun --max-restarts: begin it if there is none.",
)
@detector_options.face_options
@_settings_options
@common.json_option
def train(
    folder: Path,
    output: Path,
    config: Path | None,
    splits: Path | None,
    validation: Path | None,
    exclude: Path | None,
    resume: bool,
    aligned: bool,
    detector: str | None,
    min_face_size: int,
    min_confidence: float,
    as_json: bool,
    **options: Any,
) -> None:
    """Fine-tune a network on your photos.

    FOLDER holds one folder per person. The model learns to tell people apart, also people it has not seen. With --mode
    classify, FOLDER holds one folder per class, and the model learns these classes.

    \b
    facerec train people/ --output models/mine
    facerec train crops/ --aligned --strategy discriminative --output models/mine
    facerec train insects/ --mode classify --backbone mobilenet_v2 --strategy frozen --output models/insects
    """
    resume = resume and not _begins(output)
    given = {key: value for key, value in options.items() if value not in (None, ())}
    settings, chosen = _settings(given, config, output if resume else None)
    from facerec.training.plan import plan_run
    from facerec.training.train import train as fine_tune

    data = {"splits": splits, "validation": validation, "exclude": exclude}
    plan = plan_run(output, settings, chosen=chosen, resume=resume, **data)  # before aligning, which may take hours
    if _is_first() and not common.is_quiet():
        logging.getLogger(fine_tune.__module__).setLevel(logging.INFO)  # prints a line on stderr after every epoch
    failures: list[str] = []
    if plan.settings.mode == "metric" and not aligned:
        looks = {"detector": detector, "min_face_size": min_face_size, "min_confidence": min_confidence}
        folder, plan, failures = _aligned(folder, output, plan, looks, splits)
    with _Bar() as bar:
        card = fine_tune(folder, output, plan, resume=resume, watch=bar)
    if _is_first():
        _report(output, card, as_json)
    common.finish(len(failures), 1)


def _aligned(
    folder: Path, output: Path, plan: "TrainPlan", looks: dict[str, Any], splits: Path | None
) -> tuple[Path, "TrainPlan", list[str]]:
    """As `align_photos`, with a line for each photo without a crop. looks: the detector's options.

    Raises ConfigError where several processes would make the crops, DataError before they are made for nothing.
    """
    from facerec.datasets.photo_sets import read_photos
    from facerec.datasets.splits import split_people
    from facerec.training.fit import align_photos

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(f"{folder}: several processes need aligned crops; begin with one, then give --aligned")
    split_people(read_photos(folder.resolve()), splits, plan.data_seed)
    finder = detector_options.make_detector(False, **looks, crop_size=128)
    folder, plan, failures = align_photos(folder, output, plan, finder, _bar)
    for failure in failures:
        common.warn(failure)
    return folder, plan, failures


def _begins(output: Path) -> bool:
    from facerec.training.run_folder import begins

    return begins(output)


def _is_first() -> bool:
    """Whether this is the first of the processes that torchrun started: only the first prints."""
    return os.environ.get("RANK", "0") == "0"


def _report(output: Path, card: "ModelCard", as_json: bool) -> None:
    if as_json:
        common.emit({"output": str(output), "fingerprint": card.fingerprint, **card.results})
        return
    from facerec.training.chance import validation_interval

    measured = ", ".join(f"{key} {value:.4f}" for key, value in card.results.items())
    epoch = card.training["epoch"] + 1
    best = f"best epoch {epoch}" if epoch else "no epoch was better than the start model, which is kept"
    click.echo(f"{common.one_line(output)}: {best}: {measured}")
    ends = validation_interval(card)
    if ends is not None and ends[0] <= 0.5:
        known = f", and its 95 % interval is {ends[0]:.2f} to {ends[1]:.2f}" if ends[0] < ends[1] else ""
        click.echo(
            f"it is no better than chance: an AUC of 0.5 is chance{known}. "
            "Try more people and photos, another --strategy, --init default or a lower --lr; "
            "`facerec advise` says which strategy suits the photos"
        )
        return
    click.echo(f"use it with --model {common.one_line(output)}")
    if card.mode == "metric":
        click.echo(f"it brings {_strangers(output, card)}")


def _strangers(output: Path, card: "ModelCard") -> str:
    from facerec.models.cohort import load_cohort

    if count := len(load_cohort(output, card)):
        return f"the {count} strangers of its start model, to set thresholds by"
    threshold = card.default_threshold
    rests = f"one distance ({threshold.source})" if threshold else "not set"
    return f"no strangers: the threshold of its galleries is {rests}, until `facerec calibrate --strangers DIR`"


def _settings(
    given: dict[str, Any], config: Path | None, resumed: Path | None
) -> tuple[TrainSettings, Collection[str] | None]:
    """The settings, and the names of those given by options or the file; an option overrides the file.

    A resumed run keeps its settings: None for the names, and ConfigError for an option that differs.
    """
    if resumed is None:
        values = dataclasses.asdict(read_settings(TrainSettings, config)) if config else {}
        chosen = given.keys() | (read_values(config).keys() if config else set())
        return build_settings(TrainSettings, values | given, "options"), chosen
    if config is not None:
        raise ConfigError(f"{resumed}: keeps the settings it was started with; resume it without --config")
    from facerec.training.run_folder import settings_of

    settings = settings_of(resumed)
    for key, value in given.items():
        if getattr(settings, key) != value:
            name, before = key.replace("_", "-"), getattr(settings, key)
            if before is None:
                raise ConfigError(f"{resumed}: was started without --{name}; resume it without")
            on = f". To train its model further, start a new run with --init {resumed} and another --output"
            on = on if key == "epochs" else ""
            raise ConfigError(f"{resumed}: was started with --{name} {before}; resume it with that{on}")
    return settings, None


def _bar(photos: Iterator[T], total: int) -> Iterator[T]:
    return show_progress(photos, "Aligning", total)


class _Bar:
    """A progress bar on stderr if that is a terminal: loss, photos per second, and the time left in this epoch."""

    def __enter__(self) -> "_Bar":
        self._progress: Any = None
        self._epoch = -1
        return self

    def __call__(self, p: "Progress") -> None:
        """Show a finished batch. After an epoch's last batch the bar goes, and the epoch's line is printed."""
        if common.is_quiet() or not sys.stderr.isatty() or not _is_first():
            return
        if p.epoch != self._epoch:
            self._start(p)
        text = f"epoch {p.epoch + 1}/{p.epochs}, loss {p.loss:.4f}, {p.photos_per_second:.0f} photos/s"
        self._progress.update(self._task, completed=p.batch, description=text, refresh=p.batch == p.batches)
        if p.batch == p.batches:
            self._progress.stop()

    def _start(self, p: "Progress") -> None:
        from rich import progress
        from rich.console import Console

        columns = (progress.TextColumn("{task.description}"), progress.BarColumn(), progress.MofNCompleteColumn())
        self._progress = progress.Progress(
            *columns, progress.TimeRemainingColumn(), console=Console(stderr=True), transient=True
        )
        self._epoch, self._task = p.epoch, self._progress.add_task("", total=p.batches)
        self._progress.start()

    def __exit__(self, *error: object) -> None:
        if self._progress is not None:
            self._progress.stop()


if __name__ == "__main__":
    from facerec.cli.main import main

    main(["train", *sys.argv[1:]], prog_name="facerec")
