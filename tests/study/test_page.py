"""The page of a study: what stands on it, that it loads nothing, and what is said of cells that are not there."""

from pathlib import Path

import numpy as np
import pytest
import toy_study
from matplotlib.figure import Figure
from report_pages import Tags, loads_nothing

from facerec.errors import DataError
from facerec.evaluation.report.glossary import explain
from facerec.study.page import write_page
from facerec.study.plots import cost_figure, curves_figure, quality_figure, scale_of
from facerec.study.results import CellResult, StudyPlan, write_cell, write_plan
from facerec.study.table import build_rows
from facerec.study.terms import TERMS
from facerec.training.settings import STRATEGIES

PLAN = toy_study.plan(seeds=3, folder="photos/<b>people")
FULL = [(0.6, 0.5), (0.9, 0.7), (1.0, 0.65)]
FROZEN = [(0.6, 0.6), (0.65, 0.62), (0.66, 0.63)]
CELLS = [
    *(toy_study.cell("resnet50", "full", seed, *FULL, seconds=60.0 + seed) for seed in range(3)),
    *(toy_study.cell("resnet50", "frozen", seed, *FROZEN[: 3 - seed], seconds=5.0) for seed in range(3)),
    toy_study.cell("squeezenet1_1", "full", 0, *FULL),
    CellResult("squeezenet1_1", "full", 1, "failed", reason="killed: <i>memory ran out"),
    *(CellResult("squeezenet1_1", "frozen", seed, "left_out", reason="it has no such stage") for seed in range(3)),
]


def written(folder: Path, plan: StudyPlan, cells: list[CellResult]) -> Tags:
    write_plan(folder, plan)
    for cell in cells:
        write_cell(folder, cell)
    page = Tags(write_page(folder).read_text("utf-8"))
    loads_nothing(page)
    return page


def test_the_page_says_what_was_measured(tmp_path: Path) -> None:
    page = written(tmp_path, PLAN, CELLS)
    alts = [attrs["alt"] for tag, attrs in page.tags if tag == "img"]
    assert alts == [
        "quality of each strategy: full, frozen",
        "quality against training time",
        "resnet50, full: loss and quality by epoch",
        "resnet50, frozen: loss and quality by epoch",
        "squeezenet1_1, full: loss and quality by epoch",
    ]
    for words in (
        "What to freeze: photos/<b>people",
        "12 trainings",
        "full (70.0 %)",  # the recommendation
        "70.0 (70.0 to 70.0)",  # the table
        "best, above all others beyond chance",  # the predictions
        "killed: <i>memory ran out",
        "left out it has no such stage 0, 1, 2",
        "not yet run",
        "a processor",
    ):
        assert words in " ".join(page.text.split()), words


def test_every_word_of_a_study_is_explained_where_it_is_first_used(tmp_path: Path) -> None:
    page = written(tmp_path, PLAN, CELLS)
    terms = [term for term in TERMS if term in page.words]
    assert {"backbone", "crop", "seed", "strategy", "full", "frozen", "TAR", "FMR", "gap", "memory", "loss"} <= {*terms}
    assert all(page.words.count(term) >= 1 and page.words.count(TERMS[term]) == 1 for term in terms)


def test_every_strategy_and_measure_has_its_line() -> None:
    assert {*STRATEGIES} <= TERMS.keys()
    [told] = explain([["partial3, TAR at FMR 1e-2, AUC, accuracy"]], TERMS)
    assert [term for term, _ in told] == ["accuracy", "AUC", "FMR", "partial", "TAR"]
    assert all(len(meaning) < 110 for meaning in TERMS.values())


@pytest.mark.parametrize("cells", [[], CELLS[-3:], CELLS[:1]], ids=["none", "left out", "one"])
def test_a_study_that_has_hardly_begun_has_a_page_without_ranking(cells: list[CellResult], tmp_path: Path) -> None:
    page = written(tmp_path, PLAN, cells)
    assert "Nothing is ranked" in page.text
    assert "Ranking" not in page.text
    assert "cannot be decided" in page.text


def test_a_folder_without_a_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no study; make one with `facerec study`"):
        write_page(tmp_path)
    assert list(tmp_path.iterdir()) == []


# --------------------------------------------------------------------------------------------------------------- plots


def lines(figure: Figure, axes: int) -> dict[str, list[float]]:
    """The values of the lines that have a name."""
    drawn = figure.axes[axes].get_lines()
    return {
        str(line.get_label()): np.asarray(line.get_ydata()).tolist()
        for line in drawn
        if not str(line.get_label()).startswith("_")
    }


def test_curves_show_the_mean_of_the_seeds_and_where_the_gap_opens() -> None:
    full = [cell for cell in CELLS if cell.backbone == "resnet50" and cell.strategy == "full"]
    row = build_rows(PLAN, CELLS)[0]
    figure = curves_figure(row, full, scale_of(full))
    assert lines(figure, 0)["training"] == pytest.approx([0.4, 0.1, 0.0])
    assert lines(figure, 1)["validation"] == pytest.approx([50, 70, 65])
    assert row.gap_opens == 1
    assert any(np.asarray(line.get_xdata()).tolist() == [1, 1] for line in figure.axes[1].get_lines()), (
        "at the epoch where it opens"
    )


def test_a_mean_ends_where_the_first_run_ends() -> None:
    frozen = [cell for cell in CELLS if cell.strategy == "frozen" and cell.status == "done"]
    figure = curves_figure(build_rows(PLAN, CELLS)[1], frozen, scale_of(frozen))
    assert len(lines(figure, 1)["training"]) == 1
    assert not any(np.asarray(line.get_xdata()).tolist() == [1, 1] for line in figure.axes[1].get_lines()), (
        "no gap is open"
    )


def test_strategies_share_axes_that_a_run_which_diverges_does_not_stretch() -> None:
    diverging = toy_study.cell("resnet50", "scratch", 0, (0.5, 0.5), (-1e9, 0.5), (float("nan"), 0.1))
    scale = scale_of([CELLS[0], diverging])
    assert scale.epochs == 3
    assert scale.loss[1] == pytest.approx(1.05 * 3 * 0.5)
    assert scale_of([]).epochs == 1
    assert scale_of([CellResult("resnet50", "full", 0, "done")]).loss == (0, 1)


def test_every_way_is_a_point_of_both_plots() -> None:
    rows = build_rows(PLAN, CELLS)
    for figure in (quality_figure(rows), cost_figure(rows)):
        points = [line for line in figure.axes[0].get_lines() if line.get_marker() not in ("None", "")]
        assert len(points) == 3
    names = [label.get_text() for label in quality_figure(rows).axes[0].get_yticklabels()]
    assert names == ["resnet50", "full", "frozen", "squeezenet1_1", "full"]
