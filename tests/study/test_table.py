"""The table of a study: what its rows say, and that its three forms say the same."""

import csv
import json
from pathlib import Path

import pytest
import toy_study
from scipy.stats import t as student

from facerec.study.results import CellResult
from facerec.study.table import as_markdown, build_rows, write_tables

RESULTS = [
    toy_study.cell("resnet50", "full", 0, (0.6, 0.5), (0.9, 0.7)),
    toy_study.cell("resnet50", "full", 1, (0.6, 0.5), (1.0, 0.6)),
    toy_study.cell("resnet50", "frozen", 0, (0.7, 0.7)),
    CellResult("squeezenet1_1", "full", 0, "failed", reason="killed | by signal 9"),
    CellResult("squeezenet1_1", "frozen", 0, "left_out", reason="it has no such stage"),
]


def test_a_row_tells_mean_and_interval_over_the_seeds() -> None:
    row = build_rows(toy_study.PLAN, RESULTS)[0]
    [tar] = row.quality
    reach = student.ppf(0.975, 1) * 0.05  # SD / sqrt(2) of 0.7 and 0.6
    assert tar.mean == pytest.approx(0.65)
    assert tar.ci95 == (pytest.approx(0.65 - reach), pytest.approx(min(1, 0.65 + reach)))
    assert (row.done, row.failed, row.waiting) == (2, 0, 0)
    assert (row.seconds, row.peak_mib, row.best_epoch) == (20, 500.5, 2)
    assert row.gap == pytest.approx(0.3)
    assert row.gap_opens == 1.0


def test_every_combination_has_a_row_whatever_became_of_it() -> None:
    rows = build_rows(toy_study.PLAN, RESULTS)
    states = [(row.backbone, row.strategy, row.done, row.failed, row.waiting) for row in rows]
    assert states == [
        ("resnet50", "full", 2, 0, 0),
        ("resnet50", "frozen", 1, 0, 1),
        ("squeezenet1_1", "full", 0, 1, 1),
        ("squeezenet1_1", "frozen", 0, 0, 0),
    ]
    assert rows[1].quality[0].ci95 is None  # one seed
    assert [row.reason for row in rows] == ["", "", "killed | by signal 9", "it has no such stage"]


def test_a_prediction_stands_beside_the_strategy_it_names() -> None:
    rows = build_rows(toy_study.PLAN, RESULTS)
    assert [row.predicted_by for row in rows] == [("lectures",), ("advise",), ("lectures",), ()]


def test_the_three_forms_say_the_same(tmp_path: Path) -> None:
    rows = build_rows(toy_study.PLAN, RESULTS)
    write_tables(tmp_path, toy_study.PLAN, rows)
    with (tmp_path / "study.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    known = json.loads((tmp_path / "table.json").read_text("utf-8"))
    assert [(line["backbone"], line["strategy"]) for line in table] == [(r.backbone, r.strategy) for r in rows]
    assert [line["tar"] for line in table] == [str(r["quality"][0]["mean"]) if r["quality"] else "" for r in known]
    assert table[0]["tar_low"] == str(known[0]["quality"][0]["ci95"][0])
    assert "| resnet50 | full | 65.0 (" in (tmp_path / "study.md").read_text("utf-8")


def test_the_markdown_has_cells_for_every_column_and_says_what_is_missing() -> None:
    random = toy_study.cell("resnet50", "full", 0, (0.6, 0.5), weights="random", remark="no weights could be had")
    lines = as_markdown(toy_study.PLAN, build_rows(toy_study.PLAN, [random, *RESULTS[3:]])).splitlines()
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1
    assert lines[2].startswith("| resnet50 (random weights) | full |")
    assert "not yet run" in lines[3]
    assert "failed: killed / by signal 9" in lines[4]
    assert "left out: it has no such stage" in lines[5]
    assert "resnet50, full: no weights could be had" in lines
    assert "Seeds that are done: resnet50 full 1 of 2." in lines


def test_a_study_without_results_still_has_its_table() -> None:
    rows = build_rows(toy_study.PLAN, [])
    assert len(rows) == 4
    assert as_markdown(toy_study.PLAN, rows).count("not yet run") == 4
