"""Whatever is wrong with the input: one clear line on stderr that names it, the good photos beside it still done.

Each kind is built from nothing. `beside` puts a bad photo between good ones: exit code 1. `refused` is for commands
that can do nothing at all: exit code 2.
"""

import importlib.util
import io
import json
import os
import re
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import PIL.Image
import pytest
import toy_model
from click.testing import Result
from onnx import TensorProto, helper
from running import ROOT, json_lines, run, run_process

Build = Callable[[Path], Path]  # a folder to work in -> the bad input


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A good photo."""
    return toy_model.save_crop(tmp_path / "good" / "good.png", 0, 0)


@pytest.fixture
def gallery(good: Path, toy: Path, tmp_path: Path) -> Path:
    """A gallery of one person, known by the good photo."""
    folder = tmp_path / "gallery"
    assert enroll(folder, toy, good, "--name", "Ann Lee").exit_code == 0
    return folder


def enroll(gallery: Path, model: Path, *arguments: object) -> Result:
    return run("enroll", *arguments, "--aligned", "--json", "--model", model, gallery=gallery)


def identify(gallery: Path, model: Path, *arguments: object) -> Result:
    return run("identify", *arguments, "--aligned", "--json", "--model", model, gallery=gallery)


def complaint(result: Result, exit_code: int) -> str:
    """The one line on stderr of a command that ended with `exit_code`."""
    assert result.exit_code == exit_code, result.output
    assert clear(result.stderr)
    return result.stderr


def clear(text: str) -> bool:
    """Whether it is one line fit for a user: no traceback, no class names, no bare control characters."""
    assert len(text.splitlines()) == 1, text
    assert len(text) < 800, "room for the names of all backbones"
    assert not re.search(r"Traceback|\w(Error|Exception|Warning)\b|errno|<class|0x[0-9a-f]{6}", text, re.IGNORECASE), (
        text
    )
    return text.strip().isprintable()


def refused(result: Result, *words: object) -> None:
    """Nothing was done, and one line says why, with these words in it."""
    line = complaint(result, 2)
    assert result.stdout == ""
    for word in words:
        assert str(word) in line


# ---------------------------------------------------------------------------------------------------- photos


def photo_bytes(kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(toy_model.crop(5, 0)).save(file, kind, **options)
    return file.getvalue()


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def linked(path: Path, target: str) -> Path:
    path.symlink_to(target)
    return path


def named_pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def image(path: Path, width: int, height: int) -> Path:
    PIL.Image.new("RGB", (width, height), "grey").save(path)
    return path


def png_header(width: int, height: int) -> bytes:
    """A PNG of that size that holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


