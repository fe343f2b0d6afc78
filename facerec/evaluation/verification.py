"""The verification protocol, in the style of LFW: are two photos of one person? Knows vectors, not models.

`read_pairs` names the photos, the caller embeds `Pairs.photos`, `verification` compares and reports. `by_group` reports
on groups of people.
"""

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec import metrics
from facerec.datasets.groups import NO_GROUP
from facerec.datasets.pairs import Pairs, person_of
from facerec.evaluation.failures import counted
from facerec.metrics.intervals import Nest, Tally, bounded, independent, measured, rates, tally, value
from facerec.types import Floats
from facerec.vectors import are_unit, lengths, paired_distances

REPLICATES = 1000
"""Resamples of the people behind every interval."""
SEED = 0
"""Seed of the bootstrap: the same pairs and vectors give the same intervals."""
FMRS = {"1e-2": 1e-2, "1e-3": 1e-3}
"""The false match rates at which TAR is reported."""

ACROSS = "across groups"
"""The name under which pairs of two groups are reported."""


@dataclass(frozen=True, slots=True)
class VerificationResult:
    """What `facerec evaluate verification` reports, less model and time; the caller adds those to `to_json()`.

    pairs, genuine, impostor: all pairs that could be compared or failed; `skipped` are not among them.
    failures_to_enrol: pairs with a photo that has no usable face. A genuine one is a miss at every threshold.
    failures_to_enrol_impostor: how many of these are impostor pairs. They are left out of every rate.
    skipped: pairs with a photo that is missing or unreadable; they are in no other figure.
    auc, eer, tar_at_fmr: over all pairs; None without both genuine and impostor pairs.
    accuracy_mean, accuracy_se: the LFW protocol's mean and SD (ddof 1) / sqrt(folds). Without folds, accuracy_mean is
        the accuracy at the best threshold for these very pairs, which is optimistic, and accuracy_se is None.
    ci95: [low, high] of auc, accuracy_mean, eer and each of tar_at_fmr, over people (a photo's folder; a photo without
        a folder is a person of its own): a bootstrap in which thresholds are chosen anew and, for all but auc, the rule
        for few errors (`metrics.intervals`). None where over half of the `replicates` were `dropped`, because they held
        no genuine or no impostor pair, or a fold without any pair.
    """

    pairs: int
    genuine: int
    impostor: int
    failures_to_enrol: int
    failures_to_enrol_impostor: int
    skipped: int
    auc: float | None
    accuracy_mean: float | None
    accuracy_se: float | None
    eer: float | None
    tar_at_fmr: dict[str, float | None]
    ci95: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The fields as a dict that `json.dumps` takes; no nan in it."""
        return asdict(self)


def verification(
    pairs: Pairs, vectors: Mapping[str, NDArray[np.float32] | None], skipped: int = 0
) -> VerificationResult:
    """Compare the two photos of every pair.

    vectors: for each of `pairs.photos` a unit vector (D,), or None where the photo has no usable face. skipped: pairs
    that were left out before (`with_photos`).
    Raises KeyError for a photo that is not in `vectors`, ValueError for a vector that is not of unit length.
    """
    whole = pair_distances(pairs, vectors)
    kept, distances = compared(pairs, whole)
    point = _statistics(distances, kept, np.ones((1, len(distances))))[0]
    named = _named(point.tolist() if not np.isnan(point).any() else [None] * len(point))
    folds = None
    if kept.fold is not None and named["auc"] is not None:
        folds = metrics.fold_accuracies(distances, kept.same, kept.fold)
    return VerificationResult(
        **_counts(pairs, whole),
        skipped=skipped,
        accuracy_se=None if folds is None else metrics.standard_error(folds),
        ci95=_intervals(distances, kept),
        **named,
    )


def with_photos(pairs: Pairs, photos: Collection[str]) -> tuple[Pairs, int]:
    """The pairs both of whose photos are among `photos`, and how many others there are."""
    kept = np.array([a in photos and b in photos for a, b in zip(pairs.a, pairs.b, strict=True)], np.bool_)
    return _only(pairs, np.flatnonzero(kept)), int((~kept).sum())


def compared(pairs: Pairs, distances: NDArray[np.float32]) -> tuple[Pairs, NDArray[np.float32]]:
    """The pairs that rates are about, and their distances, of N `pair_distances`: all but failed impostor pairs."""
    chosen = np.flatnonzero(counted(pairs.same, np.isfinite(distances)))
    return _only(pairs, chosen), distances[chosen]


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
    """The distances at which FMR over all (N,) pairs is each of FMRS (`metrics.threshold_at_fmr`).

    Empty without impostor pairs.
    """
    kept, near = compared(pairs, distances)
    curve = metrics.roc(near, kept.same)
    return {name: float(metrics.threshold_at_fmr(curve, fmr)) for name, fmr in FMRS.items() if curve.impostors}


def at_thresholds(
    distances: NDArray[np.float32], same: NDArray[np.bool_], thresholds: Mapping[str, float]
) -> dict[str, dict[str, float | None]]:
    """FMR and FNMR of (N,) pairs at each of the thresholds, under their names."""
    kept = counted(same, np.isfinite(distances))
    rates = {name: metrics.error_rates(distances[kept], same[kept], limit) for name, limit in thresholds.items()}
    return {
        "fmr_at_threshold": {name: value(fmr) for name, (fmr, _) in rates.items()},
        "fnmr_at_threshold": {name: value(fnmr) for name, (_, fnmr) in rates.items()},
    }


def pair_groups(pairs: Pairs, groups: Mapping[str, str]) -> list[str]:
    """The group of each pair: that of both photos, ACROSS where they differ, NO_GROUP where either photo has none.

    groups: photo -> group, for each of `pairs.photos`.
    """
    both = [(groups[a], groups[b]) for a, b in zip(pairs.a, pairs.b, strict=True)]
    return [NO_GROUP if NO_GROUP in names else names[0] if names[0] == names[1] else ACROSS for names in both]


def by_group(
    distances: NDArray[np.float32], pairs: Pairs, groups: Sequence[str], thresholds: Mapping[str, float]
) -> dict[str, dict[str, Any]]:
    """Counts, rates and, under ci95, intervals of the pairs of each group under its name.

    groups: (N,) the group of each pair. thresholds: shared by all groups, by name, for FMR and FNMR. AUC, EER and TAR
    at a fixed FMR are those of the group alone, at thresholds of its own. Accuracy is at the thresholds of the
    protocol, which all pairs choose.
    """
    kept = counted(pairs.same, np.isfinite(distances))
    right = np.zeros(len(distances), np.bool_)
    right[kept] = _rightly_decided(distances[kept], _only(pairs, np.flatnonzero(kept)))
    figures = {}
    for group in sorted(set(groups)):
        own = np.array([name == group for name in groups])
        chosen, rated = np.flatnonzero(own), np.flatnonzero(own & kept)
        counts = _counts(_only(pairs, chosen), distances[chosen])
        rates = _group_figures(distances[rated], right[rated], _only(pairs, rated), thresholds)
        figures[group] = {"people": len({*itertools.chain(*_people(_only(pairs, chosen)))}), **counts, **rates}
    return figures


def _counts(pairs: Pairs, distances: NDArray[np.float32]) -> dict[str, int]:
    failed = np.isinf(distances)
    return {
        "pairs": len(distances),
        "genuine": int(pairs.same.sum()),
        "impostor": int((~pairs.same).sum()),
        "failures_to_enrol": int(failed.sum()),
        "failures_to_enrol_impostor": int((failed & ~pairs.same).sum()),
    }


def _only(pairs: Pairs, chosen: NDArray[np.intp]) -> Pairs:
    """The pairs at these positions; without folds where fewer than two folds are left."""
    a, b = (tuple(side[i] for i in chosen) for side in (pairs.a, pairs.b))
    fold = None if pairs.fold is None or len(np.unique(pairs.fold[chosen])) < 2 else pairs.fold[chosen]
    return Pairs(a, b, pairs.same[chosen], fold)


def _group_figures(
    distances: NDArray[np.float32], right: NDArray[np.bool_], pairs: Pairs, thresholds: Mapping[str, float]
) -> dict[str, Any]:
    within = {name: distances <= np.float64(limit) for name, limit in thresholds.items()}
    accuracy = tally(np.ones(len(distances), np.bool_), right)
    at_limits = {
        "fmr_at_threshold": {name: tally(~pairs.same, match) for name, match in within.items()},
        "fnmr_at_threshold": {name: tally(pairs.same, ~match) for name, match in within.items()},
    }

    def statistics(weights: Floats) -> Nest:
        curve = metrics.roc(distances, pairs.same, weights)
        both = (curve.genuine > 0) & (curve.impostors > 0)
        return {
            "auc": metrics.auc(curve),
            "accuracy": accuracy.rate(weights),
            "eer": np.where(both, metrics.eer(curve), np.nan),
            "tar_at_fmr": {name: metrics.tar_at_fmr(curve, fmr) for name, fmr in FMRS.items()},
            **rates(at_limits, weights),
        }

    people = _people(pairs)
    tallies = {"accuracy": accuracy, "eer": _eer_tally(pairs), "tar_at_fmr": _tar_tallies(distances, pairs)}
    values, ci95 = measured(statistics, *people, REPLICATES, SEED, tallies | at_limits)
    return {**values, "ci95": {**ci95, "replicates": REPLICATES}}


def _rightly_decided(distances: NDArray[np.float32], pairs: Pairs) -> NDArray[np.bool_]:
    """(N,) bool, at the threshold that the reported accuracy uses: the other folds' best, or without folds all
    pairs'."""
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


