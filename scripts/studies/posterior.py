"""Does the probability that the nearest person is right come true? Several gallery sizes and priors.

    .venv/bin/python -m scripts.studies posterior MODEL --data ../shared/data
    .venv/bin/python -m scripts.studies posterior MODEL --data ../shared/data --people test --sizes 10 40 100
    .venv/bin/python -m scripts.studies posterior MODEL --data ../shared/data --people lfw --sizes 10 40 400 1000

So many people, drawn at random, are enrolled with 1, 2 or 4 photos each, 5 draws of each. Their other photos are
searched, and all photos of everybody else (of LFW, one). To stand for galleries larger than there are people, 100,
400 or 1,000 of the model's strangers are enrolled beside ten people; the rest of the strangers then sets the
threshold. The searches of every kind of gallery are weighed so that half of them, or the stated prior, are by people
enrolled.

One half of the validation people (drawn by seed) chooses among ways to make a probability: each is fitted on 20 of
them and judged on the other 20, and the other way round. The way in use (logistic, of the distance and the gallery's
threshold for FPIR 1 %) is then fitted on that half and reported on the other half. `ship_model.py` fits it likewise
on all of them; the test people and LFW are judged by what the model's card states. The last table has the bins of the
reliability diagram over all galleries (--plot FILE.svg draws it).

Cllr: log loss in bits where half is mated (Brümmer & du Preez 2006, Computer Speech & Language 20); a coin has 1.
Brier score and calibration error: see `facerec.evaluation.reliability`. 95 % intervals: people resampled. A
calibration error is never below 0, so its interval does not reach 0 however good the model is.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec.decision.calibration import DEFAULT_FPIR
from facerec.decision.population import calibrate_people
from facerec.decision.posterior import PRIOR, Posterior
from facerec.evaluation.identification import index_people
from facerec.evaluation.reliability import at_prior, balanced, bin_of, reliability
from facerec.evaluation.report.plots import reliability_figure
from facerec.inference.loading import load_embedder
from facerec.metrics.intervals import Tally
from facerec.models.card import COEFFICIENTS
from facerec.models.cohort import load_cohort
from facerec.types import Floats, Vectors
from facerec.vectors import squared_distances
from scripts.studies.people import Rows, add_options, people_of, resamples
from scripts.studies.tables import Counted, Table, shown, study_parser

SIZES = (5, 10, 20, 40)  # people in the galleries it is fitted on
PHOTOS = (1, 2, 4)
DRAWS, REPLICATES, SEED = 5, 400, 0
TOGETHER = 25  # replicates worked out at once
FEW = 10  # people that strangers are enrolled beside
FITTED_BESIDE, BESIDE = (100, 400), (100, 400, 1000)  # of the model's strangers
PRIORS = (0.1, 0.9)


@dataclass(frozen=True, eq=False, slots=True)
class Found:
    """(N,) each, one of every search.

    distance: to the nearest person. reference: the gallery's threshold for FPIR 1 %. size: people in it. photos: each
    is enrolled with. mated: whether the searcher is in it. right: whether the nearest person is the searcher. searcher.
    """

    distance: Floats
    reference: Floats
    size: Floats
    photos: Floats
    mated: NDArray[np.bool_]
    right: NDArray[np.bool_]
    searcher: NDArray[np.str_]


Probability = Callable[[Found], Floats]


# ------------------------------------------------------------------------------------------------- searching


def search(
    rows: Rows, size: int, photos: int, cohort: Vectors, beside: int, seed: int, most: int | None = None
) -> Found:
    """One draw: `size` of these people enrolled, and the first of a permutation of the cohort beside them.

    most: photos of a stranger that are searched, unless all.
    """
    rng = np.random.default_rng((SEED, size, photos, beside, seed))
    people, order = sorted(rows), rng.permutation(len(cohort))
    chosen = {people[i] for i in rng.permutation(len(people))[:size]}
    gallery: Rows = {f"stranger {i}": [cohort[i]] for i in order[:beside]}
    probes: list[tuple[str, NDArray[np.float32]]] = []
    for person in people:
        own = [rows[person][i] for i in rng.permutation(len(rows[person]))]
        gallery |= {person: own[:photos]} if person in chosen else {}
        probes += [(person, row) for row in (own[photos:] if person in chosen else own[:most])]
    return _found(gallery, probes, cohort[order[beside:]], photos)


def _found(gallery: Rows, probes: list[tuple[str, Any]], strangers: Vectors, photos: int) -> Found:
    people = index_people(gallery)
    made = calibrate_people(people, strangers, DEFAULT_FPIR)
    assert made is not None, "the model has no cohort"
    assert made.within, "the model has too small a cohort"
    distance, place = nearest(people.means, np.stack([row for _, row in probes]))
    searcher, count = np.array([person for person, _ in probes]), len(probes)
    return Found(
        distance.astype(np.float64),
        np.full(count, made.distance),
        np.full(count, float(len(people.names))),
        np.full(count, float(photos)),
        np.isin(searcher, people.names),
        np.array(people.names)[place] == searcher,
        searcher,
    )


def nearest(means: Vectors, rows: Vectors) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """(N,) squared distances of rows to the nearest of (P, D) means, and which of them it is."""
    distances = squared_distances(rows, means)
    return distances.min(axis=1), distances.argmin(axis=1)


def joined(parts: Sequence[Found]) -> Found:
    """All searches as one."""
    return Found(*(np.concatenate([getattr(part, name) for part in parts]) for name in Found.__slots__))


def searched(
    rows: Rows, sizes: Sequence[int], cohort: Vectors, photos: Sequence[int] = PHOTOS, beside: int = 0,
    most: int | None = None,
) -> Found:  # fmt: skip
    """The searches of all draws of galleries of these sizes."""
    drawn = [(size, each, seed) for size in sizes for each in photos for seed in range(DRAWS)]
    return joined([search(rows, size, each, cohort, beside, seed, most) for size, each, seed in drawn])


def evened(found: Found) -> Floats:
    """(N,) weights that sum to 1: the same for every kind of gallery, and within it PRIOR for the mated searches."""
    kinds = found.size + found.photos / 100
    weights = np.zeros(len(kinds))
    for kind in np.unique(kinds):
        weights += balanced((kinds == kind)[None].astype(np.float64), found.mated)[0]
    return weights / weights.sum()


# --------------------------------------------------------------------------------------------------- fitting


def fit(rows: Rows, cohort: Vectors) -> dict[str, float]:
    """COEFFICIENTS for the card, fitted on galleries of these people; with the prior and the counts."""
    found = to_fit(rows, cohort)
    parts = _logistic(found, np.stack((found.distance, found.reference), axis=1))
    counts = {"prior": PRIOR, "people": len(rows), "searches": len(found.mated)}
    return dict(zip(COEFFICIENTS, parts.tolist(), strict=True)) | counts


def to_fit(rows: Rows, cohort: Vectors) -> Found:
    """The searches to fit on: in galleries of few people, and of many."""
    alone = searched(rows, [size for size in SIZES if size < len(rows)], cohort)
    return joined([alone, *(searched(rows, [FEW], cohort, beside=beside) for beside in FITTED_BESIDE)])


def _logistic(found: Found, columns: Floats) -> Floats:
    """The coefficients of the columns, and the intercept."""
    from sklearn.linear_model import LogisticRegression

    weights = evened(found) * len(found.mated)
    model = LogisticRegression(C=1e6, max_iter=1000).fit(columns, found.right, sample_weight=weights)
    return np.append(model.coef_[0], model.intercept_)


def stated(facts: dict[str, float]) -> Probability:
    """The probability that a gallery with these coefficients states."""

    def of(found: Found) -> Floats:
        slope, of_threshold, intercept = (facts[name] for name in COEFFICIENTS)
        made = [Posterior(slope, of_threshold, intercept, float(t)) for t in found.reference]
        return np.array([each(float(d)) for each, d in zip(made, found.distance, strict=True)])

    return of


def _by(columns: Callable[[Found], Sequence[Floats]]) -> Callable[[Found], Probability]:
    def fitted(found: Found) -> Probability:
        *slopes, intercept = _logistic(found, np.stack(columns(found), axis=1))
        return lambda other: 1 / (1 + np.exp(-(np.stack(columns(other), axis=1) @ np.array(slopes) + intercept)))

    return fitted


def _isotonic(found: Found) -> Probability:
    from sklearn.isotonic import IsotonicRegression

    model = IsotonicRegression(increasing=False, out_of_bounds="clip", y_min=0.001, y_max=0.999)
    model.fit(found.distance - found.reference, found.right, sample_weight=evened(found))
    return lambda other: model.predict(other.distance - other.reference)


WAYS: dict[str, Callable[[Found], Probability]] = {
    "logistic, distance": _by(lambda f: (f.distance,)),
    "logistic, distance and log of the gallery's size": _by(lambda f: (f.distance, np.log(f.size))),
    "logistic, distance less the threshold": _by(lambda f: (f.distance - f.reference,)),
    "logistic, distance and threshold (used)": _by(lambda f: (f.distance, f.reference)),
    "logistic, distance, its square and threshold": _by(lambda f: (f.distance, np.square(f.distance), f.reference)),
    "isotonic, distance less the threshold": _isotonic,
}


# ------------------------------------------------------------------------------------------------- reporting


def errors(probability: Floats, found: Found, prior: float = PRIOR) -> dict[str, Floats]:
    """Figure -> (1 + REPLICATES,), as measured, then with people resampled; shifted to `prior` first."""
    said = np.clip(probability, 1e-6, 1 - 1e-6)
    people, place = np.unique(found.searcher, return_inverse=True)
    every = resamples(len(people), REPLICATES, SEED)
    bits = -np.log2(np.where(found.right, said, 1 - said))
    blocks = []
    for start in range(0, len(every), TOGETHER):
        weights = every[start : start + TOGETHER, place]
        made = reliability(at_prior(said, prior), found.right, found.mated, weights, prior)
        blocks.append({"cllr": balanced(weights, found.mated) @ bits, **made})
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def right_in(number: int, said: Floats, found: Found) -> Counted:
    """What the share that was right in a bin counts: its searches, weighed as `reliability` weighs them."""
    weight = balanced(np.ones((1, len(said))), found.mated)[0] * (bin_of(said) == number)
    return Counted(Tally(weight > 0, weight * found.right, weight * ~found.right), found.searcher, found.searcher)


def report(name: str, probability: Probability, found: Found, prior: float = PRIOR) -> list[str]:
    """One row of the table."""
    made = errors(probability(found), found, prior)
    said, came = (np.nansum(made["searches"][0] * made[column][0]) for column in ("stated", "true"))
    cells = [name, f"{100 * prior:g}", f"{100 * said:.1f}", f"{100 * came:.1f}"]
    return [*cells, shown(made["calibration_error"], 100, 2), shown(made["brier"], 1, 4), shown(made["cllr"], 1, 3)]


HEAD = ("gallery", "prior, %", "stated on average, %", "right, %", "calibration error, %", "Brier score", "Cllr, bits")


def compare(rows: Rows, cohort: Vectors, file: Path | None) -> None:
    """Judge the ways on one half of these people, each fitted on the other."""
    few, many = "5 or 10 people", "10 people and 400 strangers"
    head = [f"{gallery}: {figure}" for gallery in (few, many) for figure in ("Cllr, bits", "calibration error, %")]
    table = Table(("way", *head), file, "ways")
    halves = halved(rows, 1)
    alone = [searched(half, SIZES[:2], cohort) for half in halves]
    beside = [searched(half, [FEW], cohort, beside=400) for half in halves]
    made_of = [to_fit(half, cohort) for half in halves]
    for name, way in WAYS.items():
        fitted = [way(each) for each in made_of]
        cells = [name]
        for judged in (alone, beside):
            values = np.concatenate([fitted[1](judged[0]), fitted[0](judged[1])])
            made = errors(values, joined(judged))
            cells += [shown(made["cllr"], 1, 3), shown(made["calibration_error"], 100, 2)]
        table.add(*cells)
    print()


def halved(rows: Rows, seed: int) -> tuple[Rows, Rows]:
    """Two random halves of the people."""
    people = sorted(rows)
    order = np.random.default_rng((SEED, seed)).permutation(len(people))
    first = {people[i] for i in order[: len(people) // 2]}
    return tuple({p: own for p, own in rows.items() if (p in first) == side} for side in (True, False))  # type: ignore[return-value]


def report_all(
    rows: Rows, sizes: Sequence[int], cohort: Vectors, probability: Probability, most: int | None, file: Path | None
) -> Floats:
    """Print the table of these people and that of the bins; returns the bins."""
    table = Table(HEAD, file, "galleries")
    for size in sizes:
        found = searched(rows, [size], cohort, most=most)
        table.add(*report(f"{size} people with 1, 2 or 4 photos", probability, found))
    middle = sizes[len(sizes) // 2]
    for photos in PHOTOS:
        found = searched(rows, [middle], cohort, [photos], most=most)
        table.add(*report(f"{middle} people with {photos}", probability, found))
    parts = [searched(rows, sizes, cohort, most=most)]
    for beside in BESIDE:
        parts.append(searched(rows, [FEW], cohort, beside=beside, most=most))
        table.add(*report(f"{FEW} people, and {beside} of the strangers with 1", probability, parts[-1]))
    whole = joined(parts)
    for prior in (PRIOR, *PRIORS):
        table.add(*report("all", probability, whole, prior))
    said = np.clip(probability(whole), 1e-6, 1 - 1e-6)
    made = errors(said, whole)
    bins = np.stack([made[column][0] for column in ("stated", "true", "searches")], axis=1)
    print()
    table = Table(("stated on average, %", "right, %", "share of the searches, %"), file, "bins")
    for number, (mean, _, part) in enumerate(bins):
        if part > 0:
            right = shown(made["true"][:, number], 100, 1, right_in(number, said, whole))
            table.add(f"{100 * mean:.1f}", right, f"{100 * part:.1f}")
    return bins[bins[:, 2] > 0]


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    made = study_parser(__doc__)
    add_options(made)
    made.add_argument("--sizes", type=int, nargs="+", default=[5, 10, 20])
    made.add_argument("--plot", type=Path, metavar="FILE.svg")
    return made


def main() -> None:
    """Parse, embed, compare on the validation people, report."""
    options = parser().parse_args()
    embedder = load_embedder(options.model)
    cohort, facts = load_cohort(embedder.path, embedder.card), embedder.card.probability
    rows = people_of(options.data, options.people, options.model, options.cache)
    if options.people == "validation":
        half, rows = halved(rows, 0)
        print(f"Chosen and fitted on {len(half)} of the validation people (percent, 95 % intervals over people):\n")
        compare(half, cohort, options.csv)
        facts = fit(half, cohort)
    elif not facts:
        parser().error(
            f"the card of {options.model} states no probability; scripts/default_model/ship_model.py fits it"
        )
    parts = ", ".join(f"{name} {facts[name]:.2f}" for name in COEFFICIENTS)
    print(f"On {len(rows)} {options.people} people, by {parts}:\n")
    most = 1 if options.people == "lfw" else None
    bins = report_all(rows, options.sizes, cohort, stated(facts), most, options.csv)
    if options.plot:
        reliability_figure(bins.tolist()).savefig(options.plot)


if __name__ == "__main__":
    main()