HEIC = struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"heic", 0, b"mif1", b"heic") + bytes(64)
UNREADABLE: dict[str, tuple[Build, str]] = {
    "missing": (lambda d: d / "bad.jpg", "no such file"),
    "empty": (lambda d: written(d / "bad.jpg", b""), "empty"),
    "text renamed": (lambda d: written(d / "bad.jpg", b"dear diary"), "not an image"),
    "jpeg cut off": (lambda d: written(d / "bad.jpg", photo_bytes("JPEG")[:-900]), "cut off"),
    "jpeg header only": (lambda d: written(d / "bad.jpg", photo_bytes("JPEG")[:100]), "bad.jpg"),
    "png cut off": (lambda d: written(d / "bad.png", photo_bytes("PNG")[:-200]), "cut off"),
    "png flipped bytes": (
        lambda d: written(d / "bad.png", photo_bytes("PNG").replace(b"IDAT", b"IDAT\xff\xff", 1)), "damaged"
    ),
    "webp cut off": (lambda d: written(d / "bad.webp", photo_bytes("WEBP")[:-200]), "bad.webp"),
    "gif cut off": (lambda d: written(d / "bad.gif", photo_bytes("GIF")[:60]), "bad.gif"),
    "decompression bomb": (lambda d: written(d / "bomb.png", png_header(60_000, 60_000)), "megapixels"),
    "pdf": (lambda d: written(d / "scan.pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n"), "give JPEG"),
    "svg": (lambda d: written(d / "drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"), "give JPEG"),
    "postscript": (lambda d: written(d / "bad.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "give JPEG"),
    "broken link": (lambda d: linked(d / "link.jpg", "nowhere.jpg"), "no such file"),
    "link to itself": (lambda d: linked(d / "loop.jpg", "loop.jpg"), "symbolic links"),
    "name too long": (lambda d: d / ("long" * 80 + ".jpg"), "too long"),
    "path through a file": (lambda d: written(d / "file", b"x") / "bad.jpg", "Not a directory"),
    "named pipe": (lambda d: named_pipe(d / "pipe.jpg"), "not a regular file"),
    "not square": (lambda d: image(d / "wide.png", 128, 100), "128x100"),
    "one pixel high": (lambda d: image(d / "line.png", 5000, 1), "5000x1"),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_bad_photo_beside_good_ones(kind: str, good: Path, gallery: Path, toy: Path, tmp_path: Path) -> None:
    build, word = UNREADABLE[kind]
    bad = build(tmp_path)
    result = identify(gallery, toy, good, bad, good)
    line = complaint(result, 1)
    assert bad.name in line
    assert word in line
    answers = json_lines(result)
    assert [answer["decision"] for answer in answers] == ["match", "error", "match"]
    assert answers[1]["reason"] == line.strip()

    other = toy_model.save_crop(tmp_path / "other.png", 1, 0)
    result = enroll(gallery, toy, bad, other, "--name", "Bob")
    assert complaint(result, 1) == line
    assert sorted(entry["status"] for entry in json_lines(result)[:-1]) == ["added", "failed"]
    refused(run("verify", good, bad, "--aligned", "--model", toy), bad.name, word)


def test_nothing_but_bad_photos(gallery: Path, toy: Path, tmp_path: Path) -> None:
    result = identify(gallery, toy, tmp_path / "none.jpg")
    assert complaint(result, 2).startswith(str(tmp_path / "none.jpg"))
    assert [answer["decision"] for answer in json_lines(result)] == ["error"]
    assert "none.jpg" in complaint(enroll(gallery, toy, tmp_path / "none.jpg", "--name", "Bob"), 2)


def test_heic_without_the_extra(good: Path, gallery: Path, toy: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("pillow_heif"):
        pytest.skip("pillow-heif is installed here")
    bad = written(tmp_path / "phone.heic", HEIC)
    assert "pip install facerec[heic]" in complaint(identify(gallery, toy, good, bad), 1)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3000, 2), (64, 64)], ids=["one pixel", "a line", "plain grey"])
def test_a_photo_without_a_face(width: int, height: int, small_samples: Path, toy: Path, tmp_path: Path) -> None:
    people = small_samples / "people" / "Grace Hopper"
    assert run("enroll", people, "--name", "Grace", "--model", toy, gallery=tmp_path / "g").exit_code == 0
    bad = image(tmp_path / "empty.png", width, height)
    result = run("identify", bad, people, "--json", "--model", toy, gallery=tmp_path / "g")
    assert "empty.png: no face found" in complaint(result, 1)
    assert [answer["decision"] for answer in json_lines(result)] == ["no_face", "match"]


def test_corrupt_exif_is_no_reason_to_refuse(gallery: Path, toy: Path, tmp_path: Path) -> None:
    exif = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + bytes(range(40))
    PIL.Image.fromarray(toy_model.crop(0, 1)).save(tmp_path / "odd.jpg", quality=95, exif=exif)
    result = identify(gallery, toy, tmp_path / "odd.jpg")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json_lines(result)[0]["person"] == "Ann Lee"


ODD_NAMES = [
    "two words.png", "Ann's \"best\".png", "новый 王 é.png", "-dash.png", "two\nlines.png", "tab\there.png",
    "\x1b[31mred.png", "back\\slash.png", "semi;colon$(true).png", "\u2028.png", os.fsdecode(b"latin-\xe9.png"),
]  # fmt: skip


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_odd_file_names(name: str, good: Path, gallery: Path, toy: Path, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    shutil.copy(good, folder / name)
    result = identify(gallery, toy, folder / name)
    assert (result.exit_code, result.stderr) == (0, "")
    (answer,) = json_lines(result)
    assert (answer["image"], answer["person"]) == (str(folder / name), "Ann Lee")
    shown = run("identify", folder, "--aligned", "--model", toy, gallery=gallery)
    assert shown.exit_code == 0
    assert len(shown.stdout.splitlines()) == 2
    assert all(line.isprintable() for line in shown.stdout.splitlines())
    (folder / name).write_bytes(b"")
    assert "the file is empty" in complaint(identify(gallery, toy, good, folder / name), 1)


def test_a_name_that_begins_with_a_dash_after_two_dashes(
    good: Path, gallery: Path, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(good, tmp_path / "-x.png")
    monkeypatch.chdir(tmp_path)
    result = run("identify", "--aligned", "--json", "--model", toy, "--", "-x.png", gallery=gallery)
    assert json_lines(result)[0]["person"] == "Ann Lee"


# ---------------------------------------------------------------------------------------------------- folders, names


def test_an_empty_folder_of_photos(good: Path, gallery: Path, toy: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = identify(gallery, toy, tmp_path / "empty", good)
    assert f"{tmp_path / 'empty'}: no photos" in complaint(result, 1)
    assert json_lines(result)[0]["person"] == "Ann Lee"
    refused(enroll(gallery, toy, tmp_path / "empty"), tmp_path / "empty", "one per person")
    refused(enroll(gallery, toy, tmp_path / "empty", "--name", "Bob"), tmp_path / "empty", "no photos")


def test_a_person_s_folder_without_photos(gallery: Path, toy: Path, tmp_path: Path) -> None:
    toy_model.save_crop(tmp_path / "people" / "Bob" / "1.png", 1, 0)
    (tmp_path / "people" / "Carla").mkdir()
    result = enroll(gallery, toy, tmp_path / "people")
    assert f"{tmp_path / 'people' / 'Carla'}: no photos" in complaint(result, 1)
    failed, added, summary = json_lines(result)
    assert (failed["image"], failed["person"], failed["status"]) == (str(tmp_path / "people" / "Carla"), None, "failed")
    assert (added["person"], added["status"]) == ("Bob", "added")
    assert (summary["added"], summary["failed"]) == (1, 1)


def test_a_photo_in_nobody_s_folder(good: Path, gallery: Path, toy: Path, tmp_path: Path) -> None:
    refused(enroll(gallery, toy, good), good, "--name")
    toy_model.save_crop(tmp_path / "people" / "Bob" / "1.png", 1, 0)
    shutil.copy(good, tmp_path / "people" / "loose.png")
    result = enroll(gallery, toy, tmp_path / "people")
    assert f"{tmp_path / 'people' / 'loose.png'}: whose photo is it?" in complaint(result, 1)
    *_, summary = json_lines(result)
    assert (summary["added"], summary["failed"]) == (1, 1)


def test_the_same_photo_under_two_people(good: Path, gallery: Path, toy: Path, tmp_path: Path) -> None:
    for name in ("Ann Lee", "Bob"):
        (tmp_path / "people" / name).mkdir(parents=True)
        shutil.copy(good, tmp_path / "people" / name / "1.png")
    toy_model.save_crop(tmp_path / "people" / "Bob" / "2.png", 1, 0)
    result = enroll(gallery, toy, tmp_path / "people")
    line = complaint(result, 1)
    assert str(tmp_path / "people" / "Bob" / "1.png") in line
    assert "enrolled as Ann Lee" in line
    answers = {(entry["person"], entry["image"][-5:]): entry["status"] for entry in json_lines(result)[:-1]}
    assert answers == {("Ann Lee", "1.png"): "skipped", ("Bob", "1.png"): "failed", ("Bob", "2.png"): "added"}


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x00b", "x" * 201, "\udce9"], ids=ascii)
def test_no_name_for_a_person(name: str, good: Path, toy: Path, tmp_path: Path) -> None:
    refused(enroll(tmp_path / "g", toy, good, "--name", name), "no name for a person")
    assert not (tmp_path / "g").exists()


def test_a_folder_whose_name_fits_no_person(gallery: Path, toy: Path, tmp_path: Path) -> None:
    toy_model.save_crop(tmp_path / "people" / "Bob" / "1.png", 1, 0)
    bad = toy_model.save_crop(tmp_path / "people" / "two\nlines" / "1.png", 2, 0)
    result = enroll(gallery, toy, tmp_path / "people")
    assert "no name for a person" in complaint(result, 1)
    answers = {entry["image"]: entry["status"] for entry in json_lines(result)[:-1]}
    assert answers == {str(tmp_path / "people" / "Bob" / "1.png"): "added", str(bad): "failed"}


def test_a_folder_of_people_that_is_not_there(good: Path, gallery: Path, toy: Path, tmp_path: Path) -> None:
    toy_model.save_crop(tmp_path / "people" / "Bob" / "1.png", 1, 0)
    result = enroll(gallery, toy, tmp_path / "nowhere", tmp_path / "people")
    assert str(tmp_path / "nowhere") in complaint(result, 1)
    assert [line["status"] for line in json_lines(result)[:-1]] == ["failed", "added"]


def test_a_link_that_leads_back_up(gallery: Path, toy: Path, tmp_path: Path) -> None:
    toy_model.save_crop(tmp_path / "people" / "Bob" / "1.png", 1, 0)
    (tmp_path / "people" / "Bob" / "again").symlink_to("..")
    result = enroll(gallery, toy, tmp_path / "people")
    assert (result.exit_code, result.stderr) == (0, "")
    assert len(json_lines(result)) == 2


# ---------------------------------------------------------------------------------------------------- permissions


@contextmanager
def nobody() -> Iterator[None]:
    """As a user who may not read everything, where the tests run as one who may."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder(gallery: Path, good: Path, toy: Path) -> Iterator[Path]:
    """good.png, toy.onnx and gallery/ in a folder that every user may read, its parents too."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(good, folder / "good.png")
        for path in (toy, toy.with_suffix(".json")):
            shutil.copy(path, folder)
        shutil.copytree(gallery, folder / "gallery")
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        yield folder
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755)


def test_a_photo_and_a_folder_nobody_may_read(open_folder: Path) -> None:
    bad = toy_model.save_crop(open_folder / "bad.png", 1, 0)
    bad.chmod(0)
    closed = toy_model.save_crop(open_folder / "closed" / "1.png", 1, 0).parent
    closed.chmod(0)
    with nobody():
        results = [
            identify(open_folder / "gallery", open_folder / "toy.onnx", path, open_folder / "good.png")
            for path in (bad, closed, closed / "1.png")
        ]
        alone = enroll(open_folder / "gallery", open_folder / "toy.onnx", closed)
    for result in results:
        assert "Permission denied" in complaint(result, 1)
        assert json_lines(result)[-1]["person"] == "Ann Lee"
    refused(alone, closed, "Permission denied")


def test_a_gallery_that_may_only_be_read(open_folder: Path) -> None:
    new = toy_model.save_crop(open_folder / "new.png", 1, 0)
    for path in (open_folder / "gallery", *(open_folder / "gallery").iterdir()):
        path.chmod(0o555 if path.is_dir() else 0o444)
    with nobody():
        found = identify(open_folder / "gallery", open_folder / "toy.onnx", open_folder / "good.png")
        added = enroll(open_folder / "gallery", open_folder / "toy.onnx", new, "--name", "Bob")
        made = enroll(open_folder / "made", open_folder / "toy.onnx", new, "--name", "Bob")
    assert json_lines(found)[0]["person"] == "Ann Lee"
    refused(added, open_folder / "gallery", "writable")
    refused(made, open_folder / "made", "Permission denied")


# ---------------------------------------------------------------------------------------------------- galleries


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
        (gallery / "index.faiss").write_bytes(content)
        result = identify(gallery, toy, good)
        assert (result.exit_code, result.stderr) == (0, "")
        assert json_lines(result)[0]["person"] == "Ann Lee"
        assert (gallery / "index.faiss").read_bytes() != content


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
    refused(run("gallery", "rename", "Ann Lee", "", gallery=gallery), "no name for a person")
    other = toy_model.save_crop(tmp_path / "bob.png", 1, 0)
    assert enroll(gallery, toy, other, "--name", "Bob").exit_code == 0
    refused(run("gallery", "rename", "Bob", "Ann Lee", gallery=gallery), "'Ann Lee' is enrolled already")


def test_a_full_disk(gallery: Path, toy: Path, tmp_path: Path) -> None:
    """No file may grow beyond 12 kB: the write-ahead log cannot take a new person."""
    resource = pytest.importorskip("resource", reason="no limits on file sizes here")
    other = toy_model.save_crop(tmp_path / "bob.png", 1, 0)
    result = run_process(
        "enroll", other, "--name", "Bob", "--aligned", "--json", "--model", toy, "--gallery", gallery,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000)),
    )  # fmt: skip
    assert result.returncode == 2
    assert result.stdout == "", "what is not stored is not acknowledged"
    assert clear(result.stderr)
    assert "space" in result.stderr
    assert json_lines(run("gallery", "check", "--json", gallery=gallery)) == [
        {"people": 1, "templates": 1, "problems": []}
    ]
    assert enroll(gallery, toy, other, "--name", "Bob").exit_code == 0


# ---------------------------------------------------------------------------------------------------- models


@pytest.fixture
def folder_model(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of a model folder, to be spoiled."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def test_a_card_that_is_no_json_names_the_remedy(folder_model: Path, good: Path) -> None:
    refused(
        run("verify", good, good, "--model", card_without_json(folder_model)), "correct it, or copy the model again"
    )


def edit_card(path: Path, **facts: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | facts), "utf-8")


def no_model(path: Path) -> Path:
    return path.parent / "no-such-model"


def no_card(path: Path) -> Path:
    (path / "model.json").unlink()
    return path


def no_weights(path: Path) -> Path:
    (path / "weights.safetensors").unlink()
    return path


def cut_weights(path: Path) -> Path:
    file = path / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:100_000])
    return path


