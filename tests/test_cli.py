"""The command line as scripts and people meet it: fields, output, exit codes."""

import importlib.metadata
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_model
from running import json_lines, run, run_process

from facerec.cli.main import COMMANDS
from facerec.cohort import save_cohort
from facerec.embed import SHIPPED_MODEL, load_embedder

NAMES = ["Ann Lee", "Bob O'Ray", "Çelik 王"]


@pytest.fixture
def gallery(crops: Path, toy: Path, tmp_path: Path) -> Path:
    """A gallery of the made-up people, two photos each."""
    result = run("enroll", crops / "people", "--aligned", "--model", toy, gallery=tmp_path / "gallery")
    assert result.exit_code == 0, result.output
    return tmp_path / "gallery"


def identify(gallery: Path, toy: Path, *arguments: object) -> list[dict[str, Any]]:
    result = run("identify", *arguments, "--aligned", "--json", "--model", toy, gallery=gallery)
    assert (result.exit_code, result.stderr) == (0, "")
    return json_lines(result)


# ---------------------------------------------------------------------------------------------------- the front door


def test_help_lists_every_command() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.split("Commands:\n")[1].splitlines()] == list(COMMANDS)
    assert list(COMMANDS) == sorted(COMMANDS)


def test_version() -> None:
    assert importlib.metadata.version("facerec") in run("--version").stdout


def test_help_loads_neither_torch_nor_faiss() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from facerec.cli.main import main, COMMANDS\n"
        "for name in COMMANDS: assert CliRunner().invoke(main, [name, '--help']).exit_code == 0\n"
        "print(*{'torch', 'faiss', 'openvino', 'matplotlib'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == []


@pytest.mark.parametrize("arguments", [["no-such-command"], ["gallery", "no-such"], ["identify", "--no-such", "a.jpg"]])
def test_what_does_not_exist_is_bad_usage(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "no such" in result.stderr.lower()


# ---------------------------------------------------------------------------------------------------- enroll


def test_enroll_reports_every_photo_and_a_summary(crops: Path, toy: Path, tmp_path: Path) -> None:
    result = run("enroll", crops / "people", "--aligned", "--json", "--model", toy, gallery=tmp_path / "g")
    *photos, summary = json_lines(result)
    assert (result.exit_code, result.stderr) == (0, "")
    assert [list(line) for line in photos] == [["image", "person", "status", "reason", "quality"]] * 6
    assert [line["person"] for line in photos] == [name for name in NAMES for _ in range(2)]
    quality = photos[0].pop("quality")
    assert list(quality) == ["eye_distance", "sharpness", "yaw", "pitch", "roll", "confidence", "problems"]
    assert (quality["eye_distance"], quality["confidence"], quality["problems"]) == (
        pytest.approx(35.24, rel=0.01),
        1,
        [],
    )
    assert photos[0] == {
        "image": str(crops / "people" / "Ann Lee" / "0.png"),
        "person": "Ann Lee",
        "status": "added",
        "reason": "",
    }
    assert summary == {
        "summary": True, "people": 3, "templates": 6, "added": 6, "skipped": 0, "failed": 0, "threshold": 0.5,
        "alike": [], "misplaced": [],
    }  # fmt: skip


def test_enrolling_again_skips(gallery: Path, crops: Path, toy: Path) -> None:
    result = run("enroll", crops / "people", "--aligned", "--json", "--model", toy, gallery=gallery)
    *photos, summary = json_lines(result)
    assert result.exit_code == 0
    assert {line["status"] for line in photos} == {"skipped"}
    assert all(line["reason"] for line in photos)
    assert (summary["added"], summary["skipped"], summary["templates"]) == (0, 6, 6)


def test_enroll_one_person_by_name_from_photos_and_folders(crops: Path, toy: Path, tmp_path: Path) -> None:
    sources = [crops / "ann.png", crops / "people" / "Ann Lee"]
    result = run("enroll", *sources, "--name", " Ann Ray ", "--aligned", "--model", toy, gallery=tmp_path / "g")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "Ann Ray: 3 added, 0 skipped, 0 failed",
        f"The gallery {tmp_path / 'g'} holds 3 photos of 1 person.",
        "A face is one of them within the distance 0.500 (made up for tests).",
    ]


