"""facerec.metrics.roc against scikit-learn, slow oracles and numbers placed by hand."""

import itertools
import math
from pathlib import Path

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import accuracy_score, roc_auc_score, roc_curve

from facerec import metrics

FAILED = math.inf

timeless = settings(deadline=None)  # a busy machine is no failure

# Few different values, so that ties, failures and both ends of the range come up all the time; and any float at all.
tied = st.sampled_from([0.0, 0.5, 1.0, 1.25, 3.0, 4.0, FAILED])
anything = st.floats(0, 4)


@st.composite
def comparisons(draw: st.DrawFn, smallest: int = 2) -> tuple[list[float], list[bool]]:
    """Distances and labels with at least one genuine and one impostor comparison."""
    distances = draw(st.lists(tied | anything, min_size=smallest, max_size=30))
    genuine = draw(st.lists(st.booleans(), min_size=len(distances), max_size=len(distances)))
    return distances, [True, False, *genuine[2:]]


@st.composite
def weighted(draw: st.DrawFn) -> tuple[list[float], list[bool], np.ndarray]:
    """Comparisons with three rows of weights 0..3, in which either kind occurs."""
    distances, genuine = draw(comparisons())
    weights = draw(hnp.arrays(np.int64, (3, len(distances)), elements=st.integers(0, 3)))
    weights[:, :2] += 1
    return distances, genuine, weights


def repeated(distances: list[float], genuine: list[bool], weights: np.ndarray) -> metrics.Roc:
    return metrics.roc(np.repeat(distances, weights), np.repeat(genuine, weights))


# --------------------------------------------------------------------------------------------- by hand

# Genuine 0.2 0.4 0.9, one failed; impostors 0.4 0.8 1.2 2.0, one failed.
HAND_D = [0.2, 0.4, 0.9, FAILED, 0.4, 0.8, 1.2, 2.0, FAILED]
HAND_SAME = [True] * 4 + [False] * 5


def test_roc_by_hand() -> None:
    curve = metrics.roc(HAND_D, HAND_SAME)
    np.testing.assert_array_equal(curve.thresholds, [-math.inf, 0.2, 0.4, 0.8, 0.9, 1.2, 2.0])
    np.testing.assert_allclose(curve.fmr, [0, 0, 0.2, 0.4, 0.4, 0.6, 0.8])
    np.testing.assert_allclose(curve.tar, [0, 0.25, 0.5, 0.5, 0.75, 0.75, 0.75])


def test_metrics_by_hand() -> None:
    curve = metrics.roc(HAND_D, HAND_SAME)
    # 0.2 beats 5 impostors; 0.4 beats 4 and ties 1; 0.9 beats 3; the failure ties the failure: 13 of 20
    assert metrics.auc(curve) == 13 / 20
    # FMR 0.4 both at 0.8 (FNMR 0.5) and 0.9 (FNMR 0.25): the ROC is upright there and crosses at 0.4
    assert metrics.eer(curve) == pytest.approx(0.4)
    assert [float(metrics.tar_at_fmr(curve, fmr)) for fmr in (0, 0.19, 0.2, 0.5, 1)] == [0.25, 0.25, 0.5, 0.75, 0.75]
    assert metrics.error_rates(HAND_D, HAND_SAME, 0.4) == (0.2, 0.5)
    assert metrics.error_rates(HAND_D, HAND_SAME, math.inf) == (0.8, 0.25)
    # right from 0.2: 1 genuine, 5 impostors; from 0.4 to 0.8: 2 and 4; from 0.9: 3 and 3, as many, but later
    assert metrics.best_threshold(curve) == 0.5
    assert metrics.accuracy(HAND_D, HAND_SAME, 0.5) == 6 / 9


def test_floor_is_of_the_decimal_number() -> None:
    """0.29 * 100 is 28.999999999999996, yet 29 false matches of 100 are 29 %."""
    curve = metrics.roc(np.append(np.arange(1, 101) / 100, 0.295), np.append(np.zeros(100, bool), True))
    assert metrics.tar_at_fmr(curve, 0.29) == 1
    assert metrics.tar_at_fmr(curve, 0.28) == 0


