"""scripts/studies/scaling.py: four networks of equal work, and that a training learns and is kept."""

import argparse
import importlib
from pathlib import Path
from typing import Any

import pytest
from running import ROOT
from toy_faces import write_people


@pytest.fixture
def scaling(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("scripts.studies.scaling")


def test_every_way_costs_four_times_as_much_within_5_percent(scaling: Any) -> None:
    found = scaling.networks()
    small = scaling.multiply_adds(found.pop("small"))
    assert {way: scaling.multiply_adds(sized) / small for way, sized in found.items()} == {
        way: pytest.approx(4, rel=0.05) for way in ("depth", "width", "resolution", "compound")
    }
    assert pytest.approx(2, rel=0.05) == scaling.ALPHA * scaling.BETA**2 * scaling.GAMMA**2


def test_one_way_changes_one_thing_and_compound_all(scaling: Any) -> None:
    found = scaling.networks()
    small = found["small"]
    for way, sized in found.items():
        own = (sized.form.blocks, sized.form.widths, sized.pixels)
        changed = [a != b for a, b in zip(own, (small.form.blocks, small.form.widths, small.pixels), strict=True)]
        assert changed == [
            way in ("depth", "compound"),
            way in ("width", "compound"),
            way in ("resolution", "compound"),
        ]


def test_multiply_adds_are_those_of_the_convolutions_by_hand(scaling: Any) -> None:
    sized = scaling.Sized(scaling.Form((1,), (4,)), 8)
    assert scaling.multiply_adds(sized) == 8 * 8 * 9 * (3 * 4 + 2 * 4 * 4) + 4 * scaling.CLASSES


def test_a_training_learns_and_is_kept(scaling: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for side in ("train", "test"):
        write_people(tmp_path / "cifar10" / side, {"cat": 8, "dog": 8}, size=32)
    monkeypatch.setattr(scaling, "QUICK_EPOCHS", 60)  # of one batch each
    options = argparse.Namespace(quick=True, runs=tmp_path, data=tmp_path)
    sized = scaling.Sized(scaling.Form((1,), (8,)), 16)
    once = scaling.trained("small", sized, 0, options)
    assert once["train"] > 0.8
    monkeypatch.setattr(scaling, "train", lambda *cell: pytest.fail("it is known"))
    assert scaling.trained("small", sized, 0, options) == once