def test_gallery_option_goes_over_the_environment(gallery: Path, crops: Path, toy: Path, tmp_path: Path) -> None:
    arguments = ["enroll", crops / "ann.png", "--name", "Ann", "--aligned", "--model", toy, "--gallery", tmp_path / "g"]
    assert run(*arguments, gallery=gallery).exit_code == 0
    assert [line["person"] for line in json_lines(run("gallery", "list", "--json", gallery=tmp_path / "g"))] == ["Ann"]
    assert len(json_lines(run("gallery", "list", "--json", gallery=gallery))) == 3


# ---------------------------------------------------------------------------------------------------- identify


def test_identify_has_the_fields_of_the_contract(gallery: Path, crops: Path, toy: Path) -> None:
    (line,) = identify(gallery, toy, crops / "ann.png")
    candidates = line.pop("candidates")
    distance, margin = line.pop("distance"), line.pop("margin")
    quality = line.pop("quality")
    assert list(quality) == ["eye_distance", "sharpness", "yaw", "pitch", "roll", "confidence", "problems"]
    assert quality["problems"] == []
    assert line == {
        "image": str(crops / "ann.png"),
        "face": 0,
        "box": [0.0, 0.0, 112.0, 112.0],
        "detection_confidence": 1.0,
        "decision": "match",
        "person": "Ann Lee",
        "threshold": 0.5,
        "threshold_source": "made up for tests",
        "reason": line["reason"],
        "probability": None,
    }
    assert line["reason"].startswith(f"Ann Lee at {distance:.2f}, within the threshold 0.50 (made up for tests)")
    assert [list(candidate) for candidate in candidates] == [["person", "distance"]] * 3
    assert {candidate["person"] for candidate in candidates} == set(NAMES)
    assert distance == candidates[0]["distance"]
    assert margin == pytest.approx(candidates[1]["distance"] - distance)
    template = toy_model.vector(toy_model.crop(0, 0)) + toy_model.vector(toy_model.crop(0, 1))
    expected = ((toy_model.vector(toy_model.crop(0, 2)) - template / np.linalg.norm(template)) ** 2).sum()
    assert distance == pytest.approx(expected, abs=1e-5)


def test_a_stranger_is_unknown(gallery: Path, crops: Path, toy: Path) -> None:
    (line,) = identify(gallery, toy, crops / "stranger.png", "--top", 1)
    assert (line["decision"], line["person"]) == ("unknown", None)
    assert line["distance"] > 0.5
    assert [candidate["distance"] for candidate in line["candidates"]] == [line["distance"]]
    assert line["margin"] > 0, "the margin needs two, however many are listed"
    assert "above the threshold 0.50" in line["reason"]


def test_identify_folders_and_photos_in_order(gallery: Path, crops: Path, toy: Path) -> None:
    lines = identify(gallery, toy, crops / "stranger.png", crops / "people", crops / "ann.png")
    assert [line["person"] for line in lines] == [None, *(name for name in NAMES for _ in range(2)), "Ann Lee"]


@pytest.mark.parametrize(("threshold", "decision"), [(0, "unknown"), (4, "match")])
def test_identify_by_a_given_threshold(gallery: Path, crops: Path, toy: Path, threshold: int, decision: str) -> None:
    (line,) = identify(gallery, toy, crops / "ann.png", "--threshold", threshold)
    assert (line["decision"], line["threshold"], line["threshold_source"]) == (
        decision,
        threshold,
        "given by --threshold",
    )


def test_identify_in_an_empty_gallery(gallery: Path, crops: Path, toy: Path) -> None:
    for name in NAMES:
        assert run("gallery", "remove", name, gallery=gallery).exit_code == 0
    (line,) = identify(gallery, toy, crops / "ann.png")
    assert (line["decision"], line["distance"], line["margin"], line["candidates"]) == ("unknown", None, None, [])
    assert line["reason"] == "nobody is enrolled"