def test_perfect_and_worst() -> None:
    best = metrics.roc([0.0, 0.5, 1.5, 4.0], [True, True, False, False])
    assert (metrics.auc(best), metrics.eer(best), metrics.tar_at_fmr(best, 0), metrics.best_threshold(best)) == (
        1,
        0,
        1,
        1,
    )
    worst = metrics.roc([0.0, 0.5, 1.5, 4.0], [False, False, True, True])
    assert (metrics.auc(worst), metrics.eer(worst), metrics.tar_at_fmr(worst, 0.4)) == (0, 1, 0)
    failed = metrics.roc([FAILED] * 4, [True, True, False, False])
    assert (metrics.auc(failed), metrics.eer(failed), metrics.tar_at_fmr(failed, 1)) == (0.5, 0.5, 0)


@pytest.mark.parametrize("genuine", [[True, True], [False, False], []])
@pytest.mark.filterwarnings("error")
def test_one_kind_alone_is_undefined(genuine: list[bool]) -> None:
    curve = metrics.roc([0.5, 1.0][: len(genuine)], genuine)
    assert np.isnan([metrics.auc(curve), metrics.eer(curve), metrics.tar_at_fmr(curve, 0.1)]).all()
    assert np.isnan(metrics.threshold_at_fmr(curve, 0.1)) == (False not in genuine)


def test_bad_arrays_are_refused() -> None:
    with pytest.raises(ValueError, match="nan"):
        metrics.roc([0.1, math.nan], [True, False])
    with pytest.raises(ValueError, match="one distance, label and weight"):
        metrics.roc([0.1, 0.2], [True])
    with pytest.raises(ValueError, match="one distance, label and weight"):
        metrics.roc([0.1, 0.2], [True, False], [1.0])
    with pytest.raises(ValueError, match="two folds"):
        metrics.fold_accuracies([0.1, 0.2], [True, False], [3, 3])


# ------------------------------------------------------------------------------- oracles, scikit-learn


@timeless
@given(comparisons())
def test_auc_is_the_share_of_pairs_and_scikit_learns(data: tuple[list[float], list[bool]]) -> None:
    distances, genuine = data
    auc = metrics.auc(metrics.roc(distances, genuine))
    assert auc == pytest.approx(oracles.auc_by_pairs(distances, genuine), abs=1e-12)
    finite = np.minimum(distances, 9.0)  # scikit-learn takes no infinity; a failure is the farthest of all
    assert auc == pytest.approx(roc_auc_score(genuine, -finite), abs=1e-12)


@timeless
@given(comparisons())
def test_roc_is_scikit_learns(data: tuple[list[float], list[bool]]) -> None:
    distances, genuine = data
    curve = metrics.roc(distances, genuine)
    fmr, tar, thresholds = roc_curve(genuine, -np.minimum(distances, 9.0), drop_intermediate=False)
    finite = thresholds > -9.0  # less scikit-learn's point where failures match
    np.testing.assert_allclose(curve.fmr, fmr[finite])
    np.testing.assert_allclose(curve.tar, tar[finite])
    np.testing.assert_array_equal(curve.thresholds, -thresholds[finite])


@timeless
@given(comparisons(), st.sampled_from([0, 1, 50, 100, 200, 250, 333, 500, 999, 1000]))
def test_tar_at_fmr_is_the_largest_threshold_allowed(data: tuple[list[float], list[bool]], per_thousand: int) -> None:
    distances, genuine = data
    curve = metrics.roc(distances, genuine)
    tar = metrics.tar_at_fmr(curve, per_thousand / 1000)
    assert tar == oracles.tar_at_fmr_by_trial(distances, genuine, per_thousand)


