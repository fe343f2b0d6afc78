"""A server of the toy model on a free port of this machine, in a thread, and a client of it. As a program, a process:

python tests/support/toy_server.py FOLDER MODEL

serves the gallery in FOLDER, made if need be, until it is killed, and prints its address.
"""

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import PIL.Image
import toy_model
from fastapi import FastAPI
from row_detector import Row

from facerec.gallery import maintenance
from facerec.inference.embedder import Embedder
from facerec.inference.openvino_runtime import OpenVINOEmbedder
from facerec.recognition.identify import open_gallery
from facerec.server.app import make_app
from facerec.server.running import listening, serve_forever, server_of
from facerec.server.service import Service
from facerec.server.settings import ServerSettings
from facerec.types import Face, Image

API = "/api/v1"
ROOT = Path(__file__).resolve().parents[2]
PNG = {"Content-Type": "image/png"}


class CropDetector:
    """Takes photos for aligned crops, or rows of them, as the toy model's are; named, as detectors of photos are."""

    name = "toy"

    def detect(self, images: Sequence[Image]) -> list[list[Face]]:
        return Row(112, known=True).detect(images)


def toy_service(folder: Path, embedder: Embedder, **limits: int) -> Service:
    """A service on a new gallery of the toy model that keeps crops."""
    gallery = open_gallery(folder, embedder, create=True)
    maintenance.keep_crops(gallery.store, True)
    return Service(gallery, CropDetector(), embedder, **limits)


class Client(httpx.Client):
    """A client that also has the app, for tests that look into it."""

    app: FastAPI


@contextmanager
def serving(service: Service, **given: Any) -> Iterator["Client"]:
    """A client of a server that runs in a thread; both end with the block, and the service with them."""
    settings = ServerSettings(port=0, **given)
    with service, listening(settings) as bound:
        app = make_app(service, settings)
        server = server_of(app)
        thread = threading.Thread(target=server.run, args=([bound],))
        thread.start()
        try:
            with Client(base_url=f"http://127.0.0.1:{bound.getsockname()[1]}{API}", timeout=60) as client:
                client.app = app
                yield client
        finally:
            server.should_exit = True
            thread.join()


def png(person: int, photo: int = 0) -> bytes:
    """A photo of a made-up person, as a file's bytes."""
    return png_of(toy_model.crop(person, photo))


def png_of(image: Image) -> bytes:
    """A picture as a PNG file."""
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def form(*photos: bytes) -> list[tuple[str, Any]]:
    """The files of a form."""
    return [("photos", (f"{number}.png", photo, "image/png")) for number, photo in enumerate(photos)]


def kind(answer: httpx.Response) -> str:
    """The last part of a problem's type."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.json()["type"].removeprefix("urn:facerec:")


def enroll(client: httpx.Client, name: str, *photos: bytes) -> dict[str, Any]:
    """Enroll photos; the answer."""
    answer = client.post("/people", data={"name": name}, files=form(*photos))
    assert answer.status_code == 201, answer.text
    return answer.json()


@contextmanager
def process(command: Sequence[str | Path]) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """A process that serves and prints its address first, and a client of it; killed at the end."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    running = subprocess.Popen([sys.executable, *map(str, command)], env=env, text=True, stdout=subprocess.PIPE)
    assert running.stdout is not None
    try:
        said = running.stdout.readline()
        address = json.loads(said)["address"] if said.startswith("{") else said.strip()
        with httpx.Client(base_url=f"{address.rstrip('/')}{API}", timeout=60) as client:
            yield running, client
    finally:
        running.kill()
        running.wait()
        running.stdout.close()


def main(folder: Path, model: Path) -> None:
    """Serve, as the module describes."""
    settings = ServerSettings(port=0)
    with listening(settings) as bound, toy_service(folder, OpenVINOEmbedder(model)) as service:
        serve_forever(make_app(service, settings), settings, bound, lambda address: print(address, flush=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
