"""How do a model's errors differ between groups of people, as a classifier predicts the groups?

    .venv/bin/python -m scripts.studies groups default --data ../shared/data [--people test] [--cache DIR]

The validation people's groups of origin are not known. They are predicted from the model's own vectors, by a logistic
regression that learned from the labels of UTKFace (`faces_unlabelled`, in the names of its files): 500 photos of each
group to learn from, 300 to see how often it is right. A person's group is the one that is likeliest over all their
photos. UTKFace's fifth label, "other", is of no one group and is left out.

groups-head            how often the prediction is right for a photo
groups-verification    FMR and FNMR of pairs within each group, at the threshold on the model's card
groups-matches         of the false matches among all pairs of two people, how many are within one group
groups-identification  FPIR and FNIR by group, at the threshold that a gallery of 40 people sets itself for FPIR 1 %

Groups of fewer than 15 people are printed and not judged. Intervals: people resampled. The labelled photos take 8
minutes to embed on two idle cores, the rest 5. Expected: `results/groups-*.csv`.
"""

import argparse
import itertools
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from facerec.evaluation.identification import Searches
from facerec.faces.detector import AlignedDetector
from facerec.inference.loading import load_embedder
from facerec.inference.pipeline import embed_photos
from facerec.metrics.intervals import Tally
from facerec.models.cohort import load_cohort
from facerec.types import Floats
from facerec.vectors import squared_distances
from scripts.studies import calibration, tables
from scripts.studies.people import Rows, add_options, people_of, read_rows, resamples, write_rows
from scripts.studies.tables import Counted, Table, study_parser

GROUPS = ("White", "Black", "Asian", "Indian")  # UTKFace's names of its labels 0 to 3
LEARNED, HELD_OUT, SEED = 500, 300, 0  # photos of each group
JUDGED = 15  # people
SIZE = 40  # people enrolled
REPLICATES = 1000
Square = NDArray[np.float64]


def labelled_rows(data: Path, model: str, cache: Path | None) -> Rows:
    """Group -> the vectors of its photos of UTKFace, in an order drawn by seed."""
    embedder = load_embedder(model)
    kept = cache and cache / f"labelled-{embedder.card.fingerprint}.npz"
    if kept is not None and kept.exists():
        return read_rows(kept)
    files, rng = sorted((data / "faces_unlabelled").glob("*.webp")), np.random.default_rng(SEED)
    rows: Rows = {}
    for label, group in enumerate(GROUPS):
        own = [path for path in files if path.name.split("_")[2] == str(label)]  # AGE_GENDER_ORIGIN_DATE.webp
        chosen = [own[i] for i in rng.permutation(len(own))[: LEARNED + HELD_OUT]]
        photos = embed_photos(chosen, AlignedDetector(embedder.card.input_size), embedder, main_only=True)
        rows[group] = [vector for photo in photos for vector in photo.vectors]
    if kept is not None:
        write_rows(kept, rows)
    return rows


def learned(rows: Rows) -> LogisticRegression:
    """The classifier of a vector's group."""
    vectors = np.concatenate([rows[group][:LEARNED] for group in GROUPS])
    return LogisticRegression(max_iter=2000).fit(vectors, np.repeat(GROUPS, [len(rows[g][:LEARNED]) for g in GROUPS]))


def print_head(rows: Rows, head: LogisticRegression, file: Path | None) -> None:
    """How often the held-out photos of each group are told."""
    table = Table(("group", "held-out photos", "right, %", "else most often"), file, "head")
    right = total = 0
    for group in GROUPS:
        told = Counter(map(str, head.predict(np.stack(rows[group][LEARNED:]))))
        others = [other for other, _ in told.most_common() if other != group]
        right, total = right + told[group], total + told.total()
        table.add(group, told.total(), f"{100 * told[group] / told.total():.1f}", others[0] if others else "-")
    table.add("all", total, f"{100 * right / total:.1f}", "-")


def predicted(rows: Rows, head: LogisticRegression) -> dict[str, str]:
    """Person -> the group that is likeliest over all their photos."""
    likely = {person: head.predict_log_proba(np.stack(own)).mean(axis=0) for person, own in rows.items()}
    return {person: str(head.classes_[each.argmax()]) for person, each in likely.items()}


def compared(rows: Rows, limit: float) -> tuple[Square, Square]:
    """Two (P, P): how many pairs of photos of each two people, in order of name, match, and how many there are.

    Each pair of photos counts once: two people's above the diagonal, a person's own on it.
    """
    people = [np.stack(rows[name]) for name in sorted(rows)]
    matches, pairs = np.zeros((2, len(people), len(people)))
    for i, one in enumerate(people):
        for j, other in enumerate(people[i:], i):
            near = squared_distances(one, other) <= limit
            near = near[np.triu_indices(len(one), 1)] if i == j else near
            matches[i, j], pairs[i, j] = near.sum(), near.size
    return matches, pairs


