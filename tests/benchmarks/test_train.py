"""scripts/benchmarks/train.py on toy people: the plain loop learns the same as facerec's, and what is timed."""

import importlib
from pathlib import Path
from typing import Any

import pytest
from running import ROOT
from toy_faces import write_teacher
from toy_runs import Data, small

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("scripts.benchmarks.train")


def test_both_loops_learn_the_same_in_all_steps(bench: Any, some_faces: Data, tmp_path: Path) -> None:
    teacher = str(write_teacher(tmp_path / "teacher.npz", some_faces.task(small()).train))
    settings = small(strategy="full", mining="semihard", teacher=(teacher,), loss="triplet")
    losses: list[list[float]] = []
    for make_step in (bench.plain_step, bench.facerec_step):
        learner = some_faces.learner(settings)
        step = make_step(learner)
        losses.append([step(given) for given in learner.feed.train(learner.task.batches(0), 0)])
    assert len(losses[0]) > 1
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_steps_are_timed_after_the_warm_up(bench: Any, some_faces: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = some_faces.learner(small())
    batches = learner.task.batches(0)
    monkeypatch.setattr(bench, "WARM_UP", 1)
    monkeypatch.setattr(bench, "STEPS", len(batches) - 1)
    seen: list[int] = []
    side = bench.time_steps(learner, lambda given: seen.append(len(given.positions)) or 3.0)
    assert len(seen) == len(batches)
    assert side.rate > 0
    assert 0 <= side.waiting <= 1
    assert side.loss == 3.0


def test_a_slow_side_stops_after_one_timed_step(bench: Any, some_faces: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "WARM_UP", 1)
    monkeypatch.setattr(bench, "LIMIT_S", 0.0)
    seen: list[int] = []
    learner = some_faces.learner(small(people_per_batch=2, photos_per_person=2))
    bench.time_steps(learner, lambda given: seen.append(1) or 0.0)
    assert len(seen) == 2
