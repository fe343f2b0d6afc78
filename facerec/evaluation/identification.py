"""Open-set identification (ISO/IEC 19795-1; NIST FRTE 1:N): who of the enrolled people a face is, or nobody.

Knows vectors, not detectors or models: the caller embeds the photos, `run_searches` searches, `summarise` reports, and
`by_group` does so for groups of searchers.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec import metrics
from facerec.decision.calibration import DEFAULT_FPIR, Calibration
from facerec.decision.decide import decide
from facerec.decision.population import calibrate_people
from facerec.decision.posterior import PRIOR, Posterior
from facerec.errors import DataError
from facerec.evaluation.reliability import reliability
from facerec.metrics.intervals import Floats, Nest, measured, share
from facerec.search.index import FlatIndex
from facerec.search.people import PeopleIndex
from facerec.types import Candidate, Decision, Threshold, Vectors

REPLICATES = 1000
"""Resamples of the searchers behind every interval."""
SEED = 0
"""Of the bootstrap: the same searches give the same intervals."""
FPIRS = {"0.1": 0.1, "0.01": 0.01, "0.003": 0.003}
"""The false positive identification rates at which FNIR is reported."""
RANKS = {"1": 1, "5": 5, "10": 10, "20": 20}
"""How many of the nearest people the cumulative match characteristic looks at."""

_OF_MATED: tuple[str, ...] = ("rank1_rate", "rank_k", "fnir_at_fpir", "fnir_at_gallery_threshold", "fnir_at_threshold")
_OF_OTHERS: tuple[str, ...] = ("fpir_at_gallery_threshold", "fpir_at_threshold")

FaceVector = NDArray[np.float32] | None  # (D,) of length 1; None: the photo has no usable face


@dataclass(frozen=True, eq=False, slots=True)
class Searches:
    """N searches, one per probe photo.

    searcher: who is on the photo. mated: (N,) bool, whether that person is among those to be enrolled.
    hit: (N,) bool, whether the nearest person is the searcher. distance: (N,) float32 to the nearest person, +inf where
    the photo has no usable face or nobody is enrolled. seconds: (S,) of each search that was made and timed.
    candidates: the nearest people of each, up to the last of RANKS, nearest first. people: enrolled, with a template.
    """

    searcher: tuple[str, ...]
    mated: NDArray[np.bool_]
    hit: NDArray[np.bool_]
    distance: NDArray[np.float32]
    seconds: NDArray[np.float64]
    candidates: tuple[tuple[Candidate, ...], ...] = ()
    people: int = 0

    @property
    def scores(self) -> NDArray[np.float32]:
        """(N,) distance at which each search errs or succeeds: +inf where a mated one has another person first.

        Against `mated` as the genuine ones a `metrics.roc` of these gives FPIR (its FMR) and 1 - FNIR (its TAR).
        """
        return np.where(self.mated & ~self.hit, np.float32(np.inf), self.distance)

    @property
    def rank(self) -> NDArray[np.int64]:
        """(N,) the searcher's place among the candidates, 1 for the nearest; 0 where they are not among them."""
        names = [[candidate.person for candidate in found] for found in self.candidates]
        pairs = zip(self.searcher, names, strict=True)
        return np.array([found.index(own) + 1 if own in found else 0 for own, found in pairs], np.int64)

    def decisions(self, threshold: Threshold) -> list[Decision]:
        """What a gallery of these people answers to each search."""
        return [decide(found, threshold, self.people) for found in self.candidates]

    def only(self, chosen: Sequence[int]) -> "Searches":
        """Those at these places, untimed."""
        places = np.asarray(chosen, np.intp)
        return Searches(
            tuple(self.searcher[i] for i in chosen),
            self.mated[places],
            self.hit[places],
            self.distance[places],
            np.zeros(0),
            tuple(self.candidates[i] for i in chosen),
            self.people,
        )


