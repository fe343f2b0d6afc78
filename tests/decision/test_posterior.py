"""facerec.decision.posterior: the formula, its coming true against loops, and what `identify` and `evaluate` print."""

import dataclasses
import importlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_model
from hypothesis import given
from hypothesis import strategies as st
from running import ROOT, json_lines, run
from toy_searches import made_up, split

from facerec.decision.calibration import calibrate
from facerec.decision.decide import decide_photo
from facerec.decision.posterior import LIMIT, Posterior, posterior
from facerec.errors import ModelError
from facerec.evaluation import identification
from facerec.evaluation.identification import probability_of, run_searches
from facerec.evaluation.reliability import BINS, at_prior, balanced, reliability
from facerec.inference.loading import load_embedder
from facerec.models.card import read_card, write_card
from facerec.models.cohort import save_cohort
from facerec.types import Candidate, Threshold

FACTS = {"slope": -10.0, "threshold_slope": 8.0, "intercept": 3.0, "source": "made up for tests"}
SOME = Posterior(-10, 8, 3, 0.5)  # log-odds 7 - 10 d

# ----------------------------------------------------------------------------------------------------- the number


@pytest.mark.parametrize("distance", [0.1, 0.5, 0.7, 1.2])
def test_it_is_the_logistic_of_distance_and_threshold(distance: float) -> None:
    odds = math.exp(3) * math.exp(-10 * distance) * math.exp(8 * 0.5)
    assert SOME(distance) == pytest.approx(odds / (1 + odds))


def test_it_never_claims_what_was_not_measured() -> None:
    assert SOME(0) == pytest.approx(LIMIT)
    assert SOME(4) == pytest.approx(1 - LIMIT)
    assert Posterior(-1e6, 0, 0, 1)(4) == pytest.approx(1 - LIMIT)  # no overflow


@given(st.floats(0, 4), st.floats(0, 4))
def test_the_nearer_the_likelier(a: float, b: float) -> None:
    assert (SOME(a) >= SOME(b)) or a > b


def test_it_needs_a_card_that_states_it_and_enough_strangers() -> None:
    distances = np.linspace(0.3, 2, 150, dtype=np.float32)
    made, few = calibrate(distances, 0.01, 3), calibrate(distances[:50], 0.01, 3)
    assert made is not None
    assert posterior(FACTS, made) == Posterior(-10, 8, 3, made.distance)
    assert posterior({}, made) is None
    assert posterior(FACTS, few) is None, "below 99 strangers the threshold for 1 % is not known"
    assert posterior(FACTS, None) is None


def test_a_decision_says_it_of_the_best_candidate_and_is_the_same_without() -> None:
    ann, bob, limit = Candidate("Ann", 0.5), Candidate("Bob", 0.8), Threshold(0.7, "x")
    faces = [[ann, bob], [dataclasses.replace(ann, distance=0.6), bob], [bob], []]
    plain, said = decide_photo(faces, limit, 2), decide_photo(faces, limit, 2, SOME)
    assert [decision.probability for decision in plain] == [None] * 4
    expected = [SOME(0.5), SOME(0.8), SOME(0.8), None]  # of the second face Ann is another face, so Bob is best
    assert [decision.probability for decision in said] == expected
    assert said[0].reason == plain[0].reason + "; 88.1 % probable"
    assert said[1].reason == plain[1].reason + "; 26.9 % probable"
    assert said[3].reason == plain[3].reason
    blank = [dataclasses.replace(each, probability=None, reason="") for each in said]
    assert blank == [dataclasses.replace(each, reason="") for each in plain]


# ------------------------------------------------------------------------------------------------ does it come true


