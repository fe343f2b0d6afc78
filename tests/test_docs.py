"""The documentation holds to the code: every command is shown, and every command that is shown exists."""

import re
import shlex
from collections.abc import Iterator

import click
import pytest
from running import ROOT, run

from facerec.cli.main import main

README = (ROOT / "README.md").read_text("utf-8")
FENCES = re.findall(r"^```[^\n]*\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command and sub-command with its full name."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


ALL = dict(commands(main))


def examples(text: str) -> list[str]:
    """The command lines in a text, without prompt, comment and redirection."""
    lines = [line.strip().removeprefix("$ ") for line in text.replace("\\\n", " ").splitlines()]
    return [line.split(" > ")[0] for line in lines if line.startswith("facerec ")]


def parse(example: str) -> tuple[str, ...]:
    """Parse a command line as click would, running nothing; returns the command's full name."""
    _, *words = shlex.split(example, comments=True)
    command: click.Command = main
    path: tuple[str, ...] = ()
    while isinstance(command, click.Group):
        path = (*path, words.pop(0))
        assert path in ALL, f"there is no {' '.join(path)}"
        command = ALL[path]
    command.make_context(" ".join(path), words)
    return path


def texts_of(command: click.Command) -> list[str]:
    return [parameter.help or "" for parameter in command.params if isinstance(parameter, click.Option)]


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_has_an_example_that_runs(path: tuple[str, ...]) -> None:
    result = run(*path, "--help")
    assert result.exit_code == 0
    shown = [parse(example) for example in examples(result.stdout)]
    assert shown, "no example"
    assert all(example[: len(path)] == path for example in shown)


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_option_is_explained_and_every_command_gives_json(path: tuple[str, ...]) -> None:
    command = ALL[path]
    assert all(texts_of(command))
    if not isinstance(command, click.Group):
        assert "--json" in {option for parameter in command.params for option in parameter.opts}


def test_the_front_page_has_examples_that_run() -> None:
    assert {parse(example) for example in examples(run("--help").stdout)} == {("enroll",), ("identify",)}


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_readme_names_every_command(path: tuple[str, ...]) -> None:
    spans = re.findall(r"`[^`\n]+`", re.sub(r"^```.*?^```", "", README, flags=re.MULTILINE | re.DOTALL))
    lines = [*spans, *(line for fence in FENCES for line in fence.splitlines())]
    whole = re.compile(r"\bfacerec\b.*" + r"\b.*".join(map(re.escape, path)) + r"\b")
    named_in_a_list = f"`{path[-1]}`" in lines and len(path) == 1
    assert named_in_a_list or any(whole.search(line) for line in lines)


def test_what_readme_shows_runs() -> None:
    shown = {parse(example) for fence in FENCES for example in examples(fence)}
    assert {("enroll",), ("identify",), ("verify",), ("train",), ("evaluate", "verification")} <= shown


def test_readme_names_the_two_scripts_and_no_path_that_is_not_there() -> None:
    assert {"scripts/quickstart", "scripts/test"} <= set(re.findall(r"scripts/\w+", README))
    for path in re.findall(r"\b(?:scripts|gallery|facerec|tests)/[\w/.-]*\w", README):
        assert (ROOT / path).exists(), path