def rate(errors: Square, whole: Square, weights: Floats) -> str:
    """The share of errors in percent, with its interval over people. weights: (1 + B, P)."""
    values = np.full(len(weights), np.nan)
    counted = np.einsum("bi,ij,bj->b", weights, whole, weights)
    np.divide(np.einsum("bi,ij,bj->b", weights, errors, weights), counted, out=values, where=counted > 0)
    a, b = np.nonzero(whole)
    return tables.shown(values, 100, 3, Counted(Tally(whole[a, b] > 0, errors[a, b], (whole - errors)[a, b]), a, b))


def print_verification(rows: Rows, groups: dict[str, str], limit: float, file: Path | None) -> None:
    """FMR and FNMR by group, and where the false matches are."""
    matches, pairs = compared(rows, limit)
    of, weights = np.array([groups[person] for person in sorted(rows)]), resamples(len(rows), REPLICATES, SEED)
    own, two = np.eye(len(of), dtype=bool), ~np.eye(len(of), dtype=bool)
    all_fmr = matches[two].sum() / pairs[two].sum()
    table = Table(("group", "people", "judged", "FMR, %", "times that of all pairs", "FNMR, %"), file, "verification")
    inside = {group: (of == group)[:, None] & (of == group) for group in GROUPS} | {"all": np.ones_like(two)}
    for group, mask in inside.items():
        people, false = int((own & mask).sum()), two & mask
        times = matches[false].sum() / max(pairs[false].sum(), 1) / all_fmr
        fmr = rate(matches * false, pairs * false, weights)
        missed, genuine = (pairs - matches) * (own & mask), pairs * (own & mask)
        fnmr = tables.shown(*_share(missed.diagonal(), genuine.diagonal(), weights))
        table.add(group, people, "yes" if people >= JUDGED else "no", fmr, f"{times:.2f}", fnmr)
    counted = Table(("false matches", "number", "of all, %", "pairs of people"), file, "matches")
    for group, mask in inside.items():
        found = matches * (two & mask)
        share = 100 * found.sum() / matches[two].sum()
        counted.add(
            "among all pairs" if group == "all" else f"within {group}",
            int(found.sum()),
            f"{share:.1f}",
            int((found > 0).sum()),
        )


def _share(errors: Floats, whole: Floats, weights: Floats) -> tuple[Floats, float, int, Counted]:
    """What `tables.shown` needs of a rate whose comparisons each show one person. errors, whole: (P,)."""
    counted = weights @ whole
    values = np.divide(weights @ errors, counted, out=np.full(len(weights), np.nan), where=counted > 0)
    people = np.flatnonzero(whole)
    tally = Tally(whole[people] > 0, errors[people], (whole - errors)[people])
    return values, 100, 2, Counted(tally, people, people)


def only(searches: Searches, group: str, groups: dict[str, str]) -> Searches:
    """The searches by the people of a group, or of all."""
    chosen = np.array([group in (groups[person], "all") for person in searches.searcher], np.bool_)
    searchers = tuple(itertools.compress(searches.searcher, chosen))
    return Searches(searchers, searches.mated[chosen], searches.hit[chosen], searches.distance[chosen], np.zeros(0))


def print_identification(rows: Rows, groups: dict[str, str], model: str, file: Path | None) -> None:
    """FPIR and FNIR by group at the galleries' own thresholds."""
    embedder = load_embedder(model)
    cohort = load_cohort(embedder.path, embedder.card)
    drawn = [calibration.run(rows, SIZE, seed, cohort) for seed in range(calibration.DRAWS)]
    table = Table(("group", "people", "judged", "FPIR, %", "times the target", "FNIR, %"), file, "identification")
    for group in (*GROUPS, "all"):
        own = [(only(each.searches, group, groups), each.made.distance) for each in drawn]
        cells = []
        for mated in (False, True):
            found = calibration.rates(own, sorted(rows), mated)
            cells.append(calibration.shown(found, tables.pooled(calibration.tallies(own, mated))))
            if not mated:
                cells.append(f"{np.nanmean(found[0]) / calibration.FPIR:.2f}")
        people = sum(group in (each, "all") for each in groups.values())
        table.add(group, people, "yes" if people >= JUDGED else "no", *cells)


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    made = study_parser(__doc__)
    add_options(made)
    return made


def main() -> None:
    """Learn the groups, predict them, and print the four tables."""
    options = parser().parse_args()
    threshold = load_embedder(options.model).card.default_threshold
    if threshold is None:
        raise SystemExit(f"{options.model}: its card states no threshold")
    rows = people_of(options.data, options.people, options.model, options.cache)
    labelled = labelled_rows(options.data, options.model, options.cache)
    head = learned(labelled)
    print_head(labelled, head, options.csv)
    groups = predicted(rows, head)
    print_verification(rows, groups, threshold.distance, options.csv)
    print_identification(rows, groups, options.model, options.csv)


if __name__ == "__main__":
    main()
