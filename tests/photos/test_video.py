"""video.py and video_files.py: pictures and their times; turned, damaged and foreign files; what is a video."""

import math
import re
import struct
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import toy_model
from toy_video import RATE, number_of, picture, write_video

from facerec.errors import ConfigError, FacerecError, ImageError
from facerec.photos import reading
from facerec.photos.streams import frames_of
from facerec.photos.video import VideoFile
from facerec.photos.video_files import Source, is_video, require_every, source_of
from facerec.photos.video_writing import VideoWriter, free_name


@pytest.fixture
def short(tmp_path: Path) -> Path:
    """A video of 20 pictures, 2 seconds."""
    return write_video(tmp_path / "short.mp4", map(picture, range(20)))


def test_every_picture_comes_at_its_time(short: Path) -> None:
    frames = list(VideoFile(short).frames())
    assert [number_of(frame.image) for frame in frames] == list(range(20))
    np.testing.assert_allclose([frame.seconds for frame in frames], np.arange(20) / RATE, atol=1e-6)
    assert {(frame.image.shape, frame.image.dtype) for frame in frames} == {((48, 64, 3), np.dtype(np.uint8))}


@pytest.mark.parametrize(("every", "numbers"), [(0.2, [0, 2, 4]), (0.25, [0, 3, 6]), (5.0, [0]), (0.0, [0, 1, 2])])
def test_pictures_between_are_passed_over(short: Path, every: float, numbers: list[int]) -> None:
    assert [number_of(frame.image) for frame in VideoFile(short).frames(every)][: len(numbers)] == numbers


@pytest.mark.parametrize(
    ("ending", "codec"),
    [(".mkv", "mpeg4"), (".avi", "mpeg4"), (".mov", "libx264"), (".ts", "libx264"), (".mpg", "mpeg2video"),
     (".webm", "libvpx"), (".flv", "flv")],
)  # fmt: skip
def test_other_containers(ending: str, codec: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / f"short{ending}", map(picture, range(5)), rate=25, codec=codec)
    assert is_video(path)
    assert [number_of(frame.image) for frame in VideoFile(path).frames()] == list(range(5))


MATRICES = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}
"""By degrees, clockwise: a, b, c, d of a track header's matrix, x' = a x + c y and y' = b x + d y, with y downwards
(QuickTime File Format Specification, "Matrices")."""


@pytest.mark.parametrize(("degrees", "dark"), [(0, (0, 0)), (90, (0, 1)), (180, (1, 1)), (270, (1, 0))])
def test_a_turned_video_is_upright(degrees: int, dark: tuple[int, int], tmp_path: Path) -> None:
    """The dark quarter is the upper left one before the video is turned."""
    path = write_video(tmp_path / "turned.mp4", [picture(50)] * 2)
    data = path.read_bytes()
    header, matrix = data.index(b"tkhd") + 44, struct.pack(">4i", *(65536 * part for part in MATRICES[degrees]))
    ends = header + 8, header + 12, header + 20
    path.write_bytes(data[:header] + matrix[:8] + data[ends[0] : ends[1]] + matrix[8:] + data[ends[2] :])
    image = next(VideoFile(path).frames()).image
    assert image.shape == ((64, 48, 3) if degrees in (90, 270) else (48, 64, 3))
    rows, columns = (np.array_split(np.arange(side), 2) for side in image.shape[:2])
    means = {(i, j): image[np.ix_(rows[i], columns[j])].mean() for i in (0, 1) for j in (0, 1)}
    assert min(means, key=lambda place: means[place]) == dark


def test_pixels_become_square(tmp_path: Path) -> None:
    path = write_video(tmp_path / "wide.mkv", [picture(3)] * 2, sample_aspect_ratio=2)
    assert next(VideoFile(path).frames()).image.shape == (48, 128, 3)


def test_one_picture_is_in_memory(tmp_path: Path) -> None:
    path = write_video(tmp_path / "long.mp4", (picture(n % 50, 240, 320) for n in range(200)))
    tracemalloc.start()
    count = sum(1 for _ in VideoFile(path).frames())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 200
    assert peak < 8 * 240 * 320 * 3


