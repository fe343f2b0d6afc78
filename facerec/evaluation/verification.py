"""Protocols: what is compared with what, and what is reported. Knows vectors, not detectors or models.

LFW-style verification: `read_pairs` names photos, the caller embeds `Pairs.photos`, `verification` compares and
reports, and `by_group` does so for groups of people.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec import metrics
from facerec.datasets.groups import NO_GROUP
from facerec.datasets.pairs import Pairs, person_of
from facerec.metrics.intervals import Floats, Nest, independent, measured, rule_of_three, share, value
from facerec.vectors import are_unit, lengths, paired_distances

REPLICATES = 1000
"""Resamples of the people behind every interval."""
SEED = 0
"""Of the bootstrap: the same pairs and vectors give the same intervals."""
FMRS = {"1e-2": 1e-2, "1e-3": 1e-3}
"""The false match rates at which TAR is reported."""

ACROSS = "across groups"
"""What pairs of two groups are reported as."""


@dataclass(frozen=True, slots=True)
class VerificationResult:
    """What `facerec evaluate verification` reports, less model and time; the caller adds those to `to_json()`.

    failures_to_enrol: pairs with a photo that has no usable face; they count as comparisons that match at no threshold.
    auc, eer, tar_at_fmr: over all pairs; None without both genuine and impostor pairs.
    accuracy_mean, accuracy_se: LFW protocol, mean and SD (ddof 1) / sqrt(folds). Without folds the first is the
    accuracy at the best threshold for these very pairs, which is optimistic, and the second None.
    ci95: for auc, accuracy_mean, eer and each of tar_at_fmr [low, high], a bootstrap over people (a photo's folder; a
    photo without a folder is a person of its own) in which thresholds are chosen anew; but for auc, where no pair was
    judged wrongly, the rule of three over people (`intervals.rule_of_three`). None where over half of its `replicates`
    were `dropped` because they held no genuine or no impostor pair (or none in some fold at all).
    """

    pairs: int
    genuine: int
    impostor: int
    failures_to_enrol: int
    auc: float | None
    accuracy_mean: float | None
    accuracy_se: float | None
    eer: float | None
    tar_at_fmr: dict[str, float | None]
    ci95: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The fields as a dict that `json.dumps` takes; no nan in it."""
        return asdict(self)


def verification(pairs: Pairs, vectors: Mapping[str, NDArray[np.float32] | None]) -> VerificationResult:
    """Compare the two photos of every pair.

    vectors: for each of `pairs.photos` a unit vector (D,), or None where the photo has no usable face.
    Raises KeyError for a photo that is not in `vectors`, ValueError for a vector that is not of unit length.
    """
    distances = pair_distances(pairs, vectors)
    point = _statistics(distances, pairs, np.ones((1, len(distances))))[0]
    named = _named(point.tolist() if not np.isnan(point).any() else [None] * len(point))
    folds = None
    if pairs.fold is not None and named["auc"] is not None:
        folds = metrics.fold_accuracies(distances, pairs.same, pairs.fold)
    return VerificationResult(
        pairs=len(distances),
        genuine=int(pairs.same.sum()),
        impostor=int((~pairs.same).sum()),
        failures_to_enrol=int(np.isinf(distances).sum()),
        accuracy_se=None if folds is None else metrics.standard_error(folds),
        ci95=_intervals(distances, pairs, point),
        **named,
    )


def pair_distances(pairs: Pairs, vectors: Mapping[str, NDArray[np.float32] | None]) -> NDArray[np.float32]:
    """Squared distance (N,) float32 of every pair, +inf where a photo has no vector. Raises as `verification` does."""
    known = {photo: vector for photo in pairs.photos if (vector := vectors[photo]) is not None}
    distances = np.full(len(pairs.a), np.inf, np.float32)
    if not known:
        return distances
    rows = np.stack(list(known.values())).astype(np.float32)  # (photos with a face, D)
    if not are_unit(rows):
        found = lengths(rows)
        raise ValueError(f"vectors must have length 1, not {found.min():.4g} to {found.max():.4g}")
    place = {photo: row for row, photo in enumerate(known)}
    whole = [i for i, (a, b) in enumerate(zip(pairs.a, pairs.b, strict=True)) if a in place and b in place]
    a, b = rows[[place[pairs.a[i]] for i in whole]], rows[[place[pairs.b[i]] for i in whole]]  # (whole pairs, D)
    distances[whole] = paired_distances(a, b)
    return distances


def thresholds_at_fmr(distances: NDArray[np.float32], pairs: Pairs) -> dict[str, float]:
    """The distances at which FMR over all (N,) pairs is each of FMRS (`metrics.threshold_at_fmr`); none without any."""
    curve = metrics.roc(distances, pairs.same)
    return {name: float(metrics.threshold_at_fmr(curve, fmr)) for name, fmr in FMRS.items() if curve.impostors}


def at_thresholds(
    distances: NDArray[np.float32], same: NDArray[np.bool_], thresholds: Mapping[str, float]
) -> dict[str, dict[str, float | None]]:
    """FMR and FNMR of (N,) pairs at thresholds, under their names."""
    rates = {name: metrics.error_rates(distances, same, limit) for name, limit in thresholds.items()}
    return {
        "fmr_at_threshold": {name: value(fmr) for name, (fmr, _) in rates.items()},
        "fnmr_at_threshold": {name: value(fnmr) for name, (_, fnmr) in rates.items()},
    }


def pair_groups(pairs: Pairs, groups: Mapping[str, str]) -> list[str]:
    """The group of each pair: of both its photos, ACROSS where they differ, NO_GROUP where one of them has none.

    groups: of each of `pairs.photos`.
    """
    both = [(groups[a], groups[b]) for a, b in zip(pairs.a, pairs.b, strict=True)]
    return [NO_GROUP if NO_GROUP in names else names[0] if names[0] == names[1] else ACROSS for names in both]


