"""Open-set identification (ISO/IEC 19795-1; NIST FRTE 1:N): who of the enrolled people a face is, or nobody.

Knows vectors, not detectors or models: the caller embeds the photos, `run_searches` searches, `identification` reports.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec import metrics
from facerec.calibrate import DEFAULT_FPIR, calibrate
from facerec.errors import DataError
from facerec.index import FlatIndex, PeopleIndex
from facerec.types import Candidate, Threshold, Vectors

REPLICATES = 1000
"""Resamples of the searchers behind every interval."""
SEED = 0
"""Of the bootstrap: the same searches give the same intervals."""
FPIRS = {"0.1": 0.1, "0.01": 0.01, "0.003": 0.003}
"""The false positive identification rates at which FNIR is reported."""

Row = NDArray[np.float32] | None  # (D,) of length 1; None: the photo has no usable face


@dataclass(frozen=True, eq=False, slots=True)
class Searches:
    """N searches, one per probe photo.

    searcher: who is on the photo. mated: (N,) bool, whether that person is among those to be enrolled.
    hit: (N,) bool, whether the nearest person is the searcher. distance: (N,) float32 to the nearest person, +inf where
    the photo has no usable face or nobody is enrolled. seconds: (S,) of each search that was made.
    """

    searcher: tuple[str, ...]
    mated: NDArray[np.bool_]
    hit: NDArray[np.bool_]
    distance: NDArray[np.float32]
    seconds: NDArray[np.float64]

    @property
    def scores(self) -> NDArray[np.float32]:
        """(N,) distance at which each search errs or succeeds: +inf where a mated one has another person first.

        Against `mated` as the genuine ones a `metrics.roc` of these gives FPIR (its FMR) and 1 - FNIR (its TAR).
        """
        return np.where(self.mated & ~self.hit, np.float32(np.inf), self.distance)


@dataclass(frozen=True, slots=True)
class IdentificationResult:
    """What `facerec evaluate identification` reports, less the model; the caller adds that to `to_json()`.

    people: to be enrolled, those whose photos all failed included: they stay mated, and their searches miss.
    templates: enrolled photos. failures_to_enrol: enrolment photos without a usable face. failures_to_acquire: probe
    photos without one: a mated search that misses, or a non-mated one that returns nobody.
    rank1_rate: share of the mated searches whose nearest person is the searcher, at any distance.
    fnir_at_fpir: FNIR (at rank 1) at the largest threshold with at most floor(FPIR * non-mated searches) false
    positives, which is `threshold_at_fpir`; None without searches of both kinds.
    fpir_at_gallery_threshold, fnir_at_gallery_threshold: at the given threshold; None where there is none, or no search
    of the kind.
    search_ms_p50, search_ms_p99: milliseconds of a search, the embedding not counted.
    ci95: [low, high], a bootstrap over searchers (their searches are not independent; the gallery is never resampled)
    in which thresholds are chosen anew; None where over half of the `replicates` lacked one kind of searches.
    """

    people: int
    templates: int
    mated_searches: int
    nonmated_searches: int
    failures_to_enrol: int
    failures_to_acquire: int
    rank1_rate: float | None
    fnir_at_fpir: dict[str, float | None]
    threshold_at_fpir: dict[str, float | None]
    fpir_at_gallery_threshold: float | None
    fnir_at_gallery_threshold: float | None
    search_ms_p50: float | None
    search_ms_p99: float | None
    ci95: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The fields as a dict that `json.dumps` takes; no nan in it."""
        return asdict(self)


def run_searches(enrolled: Mapping[str, Sequence[Row]], probes: Mapping[str, Sequence[Row]]) -> Searches:
    """Search every probe among the enrolled people, each at the mean of their templates, one search at a time.

    enrolled, probes: person -> a row per photo. Raises DataError when not one enrolment photo has a face.
    """
    people = index_people(enrolled)
    owned = [(person, row) for person, rows in probes.items() for row in rows]
    found, seconds = [], []
    for _, row in owned:
        began = time.perf_counter()
        found.append(_nearest(people, row))
        if row is not None:
            seconds.append(time.perf_counter() - began)
    return Searches(
        searcher=tuple(person for person, _ in owned),
        mated=np.array([person in enrolled for person, _ in owned], np.bool_),
        hit=np.array([best.person == own for (own, _), best in zip(owned, found, strict=True)], np.bool_),
        distance=np.array([best.distance for best in found], np.float32),
        seconds=np.array(seconds),
    )


def index_people(enrolled: Mapping[str, Sequence[Row]]) -> PeopleIndex:
    """Everybody with a usable photo; DataError where that is nobody."""
    owners = [person for person, rows in enrolled.items() for row in rows if row is not None]
    if not owners:
        raise DataError("not one enrolment photo has a usable face; give photos with clear, larger faces")
    vectors = np.stack([row for rows in enrolled.values() for row in rows if row is not None]).astype(np.float32)
    index, ids = FlatIndex(vectors.shape[1]), np.arange(len(vectors))
    index.add(ids, vectors)
    return PeopleIndex(index, ids, owners)


def _nearest(people: PeopleIndex, row: Row) -> Candidate:
    if row is None:
        return Candidate("", np.inf)
    vectors: Vectors = row[None].astype(np.float32)  # (1, D)
    return people.nearest(vectors, 1)[0][0]