def searches(seed: int, count: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """stated, right, mated, weights (5, N)."""
    rng = np.random.default_rng(seed)
    mated = rng.random(count) < 0.3
    weights = rng.integers(0, 3, (5, count)).astype(float)
    return rng.random(count) ** 2, mated & (rng.random(count) < 0.8), mated, weights


def reliability_by_loop(stated: Any, right: Any, mated: Any, weights: Any, prior: float) -> tuple[float, float, list]:
    """One row of weights."""
    whole = [sum(w for w, m in zip(weights, mated, strict=True) if m == kind) for kind in (True, False)]
    brier, bins = 0.0, [[0.0, 0.0, 0.0] for _ in range(BINS)]
    for p, r, m, w in zip(stated, right, mated, weights, strict=True):
        share = w / whole[0] * prior if m else w / whole[1] * (1 - prior)
        brier += share * (p - r) ** 2
        own = bins[min(int(p * BINS), BINS - 1)]
        for place, value in enumerate((share, share * p, share * r)):
            own[place] += value
    return brier, sum(abs(said - came) for _, said, came in bins), bins


@pytest.mark.parametrize("prior", [0.1, 0.5])
def test_reliability_against_loops(prior: float) -> None:
    stated, right, mated, weights = searches(1)
    stated[0] = 1.0
    found = reliability(stated, right, mated, weights, prior)
    for i, row in enumerate(weights):
        brier, error, bins = reliability_by_loop(stated, right, mated, row, prior)
        assert found["brier"][i] == pytest.approx(brier)
        assert found["calibration_error"][i] == pytest.approx(error)
        for j, (share, said, came) in enumerate(bins):
            assert found["searches"][i, j] == pytest.approx(share)
            if share:
                assert (found["stated"][i, j], found["true"][i, j]) == pytest.approx((said / share, came / share))
            else:
                assert np.isnan(found["stated"][i, j])


def test_what_is_sure_and_right_has_no_error_and_the_opposite_all() -> None:
    right = np.array([True, True, False, False])
    for stated, error in ((right * 1.0, 0), (1.0 - right, 1)):
        found = reliability(stated, right, right, np.ones((1, 4)))
        assert (found["brier"][0], found["calibration_error"][0]) == (error, error)


def test_weights_of_one_kind_only_are_nan() -> None:
    weights = balanced(np.array([[1.0, 1, 0], [1, 1, 1]]), np.array([True, True, False]), 0.2)
    assert np.isnan(weights[0]).all()
    assert weights[1].tolist() == pytest.approx([0.1, 0.1, 0.8])


def test_another_prior_multiplies_the_odds() -> None:
    stated = np.array([0.2, 0.5, 0.9])
    assert at_prior(stated, 0.5).tolist() == pytest.approx(stated.tolist())
    tenth = at_prior(stated, 0.1)
    assert (tenth / (1 - tenth)).tolist() == pytest.approx((stated / (1 - stated) / 9).tolist())


def test_searches_are_judged_by_loops_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identification, "REPLICATES", 50)
    gallery, probes = split(made_up(2, 14, 5, noise=0.7), 8, 2)
    probes["p00"].append(None)  # no face: nothing is stated of it
    found = run_searches(gallery, probes)
    said = probability_of(found, SOME)
    assert said is not None
    kept = np.isfinite(found.distance)
    stated = np.array([SOME(float(d)) for d in found.distance[kept]])
    mated, right = found.mated[kept], (found.hit & found.mated)[kept]
    brier, error, bins = reliability_by_loop(stated, right, mated, np.ones(len(stated)), 0.5)
    assert (said["prior"], said["brier"], said["calibration_error"]) == pytest.approx((0.5, brier, error))
    expected = [(said / share, came / share, share) for share, said, came in bins if share]
    assert np.array(said["bins"]).ravel().tolist() == pytest.approx(np.array(expected).ravel().tolist())
    for name in ("brier", "calibration_error"):
        low, high = said["ci95"][name]
        assert low <= high
    assert low < high
    assert json.loads(json.dumps(said)) == said
    assert probability_of(found.only(np.flatnonzero(found.mated).tolist()), SOME) is None


# ------------------------------------------------------------------------------------------------- the commands


@pytest.fixture
def stating(tmp_path: Path) -> Path:
    """A toy model that states a probability, with 200 strangers."""
    model = toy_model.write_model(tmp_path / "model", probability=FACTS)
    rows = [toy_model.vector(toy_model.crop(person, 0)) for person in range(100, 300)]
    save_cohort(model, load_embedder(str(model)).card, np.array(rows, np.float32), "made up")
    return model


def test_identify_states_it_whatever_the_threshold(stating: Path, crops: Path, tmp_path: Path) -> None:
    gallery = tmp_path / "g"
    run("enroll", crops / "people", "--aligned", "--model", stating, gallery=gallery)
    (made,) = json_lines(run("calibrate", "--json", "--model", stating, gallery=gallery))
    arguments = ["identify", crops / "ann.png", crops / "stranger.png", "--aligned", "--model", stating]
    expected = Posterior(-10, 8, 3, made["threshold"])
    for options in ((), ("--threshold", 3), ("--fpir", 0.2)):
        lines = json_lines(run(*arguments, "--json", *options, gallery=gallery))
        for line in lines:
            assert line["probability"] == pytest.approx(expected(line["distance"]), abs=1e-5)
            assert line["reason"].endswith(f"; {100 * line['probability']:.1f} % probable")
    assert lines[0]["probability"] > lines[1]["probability"]
    run("calibrate", "--fpir", 0.2, "--model", stating, gallery=gallery)  # another target: t stays that for 1 %
    again = json_lines(run(*arguments, "--json", gallery=gallery))
    assert [line["probability"] for line in again] == [line["probability"] for line in lines]
    assert " % probable\n" in run(*arguments, "--explain", gallery=gallery).stdout


