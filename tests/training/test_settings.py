"""Settings: every field documented, read from TOML, and nothing taken that is not known."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from facerec.errors import ConfigError
from facerec.faces.settings import DetectorSettings
from facerec.settings import build_settings, read_settings
from facerec.training.settings import TrainSettings


@pytest.mark.parametrize("kind", [DetectorSettings, TrainSettings])
def test_every_field_says_what_it_is(kind: Any) -> None:
    for field in dataclasses.fields(kind):
        assert field.metadata["help"].endswith("."), field.name
        assert getattr(kind(), field.name) == field.default


def test_a_file_of_settings_changes_what_it_names(tmp_path: Path) -> None:
    lines = ['backbone = "vgg16"', "lr = 1", 'teacher = ["a.npz", "b"]', "limit_people = 5", "tensorboard = true"]
    (tmp_path / "train.toml").write_text("\n".join(lines), "utf-8")
    settings = read_settings(TrainSettings, tmp_path / "train.toml")
    changes: dict[str, Any] = {"lr": 1.0, "teacher": ("a.npz", "b"), "limit_people": 5, "tensorboard": True}
    assert settings == dataclasses.replace(TrainSettings(), backbone="vgg16", **changes)
    assert type(settings.lr) is float


def test_settings_survive_being_written_down() -> None:
    settings = dataclasses.replace(TrainSettings(), teacher=("a", "b"), frozen_stages=3, init="models/mine")
    assert build_settings(TrainSettings, dataclasses.asdict(settings), "here") == settings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"learning_rate": 1.0}, "here: unknown setting 'learning_rate'; known are mode, backbone,"),
        ({"epochs": "ten"}, "here: 'epochs' must be a whole number, not 'ten'"),
        ({"epochs": 1.5}, "here: 'epochs' must be a whole number, not 1.5"),
        ({"epochs": True}, "here: 'epochs' must be a whole number, not True"),
        ({"teacher": "a.npz"}, "here: 'teacher' must be a list of texts, not 'a.npz'"),
        ({"teacher": ["a.npz", 3]}, "here: 'teacher' must be a list of texts"),
        ({"limit_people": "few"}, "here: 'limit_people' must be a whole number or None, not 'few'"),
    ],
)
def test_what_is_not_known_or_of_the_wrong_kind_is_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        build_settings(TrainSettings, values, "here")
    assert "\n" not in str(caught.value)
