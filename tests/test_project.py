"""What holds the project together: imports, packaging, scripts and the sample gallery's licences."""

import importlib
import itertools
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

import facerec

ROOT = Path(__file__).resolve().parents[1]
GALLERY = ROOT / "gallery"
PHOTOS = sorted(GALLERY.glob("**/*.jpg"))
NAMES = ("quickstart", "test", "check", "bench", "default_model/fetch_sface", "kill_gallery")
COMMANDS = [*(ROOT / "scripts" / name for name in NAMES), ROOT / ".ci" / "run"]
SHELL = [*COMMANDS, ROOT / "scripts" / "_venv"]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_importing_facerec_stays_light() -> None:
    code = "import sys, facerec; print(*{'torch', 'click'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert loaded.split() == []


def test_public_names_are_sorted_and_resolve() -> None:
    assert facerec.__all__ == sorted(facerec.__all__)
    assert len(set(facerec.__all__)) == len(facerec.__all__)
    first = {name: getattr(facerec, name) for name in facerec.__all__}
    for module in pkgutil.iter_modules(facerec.__path__, "facerec."):  # which sets attributes of the package
        importlib.import_module(module.name)
    for name, value in first.items():
        assert getattr(facerec, name) is value
        assert not isinstance(value, ModuleType), name


def test_an_unknown_name_is_an_attribute_error() -> None:
    name = "no_such_name"
    with pytest.raises(AttributeError, match=name):
        getattr(facerec, name)


def test_types_travel_with_the_package() -> None:
    assert (ROOT / "facerec" / "py.typed").is_file()


def test_constraints_pin_every_direct_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    direct = itertools.chain(project["dependencies"], *project["optional-dependencies"].values())
    pinned = {line.split("==")[0] for line in (ROOT / "scripts" / "constraints.txt").read_text("utf-8").splitlines()}
    named = {re.split(r"[<>=\[]", requirement)[0] for requirement in direct}
    assert named - {project["name"]} <= pinned, "an extra may include others"


@pytest.mark.parametrize("script", SHELL, ids=name_of)
def test_scripts_are_sound_bash(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True)


@pytest.mark.parametrize("script", COMMANDS, ids=name_of)
def test_scripts_run_as_they_are_and_stop_at_the_first_failure(script: Path) -> None:
    assert os.access(script, os.X_OK)
    lines = script.read_text("utf-8").splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines


def test_ci_runs_the_tests_and_the_tests_run_the_checks() -> None:
    assert "scripts/test" in (ROOT / ".ci" / "run").read_text("utf-8")
    assert "scripts/check" in (ROOT / "scripts" / "test").read_text("utf-8")


ONLY_IN = {
    r"os\.(replace|rename|fsync)\b|\bshutil\.move\b|NamedTemporaryFile|mkstemp": {"facerec/files.py"},
    r"linalg\.norm\(.*axis=(1|-1|1, keepdims=True)\)": {"facerec/vectors.py"},
    r"\b2(\.0)? - 2(\.0)? \*.*( @ |\.sum\()": set(),
}
"""What one module does for all others: a pattern of code, and where alone it may stand."""


@pytest.mark.parametrize("pattern", ONLY_IN)
def test_files_are_replaced_and_rows_normalised_in_one_place(pattern: str) -> None:
    modules = [path for folder in ("facerec", "scripts") for path in (ROOT / folder).rglob("*.py")]
    found = {name_of(path) for path in modules if re.search(pattern, path.read_text("utf-8"))}
    assert found == ONLY_IN[pattern]


def test_quickstart_names_the_interpreter_it_cannot_use(tmp_path: Path) -> None:
    old = tmp_path / "old-python"
    old.write_text("#!/bin/sh\nexit 1\n", "utf-8")
    old.chmod(0o755)
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    for name in ("quickstart", "_venv", "constraints.txt"):
        (scripts / name).write_bytes((ROOT / "scripts" / name).read_bytes())
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    run = subprocess.run(
        ["bash", scripts / "quickstart"], env={**os.environ, "PYTHON": str(old)}, capture_output=True, text=True
    )
    assert run.returncode == 2
    assert run.stderr.startswith("facerec needs Python 3.11 or newer, but ")
    assert str(old) in run.stderr
    assert not (tmp_path / ".venv").exists()


def test_the_sample_gallery_is_listed_with_its_licences() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (GALLERY / "README.md").read_text("utf-8").splitlines()
        if line.startswith("| `")
    ]
    assert sorted(row[0].strip("`") for row in rows) == [str(photo.relative_to(GALLERY)) for photo in PHOTOS]
    for _, shows, package, original, licence in rows:
        assert shows
        assert re.search(r"\d+\.\d+\.\d+", package), "the package's version"
        assert original
        assert licence.startswith("Public domain, 17 U.S.C. § 105")


def test_the_sample_gallery_is_data_only() -> None:
    files = {path for path in GALLERY.rglob("*") if path.is_file()}
    assert files == {*PHOTOS, GALLERY / "README.md"}


@pytest.mark.parametrize("photo", PHOTOS, ids=name_of)
def test_sample_photos_are_small_jpegs(photo: Path) -> None:
    assert photo.stat().st_size < 300_000
    with Image.open(photo) as image:
        assert image.format == "JPEG"
        assert min(image.size) >= 500


def test_the_sample_gallery_has_people_a_held_back_photo_and_a_stranger() -> None:
    people = {folder.name for folder in (GALLERY / "people").iterdir()}
    held_back = [photo.stem for photo in (GALLERY / "held_back").iterdir()]
    strangers = [photo.stem for photo in (GALLERY / "strangers").iterdir()]
    assert len(people) >= 2
    enrolled = tuple(name.lower().replace(" ", "_") for name in people)
    assert held_back
    assert all(stem.startswith(enrolled) for stem in held_back)
    assert strangers
    assert not any(stem.startswith(enrolled) for stem in strangers)
