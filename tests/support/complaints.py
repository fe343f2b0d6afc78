"""Commands with bad input, and checks of their message: one clear line on stderr."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import Result
from running import run

Build = Callable[[Path], Path]  # a folder to work in -> the bad input


def enroll(gallery: Path, model: Path, *arguments: object) -> Result:
    return run("enroll", *arguments, "--aligned", "--json", "--model", model, gallery=gallery)


def identify(gallery: Path, model: Path, *arguments: object) -> Result:
    return run("identify", *arguments, "--aligned", "--json", "--model", model, gallery=gallery)


def complaint(result: Result, exit_code: int) -> str:
    """Assert the exit code and a single clear line on stderr. Returns the line."""
    assert result.exit_code == exit_code, result.output
    assert clear(result.stderr)
    return result.stderr


def clear(text: str) -> bool:
    """Assert one line without traceback and class names. Returns whether all its characters are printable."""
    assert len(text.splitlines()) == 1, text
    assert len(text) < 900, "room for the names of all backbones, or of all settings"
    assert not re.search(r"Traceback|\w(Error|Exception|Warning)\b|errno|<class|0x[0-9a-f]{6}", text, re.IGNORECASE), (
        text
    )
    return text.strip().isprintable()


def refused(result: Result, *words: object) -> None:
    """Assert that nothing was done, and that one line with these words says why."""
    line = complaint(result, 2)
    assert result.stdout == ""
    for word in words:
        assert str(word) in line


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def one_refusal(result: Any, *words: str) -> None:
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert all(word in line for word in words)
