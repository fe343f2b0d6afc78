"""`facerec completion`; what is offered for the names of people, backbones and models is in `offers`."""

import os
import re

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    ShellComplete,
    add_completion_class,
    get_completion_class,
)

from facerec.cli import common

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_FACEREC_COMPLETE"  # set by the scripts; click answers then instead of running a command


@common.command()
@click.argument("shell", type=click.Choice(SHELLS))
@common.json_option
def completion(shell: str, as_json: bool) -> None:
    """Print a script that lets a shell complete commands, options and names of people.

    Let the shell read it when it starts: ~/.bashrc or ~/.zshrc must hold a line such as: source ~/.facerec.bash

    \b
    facerec completion bash > ~/.facerec.bash
    facerec completion zsh > ~/.facerec.zsh
    facerec completion fish > ~/.config/fish/completions/facerec.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    script = ShellComplete.source(kind(click.Group(), {}, "facerec", VARIABLE))  # BashComplete's runs bash first
    common.say({"shell": shell, "script": script}, script, as_json)


class _Bash(BashComplete):
    """bash reads a completion as if it were typed, so special characters in it are escaped, unless a quote is open."""

    def format_completion(self, item: CompletionItem) -> str:
        """Return a line for the script. Its `read` removes one layer of backslashes."""
        typed = os.environ.get("COMP_WORDS", "").split("\n")
        number = int(os.environ.get("COMP_CWORD", "0"))
        if item.type != "plain":
            return f"{item.type},{item.value}"
        quote = typed[number][:1] if number < len(typed) else ""
        return "plain," + _in_bash(item.value, quote).replace("\\", "\\\\")


def _in_bash(text: str, quote: str) -> str:
    """Return the text as it is typed in bash. quote: the one that is open; without one, special letters are escaped."""
    if quote == "'":
        return text.replace("'", r"'\''")
    special = r'["$`\\]' if quote == '"' else r"[^\w@%+=:,./-]"
    return re.sub(special, r"\\\g<0>", text)


add_completion_class(_Bash, "bash")