def by_group(
    distances: NDArray[np.float32], pairs: Pairs, groups: Sequence[str], thresholds: Mapping[str, float]
) -> dict[str, dict[str, Any]]:
    """Counts, rates and, under ci95, intervals of the pairs of each group under its name.

    groups: of each of the N pairs. thresholds: shared by all groups, by name, for FMR and FNMR. AUC, EER and TAR at a
    fixed FMR are as if the group were alone, its own threshold chosen; accuracy is at the thresholds of the protocol,
    which all pairs choose.
    """
    right = _rightly_decided(distances, pairs)
    figures = {}
    for group in sorted(set(groups)):
        chosen = np.array([i for i, name in enumerate(groups) if name == group])
        figures[group] = _group_figures(distances[chosen], right[chosen], _only(pairs, chosen), thresholds)
    return figures


def _only(pairs: Pairs, chosen: NDArray[np.intp]) -> Pairs:
    a, b = (tuple(side[i] for i in chosen) for side in (pairs.a, pairs.b))
    return Pairs(a, b, pairs.same[chosen], None)


def _group_figures(
    distances: NDArray[np.float32], right: NDArray[np.bool_], pairs: Pairs, thresholds: Mapping[str, float]
) -> dict[str, Any]:
    within = {name: distances <= np.float64(limit) for name, limit in thresholds.items()}

    def statistics(weights: Floats) -> Nest:
        curve = metrics.roc(distances, pairs.same, weights)
        both = (curve.genuine > 0) & (curve.impostors > 0)
        genuine, impostor = weights * pairs.same, weights * ~pairs.same  # (B, N)
        return {
            "auc": metrics.auc(curve),
            "accuracy": share(weights, right),
            "eer": np.where(both, metrics.eer(curve), np.nan),
            "tar_at_fmr": {name: metrics.tar_at_fmr(curve, fmr) for name, fmr in FMRS.items()},
            "fmr_at_threshold": {name: share(impostor, match) for name, match in within.items()},
            "fnmr_at_threshold": {name: 1 - share(genuine, match) for name, match in within.items()},
        }

    people = [person_of(photo) for photo in pairs.a], [person_of(photo) for photo in pairs.b]
    over = {"accuracy": np.ones(len(distances), np.bool_), "tar_at_fmr": pairs.same}
    over |= {"fnmr_at_threshold": pairs.same, "fmr_at_threshold": ~pairs.same}
    values, ci95 = measured(statistics, *people, REPLICATES, SEED, over)
    counts = {
        "people": len({*people[0], *people[1]}),
        "pairs": len(distances),
        "genuine": int(pairs.same.sum()),
        "impostor": int((~pairs.same).sum()),
        "failures_to_enrol": int(np.isinf(distances).sum()),
    }
    return {**counts, **values, "ci95": {**ci95, "replicates": REPLICATES}}


def _rightly_decided(distances: NDArray[np.float32], pairs: Pairs) -> NDArray[np.bool_]:
    """(N,) at the threshold of the accuracy reported: of the other folds, or without folds of all pairs."""
    folds = np.zeros(len(distances), np.int64) if pairs.fold is None else pairs.fold
    right = np.zeros(len(distances), np.bool_)
    for fold in np.unique(folds):
        out = folds == fold
        chosen = ~out if pairs.fold is not None else out
        limit = metrics.best_threshold(metrics.roc(distances[chosen], pairs.same[chosen]))
        right[out] = (distances[out] <= limit) == pairs.same[out]
    return right


def _statistics(distances: NDArray[np.float32], pairs: Pairs, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(B, N) weights -> (B, S): auc, accuracy_mean, eer, TAR at each of FMRS; nan where undefined."""
    curve = metrics.roc(distances, pairs.same, weights)
    if pairs.fold is None:
        accuracy = metrics.accuracy(distances, pairs.same, metrics.best_threshold(curve), weights)
    else:
        accuracy = metrics.fold_accuracies(distances, pairs.same, pairs.fold, weights).mean(axis=-1)
    tars = [metrics.tar_at_fmr(curve, fmr) for fmr in FMRS.values()]
    return np.stack([metrics.auc(curve), accuracy, metrics.eer(curve), *tars], axis=-1)


def _named(values: Sequence[Any]) -> dict[str, Any]:
    """The S values of `_statistics` under their names."""
    auc, accuracy, eer, *tars = values
    return {"auc": auc, "accuracy_mean": accuracy, "eer": eer, "tar_at_fmr": dict(zip(FMRS, tars, strict=True))}


def _intervals(distances: NDArray[np.float32], pairs: Pairs, point: Floats) -> dict[str, Any]:
    """95 % intervals of all statistics, (S,) their values, with the number of replicates and of those dropped."""
    people = [person_of(photo) for photo in pairs.a], [person_of(photo) for photo in pairs.b]
    values = metrics.bootstrap(lambda weights: _statistics(distances, pairs, weights), *people, REPLICATES, SEED)
    enough = 2 * len(values) >= REPLICATES
    drawn = [list(metrics.percentile_interval(column)) if enough else None for column in values.T]
    kinds = (np.ones(len(distances), np.bool_), pairs.same, ~pairs.same)
    every, genuine, impostor = (independent(kind, *people) for kind in kinds)
    trials = [0, every, min(genuine, impostor), *([genuine] * len(FMRS))]  # AUC is no share of anything
    ends = [rule_of_three(*each) for each in zip(point.tolist(), drawn, trials, strict=True)]
    return {**_named(ends), "replicates": REPLICATES, "dropped": REPLICATES - len(values)}
