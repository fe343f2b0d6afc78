"""Fixtures that some files take by a name that means something else in others: `gallery = toy_fixtures.one_person`."""

from pathlib import Path

import pytest
from complaints import enroll
from running import run


@pytest.fixture
def one_person(good: Path, toy: Path, tmp_path: Path) -> Path:
    """A gallery of one person, known by the good photo."""
    folder = tmp_path / "gallery"
    assert enroll(folder, toy, good, "--name", "Ann Lee").exit_code == 0
    return folder


@pytest.fixture
def three_people(crops: Path, toy: Path, tmp_path: Path) -> Path:
    """A gallery of the made-up people, two photos each."""
    result = run("enroll", crops / "people", "--aligned", "--model", toy, gallery=tmp_path / "gallery")
    assert result.exit_code == 0, result.output
    return tmp_path / "gallery"
