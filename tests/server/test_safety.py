"""What a server refuses: foreign hosts and pages, slow clients, too many requests at a time."""

import http.client
import re
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from toy_server import PNG, Client, form, kind, png, serving, toy_service

from facerec.errors import ConfigError
from facerec.inference.openvino_runtime import OpenVINOEmbedder
from facerec.server import running
from facerec.server.keys import Keys, add_key
from facerec.server.service import Service
from facerec.server.sessions import COOKIE, CSRF_HEADER
from facerec.server.settings import ServerSettings
from facerec.types import Face

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
