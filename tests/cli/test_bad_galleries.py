"""A gallery, a person in it or a threshold that cannot be used: nothing is done, and one clear line says why."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import toy_fixtures
import toy_model
from complaints import enroll, identify, refused, written
from running import json_lines, run

gallery = toy_fixtures.one_person


# ---------------------------------------------------------------------------------------------------- galleries, people


def test_an_enrollment_of_nothing_leaves_a_gallery_of_nobody(crops: Path, toy: Path, tmp_path: Path) -> None:
    bad, gallery = written(tmp_path / "bad.png", b"dear diary"), tmp_path / "g"
    assert run("enroll", bad, "--name", "Ann", "--model", toy, gallery=gallery).exit_code == 2
    listed = run("gallery", "list", gallery=gallery)
    assert (listed.exit_code, listed.stdout) == (0, "")
    assert f"{gallery}: nobody is enrolled" in listed.stderr


@pytest.mark.parametrize("command", [["identify", "x.jpg"], ["calibrate"]])
def test_a_rate_in_per_cent(command: list[str], tmp_path: Path) -> None:
    result = run(*command, "--fpir", "1%", gallery=tmp_path / "g")
    assert result.exit_code == 2
    assert "'1%' is not a number; 1 % is 0.01" in result.stderr


def test_a_gallery_that_is_not_there(good: Path, toy: Path, tmp_path: Path) -> None:
    refused(identify(tmp_path / "none", toy, good), tmp_path / "none", "facerec enroll")
    refused(run("gallery", "list", gallery=tmp_path / "none"), tmp_path / "none", "facerec enroll")
    assert not (tmp_path / "none").exists()


def test_a_gallery_that_is_a_file(good: Path, toy: Path) -> None:
    refused(identify(good, toy, good), good)
    refused(enroll(good, toy, good, "--name", "Ann"), good)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"garbage" * 5000,
        lambda data: data[: len(data) // 2],
        lambda data: data[:50],
        lambda data: data[:4096],
    ],
    ids=["garbage", "half of it", "50 bytes", "one page"],
)  # fmt: skip
def test_a_damaged_gallery(damage: Callable[[bytes], bytes], good: Path, gallery: Path, toy: Path) -> None:
    database = gallery / "gallery.db"
    database.write_bytes(damage(database.read_bytes()))
    refused(identify(gallery, toy, good), database)
    refused(enroll(gallery, toy, good, "--name", "Ann Lee"), database)
    refused(run("gallery", "list", "--json", gallery=gallery), database)


def test_another_program_s_database(good: Path, toy: Path, tmp_path: Path) -> None:
    (tmp_path / "g").mkdir()
    with closing(sqlite3.connect(tmp_path / "g" / "gallery.db")) as db:
        db.execute("CREATE TABLE recipes (name)")
    refused(enroll(tmp_path / "g", toy, good, "--name", "Ann"), tmp_path / "g" / "gallery.db", "--gallery")


def test_a_gallery_of_a_newer_facerec(good: Path, gallery: Path, toy: Path) -> None:
    with closing(sqlite3.connect(gallery / "gallery.db")) as db:
        db.execute("PRAGMA user_version = 99")
    refused(identify(gallery, toy, good), gallery, "newer facerec", "update facerec")


def test_a_damaged_index_is_made_again_in_silence(good: Path, gallery: Path, toy: Path) -> None:
    for content in (b"", b"garbage", (gallery / "gallery.db").read_bytes()):
        (gallery / "people.cache").write_bytes(content)
        result = identify(gallery, toy, good)
        assert (result.exit_code, result.stderr) == (0, "")
        assert json_lines(result)[0]["person"] == "Ann Lee"
        assert (gallery / "people.cache").read_bytes() != content


def test_a_gallery_of_another_model(good: Path, gallery: Path, tiny_model: Path) -> None:
    refused(identify(gallery, tiny_model, good), gallery, "made with model toy", "as --model")


@pytest.mark.parametrize("command", [["show", "Bob"], ["remove", "Bob"], ["rename", "Bob", "Carla"]])
def test_nobody_of_that_name(command: list[str], gallery: Path) -> None:
    refused(run("gallery", *command, gallery=gallery), "nobody called 'Bob'", "gallery list")


NOT_UTF_8 = "B\udcff"  # how Python hands on the byte 0xff of a command line


@pytest.mark.parametrize(
    "command",
    [
        ["show", NOT_UTF_8], ["remove", NOT_UTF_8], ["rename", NOT_UTF_8, "Carla"], ["consent", NOT_UTF_8],
        ["consent", NOT_UTF_8, "--note", "signed"], ["merge", NOT_UTF_8, "Ann Lee"], ["merge", "Ann Lee", NOT_UTF_8],
    ],
)  # fmt: skip
def test_a_name_of_bytes_that_are_no_text(command: list[str], gallery: Path) -> None:
    refused(run("gallery", *command, gallery=gallery), r"nobody called 'B\udcff'", "gallery list")


def test_a_new_name_that_is_unfit_or_taken(gallery: Path, toy: Path, tmp_path: Path) -> None:
    refused(run("gallery", "rename", "Ann Lee", "", gallery=gallery), "cannot be a person's name")
    other = toy_model.save_crop(tmp_path / "bob.png", 1, 0)
    assert enroll(gallery, toy, other, "--name", "Bob").exit_code == 0
    refused(run("gallery", "rename", "Bob", "Ann Lee", gallery=gallery), "'Ann Lee' is enrolled already")


# ---------------------------------------------------------------------------------------------------- thresholds


def test_no_threshold_anywhere(good: Path, tmp_path: Path) -> None:
    bare = toy_model.write_model(tmp_path, "bare", threshold={})
    refused(run("verify", good, good, "--aligned", "--model", bare), "bare", "--threshold")
    assert enroll(tmp_path / "g", bare, good, "--name", "Ann").exit_code == 0
    refused(identify(tmp_path / "g", bare, good), "bare", "--threshold")
    assert identify(tmp_path / "g", bare, good, "--threshold", 1).exit_code == 0


@pytest.mark.parametrize("threshold", ["-0.1", "4.1", "nan", "inf"])
def test_a_threshold_that_is_no_distance(threshold: str, good: Path, gallery: Path, toy: Path) -> None:
    refused(identify(gallery, toy, good, "--threshold", threshold), "from 0 to 4", threshold)
    refused(run("verify", good, good, "--aligned", "--model", toy, "--threshold", threshold), "from 0 to 4", threshold)