def garbage_weights(path: Path) -> Path:
    (path / "weights.safetensors").write_bytes(b"garbage" * 1000)
    return path


def other_card(path: Path) -> Path:
    edit_card(path / "model.json", fingerprint="0" * 16)
    return path


def newer_card(path: Path) -> Path:
    edit_card(path / "model.json", format=99)
    return path


def unknown_field(path: Path) -> Path:
    edit_card(path / "model.json", favourite_colour="blue")
    return path


def unknown_backbone(path: Path) -> Path:
    from facerec.models.card import read_card
    from facerec.models.checkpoint import _fingerprint, _read_tensors

    edit_card(path / "model.json", backbone="resnet9000")
    fingerprint = _fingerprint(read_card(path / "model.json"), _read_tensors(path / "weights.safetensors"))
    edit_card(path / "model.json", fingerprint=fingerprint)
    return path


def card_without_json(path: Path) -> Path:
    (path / "model.json").write_text("name: mine", "utf-8")
    return path


def card_of_a_list(path: Path) -> Path:
    (path / "model.json").write_text("[]", "utf-8")
    return path


def mean_in_words(path: Path) -> Path:
    edit_card(path / "model.json", mean="grey")
    return path


def mad_threshold(path: Path) -> Path:
    edit_card(path / "model.json", threshold={"distance": "far"})
    return path


