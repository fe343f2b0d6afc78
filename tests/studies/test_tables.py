"""scripts/studies/tables.py: a table on the page and in its file, and figures with intervals."""

import csv
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import ROOT


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
