"""Turns the arguments that library messages speak of into options of the command line."""

import functools
import logging
import re

import click

ARGUMENT = re.compile(r"`([a-z_]+)(?:=([^`]+))?`")


def in_options(message: str) -> str:
    """Replace the arguments in a library message by options of the running command.

    The library marks arguments by backticks. `input_size` becomes --input-size, and `input_size=96` becomes
    --input-size 96. If only another command has the option, that command is shown, too: `facerec train --init random`.
    Any other text between backticks stays as it is.
    """
    context = click.get_current_context(silent=True)
    known = _options_of(context.command) if context else {}

    def option(found: re.Match[str]) -> str:
        name, value = found.group(1), (found.group(2) or "").strip("'")
        if name in known:
            return f"{known[name]} {value}".strip()
        others = options_elsewhere().get(name, []) if context else []
        return f"`{f'{others[0]} {value}'.strip()}`" if len(others) == 1 else found.group()

    return ARGUMENT.sub(option, message)


class OptionsFormatter(logging.Formatter):
    """Shows what the library logs, with options in place of arguments."""

    def format(self, record: logging.LogRecord) -> str:
        return in_options(super().format(record))


def _options_of(command: click.Command) -> dict[str, str]:
    """Return a command's options, by the names of the library's arguments."""
    options = [each for each in command.params if isinstance(each, click.Option)]
    return {opt.lstrip("-").replace("-", "_"): opt for each in options for opt in (*each.opts, *each.secondary_opts)}


@functools.cache
def options_elsewhere() -> dict[str, list[str]]:
    """Return what to type for each option of every command, by the names of the library's arguments."""
    from facerec.cli.main import main

    found: dict[str, list[str]] = {}
    groups: list[tuple[str, click.Command]] = [("facerec", main)]
    for path, command in groups:  # grows on the way
        if isinstance(command, click.Group):
            context = click.Context(command)
            own = [(name, command.get_command(context, name)) for name in command.list_commands(context)]
            groups += [(f"{path} {name}", each) for name, each in own if each is not None]
        else:
            for name, option in _options_of(command).items():
                found.setdefault(name, []).append(f"{path} {option}")
    return found