@timeless
@given(comparisons(), st.floats(0, 1), st.sampled_from([np.float32, np.float64]))
def test_threshold_at_fmr_does_what_it_says(data: tuple[list[float], list[bool]], fmr: float, dtype: type) -> None:
    """TAR there is `tar_at_fmr`, compared in either precision; the next float up matches too many."""
    distances, genuine = np.array(data[0], dtype), np.array(data[1])
    curve = metrics.roc(distances, genuine)
    threshold = float(metrics.threshold_at_fmr(curve, fmr))
    false_match_rate, fnmr = metrics.error_rates(distances, genuine, threshold)
    assert false_match_rate <= fmr + 1e-9
    assert 1 - fnmr == pytest.approx(float(metrics.tar_at_fmr(curve, fmr)))
    np.testing.assert_array_equal(distances <= threshold, distances.astype(np.float64) <= threshold)
    if threshold < metrics.MAX_DISTANCE:
        next_up = float(np.nextafter(dtype(threshold), dtype(9)))
        assert metrics.error_rates(distances, genuine, next_up)[0] > fmr


@timeless
@given(comparisons())
def test_det_points_are_all_steps_where_they_are_few(data: tuple[list[float], list[bool]]) -> None:
    points = metrics.det_points(metrics.roc(*data))
    assert points[:, :2] == pytest.approx(np.array(oracles.det_by_trial(*data)))
    for fmr, fnmr, threshold in points.tolist():
        assert metrics.error_rates(*data, threshold) == pytest.approx((fmr, fnmr))


def test_det_points_of_many_are_steps_evenly_spaced_on_a_log_axis() -> None:
    rng = np.random.default_rng(0)
    distances = np.concatenate([rng.normal(1, 0.3, 500), rng.normal(2, 0.3, 20_000)]).clip(0, 4).astype(np.float32)
    genuine = np.arange(len(distances)) < 500
    points = metrics.det_points(metrics.roc(distances, genuine))
    assert 70 < len(points) <= 101
    assert (np.diff(points[:, 0]) > 0).all()
    assert points[:4, 0] == pytest.approx([0, 1 / 20_000, 2 / 20_000, 3 / 20_000])
    assert points[-1, 0] == 1
    assert np.diff(np.log(points[20:, 0])).std() < 0.1 * np.diff(np.log(points[20:, 0])).mean()
    for fmr, fnmr, threshold in points:
        assert metrics.error_rates(distances, genuine, threshold) == pytest.approx((fmr, fnmr))
        tar = metrics.tar_at_fmr(metrics.roc(distances, genuine), fmr)
        assert 1 - tar == pytest.approx(fnmr)  # no threshold of that FMR misses fewer


@pytest.mark.parametrize("genuine", [[True, True], [False, False]])
def test_no_det_points_of_one_kind_alone(genuine: list[bool]) -> None:
    assert metrics.det_points(metrics.roc([0.5, 1], genuine)).shape == (0, 3)


@timeless
@given(comparisons())
def test_eer_is_where_the_straight_pieces_cross(data: tuple[list[float], list[bool]]) -> None:
    distances, genuine = data
    assert metrics.eer(metrics.roc(distances, genuine)) == pytest.approx(
        oracles.eer_by_segments(distances, genuine), abs=1e-9
    )


@timeless
@given(comparisons())
def test_best_threshold_decides_most_rightly(data: tuple[list[float], list[bool]]) -> None:
    distances, genuine = data
    threshold = metrics.best_threshold(metrics.roc(distances, genuine))
    right = metrics.accuracy(distances, genuine, threshold) * len(distances)
    assert right == pytest.approx(max(oracles.right_decisions(distances, genuine, t) for t in [-1.0, *distances]))
    finite = sorted({d for d in distances if d != FAILED})
    if all(b - a > 1e-9 for a, b in itertools.pairwise(finite)):  # else the middle is a matter of rounding
        assert threshold == pytest.approx(oracles.best_threshold_by_trial(distances, genuine), abs=1e-12)


def test_best_threshold_between_neighbouring_floats() -> None:
    """Their middle rounds to the even one, here the impostor's; it must not match."""
    genuine = np.nextafter(1.0, 2.0)
    impostor = np.nextafter(genuine, 2.0)
    threshold = metrics.best_threshold(metrics.roc([genuine, impostor], [True, False]))
    assert genuine <= threshold < impostor


