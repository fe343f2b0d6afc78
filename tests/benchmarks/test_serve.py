"""scripts/bench serve: what its clients count."""

import importlib
import os
from pathlib import Path
from typing import Any

import pytest
import toy_model
from running import ROOT
from toy_server import API, enroll, png, serving, toy_service

from facerec.inference.openvino_runtime import OpenVINOEmbedder


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("scripts.benchmarks.serve")


def test_a_load_counts_answers_and_memory(bench: Any, tmp_path: Path, embedder: OpenVINOEmbedder) -> None:
    photos = [toy_model.save_crop(tmp_path / f"{person}.png", person, 1) for person in range(3)]
    with serving(toy_service(tmp_path / "gallery", embedder)) as client:
        enroll(client, "Ann", png(0))
        server = bench.Server(str(client.base_url).removesuffix(f"{API[1:]}/"), os.getpid())
        timed = bench.Timed().of(server.ask, photos, clients=2)
        found = bench.load(server, photos, clients=2, seconds=0.5)
        server.client.close()
    assert timed.answers["0.png"][0] == "Ann"
    assert (timed.answers["1.png"][0], len(timed.seconds)) == (None, 3)
    assert list(found["statuses"]) == ["200"]
    assert found["requests_per_second"] > 0
    assert found["p50_ms"] <= found["p99_ms"]
    assert min(found["memory_mb"]) > 0
    assert "answers by status" in bench.table(found)


def test_refusals_that_are_not_503_are_a_failure(bench: Any, tmp_path: Path, embedder: OpenVINOEmbedder) -> None:
    photos = [tmp_path / "empty.jpg"]
    photos[0].touch()
    with serving(toy_service(tmp_path / "gallery", embedder)) as client:
        server = bench.Server(str(client.base_url).removesuffix(f"{API[1:]}/"), os.getpid())
        found = bench.load(server, photos, clients=1, seconds=0.2)
        server.client.close()
    assert list(found["statuses"]) == ["400"]
    assert not found["holds"]
