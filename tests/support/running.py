"""Run the command line, in this process or in one of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from facerec.cli.main import main
from facerec.gallery.address import Place

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: object, gallery: Place | None = None, typed: str | None = None) -> Result:
    """Run `facerec ARGUMENTS` in this process, with $FACEREC_GALLERY. An exception that it does not catch is raised.

    typed: what is typed at the terminal.
    """
    env = {"FACEREC_GALLERY": None if gallery is None else str(gallery)}
    words = [str(argument) for argument in arguments]
    return CliRunner().invoke(main, words, input=typed, env=env, catch_exceptions=False)


def run_process(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run `facerec ARGUMENTS` in a process of its own."""
    command = [sys.executable, "-m", "facerec.cli.main", *map(str, arguments)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, **options)


def json_lines(result: Result) -> list[dict[str, Any]]:
    """Return the JSON objects that a command printed. Fails for any other output."""
    lines = [json.loads(line) for line in result.stdout.split("\n") if line]
    assert all(isinstance(line, dict) for line in lines)
    return lines


def refused(folder: Path, *arguments: object, words: str) -> None:
    """The command says why in one line and exits with 2; no file is changed."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    result = run(*arguments, gallery=folder)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert words in result.stderr
    assert str(folder) in result.stderr
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
