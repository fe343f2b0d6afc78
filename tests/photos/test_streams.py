"""streams.py: a stream that drops, a recording, a slow reader, an address without a server."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import av
import pytest
from toy_rtsp import Camera
from toy_stream import Answer, Server, send
from toy_video import number_of, picture, write_video

from facerec.errors import FacerecError, ImageError
from facerec.photos.streams import LiveFrames, frames_of
from facerec.photos.video_files import require_source, source_of


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], Server]]:
    made: list[Server] = []
    yield lambda answer: made.append(Server(answer)) or made[-1]
    for server in made:
        server.close()


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """60 pictures as they are broadcast, without a length."""
    path = write_video(tmp_path_factory.mktemp("s") / "s.ts", map(picture, range(60)), 25, "mpeg2video", gop_size=1)
    return path.read_bytes()


def test_a_stream_that_drops_is_joined_again(
    serve: Callable[[Answer], Server], stream: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse_the_second(request: BaseHTTPRequestHandler, number: int) -> None:
        request.send_error(503) if number == 1 else send(request, stream)

    server, stopped = serve(refuse_the_second), threading.Event()
    frames = LiveFrames(source_of(server.address), stopped, pause=0.01)
    seconds = []
    for frame in frames:
        seconds.append(frame.seconds)
        if server.requests > 4:
            stopped.set()
    assert len(seconds) >= 3
    assert seconds == sorted(seconds), "time goes on after a drop"
    said = caplog.text
    assert re.search(r"lost \(.*\); joining again in 0\.01 s", said)
    assert "joining again in 0.02 s" in said, "the second attempt failed, so the third waits longer"
    assert "joined again" in said
    assert "secret" not in said
    assert "ann" not in said


def test_a_camera_that_hangs_up_is_joined_again(stream: bytes, caplog: pytest.LogCaptureFixture) -> None:
    camera, numbers = Camera(stream), []
    with closing(LiveFrames(source_of(camera.address), threading.Event(), pause=0.01)) as frames:
        for frame in frames:
            numbers.append(number_of(frame.image))
            if camera.played > 2:
                break
    camera.close()
    assert set(numbers) <= set(range(60))
    assert len(numbers) >= 2
    assert "joined again" in caplog.text
    assert "secret" not in caplog.text


def test_a_recording_is_read_to_its_end_and_no_picture_twice(serve: Callable[[Answer], Server], tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", map(picture, range(50)), gop_size=1)
    data = beginning_with_its_contents(tmp_path / "v.mp4")

    def drop_once(request: BaseHTTPRequestHandler, number: int) -> None:
        send(request, data[: len(data) * 2 // 3] if number == 0 else data, len(data))

    frames = list(LiveFrames(source_of(serve(drop_once).address), threading.Event(), pause=0.01))
    assert [number_of(frame.image) for frame in frames] == list(range(50))
    assert [frame.seconds for frame in frames] == pytest.approx([number / 10 for number in range(50)])


def beginning_with_its_contents(path: Path) -> bytes:
    """Return an MP4 whose table of contents comes first."""
    target_path = path.with_stem("first")
    with av.open(str(path)) as source, av.open(str(target_path), "w", options={"movflags": "faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return target_path.read_bytes()


def test_a_slow_reader_gets_the_newest_picture(serve: Callable[[Answer], Server], stream: bytes) -> None:
    """Pictures between are left out. The server keeps the line open after the last one."""
    done, stopped, numbers = threading.Event(), threading.Event(), []

    def send_and_wait(request: BaseHTTPRequestHandler, number: int) -> None:
        send(request, stream)
        done.wait(60)

    threading.Timer(60, stopped.set).start()
    with closing(frames_of(source_of(serve(send_and_wait).address), stopped)) as frames:
        for frame in frames:
            numbers.append(number_of(frame.image))
            if len(numbers) > 1 and numbers[-1] > numbers[-2] + 1:
                break
            time.sleep(0.5)
    done.set()
    assert numbers[-1] > numbers[-2] + 1, "all of them came, one after another"


def test_the_event_ends_it_while_it_waits(serve: Callable[[Answer], Server]) -> None:
    done, stopped = threading.Event(), threading.Event()

    def say_nothing(request: BaseHTTPRequestHandler, number: int) -> None:
        send(request, b"")
        done.wait(60)

    frames = LiveFrames(source_of(serve(say_nothing).address), stopped)
    threading.Timer(0.2, stopped.set).start()
    assert list(frames) == []
    done.set()


def test_an_address_without_a_server_is_one_clear_line() -> None:
    with pytest.raises(
        ImageError, match=r"http://127\.0\.0\.1:9/\.\.\.: cannot be opened \(.*check the address"
    ) as told:
        next(LiveFrames(source_of("http://ann:secret@127.0.0.1:9/door"), threading.Event()))
    assert "secret" not in str(told.value)


def test_a_page_is_no_stream(serve: Callable[[Answer], Server]) -> None:
    server = serve(lambda request, number: send(request, b"<html>hello</html>"))
    with pytest.raises(ImageError, match="cannot be opened"):
        next(LiveFrames(source_of(server.address), threading.Event()))


def test_a_webcam_that_is_not_there_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FacerecError, match="webcam 77: there is no /dev/video77; check its number"):
        require_source("77")
    monkeypatch.setattr("sys.platform", "win32")
    with pytest.raises(FacerecError, match="webcams are read on Linux only"):
        require_source("77")
