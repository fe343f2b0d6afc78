"""Metrics of verification over distances: ROC, AUC, EER, TAR@FMR, accuracy, the LFW protocol.

Distances are squared Euclidean between unit vectors, 0..4; smaller is more alike. A comparison matches when
d <= threshold. A comparison that failed (no usable face in a photo) has d = +inf and matches at no threshold: it is a
false non-match if genuine, a true non-match if not; `evaluation.failures` leaves the latter out. Terms are those of
ISO/IEC 19795-1. A rate over nothing (for example FMR without impostors) is nan.

`weights` say how often each comparison counts (a bootstrap's repetitions): (N,), or (B, N) for B resamples at once.
Results then have the leading shape of the weights, () or (B,).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerec.types import Floats
from facerec.vectors import MAX_DISTANCE, squared_distances

Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False, slots=True)
class Roc:
    """How many comparisons match at each of U distinct finite distances.

    thresholds: (U + 1,) ascending, of the distances' dtype; the first is -inf, where nothing matches.
    false_matches, true_matches: (..., U + 1) impostor and genuine comparisons with d <= threshold.
    impostors, genuine: (...) all comparisons, failed ones included: with failures the curve ends short of (1, 1).
    """

    thresholds: NDArray[np.floating[Any]]
    false_matches: Floats
    true_matches: Floats
    impostors: Floats
    genuine: Floats

    @property
    def fmr(self) -> Floats:
        """False match rate at each threshold, 0..1."""
        return share(self.false_matches, self.impostors[..., None])

    @property
    def tar(self) -> Floats:
        """True accept rate at each threshold, 0..1; FNMR = 1 - TAR (against `fmr` that is the DET curve)."""
        return share(self.true_matches, self.genuine[..., None])


def roc(distances: ArrayLike, genuine: ArrayLike, weights: ArrayLike | None = None) -> Roc:
    """Sort once and count the matches at every threshold; equal distances share one point.

    All metrics of a curve start from this.

    distances: (N,) float, +inf where the comparison failed. genuine: (N,) bool. Raises ValueError on nan or unequal
    lengths.
    """
    d, same, w = _checked(distances, genuine, weights)
    order = np.argsort(d)
    d, same, w = d[order], same[order], w[..., order]
    last_of_ties = np.append(d[1:] != d[:-1], True)[: len(d)] & (d < np.inf)
    points = np.flatnonzero(last_of_ties)
    true, false = np.cumsum(w * same, axis=-1), np.cumsum(w * ~same, axis=-1)
    start = np.zeros((*w.shape[:-1], 1))
    return Roc(
        thresholds=np.concatenate([np.array([-np.inf], d.dtype), d[points]]),
        false_matches=np.concatenate([start, false[..., points]], axis=-1),
        true_matches=np.concatenate([start, true[..., points]], axis=-1),
        impostors=(w * ~same).sum(axis=-1),
        genuine=(w * same).sum(axis=-1),
    )


def auc(curve: Roc) -> Floats:
    """Area under the ROC: the chance that a genuine comparison is nearer than an impostor one, ties counting 1/2.

    The Mann-Whitney statistic, equal to scikit-learn's `roc_auc_score`. Failed comparisons are the farthest of all and
    tie with each other, so among themselves they count 1/2 (a straight line closes the curve to FMR = TAR = 1).
    """
    false, true = _closed(curve)
    area = (np.diff(false) * (true[..., 1:] + true[..., :-1])).sum(axis=-1) / 2
    return share(area, curve.impostors * curve.genuine)


def eer(curve: Roc) -> Floats:
    """Equal error rate: FMR where the ROC, its points joined by straight lines, crosses FMR = 1 - TAR.

    The line that closes the curve over failed comparisons is as in `auc`.
    """
    false, true = _closed(curve)
    fmr, tar = share(false, curve.impostors[..., None]), share(true, curve.genuine[..., None])
    gap = fmr + tar - 1  # from -1 up to 1
    after = (gap >= 0).argmax(axis=-1)
    before = np.maximum(after - 1, 0)
    below, above = _pick(gap, before), _pick(gap, after)
    return _pick(fmr, before) - share(below, above - below) * (_pick(fmr, after) - _pick(fmr, before))


def tar_at_fmr(curve: Roc, fmr: float) -> Floats:
    """TAR at the largest distance with at most floor(fmr * impostors) false matches; no interpolation.

    It rests on that many impostors: on 3 at an FMR of 1e-3 with 3,000 impostors. With fewer than 1 / fmr impostors, no
    false match is allowed.
    """
    tar = share(_pick(curve.true_matches, _last_allowed(curve, fmr)), curve.genuine)
    return np.where(curve.impostors > 0, tar, np.nan)


def threshold_at_fmr(curve: Roc, fmr: float) -> Floats:
    """The threshold of `tar_at_fmr`: the largest float, in the distances' own dtype, below the first impostor too many.

    MAX_DISTANCE where every comparison may match; nan without impostors. The float64 that is returned decides distances
    of either dtype as they should be; rounded to float32 it still decides float32 distances so.
    """
    below_next = np.nextafter(curve.thresholds[1:], curve.thresholds.dtype.type(-np.inf))
    threshold = np.append(below_next, _end(curve))[_last_allowed(curve, fmr)]
    return np.where(curve.impostors > 0, threshold, np.nan).astype(np.float64)


def det_points(curve: Roc, most: int = 100) -> Floats:
    """Up to `most` + 1 points (M, 3) of an unweighted curve: FMR, FNMR and the threshold, FMR ascending.

    The points are real steps of the curve, not interpolated. There is one for no false match, and one for each of
    several numbers of false matches, evenly spaced on a log axis (every number, if there are no more than `most`). Each
    has the largest threshold that allows no more false matches, as in `threshold_at_fmr`. (0, 3) without comparisons of
    both kinds.
    """
    total = int(curve.impostors)
    if not total or not curve.genuine:
        return np.empty((0, 3))
    spread = np.arange(total) if total <= most else np.geomspace(1, total, most).round()
    last = np.unique([_last_allowed(curve, count / total) for count in {0.0, *spread.tolist(), float(total)}])
    fmr, fnmr = curve.fmr[last], 1 - curve.tar[last]
    return np.stack([fmr, fnmr, [threshold_at_fmr(curve, rate) for rate in fmr]], axis=-1)


def error_rates(distances: ArrayLike, genuine: ArrayLike, threshold: float) -> tuple[float, float]:
    """(FMR, FNMR) of (N,) distances when d <= threshold matches; each nan without a comparison of its kind."""
    d, same, _ = _checked(distances, genuine, None)
    match = _matches(d, np.float64(threshold))
    false_matches, false_non_matches = (match & ~same).sum(), (~match & same).sum()
    return float(share(false_matches, (~same).sum())), float(share(false_non_matches, same.sum()))


def accuracy(
    distances: ArrayLike, genuine: ArrayLike, threshold: ArrayLike, weights: ArrayLike | None = None
) -> Floats:
    """Share of (N,) comparisons decided rightly when d <= threshold matches.

    threshold: (), or (B,) with one for each row of weights.
    """
    d, same, w = _checked(distances, genuine, weights)
    right = _matches(d, np.asarray(threshold, np.float64)[..., None]) == same
    return share((w * right).sum(axis=-1), w.sum(axis=-1))


def best_threshold(curve: Roc) -> Floats:
    """The distance that decides most comparisons rightly.

    Accuracy is constant between neighbouring distances, so the answer is the middle of the best interval. If several
    are equally good, it is the first of them, the strictest. The interval below the smallest distance begins at -1, the
    one above the largest ends at MAX_DISTANCE.
    """
    gain = curve.true_matches - curve.false_matches
    best = gain.max(axis=-1, keepdims=True)
    first = gain.argmax(axis=-1)
    worse_again = (gain < best) & (np.arange(gain.shape[-1]) > first[..., None])
    after = np.where(worse_again.any(axis=-1), worse_again.argmax(axis=-1), gain.shape[-1])
    edges = np.concatenate([[-1.0], curve.thresholds[1:], [_end(curve)]])
    low, high = edges[first], edges[after]
    middle = (low + high) / 2
    return np.where(middle < high, middle, low)  # between neighbouring floats the middle rounds, perhaps up


def fold_accuracies(
    distances: ArrayLike, genuine: ArrayLike, folds: ArrayLike, weights: ArrayLike | None = None
) -> Floats:
    """The LFW protocol (Huang et al. 2007): per fold, accuracy at the best threshold of all the other folds.

    folds: (N,) int, at least two different. Returns (..., F), folds ascending; nan for a fold of no weight.
    """
    d, same, w = _checked(distances, genuine, weights)
    folds = np.asarray(folds)
    names = np.unique(folds)
    if folds.shape != d.shape or len(names) < 2:
        raise ValueError(f"folds must name at least two folds, one per distance: {folds.shape}, {len(names)} different")

    def held_out(fold: Any) -> Floats:
        out = folds == fold
        threshold = best_threshold(roc(d[~out], same[~out], w[..., ~out]))
        return accuracy(d[out], same[out], threshold, w[..., out])

    return np.stack([held_out(fold) for fold in names], axis=-1)


def standard_error(values: ArrayLike) -> float:
    """Standard error of the mean of (F,) independent values: SD (ddof 1) / sqrt(F)."""
    values = np.asarray(values, np.float64)
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def all_pairs(vectors: NDArray[np.float32], people: ArrayLike) -> tuple[NDArray[np.float32], Bools]:
    """Distances (P,) float32 in 0..4 and whether genuine (P,), of all P = N (N - 1) / 2 pairs i < j, row by row.

    vectors: (N, D) unit float32 rows; people: (N,) names or numbers. Needs 5 bytes a pair and little more.
    """
    vectors = np.asarray(vectors, np.float32)
    _, codes = np.unique(np.asarray(people), return_inverse=True)
    n = len(vectors)
    distances, genuine = np.empty(n * (n - 1) // 2, np.float32), np.empty(n * (n - 1) // 2, np.bool_)
    end = 0
    for first in range(0, n, 256):
        block = squared_distances(vectors[first : first + 256], vectors[first:])  # (256, N - first)
        for row, found in enumerate(block):
            start, end = end, end + n - first - row - 1
            distances[start:end] = found[row + 1 :]
            genuine[start:end] = codes[first + row + 1 :] == codes[first + row]
    return distances, genuine


def _checked(
    distances: ArrayLike, genuine: ArrayLike, weights: ArrayLike | None
) -> tuple[NDArray[np.floating[Any]], Bools, Floats]:
    """The three as arrays of one length; float32 distances stay float32, all other numbers become float64."""
    d, same = np.asarray(distances), np.asarray(genuine, np.bool_)
    d = d if d.dtype == np.float32 else d.astype(np.float64)
    w = np.ones(d.shape) if weights is None else np.asarray(weights, np.float64)
    if d.ndim != 1 or same.shape != d.shape or w.shape[-1:] != d.shape:
        raise ValueError(f"one distance, label and weight per comparison, not {d.shape}, {same.shape}, {w.shape}")
    if np.isnan(d).any():
        raise ValueError("a distance is nan; a comparison that failed is +inf")
    return d, same, w


def _matches(d: NDArray[np.floating[Any]], threshold: Floats | np.float64) -> Bools:
    """d <= threshold, compared as float64; never for a failed comparison."""
    return (d.astype(np.float64) <= threshold) & (d < np.inf)


def share(part: Any, whole: Any) -> Floats:
    """part / whole, nan where whole is 0."""
    part, whole = np.broadcast_arrays(np.asarray(part, np.float64), np.asarray(whole, np.float64))
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole != 0)


def _closed(curve: Roc) -> tuple[Floats, Floats]:
    """False and true matches (..., U + 2) with a last point where everything, failures too, would match."""
    false = np.concatenate([curve.false_matches, curve.impostors[..., None]], axis=-1)
    return false, np.concatenate([curve.true_matches, curve.genuine[..., None]], axis=-1)


def _pick(values: Floats, index: NDArray[np.intp]) -> Floats:
    """values (..., U) at one index (...) per row."""
    return np.take_along_axis(values, index[..., None], axis=-1)[..., 0]


def _last_allowed(curve: Roc, fmr: float) -> NDArray[np.intp]:
    """Index (...) of the last point with at most floor(fmr * impostors) false matches; the first point has none."""
    allowed = np.floor(fmr * curve.impostors + 1e-9)  # 0.29 * 100 is 28.999999999999996
    return np.asarray((curve.false_matches <= allowed[..., None]).sum(axis=-1) - 1)


def _end(curve: Roc) -> float:
    """The distance at which all that can match does."""
    return max(MAX_DISTANCE, float(curve.thresholds[-1]))