def gallery_threshold(
    enrolled: Mapping[str, Sequence[Row]], strangers: Vectors, fallback: Threshold | None
) -> Threshold | None:
    """The threshold a gallery of these people would have: by (N, D) strangers, `fallback` where there are none."""
    people = index_people(enrolled)
    nearest = [found[0].distance for found in people.nearest(strangers, 1)] if len(strangers) else []
    made = calibrate(np.array(nearest, np.float32), DEFAULT_FPIR, len(people.names))
    return fallback if made is None else made.threshold


def identification(
    enrolled: Mapping[str, Sequence[Row]], probes: Mapping[str, Sequence[Row]], threshold: Threshold | None
) -> IdentificationResult:
    """Search and report; probes of people who are not in `enrolled` are strangers'.

    threshold: the gallery's. Raises DataError without a probe, or when not one enrolment photo has a face.
    """
    searches = run_searches(enrolled, probes)
    if not searches.searcher:
        raise DataError("there is no probe; give photos to search with")
    fnirs, limits, rank1, *at_threshold = _statistics(searches, threshold, np.ones((1, len(searches.mated))))
    milliseconds = 1000 * searches.seconds
    p50, p99 = np.quantile(milliseconds, [0.5, 0.99]).tolist() if len(milliseconds) else (None, None)
    return IdentificationResult(
        people=len(enrolled),
        templates=sum(row is not None for rows in enrolled.values() for row in rows),
        mated_searches=int(searches.mated.sum()),
        nonmated_searches=int((~searches.mated).sum()),
        failures_to_enrol=sum(row is None for rows in enrolled.values() for row in rows),
        failures_to_acquire=sum(row is None for rows in probes.values() for row in rows),
        rank1_rate=_or_none(rank1[0]),
        fnir_at_fpir={name: _or_none(value) for name, value in zip(FPIRS, fnirs[0], strict=True)},
        threshold_at_fpir={name: _or_none(value) for name, value in zip(FPIRS, limits[0], strict=True)},
        fpir_at_gallery_threshold=_or_none(at_threshold[0][0]),
        fnir_at_gallery_threshold=_or_none(at_threshold[1][0]),
        search_ms_p50=p50,
        search_ms_p99=p99,
        ci95=_intervals(searches, threshold),
    )


def fnir_at_fpir(searches: Searches, fpir: float, weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """FNIR (at rank 1) at the largest threshold with at most floor(fpir * non-mated searches) false positives.

    weights: how often each search counts, (N,) or (B, N); nan without searches of both kinds.
    """
    return 1 - metrics.tar_at_fmr(metrics.roc(searches.scores, searches.mated, weights), fpir)


def _statistics(
    searches: Searches, threshold: Threshold | None, weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], ...]:
    """(B, N) weights -> FNIRs (B, F) and thresholds (B, F) at FPIRS; rank-1 rate, FPIR and FNIR at threshold (B,)."""
    curve = metrics.roc(searches.scores, searches.mated, weights)
    both = (curve.impostors > 0) & (curve.genuine > 0)
    fnirs = np.stack([1 - metrics.tar_at_fmr(curve, fpir) for fpir in FPIRS.values()], axis=-1)
    limits = np.stack([metrics.threshold_at_fmr(curve, fpir) for fpir in FPIRS.values()], axis=-1)
    mated, others = weights * searches.mated, weights * ~searches.mated  # (B, N)
    within = np.full(len(searches.mated), np.nan)
    if threshold is not None:
        within = (searches.scores <= np.float64(threshold.distance)).astype(np.float64)
    shares = _weighted(mated, searches.hit), _weighted(others, within), 1 - _weighted(mated, within)
    return np.where(both[:, None], fnirs, np.nan), np.where(both[:, None], limits, np.nan), *shares


def _weighted(weights: NDArray[np.float64], values: NDArray[Any]) -> NDArray[np.float64]:
    """The mean of (N,) values under each of (B, N) weights, nan where all are 0."""
    whole = weights.sum(axis=1)
    return np.divide((weights * values).sum(axis=1), whole, out=np.full(len(whole), np.nan), where=whole > 0)


def _intervals(searches: Searches, threshold: Threshold | None) -> dict[str, Any]:
    """95 % intervals of all statistics; each is over the replicates in which it is defined."""
    blocks = metrics.people_weights(searches.searcher, searches.searcher, REPLICATES, SEED)
    columns = [_statistics(searches, threshold, weights) for weights in blocks]
    fnirs, limits, *shares = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    names = ("rank1_rate", "fpir_at_gallery_threshold", "fnir_at_gallery_threshold")
    return {
        "fnir_at_fpir": {name: _interval(column) for name, column in zip(FPIRS, fnirs.T, strict=True)},
        "threshold_at_fpir": {name: _interval(column) for name, column in zip(FPIRS, limits.T, strict=True)},
        **{name: _interval(values) for name, values in zip(names, shares, strict=True)},
        "replicates": REPLICATES,
    }


def _interval(values: NDArray[np.float64]) -> list[float] | None:
    usable = values[~np.isnan(values)]
    return list(metrics.percentile_interval(usable)) if 2 * len(usable) >= REPLICATES else None


def _or_none(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)