def threshold_no_table(path: Path) -> Path:
    edit_card(path / "model.json", threshold=1.1)
    return path


def no_weights_file(path: Path) -> Path:
    return written(path / "weights.bin", b"")


SPOILS: dict[Build, str] = {
    no_model: "no such model", no_card: "no such file", no_weights: "incomplete", cut_weights: "copy the model again",
    garbage_weights: "copy the model again", other_card: "not the file its model.json was written for",
    newer_card: "upgrade facerec", unknown_field: "favourite_colour", unknown_backbone: "resnet9000",
    card_without_json: "not a model card", card_of_a_list: "not a model card", mean_in_words: "three numbers",
    mad_threshold: "from 0 to 4", threshold_no_table: "threshold must be", no_weights_file: "not a model",
}  # fmt: skip


@pytest.mark.parametrize("spoil", SPOILS, ids=lambda spoil: spoil.__name__)
def test_a_spoiled_model_folder(spoil: Build, folder_model: Path, good: Path) -> None:
    bad = spoil(folder_model)
    result = run("verify", good, good, "--aligned", "--model", bad)
    refused(result, SPOILS[spoil], bad)
    broken = run("doctor", "--model", bad, gallery=good.parent / "none")
    assert broken.exit_code == 1
    assert clear(broken.stderr)


