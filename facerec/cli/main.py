"""`facerec`: imports only the command that is asked for, so that --help and small commands answer at once."""

import importlib
import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from facerec.cli.arguments import OptionsFormatter

if "_FACEREC_COMPLETE" in os.environ:
    import facerec.cli.completion  # noqa: F401  # what it knows of bash must be known before click answers

COMMANDS = {
    "advise": ("advise:advise", "Say which part of a network to train, and why."),
    "calibrate": ("calibrate:calibrate", "Show or set the gallery's threshold."),
    "check-data": ("check_data:check_data", "Find bad photos in folders of people."),
    "classify": ("classify:classify", "Say what each picture shows: its likeliest class."),
    "cluster": ("albums:cluster", "Group the faces in a folder of photos by person."),
    "completion": (
        "completion:completion", "Print a script that lets a shell complete commands, options and names of people."
    ),
    "doctor": ("models:doctor", "Check that facerec works here."),
    "embed": ("embed:embed", "Write the faces and vectors of an archive to files."),
    "enroll": ("enroll:enroll", "Enroll people from photos."),
    "evaluate": ("evaluate:evaluate", "Measure how often a model is right."),
    "export": ("export:export", "Write a model as a file that runs without torch."),
    "features": ("features:features", "Turn photos into features for other learners."),
    "gallery": ("gallery:gallery", "Look after the gallery and its people."),
    "identify": ("identify:identify", "Say who is in each photo, face by face."),
    "models": ("models:models", "List the backbones and strategies, and show a model's card."),
    "plan": ("plan:plan", "Say what a gallery of so many people will need, and how often it will be wrong."),
    "search": ("albums:search", "Find similar faces in a folder of photos."),
    "serve": ("serve:serve", "Serve the gallery over HTTP: an API for programs, and a page for people."),
    "show-features": ("show_features:show_features", "Draw what a stage of a network sees in a photo."),
    "study": ("study:study", "Compare ways to train a network on your photos."),
    "train": ("train:train", "Fine-tune a network on your photos."),
    "verify": ("identify:verify", "Say whether two photos show the same person."),
    "watch": ("watch:watch", "Say who is in a video while it runs."),
}  # fmt: skip
"""Each command's module and name in it, and the first sentence of its help."""


class LazyGroup(click.Group):
    """A group that imports a command when it is asked for."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the options, as --help, which is printed at once."""
        with _errors_in_one_line():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Those of `common` tell their errors themselves; groups, as of `facerec gallery`, do not."""
        with _errors_in_one_line():
            return super().invoke(ctx)

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Also say where the user's settings stand."""
        from facerec.cli.user_settings import settings_file

        super().format_help_text(ctx, formatter)
        formatter.write(
            f"\n  Defaults of --model, --gallery, --fpir and the detector may stand in\n  {settings_file()}\n"
        )

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by the table, without importing one."""
        limit = formatter.width - 6 - max(map(len, COMMANDS))
        shown = {name: click.Command(name, help=words) for name, (_, words) in COMMANDS.items()}
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(limit)) for name, each in shown.items()])

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command called `cmd_name`, or None."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        return getattr(importlib.import_module(f"facerec.cli.{module}"), name)


@contextmanager
def _errors_in_one_line() -> Iterator[None]:
    """Tell errors of usage and of the system, such as an output on a full disk; see `common`."""
    try:
        yield
    except (OSError, KeyboardInterrupt, click.ClickException):
        from facerec.cli.common import errors_in_one_line

        with errors_in_one_line():
            raise


@click.group(cls=LazyGroup)
@click.version_option(package_name="facerec")
def main() -> None:
    """Enroll the people you know, then find them in other photos. Everybody else is "unknown".

    \b
    facerec enroll people/              # one folder per person: people/Ann Lee/*.jpg, ...
    facerec identify party.jpg
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name may have letters that the terminal lacks
    log = logging.StreamHandler()
    log.setFormatter(OptionsFormatter())
    logging.basicConfig(handlers=[log], level=logging.WARNING)


if __name__ == "__main__":
    main()
