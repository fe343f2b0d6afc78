"""scripts/benchmarks/enroll.py: what counts as the gallery's time."""

import importlib
import time
from typing import Any

import pytest
from running import ROOT


class Worker:
    """Does three things; each takes a while."""

    def add(self, what: str) -> str:
        time.sleep(0.02)
        return what

    def fail(self) -> None:
        time.sleep(0.02)
        raise ValueError("it fails")

    def rest(self) -> None:
        time.sleep(0.02)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("scripts.benchmarks.enroll")


def test_the_named_methods_are_timed_and_no_others(bench: Any) -> None:
    worker = Worker()
    watch = bench.Stopwatch(worker, "add", "fail")
    worker.rest()
    assert watch.seconds == 0
    assert worker.add("a photo") == "a photo"
    first = watch.seconds
    assert first >= 0.02
    with pytest.raises(ValueError, match="it fails"):
        worker.fail()
    assert watch.seconds >= first + 0.02
