"""--fast, which stands for --model int8."""

from pathlib import Path

import pytest
from running import json_lines, run

from facerec.models.card import read_card
from facerec.models.places import SHIPPED_MODEL


def test_fast_is_the_int8_model(crops: Path) -> None:
    photo = crops / "ann.png"
    (line,) = json_lines(run("verify", photo, photo, "--aligned", "--fast", "--json"))
    assert line["threshold"] == pytest.approx(read_card(SHIPPED_MODEL / "int8.json").threshold["distance"])
    assert line == json_lines(run("verify", photo, photo, "--aligned", "--model", "int8", "--json"))[0]


@pytest.mark.parametrize("model", ["int8", "default"])
def test_fast_and_a_model_are_refused(model: str, crops: Path) -> None:
    for words in (("verify", crops / "ann.png", crops / "ann.png"), ("search", crops / "ann.png", "--in", crops)):
        result = run(*words, "--model", model, "--fast")
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.endswith("Error: --fast stands for --model int8; give one of the two\n")


def test_fast_wins_over_the_user_s_settings(crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "facerec.toml").write_text('model = "default"\n', "utf-8")
    (line,) = json_lines(run("models", "--fast", "--json"))
    assert line["card"]["name"] == "facerec-resnet50-int8"
    (line,) = json_lines(run("models", "--json"))
    assert line["card"]["name"] == "facerec-resnet50"
