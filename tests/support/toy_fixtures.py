"""Fixtures that a test file takes under a name of its own: `folder = toy_fixtures.two_people`."""

from pathlib import Path

import pytest
import toy_classes
import toy_damage
import toy_gallery
from complaints import enroll
from running import run

# ------------------------------------------------------------------------------------------------- folders of galleries


@pytest.fixture
def not_made_yet(tmp_path: Path) -> Path:
    """A path with an odd name, where a gallery is to be made."""
    return tmp_path / "my gallery?#%"


@pytest.fixture
def few_people(tmp_path: Path) -> Path:
    """A gallery of Ann, Bob and Cy with four photos, strangers, index and backup."""
    return toy_damage.few_people(tmp_path / "gallery")


@pytest.fixture
def two_people(tmp_path: Path) -> Path:
    """A plain gallery of 40 photos of Ann Zebra and Bob Ray, with every file that a gallery can have."""
    return toy_gallery.two_people(tmp_path / "gallery")


@pytest.fixture
def one_person(good: Path, toy: Path, tmp_path: Path) -> Path:
    """A gallery of one person, enrolled with the photo `good`."""
    folder = tmp_path / "gallery"
    assert enroll(folder, toy, good, "--name", "Ann Lee").exit_code == 0
    return folder


@pytest.fixture
def three_people(crops: Path, toy: Path, tmp_path: Path) -> Path:
    """A gallery of three made-up people with two photos each."""
    result = run("enroll", crops / "people", "--aligned", "--model", toy, gallery=tmp_path / "gallery")
    assert result.exit_code == 0, result.output
    return tmp_path / "gallery"


# ------------------------------------------------------------------------------------------------- models


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of green, blue and red pictures. Do not change."""
    folder = tmp_path_factory.mktemp("classes") / "colours"
    toy_classes.write_classifier(folder)
    return folder
