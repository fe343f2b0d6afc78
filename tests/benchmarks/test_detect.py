"""scripts/bench detect: how faces of two sides are compared, on hand-placed ones."""

import importlib
from typing import Any

import pytest
from running import ROOT


@pytest.fixture
def detect(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("scripts.benchmarks.detect")


def face(left: float, top: float, side: float, shift: float = 0.0) -> tuple[list[float], list[list[float]]]:
    """A square face, and landmarks that are `shift` pixels to the right of where they belong."""
    points = [[left + x * side + shift, top + y * side] for x, y in [(0.3, 0.4), (0.7, 0.4), (0.5, 0.6)]]
    return [left, top, left + side, top + side], points


def test_the_same_faces_in_another_order(detect: Any) -> None:
    faces = [face(0, 0, 100), face(200, 0, 50)]
    found = detect.agreement([faces, []], [faces[::-1], []])
    assert found == {
        "photos": 2, "faces": 2, "alike": 1.0, "holds": True, "smallest_iou": 1.0, "largest_distance": 0.0
    }  # fmt: skip


@pytest.mark.parametrize(
    ("ours", "theirs", "alike", "iou", "distance"),
    [
        ([face(0, 0, 100)], [face(0, 0, 100), face(300, 0, 50)], 0.5, 1, 0),
        ([face(0, 0, 100)], [face(0, 0, 90, shift=1)], 0, 0.81, 7.21),
        ([face(0, 0, 100)], [face(0, 0, 100, shift=1.6)], 0, 1, 1.6),
        ([face(0, 0, 100)], [face(0, 0, 100, shift=1.4)], 1, 1, 1.4),
        ([face(0, 0, 100)], [face(90, 90, 100)], 0, 1, 0),
        ([face(0, 0, 100), face(1, 1, 100)], [face(0, 0, 100)], 0.5, 1, 0),
    ],
)
def test_what_differs_is_measured(
    detect: Any, ours: list[Any], theirs: list[Any], alike: float, iou: float, distance: float
) -> None:
    found = detect.agreement([ours], [theirs])
    assert found["alike"] == alike
    assert found["holds"] == (alike == 1)
    assert found["smallest_iou"] == pytest.approx(iou)
    assert found["largest_distance"] == pytest.approx(distance, abs=0.01)