@timeless
@given(comparisons(smallest=6), st.data())
def test_fold_accuracies_are_the_loops(data: tuple[list[float], list[bool]], more: st.DataObject) -> None:
    distances, genuine = [round(d, 3) for d in data[0]], data[1]
    drawn = more.draw(st.lists(st.integers(0, 3), min_size=len(distances), max_size=len(distances)))
    folds = [7, 2, *drawn[2:]]
    np.testing.assert_allclose(
        metrics.fold_accuracies(distances, genuine, folds), oracles.fold_accuracies_by_loop(distances, genuine, folds)
    )


@timeless
@given(weighted(), st.floats(0, 1))
def test_weights_are_repetitions(data: tuple[list[float], list[bool], np.ndarray], fmr: float) -> None:
    """All rows at once give what each gives alone with its comparisons written out."""
    distances, genuine, weights = data
    together = metrics.roc(distances, genuine, weights)
    threshold = metrics.best_threshold(together)
    right = metrics.accuracy(distances, genuine, threshold, weights)
    for row, w in enumerate(weights):
        alone = repeated(distances, genuine, w)
        assert metrics.auc(together)[row] == pytest.approx(float(metrics.auc(alone)), abs=1e-12)
        assert metrics.eer(together)[row] == pytest.approx(float(metrics.eer(alone)), abs=1e-12)
        assert metrics.tar_at_fmr(together, fmr)[row] == metrics.tar_at_fmr(alone, fmr)
        assert metrics.threshold_at_fmr(together, fmr)[row] == metrics.threshold_at_fmr(alone, fmr)
        assert threshold[row] == metrics.best_threshold(alone)
        assert right[row] == accuracy_score(
            np.repeat(genuine, w), np.repeat((distances <= threshold[row]) & np.isfinite(distances), w)
        )


def test_weighted_folds_are_repetitions_and_an_empty_fold_is_undefined() -> None:
    rng = np.random.default_rng(3)
    distances, genuine, folds = rng.integers(0, 9, 60) / 4, rng.random(60) < 0.5, np.arange(60) % 3
    weights = rng.integers(0, 3, (4, 60))
    together = metrics.fold_accuracies(distances, genuine, folds, weights)
    for row, w in enumerate(weights):
        alone = metrics.fold_accuracies(*(np.repeat(values, w) for values in (distances, genuine, folds)))
        np.testing.assert_allclose(together[row], alone)
    emptied = metrics.fold_accuracies(distances, genuine, folds, np.where(folds == 1, 0, 1))
    np.testing.assert_array_equal(np.isnan(emptied), [False, True, False])


def test_standard_error_is_lfws() -> None:
    assert metrics.standard_error([0.9, 1.0, 0.8, 0.9]) == pytest.approx(math.sqrt(0.02 / 3) / 2)


# ------------------------------------------------------------------------------------------- bootstrap


def test_people_weights_are_of_people_drawn() -> None:
    people = ["ann", "bob", "cy"]
    a = [*people, "ann", "cy", "bob"]
    b = [*people, "bob", "ann", "cy"]
    weights = np.concatenate(list(metrics.people_weights(a, b, 50, seed=1)))
    ann, bob, cy = weights[:, :3].T  # a person with themself counts as often as the person was drawn
    np.testing.assert_array_equal(ann + bob + cy, np.full(50, 3))
    np.testing.assert_array_equal(weights[:, 3:], np.stack([ann * bob, cy * ann, bob * cy], axis=1))
    assert len({tuple(row) for row in weights}) > 3


def test_blocks_do_not_change_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = [1, 2, 3, 4], [1, 3, 3, 1]
    whole = np.concatenate(list(metrics.people_weights(a, b, 10, seed=5)))
    monkeypatch.setattr("facerec.metrics.intervals.BLOCK", 12)
    blocks = list(metrics.people_weights(a, b, 10, seed=5))
    assert [len(block) for block in blocks] == [3, 3, 3, 1]
    np.testing.assert_array_equal(np.concatenate(blocks), whole)


