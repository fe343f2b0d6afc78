"""Which rule misses fewest people when equally many strangers are let through?

    .venv/bin/python -m scripts.studies decision_rules MODEL --data ../shared/data [--enrolled-people 40]

In each of 20 draws, some of the 80 validation people are enrolled with 4 crops each. Their other crops and all crops
of the other people are searched. Reported for each rule: FNIR at FPIR 1 %, with the threshold chosen on those very
searches, so that all rules are compared at equal FPIR; the difference to the distance to the mean template; and the
FPIR at the threshold that the model's cohort sets for 1 % by the same rule, which is what a gallery can do.
Intervals: 95 %, people resampled.

Strangers come nearer to some people, and to some faces, than to others. Three rules allow for it: they take half of
the mean distance to the 20 nearest cohort strangers off the distance, those of the person, of the face, or of both.
`AS-norm` measures both in standard deviations of the nearest 100 (Matejka et al. 2017, Interspeech). `margin` takes a
quarter of the runner-up's distance off the best. A cohort stranger is never among its own neighbours.
"""

import argparse

import numpy as np
from numpy.typing import NDArray

from facerec.evaluation.identification import Searches, index_people
from facerec.inference.loading import load_embedder
from facerec.models.cohort import load_cohort
from facerec.types import Floats
from facerec.vectors import squared_distances
from scripts.studies.open_set import fnirs, missed
from scripts.studies.people import Rows, draw_people, embed_listed
from scripts.studies.tables import Table, shown, study_parser
from scripts.studies.template_means import nearest_template

DRAWS, ENROLLED, FPIR = 20, 4, 0.01
NEAR, NORM, HALF, MARGIN = 20, 100, 0.5, 0.25

Vectors = NDArray[np.float32]


def distances(a: Vectors, b: Vectors) -> Floats:
    """(N, P) squared Euclidean distances of unit rows."""
    return squared_distances(a, b).astype(np.float64)


def neighbours(rows: Vectors, cohort: Vectors, own: bool = False) -> Floats:
    """(N, NORM) distances to the nearest of the cohort; `own`: the rows are the cohort, none its own neighbour."""
    near = np.sort(distances(rows, cohort), axis=1)
    return near[:, int(own) : NORM + int(own)]


def scores(d: Floats, face: Floats, person: Floats) -> dict[str, Floats]:
    """Rule -> (N, P) what it compares with the threshold. d: (N, P) distances; face, person: `neighbours` of either."""
    to_face, to_person = (HALF * near[:, :NEAR].mean(axis=1) for near in (face, person))  # (N,), (P,)
    second = np.partition(d, 1, axis=1)[:, 1:2]
    by_face, by_person = (
        (d - near.mean(axis=1).reshape(shape)) / near.std(axis=1).reshape(shape)
        for near, shape in ((face, (-1, 1)), (person, (1, -1)))
    )
    return {
        "mean template": d,
        "less the person's": d - to_person,
        "less the face's": d - to_face[:, None],
        "less both": d - to_person - to_face[:, None],
        "AS-norm": (by_face + by_person) / 2,
        "margin": np.where(d == d.min(axis=1, keepdims=True), d - MARGIN * second, np.inf),
    }


def run(gallery: Rows, probes: Rows, cohort: Vectors, of_cohort: Floats) -> dict[str, tuple[Searches, float]]:
    """Rule -> its searches, and the FPIR at the threshold that the cohort sets."""
    people = index_people(gallery)
    searcher = tuple(person for person, rows in probes.items() for _ in rows)
    rows = np.stack([row for rows in probes.values() for row in rows])
    mated = np.isin(searcher, people.names)
    person = neighbours(people.means, cohort)
    ours = scores(distances(rows, people.means), neighbours(rows, cohort), person)
    theirs = scores(distances(cohort, people.means), of_cohort, person)
    found = {}
    for way, values in ours.items():
        best, hit = values.min(axis=1), np.array(people.names)[values.argmin(axis=1)] == searcher
        limit = np.sort(theirs[way].min(axis=1))[int(FPIR * (len(cohort) + 1)) - 1]
        found[way] = (
            Searches(searcher, mated, hit, best.astype(np.float32), np.zeros(0)),
            (best <= limit)[~mated].mean(),
        )
    nearest = nearest_template(gallery, probes)
    templates = np.stack([row for own in gallery.values() for row in own])
    limit = np.sort(distances(cohort, templates).min(axis=1))[int(FPIR * (len(cohort) + 1)) - 1]
    return {**found, "nearest template": (nearest, (nearest.distance <= limit)[~mated].mean())}


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    made = study_parser(__doc__, data=True)
    made.add_argument("model")
    made.add_argument("--enrolled-people", type=int, default=40)
    return made


def main() -> None:
    """Parse, embed, draw, print a Markdown table."""
    options = parser().parse_args()
    rows = embed_listed(options.data, "validation", options.model)
    embedder = load_embedder(options.model)
    cohort = load_cohort(embedder.path, embedder.card)
    of_cohort = neighbours(cohort, cohort, own=True)
    galleries = [draw_people(rows, options.enrolled_people, ENROLLED, seed) for seed in range(DRAWS)]
    drawn = [run(*each, cohort, of_cohort) for each in galleries]
    values = {way: fnirs([each[way][0] for each in drawn], sorted(rows), (FPIR,))[:, 0] for way in drawn[0]}
    print(f"{options.enrolled_people} of {len(rows)} people, {DRAWS} draws; percent, 95 % intervals over people\n")
    head = ("decided by", "FNIR at FPIR 1 %", "less the mean template's", "FPIR at the cohort's threshold, %")
    table = Table(head, options.csv)
    for way, column in values.items():
        gain = "" if way == "mean template" else shown(column - values["mean template"], 100, 2)
        fpir = 100 * np.mean([each[way][1] for each in drawn])
        fnir = shown(column, 100, 2, missed([each[way][0] for each in drawn], FPIR))
        table.add(way, fnir, gain, f"{fpir:.2f}")


if __name__ == "__main__":
    main()
