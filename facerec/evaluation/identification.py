"""Open-set identification (ISO/IEC 19795-1; NIST FRTE 1:N): which enrolled person a face belongs to, or none.

Knows vectors, not detectors or models. The caller embeds the photos, `run_searches` searches, `summarise` reports.
`by_group` reports on groups of searchers.
"""

import itertools
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
from facerec.evaluation.failures import counted
from facerec.evaluation.reliability import reliability
from facerec.metrics.intervals import Nest, Tally, measured, rates, tally
from facerec.search.people import PeopleIndex
from facerec.types import Candidate, Decision, Floats, Threshold, Vectors

REPLICATES = 1000
"""Resamples of the searchers behind every interval."""
SEED = 0
"""Seed of the bootstrap: the same searches give the same intervals."""
FPIRS = {"0.1": 0.1, "0.01": 0.01, "0.003": 0.003}
"""The false positive identification rates at which FNIR is reported."""
RANKS = {"1": 1, "5": 5, "10": 10, "20": 20}
"""How many of the nearest people the cumulative match characteristic looks at."""

FaceVector = NDArray[np.float32] | None  # (D,) of length 1; None: the photo has no usable face


@dataclass(frozen=True, eq=False, slots=True)
class Searches:
    """N searches, one per probe photo.

    searcher: who is on the photo. mated: (N,) bool, whether that person is among those to be enrolled.
    hit: (N,) bool, whether the nearest person is the searcher. distance: (N,) float32 to the nearest person, +inf where
    the photo has no usable face or nobody is enrolled. seconds: (S,) the time of each search that was timed.
    candidates: the nearest people of each search, nearest first, as many as the largest of RANKS. people: how many are
    enrolled with a template. faceless: the positions of the photos without a usable face.
    """

    searcher: tuple[str, ...]
    mated: NDArray[np.bool_]
    hit: NDArray[np.bool_]
    distance: NDArray[np.float32]
    seconds: NDArray[np.float64]
    candidates: tuple[tuple[Candidate, ...], ...] = ()
    people: int = 0
    faceless: frozenset[int] = frozenset()

    @property
    def nonmated(self) -> NDArray[np.bool_]:
        """(N,) the strangers' searches that rates are about. Without a face nobody is searched for."""
        return self.counted & ~self.mated

    @property
    def counted(self) -> NDArray[np.bool_]:
        """(N,) the searches that rates are about (`failures.counted`)."""
        usable = np.ones(len(self.mated), np.bool_)
        usable[list(self.faceless)] = False
        return counted(self.mated, usable)

    @property
    def scores(self) -> NDArray[np.float32]:
        """(N,) the smallest threshold at which a search names the person it should, or for strangers anybody.

        +inf where a mated search has another person first. `metrics.roc` of these, with `mated` as genuine, gives FPIR
        (its FMR) and 1 - FNIR (its TAR).
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
        """The searches at these positions, without their times."""
        places = np.asarray(chosen, np.intp)
        return Searches(
            tuple(self.searcher[i] for i in chosen),
            self.mated[places],
            self.hit[places],
            self.distance[places],
            np.zeros(0),
            tuple(self.candidates[i] for i in chosen),
            self.people,
            frozenset(place for place, i in enumerate(chosen) if int(i) in self.faceless),
        )


@dataclass(frozen=True, slots=True)
class IdentificationResult:
    """What `facerec evaluate identification` reports, less the model; the caller adds that to `to_json()`.

    people: those to be enrolled, also those whose photos all failed: they stay mated, and their searches miss.
    templates: enrolled photos.
    failures_to_enrol: enrollment photos without a usable face.
    failures_to_acquire: probe photos without one. A mated search is then a miss.
    failures_to_acquire_nonmated: how many of these are strangers'. `nonmated_searches` counts them, rates do not.
    skipped: photos that are missing or unreadable; they are in no other figure.
    rank1_rate: share of the mated searches whose nearest person is the searcher, at any distance.
    rank_k: the same for the searcher among the k nearest people (cumulative match characteristic).
    fnir_at_fpir: FNIR (at rank 1) at the largest threshold with at most floor(FPIR * non-mated searches) false
        positives, which is `threshold_at_fpir`; None without searches of both kinds.
    fpir_at_gallery_threshold, fnir_at_gallery_threshold: of the final decisions at the given threshold: strangers who
        are named, and mated searches that do not end in the searcher's name; None where there is none, or no search of
        the kind.
    det: [FPIR, FNIR, threshold] along the DET curve (`metrics.det_points`); empty without searches of both kinds.
    search_ms_p50, search_ms_p99: milliseconds of a search, the embedding not counted.
    ci95: [low, high] over searchers (their searches are not independent; the gallery is never resampled): a bootstrap
        in which thresholds are chosen anew, and for rates the rule for few errors (`metrics.intervals`). None where
        over half of the `replicates` lacked one kind of searches.
    """

    people: int
    templates: int
    mated_searches: int
    nonmated_searches: int
    failures_to_enrol: int
    failures_to_acquire: int
    failures_to_acquire_nonmated: int
    skipped: int
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

    enrolled, probes: person -> a row per photo. Raises DataError when not one enrollment photo has a face.
    """
    people = index_people(enrolled)
    if not people.names:
        raise DataError("not one enrollment photo has a usable face; give photos with clear, larger faces")
    found, seconds = [], []
    for row in (row for rows in probes.values() for row in rows):
        began = time.perf_counter()
        found.append([] if row is None else people.nearest(row[None].astype(np.float32), max(RANKS.values()))[0])
        if row is not None:
            seconds.append(time.perf_counter() - began)
    return _searches(enrolled, probes, found, len(people.names), np.array(seconds))


