"""Does a gallery's threshold let through the share of strangers it promises? Many galleries of each size.

    .venv/bin/python -m scripts.studies calibration MODEL --data ../shared/data --sizes 10 40
    .venv/bin/python -m scripts.studies calibration MODEL --data ../shared/data --people test --sizes 10 40 100
    .venv/bin/python -m scripts.studies calibration MODEL --data ../shared/data --people lfw --sizes 10 40 100 400 1000

--cache DIR keeps the people's vectors, which take most of the time.

In each of 200 draws, SIZE people are drawn and enrolled with up to 4 photos each. The gallery sets its threshold for
FPIR 1 % by the model's cohort. Then one photo of everybody else is searched (strangers the calibration never saw),
and every further photo of the enrolled people. Validation and test people: aligned crops. LFW: raw photos.

Reported: the mean FPIR over the draws with a 95 % interval (people resampled, draws kept), its multiple of the 1 %
asked for, and in what share of the draws the FPIR lay in the interval that `Calibration.prediction` states
beforehand. Beside it, the same for one constant distance to the nearest template: the one that lets 1 % of the
validation people's strangers through at 40 people. And the FNIR of both.

--strangers PREFIX also searches one photo of every training person whose folder and name begin with PREFIX: `faces/`,
or `faces/celeba_`, the source of all validation and test people. With 100 of 120 people enrolled only 20 strangers are
left; these are hundreds or thousands more. The calibration has not seen them, but the model was trained on them.

--groups-of 120 measures instead what as few as 120 people can tell. The people are divided into groups of so many, and
each group is measured as if there were no others, by 50 draws. Printed: the multiples of the 1 % over the groups (mean,
median, central 95 %).
"""

import argparse
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facerec.decision.calibration import Calibration
from facerec.decision.population import calibrate_people
from facerec.evaluation.identification import Searches, index_people
from facerec.inference.loading import load_embedder
from facerec.metrics.intervals import Tally, tally
from facerec.models.cohort import load_cohort
from facerec.types import Floats
from scripts.studies import tables
from scripts.studies.people import Rows, add_options, people_of, resamples
from scripts.studies.population import training_people
from scripts.studies.tables import Counted, Table, pooled, study_parser
from scripts.studies.template_means import nearest_template

DRAWS, ENROLLED, FPIR, SEED = 200, 4, 0.01, 0
CONSTANT_AT = 40  # people enrolled where the constant is chosen
REPLICATES = 400
DRAWS_OF_GROUP = 50
HEAD = (
    "people enrolled",
    "strangers searched",
    "threshold",
    "FPIR, %",
    "times the target",
    "within the stated interval, %",
)
HEAD += ("FNIR, %", "FPIR with the constant, %", "FNIR with the constant, %")


@dataclass(frozen=True, eq=False, slots=True)
class Drawn:
    """One gallery and all its searches.

    searches, nearest: at the mean and at the nearest template. made: the threshold it set itself.
    """

    searches: Searches
    nearest: Searches
    made: Calibration


def draw(rows: Rows, size: int, seed: int, strangers: Rows | None = None) -> tuple[Rows, Rows]:
    """`size` people with up to ENROLLED photos, and what is searched: their other photos, one photo of all others.

    strangers: people who are never enrolled, of whom one photo is searched as well.
    """
    rng = np.random.default_rng((SEED, size, seed))
    people = sorted(rows)
    chosen = {people[i] for i in rng.permutation(len(people))[:size]}
    gallery, probes = {}, {}
    for person in people:
        own = [rows[person][i] for i in rng.permutation(len(rows[person]))]
        gallery |= {person: own[:ENROLLED]} if person in chosen else {}
        probes[person] = own[ENROLLED:] if person in chosen else own[:1]
    probes |= {person: [own[rng.integers(len(own))]] for person, own in (strangers or {}).items()}
    return gallery, probes


def run(rows: Rows, size: int, seed: int, cohort: NDArray[np.float32], strangers: Rows | None = None) -> Drawn:
    """Enroll, calibrate, search: one draw."""
    gallery, probes = draw(rows, size, seed, strangers)
    made = calibrate_people(index_people(gallery), cohort, FPIR)
    assert made is not None, "the model has no cohort"
    return Drawn(mean_template(gallery, probes), nearest_template(gallery, probes), made)


def mean_template(gallery: Rows, probes: Rows) -> Searches:
    """As `run_searches`, all searches at once."""
    owned = [(person, row) for person, rows in probes.items() for row in rows]
    found = [best for (best,) in index_people(gallery).nearest(np.stack([row for _, row in owned]), 1)]
    searcher = tuple(person for person, _ in owned)
    hit = np.array([best.person == own for best, own in zip(found, searcher, strict=True)])
    mated = np.array([person in gallery for person in searcher])
    return Searches(searcher, mated, hit, np.array([best.distance for best in found], np.float32), np.zeros(0))


def constant_distance(rows: Rows) -> float:
    """The distance to the nearest template within which a share FPIR of the strangers is, CONSTANT_AT enrolled."""
    drawn = [nearest_template(*draw(rows, CONSTANT_AT, seed)) for seed in range(DRAWS)]
    return float(np.quantile(np.concatenate([s.distance[~s.mated] for s in drawn]), FPIR))


def tallies(drawn: list[tuple[Searches, float]], mated: bool) -> list[tuple[Tally, tuple[str, ...]]]:
    """Of each draw: the tally of FPIR (or FNIR) at its threshold, and whose the searches are."""
    found = []
    for searches, limit in drawn:
        named = (searches.distance <= limit) & (searches.hit | ~searches.mated)
        found.append((tally(searches.mated == mated, named != mated), searches.searcher))
    return found


