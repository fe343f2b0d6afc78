"""What a server refuses of the photos and other things that a request sends, and that it keeps none of them."""

import struct
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
from toy_server import PNG, Client, enroll, form, kind, png, png_of, serving

from facerec.photos import reading
from facerec.server.service import Service
from facerec.types import Image


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


def test_a_form_of_too_many_parts_is_told_the_limits(shared: Client) -> None:
    for sent in (form(*[png(0)] * 33), [("photos", png(0)), *(("name", (None, "x")) for _ in range(25))]):
        refused = shared.post("/identify", files=sent)
        assert (refused.status_code, kind(refused)) == (400, "form")
        assert refused.json()["detail"].endswith("send at most 32 files, and 20 other fields of 100 kB")


def test_no_photo_is_kept_but_those_that_are_enrolled(
    client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", lambda _: pytest.fail("a photo in a file"))
    enroll(client, "Ann", png(0))
    held: Image = np.random.default_rng(0).integers(0, 256, (900, 900, 3), np.uint8)
    before = {path: path.stat().st_size for path in tmp_path.rglob("*")}
    assert client.post("/identify", files=form(png_of(held))).status_code == 200  # 2 MB: more than forms keep in memory
    assert {path: path.stat().st_size for path in tmp_path.rglob("*")} == before