def test_identify_a_photo_that_cannot_be_read_is_a_line_too(gallery: Path, crops: Path, toy: Path) -> None:
    arguments = [crops / "missing.png", crops / "ann.png", "--aligned", "--json", "--model", toy]
    result = run("identify", *arguments, gallery=gallery)
    bad, good = json_lines(result)
    assert result.exit_code == 1
    assert list(bad) == list(good)
    assert bad == {
        "image": str(crops / "missing.png"), "face": None, "box": None, "detection_confidence": None,
        "decision": "error", "person": None, "distance": None, "threshold": 0.5,
        "threshold_source": "made up for tests", "margin": None, "candidates": [], "reason": bad["reason"],
        "quality": None, "probability": None,
    }  # fmt: skip
    assert result.stderr == bad["reason"] + "\n"
    assert good["person"] == "Ann Lee"


def test_identify_for_people(gallery: Path, crops: Path, toy: Path) -> None:
    result = run("identify", crops / "ann.png", crops / "stranger.png", "--aligned", "--model", toy, gallery=gallery)
    assert (result.exit_code, result.stderr) == (0, "")
    first, why, second, why_not = result.stdout.splitlines()
    assert first == f"{crops / 'ann.png'}: Ann Lee"
    assert second == f"{crops / 'stranger.png'}: unknown"
    assert why.startswith("    Ann Lee at ")
    assert why_not.startswith("    best match ")


def test_a_gallery_of_another_model_is_refused_with_the_remedy(gallery: Path, crops: Path, tmp_path: Path) -> None:
    other = toy_model.write_model(tmp_path, "other", std=(99.0, 99.0, 99.0))
    for command in (["identify", crops / "ann.png"], ["enroll", crops / "ann.png", "--name", "Ann"]):
        result = run(*command, "--aligned", "--model", other, gallery=gallery)
        assert (result.exit_code, result.stdout) == (2, "")
        (line,) = result.stderr.splitlines()
        assert "made with model toy" in line
        assert "give that model's folder or file as --model" in line
        assert "`facerec gallery migrate --model NEW`" in line
        assert "--gallery" in line


# ---------------------------------------------------------------------------------------------------- verify


