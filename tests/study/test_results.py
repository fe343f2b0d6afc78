"""The plan and the results of a study: they come back from their files as they were."""

import json
from pathlib import Path

import pytest
import toy_study

from facerec.errors import DataError
from facerec.study.results import (
    Cell,
    CellResult,
    cell_file,
    read_cell,
    read_cells,
    read_plan,
    write_cell,
    write_plan,
)


def test_the_plan_comes_back_as_it_was(tmp_path: Path) -> None:
    write_plan(tmp_path, toy_study.PLAN)
    assert read_plan(tmp_path) == toy_study.PLAN


def test_a_cell_comes_back_as_it_was(tmp_path: Path) -> None:
    result = toy_study.cell("resnet50", "full", 1, (0.5, 0.4), (0.9, 0.6))
    write_cell(tmp_path, result)
    assert read_cell(tmp_path, result.cell) == result
    assert read_cell(tmp_path, Cell("resnet50", "full", 0)) is None


def test_a_cell_file_is_named_by_its_place(tmp_path: Path) -> None:
    assert cell_file(tmp_path, Cell("vgg16", "partial3", 2)) == tmp_path / "cells" / "vgg16-partial3-2.json"


def test_cells_take_the_first_seed_of_everything_first() -> None:
    names = [cell.name for cell in toy_study.plan(backbones=("a", "b"), strategies=("s", "t")).cells()]
    assert names == ["a-s-0", "a-t-0", "b-s-0", "b-t-0", "a-s-1", "a-t-1", "b-s-1", "b-t-1"]


def test_only_cells_of_the_plan_are_read_in_its_order(tmp_path: Path) -> None:
    kept = [toy_study.cell("squeezenet1_1", "full", 1, (1, 1)), toy_study.cell("resnet50", "frozen", 0, (1, 1))]
    for result in (*kept, toy_study.cell("alexnet", "full", 0, (1, 1))):
        write_cell(tmp_path, result)
    assert list(read_cells(tmp_path, toy_study.PLAN)) == kept[::-1]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "not JSON"),
        ("[1]", "not an object"),
        ('{"backbone": "a"}', "fields are missing"),
        ('{"backbone": "a", "strategy": "s", "seed": 0, "status": "done", "more": 1}', "unknown field"),
        ('{"backbone": "a", "strategy": "s", "seed": 0, "status": "done", "epochs": [3]}', "where EpochResult should"),
    ],
)
def test_a_broken_cell_is_refused_in_one_line(tmp_path: Path, content: str, why: str) -> None:
    cell = Cell("a", "s", 0)
    path = cell_file(tmp_path, cell)
    path.parent.mkdir()
    path.write_text(content, "utf-8")
    with pytest.raises(DataError, match=why) as caught:
        read_cell(tmp_path, cell)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_folder_without_a_study_or_of_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no study"):
        read_plan(tmp_path)
    write_plan(tmp_path, toy_study.PLAN)
    path = tmp_path / "study.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "format": 99}), "utf-8")
    with pytest.raises(DataError, match="another format"):
        read_plan(tmp_path)


def opening(*pairs: tuple[float, float]) -> int | None:
    """Return the epoch at which the gap of these (train, validation) qualities opens."""
    return toy_study.cell("a", "s", 0, *pairs).gap_opens


def test_the_gap_opens_where_it_stays_open() -> None:
    assert opening((0.5, 0.5), (0.7, 0.6), (0.9, 0.6)) == 2
    assert opening((0.9, 0.5), (0.6, 0.6), (0.9, 0.6)) == 3  # it closed in between
    assert opening((0.9, 0.5), (0.6, 0.6)) is None
    assert CellResult("a", "s", 0, "failed").gap_opens is None


def test_the_gap_of_a_cell_is_that_of_its_best_epoch() -> None:
    assert toy_study.cell("a", "s", 0, (0.6, 0.5), (0.9, 0.8), (1.0, 0.7)).gap == pytest.approx(0.1)
    assert CellResult("a", "s", 0, "failed").gap is None
