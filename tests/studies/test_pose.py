"""scripts/studies/pose.py: who validates, which pairs are compared, and what they show, by vectors placed by hand."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import ROOT


@pytest.fixture
def pose(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("scripts.studies.pose")


def unit(*degrees: float) -> np.ndarray:
    """(N, 2) unit rows at these angles."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_the_crops_of_a_third_of_the_people(pose: Any, tmp_path: Path) -> None:
    for name in ("cfp_001", "cfp_002", "cfp_003", "cfp_005"):
        for crop in ("f01", "f02", "p01"):
            (tmp_path / "faces_profile" / name).mkdir(parents=True, exist_ok=True)
            (tmp_path / "faces_profile" / name / f"{crop}.webp").touch()
    crops = pose.profiles(tmp_path)
    assert crops.people.tolist() == ["cfp_002"] * 3 + ["cfp_005"] * 3
    assert crops.turned.tolist() == [False, False, True] * 2


def test_frontal_crops_are_compared_with_each_other_and_with_turned_ones(pose: Any) -> None:
    """Two people, 90 degrees apart; b's turned crop looks like a."""
    people = np.array(["a", "a", "a", "b", "b", "b"])
    crops = pose.Crops([], people, np.array([False, False, True] * 2))
    pairs = pose.pairs_of(unit(0, 10, 20, 90, 100, 35), crops)
    assert {kind: len(found.a) for kind, found in pairs.items()} == {"both frontal": 6, "frontal and turned": 8}
    same = {kind: np.sort(found.distances[found.a == found.b]) for kind, found in pairs.items()}
    np.testing.assert_allclose(same["both frontal"], [2 - 2 * np.cos(np.radians(10))] * 2, atol=1e-5)
    turned = [2 - 2 * np.cos(np.radians(angle)) for angle in (10, 20, 55, 65)]
    np.testing.assert_allclose(same["frontal and turned"], turned, atol=1e-5)


def test_the_figures_are_those_of_each_kind_of_pairs(pose: Any) -> None:
    """Of four turned pairs of one person the two of b are farther than the nearest pair of two people."""
    people = np.array(["a", "a", "a", "b", "b", "b"])
    crops = pose.Crops([], people, np.array([False, False, True] * 2))
    pairs = pose.pairs_of(unit(0, 10, 20, 90, 100, 35), crops)
    assert [text.split()[0] for text in pose.figures(pairs["both frontal"])] == ["100.0"] * 3
    assert [text.split()[0] for text in pose.figures(pairs["frontal and turned"])][1:] == ["50.0"] * 2


@pytest.mark.real
def test_heads_are_turned_where_the_landmarks_say_so(pose: Any, shared_data: Path, monkeypatch: Any) -> None:
    """By eye, the profiles of faces_profile are turned and the frontal crops are not; some landmarks are wrong."""
    folders = [shared_data / "faces_profile" / name for name in pose.pose_people(shared_data)[:4]]
    monkeypatch.setattr(pose, "listed_folders", lambda data, split: folders)
    crops = pose.turned(shared_data)
    frontal, profile = (crops.turned[[path.name[0] == kind for path in crops.paths]] for kind in "fp")
    assert frontal.mean() < 0.2
    assert profile.mean() > 0.7
