"""facerec.toml: typed goes before the environment, that before the file, the file before the default."""

from collections.abc import Callable
from pathlib import Path

import pytest
import toy_fixtures
import toy_model
from click.testing import Result
from running import json_lines, run

from facerec.cli import user_settings

gallery = toy_fixtures.three_people


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of these settings, which is not there yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert user_settings.settings_file() == tmp_path / "facerec.toml"
    return tmp_path / "facerec.toml"


def listed(*options: object, environment: Path | None = None) -> list[str]:
    return [line["person"] for line in json_lines(run("gallery", "list", "--json", *options, gallery=environment))]


def test_the_gallery_by_option_environment_file(
    settings: Path, gallery: Path, toy: Path, crops: Path, tmp_path: Path
) -> None:
    for name in ("Bea", "Cy"):
        options = ["--name", name, "--aligned", "--model", toy, "--gallery", tmp_path / name]
        assert run("enroll", crops / "ann.png", *options).exit_code == 0
    settings.write_text(f'gallery = "{gallery}"\n')
    assert len(listed()) == 3
    assert listed(environment=tmp_path / "Bea") == ["Bea"]
    assert listed("--gallery", tmp_path / "Cy", environment=tmp_path / "Bea") == ["Cy"]


def test_the_model_and_the_rate(settings: Path, gallery: Path, toy: Path, crops: Path, tmp_path: Path) -> None:
    settings.write_text(f'model = "{toy}"\n')
    arguments = ["identify", crops / "ann.png", "--aligned", "--json"]
    (line,) = json_lines(run(*arguments, gallery=gallery))
    assert line["threshold_source"] == "made up for tests"
    other = toy_model.write_model(tmp_path / "other", "other", mean=(0.0, 0.0, 0.0))
    assert "made with model toy" in run(*arguments, "--model", other, gallery=gallery).stderr
    settings.write_text(f'model = "{toy}"\nfpir = 0.2\n')
    refused = run(*arguments, gallery=gallery)  # the toy model brings no strangers
    assert (refused.exit_code, "no strangers to calibrate with" in refused.stderr) == (2, True)
    (line,) = json_lines(run(*arguments, "--threshold", 1.5, gallery=gallery))
    assert line["threshold"] == 1.5, "a threshold that is typed goes before the file's rate"


def test_calibrate_says_whose_rate_identify_uses(settings: Path, gallery: Path, toy: Path, crops: Path) -> None:
    settings.write_text("fpir = 0.001\n")
    said = f"`facerec identify` uses FPIR 0.1 %, as {settings} says"
    given = ("--strangers", crops, "--aligned", "--model", toy)
    assert said in run("calibrate", "--fpir", "0.02", *given, gallery=gallery).stderr
    assert said not in run("calibrate", "--fpir", "0.001", *given, gallery=gallery).stderr


def test_the_detector(settings: Path, toy: Path, small_samples: Path, caplog: pytest.LogCaptureFixture) -> None:
    photo = small_samples / "people" / "Grace Hopper" / "official_portrait_1984.jpg"
    arguments = ["verify", photo, photo, "--model", toy]
    settings.write_text("[detector]\nmin_face_size = 300\n")
    assert "no face found" in run(*arguments).stderr
    assert run(*arguments, "--min-face-size", 32).exit_code == 0
    settings.write_text('[detector]\nname = "yunet"\n')
    assert run(*arguments, "--verbose").exit_code == 0
    assert run(*arguments, "--verbose", "--detector", "mtcnn").exit_code == 0
    said = [record.getMessage() for record in caplog.records if record.name == "facerec.faces.detector"]
    assert [line.split()[1] for line in said] == ["yunet", "mtcnn"]


