"""The library speaks of arguments; the command line shows those of the running command as its options."""

import dataclasses
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from messages import strings
from running import ROOT

from facerec.cli import common
from facerec.cli.arguments import ARGUMENT, options_elsewhere
from facerec.errors import ConfigError
from facerec.training.settings import TrainSettings

LIBRARY = [path for path in sorted((ROOT / "facerec").rglob("*.py")) if path.parent.name != "cli"]
COMMAND_LINES = {
    "training/advise.py": "writes the command line that it advises",
    "text.py": "writes the commands of `facerec gallery` that messages advise",
}
NOT_SERVED = [path for path in LIBRARY if "server" not in path.parts]  # others: tests/server/test_openapi.py
OPTION = re.compile(r"(?<![\w-])--[a-z]")
COMMAND = re.compile(r"`(facerec|torchrun|pip) [^`]*`")


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_message_of_the_library_speaks_of_options(path: Path) -> None:
    """Whole command lines between backticks are fine."""
    name = path.relative_to(ROOT / "facerec").as_posix()
    if name in COMMAND_LINES:
        return
    assert [(line, text) for line, text in strings(path) if OPTION.search(COMMAND.sub("", text))] == []


MESSAGE = (
    "x.jpg: too small; give a larger `input_size`, `input_size=96` or `pooling='mean'`, leave out `aligned` or "
    "`keep_crops`, or see `facerec models`, `json` and `direct`"
)


@common.command()
@click.option("--input-size")
@click.option("--pooling", "how")
@click.option("--aligned/--loose", is_flag=True)
@click.option("--keep-crops/--drop-crops")
@click.option("--warning", is_flag=True)
def toy(warning: bool, **_: object) -> None:
    """Refuse, or warn."""
    if not warning:
        raise ConfigError(MESSAGE)
    common.warn(MESSAGE)
    common.emit({"reason": MESSAGE, "image": "`aligned`"})


SHOWN = (
    "x.jpg: too small; give a larger --input-size, --input-size 96 or --pooling mean, leave out --aligned or "
    "--keep-crops, or see `facerec models`, `json` and `direct`"
)


def test_an_error_is_shown_with_the_options_of_the_command() -> None:
    result = CliRunner().invoke(toy, [])
    assert (result.exit_code, result.stderr) == (2, f"Error: {SHOWN}\n")


def test_warnings_and_reasons_are_too_and_names_are_left_alone() -> None:
    result = CliRunner().invoke(toy, ["--warning"])
    assert result.stderr == f"{SHOWN}\n"
    assert result.stdout == f'{{"reason": "{SHOWN}", "image": "`aligned`"}}\n'


@common.command()
def looking() -> None:
    """Has no option that the message speaks of."""
    raise ConfigError("no weights; connect, or train with `init=random`; leave `aligned` out, see `passphrase`")


def test_an_option_that_only_another_command_has_is_shown_with_that_command() -> None:
    """`advise` has no --init; several commands have --aligned, and none a passphrase."""
    told = CliRunner().invoke(looking, []).stderr
    assert "train with `facerec train --init random`; leave `aligned` out, see `passphrase`" in told


OTHERS = {"detect", "passphrase", "remove"}  # what only a program can give or call
OTHERS |= {"names", "embeddings"}  # the parts of a teacher's file


@pytest.mark.parametrize("path", NOT_SERVED, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_argument_in_a_message_is_an_option_of_some_command(path: Path) -> None:
    known = {*options_elsewhere(), *OTHERS}
    said = [name for _, text in strings(path) for name, _ in ARGUMENT.findall(text)]
    fields = {field.name for field in dataclasses.fields(TrainSettings)}
    assert path.name == "settings.py" or set(said) <= known | fields


def test_outside_of_a_command_a_message_stays() -> None:
    assert common.in_options(MESSAGE) == MESSAGE
