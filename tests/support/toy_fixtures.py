"""Fixtures that files take under the name that is theirs to give: `folder = toy_fixtures.two_people`."""

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
    """Where a gallery is to be, a folder of an odd name."""
    return tmp_path / "my gallery?#%"


@pytest.fixture
def few_people(tmp_path: Path) -> Path:
    """Ann, Bob and Cy with four photos; with strangers, index and backup."""
    return toy_damage.few_people(tmp_path / "gallery")


@pytest.fixture
def two_people(tmp_path: Path) -> Path:
    """A plain gallery of 40 photos, Ann Zebra's and Bob Ray's, with all files there may be."""
    return toy_gallery.two_people(tmp_path / "gallery")


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


# ------------------------------------------------------------------------------------------------- models


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of green, blue and red pictures. Do not change."""
    folder = tmp_path_factory.mktemp("classes") / "colours"
    toy_classes.write_classifier(folder)
    return folder