def search_all(enrolled: Mapping[str, Sequence[FaceVector]], probes: Mapping[str, Sequence[FaceVector]]) -> Searches:
    """As `run_searches`, but all searches at once and untimed; not one enrollment photo needs to have a face."""
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
        faceless=frozenset(i for i, row in enumerate(itertools.chain(*probes.values())) if row is None),
    )


def index_people(enrolled: Mapping[str, Sequence[FaceVector]]) -> PeopleIndex:
    """The index of everybody who has a usable photo."""
    owners = [person for person, rows in enrolled.items() for row in rows if row is not None]
    if not owners:
        return PeopleIndex.nobody(1)
    vectors = np.stack([row for rows in enrolled.values() for row in rows if row is not None]).astype(np.float32)
    return PeopleIndex(np.arange(len(vectors)), owners, vectors)


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

    threshold: the gallery's. Raises DataError without a probe, or when not one enrollment photo has a face.
    """
    return summarise(run_searches(enrolled, probes), enrolled, threshold)


def summarise(
    searches: Searches, enrolled: Mapping[str, Sequence[FaceVector]], threshold: Threshold | None, skipped: int = 0
) -> IdentificationResult:
    """Report what `run_searches` found, `skipped` photos left out; DataError where there was nothing to search."""
    if not searches.searcher:
        raise DataError("there is no probe; give photos to search with")
    milliseconds = 1000 * searches.seconds
    p50, p99 = np.quantile(milliseconds, [0.5, 0.99]).tolist() if len(milliseconds) else (None, None)
    return IdentificationResult(
        people=len(enrolled),
        templates=sum(row is not None for rows in enrolled.values() for row in rows),
        failures_to_enrol=sum(row is None for rows in enrolled.values() for row in rows),
        skipped=skipped,
        det=metrics.det_points(_curve(searches)).tolist(),
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
    """The figures of each group of searchers under its name, against the same gallery.

    groups: (N,) the group of each search. limits: thresholds that all groups share, by name. The figures are those of
    `IdentificationResult`, the counts of the group, and FPIR and FNIR at the limits. For FNIR at a fixed FPIR, and
    along its DET curve, every group chooses its own threshold. failed: number of enrollment photos without a usable
    face, by group; a group without searches has counts alone. posterior: where given, `probability_of` each group is
    added.
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
            det = metrics.det_points(_curve(own)).tolist()
            figures[group] |= _rates(own, threshold, shared) | {"det": det}
            figures[group] |= {} if posterior is None else {"probability": probability_of(own, posterior)}
    return figures