def verify(*arguments: object) -> dict[str, Any]:
    result = run("verify", *arguments, "--aligned", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    (line,) = json_lines(result)
    assert list(line) == ["image_a", "image_b", "same", "distance", "threshold", "reason"]
    return line


def test_verify_same_and_different(crops: Path, toy: Path) -> None:
    a, b, c = crops / "ann.png", crops / "people" / "Ann Lee" / "0.png", crops / "stranger.png"
    same, different = verify(a, b, "--model", toy), verify(a, c, "--model", toy)
    assert same["same"] is True
    assert different["same"] is False
    assert same["distance"] < same["threshold"] == different["threshold"] == 0.5 < different["distance"]
    assert "within the threshold 0.50" in same["reason"]
    assert (same["image_a"], same["image_b"]) == (str(a), str(b))


def test_verify_a_photo_with_itself_by_a_model_folder(crops: Path, tiny_model: Path) -> None:
    line = verify(crops / "ann.png", crops / "ann.png", "--model", tiny_model)
    assert line["same"] is True
    assert line["distance"] == pytest.approx(0, abs=1e-6)


def test_verify_for_people(crops: Path, toy: Path) -> None:
    result = run("verify", crops / "ann.png", crops / "stranger.png", "--aligned", "--model", toy)
    assert result.exit_code == 0
    assert result.stdout.startswith("different people: distance ")


# ---------------------------------------------------------------------------------------------------- real detection


def test_photos_with_one_face_and_with_none(small_samples: Path, toy: Path, tmp_path: Path) -> None:
    people = small_samples / "people" / "Grace Hopper"
    assert run("enroll", people, "--name", "Grace", "--model", toy, gallery=tmp_path / "g").exit_code == 0
    nobody = toy_model.save_crop(tmp_path / "pattern.png", 0, 0)
    result = run("identify", people, nobody, "--json", "--model", toy, gallery=tmp_path / "g")
    found, none = json_lines(result)
    assert result.exit_code == 1
    assert (found["person"], found["face"], round(found["distance"], 5)) == ("Grace", 0, 0)
    assert 0.9 < found["detection_confidence"] <= 1
    x1, y1, x2, y2 = found["box"]
    assert 0 <= x1 < x2 <= 320
    assert 0 <= y1 < y2 <= 320
    assert (none["decision"], none["person"], none["face"], none["distance"]) == ("no_face", None, None, None)
    assert result.stderr == none["reason"] + "\n"


# ---------------------------------------------------------------------------------------------------- gallery


def test_gallery_list_and_show(gallery: Path, crops: Path) -> None:
    people = json_lines(run("gallery", "list", "--json", gallery=gallery))
    assert [(line["person"], line["templates"]) for line in people] == [(name, 2) for name in NAMES]
    assert run("gallery", "list", gallery=gallery).stdout.splitlines()[0].startswith("Ann Lee: 2 photos since 20")
    photos = json_lines(run("gallery", "show", "Çelik 王", "--json", gallery=gallery))
    assert [line["source"] for line in photos] == [str(crops / "people" / "Çelik 王" / f"{n}.png") for n in range(2)]
    assert "confidence 1.000" in run("gallery", "show", "Çelik 王", gallery=gallery).stdout


def test_gallery_rename_and_remove(gallery: Path, crops: Path, toy: Path) -> None:
    line = {"renamed": "Ann Lee", "to": "Ann Ray"}
    assert json_lines(run("gallery", "rename", "Ann Lee", "Ann Ray", "--json", gallery=gallery)) == [line]
    assert identify(gallery, toy, crops / "ann.png")[0]["person"] == "Ann Ray"
    line = {"removed": "Ann Ray", "templates": 2}
    assert json_lines(run("gallery", "remove", "Ann Ray", "--json", gallery=gallery)) == [line]
    assert identify(gallery, toy, crops / "ann.png")[0]["decision"] == "unknown"
    result = run("gallery", "show", "Ann Ray", gallery=gallery)
    assert result.exit_code == 2
    assert "nobody called 'Ann Ray'" in result.stderr


def test_gallery_check_and_rebuild(gallery: Path, crops: Path, toy: Path) -> None:
    (report,) = json_lines(run("gallery", "check", "--json", gallery=gallery))
    assert report == {"people": 3, "templates": 6, "problems": []}
    assert run("gallery", "check", gallery=gallery).stdout == "6 photos of 3 people: sound.\n"
    before = identify(gallery, toy, crops / "people")
    (gallery / "index.faiss").unlink()
    assert json_lines(run("gallery", "rebuild", "--json", gallery=gallery)) == [{"rebuilt": 6}]
    assert (gallery / "index.faiss").exists()
    assert identify(gallery, toy, crops / "people") == before


# ---------------------------------------------------------------------------------------------------- evaluate


@pytest.fixture
def pairs(crops: Path, tmp_path: Path) -> Path:
    """All pairs of the made-up people's photos, in two folds."""
    photos = [f"{name}/{number}.png" for name in NAMES for number in range(2)]
    rows = [
        f"{a},{b},{int(a.split('/')[0] == b.split('/')[0])},{fold}"
        for fold in (1, 2)
        for i, a in enumerate(photos)
        for b in photos[i + 1 :]
    ]
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(["a,b,same,fold", *rows]) + "\n", "utf-8")
    return path


FIELDS = [
    "accuracy_mean", "accuracy_se", "auc", "ci95", "eer", "failures_to_enrol", "genuine", "impostor", "model",
    "model_fingerprint", "pairs", "photos_per_second", "seconds", "tar_at_fmr",
]  # fmt: skip


def test_evaluate_verification(crops: Path, pairs: Path, toy: Path) -> None:
    files = ["--images", crops / "people", "--pairs", pairs]
    result = run("evaluate", "verification", *files, "--aligned", "--json", "--model", toy)
    (line,) = json_lines(result)
    assert (result.exit_code, result.stderr) == (0, "")
    assert sorted(line) == FIELDS
    assert (line["pairs"], line["genuine"], line["impostor"], line["failures_to_enrol"]) == (30, 6, 24, 0)
    assert (line["auc"], line["accuracy_mean"], line["accuracy_se"], line["eer"]) == (1, 1, 0, 0)
    assert line["tar_at_fmr"] == {"1e-2": 1, "1e-3": 1}
    assert line["model"] == "toy"
    assert len(line["model_fingerprint"]) == 16


