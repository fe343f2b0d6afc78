"""scripts/studies/tables.py: a table on the page and in its file, and figures with intervals.

The rule for few errors holds for rates over several draws, too.
"""

import csv
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import ROOT

from facerec.metrics.intervals import bounded, tally


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("scripts.studies.tables")


def test_rows_are_printed_and_kept_as_they_come(
    tables: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "study.csv"
    file.write_text("an older table", "utf-8")
    table = tables.Table(("model", "AUC, %"), file)
    table.add("ours", "98.0 (97.1 to 98.9)")
    assert capsys.readouterr().out == "| model | AUC, % |\n|---|---|\n| ours | 98.0 (97.1 to 98.9) |\n"
    assert file.read_text("utf-8") == 'model,"AUC, %"\nours,98.0 (97.1 to 98.9)\n'
    table.add("theirs, too", 1)
    with file.open(newline="", encoding="utf-8") as opened:
        assert list(csv.reader(opened))[2] == ["theirs, too", "1"]


def test_each_of_several_tables_has_a_file_of_its_own(tables: Any, tmp_path: Path) -> None:
    for part in ("one", "two"):
        tables.Table(("part",), tmp_path / "study.csv", part).add(part)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["study-one.csv", "study-two.csv"]
    tables.Table(("part",)).add("without a file")


def test_figures(tables: Any) -> None:
    values = np.append(0.5, np.linspace(0, 1, 41))
    assert tables.shown(values, 100, 1) == "50.0 (2.5 to 97.5)"
    assert tables.shown(np.append(values, np.nan), 100, 1) == "50.0 (2.5 to 97.5)"
    assert tables.shown(np.array([np.nan, 1.0]), 100, 1) == "-"
    assert tables.mean_and_error([0.8, 0.9], 100) == "85.00 ± 5.00"
    assert tables.mean_and_error([1.5], signed=True) == "+1.50"


def draw_of(people: list[int], each: int, wrong: int, offset: int = 0) -> Any:
    """A draw in which everybody makes `each` searches, and of all these the first `wrong` are errors."""
    owners = [f"p{person + offset}" for person in people for _ in range(each)]
    return tally(np.ones(len(owners), np.bool_), np.arange(len(owners)) < wrong), owners


def test_a_rate_over_draws_without_an_error_may_still_have_one(tables: Any) -> None:
    draws = [draw_of(list(range(20)), 3, 0), draw_of(list(range(20)), 1, 0, offset=10)]
    found = tables.pooled(draws)
    people = 30  # 10 of them in both draws
    assert bounded([0.0, 0.0], *found) == pytest.approx([0, 1 - 0.025 ** (1 / people)])
    assert tables.shown(np.zeros(11), 100, 2, found) == f"0.00 (0.00 to {100 * (1 - 0.025 ** (1 / people)):.2f})"
    assert tables.shown(np.zeros(11), 100, 2) == "0.00 (0.00 to 0.00)", "a difference has the bootstrap alone"


@pytest.mark.parametrize("wrong", [0, 1, 5, 40, 60])
def test_of_one_draw_the_interval_is_that_of_its_searches(tables: Any, wrong: int) -> None:
    found, owners = draw_of(list(range(20)), 3, wrong)
    expected = bounded([0.5, 0.5], found, owners, owners)
    once = [(found, owners)]
    assert bounded([0.5, 0.5], *tables.pooled(once)) == pytest.approx(expected)
    assert bounded([0.5, 0.5], *tables.pooled(3 * once)) == pytest.approx(expected), "three times the same is no more"
    assert bounded([0.5, 0.5], *tables.pooled([*once, draw_of([], 1, 0)])) == pytest.approx(expected)


def test_every_draw_weighs_the_same(tables: Any) -> None:
    """One search wrong of 2 weighs as much as 50 wrong of 100, and what is counted gives the mean of the rates."""
    few, many = draw_of([0, 1], 1, 1), draw_of([2, 3], 50, 50)
    found = tables.pooled([few, many, draw_of([4], 10, 1)])
    assert found.tally.errors.tolist() == pytest.approx([0.5, 0, 0.5, 0, 0.1])
    assert found.tally.rate(np.ones((1, 5)))[0] == pytest.approx((0.5 + 0.5 + 0.1) / 3)


@pytest.mark.parametrize("name", ["zoo", "scaling", "squeezenet_cifar10"])
def test_a_study_without_a_folder_keeps_its_trainings_in_the_users_cache(
    tables: Any, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FACEREC_CACHE", str(tmp_path))
    parser = importlib.import_module(f"scripts.studies.{name}").parser()
    runs = parser.parse_args([]).runs
    assert runs == tmp_path / "studies" / name
    tables.open_runs(runs)
    assert runs.is_dir()
    assert str(runs) in capsys.readouterr().err
    assert parser.parse_args(["own"]).runs == Path("own")
