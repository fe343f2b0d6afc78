"""`facerec watch` and `facerec identify` of videos: what they print, and how they end."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch_free
import toy_fixtures
import toy_model
from running import ROOT, json_lines, run
from toy_model import NAMES
from toy_stream import Server, send
from toy_video import write_video

from facerec.photos.incoming import Incoming
from facerec.photos.reading import read_image
from facerec.photos.video import VideoFile
from facerec.types import Image

gallery = toy_fixtures.three_people
ANN, BOB, STRANGER = 0, 1, 9


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Two seconds of Ann, then two of a stranger, as aligned crops."""
    return write_film(tmp_path / "film.mp4")


def write_film(path: Path, **facts: Any) -> Path:
    people = (person for person in (ANN, STRANGER) for _ in range(20))
    return write_video(path, (toy_model.crop(person, n % 5) for n, person in enumerate(people)), **facts)


def watch(gallery: Path, toy: Path, *arguments: object) -> Any:
    return run("watch", *arguments, "--aligned", "--model", toy, gallery=gallery)


def test_what_happens_as_json(gallery: Path, toy: Path, film: Path) -> None:
    result = watch(gallery, toy, film, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = json_lines(result)
    assert [(line["event"], line["at"], line["track"], line["person"]) for line in lines] == [
        ("appeared", 0.0, 0, None),
        ("identified", 0.4, 0, NAMES[ANN]),
        ("appeared", 2.0, 1, None),
        ("identified", 2.4, 1, None),
        ("left", 3.8, 0, NAMES[ANN]),
        ("left", 3.8, 1, None),
    ]
    assert [line["decision"] for line in lines] == [None, "match", None, "unknown", "match", "unknown"]
    assert [line["seconds"] for line in lines if line["event"] == "left"] == [[0.0, 1.8], [2.0, 3.8]]
    assert {line["image"] for line in lines} == {str(film)}
    assert {line["time"] for line in lines} == {None}, "only what is live has a time of the day"
    (photo,) = json_lines(run("identify", film, "--aligned", "--json", "--model", toy, gallery=gallery))[:1]
    assert [list(line) for line in lines] == [["event", "time", "at", "track", *photo]] * 6


def test_what_happens_in_words(gallery: Path, toy: Path, film: Path) -> None:
    result = watch(gallery, toy, film, "--explain", "--every-seconds", "0.5")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert [line for line in lines if not line.startswith("    ")] == [
        "0:00.0 face 1: appeared",
        "0:01.0 face 1: Ann Lee",
        "0:02.0 face 2: appeared",
        "0:03.0 face 2: unknown",
        "0:03.5 face 1: left, Ann Lee",
        "0:03.5 face 2: left, unknown",
        "2 faces: 1 known, 1 unknown",
    ]
    assert lines[2].startswith("    Ann Lee at 0.0")
    assert lines[2].endswith("; the mean of 3 faces")


def test_people_in_a_video_by_the_shipped_model(small_samples: Path, tmp_path: Path) -> None:
    """One photo, then another: each moves across the picture, and MTCNN finds its face."""
    enrolled = run("enroll", small_samples / "people", "--quiet", gallery=tmp_path / "g")
    assert enrolled.exit_code == 0
    photos = [next((small_samples / folder).glob("*.jpg")) for folder in ("held_back", "strangers")]
    film = write_video(tmp_path / "film.mp4", (moved(photo, step) for photo in photos for step in range(10)))
    result = run("watch", film, "--json", gallery=tmp_path / "g")
    left = [line for line in json_lines(result) if line["event"] == "left"]
    assert [(line["person"], line["seconds"]) for line in left] == [("Barack Obama", [0.0, 0.8]), (None, [1.0, 1.8])]


def moved(photo: Path, step: int) -> Image:
    """A photo in a picture of 320 x 320 pixels, a little farther right in each step."""
    image, picture = read_image(photo), np.zeros((320, 320, 3), np.uint8)
    room = picture[: len(image), 3 * step : 3 * step + image.shape[1]]
    room[:] = image[:, : room.shape[1]]
    return picture


def test_identify_takes_videos(gallery: Path, crops: Path, toy: Path, film: Path) -> None:
    options = ["--aligned", "--model", toy]
    lines = json_lines(run("identify", crops / "ann.png", film, *options, "--json", gallery=gallery))
    assert [(line["image"], line["face"], line["person"]) for line in lines] == [
        (str(crops / "ann.png"), 0, NAMES[ANN]), (str(film), 0, NAMES[ANN]), (str(film), 1, None)
    ]  # fmt: skip
    assert [line.get("seconds") for line in lines] == [None, [0.0, 1.8], [2.0, 3.8]]
    assert {key for line in lines[1:] for key in line} - set(lines[0]) == {"seconds"}
    told = run("identify", film, *options, gallery=gallery).stdout.splitlines()
    assert told == [f"{film} (face 1, 0:00.0 to 0:01.8): Ann Lee", f"{film} (face 2, 0:02.0 to 0:03.8): unknown"]


def test_identify_takes_the_videos_of_a_folder(gallery: Path, toy: Path, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    film, photo = write_film(inbox / "deeper" / "film.mp4"), toy_model.save_crop(inbox / "photo.png", BOB, 5)
    (inbox / "notes.txt").write_text("no photo", "utf-8")
    result = run("identify", inbox, "--aligned", "--json", "--model", toy, gallery=gallery)
    assert [(line["image"], line["person"]) for line in json_lines(result)] == [
        (str(film), NAMES[ANN]), (str(film), None), (str(photo), NAMES[BOB])
    ]  # fmt: skip
    assert result.exit_code == 0
    assert result.stderr == f"passed over 1 file that is no photo (such as {inbox / 'notes.txt'})\n"


def test_one_line_says_that_a_video_is_cut_off(gallery: Path, toy: Path, tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mkv")
    film.write_bytes(film.read_bytes()[: film.stat().st_size * 6 // 10])
    blank = write_video(tmp_path / "blank.mkv", [np.zeros((48, 64, 3), np.uint8)] * 40)
    blank.write_bytes(blank.read_bytes()[: blank.stat().st_size * 6 // 10])
    for command in ("watch", "identify"):
        result = run(command, film, "--aligned", "--model", toy, gallery=gallery)
        assert (result.exit_code, result.stderr.count("\n")) == (0, 1)
        assert f"{film}: cut off, the last 0:0" in result.stderr
        assert run(command, film, "--aligned", "--model", toy, "--quiet", gallery=gallery).stderr == ""
    result = run("identify", blank, "--model", toy, gallery=gallery)
    assert f"{blank}: cut off, the last 0:0" in result.stderr
    assert f"{blank}: no face found" in result.stderr


def test_the_annotated_video(gallery: Path, toy: Path, film: Path, tmp_path: Path) -> None:
    named = tmp_path / "named.mp4"
    assert watch(gallery, toy, film, "--save-annotated", named, "--quiet").exit_code == 0
    assert len(list(VideoFile(named).frames())) == 20
    result = watch(gallery, toy, film, "--save-annotated", named)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert f"{named}: is there already" in result.stderr


BAD = {
    "no file": ("nothing.mp4", "nothing.mp4: no such file; check the name"),
    "no video": ("text.mp4", "text.mp4: not a video facerec reads, or damaged"),
    "a photo": ("photo.png", "photo.png: a photo, not a video; `facerec identify` says who is in it"),
    "no webcam": ("77", "webcam 77: there is no /dev/video77"),
    "no server": ("http://ann:secret@127.0.0.1:9/door", "http://127.0.0.1:9/...: cannot be opened"),
    "no scheme of a stream": ("ftp://ann:secret@cam/secret", "ftp://cam/...: no address of a stream"),
    "a device": ("/dev/null", "/dev/null: not a regular file; give a file with a video"),
    "an empty name": ("", "an empty name; give a video file"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_source_is_one_clear_line(
    kind: str, gallery: Path, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.mp4").write_text("no video", "utf-8")
    toy_model.save_crop(Path("photo.png"), 0, 0)
    source, words = BAD[kind]
    result = watch(gallery, toy, source)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr
    assert "secret" not in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["watch", "film.mp4", "--every-seconds", "nan"], "--every-seconds must be a number of seconds from 0 on"),
        (["identify", "rtsp://ann:secret@cam/secret"], "rtsp://cam/... is a stream, not a file; facerec watch takes"),
    ],
)
def test_refused_before_anything_is_opened(words: list[str], said: str, gallery: Path, film: Path) -> None:
    result = run(*words[:1], *(film if word == film.name else word for word in words[1:]), gallery=gallery)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert "secret" not in result.stderr


def test_a_folder_is_no_video_to_be_annotated(gallery: Path, toy: Path, tmp_path: Path) -> None:
    result = watch(gallery, toy, tmp_path, "--save-annotated", tmp_path / "a.mp4")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "leave out --save-annotated" in result.stderr


def test_without_the_extra(gallery: Path, toy: Path, film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    for command in ("watch", "identify"):
        result = run(command, film, "--model", toy, gallery=gallery)
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
        assert "reading videos needs av: pip install" in result.stderr
        assert "[video]'" in result.stderr


def test_videos_of_a_folder_without_the_extra(
    gallery: Path, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    film = write_film(tmp_path / "inbox" / "film.mp4")
    alone = run("identify", film.parent, "--aligned", "--model", toy, gallery=gallery)
    assert (alone.exit_code, alone.stdout, alone.stderr.count("\n")) == (2, "", 1)
    assert "reading videos needs av: pip install" in alone.stderr
    toy_model.save_crop(film.parent / "photo.png", BOB, 5)
    both = run("identify", film.parent, "--aligned", "--model", toy, gallery=gallery)
    assert (both.exit_code, both.stdout.count("\n"), both.stderr.count("\n")) == (0, 1, 1)
    assert f"passed over 1 video (such as {film}): reading videos needs av: pip install" in both.stderr


# ------------------------------------------------------------------------------------------- what goes on and on

WITHOUT_TORCH = "import sys; sys.modules.update(dict.fromkeys({}, None)); from facerec.cli.main import main; main()"


@pytest.fixture
def started(gallery: Path, toy: Path) -> Iterator[Any]:
    """started(source): a process, without torch, that watches it; standard output as JSON lines."""
    made: list[subprocess.Popen[str]] = []

    def start(source: object) -> subprocess.Popen[str]:
        code = WITHOUT_TORCH.format(torch_free.LIBRARIES)
        words = ["watch", str(source), "--json", "--aligned", "--model", str(toy), "--gallery", str(gallery)]
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        command, pipe = [sys.executable, "-c", code, *words], subprocess.PIPE
        made.append(subprocess.Popen(command, cwd=ROOT, env=env, stdout=pipe, stderr=pipe, text=True))
        return made[-1]

    yield start
    for process in made:
        process.kill()
        process.communicate()


def next_line(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate()[1]
    return json.loads(line)


def test_a_folder_that_fills_up(started: Any, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    first = toy_model.save_crop(inbox / "first.png", BOB, 5)
    process = started(inbox)
    assert next_line(process)["image"] == str(first)
    half, whole = inbox / "second.png", toy_model.save_crop(tmp_path / "whole.png", ANN, 5).read_bytes()
    half.write_bytes(whole[:50])
    write_film(tmp_path / "film.mp4").rename(inbox / "film.mp4")
    half.write_bytes(whole)
    lines = sorted((next_line(process) for _ in range(3)), key=lambda line: line["image"])
    assert [(Path(line["image"]).name, line["person"]) for line in lines] == [
        ("film.mp4", NAMES[ANN]), ("film.mp4", None), ("second.png", NAMES[ANN])
    ]  # fmt: skip
    assert {line["event"] for line in lines} == {"identified"}
    assert all(datetime.fromisoformat(line["time"]).tzinfo for line in lines)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("names", "code"), [(["good.png"], 0), (["good.png", "bad.png"], 1), (["bad.png"], 2), ([], 0)]
)
def test_ctrl_c_in_a_folder_ends_as_all_commands_do(
    names: list[str], code: int, gallery: Path, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy_model.save_crop(tmp_path / "good.png", ANN, 5)
    (tmp_path / "bad.png").write_text("no photo", "utf-8")

    def batches(_: Incoming, stopped: threading.Event) -> Iterator[list[Path]]:
        yield [tmp_path / name for name in names]
        os.kill(os.getpid(), signal.SIGINT)
        assert stopped.is_set()

    monkeypatch.setattr(Incoming, "batches", batches)
    result = watch(gallery, toy, tmp_path)
    assert result.exit_code == code
    assert len(result.stderr.splitlines()) == names.count("bad.png")


def test_a_threshold_that_is_changed_meanwhile_counts_from_then_on(
    gallery: Path, toy: Path, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = toy_model.save_crop(tmp_path / "good.png", ANN, 5)
    crop = toy_model.save_crop(tmp_path / "strangers" / "1.png", STRANGER, 0).parent

    def batches(_: Incoming, stopped: threading.Event) -> Iterator[list[Path]]:
        yield [photo]
        strangers = ("--strangers", crop, "--fpir", 0.5, "--aligned", "--model", toy)
        assert run("calibrate", *strangers, gallery=gallery).exit_code == 0
        yield [photo, film]
        stopped.set()

    monkeypatch.setattr(Incoming, "batches", batches)
    first, *others = json_lines(watch(gallery, toy, tmp_path, "--json"))
    assert (first["person"], first["threshold_source"]) == (NAMES[ANN], "made up for tests")
    assert len(others) == 3
    assert len({line["threshold"] for line in others} - {first["threshold"]}) == 1


def test_ctrl_c_ends_a_stream_with_what_was_found(started: Any, tmp_path: Path) -> None:
    stream = write_film(tmp_path / "film.ts", rate=25, codec="mpeg2video", gop_size=1).read_bytes()
    done = threading.Event()

    def send_slowly(request: Any, number: int) -> None:
        send(request, b"")
        while not done.wait(0.3):
            try:
                request.wfile.write(stream[: len(stream) // 3])  # Ann alone
            except OSError:
                return

    server = Server(send_slowly)
    process = started(server.address)
    try:
        while next_line(process)["event"] != "identified":
            pass
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        done.set()
        server.close()
    lines = [json.loads(line) for line in out.splitlines()]
    assert (process.returncode, err) == (0, "")
    assert (lines[-1]["event"], lines[-1]["person"]) == ("left", NAMES[ANN])
    assert lines[-1]["image"] == server.address.replace("ann:secret@", "").replace("/door", "/...")