def spread_of_rate(person_a: np.ndarray, person_b: np.ndarray, wrong: np.ndarray) -> float:
    """Bootstrap standard deviation of the share of `wrong` comparisons."""

    def rate(weights: np.ndarray) -> np.ndarray:
        return ((weights * wrong).sum(axis=1) / weights.sum(axis=1))[:, None]

    return float(metrics.bootstrap(rate, person_a, person_b, 2000, seed=0).std())


def test_bootstrap_spread_is_that_of_independent_people() -> None:
    """A genuine pair each: binomial. Four equal ones each: people count, not pairs. Impostors apart: Owen's sqrt(3)."""
    wrong = np.random.default_rng(0).random(400) < 0.2
    binomial = math.sqrt(wrong.mean() * (1 - wrong.mean()) / 400)
    people = np.arange(400)
    assert spread_of_rate(people, people, wrong) == pytest.approx(binomial, rel=0.1)
    four = np.repeat(people, 4)
    assert spread_of_rate(four, four, np.repeat(wrong, 4)) == pytest.approx(binomial, rel=0.1)
    assert spread_of_rate(people, people + 400, wrong) == pytest.approx(math.sqrt(3) * binomial, rel=0.1)


def test_undefined_replicates_are_dropped() -> None:
    """Of two people drawn with replacement, half the draws have both: only then is there an impostor pair."""
    distances, genuine = [0.2, 0.3, 1.0], [True, True, False]
    values = metrics.bootstrap(
        lambda weights: metrics.auc(metrics.roc(distances, genuine, weights))[:, None],
        [1, 2, 1],
        [1, 2, 2],
        1000,
        seed=0,
    )
    assert 430 < len(values) < 570
    assert (values == 1).all()


def test_percentile_interval() -> None:
    assert metrics.percentile_interval(np.arange(1001)) == pytest.approx((25.0, 975.0))


# ------------------------------------------------------------------------------------------- all pairs


@pytest.mark.parametrize("n", [0, 1, 2, 9, 300])
def test_all_pairs_are_the_three_loops(n: int) -> None:
    rng = np.random.default_rng(n)
    vectors = rng.normal(size=(n, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[n // 2 :: 7] = vectors[: len(vectors[n // 2 :: 7])]  # some alike: no distance below 0
    people = rng.choice(["ann", "bob", "cy"], size=n)
    distances, genuine = metrics.all_pairs(vectors, people)
    expected, same = oracles.distances_of_all_pairs(vectors.tolist(), people.tolist())
    np.testing.assert_allclose(distances, expected, atol=2e-6)
    assert genuine.tolist() == same
    assert distances.dtype == np.float32
    assert not n or (distances >= 0).all()


@pytest.mark.real
def test_teachers_vectors_of_the_validation_people(shared_data: Path) -> None:
    """1,703 crops, 1.4 million pairs: the numbers are scikit-learn's, and as good as a face network's must be."""
    people = (shared_data / "splits" / "validation.txt").read_text().split()
    with np.load(shared_data / "teacher" / "sface.npz") as file:
        names, vectors = file["names"], file["embeddings"].astype(np.float32)
    folder = np.array([name.rpartition("/")[0] for name in names])
    chosen = np.isin(folder, people)
    distances, genuine = metrics.all_pairs(vectors[chosen], folder[chosen])
    curve = metrics.roc(distances, genuine)
    assert metrics.auc(curve) == pytest.approx(roc_auc_score(genuine, -distances), abs=1e-9)
    assert metrics.auc(curve) > 0.985
    threshold = float(metrics.threshold_at_fmr(curve, 1e-3))
    fmr, fnmr = metrics.error_rates(distances, genuine, threshold)
    assert int(fmr * (~genuine).sum() + 0.5) == (~genuine).sum() // 1000
    assert 1 - fnmr == metrics.tar_at_fmr(curve, 1e-3)
    assert 0.88 < 1 - fnmr < 0.97  # about 1 % of the photos are mislabelled