def constant_model(path: Path, value: float) -> Path:
    """A network that gives every face the same numbers."""
    taken = helper.make_tensor_value_info("faces", TensorProto.FLOAT, ["N", 3, 112, 112])
    given = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["N", toy_model.DIMENSION])
    weights = onnx.numpy_helper.from_array(np.full((3, toy_model.DIMENSION), value, np.float32), "weights")
    nodes = [
        helper.make_node("GlobalAveragePool", ["faces"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["vectors"]),
    ]
    toy_model.save_graph(helper.make_graph(nodes, "constant", [taken], [given], [weights]), path)
    return path


def two_inputs(path: Path) -> Path:
    shape = [1, toy_model.DIMENSION]
    taken = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("a", "b")]
    given = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, shape)
    node = helper.make_node("Add", ["a", "b"], ["vectors"])
    toy_model.save_graph(helper.make_graph([node], "two", taken, [given]), path)
    return path


def remove_card(path: Path) -> Path:
    path.with_suffix(".json").unlink()
    return path


def card_says(**facts: Any) -> Build:
    def spoil(path: Path) -> Path:
        edit_card(path.with_suffix(".json"), **facts)
        return path

    return spoil


ONNX: dict[str, tuple[Build, str]] = {
    "garbage": (lambda path: written(path, b"garbage" * 1000), "give a valid .onnx file"),
    "empty": (lambda path: written(path, b""), "toy.onnx"),
    "cut off": (lambda path: written(path, path.read_bytes()[:150]), "give a valid .onnx file"),
    "without its card": (remove_card, "toy.json: no such file"),
    "other dimension": (card_says(embedding_dim=64), "its card says 64"),
    "other input size": (card_says(input_size=96), "mend its card"),
    "two inputs": (two_inputs, "2 inputs"),
    "zeros": (lambda path: constant_model(path, 0.0), "without a direction"),
    "not a number": (lambda path: constant_model(path, float("nan")), "without a direction"),
    "missing": (lambda path: path.with_name("other.onnx"), "no such model"),
    "folder": (lambda path: path.parent, "model.json: no such file"),
}


