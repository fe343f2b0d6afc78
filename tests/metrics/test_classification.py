"""The classification half of facerec.metrics.roc against scikit-learn, scipy, and slow oracles."""

import math

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, roc_auc_score

from facerec import metrics

timeless = settings(deadline=None)  # a busy machine is no failure


@st.composite
def answers(draw: st.DrawFn, classes: int | None = None) -> tuple[list[int], list[list[float]]]:
    """Labels and probabilities, often tied; classes without photos among them."""
    width = draw(st.integers(1, 5)) if classes is None else classes
    value = st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(0, 1)
    rows = draw(st.lists(st.lists(value, min_size=width, max_size=width), min_size=1, max_size=20))
    labels = draw(st.lists(st.integers(0, width - 1), min_size=len(rows), max_size=len(rows)))
    return labels, rows


def made_up(count: int, classes: int, skill: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels (N,), each class among them, and the probabilities (N, C) of somebody who is often right."""
    rng = np.random.default_rng(count)
    y = np.arange(count) % classes
    z = np.exp(rng.normal(size=(count, classes)) + skill * np.eye(classes)[y])
    return y, z / z.sum(axis=1, keepdims=True)


# --------------------------------------------------------------------------------------------- point estimates


@timeless
@given(answers())
def test_auc_is_the_slow_one(case: tuple[list[int], list[list[float]]]) -> None:
    auc = metrics.class_auc(*case)
    assert isinstance(auc, float)
    assert auc == pytest.approx(oracles.class_auc_by_pairs(*case), nan_ok=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [2, 3, 7])
def test_auc_is_scikit_learn_s(classes: int, dtype: type) -> None:
    y, p = made_up(200, classes)
    expected = roc_auc_score(y, p[:, 1]) if classes == 2 else roc_auc_score(y, p, multi_class="ovr", average="macro")
    assert 0.6 < expected < 0.9
    assert metrics.class_auc(y, p.astype(dtype)) == pytest.approx(expected, abs=1e-6)


def test_auc_leaves_out_what_has_no_curve() -> None:
    y, p = made_up(60, 3)
    wider = np.insert(p, 1, 0.5, axis=1)  # a class of which there is no photo
    assert metrics.class_auc(y + (y > 0), wider) == pytest.approx(metrics.class_auc(y, p))
    assert math.isnan(metrics.class_auc([1, 1, 1], p[:3]))  # photos of one class only
    assert math.isnan(metrics.class_auc([0, 0], [[1.0], [1.0]]))
    assert math.isnan(metrics.class_auc([], np.zeros((0, 3))))


def test_auc_of_a_perfect_a_reversed_and_an_indifferent_judge() -> None:
    y = np.arange(12) % 3
    assert metrics.class_auc(y, np.eye(3)[y]) == 1
    assert metrics.class_auc(y, 1 - np.eye(3)[y]) == 0
    assert metrics.class_auc(y, np.full((12, 3), 1 / 3)) == 0.5


@timeless
@given(answers())
def test_accuracy_and_confusion_are_the_slow_ones(case: tuple[list[int], list[list[float]]]) -> None:
    labels, rows = case
    predicted = [row.index(max(row)) for row in rows]  # the first of equals
    assert metrics.class_accuracy(labels, rows) == pytest.approx(accuracy_score(labels, predicted))
    classes = len(rows[0])
    counts = metrics.confusion(labels, predicted, classes)
    assert counts.tolist() == oracles.confusion_by_loop(labels, predicted, classes)
    assert counts.dtype == np.int64


def test_nothing_to_judge() -> None:
    assert math.isnan(metrics.class_accuracy([], np.zeros((0, 3))))
    assert metrics.confusion([], [], 2).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("labels", "rows", "message"),
    [
        ([0, 1], [[0.5, 0.5]], r"one row of probabilities per label, not \(1, 2\) for \(2,\)"),
        ([0, 1], [0.5, 0.5], "one row of probabilities per label"),
        ([0], [[math.nan, 1]], "a probability is not finite"),
        ([0, 2], [[0.5, 0.5]] * 2, "labels from 0 to 1, not 0 to 2"),
        ([0, -1], [[0.5, 0.5]] * 2, "labels from 0 to 1, not -1 to 0"),
    ],
)
def test_callers_mistakes(labels: list[int], rows: list, message: str) -> None:
    for metric in (metrics.class_accuracy, metrics.class_auc):
        with pytest.raises(ValueError, match=message):
            metric(labels, rows)


# --------------------------------------------------------------------------------------------- intervals


@pytest.mark.parametrize("classes", [2, 3])
def test_a_resample_is_the_auc_of_photos_taken_so_often(classes: int) -> None:
    """The same draws, class by class, done slowly: photos are repeated and scikit-learn is asked."""
    y, p = made_up(31, classes)
    rng = np.random.default_rng(5)
    weights = np.zeros((20, 31), np.int64)
    for label in range(classes):
        count = int((y == label).sum())
        weights[:, y == label] = rng.multinomial(count, np.full(count, 1 / count), size=20)
    for row, auc in zip(weights, metrics.class_auc_bootstrap(y, p, 20, seed=5), strict=True):
        again, rows = np.repeat(y, row), np.repeat(p, row, axis=0)
        expected = roc_auc_score(again, rows[:, 1]) if classes == 2 else roc_auc_score(again, rows, multi_class="ovr")
        assert auc == pytest.approx(expected)


def test_the_seed_fixes_the_resamples_and_another_gives_others(monkeypatch: pytest.MonkeyPatch) -> None:
    y, p = made_up(40, 3)
    first = metrics.class_auc_bootstrap(y, p, 50, seed=0)
    assert np.array_equal(first, metrics.class_auc_bootstrap(y, p, 50, seed=0))
    assert not np.array_equal(first, metrics.class_auc_bootstrap(y, p, 50, seed=1))
    monkeypatch.setattr("facerec.metrics.intervals.BLOCK", 7 * 40)  # in blocks of 7 there are as many
    assert metrics.class_auc_bootstrap(y, p, 50, seed=0).shape == (50,)


def test_spread_of_the_resamples_is_delong_s_standard_error() -> None:
    """DeLong, DeLong and Clarke-Pearson 1988, from the placements of every photo."""
    y, p = made_up(400, 2)
    yes, no = p[y == 1, 1], p[y == 0, 1]
    wins = (yes[:, None] > no).astype(float)
    error = math.sqrt(wins.mean(axis=1).var(ddof=1) / len(yes) + wins.mean(axis=0).var(ddof=1) / len(no))
    drawn = metrics.class_auc_bootstrap(y, p, 2000, seed=0)
    assert drawn.std() == pytest.approx(error, rel=0.08)
    assert drawn.mean() == pytest.approx(metrics.class_auc(y, p), abs=error / 5)


def test_rare_classes_keep_their_photos_in_every_resample() -> None:
    y, p = made_up(30, 3)
    y[y == 2] = 0
    y[0] = 2  # one photo of the last class
    assert not np.isnan(metrics.class_auc_bootstrap(y, p, 200, seed=0)).any()


@pytest.mark.parametrize("whole", [1, 2, 7, 100])
def test_share_interval_is_clopper_and_pearson_s(whole: int) -> None:
    for part in range(whole + 1):
        exact = binomtest(part, whole).proportion_ci(0.95, "exact")
        assert metrics.share_interval(part, whole) == pytest.approx((exact.low, exact.high))
    narrow = binomtest(1, whole).proportion_ci(0.5, "exact")
    assert metrics.share_interval(1, whole, 0.5) == pytest.approx((narrow.low, narrow.high))