# ------------------------------------------------------------------------------------------------ bad files


def cut(whole: Path, path: Path) -> None:
    path.write_bytes(whole.read_bytes()[:1500])


def without_video(whole: Path, path: Path) -> None:
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))  # type: ignore[arg-type]


def playlist(whole: Path, path: Path) -> None:
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{whole}\n#EXT-X-ENDLIST\n", "utf-8")


BAD: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "cut": (cut, "no video in it, or damaged|not a video facerec reads, or damaged"),
    "text": (lambda whole, path: path.write_text("no video", "utf-8"), "not a video facerec reads, or damaged"),
    "noise": (lambda whole, path: path.write_bytes(np.random.default_rng(0).bytes(5000)), "not a video"),
    "empty": (lambda whole, path: path.touch(), "not a video"),
    "sound alone": (without_video, "no video in it, or damaged"),
    "a playlist, which would open other files": (playlist, "not a video"),
    "a folder": (lambda whole, path: path.mkdir(), "a folder"),
    "nothing": (lambda whole, path: None, "no such file"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_one_clear_line(kind: str, short: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    make, words = BAD[kind]
    path = tmp_path / "bad\nfile.mp4"
    make(short, path)
    with pytest.raises(ImageError, match=words) as caught:
        list(VideoFile(path).frames())
    assert str(caught.value).startswith(str(path).replace("\n", "\\n"))
    assert len(str(caught.value).splitlines()) == 1
    assert capfd.readouterr().err == "", "FFmpeg says nothing by itself"


def test_a_damaged_part_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_video(tmp_path / "whole.ts", (picture(n, 96, 128) for n in range(60)), rate=25, gop_size=5)
    data = bytearray(path.read_bytes())
    for start in range(len(data) // 3 // 188 * 188, len(data) // 2, 188):
        data[start + 4 : start + 188] = b"\xff" * 184
    path.write_bytes(data)
    with caplog.at_level("WARNING"):
        numbers = [number_of(frame.image) for frame in frames_of(source_of(str(path)), threading.Event())]
    assert numbers == sorted(numbers), "what comes is sound"
    assert numbers[0] == 0
    assert numbers[-1] == 59
    assert 40 < len(numbers) < 60
    assert re.search(r"whole\.ts: \d+ parts? of it damaged and passed over", caplog.text)


@pytest.mark.parametrize("ending", [".mkv", ".flv"])
def test_a_video_that_is_cut_off(ending: str, tmp_path: Path) -> None:
    path = write_video(
        tmp_path / f"whole{ending}", map(picture, range(50)), codec="flv" if ending == ".flv" else "mpeg4"
    )
    assert remarks_of(path) == ()
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    (remark,) = remarks_of(path)
    assert re.search(r"cut off, the last 0:0[12]\.\d is missing", remark)


def test_sound_behind_the_last_picture_is_no_missing_end(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "loud.mkv"), "w") as container:
        pictures: Any = container.add_stream("mpeg4", rate=RATE)
        pictures.height, pictures.width, pictures.pix_fmt = 48, 64, "yuv420p"
        stream = container.add_stream("pcm_s16le", rate=8000)
        container.mux(pictures.encode(av.VideoFrame.from_ndarray(picture(3), format="rgb24")))
        container.mux(pictures.encode(None))
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 32000), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))  # type: ignore[arg-type]
    assert remarks_of(tmp_path / "loud.mkv") == ()


def remarks_of(path: Path) -> tuple[str, ...]:
    video = VideoFile(path)
    assert list(video.frames())
    return video.remarks


