"""A question at the terminal."""

import click

from facerec.text import printable


def asked(question: str) -> bool | None:
    """Ask at the terminal for yes or no. None: no answer, which is the Enter key or the end of the input (Ctrl-D)."""
    try:
        return click.prompt(printable(question), default="", show_default=False, value_proc=_yes_or_no, err=True)
    except click.Abort as stop:
        if not isinstance(stop.__context__, EOFError):
            raise  # Ctrl-C
        click.echo(err=True)
        return None


def _yes_or_no(typed: str) -> bool | None:
    answers = {"y": True, "yes": True, "n": False, "no": False, "": None}
    if (answer := typed.strip().lower()) not in answers:
        raise click.UsageError("type y or n")
    return answers[answer]
