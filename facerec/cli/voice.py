"""How much a command says, and in which colours: --quiet, --verbose, $NO_COLOR and $FORCE_COLOR."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

import click

_VOICE = f"{__name__}.voice"


def voice_option(option: str, help: str) -> click.Option:
    """Return --quiet or --verbose."""
    return click.Option([option], is_flag=True, expose_value=False, callback=_keep_voice, help=help)


def _keep_voice(ctx: click.Context, option: click.Parameter, given: bool) -> None:
    """Keep which of --quiet and --verbose was given."""
    if given and ctx.meta.setdefault(_VOICE, option.name) != option.name:
        raise click.UsageError("--quiet and --verbose exclude each other; give one of them")


def is_quiet() -> bool:
    """Whether the running command was given --quiet: it prints answers only, and one line for each failed input."""
    return _has_voice("quiet")


def is_verbose() -> bool:
    """Whether the running command was given --verbose."""
    return _has_voice("verbose")


def _has_voice(name: str) -> bool:
    context = click.get_current_context(silent=True)
    return context is not None and context.meta.get(_VOICE) == name


@contextmanager
def telling_more(ctx: click.Context) -> Iterator[None]:
    """Show what the library logs at level INFO while the command runs, such as the model it loads; then the time."""
    log, began = logging.getLogger("facerec"), time.monotonic()
    before = log.level
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.setLevel(before)
        aside(f"{ctx.command_path} took {time.monotonic() - began:.1f} s")


def aside(text: str, file: IO[Any] | None = None, color: bool | None = None) -> None:
    """Print a line on stderr, if it can be printed: the answers and the exit code tell the rest."""
    with suppress(OSError):
        click.echo(text, file=file, err=True, color=color)


def wants_colour() -> bool | None:
    """Whether to colour what is printed; None: only on a terminal. See no-color.org and force-color.org."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return False if os.environ.get("TERM") == "dumb" else None
