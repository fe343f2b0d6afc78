"""scripts/benchmarks/common.py: the machine, sides that take turns in processes of their own, and tables."""

import importlib
import os
from typing import Any

import pytest
from running import ROOT


@pytest.fixture
def common(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("scripts.benchmarks.common")


def test_sides_take_turns_and_each_begins_in_its_round(common: Any) -> None:
    calls: list[tuple[str, int]] = []
    sides = {name: lambda number, name=name: calls.append((name, number)) or f"{name}{number}" for name in "abc"}
    found = common.take_turns(sides, 4)
    assert [name for name, _ in calls] == list("abcbcacababc")
    assert found == {name: [f"{name}{number}" for number in range(4)] for name in "abc"}


def test_a_side_runs_in_its_own_process_with_its_own_variables(common: Any) -> None:
    assert common.in_own_process(os.getpid) != os.getpid()
    assert common.in_own_process(os.getenv, "FACEREC_CACHE", env={"FACEREC_CACHE": "elsewhere"}) == "elsewhere"
    assert os.environ.get("FACEREC_CACHE") != "elsewhere"


def test_the_machine_is_named(common: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    facts = common.machine()
    assert facts["cores"] >= 1
    assert set(facts["instructions"]) <= set(common.INSTRUCTIONS)
    assert "ONEDNN_MAX_CPU_ISA AVX2" in common.machine_line(facts)


def test_a_package_that_is_missing_has_no_version(common: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "PACKAGES", ("numpy", "no-such-package"))
    found = common.versions()
    assert found["no-such-package"] is None
    assert found["numpy"]


def test_tables_line_up(common: Any) -> None:
    assert common.median_and_range([3.0, 1.0, 2.0]) == "2.00 (1.00 to 3.00)"
    assert common.text_table(("loop", "crops/s"), [("plain", 9), ("facerec", 10.5)]) == (
        "loop     crops/s\nplain          9\nfacerec     10.5"
    )
