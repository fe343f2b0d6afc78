"""`facerec`: imports only the command that is asked for, so that --help and small commands answer at once."""

import importlib
import io
import logging
import os
import sys

import click

if "_FACEREC_COMPLETE" in os.environ:
    import facerec.cli.completion  # noqa: F401  # what it knows of bash must be known before click answers

COMMANDS = {
    "advise": "facerec.cli.advise:advise",
    "calibrate": "facerec.cli.calibrate:calibrate",
    "check-data": "facerec.cli.check_data:check_data",
    "classify": "facerec.cli.classify:classify",
    "cluster": "facerec.cli.albums:cluster",
    "completion": "facerec.cli.completion:completion",
    "doctor": "facerec.cli.models:doctor",
    "enroll": "facerec.cli.enroll:enroll",
    "evaluate": "facerec.cli.evaluate:evaluate",
    "export": "facerec.cli.export:export",
    "features": "facerec.cli.features:features",
    "gallery": "facerec.cli.gallery:gallery",
    "identify": "facerec.cli.identify:identify",
    "models": "facerec.cli.models:models",
    "search": "facerec.cli.albums:search",
    "show-features": "facerec.cli.show_features:show_features",
    "train": "facerec.cli.train:train",
    "verify": "facerec.cli.identify:verify",
}


class LazyGroup(click.Group):
    """A group that imports a command when it is asked for."""

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Also say where the user's settings stand."""
        from facerec.cli.user_settings import settings_file

        super().format_help_text(ctx, formatter)
        formatter.write(
            f"\n  Defaults of --model, --gallery, --fpir and the detector may stand in\n  {settings_file()}\n"
        )

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command called `cmd_name`, or None."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        return getattr(importlib.import_module(module), name)


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
    logging.basicConfig(format="%(message)s", stream=sys.stderr, level=logging.WARNING)


if __name__ == "__main__":
    main()
