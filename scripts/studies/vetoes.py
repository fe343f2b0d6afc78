"""What do vetoes ("this face is not Ann Lee") bring against strangers, and what do they cost Ann Lee?

    .venv/bin/python -m scripts.studies vetoes MODEL --data ../shared/data

In each of 20 draws, 40 of the 80 validation people are enrolled with 4 crops each. Their other crops and all crops of
the other 40 people are searched, at the threshold that the gallery sets itself. Then vetoes are added, and the same
searches are decided anew. Two ways of choosing the vetoes:

`strangers who were named`: if a stranger is named as an enrolled person, the first K of the photos named so become
vetoes for that person. That is how `facerec gallery not-same` is meant.
`nearest strangers`: for each enrolled person, the nearest photo of each of the K nearest strangers becomes a veto,
named or not. Nobody would say so much, so it shows what many vetoes cost.

Two rules. `nearer`, which facerec uses: a person is struck from the candidates of a face that is nearer to a vetoed
face than to each of the person's templates. `nearer than the mean, too`: only if the face is also nearer to the vetoed
face than to the person's mean template.

The crops that made a veto are not counted. 95 % intervals: people resampled. --cache DIR keeps the people's vectors.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
from numpy.typing import NDArray

from facerec.decision.decide import decide
from facerec.decision.population import calibrate_people
from facerec.evaluation.identification import index_people
from facerec.gallery.vetoed_faces import VetoedFaces, nearest_left
from facerec.inference.loading import load_embedder
from facerec.metrics.intervals import Tally
from facerec.models.cohort import load_cohort
from facerec.search.people import PeopleIndex
from facerec.types import Candidate, Threshold, Vectors
from facerec.vectors import squared_distances
from scripts.studies.people import Rows, add_options, draw_people, people_of, resamples
from scripts.studies.tables import Counted, Table, shown, study_parser

DRAWS, PEOPLE, ENROLLED, REPLICATES, SEED = 20, 40, 4, 1000, 0
FPIRS = (0.01, 0.1)
COUNTS = (1, 2, 4, 8)
Said = dict[str, list[int]]  # person -> the numbers of the searches whose face is said not to be them
Rule = Callable[[Candidate, Threshold], bool]  # whether a candidate's veto counts


@dataclass(frozen=True, eq=False, slots=True)
class Draw:
    """One gallery and its N searches. rows: (N, D). searcher: N names. answers: the name each got without vetoes."""

    people: PeopleIndex
    threshold: Threshold
    rows: Vectors
    searcher: NDArray[np.str_]
    answers: NDArray[np.str_]

    @property
    def strangers(self) -> NDArray[np.bool_]:
        """(N,) whether the searcher is not enrolled."""
        return ~np.isin(self.searcher, self.people.names)


def answers(
    people: PeopleIndex, threshold: Threshold, rows: Vectors, vetoed: VetoedFaces, rule: Rule | None = None
) -> NDArray[np.str_]:
    """(N,) the name that each search ends in, "" for unknown; decided as a gallery decides.

    rule: which vetoes count; all of them unless given.
    """
    near = [[c for c in each if c.distance <= threshold.distance] for each in people.nearest(rows, 1 + len(vetoed))]
    found = vetoed.judge(rows, near, people)  # nobody else can be named
    if rule is not None:
        found = [[each if rule(each, threshold) else _plain(each) for each in candidates] for candidates in found]
    decisions = [decide(nearest_left(each, 1), threshold, len(people.names)) for each in found]
    return np.array([decision.person or "" for decision in decisions])


def _plain(candidate: Candidate) -> Candidate:
    return Candidate(candidate.person, candidate.distance)


def is_nearer_than_mean(candidate: Candidate, _: Threshold) -> bool:
    """Whether the face is nearer to the vetoed face than to the person's mean template."""
    return candidate.veto is not None and candidate.veto.face < candidate.distance


def make_draw(rows: Rows, cohort: Vectors, fpir: float, seed: int) -> Draw:
    """Enroll, set the threshold for a rate, and search without vetoes."""
    gallery, probes = draw_people(rows, PEOPLE, ENROLLED, seed)
    people = index_people(gallery)
    calibration = calibrate_people(people, cohort, fpir)
    assert calibration is not None, "the model has no cohort"
    searched = np.stack([row for own in probes.values() for row in own])
    searcher = np.array([person for person, own in probes.items() for _ in own])
    limit = calibration.threshold
    before = answers(people, limit, searched, VetoedFaces(("", 0, 0), {}))
    return Draw(people, limit, searched, searcher, before)


