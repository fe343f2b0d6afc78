"""--quiet and --verbose: every command has them, by one mechanism."""

from pathlib import Path

import click
import pytest
import toy_fixtures
from click.testing import CliRunner
from running import run_process

from facerec.cli import common
from facerec.cli.main import main

gallery = toy_fixtures.three_people


@common.command()
def toy() -> None:
    """Say one thing of each kind."""
    click.echo("answer")
    common.warn("a.jpg: failed")
    common.remark("by the way")
    common.detail("a.jpg: 2 faces")
    common.summary("3 photos", as_json=False)
    common.summary("a line for whoever watches at a terminal", as_json=True)


@pytest.mark.parametrize(
    ("options", "stdout", "stderr"),
    [
        ([], ["answer", "3 photos"], ["a.jpg: failed", "by the way"]),
        (["--quiet"], ["answer"], ["a.jpg: failed"]),
    ],
)
def test_quiet_leaves_answers_and_failures(options: list[str], stdout: list[str], stderr: list[str]) -> None:
    result = CliRunner().invoke(toy, options)
    assert (result.stdout.splitlines(), result.stderr.splitlines()) == (stdout, stderr)


def test_verbose_adds_details_and_the_time() -> None:
    result = CliRunner().invoke(toy, ["--verbose"])
    *_, detail, took = result.stderr.splitlines()
    assert detail == "a.jpg: 2 faces"
    assert took.startswith("toy took ")


def test_quiet_and_verbose_exclude_each_other() -> None:
    result = CliRunner().invoke(toy, ["--verbose", "--quiet"])
    assert result.exit_code == 2
    assert "--quiet and --verbose exclude each other" in result.stderr


def commands(group: click.Group) -> list[click.Command]:
    """All commands and sub-commands."""
    context = click.Context(group)
    own = [group.get_command(context, name) for name in group.list_commands(context)]
    return [
        each for one in own if one is not None for each in (commands(one) if isinstance(one, click.Group) else [one])
    ]


def test_every_command_has_both() -> None:
    for command in commands(main):
        assert {"--quiet", "--verbose"} <= {option for each in command.params for option in each.opts}, command.name


def test_verbose_says_what_is_loaded_and_how_long_it_took(gallery: Path, crops: Path, toy: Path) -> None:
    """In a process of its own, because pytest takes the log."""
    options = ["--aligned", "--json", "--model", toy, "--gallery", gallery]
    result = run_process("identify", crops / "ann.png", *options, "--verbose")
    lines = result.stderr.splitlines()
    for start in ("model toy (", "detector: none, the photos are aligned crops", f"gallery {gallery}, opened in "):
        assert any(line.startswith(start) for line in lines), start
    assert " identify took " in lines[-1]
    assert len(result.stdout.splitlines()) == 1
    assert run_process("identify", crops / "ann.png", *options, "--quiet").stderr == ""
