"""scripts/benchmarks/stores.py runs from beginning to end, and goes on where it stopped."""

import argparse
import importlib
from pathlib import Path
from typing import Any

import pytest
from running import ROOT


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    search = importlib.import_module("scripts.benchmarks.search")
    for name, number in {"SEARCHES": 30, "TIMED": 3}.items():
        monkeypatch.setattr(search, name, number)
    module = importlib.import_module("scripts.benchmarks.stores")
    monkeypatch.setattr(module, "in_own_process", lambda side, *arguments: side(*arguments))
    return module


def run(stores: Any, *words: str) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    stores.add_options(parser)
    return stores.run(parser.parse_args([*words, "--people", "800"]))


def test_every_place_is_measured_once_and_removal_is_proved(stores: Any, tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    quick = ("exact", "facerec codes", "faiss IVF,SQ8", "faiss HNSW")
    run(stores, "--keep", str(kept), "--kinds", *quick)
    figures = run(stores, "--keep", str(kept))
    assert len(kept.read_text().splitlines()) == len(figures["places"]) == 6
    by_kind = {place["kind"]: place for place in figures["places"]}
    assert figures["holds"]
    for kind, place in by_kind.items():
        assert place["recall"] >= 0.99, kind
        assert place["held"], f"{kind}: the files are searched for what they hold"
        assert place["gone"] == (kind != "faiss HNSW"), kind
        assert place["disk_mb"] > 0
    lines = stores.table(figures).splitlines()
    assert lines[0].startswith("800 people")
    assert [line.split("  ")[0].split(", effort")[0] for line in lines[1:]] == list(by_kind)
    by_kind["pgvector HNSW"]["gone"] = False
    assert not all(map(stores.is_good, figures["places"]))