def test_evaluate_reports_and_draws_it(stating: Path, crops: Path, tmp_path: Path) -> None:
    probes = tmp_path / "probes"
    for person, name in enumerate(("Ann Lee", "Bob O'Ray", "Nobody")):
        for photo in range(3):
            toy_model.save_crop(probes / name / f"{photo}.png", person if name != "Nobody" else 50, 7 + photo)
    command = ("evaluate", "identification", "--gallery-images", crops / "people", "--probe-images", probes)
    result = run(*command, "--aligned", "--model", stating, "--json", "--report", tmp_path / "out")
    (line,) = json_lines(result)
    assert sum(share for *_, share in line["probability"]["bins"]) == pytest.approx(1)
    assert 0 <= line["probability"]["brier"] < 0.25
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "probability: calibration error" in page
    assert page.count("image/svg+xml") == 3  # DET, distances, reliability
    plain = toy_model.write_model(tmp_path / "plain")
    (line,) = json_lines(run(*command, "--aligned", "--model", plain, "--json"))
    assert "probability" not in line


@pytest.mark.parametrize(
    "wrong",
    [{"slope": 1.0}, {"slope": 0}, {"slope": "steep"}, {"intercept": None}, {"threshold_slope": math.nan}],
)
def test_a_card_whose_probability_makes_no_sense_is_refused(wrong: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    write_card(dataclasses.replace(toy_model.CARD, probability=FACTS), path)
    assert read_card(path).probability == FACTS
    write_card(dataclasses.replace(toy_model.CARD, probability={**FACTS, **wrong}), path)
    with pytest.raises(ModelError, match=r"model.json: the probability needs slope, threshold_slope, intercept"):
        read_card(path)


# ---------------------------------------------------------------------------------------------------- the script


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    module = importlib.import_module("scripts.studies.posterior")
    monkeypatch.setattr(module, "DRAWS", 8)
    monkeypatch.setattr(module, "SIZES", (4, 8))
    monkeypatch.setattr(module, "FEW", 4)
    monkeypatch.setattr(module, "FITTED_BESIDE", (30,))
    return module


def normal_people(seed: int, people: int, photos: int) -> dict[str, list[np.ndarray]]:
    """Unit vectors of 40 numbers round a centre per person."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(people, 1, 40)) + rng.normal(size=(people, photos, 40))
    rows /= np.linalg.norm(rows, axis=2, keepdims=True)
    return {f"{seed}p{i}": list(own) for i, own in enumerate(rows.astype(np.float32))}


def test_what_is_fitted_comes_true_on_others(script: Any) -> None:
    rows, others = (normal_people(seed, 60, 6) for seed in (1, 2))
    cohort = np.concatenate(list(normal_people(3, 600, 1).values()))
    facts = script.fit(rows, cohort)
    assert facts["slope"] < 0 < facts["threshold_slope"]
    for beside in (0, 30):
        found = script.searched(others, [8], cohort, beside=beside)
        said = script.stated(facts)(found)
        error = script.errors(said, found)["calibration_error"][0]
        assert error < 0.03
        assert script.errors(1 - said, found)["calibration_error"][0] > 0.3


def test_a_draw_searches_no_enrolled_photo_and_calibrates_by_no_enrolled_stranger(script: Any) -> None:
    rows = {f"p{i}": [np.eye(64, dtype=np.float32)[4 * i + k] for k in range(4)] for i in range(10)}
    cohort = np.random.default_rng(0).normal(size=(460, 64)).astype(np.float32)
    cohort /= np.linalg.norm(cohort, axis=1, keepdims=True)
    found = script.search(rows, 6, 2, cohort, beside=0, seed=1)
    assert (found.mated.sum(), (~found.mated).sum()) == (6 * 2, 4 * 4)
    assert found.distance == pytest.approx(np.full(28, 2), abs=1e-5), "no searched row is among the enrolled"
    one = script.search(rows, 6, 2, cohort, beside=3, seed=1, most=1)
    assert (one.mated.sum(), (~one.mated).sum(), one.size[0]) == (6 * 2, 4, 9)


def test_vectors_are_kept_by_model_and_people(script: Any, stating: Path, tmp_path: Path) -> None:
    module = importlib.import_module("scripts.studies.people")
    for person in range(3):
        for photo in range(2):
            toy_model.save_crop(tmp_path / "faces" / f"p{person}" / f"{photo}.png", person, photo)
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "test.txt").write_text("faces/p0\nfaces/p2\n", "utf-8")
    first = module.people_of(tmp_path, "test", str(stating), tmp_path / "cache")
    (kept,) = (tmp_path / "cache").iterdir()
    assert kept.name.startswith("test-")
    (tmp_path / "splits" / "test.txt").unlink()
    again = module.people_of(tmp_path, "test", str(stating), tmp_path / "cache")
    assert list(first) == list(again) == ["p0", "p2"]
    for person in first:
        assert np.array_equal(np.stack(first[person]), np.stack(again[person]))
    expected = toy_model.vector(toy_model.crop(2, 1))
    assert np.abs(again["p2"][1] - expected).max() < 1e-5