@pytest.mark.parametrize("kind", ONNX)
def test_a_spoiled_onnx_file(kind: str, good: Path, tmp_path: Path) -> None:
    build, word = ONNX[kind]
    bad = build(toy_model.write_model(tmp_path / "onnx"))
    refused(run("verify", good, good, "--aligned", "--model", bad), tmp_path / "onnx", word)
    (tmp_path / "pairs.csv").write_text("a,b,same\ngood.png,other.png,1\n", "utf-8")
    toy_model.save_crop(good.parent / "other.png", 0, 1)
    files = ["--images", good.parent, "--pairs", tmp_path / "pairs.csv"]
    refused(run("evaluate", "verification", *files, "--aligned", "--model", bad), tmp_path / "onnx", word)


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


# ---------------------------------------------------------------------------------------------------- pairs


PAIRS = {
    "empty": (b"", "pairs.csv"),
    "no pairs": (b"a,b,same\n", "no pairs"),
    "wrong header": (b"left,right\n", "line 1"),
    "short line": (b"a,b,same\ngood.png,x.png\n", "line 2"),
    "same in words": (b"a,b,same\ngood.png,x.png,maybe\n", "line 2"),
    "lfw line": (b"1 1\nAnn 1 2\nAnn one Bob 2\n", "line 3"),
    "lfw cut off": (b"10 300\nAnn 1 2\n", "get the whole file"),
    "not text": (b"a,b,same\n\xff\xfe\x00", "UTF-8"),
}