@dataclass(frozen=True, slots=True)
class IdentificationResult:
    """What `facerec evaluate identification` reports, less the model; the caller adds that to `to_json()`.

    people: to be enrolled, those whose photos all failed included: they stay mated, and their searches miss.
    templates: enrolled photos. failures_to_enrol: enrolment photos without a usable face. failures_to_acquire: probe
    photos without one: a mated search that misses, or a non-mated one that returns nobody.
    rank1_rate: share of the mated searches whose nearest person is the searcher, at any distance. rank_k: the same for
    the searcher among the k nearest people (cumulative match characteristic).
    fnir_at_fpir: FNIR (at rank 1) at the largest threshold with at most floor(FPIR * non-mated searches) false
    positives, which is `threshold_at_fpir`; None without searches of both kinds.
    fpir_at_gallery_threshold, fnir_at_gallery_threshold: of the final decisions at the given threshold: strangers who
    are named, and mated searches that do not end in the searcher's name; None where there is none, or no search of the
    kind.
    det: [FPIR, FNIR, threshold] along the DET curve (`metrics.det_points`); empty without searches of both kinds.
    search_ms_p50, search_ms_p99: milliseconds of a search, the embedding not counted.
    ci95: [low, high], a bootstrap over searchers (their searches are not independent; the gallery is never resampled)
    in which thresholds are chosen anew, and the rule of three over searchers where no search erred
    (`intervals.rule_of_three`); None where over half of the `replicates` lacked one kind of searches.
    """

    people: int
    templates: int
    mated_searches: int
    nonmated_searches: int
    failures_to_enrol: int
    failures_to_acquire: int
    rank1_rate: float | None
    rank_k: dict[str, float | None]
    fnir_at_fpir: dict[str, float | None]
    threshold_at_fpir: dict[str, float | None]
    fpir_at_gallery_threshold: float | None
    fnir_at_gallery_threshold: float | None
    det: list[list[float]]
    search_ms_p50: float | None
    search_ms_p99: float | None
    ci95: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The fields as a dict that `json.dumps` takes; no nan in it."""
        return asdict(self)


def run_searches(enrolled: Mapping[str, Sequence[FaceVector]], probes: Mapping[str, Sequence[FaceVector]]) -> Searches:
    """Search every probe among the enrolled people, each at the mean of their templates, one search at a time.

    enrolled, probes: person -> a row per photo. Raises DataError when not one enrolment photo has a face.
    """
    people = index_people(enrolled)
    if not people.names:
        raise DataError("not one enrolment photo has a usable face; give photos with clear, larger faces")
    found, seconds = [], []
    for row in (row for rows in probes.values() for row in rows):
        began = time.perf_counter()
        found.append([] if row is None else people.nearest(row[None].astype(np.float32), max(RANKS.values()))[0])
        if row is not None:
            seconds.append(time.perf_counter() - began)
    return _searches(enrolled, probes, found, len(people.names), np.array(seconds))


def search_all(enrolled: Mapping[str, Sequence[FaceVector]], probes: Mapping[str, Sequence[FaceVector]]) -> Searches:
    """The same in one go, untimed, and with nobody in the gallery where not one enrolment photo has a face."""
    people = index_people(enrolled)
    rows = [row for own in probes.values() for row in own]
    usable = [row for row in rows if row is not None]
    top = people.nearest(np.stack(usable).astype(np.float32), max(RANKS.values())) if people.names and usable else []
    made = iter(top)
    found = [next(made, []) if row is not None else [] for row in rows]
    return _searches(enrolled, probes, found, len(people.names), np.zeros(0))


def _searches(
    enrolled: Mapping[str, Sequence[FaceVector]],
    probes: Mapping[str, Sequence[FaceVector]],
    found: Sequence[Sequence[Candidate]],
    people: int,
    seconds: NDArray[np.float64],
) -> Searches:
    searchers = [person for person, rows in probes.items() for _ in rows]
    best = [candidates[0] if candidates else Candidate("", np.inf) for candidates in found]
    return Searches(
        searcher=tuple(searchers),
        mated=np.array([person in enrolled for person in searchers], np.bool_),
        hit=np.array([nearest.person == own for own, nearest in zip(searchers, best, strict=True)], np.bool_),
        distance=np.array([nearest.distance for nearest in best], np.float32),
        seconds=seconds,
        candidates=tuple(map(tuple, found)),
        people=people,
    )


def index_people(enrolled: Mapping[str, Sequence[FaceVector]]) -> PeopleIndex:
    """Everybody with a usable photo."""
    owners = [person for person, rows in enrolled.items() for row in rows if row is not None]
    if not owners:
        return PeopleIndex.nobody(1)
    vectors = np.stack([row for rows in enrolled.values() for row in rows if row is not None]).astype(np.float32)
    index, ids = FlatIndex(vectors.shape[1]), np.arange(len(vectors))
    index.add(ids, vectors)
    return PeopleIndex(index, ids, owners)


def gallery_threshold(
    enrolled: Mapping[str, Sequence[FaceVector]], strangers: Vectors, fallback: Threshold | None
) -> Threshold | None:
    """The threshold a gallery of these people would have: by (N, D) strangers, `fallback` where there are none."""
    made = gallery_calibration(enrolled, strangers)
    return fallback if made is None else made.threshold


def gallery_calibration(enrolled: Mapping[str, Sequence[FaceVector]], strangers: Vectors) -> Calibration | None:
    """What a gallery of these people makes of (N, D) strangers; None without either."""
    return calibrate_people(index_people(enrolled), strangers, DEFAULT_FPIR)


def identification(
    enrolled: Mapping[str, Sequence[FaceVector]],
    probes: Mapping[str, Sequence[FaceVector]],
    threshold: Threshold | None,
) -> IdentificationResult:
    """Search and report; probes of people who are not in `enrolled` are strangers'.

    threshold: the gallery's. Raises DataError without a probe, or when not one enrolment photo has a face.
    """
    return summarise(run_searches(enrolled, probes), enrolled, threshold)


def summarise(
    searches: Searches, enrolled: Mapping[str, Sequence[FaceVector]], threshold: Threshold | None
) -> IdentificationResult:
    """Report what `run_searches` found; DataError where there was nothing to search."""
    if not searches.searcher:
        raise DataError("there is no probe; give photos to search with")
    milliseconds = 1000 * searches.seconds
    p50, p99 = np.quantile(milliseconds, [0.5, 0.99]).tolist() if len(milliseconds) else (None, None)
    return IdentificationResult(
        people=len(enrolled),
        templates=sum(row is not None for rows in enrolled.values() for row in rows),
        failures_to_enrol=sum(row is None for rows in enrolled.values() for row in rows),
        det=metrics.det_points(metrics.roc(searches.scores, searches.mated)).tolist(),
        search_ms_p50=p50,
        search_ms_p99=p99,
        **_counts(searches),
        **_rates(searches, threshold, {}),
    )


def by_group(
    searches: Searches,
    groups: Sequence[str],
    threshold: Threshold | None,
    limits: Mapping[str, float | None],
    failed: Mapping[str, int] | None = None,
    posterior: Posterior | None = None,
) -> dict[str, dict[str, Any]]:
    """Figures of each group of searchers under its name, against the same gallery.

    groups: of each search. limits: thresholds all groups share, by name; to the figures of `IdentificationResult` come
    the counts of the group and FPIR and FNIR at these. For FNIR at a fixed FPIR every group chooses its own threshold,
    as along its DET curve. failed: enrolment photos without a usable face, by group; a group of nothing else has counts
    alone. posterior: for `probability_of` each group.
    """
    shared = {name: limit for name, limit in limits.items() if limit is not None}
    figures, failed = {}, failed or {}
    for group in sorted({*groups, *failed}):
        own = searches.only([i for i, name in enumerate(groups) if name == group])
        figures[group] = {
            "searchers": len(set(own.searcher)),
            "failures_to_enrol": failed.get(group, 0),
            **_counts(own),
        }
        if own.searcher:
            det = metrics.det_points(metrics.roc(own.scores, own.mated)).tolist()
            figures[group] |= _rates(own, threshold, shared) | {"det": det}
            figures[group] |= {} if posterior is None else {"probability": probability_of(own, posterior)}
    return figures


def probability_of(searches: Searches, posterior: Posterior) -> dict[str, Any] | None:
    """Does the probability that the nearest person is right come true? Of the searches that have a nearest person.

    They are weighed so that the share `prior` of them is mated. Returns `prior`, `brier` and `calibration_error` with
    their `ci95`, and `bins`, [mean stated, share that was right, share of the searches] of each bin that has any
    (`probability.reliability`); None without searches of both kinds.
    """
    known = searches.only(np.flatnonzero(np.isfinite(searches.distance)).tolist())
    if not known.mated.any() or known.mated.all():
        return None
    right = known.mated & known.hit
    stated = np.array([posterior(float(distance)) for distance in known.distance])
    whole = reliability(stated, right, known.mated, np.ones((1, len(stated))))
    bins = np.stack([whole[column][0] for column in ("stated", "true", "searches")], axis=1)

    def errors(weights: Floats) -> Nest:
        found = reliability(stated, right, known.mated, weights)
        return {name: found[name] for name in ("brier", "calibration_error")}

    values, ci95 = measured(errors, known.searcher, known.searcher, REPLICATES, SEED, {})
    return {"prior": PRIOR, **values, "ci95": ci95, "bins": bins[bins[:, 2] > 0].tolist()}


def fnir_at_fpir(searches: Searches, fpir: float, weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """FNIR (at rank 1) at the largest threshold with at most floor(fpir * non-mated searches) false positives.

    weights: how often each search counts, (N,) or (B, N); nan without searches of both kinds.
    """
    return 1 - metrics.tar_at_fmr(metrics.roc(searches.scores, searches.mated, weights), fpir)


def decided(searches: Searches, threshold: Threshold | None) -> tuple[Floats, Floats]:
    """Per search, (N,) each: 1 where the final decision names somebody, and where it names the searcher; nan without
    a threshold."""
    if threshold is None:
        return np.full(len(searches.mated), np.nan), np.full(len(searches.mated), np.nan)
    names = [decision.person for decision in searches.decisions(threshold)]
    right = [name == own for name, own in zip(names, searches.searcher, strict=True)]
    return np.array([name is not None for name in names], np.float64), np.array(right, np.float64)


def _counts(searches: Searches) -> dict[str, int]:
    return {
        "mated_searches": int(searches.mated.sum()),
        "nonmated_searches": int((~searches.mated).sum()),
        "failures_to_acquire": sum(not found for found in searches.candidates),
    }


def _rates(searches: Searches, threshold: Threshold | None, shared: Mapping[str, float]) -> dict[str, Any]:
    """All rates and, under ci95, their intervals."""
    named, right = decided(searches, threshold)
    rank = searches.rank
    among = {name: (rank > 0) & (rank <= k) for name, k in RANKS.items()}

    within = {name: searches.scores <= np.float64(limit) for name, limit in shared.items()}

    def statistics(weights: Floats) -> Nest:
        mated, others = weights * searches.mated, weights * ~searches.mated  # (B, N)
        return {
            "rank1_rate": share(mated, searches.hit),
            "rank_k": {name: share(mated, near) for name, near in among.items()},
            **_at_fpirs(searches, weights),
            "fpir_at_gallery_threshold": share(others, named),
            "fnir_at_gallery_threshold": 1 - share(mated, right),
            **({"fpir_at_threshold": {name: share(others, near) for name, near in within.items()}} if within else {}),
            **(
                {"fnir_at_threshold": {name: 1 - share(mated, near) for name, near in within.items()}} if within else {}
            ),
        }

    over: dict[str, NDArray[np.bool_]] = dict.fromkeys(_OF_MATED, searches.mated)
    over |= dict.fromkeys(_OF_OTHERS, ~searches.mated)
    values, ci95 = measured(statistics, searches.searcher, searches.searcher, REPLICATES, SEED, over)
    return {**values, "ci95": {**ci95, "replicates": REPLICATES}}


def _at_fpirs(searches: Searches, weights: Floats) -> Nest:
    """FNIR and threshold at each of FPIRS, (B,) each; nan without searches of both kinds."""
    curve = metrics.roc(searches.scores, searches.mated, weights)
    both = (curve.impostors > 0) & (curve.genuine > 0)
    fnirs = {name: 1 - metrics.tar_at_fmr(curve, fpir) for name, fpir in FPIRS.items()}
    limits = {name: metrics.threshold_at_fmr(curve, fpir) for name, fpir in FPIRS.items()}
    return {
        "fnir_at_fpir": {name: np.where(both, column, np.nan) for name, column in fnirs.items()},
        "threshold_at_fpir": {name: np.where(both, column, np.nan) for name, column in limits.items()},
    }