def _intervals(distances: NDArray[np.float32], pairs: Pairs) -> dict[str, Any]:
    """95 % intervals of all statistics, with the number of replicates and of those dropped."""
    people = _people(pairs)
    values = metrics.bootstrap(lambda weights: _statistics(distances, pairs, weights), *people, REPLICATES, SEED)
    ends: list[list[float] | None] = [None] * values.shape[1]
    if 2 * len(values) >= REPLICATES:
        drawn = [list(metrics.percentile_interval(column)) for column in values.T]
        tars = _tar_tallies(distances, pairs).values()
        tallies = [None, _accuracy_tally(distances, pairs), _eer_tally(pairs), *tars]  # AUC is no rate
        ends = [bounded(end, found, *people) for end, found in zip(drawn, tallies, strict=True)]
    return {**_named(ends), "replicates": REPLICATES, "dropped": REPLICATES - len(values)}


def _people(pairs: Pairs) -> tuple[list[str], list[str]]:
    """(N,) and (N,) who is on either photo of each pair."""
    return [person_of(photo) for photo in pairs.a], [person_of(photo) for photo in pairs.b]


def _accuracy_tally(distances: NDArray[np.float32], pairs: Pairs) -> Tally:
    """Of the mean accuracy of the folds, which count alike whatever their number of pairs."""
    found = tally(np.ones(len(distances), np.bool_), _rightly_decided(distances, pairs))
    if pairs.fold is None:
        return found
    sizes = np.unique(pairs.fold, return_inverse=True, return_counts=True)[1:]
    weight = 1 / sizes[1][sizes[0]]
    return Tally(found.chosen, found.errors * weight, found.rest * weight)


def _tar_tallies(distances: NDArray[np.float32], pairs: Pairs) -> dict[str, Tally]:
    """Of TAR at each of FMRS: the genuine pairs that match at its threshold; of none without impostor pairs."""
    curve = metrics.roc(distances, pairs.same)
    limits = {name: metrics.threshold_at_fmr(curve, fmr) for name, fmr in FMRS.items()}
    return {name: tally(pairs.same & ~np.isnan(limit), distances <= limit) for name, limit in limits.items()}


def _eer_tally(pairs: Pairs) -> Tally:
    """EER is no share of pairs; it is bounded as a rate of no error over the kind of pairs that has fewer people."""
    fewer = min((pairs.same, ~pairs.same), key=lambda kind: independent(kind, *_people(pairs)))
    return Tally(fewer, np.zeros(len(fewer)), np.zeros(len(fewer)))
