"""scripts/benchmarks/embed.py: what is measured, and what is compared."""

import argparse
import importlib
from pathlib import Path
from typing import Any

import pytest
from running import ROOT


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("scripts.benchmarks.embed")


def test_a_side_is_compared_with_the_first(bench: Any, small_samples: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """With one side, which is enough to see what is measured: tests/cli/test_embed.py compares two workers with one."""
    monkeypatch.setattr(bench, "SIDES", {"1 worker": []})
    (tmp_path / "lfw").symlink_to(small_samples / "people")
    figures = bench.run(argparse.Namespace(data=tmp_path, photos=2, rounds=1, ray=False))
    assert (figures["photos"], figures["same_answers"]) == (2, True)
    (side,) = figures["sides"]
    assert (side["side"], side["times"]) == ("1 worker", [1.0])
    assert len(bench.table(figures).splitlines()) == 3


def test_no_photos_is_said(bench: Any, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no photos"):
        bench.spread(tmp_path, 3)