@pytest.mark.parametrize("kind", PAIRS)
def test_a_bad_pairs_file(kind: str, good: Path, toy: Path, tmp_path: Path) -> None:
    content, word = PAIRS[kind]
    path = written(tmp_path / "pairs.csv", content)
    files = ["--images", good.parent, "--pairs", path]
    refused(run("evaluate", "verification", *files, "--aligned", "--model", toy), path, word)


def test_pairs_or_images_that_are_not_there(good: Path, toy: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "pairs.csv", b"a,b,same\ngood.png,none.png,1\n")

    def evaluate(images: Path, pairs: Path) -> Result:
        arguments = ["--images", images, "--pairs", pairs, "--aligned", "--json", "--model", toy]
        return run("evaluate", "verification", *arguments)

    refused(evaluate(good.parent, tmp_path / "none.csv"), tmp_path / "none.csv", "No such file")
    refused(evaluate(good.parent, tmp_path), tmp_path, "directory")
    refused(evaluate(good, path), good, "not a folder")
    result = evaluate(good.parent, path)
    assert str(good.parent / "none.png") in complaint(result, 1)
    assert json_lines(result)[0]["failures_to_enrol"] == 1
    nothing = evaluate(tmp_path / "gone", path)
    refused(nothing, tmp_path / "gone", "not a folder")