def test_an_enormous_picture_is_refused(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_PIXELS", 1000)
    with pytest.raises(ImageError, match="megapixels"):
        list(VideoFile(short).frames())


# ------------------------------------------------------------------------------------------- what is a video


def test_the_content_decides_what_is_a_video(short: Path, tmp_path: Path) -> None:
    photo = toy_model.save_crop(tmp_path / "photo.png", 0, 0)
    assert is_video(short)
    assert is_video(short.rename(tmp_path / "video.jpg"))
    assert not is_video(photo)
    assert not is_video(photo.rename(tmp_path / "photo.mp4"))
    (tmp_path / "text.txt").write_text("a text", "utf-8")
    assert not is_video(tmp_path / "text.txt")
    assert is_video(tmp_path / "gone.MOV")


def test_sources_by_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "2024").mkdir()
    secret = "rtsp://ann:pass@word@door.local:554/stream?channel=1"
    assert source_of("0") == Source("webcam", "0", "webcam 0")
    assert source_of("2024") == Source("folder", "2024", "2024")
    assert source_of("party.mp4") == Source("file", "party.mp4", "party.mp4")
    assert source_of(secret) == Source("stream", secret, "rtsp://door.local:554/...")
    assert source_of("HTTP://Host/V.ts") == Source("stream", "http://Host/V.ts", "http://Host/...")
    assert source_of("file:///etc/passwd").kind == "file"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://cam/user=admin&password=SECRET&channel=1", "rtsp://cam/..."),
        ("rtsps://10.0.0.1:7441/SECRET?enableSrtp", "rtsps://10.0.0.1:7441/..."),
        ("http://cam?password=SECRET", "http://cam/..."),
        ("http://cam/#SECRET", "http://cam/..."),
        ("rtsp://ann:SECRET@[fe80::1]:554/", "rtsp://[fe80::1]:554/"),
        ("rtsp://ann:SECRET/SECRET@cam/1", "rtsp://..."),
        ("rtsp://ann:12/SECRET@cam/1", "rtsp://..."),
        ("rtsp://[SECRET", "rtsp://..."),
        ("udp://239.0.0.1:1234", "udp://239.0.0.1:1234"),
    ],
)
def test_no_secret_of_an_address_is_in_its_name(address: str, shown: str) -> None:
    assert source_of(address) == Source("stream", address, shown)


@pytest.mark.parametrize("every", [math.nan, math.inf, -0.1])
def test_a_time_between_pictures_is_a_number_of_seconds(every: float) -> None:
    with pytest.raises(ConfigError, match=r"`every_seconds` must be a number of seconds from 0 on, not (nan|inf|-0.1)"):
        require_every(every)


# ----------------------------------------------------------------------------------------------- written ones


def test_a_written_video_holds_the_pictures_at_their_times(tmp_path: Path) -> None:
    path = tmp_path / "made.mp4"
    with VideoWriter(path) as writer:
        for number, seconds in ((3, 0.0), (40, 0.5), (55, 0.5), (7, 2.25)):
            writer.add(seconds, picture(number, 47, 63))
    frames = list(VideoFile(path).frames())
    assert [number_of(frame.image) for frame in frames] == [3, 40, 55, 7]
    assert [frame.seconds for frame in frames] == pytest.approx([0, 0.5, 0.501, 2.25], abs=1e-3)
    assert {frame.image.shape for frame in frames} == {(48, 64, 3)}


def test_a_video_that_is_not_finished_can_be_watched(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "made.mp4")
    for number in range(100):
        writer.add(number / 10, picture(number % 60))
    assert len(list(VideoFile(tmp_path / "made.mp4").frames())) >= 50
    writer.close()
    assert len(list(VideoFile(tmp_path / "made.mp4").frames())) == 100


def test_no_file_is_overwritten_and_none_is_left_without_a_picture(short: Path, tmp_path: Path) -> None:
    before = short.read_bytes()
    with pytest.raises(FacerecError, match="is there already"):
        VideoWriter(short)
    with pytest.raises(FacerecError, match=r"ends in \.mp4"):
        VideoWriter(tmp_path / "made.gif")
    with pytest.raises(FacerecError, match="cannot be written"):
        VideoWriter(tmp_path / "no" / "made.mp4")
    VideoWriter(tmp_path / "none.mp4").close()
    assert {path.name for path in tmp_path.iterdir()} == {"short.mp4"}
    assert short.read_bytes() == before
    assert free_name(tmp_path, "short") == tmp_path / "short-2.mp4"
