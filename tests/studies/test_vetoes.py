"""scripts/studies/vetoes.py on hand-placed people: which faces are vetoed, and what is counted before and after."""

import importlib
from typing import Any

import numpy as np
import pytest
from running import ROOT
from toy_vectors import near

from facerec.evaluation.identification import index_people
from facerec.types import Candidate, Threshold, Veto

ANN, BOB = np.eye(8, dtype=np.float32)[:2]
LIMIT = Threshold(0.5, "a test")


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("scripts.studies.vetoes")


@pytest.fixture
def draw(study: Any) -> Any:
    """Ann and Bob are enrolled. Zoe's photos 0 and 1 are named Ann, her photo 2 nobody. Ann is found, Bob missed."""
    people = index_people({"Ann": [ANN], "Bob": [BOB]})
    zoe = near(ANN, 0.4)
    rows = np.stack([zoe, near(zoe, 0.01, 5), -ANN, near(ANN, 0.1), near(BOB, 0.9, 3)])
    searcher = np.array(["Zoe", "Zoe", "Zoe", "Ann", "Bob"])
    before = study.answers(people, LIMIT, rows, study.VetoedFaces(("", 0, 0), {}))
    assert before.tolist() == ["Ann", "Ann", "", "Ann", ""]
    return study.Draw(people, LIMIT, rows, searcher, before)


def test_the_faces_that_are_vetoed(study: Any, draw: Any) -> None:
    assert study.by_named(draw, 1) == {"Ann": [0]}
    assert study.by_named(draw, 8) == {"Ann": [0, 1]}
    nearest = study.by_nearest(draw, 3)
    assert [len(photos) for photos in nearest.values()] == [1, 1], "there is one stranger"
    assert nearest["Ann"] == [0]


def test_what_is_counted(study: Any, draw: Any) -> None:
    counted, vetoes = study.measure([draw, draw], lambda each: study.by_named(each, 1), None, ["Ann", "Bob", "Zoe"])
    assert vetoes == 2
    sums = [(each.tally.errors.sum(), (each.tally.errors + each.tally.rest).sum()) for each in counted]
    assert sums == [(2, 4), (0, 4), (0, 2), (0, 2)], "Zoe's photos 1 and 2, in two draws; Ann's only photo, found twice"


def test_the_stricter_rule_needs_the_mean_to_be_farther(study: Any) -> None:
    for mean, wanted in ((0.3, False), (0.45, True)):
        assert study.is_nearer_than_mean(Candidate("Ann", mean, Veto(0.4, 0.5)), LIMIT) == wanted