def test_evaluate_verification_without_folds_and_with_failures(crops: Path, toy: Path, tmp_path: Path) -> None:
    rows = ["a,b,same", "ann.png,people/Ann Lee/0.png,1", "ann.png,stranger.png,0", "ann.png,missing.png,1"]
    (tmp_path / "pairs.csv").write_text("\n".join(rows), "utf-8")
    files = ["--images", crops, "--pairs", tmp_path / "pairs.csv"]
    result = run("evaluate", "verification", *files, "--aligned", "--json", "--model", toy)
    (line,) = json_lines(result)
    assert result.exit_code == 1
    assert "missing.png: no such file" in result.stderr
    assert sorted(line) == FIELDS
    assert (line["pairs"], line["failures_to_enrol"], line["accuracy_se"]) == (3, 1, None)
    assert line["tar_at_fmr"] == {"1e-2": 0.5, "1e-3": 0.5}


def test_evaluate_verification_for_people(crops: Path, pairs: Path, toy: Path) -> None:
    files = ["--images", crops / "people", "--pairs", pairs]
    result = run("evaluate", "verification", *files, "--aligned", "--model", toy)
    assert result.exit_code == 0
    for name in ("accuracy_mean", "auc", "TAR at FMR 1e-3", "failures_to_enrol"):
        assert name in result.stdout


# ---------------------------------------------------------------------------------------------------- the rest


def test_models(tiny_model: Path) -> None:
    (line,) = json_lines(run("models", "--model", tiny_model, "--json"))
    assert {"resnet50", "resnet18", "mobilenet_v2", "squeezenet1_1"} <= line["backbones"].keys()
    assert line["strategies"] == ["full", "frozen", "partial", "discriminative", "gradual", "scratch"]
    assert line["card"] == json.loads((tiny_model / "model.json").read_text("utf-8"))
    shown = run("models", "--model", tiny_model).stdout
    for word in ("resnet50: ", "discriminative", "Model tiny:", line["card"]["fingerprint"], "made up for tests"):
        assert word in shown
    figures = run("models", "--model", "default").stdout
    lfw = json.loads((SHIPPED_MODEL / "model.json").read_text("utf-8"))["results"]["lfw"]
    assert f"results.lfw.tar_at_fmr.1e-3: {lfw['tar_at_fmr']['1e-3']}\n" in figures
    assert "{" not in figures, "a line for each figure"


def test_doctor_of_a_sound_house(gallery: Path, toy: Path) -> None:
    result = run("doctor", "--json", "--model", toy, gallery=gallery)
    (line,) = json_lines(result)
    assert (result.exit_code, result.stderr) == (0, "")
    assert list(line) == ["versions", "device", "model", "gallery"]
    assert line["versions"].startswith("Python 3.")
    assert line["model"].startswith("toy (")
    assert line["model"].endswith(
        "works, brings no strangers: its card's threshold holds for every gallery until "
        "`facerec calibrate --strangers DIR`"
    )
    assert line["gallery"] == f"{gallery}: 6 photos of 3 people, sound"


def test_doctor_names_what_is_wrong(gallery: Path, tmp_path: Path) -> None:
    (gallery / "gallery.db").write_bytes(b"garbage" * 1000)
    result = run("doctor", "--model", tmp_path / "none", gallery=gallery)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 2
    assert str(tmp_path / "none") in result.stderr
    assert str(gallery) in result.stderr


def test_doctor_counts_the_models_strangers(tmp_path: Path) -> None:
    model = toy_model.write_model(tmp_path / "with", threshold={})
    bare = json_lines(run("doctor", "--json", "--model", model, gallery=tmp_path / "none"))[0]["model"]
    assert "brings no strangers: nor a threshold in its card until `facerec calibrate" in bare
    rows = np.stack([toy_model.vector(toy_model.crop(person, 0)) for person in range(7)])
    save_cohort(model, load_embedder(str(model)).card, rows.astype(np.float32), "made up")
    full = json_lines(run("doctor", "--json", "--model", model, gallery=tmp_path / "none"))[0]["model"]
    assert full.endswith("works, brings 7 strangers to set thresholds by")


def test_doctor_names_strangers_that_are_broken(tiny_model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / "cohort.safetensors").write_bytes(b"garbage" * 100)
    result = run("doctor", "--model", folder, gallery=tmp_path / "none")
    assert result.exit_code == 1
    assert str(folder / "cohort.safetensors") in result.stderr
    assert "copy the model again" in result.stderr


