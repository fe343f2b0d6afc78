"""Servers as processes: killed, two on one gallery, and one of the shipped model, without torch."""

import hashlib
import platform
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import toy_server
from running import ROOT, json_lines, run
from toy_server import PNG, enroll, form, png, process

from facerec.gallery.gallery import Gallery

TORCH = ("torch", "torchvision", "facenet_pytorch", "pytorch_metric_learning")
WITHOUT_TORCH = f"import sys; sys.modules.update(dict.fromkeys({TORCH})); from facerec.cli.main import main; main()"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "gallery"


def toy_process(folder: Path, toy: Path):
    return process([toy_server.__file__, folder, toy])


def stored(folder: Path) -> dict[str, set[str]]:
    """Everybody's photos by their hash, in a gallery that is sound."""
    with Gallery.open(folder) as gallery:
        assert gallery.check().problems == ()
        return {each.name: {photo.photo_hash for photo in gallery.show(each.name)} for each in gallery.people()}


def test_a_killed_server_has_lost_nothing_it_acknowledged(folder: Path, toy: Path) -> None:
    sent: dict[str, set[str]] = {}
    acknowledged: dict[str, set[str]] = {}
    with toy_process(folder, toy) as (running, client), ThreadPoolExecutor(4) as threads:

        def keep_enrolling(person: int) -> None:
            name = f"P{person}"
            for number in range(1000):
                photo = png(person, number)
                digest = hashlib.sha256(photo).hexdigest()
                sent.setdefault(name, set()).add(digest)
                try:
                    answer = client.post("/people", params={"name": name}, content=photo, headers=PNG)
                except httpx.TransportError:
                    return
                assert answer.status_code == 201
                acknowledged.setdefault(name, set()).add(digest)
                if sum(map(len, list(acknowledged.values()))) >= 20:
                    running.kill()

        list(threads.map(keep_enrolling, range(4)))
    found = stored(folder)
    assert sum(map(len, acknowledged.values())) >= 20
    for name, photos in acknowledged.items():
        assert photos <= found[name] <= sent[name]


def test_two_servers_share_a_gallery(folder: Path, toy: Path) -> None:
    with ExitStack() as stack:
        (_, first), (_, second) = (stack.enter_context(toy_process(folder, toy)) for _ in range(2))

        def identified(client: httpx.Client, person: int) -> str | None:
            return client.post("/identify", content=png(person, 9), headers=PNG).json()["answers"][0]["person"]

        assert identified(second, 0) is None
        assert enroll(first, "Ann", png(0))["person"]["id"] == 1
        assert identified(second, 0) == "Ann"
        assert second.patch("/people/1", json={"name": "Anna"}).status_code == 200
        assert identified(first, 0) == "Anna"
        with ThreadPoolExecutor(4) as threads:
            clients = [(first, second)[person % 2] for person in range(1, 9)]
            list(threads.map(lambda p: enroll(clients[p - 1], f"P{p}", png(p)), range(1, 9)))
        assert first.get("/people").json() == second.get("/people").json()
        assert len({person["id"] for person in first.get("/people").json()["people"]}) == 9
        assert first.delete("/people/1").json()["remains"] is False
        assert identified(second, 0) is None
    assert len(stored(folder)) == 8


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, httpx.Client]]:
    """A server of the shipped model that `facerec serve` started without torch, and its gallery."""
    folder = tmp_path_factory.mktemp("real") / "gallery"
    words = ["-c", WITHOUT_TORCH, "serve", "--gallery", folder, "--port", "0", "--json"]
    with process(words) as (running, client):
        yield folder, client
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0, "SIGTERM ends it like Ctrl-C"
    assert (folder / "gallery.db.backup").exists()


def test_real_photos_get_the_answers_of_the_command_line(real: tuple[Path, httpx.Client], small_samples: Path) -> None:
    folder, client = real
    for person in sorted((small_samples / "people").iterdir()):
        enroll(client, person.name, *(photo.read_bytes() for photo in sorted(person.glob("*.jpg"))))
    asked = [*sorted((small_samples / "held_back").glob("*")), *sorted((small_samples / "strangers").glob("*"))]
    sent = [("photos", (photo.name, photo.read_bytes(), "image/jpeg")) for photo in asked]
    answers = client.post("/identify", files=sent).json()["answers"]
    printed = json_lines(run("identify", *asked, "--json", gallery=folder))
    assert [(line["person"], line["reason"]) for line in answers] == [(x["person"], x["reason"]) for x in printed]
    assert [line["person"] for line in answers] == ["Barack Obama", None]
    assert client.get("/people/1/photos/1/crop").content.startswith(b"\x89PNG")


def test_a_photo_without_a_face_is_no_person(real: tuple[Path, httpx.Client]) -> None:
    _, client = real
    (answer,) = client.post("/identify", content=png(0), headers=PNG).json()["answers"]
    assert (answer["decision"], "no face found" in answer["reason"]) == ("no_face", True)
    refused = client.post("/people", data={"name": "Nobody"}, files=form(png(0)))
    assert (refused.status_code, "no face found" in refused.json()["detail"]) == (422, True)


HOLES = """
import sys
import numpy as np
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
if sys.argv[1:]:
    from facerec.server.running import return_memory
    return_memory()
np.ones(30_000_000, np.uint8)  # from now on glibc takes blocks of this size from its heap
before, large, kept = resident(), [], []
for _ in range(60):
    large.append(np.ones(2_000_000, np.uint8))
    kept.append(np.ones(50_000, np.uint8))  # lies behind it
del large
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_large_blocks_go_back_to_the_system() -> None:
    def grown(*arguments: str) -> int:
        words = [sys.executable, "-c", HOLES, *arguments]
        return int(subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout)

    assert grown("return") < 30_000_000 < 90_000_000 < grown()


def test_serve_says_in_one_line_why_it_cannot(tmp_path: Path, folder: Path) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    for words, why in (
        (("--host", "0.0.0.0"), "--keys is needed; --new-key makes one"),
        (("--keys", tmp_path / "none"), "No such file"),
        (("--port", taken.getsockname()[1]), "cannot listen there (Address already in use"),
    ):
        refused = run("serve", "--gallery", folder, *words)
        assert (refused.exit_code, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
        assert why in refused.stderr
        assert not folder.exists()
    taken.close()
