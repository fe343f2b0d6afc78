"""What a server refuses: foreign hosts and pages, bodies too large or too slow, too many requests at a time."""

import http.client
import re
import socket
import struct
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from toy_server import PNG, Client, enroll, form, png, png_of, serving, toy_service

from facerec.errors import ConfigError
from facerec.inference.openvino_runtime import OpenVINOEmbedder
from facerec.photos import reading
from facerec.server import running
from facerec.server.keys import Keys, add_key
from facerec.server.service import Service
from facerec.server.sessions import COOKIE, CSRF_HEADER
from facerec.server.settings import ServerSettings
from facerec.types import Face, Image


def kind(answer: httpx.Response) -> str:
    """The last part of a problem's type."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.json()["type"].removeprefix("urn:facerec:")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, embedder: OpenVINOEmbedder) -> Iterator[Client]:
    """A client of a server with one person, for tests that change nothing."""
    with serving(toy_service(tmp_path_factory.mktemp("shared") / "gallery", embedder)) as client:
        enroll(client, "Ann", png(1))
        yield client


# ---------------------------------------------------------------------------------------------------- hosts, origins


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[::", "a@127.0.0.1@evil"])
def test_a_foreign_name_is_not_answered(shared: Client, host: str) -> None:
    refused = shared.get("/people", headers={"Host": host})
    assert refused.status_code == 400
    if host:  # h11 itself refuses an empty one
        assert kind(refused) == "foreign-host"


def test_this_machine_s_names_are_answered(shared: Client) -> None:
    for host in ("127.0.0.1:1", "localhost", "LOCALHOST:8000", "[::1]:80"):
        assert shared.get("/people", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://[", ""])
def test_another_site_s_page_may_not_use_it(shared: Client, origin: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        refused = shared.request(method, "/people/1", headers={"Origin": origin})
        assert (refused.status_code, kind(refused)) == (403, "foreign-origin")
    for method, mode in (("POST", "navigate"), ("POST", "no-cors"), ("GET", "no-cors")):  # as a picture or a script
        for site in ("cross-site", "same-site"):
            headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}
            assert kind(shared.request(method, "/people", headers=headers)) == "foreign-origin"


def test_its_own_page_may(shared: Client) -> None:
    own = str(shared.base_url).removesuffix("/api/v1/")
    assert shared.get("/people", headers={"Origin": own, "Sec-Fetch-Site": "same-origin"}).status_code == 200
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert shared.get("/people", headers=link).status_code == 200, "a link elsewhere may lead here"


def test_elsewhere_needs_keys(tmp_path: Path) -> None:
    elsewhere: list[dict[str, Any]] = [
        {"host": "0.0.0.0"},
        {"host": "192.168.1.7"},
        {"allowed_hosts": ("faces.example.org",)},
    ]
    for settings in elsewhere:
        with pytest.raises(ConfigError, match="`keys` is needed"):
            ServerSettings(**settings)
    add_key(tmp_path / "keys", "a", "read")
    keys = Keys(tmp_path / "keys")
    assert "faces.example.org" in ServerSettings(keys=keys, allowed_hosts=("Faces.example.org",)).hosts


def test_every_answer_has_the_headers_and_an_id(shared: Client) -> None:
    paths = ("/people", "/people/1/photos/1/crop", "/people/9", "/nothing")
    found = [shared.get(path) for path in paths] + [shared.get("/people", headers={"Host": "evil"})]
    for answer in found:
        assert "script-src 'self';" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert (answer.headers["x-content-type-options"], answer.headers["cache-control"]) == ("nosniff", "no-store")
        assert len(answer.headers["x-request-id"]) == 32
    assert len({answer.headers["x-request-id"] for answer in found}) == len(found)


def test_a_request_s_own_id_comes_back(shared: Client) -> None:
    named = shared.get("/people/9", headers={"X-Request-ID": "job-7.a"})
    assert (named.headers["x-request-id"], named.json()["request_id"]) == ("job-7.a", "job-7.a")
    for unfit in ("a b", "<script>", 65 * "a", ""):
        assert shared.get("/people", headers={"X-Request-ID": unfit}).headers["x-request-id"] != unfit


# --------------------------------------------------------------------------------------------------------- sessions


def test_a_session_changes_something_only_with_its_token(service: Service) -> None:
    with serving(service) as client:
        app = client.app
        session = app.state.access.sessions.begin(None)
        client.cookies.set(COOKIE, session.token)
        assert client.get("/people").status_code == 200
        for token in (None, "wrong", session.token):
            headers = PNG | ({} if token is None else {CSRF_HEADER: token})
            refused = client.post("/people?name=Ann", content=png(0), headers=headers)
            assert (refused.status_code, kind(refused)) == (403, "csrf")
        sent = client.post("/people?name=Ann", content=png(0), headers=PNG | {CSRF_HEADER: session.csrf})
        assert sent.status_code == 201
        in_form = client.post("/people", data={"name": "Ann", "csrf": session.csrf}, files=form(png(0, 1)))
        assert in_form.status_code == 201
        app.state.access.sessions.end(session)
        assert client.get("/people").status_code == 200, "without keys, whoever is on this machine"


# ----------------------------------------------------------------------------------------------------------- bodies


def test_a_body_is_counted_as_it_comes(service: Service) -> None:
    with serving(service, body_bytes=10_000) as client:
        large = client.post("/identify", content=bytes(10_001), headers=PNG)
        assert (large.status_code, kind(large)) == (413, "too-large")
        parts = (bytes(1000) for _ in range(20))  # without a Content-Length
        assert kind(client.post("/identify", content=parts, headers=PNG)) == "too-large"
        assert client.post("/identify", content=png(0), headers=PNG).status_code == 200


def test_pixels_are_counted_before_one_is_decoded(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = png_of(np.zeros((3000, 3000, 3), np.uint8))
    monkeypatch.setattr(reading, "decode", lambda *_: pytest.fail("decoded"))
    assert len(bomb) < 100_000
    with serving(service, photo_pixels=1_000_000) as client:
        for path in ("/identify", "/faces", "/people?name=Ann"):
            refused = client.post(path, files=form(bomb))
            assert (refused.status_code, kind(refused)) == (422, "too-many-pixels")
            assert refused.json()["detail"] == "0.png: 9 megapixels; the server takes 1; scale it down"
        huge = png_of(np.zeros((1, 1, 3), np.uint8))
        head = huge[12:16] + struct.pack(">II", 50_000, 50_000) + huge[24:29]  # of 2,500 megapixels, and its checksum
        refused = client.post(
            "/identify", files=form(huge[:12] + head + struct.pack(">I", zlib.crc32(head)) + huge[33:])
        )
        assert (refused.status_code, kind(refused)) == (422, "too-many-pixels")
        said = "0.png: more than 120 megapixels; the server takes 1; scale it down"
        assert refused.json()["detail"] == said


BAD_BODIES: dict[str, Callable[[httpx.Client], httpx.Response]] = {
    "nothing": lambda client: client.post("/identify"),
    "an empty photo": lambda client: client.post("/identify", content=b"", headers=PNG),
    "an empty file": lambda client: client.post("/identify", files=form(b"")),
    "another type": lambda client: client.post("/identify", json={"photos": []}),
    "no boundary": lambda client: client.post(
        "/identify", content=b"a", headers={"Content-Type": "multipart/form-data"}
    ),
    "another boundary": lambda client: client.post(
        "/identify", content=b"--b\r\nx", headers={"Content-Type": "multipart/form-data; boundary=a"}
    ),
    "a form cut off": lambda client: client.post(
        "/identify",
        content=b'--a\r\nContent-Disposition: form-data; name="photos"; filename="a"\r\n\r\nab',
        headers={"Content-Type": "multipart/form-data; boundary=a"},
    ),
    "no name": lambda client: client.post(
        "/identify",
        content=b"--a\r\nContent-Disposition: form-data\r\n\r\nab\r\n--a--\r\n",
        headers={"Content-Type": "multipart/form-data; boundary=a"},
    ),
    "another field": lambda client: client.post("/identify", files=[("photo", ("a", png(0)))]),
    "10,000 files": lambda client: client.post("/identify", files=form(*(b"a" for _ in range(10_000)))),
    "10,000 fields": lambda client: client.post(
        "/people", data={f"f{n}": "a" for n in range(10_000)}, files=form(b"a")
    ),
    "a long field": lambda client: client.post("/people", data={"name": 30_000 * "a"}, files=form(b"a")),
    "no name for the person": lambda client: client.post("/people", files=form(png(0))),
    "JSON cut off": lambda client: client.put(
        "/calibration", content=b'{"fpir": 0.', headers={"Content-Type": "application/json"}
    ),
    "deep JSON": lambda client: client.put(
        "/calibration", content=b"[" * 100_000, headers={"Content-Type": "application/json"}
    ),
    "JSON that is no UTF-8": lambda client: client.put(
        "/calibration", content=b'{"fpir": "\xff"}', headers={"Content-Type": "application/json"}
    ),
    "half a letter": lambda client: client.patch(
        "/people/1", content=b'{"name": "\\ud800"}', headers={"Content-Type": "application/json"}
    ),
}


@pytest.mark.parametrize("body", BAD_BODIES)
def test_a_bad_body_is_a_problem_in_one_line(shared: Client, body: str) -> None:
    before = shared.get("/log").json()
    refused = BAD_BODIES[body](shared)
    assert refused.status_code in (400, 409, 415, 422), refused.text
    assert kind(refused) != "internal"
    assert "\n" not in refused.json()["detail"]
    assert shared.get("/log").json() == before


def test_mangled_forms_get_an_answer(shared: Client) -> None:
    random = np.random.default_rng(0)
    request = shared.build_request("POST", "/identify", files=form(png(0), png(1)))
    whole, kinds = request.read(), set()
    for _ in range(60):
        start, length = (int(number) for number in random.integers(0, (len(whole), 40)))
        middle = (b"", b"\r\n", b"--", b'"', random.bytes(length), whole[start : start + length])[random.integers(6)]
        body = whole[:start] + middle + whole[start + length :]
        answer = shared.post("/identify", content=body, headers={"Content-Type": request.headers["Content-Type"]})
        assert answer.status_code in (200, 400, 422), answer.text
        kinds.add(answer.status_code)
    assert kinds >= {200, 400}
    assert shared.get("/health").status_code == 200


def test_a_metric_has_few_names(shared: Client) -> None:
    for number in range(5):
        assert shared.request(f"X{number}", "/people").status_code == 405
        assert shared.get(f"/people/{1000 + number}").status_code == 404
    for path in ("/static/page.css", "/people/1001", "/none/1004"):
        shared.get(str(shared.base_url.copy_with(path=path)))
    lines = shared.get("/metrics").text
    routes = set(re.findall('route="([^"]+)"', lines))
    assert routes >= {"/api/v1/people/{person}", "/people/{person}", "/static", "none"}
    assert 'method="other"' in lines
    assert "X3" not in lines
    assert "1003" not in lines


def flip(content: bytes, random: np.random.Generator) -> bytes:
    """The content with a byte in fifty changed."""
    changed = np.frombuffer(content, np.uint8).copy()
    changed[random.random(len(changed)) < 0.02] = 255
    return changed.tobytes()


def test_damaged_photos_get_an_answer_each(shared: Client) -> None:
    whole = png(0)
    random = np.random.default_rng(0)
    cut = [whole[: int(end)] for end in random.integers(1, len(whole), 10)]
    flipped = [flip(whole, random) for _ in range(10)]
    noise = [random.bytes(300) for _ in range(5)]
    found = shared.post("/identify", files=form(*cut, *flipped, *noise))
    assert found.status_code == 200
    assert len({line["image"] for line in found.json()["answers"]}) == 25


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "C:\\x\\boot.ini", "a\nb", "", "/dev/zero", 500 * "a", "\u202egpj.exe"]
)
def test_a_photo_s_name_is_never_a_path(client: httpx.Client, service: Service, name: str) -> None:
    sent = client.post("/people", data={"name": "Ann"}, files=[("photos", (name, png(0), "image/png"))])
    if name == "":
        assert sent.status_code == 400  # a field then, not a file
        return
    (photo,) = client.get("/people/1/photos").json()["photos"]
    shown = photo["source"].removeprefix("memory: ")
    assert not {"/", "\\"} & set(shown.replace("\\n", "").replace("\\u202e", ""))
    assert len(shown) <= 120
    assert shown.isprintable()


# --------------------------------------------------------------------------------------------------- slow and many


def connect(client: httpx.Client) -> socket.socket:
    return socket.create_connection((client.base_url.host, client.base_url.port), timeout=30)


def read_all(connection: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


HEAD = b"POST /api/v1/identify HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\n"


def test_a_slow_body_is_given_up(service: Service) -> None:
    with serving(service, request_seconds=0.3) as client, connect(client) as connection:
        connection.sendall(HEAD + b"a")
        answer = read_all(connection)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"urn:facerec:too-slow" in answer
        assert b"facerec_requests_inside 0" in client.get("/metrics").content


@pytest.mark.parametrize("sent", [b"", HEAD[:30]])
def test_a_connection_without_a_request_is_closed(
    service: Service, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    with serving(service) as client:
        with monkeypatch.context() as patch, suppress(ConnectionResetError):
            patch.setattr(running, "HEAD_SECONDS", 0.2)
            with connect(client) as connection:
                connection.sendall(sent)
                assert connection.recv(1) == b"", "the server closes it"
        assert client.get("/health").status_code == 200


def test_a_kept_connection_may_wait_between_requests(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "HEAD_SECONDS", 1.0)
    with serving(service) as client:
        connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port or 0)
        connection.request("GET", "/api/v1/health")
        assert connection.getresponse().read()
        time.sleep(1.2)
        connection.request("GET", "/api/v1/health")
        assert connection.getresponse().status == 200
        connection.close()


class Stopped:
    """A detector that waits until it may go on."""

    name = "toy"

    def __init__(self) -> None:
        self.go = threading.Event()

    def detect(self, images: Any) -> list[list[Face]]:
        assert self.go.wait(30)
        return [[] for _ in images]


def test_more_than_the_bound_is_told_to_come_again(tmp_path: Path, embedder: OpenVINOEmbedder) -> None:
    service, stopped = toy_service(tmp_path / "gallery", embedder, bound=3), Stopped()
    service.detector._together._work = stopped.detect
    with serving(service) as client:
        statuses: list[int] = []
        ask = lambda: statuses.append(client.post("/identify", content=png(0), headers=PNG).status_code)  # noqa: E731
        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        while service.pool.inside < 3:
            time.sleep(0.01)
        refused = client.post("/identify", content=png(0), headers=PNG)
        assert (refused.status_code, kind(refused), refused.headers["retry-after"]) == (503, "busy", "1")
        for path in ("/people", "/review", "/calibration", "/../../threshold", "/../../people"):
            assert client.get(path).status_code == 503, "who only looks does not queue up either"
        for path, status in {"/health": 200, "/metrics": 200, "/people/1/photos/1/crop": 404}.items():
            assert client.get(path).status_code == status
        stopped.go.set()
        for thread in threads:
            thread.join()
        assert statuses == [200] * 3
        assert client.post("/identify", content=png(0), headers=PNG).status_code == 200


def test_a_form_of_too_many_parts_is_told_the_limits(shared: Client) -> None:
    for sent in (form(*[png(0)] * 33), [("photos", png(0)), *(("name", (None, "x")) for _ in range(25))]):
        refused = shared.post("/identify", files=sent)
        assert (refused.status_code, kind(refused)) == (400, "form")
        assert refused.json()["detail"].endswith("send at most 32 files, and 20 other fields of 100 kB")


def test_a_client_that_breaks_off_leaves_no_error_in_the_log(shared: Client, caplog: pytest.LogCaptureFixture) -> None:
    with connect(shared) as connection:
        connection.sendall(HEAD + b"half")
        while not shared.app.state.service.pool.inside:
            time.sleep(0.01)
    while shared.app.state.service.pool.inside:
        time.sleep(0.01)
    assert shared.get("/health").status_code == 200
    assert [each.message for each in caplog.records if each.levelname == "ERROR"] == []


def test_an_error_of_facerec_s_own_is_a_problem_without_a_word_of_it(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "people", lambda *_: 1 / 0)
    with serving(service) as client:
        broken = client.get("/people")
        assert (broken.status_code, kind(broken)) == (500, "internal")
        assert "division" not in broken.text
        assert "content-security-policy" in broken.headers


def test_no_photo_is_kept_but_those_that_are_enrolled(
    client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", lambda _: pytest.fail("a photo in a file"))
    enroll(client, "Ann", png(0))
    held: Image = np.random.default_rng(0).integers(0, 256, (900, 900, 3), np.uint8)
    before = {path: path.stat().st_size for path in tmp_path.rglob("*")}
    assert client.post("/identify", files=form(png_of(held))).status_code == 200  # 2 MB: more than forms keep in memory
    assert {path: path.stat().st_size for path in tmp_path.rglob("*")} == before