# ---------------------------------------------------------------------------------------------------- training


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Six made-up people of two photos each: just enough to train on."""
    for person in range(6):
        for photo in range(2):
            toy_model.save_crop(tmp_path / "people" / f"p{person}" / f"{photo}.png", person, photo)
    return tmp_path / "people"


SMALL = [
    "--aligned", "--backbone", "squeezenet1_1", "--init", "random", "--strategy", "full", "--embedding-dim", 8,
    "--epochs", 1, "--people-per-batch", 4, "--photos-per-person", 2, "--train-size", 64, "--mining", "all",
]  # fmt: skip


def train(folder: Path, *arguments: object) -> Result:
    """A small run, its settings changed by `arguments`: of an option given twice the last counts."""
    return run("train", folder, "--output", folder.parent / "run", *SMALL, *arguments)


SETTINGS: dict[str, tuple[list[object], str]] = {
    "backbone": (["--backbone", "vgg"], "no backbone 'vgg'; known are"),
    "strategy": (["--strategy", "hope"], "no strategy 'hope'; known are"),
    "mining": (["--mining", "gold"], "no mining 'gold'; known are"),
    "loss": (["--loss", "hinge"], "no loss 'hinge'; known are"),
    "schedule": (["--schedule", "weekly"], "no schedule 'weekly'; known are"),
    "precision": (["--precision", "fp7"], "no precision 'fp7'; known are"),
    "init": (["--init", "no-such-model"], "no-such-model"),
    "margin": (["--margin", -1], "margin"),
    "frozen stages": (["--strategy", "partial", "--frozen-stages", 9], "partial freezes between 1 and"),
    "epochs": (["--epochs", 0], "epochs"),
    "batch": (["--people-per-batch", 0], "people_per_batch"),
    "embedding": (["--embedding-dim", 0], "embedding_dim"),
    "train size": (["--train-size", 1], "train_size"),
    "rate": (["--lr", "nan"], "lr"),
    "too few people": (["--people-per-batch", 40], "--people-per-batch"),
    "one person": (["--limit-people", 1], "people"),
    "no teacher": (["--teacher", "none.npz"], "none.npz"),
    "nothing to learn from": (["--loss", "none"], "--teacher"),
    "no splits": (["--splits", "none"], "validation.txt"),
    "no config": (["--config", "none.toml"], "none.toml"),
    "no exclusions": (["--exclude", "none.txt"], "none.txt"),
    "mode": (["--mode", "guess"], "no mode 'guess'; known are"),
    "optimizer": (["--optimizer", "luck"], "no optimizer 'luck'; known are"),
    "weight of a loss": (["--loss", "0*triplet"], "weight must be above 0"),
    "teacher's loss": (["--teacher-loss", "hints"], "no teacher loss 'hints'; known are"),
    "teacher model": (["--teacher", "no-such-model"], "no-such-model"),
    "kept stages": (["--kept-stages", 9], "keep between 1 and"),
    "scratch from a model": (["--strategy", "scratch", "--init", "models/mine"], "leave --init out"),
    "classes by splits": (["--mode", "classify", "--splits", "lists"], "--validation"),
    "people by validation": (["--validation", "people"], "--splits"),
    "classes nobody has": (["--mode", "classify", "--validation", "none"], "none"),
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_setting_that_makes_no_sense(kind: str, people: Path) -> None:
    arguments, word = SETTINGS[kind]
    refused(train(people, *arguments), word)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"lr = ", "not TOML"),
        (b"learning_rate = 1e-3", "unknown setting 'learning_rate'"),
        (b"epochs = 'ten'", "'epochs' must be int"),
        (b"\xff\xfe", "not TOML"),
    ],
    ids=["not TOML", "unknown key", "wrong type", "not UTF-8"],
)
def test_a_bad_file_of_settings(content: bytes, word: str, people: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "train.toml", content)
    refused(train(people, "--config", path), path, word)


def test_folders_nothing_can_be_learned_from(good: Path, people: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(train(tmp_path / "empty"), tmp_path / "empty", "one per person")
    refused(train(tmp_path / "none"), tmp_path / "none")
    refused(train(good.parent), good.parent, "one per person")
    for person in range(1, 6):
        shutil.rmtree(people / f"p{person}")
    refused(train(people), people, "people to train")


def test_resuming_what_never_began(people: Path) -> None:
    refused(train(people, "--resume"), people.parent / "run", "start without --resume")


def test_an_output_that_is_a_file(people: Path) -> None:
    written(people.parent / "run", b"my notes")
    refused(train(people), people.parent / "run")
    assert (people.parent / "run").read_bytes() == b"my notes"


def test_a_disk_that_fills_up_while_training(people: Path) -> None:
    """No file may grow beyond 100 kB: the weights do not fit."""
    resource = pytest.importorskip("resource", reason="no limits on file sizes here")
    result = run_process(
        "train", people, "--output", people.parent / "run", *SMALL,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )  # fmt: skip
    assert result.returncode == 2
    last = result.stderr.splitlines()[-1]  # after the plan
    assert clear(last)
    assert str(people.parent / "run") in last


# ---------------------------------------------------------------------------------------------------- pipes


def test_a_reader_that_goes_away(good: Path, gallery: Path, toy: Path) -> None:
    command = [sys.executable, "-m", "facerec.cli.main", "identify", "--aligned", "--json", "--model", str(toy)]
    command += ["--gallery", str(gallery), *[str(good)] * 400]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["person"] == "Ann Lee"
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode in (0, 1)
