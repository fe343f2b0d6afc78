"""scripts/studies/class_of_thirty.py: who is in a class, what of them is known, and what is searched."""

import importlib
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from running import ROOT

CROPS = {f"p{i}": [Path(f"p{i}/{j}.png") for j in range(1 + i % 20)] for i in range(1100)}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("scripts.studies.class_of_thirty")


@pytest.mark.parametrize("which", ["validation", "lfw"])
def test_no_photo_is_both_known_and_searched_and_no_stranger_is_in_the_class(which: str, script: Any) -> None:
    known, probes = script.draw_class(CROPS, which, 0, 30)
    assert len(known) == 30
    for person, own in known.items():
        assert len(own) == script.KNOWN[which]
        assert sorted(own + probes[person]) == sorted(CROPS[person])
        assert probes[person]
    strangers = set(probes) - set(known)
    if which == "lfw":
        assert len(strangers) == script.STRANGERS
        assert all(len(probes[person]) == 1 for person in strangers)
    else:
        assert all(sorted(probes[person]) == sorted(CROPS[person]) for person in strangers)
        assert len(strangers) == len(CROPS) - 30


def test_nobody_is_in_two_classes_and_a_class_is_always_the_same(script: Any) -> None:
    classes = [script.draw_class(CROPS, "test", number, 30) for number in range(4)]
    assert not any(one[0].keys() & other[0].keys() for one, other in combinations(classes, 2))
    assert classes[1] == script.draw_class(dict(reversed(CROPS.items())), "test", 1, 30)


def test_too_few_people_are_said(script: Any) -> None:
    with pytest.raises(SystemExit, match="too few people with more than 10 photos for 20 classes of 30"):
        script.draw_class(CROPS, "test", 19, 30)