def rates(drawn: list[tuple[Searches, float]], people: list[str], mated: bool) -> Floats:
    """(1 + REPLICATES, draws): each draw's FPIR (or FNIR) at its threshold, as measured and with people resampled.

    nan where a draw has no such search: of LFW, few people have more photos than are enrolled.
    """
    weights = resamples(len(people), REPLICATES, SEED)  # (1 + B, P)
    place = {person: i for i, person in enumerate(people)}
    errors, rest = np.zeros((len(people), len(drawn))), np.zeros((len(people), len(drawn)))
    for i, (found, searchers) in enumerate(tallies(drawn, mated)):
        own = np.array([place[person] for person in searchers])
        errors[:, i] = np.bincount(own, found.errors, len(people))
        rest[:, i] = np.bincount(own, found.rest, len(people))
    whole = weights @ (errors + rest)
    return np.divide(weights @ errors, whole, out=np.full(whole.shape, np.nan), where=whole > 0)


def shown(values: Floats, of: Counted | None = None) -> str:
    """(1 + B, draws): the mean over the draws that have the rate, in percent, with the 95 % interval."""
    means = np.nanmean(values[:, ~np.isnan(values[0])], axis=1)
    return tables.shown(means, 100, 2, of)


def report(rows: Rows, size: int, cohort: NDArray[np.float32], constant: float, strangers: Rows) -> list[object]:
    """One row of the table."""
    people = sorted(rows | strangers)
    drawn = [run(rows, size, seed, cohort, strangers) for seed in range(DRAWS)]
    own = [(each.searches, each.made.distance) for each in drawn]
    fixed = [(each.nearest, constant) for each in drawn]
    fpir = rates(own, people, mated=False)
    expected = [each.made.prediction(int((~each.searches.mated).sum())) for each in drawn]
    covered = np.mean([low <= rate <= high for rate, (low, high) in zip(fpir[0], expected, strict=True)])
    searched = np.mean([(~each.searches.mated).sum() for each in drawn])
    limits = np.mean([each.made.distance for each in drawn])
    cells: list[object] = [size, f"{searched:.0f}", f"{limits:.3f}", shown(fpir, pooled(tallies(own, mated=False)))]
    cells += [f"{fpir[0].mean() / FPIR:.2f}", f"{100 * covered:.1f}"]
    others = ((own, True), (fixed, False), (fixed, True))
    return cells + [shown(rates(some, people, mated), pooled(tallies(some, mated))) for some, mated in others]


def multiples(rows: Rows, size: int, cohort: NDArray[np.float32], count: int) -> Floats:
    """(groups,) mean FPIR as a multiple of the target; each group has `count` people, its galleries `size` of them."""
    order, found = np.random.default_rng(SEED).permutation(sorted(rows)), []
    for start in range(0, len(order) - count + 1, count):
        group = {person: rows[person] for person in order[start : start + count].tolist()}
        drawn = [run(group, size, seed, cohort) for seed in range(DRAWS_OF_GROUP)]
        named = [each.searches.distance[~each.searches.mated] <= each.made.distance for each in drawn]
        found.append(np.mean([each.mean() for each in named]) / FPIR)
    return np.array(found)


def named_so(rows: Rows, prefix: str) -> Rows:
    """The people whose names begin with the prefix; SystemExit where nobody's does."""
    if found := {name: own for name, own in rows.items() if name.startswith(prefix)}:
        return found
    raise SystemExit(f"--strangers {prefix}: no training person's folder and name begin so; one is {min(rows)}")


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    made = study_parser(__doc__)
    add_options(made)
    made.add_argument("--sizes", type=int, nargs="+", required=True)
    made.add_argument("--strangers", metavar="PREFIX", help="training people who are searched beside the others")
    made.add_argument("--groups-of", type=int, metavar="N", help="what N of the people tell, instead")
    return made


def main() -> None:
    """Parse, embed, draw, print a Markdown table."""
    options = parser().parse_args()
    if options.strangers is not None and options.groups_of:
        parser().error("--strangers: with --groups-of nobody else is searched; leave one out")
    embedder = load_embedder(options.model)
    cohort = load_cohort(embedder.path, embedder.card)
    if options.groups_of:
        rows = people_of(options.data, options.people, options.model, options.cache)
        for size in options.sizes:
            found = multiples(rows, size, cohort, options.groups_of)
            low, half, high = np.quantile(found, [0.025, 0.5, 0.975])
            print(f"{size} of {options.groups_of} people, {len(found)} groups of {options.people}: ", end="")
            print(f"{found.mean():.2f} times the target, median {half:.2f}, {low:.2f} to {high:.2f}", flush=True)
        return
    strangers: Rows = {}
    if options.strangers is not None:
        strangers = named_so(training_people(options.data, embedder, options.cache), options.strangers)
        print(f"searched beside them: {len(strangers)} training people")
    constant = constant_distance(people_of(options.data, "validation", options.model, options.cache))
    rows = people_of(options.data, options.people, options.model, options.cache)
    photos = sum(map(len, rows.values()))
    print(f"{options.people}: {len(rows)} people, {photos} photos; {len(cohort)} cohort people; {DRAWS} draws")
    print(f"constant: {constant:.3f} to the nearest template; percent, 95 % intervals over people\n")
    table = Table(HEAD, options.csv)
    for size in options.sizes:
        table.add(*report(rows, size, cohort, constant, strangers))


if __name__ == "__main__":
    main()
