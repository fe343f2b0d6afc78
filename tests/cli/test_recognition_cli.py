"""enroll, identify, verify and gallery as scripts and people meet them: fields, output, exit codes."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_fixtures
import toy_model
from running import json_lines, run
from toy_model import NAMES

from facerec.cli import common
from facerec.decision.decide import same_person
from facerec.types import Threshold

gallery = toy_fixtures.three_people


def identify(gallery: Path, toy: Path, *arguments: object) -> list[dict[str, Any]]:
    result = run("identify", *arguments, "--aligned", "--json", "--model", toy, gallery=gallery)
    assert (result.exit_code, result.stderr) == (0, "")
    return json_lines(result)


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


def test_enroll_ends_with_a_summary_that_quiet_silences(crops: Path, toy: Path, tmp_path: Path) -> None:
    arguments = ["enroll", crops / "people", "--aligned", "--model", toy]
    told = run(*arguments, gallery=tmp_path / "g").stdout.splitlines()
    assert told[3] == "6 photos: 6 added, 0 skipped"
    quiet = run(*arguments, "--quiet", gallery=tmp_path / "g").stdout.splitlines()
    assert quiet == [f"{name}: 0 added, 2 skipped (enrolled already), 0 failed" for name in NAMES]


def test_enroll_says_why_photos_are_skipped(toy: Path, tmp_path: Path) -> None:
    for copy in range(4):
        toy_model.save_crop(tmp_path / "people" / "Ann" / f"{copy}.png", 0, copy % 2)
    arguments = ["enroll", tmp_path / "people", "--aligned", "--model", toy]
    assert run(*arguments, gallery=tmp_path / "g").stdout.startswith(
        "Ann: 2 added, 2 skipped (identical to another photo), 0 failed\n"
    )
    (tmp_path / "people" / "Ann" / "4.png").write_bytes(toy_model.save_crop(tmp_path / "new.png", 0, 4).read_bytes())
    (tmp_path / "people" / "Ann" / "5.png").write_bytes((tmp_path / "new.png").read_bytes())
    again = run(*arguments, gallery=tmp_path / "g").stdout
    assert again.startswith("Ann: 1 added, 5 skipped (4 enrolled already, 1 identical to another photo), 0 failed\n")


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
        "A face within the distance 0.500 of a person is taken for them (made up for tests).",
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
        "as asked for",
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
    arguments = ["identify", crops / "ann.png", crops / "stranger.png", "--aligned", "--model", toy]
    result = run(*arguments, gallery=gallery)
    assert (result.exit_code, result.stderr) == (0, "")
    first, second = f"{crops / 'ann.png'}: Ann Lee", f"{crops / 'stranger.png'}: unknown"
    summary = "2 photos, 2 faces: 1 known, 1 unknown"
    assert result.stdout.splitlines() == [first, second, summary]
    assert run(*arguments, "--quiet", gallery=gallery).stdout.splitlines() == [first, second]
    assert run(*arguments[:2], *arguments[3:], gallery=gallery).stdout.splitlines() == [first]


def test_identify_explains(gallery: Path, crops: Path, toy: Path) -> None:
    arguments = ["identify", crops / "ann.png", "--aligned", "--model", toy, "--explain"]
    first, why, nearest = run(*arguments, gallery=gallery).stdout.splitlines()
    assert first == f"{crops / 'ann.png'}: Ann Lee"
    assert why.startswith("    Ann Lee at ")
    assert nearest.startswith("    candidates: Ann Lee 0.")
    assert nearest.count(", ") == 2, "all three who are enrolled"
    (*_, nearest) = run(*arguments, "--top", 1, gallery=gallery).stdout.splitlines()
    assert ", " not in nearest


def test_the_summary_counts_what_failed(gallery: Path, crops: Path, toy: Path) -> None:
    arguments = [crops / "missing.png", crops / "ann.png", "--aligned", "--model", toy]
    result = run("identify", *arguments, gallery=gallery)
    assert result.stdout.splitlines()[-1] == "2 photos, 1 face: 1 known, 0 unknown, 1 failed"
    quiet = run("identify", *arguments, "--quiet", gallery=gallery)
    assert (quiet.exit_code, quiet.stderr) == (1, result.stderr)
    assert len(quiet.stdout.splitlines()) == 1


def test_top_without_what_lists_candidates_is_refused(gallery: Path, crops: Path, toy: Path) -> None:
    result = run("identify", crops / "ann.png", "--aligned", "--model", toy, "--top", 3, gallery=gallery)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--explain and --json" in result.stderr


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, False),
    ],
)
def test_colour(
    environment: dict[str, str], coloured: bool, gallery: Path, crops: Path, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a pipe: colour only where it is asked for. test_cli.py has a terminal."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    photos = [crops / "ann.png", crops / "stranger.png", crops / "missing.png"]
    result = run("identify", *photos, "--aligned", "--model", toy, gallery=gallery)
    green, yellow, red = ("\x1b[32mAnn Lee\x1b[0m", "\x1b[33munknown\x1b[0m", "\x1b[31m")
    assert (green in result.stdout, yellow in result.stdout, red in result.stderr) == (coloured,) * 3
    assert ("\x1b" in result.output) == coloured
    (line,) = identify(gallery, toy, crops / "ann.png")
    assert line["person"] == "Ann Lee", "JSON has no colour"


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
    (line,) = json_lines(result)
    assert (result.exit_code, result.stderr) == (0 if line["same"] else 1, "")
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
    a, b, options = crops / "ann.png", crops / "people" / "Ann Lee" / "0.png", ["--aligned", "--model", toy]
    different = run("verify", a, crops / "stranger.png", *options)
    assert re.fullmatch(r"different people: distance \d\.\d\d\n", different.stdout)
    same = run("verify", a, b, *options, "--explain")
    assert same.stdout.startswith("the same person: distance 0.")
    assert ", within the threshold 0.50 (made up for tests)" in same.stdout


def test_verify_is_a_test_for_scripts(crops: Path, toy: Path) -> None:
    """As `cmp` is: 0 the same, 1 different, 2 for what cannot be compared."""
    a, b, options = crops / "ann.png", crops / "people" / "Ann Lee" / "0.png", ["--aligned", "--model", toy]
    others = {b: 0, crops / "stranger.png": 1, crops / "missing.png": 2}
    assert {other: run("verify", a, other, *options).exit_code for other in others} == others
    assert run("verify", a, b, *options, "--threshold", 5).exit_code == 2


@pytest.mark.parametrize(("distance", "shown"), [(0.501, True), (0.5049, True), (0.5051, False), (0.4999, False)])
def test_verify_shows_the_threshold_where_two_digits_would_not_tell(distance: float, shown: bool) -> None:
    line = common.same_or_not(same_person(distance, Threshold(0.5, "made up")), explain=False)
    assert ("threshold 0.5" in line) == shown
    assert ("different people" in line) == (distance > 0.5)


@pytest.mark.parametrize("distance", [0.0, 3e-7])
def test_verify_by_a_card_without_a_usable_threshold(distance: float, crops: Path, tmp_path: Path) -> None:
    model = toy_model.write_model(tmp_path, threshold={"distance": distance, "fmr": 0.001, "source": "untrained"})
    photos = [crops / "ann.png", crops / "stranger.png", "--aligned", "--model", model]
    refused = run("verify", *photos)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "the card of toy states no usable threshold; give a --threshold" in refused.stderr
    assert run("verify", *photos, "--threshold", 0.5).exit_code == 1


def test_verify_of_faces_that_cannot_be_compared(crops: Path, toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facerec.recognition.identify.paired_distances", lambda a, b: np.array([np.nan]))
    result = run("verify", crops / "ann.png", crops / "stranger.png", "--aligned", "--model", toy)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "ann.png and " in result.stderr
    assert "stranger.png: the two faces could not be compared" in result.stderr


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
    (gallery / "people.cache").unlink()
    assert json_lines(run("gallery", "rebuild", "--json", gallery=gallery)) == [{"rebuilt": 6}]
    assert (gallery / "people.cache").exists()
    assert identify(gallery, toy, crops / "people") == before


def test_one_photo_of_one_person_is_said_to_be_that(crops: Path, toy: Path, tmp_path: Path) -> None:
    def told(*words: object) -> str:
        result = run(*words, gallery=tmp_path / "g")
        assert (result.exit_code, result.stderr) == (0, "")
        return result.stdout

    enrolled = told("enroll", crops / "ann.png", "--name", "Ann", "--aligned", "--model", toy)
    assert "holds 1 photo of 1 person.\nA face within the distance" in enrolled
    assert told("gallery", "list").startswith("Ann: 1 photo since ")
    assert told("gallery", "check") == "1 photo of 1 person: sound.\n"
    assert told("gallery", "rebuild") == "The index is rebuilt from 1 photo.\n"
    assert "holds 1 photo of 1 person; it is" in told("gallery", "export", tmp_path / "out.npz")
    assert ": 1 photo of 1 person." in told("gallery", "restore", "--list")
    told("enroll", crops / "stranger.png", "--name", "Bob", "--aligned", "--model", toy)
    assert told("gallery", "merge", "Bob", "Ann") == "1 photo of Bob is Ann's.\n"
    assert told("gallery", "remove", "Ann") == "Ann and 2 photos are removed.\n"