def by_named(draw: Draw, count: int) -> Said:
    """Of each stranger's photos that are named as one person, the first `count`."""
    said: Said = {}
    for stranger, person in sorted({*zip(draw.searcher[draw.strangers], draw.answers[draw.strangers], strict=True)}):
        if person:
            photos = np.flatnonzero((draw.searcher == stranger) & (draw.answers == person))
            said.setdefault(person, []).extend(photos[:count].tolist())
    return said


def by_nearest(draw: Draw, count: int) -> Said:
    """For each person the nearest photo of each of the `count` nearest strangers."""
    strangers = np.flatnonzero(draw.strangers)
    distances = squared_distances(draw.people.means, draw.rows[strangers])
    said: Said = {}
    for person, row in zip(draw.people.names, distances, strict=True):
        order = strangers[np.argsort(row, kind="stable")]
        first = np.sort(np.unique(draw.searcher[order], return_index=True)[1])  # of each stranger, nearest first
        said[person] = order[first[:count]].tolist()
    return said


WAYS = {"strangers who were named": by_named, "nearest strangers": by_nearest}
RULES = {"nearer": None, "nearer than the mean, too": is_nearer_than_mean}


def measure(
    draws: list[Draw], choose: Callable[[Draw], Said], rule: Rule | None, names: list[str]
) -> tuple[list[Counted], int]:
    """Return what four rates count, person by person, and the number of vetoes in all draws.

    The rates: photos of vetoed strangers, those of the vetoes left out, that are named as anybody, before and after;
    FNIR of the people who have vetoes, before and after.
    """
    errors, counts, vetoes = np.zeros((4, len(names))), np.zeros((4, len(names))), 0
    for draw in draws:
        said = choose(draw)
        faces = {person: draw.rows[photos] for person, photos in said.items()}
        after = answers(draw.people, draw.threshold, draw.rows, VetoedFaces(("", 0, 0), faces), rule)
        used = np.isin(np.arange(len(draw.rows)), [photo for photos in said.values() for photo in photos])
        strangers, mated = np.isin(draw.searcher, draw.searcher[used]) & ~used, np.isin(draw.searcher, list(said))
        place = np.searchsorted(names, draw.searcher)
        for i, found in enumerate((draw.answers, after)):
            for row, chosen, wrong in ((i, strangers, found != ""), (2 + i, mated, found != draw.searcher)):
                errors[row] += np.bincount(place[chosen & wrong], minlength=len(names))
                counts[row] += np.bincount(place[chosen], minlength=len(names))
        vetoes += sum(map(len, said.values()))
    people = np.arange(len(names))
    rows = zip(errors, counts, strict=True)
    return [Counted(Tally(all_ > 0, wrong, all_ - wrong), people, people) for wrong, all_ in rows], vetoes


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    made = study_parser(__doc__)
    add_options(made)
    return made


def main() -> None:
    """Parse, embed, draw, print a Markdown table for each rate."""
    options = parser().parse_args()
    rows = people_of(options.data, options.people, options.model, options.cache)
    embedder = load_embedder(options.model)
    cohort = load_cohort(embedder.path, embedder.card)
    weights = resamples(len(rows), REPLICATES, SEED)
    for fpir in FPIRS:
        draws = [make_draw(rows, cohort, fpir, seed) for seed in range(DRAWS)]
        print(f"\nFPIR {100 * fpir:g} %; {PEOPLE} of {len(rows)} people enrolled, {DRAWS} draws; percent\n")
        head = ["vetoes by", "K", "rule", "vetoes a draw", "named before", "named after"]
        head += ["FNIR before", "FNIR after", "difference"]
        table = Table(head, options.csv, f"{100 * fpir:g}")
        for (way, choose), count, (name, rule) in product(WAYS.items(), COUNTS, RULES.items()):
            counted, vetoes = measure(draws, partial(choose, count=count), rule, sorted(rows))
            values = [each.tally.rate(weights) for each in counted]
            cells = [shown(found, 100, 2, of) for found, of in zip(values, counted, strict=True)]
            table.add(way, count, name, f"{vetoes / DRAWS:.0f}", *cells, shown(values[3] - values[2], 100, 2))


if __name__ == "__main__":
    main()
