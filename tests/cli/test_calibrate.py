"""`facerec calibrate`: what it shows, sets and refuses."""

import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import toy_model
from running import json_lines, run

from facerec.inference.loading import load_embedder
from facerec.models.cohort import save_cohort
from facerec.recognition.identify import open_gallery


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The toy model with a cohort of 200."""
    path = toy_model.write_model(tmp_path / "model")
    embedder = load_embedder(str(path))
    crops = np.stack([toy_model.crop(100 + i, 0) for i in range(200)])
    save_cohort(path, embedder.card, embedder.embed(crops), "made up")
    return path


def test_the_command_and_what_identify_says(model: Path, crops: Path, tmp_path: Path) -> None:
    gallery = tmp_path / "gallery"
    none = run("calibrate", "--model", model, gallery=gallery)
    assert (none.exit_code, "no gallery here" in none.stderr) == (2, True)
    enrolled = json_lines(run("enroll", crops / "people", "--aligned", "--model", model, "--json", gallery=gallery))[-1]
    (line,) = json_lines(run("calibrate", "--model", model, "--json", gallery=gallery))
    assert (line["fpir"], line["people"], line["strangers"], line["within"]) == (0.01, 3, 200, 2)
    assert line["threshold"] == enrolled["threshold"]
    assert line["threshold_source"] == "FPIR 1 % at 3 people"
    assert line["ci95"]["fpir"][0] < 0.01 < line["ci95"]["fpir"][1]

    options = ("--aligned", "--model", model, "--json")
    (found,) = json_lines(run("identify", crops / "ann.png", *options, gallery=gallery))
    assert (found["threshold"], found["threshold_source"]) == (line["threshold"], line["threshold_source"])
    (other,) = json_lines(run("identify", crops / "ann.png", "--fpir", "0.2", *options, gallery=gallery))
    assert (other["threshold_source"], other["threshold"] > line["threshold"]) == ("FPIR 20 % at 3 people", True)

    (line,) = json_lines(run("calibrate", "--fpir", "0.001", "--model", model, "--json", gallery=gallery))
    assert (line["within"], line["threshold_source"]) == (0, "none of 200 strangers at 3 people: FPIR below 3.6 %")
    assert "it takes 1000 strangers" in run("calibrate", "--model", model, gallery=gallery).stdout
    assert " to 100 % (95 %)" in run("calibrate", "--fpir", "0.99", "--model", model, gallery=gallery).stdout
    run("calibrate", "--fpir", "0.001", "--model", model, gallery=gallery)


def test_strangers_of_a_folder(model: Path, crops: Path, tmp_path: Path) -> None:
    gallery = tmp_path / "gallery"
    run("enroll", crops / "people", "--aligned", "--model", model, gallery=gallery)
    for i in range(5):
        toy_model.save_crop(tmp_path / "visitors" / f"{i}.png", 50 + i, 0)
    (tmp_path / "visitors" / "broken.png").write_bytes(b"no photo")
    command = ("calibrate", "--strangers", tmp_path / "visitors", "--aligned", "--model", model, "--json")
    result = run(*command, gallery=gallery)
    assert result.exit_code == 1
    assert "broken.png" in result.stderr
    assert json_lines(result)[0]["strangers"] == 205
    (tmp_path / "empty").mkdir()
    result = run("calibrate", "--strangers", tmp_path / "empty", "--aligned", "--model", model, gallery=gallery)
    assert (result.exit_code, "no photos in this folder" in result.stderr) == (2, True)
    assert json_lines(run("calibrate", "--model", model, "--json", gallery=gallery))[0]["strangers"] == 205


def test_strangers_who_are_enrolled_are_remarked_on(model: Path, crops: Path, tmp_path: Path) -> None:
    gallery = tmp_path / "gallery"
    run("enroll", crops / "people", "--aligned", "--model", model, gallery=gallery)
    toy_model.save_crop(tmp_path / "visitors" / "stranger.png", 50, 0)
    command = ("calibrate", "--strangers", tmp_path / "visitors", "--aligned", "--model", model)
    assert run(*command, gallery=gallery).stderr == ""
    person = next((crops / "people").iterdir())
    shutil.copytree(person, tmp_path / "visitors" / "by mistake")
    count = len(list(person.iterdir()))
    result = run(*command, gallery=gallery)
    assert result.exit_code == 0
    assert (
        f"{count} faces of {count + 1} given as strangers may be of somebody enrolled ({person.name} at "
        in result.stderr
    )


def test_what_makes_no_sense_is_one_line(toy: Path, crops: Path, tmp_path: Path) -> None:
    gallery = tmp_path / "gallery"
    run("enroll", crops / "people", "--aligned", "--model", toy, gallery=gallery)
    for command, said in (
        (("calibrate", "--fpir", "1.5", "--model", toy), "between 0 and 1"),
        (("calibrate", "--model", toy), "no strangers to calibrate with"),
        (("calibrate", "--fpir", "0.2", "--model", toy), "no strangers to calibrate with"),
        (
            ("identify", crops / "ann.png", "--aligned", "--model", toy, "--fpir", "0.1"),
            "no strangers to calibrate with",
        ),
        (
            ("identify", crops / "ann.png", "--aligned", "--model", toy, "--fpir", "1", "--threshold", "1"),
            "one of them",
        ),
    ):
        result = run(*command, gallery=gallery)
        assert result.exit_code == 2, command
        assert said in result.stderr
        assert result.stderr.count("\n") == 1
    actions = [line.get("action") for line in json_lines(run("gallery", "log", "--json", gallery=gallery))]
    assert "target set" not in actions, "what is refused is not half done"


def test_with_nobody_enrolled_nothing_is_set(model: Path, crops: Path, tmp_path: Path) -> None:
    gallery = tmp_path / "gallery"
    run("enroll", crops / "ann.png", "--name", "Ann", "--aligned", "--model", model, gallery=gallery)
    run("gallery", "remove", "Ann", gallery=gallery)
    given = ("--fpir", "0.2", "--strangers", crops / "people", "--aligned")
    result = run("calibrate", *given, "--model", model, gallery=gallery)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "nobody is enrolled yet" in result.stderr
    actions = [line.get("action") for line in json_lines(run("gallery", "log", "--json", gallery=gallery))]
    assert {"target set", "strangers set"}.isdisjoint(actions)


def test_what_was_set_before_is_said_and_can_be_set_again(model: Path, crops: Path, tmp_path: Path) -> None:
    """The target, then the strangers, and both back by the commands that the text names."""
    gallery = tmp_path / "gallery"
    run("enroll", crops / "people", "--aligned", "--model", model, gallery=gallery)
    for place in range(12):
        toy_model.save_crop(tmp_path / "my visitors" / f"{place}.png", 50 + place, 0)
        toy_model.save_crop(tmp_path / "others" / f"{place}.png", 70 + place, 0)

    def told(*options: object) -> list[str]:
        result = run("calibrate", *options, "--aligned", "--model", model, gallery=gallery)
        assert (result.exit_code, result.stderr) == (0, "")
        return result.stdout.splitlines()

    def undone(line: str) -> list[str]:
        command = line.split(" `")[1].removesuffix("`.")
        return shlex.split(command)[2:]

    first, only_shown = told()
    assert only_shown == "Nothing was changed: this only shows the threshold. --fpir and --strangers set it for good."
    assert told("--fpir", "0.01") == [first, "Nothing was changed: FPIR 1 % is set already."]
    distance = first.split()[1].rstrip(":")
    new, before = told("--fpir", "0.2")
    assert new.startswith("Threshold ")
    said = f"Before, the threshold was {distance}, for FPIR 1 %. The change stays, for every command. To go back: "
    assert before == f"{said}`facerec calibrate --fpir 0.01 --model {model}`."
    assert told(*undone(before))[0] == first
    assert told("--no-strangers") == [first, "Nothing was changed: there are no strangers of your own."]
    *_, before = told("--strangers", tmp_path / "my visitors")
    assert before.startswith(f"Before, the threshold was {distance}, for FPIR 1 %, by no strangers of your own. ")
    none = undone(before)
    mine, _ = told()
    *_, before = told("--strangers", tmp_path / "others", "--fpir", "0.05")
    assert f"for FPIR 1 %, by 12 strangers ({tmp_path / 'my visitors'}) and the model's. " in before
    assert told(*undone(before))[0] == mine
    assert told(*none)[0] == first
    (line,) = json_lines(run("calibrate", "--fpir", "0.2", "--model", model, "--json", gallery=gallery))
    assert line["previous"] == {
        "threshold": pytest.approx(float(distance), abs=1e-3), "threshold_source": "FPIR 1 % at 3 people", "fpir": 0.01,
        "given_strangers": 0, "given_from": None, "command": f"facerec calibrate --fpir 0.01 --model {model}",
    }  # fmt: skip
    assert "previous" not in json_lines(run("calibrate", "--model", model, "--json", gallery=gallery))[0]
    with open_gallery(gallery, load_embedder(str(model))) as opened:
        opened.set_calibration(strangers=np.eye(toy_model.DIMENSION, dtype=np.float32), source="given from Python")
    *_, before = told("--no-strangers")
    assert ", by 48 strangers (given from Python) and the model's." in before
    assert before.endswith(
        f"To go back, give those strangers again, and: `facerec calibrate --fpir 0.2 --model {model}`."
    )
    shutil.copytree(tmp_path / "others", tmp_path / "others" / "again")
    copied = run("calibrate", "--strangers", tmp_path / "others", "--aligned", "--model", model, gallery=gallery)
    assert copied.stderr.endswith("copies of other photos, byte for byte, left out\n")
    both = run("calibrate", "--no-strangers", "--strangers", tmp_path / "others", "--model", model, gallery=gallery)
    assert (both.exit_code, "exclude each other" in both.stderr) == (2, True)