BROKEN = {
    "no TOML": ("model = int8", "not TOML", "correct it"),
    "unknown key": ('modle = "int8"', "unknown setting 'modle'", "known are model, gallery, fpir, detector"),
    "unknown key of the detector": ("[detector]\nsize = 30", "[detector]: unknown setting 'size'", "min_face_size"),
    "wrong type": ("gallery = 5", "'gallery' must be a text in quotes", "not 5"),
    "a text for a number": ('fpir = "0.01"', "'fpir' must be a number", "not '0.01'"),
    "out of range": ("fpir = 1.5", "'fpir' must be above 0 and below 1", "correct it"),
    "too small a face": (
        "[detector]\nmin_face_size = 2",
        "'min_face_size' must be from 12 to 2000 pixels",
        "correct it",
    ),
    "too large a face": (
        "[detector]\nmin_face_size = 99999999999999",
        "'min_face_size' must be from 12 to",
        "correct it",
    ),
    "nobody's home": ('gallery = "~nosuchuser/club"', "'gallery' must be a full path", "not '~nosuchuser/club'"),
    "no name of a file": ('gallery = "/x\\u0000"', "'gallery' must be a full path", "correct it"),
    "no certainty": ("[detector]\nmin_confidence = 7", "'min_confidence' must be from 0 to 1", "correct it"),
    "no such detector": ('[detector]\nname = "eyes"', "'name' must be mtcnn or yunet, not 'eyes'", "correct it"),
    "no table": ('detector = "mtcnn"', "'detector' must be a table, [detector]", "correct it"),
    "relative path": ('gallery = "club"', "'gallery' must be a full path", "not 'club'"),
    "empty": (
        'model = ""',
        "'model' must be 'default', 'int8' or 'one-view', or the full path of a model folder",
        "not ''",
    ),
    "no model": (
        'model = "nope"',
        "'model' must be 'default', 'int8' or 'one-view', or the full path of a model folder",
        "not 'nope'",
    ),
    "a half pixel": ("[detector]\nmin_face_size = 40.5", "'min_face_size' must be a whole number", "not 40.5"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_refused_in_one_line(case: str, settings: Path, crops: Path) -> None:
    text, *words = BROKEN[case]
    settings.write_text(text)
    result: Result = run("identify", crops / "ann.png")
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"Error: {settings}")
    assert all(word in line for word in words), line
    assert run("identify", "--help").exit_code == 0


def _as_folder(path: Path) -> None:
    path.mkdir()


def _as_broken_link(path: Path) -> None:
    path.symlink_to(path.parent / "gone")


@pytest.mark.parametrize("make", [_as_folder, _as_broken_link])
@pytest.mark.parametrize("command", ["identify", "doctor"])
def test_what_cannot_be_read_is_not_passed_over(
    command: str, make: Callable[[Path], None], settings: Path, crops: Path
) -> None:
    make(settings)
    result = run(command, *([crops / "ann.png"] if command == "identify" else []))
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)
    assert f"{settings}: cannot be read (" in result.stderr


def test_a_file_of_windows_notepad(settings: Path, crops: Path) -> None:
    settings.write_text("fpir = 1.5", "utf-8-sig")
    assert "'fpir' must be above 0" in run("identify", crops / "ann.png").stderr


def test_what_does_not_use_the_settings_is_left_alone(settings: Path, crops: Path) -> None:
    """A new model is always typed: the one in the file is the model of the gallery as it is."""
    settings.write_text('model = "int8"\n')
    assert "Missing option '--model'" in run("gallery", "migrate").stderr
    assert "Missing option '--model'" in run("classify", crops / "ann.png").stderr


def test_a_name_below_the_home_folder(settings: Path, gallery: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(gallery.parent))
    settings.write_text(f'gallery = "~/{gallery.name}"\n')
    assert len(listed()) == 3


def test_doctor_and_help_say_where_the_file_is(settings: Path, gallery: Path, toy: Path) -> None:
    assert str(settings) in run("--help").stdout
    arguments = ["doctor", "--model", toy, "--json"]
    assert json_lines(run(*arguments, gallery=gallery))[0]["settings"] == f"none at {settings}"
    settings.write_text("fpir = 0.001\n[detector]\nmin_face_size = 40\n")
    (line,) = json_lines(run(*arguments, gallery=gallery))
    assert line["settings"] == f"{settings}: fpir 0.001, min_face_size 40"
