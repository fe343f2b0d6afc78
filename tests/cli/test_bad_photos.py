"""A photo, folder or name that cannot be used: one clear line that names it, the good photos beside it still done."""

import importlib.util
import io
import os
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
import toy_fixtures
import toy_model
from complaints import Build, complaint, enroll, identify, refused, written
from running import json_lines, run

from facerec.extras import install

gallery = toy_fixtures.one_person


# ---------------------------------------------------------------------------------------------------- photos


def photo_bytes(kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(toy_model.crop(5, 0)).save(file, kind, **options)
    return file.getvalue()


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


def test_nothing_but_bad_photos(good: Path, gallery: Path, toy: Path, tmp_path: Path) -> None:
    result = identify(gallery, toy, tmp_path / "none.jpg")
    assert complaint(result, 2).startswith(str(tmp_path / "none.jpg"))
    assert [answer["decision"] for answer in json_lines(result)] == ["error"]
    thresholds = [json_lines(each)[0]["threshold"] for each in (result, identify(gallery, toy, good))]
    assert thresholds[0] == thresholds[1] is not None
    assert "none.jpg" in complaint(enroll(gallery, toy, tmp_path / "none.jpg", "--name", "Bob"), 2)


def test_heic_without_the_extra(good: Path, gallery: Path, toy: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("pillow_heif"):
        pytest.skip("pillow-heif is installed here")
    bad = written(tmp_path / "phone.heic", HEIC)
    assert install("heic") in complaint(identify(gallery, toy, good, bad), 1)


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
    assert len(shown.stdout.splitlines()) == 1
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


def test_a_folder_of_one_person(good: Path, gallery: Path, toy: Path, tmp_path: Path) -> None:
    """Nobody knows whether it is one person's, or whose; the way on is said."""
    folder = tmp_path / "people" / "Tom_Ridge"
    shutil.copytree(good.parent, folder)
    shutil.copy(good, folder / "2.png")
    found = f"{folder}: 2 photos directly in it, but no folders with photos in it; "
    refused(
        enroll(gallery, toy, folder),
        found,
        "to enroll one person give --name 'Tom Ridge', to enroll several give the folder above",
    )
    link = tmp_path / "Tom_R"
    link.symlink_to(folder)
    refused(enroll(gallery, toy, link), "give --name 'Tom R',")
    for command in (["check-data", folder], ["train", folder, "--output", tmp_path / "run"]):
        refused(run(*command), found, "give the folder above, or make one per person")
    refused(run("train", folder.parent, "--output", tmp_path / "run"), f"{folder.parent}: 0 people to train")
    assert not (tmp_path / "run").exists()


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
    refused(enroll(tmp_path / "g", toy, good, "--name", name), "cannot be a person's name")
    assert not (tmp_path / "g").exists()


def test_a_folder_whose_name_fits_no_person(gallery: Path, toy: Path, tmp_path: Path) -> None:
    toy_model.save_crop(tmp_path / "people" / "Bob" / "1.png", 1, 0)
    bad = toy_model.save_crop(tmp_path / "people" / "two\nlines" / "1.png", 2, 0)
    result = enroll(gallery, toy, tmp_path / "people")
    assert "cannot be a person's name" in complaint(result, 1)
    answers = {entry["image"]: entry["status"] for entry in json_lines(result)[:-1]}
    assert answers == {str(tmp_path / "people" / "Bob" / "1.png"): "added", str(bad): "failed"}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (b"Unknown", "'Unknown' is the answer for strangers, not a person's name; give another"),
        (b"J\xf6rg", "'J\\udcf6rg' cannot be a person's name: it is not UTF-8; give it in UTF-8"),
        (b"x" * 220, "cannot be a person's name: it has 220 characters; give at most 200"),
        (b"a\nb", "cannot be a person's name: give 1 to 200 characters without control characters"),
    ],
    ids=["stranger", "latin-1", "long", "two lines"],
)
def test_a_name_that_fits_no_person_is_one_line_for_all_photos(
    name: bytes, why: str, gallery: Path, toy: Path, tmp_path: Path
) -> None:
    for number in range(3):
        toy_model.save_crop(tmp_path / "people" / os.fsdecode(name) / f"{number}.png", 1, number)
    result = run("enroll", tmp_path / "people", "--aligned", "--model", toy, gallery=gallery)
    line = complaint(result, 2)
    assert ": all 3 photos were not enrolled: " in line
    assert why in line
    assert line.endswith(" (rename the folder, or give another --name)\n")


def test_a_folder_of_people_that_is_not_there(gallery: Path, toy: Path, tmp_path: Path) -> None:
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


@pytest.mark.parametrize(
    "command", [["enroll", ""], ["identify", ""], ["gallery", "export", ""], ["train", "", "--output", "x"]]
)
def test_an_empty_name_is_not_the_present_folder(command: list[str], gallery: Path) -> None:
    result = run(*command, gallery=gallery)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "an empty name" in result.stderr
