"""A whole study in processes of its own: what is killed, stopped, left out, done before or of another plan."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from toy_runs import Data

from facerec.errors import ConfigError, DataError
from facerec.study.grid import GridProgress, _last_words, run_study
from facerec.study.planning import Asked
from facerec.study.results import Cell, StudyPlan, cell_file, read_cell
from facerec.study.table import Row

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = {"init": "random", "input_size": 32, "batch_size": 4, "precision": "fp32", "epochs": 2}
FULL, FROZEN, CUT = (Cell("squeezenet1_1", strategy, 0) for strategy in ("full", "frozen", "partial9"))


def study(
    data: Data, output: Path, watch: Callable[[GridProgress], None] = lambda progress: None, **changes: Any
) -> tuple[StudyPlan, list[Row]]:
    """Run a study of two small trainings and one that there is not."""
    strategies = ("full", "frozen", "partial9")
    values: dict[str, Any] = {"mode": "classify", "backbones": ("squeezenet1_1",), "strategies": strategies}
    values |= {"budget": "24", "seeds": 1, "settings": SMALL}
    return run_study(data.folder, output, Asked(**values | changes), watch=watch)


def interrupting(progress: GridProgress) -> None:
    """Press Ctrl-C as soon as a cell runs."""
    raise KeyboardInterrupt


def killing(name: str) -> Callable[[GridProgress], None]:
    """Return a watcher that kills the process of this cell."""

    def watch(progress: GridProgress) -> None:
        if progress.cell.name == name and progress.ended is None:
            for line in subprocess.check_output(["ps", "-ww", "-eo", "pid,ppid,args"], text=True).splitlines():
                pid, parent, command = line.split(None, 2)
                if parent == str(os.getpid()) and command.endswith(name):
                    os.kill(int(pid), signal.SIGKILL)

    return watch


def test_a_study_survives_ctrl_c_and_a_killed_cell_and_runs_no_cell_twice(some_classes: Data, tmp_path: Path) -> None:
    output = tmp_path / "study"
    with pytest.raises(KeyboardInterrupt):
        study(some_classes, output, interrupting)
    assert read_cell(output, FULL) is None  # it is not failed: it was stopped
    assert "not yet run" in (output / "study.md").read_text("utf-8")

    _, rows = study(some_classes, output, killing(FROZEN.name))
    assert [(row.done, row.failed) for row in rows] == [(1, 0), (0, 1), (0, 0)]
    assert rows[1].reason == "its process was killed by signal 9 (too little memory?)"
    assert "partial freezes between 1 and 3 stages" in rows[2].reason

    kept = cell_file(output, FULL).stat().st_mtime_ns
    seen: list[GridProgress] = []
    _, rows = study(some_classes, output, seen.append)
    assert [(row.done, row.failed) for row in rows] == [(1, 0), (1, 0), (0, 0)]
    assert {row.crops for row in rows if row.done} == {24}
    assert cell_file(output, FULL).stat().st_mtime_ns == kept
    assert {progress.cell for progress in seen} == {FROZEN}
    assert [(p.cells, p.done, p.seconds_left) for p in seen if p.ended] == [(3, 3, 0.0)]
    assert not list(output.rglob("*.safetensors"))  # only the figures are kept
    assert not (output / "cache").exists()


def test_another_plan_is_refused_in_one_line(some_classes: Data, some_faces: Data, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        study(some_classes, tmp_path / "study", interrupting)
    before = sorted(tmp_path.rglob("*"))
    others: list[tuple[dict[str, Any], str]] = [
        ({"seeds": 2}, "holds a study of other seeds; give what it was started with"),
        ({"settings": SMALL | {"lr": 1e-5}}, "holds a study of other settings"),
    ]
    for changes, words in others:
        with pytest.raises(DataError, match=words) as caught:
            study(some_classes, tmp_path / "study", **changes)
        assert str(tmp_path / "study") in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(DataError, match="holds a study of another folder"):
        study(some_faces, tmp_path / "study")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["cache/mine.txt", "crops/a.jpg", "photos/train/a.jpg", "study.html", "cells/a.json"])
def test_somebodys_folder_is_refused_and_left_as_it_is(name: str, some_classes: Data, tmp_path: Path) -> None:
    file = tmp_path / "own" / name
    file.parent.mkdir(parents=True)
    file.write_text("mine", "utf-8")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match=f"own: holds {name.partition('/')[0]} and is no study; give another `output`"):
        study(some_classes, tmp_path / "own")
    assert sorted(tmp_path.rglob("*")) == before


def test_what_a_study_leaves_before_its_plan_is_its_own(some_classes: Data, tmp_path: Path) -> None:
    for name in (".lock", "study.json.draft"):
        (tmp_path / name).touch()
    (tmp_path / "crops").mkdir()
    with pytest.raises(KeyboardInterrupt):
        study(some_classes, tmp_path, interrupting)
    assert (tmp_path / "study.json").exists()


def test_a_folder_among_the_photos_is_refused(some_classes: Data, tmp_path: Path) -> None:
    for folder, own in ((some_classes.folder, {}), (tmp_path, {"validation": tmp_path})):
        with pytest.raises(ConfigError, match="would be read as its photos next time"):
            run_study(some_classes.folder, folder / "study", Asked(mode="classify", data=own))
        assert not (folder / "study").exists()


def test_a_process_that_ends_without_a_result_is_quoted(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("Traceback\n  somewhere\nMemoryError: no room\n\n", "utf-8")
    assert _last_words(1, log) == f"MemoryError: no room; see {log}"
    assert _last_words(-15, log) == "its process was killed by signal 15"
    log.write_text("", "utf-8")
    assert _last_words(3, log) == f"exit code 3; see {log}"
