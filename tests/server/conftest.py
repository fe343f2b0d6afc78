"""A server of the toy model."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from page_client import Site
from toy_server import Client, enroll, png, serving, toy_service

from facerec.inference.openvino_runtime import OpenVINOEmbedder
from facerec.server.service import Service


@pytest.fixture
def service(tmp_path: Path, embedder: OpenVINOEmbedder) -> Service:
    """What a server does, on an empty gallery."""
    return toy_service(tmp_path / "gallery", embedder)


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    """A client of a server without keys."""
    with serving(service) as opened:
        yield opened


@pytest.fixture
def site(client: httpx.Client) -> Site:
    """The same as a browser."""
    return Site(client)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, embedder: OpenVINOEmbedder) -> Iterator[Client]:
    """A client of a server with one person, for tests that change nothing."""
    with serving(toy_service(tmp_path_factory.mktemp("shared") / "gallery", embedder)) as client:
        enroll(client, "Ann", png(1))
        yield client
