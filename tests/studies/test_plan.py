"""The study `plan`: its fit on points whose tail is known, its checks on a gallery one can overlook."""

import numpy as np
import pytest

from facerec.evaluation.plan import figures
from scripts.studies.plan import check, own_photos, real, strangers, tail_of

RNG = np.random.default_rng(0)


def test_the_power_of_a_known_tail_is_found() -> None:
    distances = 1.2 * RNG.random(400_000).astype(np.float32) ** (1 / 9)
    distance, power = tail_of(distances)
    assert distance == pytest.approx(1.2 * 0.001 ** (1 / 9), rel=0.02)
    assert power == pytest.approx(9, rel=0.15)


def test_the_power_is_half_of_the_dimension_in_which_points_lie() -> None:
    """Directions in 8 dimensions lie on a sphere of 7."""
    rows = RNG.standard_normal((1_500, 8)).astype(np.float32)
    found = strangers(rows / np.linalg.norm(rows, axis=1, keepdims=True))
    assert found["power"] == pytest.approx(3.5, rel=0.1)
    shares, powers = np.array(found["replicates"]).T
    assert np.quantile(shares, 0.01) < found["share"] < np.quantile(shares, 0.99)
    assert np.quantile(powers, 0.01) < found["power"] < np.quantile(powers, 0.99)


def test_own_photos_beyond_a_distance_are_counted() -> None:
    """Two photos of each person: one is always the mean, the other at 0.5 or at 1."""
    half, whole = ([np.array([1, 0], np.float32), np.array([x, (1 - x * x) ** 0.5], np.float32)] for x in (0.75, 0.5))
    found = own_photos({"a": half, "b": whole, "c": whole, "d": whole}, 1)
    beyond = dict(zip(figures()["own"]["distances"], found["beyond"], strict=True))
    assert (beyond[0.4], beyond[0.6], beyond[0.9], beyond[1.1]) == (1, 0.75, 0.75, 0)


def test_what_is_found_is_counted_at_the_foretold_threshold() -> None:
    near = np.linspace(0.5, 2.5, 1_000)
    found = check(figures(), 1_000, near, own=np.array([0.2, 0.3, 2.0, 0.3]), other=np.array([1.0, 0.1, 1.0, 1.0]))
    foretold, low, high = found["foretold"]
    assert low < foretold < high
    assert found["fpir"][0] == pytest.approx((foretold - 0.5) / 2, abs=2e-3)
    assert found["threshold"][0] == pytest.approx(0.52, abs=2e-3)
    assert found["fnir"][0] == 0.5, "one photo is too far, one nearer to somebody else"


def test_real_people_are_enrolled_searched_and_told_from_strangers() -> None:
    """Everybody's photos are one direction, all people's are at right angles: nobody is missed, nobody is let in."""
    rows = {f"p{i}": [row, row] for i, row in enumerate(np.eye(40, dtype=np.float32))}
    found = real(figures(), rows)
    assert (found["people"], found["fpir"][0], found["fnir"][0]) == (20, 0, 0)
