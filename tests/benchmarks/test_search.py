"""scripts/benchmarks/search.py: made-up people have real scores, and the bench runs from beginning to end."""

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import ROOT


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("scripts.benchmarks.search")


@pytest.mark.parametrize("dimension", [128, 512])
def test_made_up_people_have_the_scores_of_real_ones(search: Any, dimension: int) -> None:
    scores = search._crowd.compared(search._crowd.crowd(dimension))
    real, made_up = scores["real"], scores["made_up"]
    assert made_up["cosine_sd"] == pytest.approx(real["cosine_sd"], abs=0.004)
    assert list(made_up["cosine"].values()) == pytest.approx(list(real["cosine"].values()), abs=0.03)
    assert made_up["nearest_distance"]["0.5"] == pytest.approx(real["nearest_distance"]["0.5"], abs=0.06)


def test_photos_are_as_far_from_their_people_as_real_ones(search: Any) -> None:
    made = search._crowd.crowd(128)
    people = made.people(20_000, seed=0)
    photos = made.photos(people, seed=1)
    for rows in (people, photos):
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    distances = np.square(people - photos).sum(axis=1)
    for quantile, distance in search._crowd.GENUINE[1:-1]:
        assert np.quantile(distances, quantile) == pytest.approx(distance, abs=0.03)


def test_a_stretched_spectrum_keeps_sum_and_sum_of_squares(search: Any) -> None:
    values = np.exp(-np.arange(100) / 30)[::-1]
    for count in (100, 101, 400):
        made = search._crowd.stretched(values, count)
        assert len(made) == count
        assert (np.diff(made) <= 0).all()
        assert made.sum() == pytest.approx(values.sum())
        assert (made**2).sum() == pytest.approx((values**2).sum(), rel=1e-4)


def test_the_bench_runs_and_shows_its_figures(search: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def at_once(side: Callable[..., Any], *arguments: Any) -> Any:
        return side(*arguments)

    monkeypatch.setattr(search, "in_own_process", at_once)
    for name, number in {"SEARCHES": 40, "TIMED": 5, "SIZES": (50, 1000)}.items():
        monkeypatch.setattr(search, name, number)
    parser = argparse.ArgumentParser()
    search.add_options(parser)
    drawn = tmp_path / "curves.png"
    figures = search.run(parser.parse_args(["--people", "900", "--plot", str(drawn), "--data", str(tmp_path)]))
    assert figures["same_answers"]
    assert [size["people"] for size in figures["sizes"]] == [50, 900]
    kinds = {kind["kind"]: kind for kind in figures["others"]["kinds"]}
    assert set(kinds) == {"facerec", *search._indexes.KINDS}
    assert all(kind.get("missing") or kind["recall_enrolled"] >= 0.99 for kind in kinds.values())
    assert figures["gallery"]["additions_per_s"] > 0
    text = search.table(figures)
    assert "a gallery of 900 people" in text
    assert drawn.read_bytes().startswith(b"\x89PNG")
    quick = search.run(parser.parse_args(["--quick", "--people", "60", "--data", str(tmp_path)]))
    assert "others" not in quick
    assert search.table(quick)