def test_train_then_use_the_model(tmp_path: Path) -> None:
    for person in range(6):
        for photo in range(2):
            toy_model.save_crop(tmp_path / "people" / f"p{person}" / f"{photo}.png", person, photo)
    settings = {
        "backbone": "squeezenet1_1", "init": "random", "strategy": "full", "embedding-dim": 8, "epochs": 1,
        "people-per-batch": 4, "photos-per-person": 2, "train-size": 64, "mining": "all",
    }  # fmt: skip
    options = [part for name, value in settings.items() for part in (f"--{name}", value)]
    run_folder = tmp_path / "run"
    result = run("train", tmp_path / "people", "--output", run_folder, "--aligned", *options, "--json")
    (line,) = json_lines(result)
    assert result.exit_code == 0
    assert line["output"] == str(run_folder)
    assert {"fingerprint", "validation_auc", "validation_tar"} <= line.keys()
    photo = tmp_path / "people" / "p0" / "0.png"
    result = run("verify", photo, photo, "--aligned", "--model", run_folder, "--threshold", 0.1, "--json")
    assert json_lines(result)[0]["same"] is True
    result = run("train", tmp_path / "people", "--output", run_folder, "--aligned", "--resume")
    assert result.exit_code == 0, "a finished run has nothing left to do"
    assert f"use it with --model {run_folder}" in result.stdout
    assert "it brings no strangers: its galleries rest on one distance, no false match in " in result.stdout
    assert result.stdout.endswith(
        "validation people, too few for FMR 0.1 %, until `facerec calibrate --strangers DIR`\n"
    )


def test_the_program_itself(gallery: Path, crops: Path, toy: Path) -> None:
    arguments = [crops / "ann.png", crops / "missing.png", "--aligned", "--json", "--model", toy, "--gallery", gallery]
    result = run_process("identify", *arguments)
    assert result.returncode == 1
    assert [json.loads(line)["decision"] for line in result.stdout.splitlines()] == ["match", "error"]
    assert len(result.stderr.splitlines()) == 1


# ---------------------------------------------------------------------------------------------------- a terminal


def test_the_progress_bar_is_gone_when_a_line_is_printed() -> None:
    """On a terminal that shows both stdout and stderr, as people have it."""
    code = """
import click
from facerec.cli import common
for i in common.show_progress(iter(range(3)), "Looking", 2, lambda i: i < 2):
    click.echo(f"answer {i}")
"""
    leader, follower = pty.openpty()
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=follower, stderr=follower, env={**os.environ, "TERM": "xterm"}) as process:
        os.close(follower)
        shown = b""
        with suppress(OSError):  # what a terminal that nobody writes to any more answers
            while block := os.read(leader, 4096):
                shown += block
    os.close(leader)
    assert process.returncode == 0
    assert b"Looking" in shown
    before = re.findall(rb"(.{4})answer \d\r\n", shown, re.DOTALL)
    assert before == [b"\x1b[2K"] * 3, "each answer stands on a line that was cleared"
    assert b"100%" in shown


def test_one_photo_of_one_person_is_said_to_be_that(crops: Path, toy: Path, tmp_path: Path) -> None:
    def told(*words: object) -> str:
        result = run(*words, gallery=tmp_path / "g")
        assert (result.exit_code, result.stderr) == (0, "")
        return result.stdout

    enrolled = told("enroll", crops / "ann.png", "--name", "Ann", "--aligned", "--model", toy)
    assert "holds 1 photo of 1 person.\nA face is one of them" in enrolled
    assert told("gallery", "list").startswith("Ann: 1 photo since ")
    assert told("gallery", "check") == "1 photo of 1 person: sound.\n"
    assert told("gallery", "rebuild") == "The index is rebuilt from 1 photo.\n"
    assert "holds 1 photo of 1 person; it is" in told("gallery", "export", tmp_path / "out.npz")
    assert ": 1 photo of 1 person." in told("gallery", "restore", "--list")
    told("enroll", crops / "stranger.png", "--name", "Bob", "--aligned", "--model", toy)
    assert told("gallery", "merge", "Bob", "Ann") == "1 photo of Bob is Ann's.\n"
    assert told("gallery", "remove", "Ann") == "Ann and 2 photos are removed.\n"