def probability_of(searches: Searches, posterior: Posterior) -> dict[str, Any] | None:
    """Does the stated probability that the nearest person is right come true?

    Counts the searches that have a nearest person, weighed so that the share `prior` of them is mated. Returns `prior`,
    `brier` and `calibration_error` with their `ci95`, and `bins`: [mean stated, share that was right, share of the
    searches] of each bin with searches (`reliability.reliability`). None without searches of both kinds.
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
    return 1 - metrics.tar_at_fmr(_curve(searches, weights), fpir)


def _curve(searches: Searches, weights: NDArray[np.float64] | None = None) -> metrics.Roc:
    """FPIR and 1 - FNIR at every threshold, of the searches that rates are about."""
    return metrics.roc(searches.scores, searches.mated, searches.counted * (1.0 if weights is None else weights))


def fnir_tally(searches: Searches, fpir: float) -> Tally:
    """Of `fnir_at_fpir`: the mated searches that miss at its threshold; of none without searches of both kinds."""
    limit = metrics.threshold_at_fmr(_curve(searches), fpir)
    return tally(searches.mated & ~np.isnan(limit), ~(searches.scores <= limit))


def decided(searches: Searches, threshold: Threshold | None) -> tuple[Floats, Floats]:
    """(N,) and (N,): 1 where the final decision names anybody, and 1 where it names the searcher, else 0.

    All nan without a threshold.
    """
    if threshold is None:
        return np.full(len(searches.mated), np.nan), np.full(len(searches.mated), np.nan)
    names = [decision.person for decision in searches.decisions(threshold)]
    right = [name == own for name, own in zip(names, searches.searcher, strict=True)]
    return np.array([name is not None for name in names], np.float64), np.array(right, np.float64)


def _counts(searches: Searches) -> dict[str, int]:
    return {
        "mated_searches": int(searches.mated.sum()),
        "nonmated_searches": int((~searches.mated).sum()),
        "failures_to_acquire": len(searches.faceless),
        "failures_to_acquire_nonmated": int((~searches.counted).sum()),
    }


def _rates(searches: Searches, threshold: Threshold | None, shared: Mapping[str, float]) -> dict[str, Any]:
    """All rates and, under ci95, their intervals. shared: `limits` of `by_group` that are known."""
    ranks, decisions = _rank_tallies(searches), _decision_tallies(searches, threshold, shared)

    def statistics(weights: Floats) -> Nest:
        return {**rates(ranks, weights), **_at_fpirs(searches, weights), **rates(decisions, weights)}

    at_fpirs = {name: fnir_tally(searches, fpir) for name, fpir in FPIRS.items()}
    tallies = {**ranks, "fnir_at_fpir": at_fpirs, **decisions}
    values, ci95 = measured(statistics, searches.searcher, searches.searcher, REPLICATES, SEED, tallies)
    return {**values, "ci95": {**ci95, "replicates": REPLICATES}}


def _rank_tallies(searches: Searches) -> Nest:
    """Of the rates at which the mated searches find their person, at any distance."""
    rank = searches.rank
    among = {name: tally(searches.mated, (rank > 0) & (rank <= k)) for name, k in RANKS.items()}
    return {"rank1_rate": tally(searches.mated, searches.hit), "rank_k": among}


def _decision_tallies(searches: Searches, threshold: Threshold | None, shared: Mapping[str, float]) -> Nest:
    """Of FPIR and FNIR by the decisions at the gallery's threshold, and at the shared limits where there are any."""
    named, right = decided(searches, threshold)
    found = {
        "fpir_at_gallery_threshold": tally(searches.nonmated, named),
        "fnir_at_gallery_threshold": tally(searches.mated, 1 - right),
    }
    if not shared:
        return found
    within = {name: searches.scores <= np.float64(limit) for name, limit in shared.items()}
    return {
        **found,
        "fpir_at_threshold": {name: tally(searches.nonmated, near) for name, near in within.items()},
        "fnir_at_threshold": {name: tally(searches.mated, ~near) for name, near in within.items()},
    }


def _at_fpirs(searches: Searches, weights: Floats) -> Nest:
    """FNIR and threshold at each of FPIRS, (B,) each; nan without searches of both kinds."""
    curve = _curve(searches, weights)
    both = (curve.impostors > 0) & (curve.genuine > 0)
    fnirs = {name: 1 - metrics.tar_at_fmr(curve, fpir) for name, fpir in FPIRS.items()}
    limits = {name: metrics.threshold_at_fmr(curve, fpir) for name, fpir in FPIRS.items()}
    return {
        "fnir_at_fpir": {name: np.where(both, column, np.nan) for name, column in fnirs.items()},
        "threshold_at_fpir": {name: np.where(both, column, np.nan) for name, column in limits.items()},
    }
