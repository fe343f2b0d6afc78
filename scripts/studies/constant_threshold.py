"""What does a gallery gain that sets its own threshold, over the usual constant distance?

    .venv/bin/python -m scripts.studies constant_threshold MODEL --data ../shared/data
    .venv/bin/python -m scripts.studies constant_threshold MODEL --data ../shared/data --people test
    .venv/bin/python -m scripts.studies constant_threshold MODEL --data ../shared/data --people lfw

20 draws. Validation and test people (aligned crops): half are enrolled with 4 crops each; their other crops and all
crops of the other half are searched. LFW (raw photos): everybody with 5 photos or more is enrolled with 4 of them,
drawn anew; their other photos are searched, and one photo of everybody else. --cache DIR keeps the people's vectors.

"FNIR at FPIR 1 %": the threshold is chosen by the very strangers that are searched. "At the threshold in use": the
mean template at the threshold that the gallery sets itself by the model's cohort for 1 %, counted on final decisions;
and the nearest template at one constant distance, at which 1 % of the validation people's strangers are let through
when 40 people are enrolled (`calibration.py`). 95 % intervals: people resampled, the same for both; draws kept.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from facerec.evaluation.identification import Searches, decided, gallery_threshold, search_all
from facerec.inference.loading import load_embedder
from facerec.metrics.intervals import Tally, tally
from facerec.models.cohort import load_cohort
from facerec.types import Floats, Vectors
from scripts.studies.calibration import constant_distance
from scripts.studies.open_set import fnirs, missed
from scripts.studies.people import Rows, add_options, draw, people_of, resamples
from scripts.studies.tables import Counted, Table, pooled, shown, study_parser
from scripts.studies.template_means import nearest_template

DRAWS, ENROLLED, FPIR, REPLICATES, SEED = 20, 4, 0.01, 1000, 0


@dataclass(frozen=True, eq=False, slots=True)
class Decided:
    """One draw: its searches; (N,) whether each ended in a name, and whether in the right one."""

    searches: Searches
    named: Floats
    right: Floats


def draw_lfw(rows: Rows, enrolled: int, seed: int) -> tuple[Rows, Rows]:
    """(gallery, searched): all with more than `enrolled` photos; their other photos, and one of everybody else."""
    rng = np.random.default_rng((SEED, seed))
    gallery, probes = {}, {}
    for person in sorted(rows):
        own = [rows[person][i] for i in rng.permutation(len(rows[person]))]
        known = len(own) > enrolled
        gallery |= {person: own[:enrolled]} if known else {}
        probes[person] = own[enrolled:] if known else own[:1]
    return gallery, probes


def by_gallery(gallery: Rows, probes: Rows, cohort: Vectors) -> Decided:
    """The mean template, at the gallery's threshold."""
    searches, threshold = search_all(gallery, probes), gallery_threshold(gallery, cohort, None)
    assert threshold is not None, "the model has no cohort"
    return Decided(searches, *decided(searches, threshold))


def by_constant(gallery: Rows, probes: Rows, constant: float) -> Decided:
    """The nearest template, within a constant distance."""
    searches = nearest_template(gallery, probes)
    named = searches.distance <= constant
    return Decided(searches, named.astype(np.float64), (named & searches.hit).astype(np.float64))


def tallies(each: Decided) -> tuple[Tally, Tally]:
    """Of FNIR and FPIR as decided."""
    return tally(each.searches.mated, 1 - each.right), tally(~each.searches.mated, each.named)


def rates(drawn: list[Decided], people: list[str]) -> Floats:
    """(1 + REPLICATES, 3): FNIR at FPIR, FNIR and FPIR as decided; as measured, then with people resampled."""
    place = {person: i for i, person in enumerate(people)}
    weights = resamples(len(people), REPLICATES, SEED)
    sums = np.zeros((len(weights), 2))
    for each in drawn:
        own = weights[:, [place[person] for person in each.searches.searcher]]
        sums += np.stack([found.rate(own) for found in tallies(each)], axis=1)
    at_fpir = fnirs([each.searches for each in drawn], people, (FPIR,), REPLICATES)
    return np.concatenate([at_fpir, sums / len(drawn)], axis=1)


def rates_count(drawn: list[Decided]) -> list[Counted]:
    """What each of the three `rates` counts."""
    decided_of = zip(*(((found, each.searches.searcher) for found in tallies(each)) for each in drawn), strict=True)
    return [missed([each.searches for each in drawn], FPIR), *map(pooled, decided_of)]


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    made = study_parser(__doc__)
    add_options(made)
    return made


def main() -> None:
    """Parse, embed, draw, print a Markdown table."""
    options = parser().parse_args()
    embedder = load_embedder(options.model)
    cohort = load_cohort(embedder.path, embedder.card)
    constant = constant_distance(people_of(options.data, "validation", options.model, options.cache))
    rows = people_of(options.data, options.people, options.model, options.cache)
    drawing: Callable[[Rows, int, int], tuple[Rows, Rows]] = draw_lfw if options.people == "lfw" else draw
    galleries = [drawing(rows, ENROLLED, seed) for seed in range(DRAWS)]
    people = sorted(rows)
    ways = {
        "mean template, the gallery's threshold": [by_gallery(*each, cohort) for each in galleries],
        f"nearest template, constant {constant:.3f}": [by_constant(*each, constant) for each in galleries],
    }
    enrolled, counts = len(galleries[0][0]), [sum(map(len, probes.values())) for _, probes in galleries]
    print(
        f"{options.people}: {enrolled} of {len(people)} people enrolled, {np.mean(counts):.0f} searches; {DRAWS} draws"
    )
    print("percent, 95 % intervals over people\n")
    head = ("decided by", "FNIR at FPIR 1 %", "FNIR at the threshold in use, %", "FPIR at the threshold in use, %")
    table = Table(head, options.csv)
    values = [rates(drawn, people) for drawn in ways.values()]
    for (name, drawn), columns in zip(ways.items(), values, strict=True):
        cells = zip(columns.T, rates_count(drawn), strict=True)
        table.add(name, *(shown(column, 100, 2, of) for column, of in cells))
    table.add("difference", *(shown(column, 100, 2) for column in (values[0] - values[1]).T))


if __name__ == "__main__":
    main()
