"""How should a threshold be set for an FPIR too low to count? Counting strangers against fitting their tail.

    .venv/bin/python -m scripts.studies tails MODEL --data ../shared/data [--cache DIR]

In each of 40 draws, 40 of the 80 validation people are enrolled with 4 crops each, and the model's cohort is
searched. Thresholds for FPIR 1, 0.3, 0.1 and 0.03 % are set by so many strangers' distances to the nearest person, in
two ways:

- counted, as `facerec.decision.calibration` does (below the nearest of all, where they are too few to count);
- by a generalised Pareto distribution of how far the nearest 5 or 10 % lie below the next one (peaks over threshold;
  Pickands 1975, Annals of Statistics 3; maximum likelihood). Its shape is fitted, or 0 (an exponential tail).

A gallery counts where it can. Where it cannot, and has 1,000 strangers or more, it takes the exponential tail of 10
%, but never a threshold beyond the nearest stranger.

Reported: the FPIR reached as a multiple of the one asked for, mean and standard deviation over the draws. Thresholds
by 500 of the cohort are judged on the rest of it, strangers of the same kind. Thresholds by all of it are judged on
all crops of the other 40 validation people; that mean has a 95 % interval over people, paired with that of counting.
"""

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from facerec.evaluation.identification import index_people
from facerec.inference.loading import load_embedder
from facerec.metrics.intervals import tally
from facerec.models.cohort import load_cohort
from facerec.types import Floats, Vectors
from scripts.studies.people import Rows, add_options, people_of, resamples
from scripts.studies.posterior import nearest
from scripts.studies.tables import Table, pooled, shown, study_parser

DRAWS, PEOPLE, ENROLLED, SUBSET, REPLICATES, SEED = 40, 40, 4, 500, 400, 0
FPIRS = (0.01, 0.003, 0.001, 0.0003)

Setter = Callable[[NDArray[np.float32], float], float]
"""(N,) distances of strangers to the nearest person, and the FPIR -> the threshold."""


def counted(distances: NDArray[np.float32], fpir: float) -> float:
    """The threshold within which floor(fpir (N + 1)) of the strangers are."""
    ranked = np.sort(distances).astype(np.float64)
    within = int(fpir * (len(ranked) + 1) + 1e-9)
    return float(ranked[within - 1] if within else np.nextafter(ranked[0], -1))


def pareto(tail: float, shape: float | None) -> Setter:
    """Sets thresholds by the nearest share `tail` of the strangers; its shape is given, or fitted where None."""

    def threshold(distances: NDArray[np.float32], fpir: float) -> float:
        from scipy.stats import genpareto

        ranked = np.sort(distances).astype(np.float64)
        within = int(tail * len(ranked))
        below = ranked[within] - ranked[:within]  # (within,) how far each is nearer than the next one
        fixed = {} if shape is None else {"f0": shape}
        fitted, _, scale = genpareto.fit(below, floc=0, **fixed)
        return float(ranked[within] - genpareto.isf(fpir / tail, fitted, scale=scale))

    return threshold


WAYS: dict[str, Setter] = {
    "counted": counted,
    "Pareto of 5 %": pareto(0.05, None),
    "Pareto of 10 %": pareto(0.1, None),
    "exponential of 5 %": pareto(0.05, 0.0),
    "exponential of 10 %": pareto(0.1, 0.0),
}


def draw(rows: Rows, cohort: Vectors, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32], list[str]]:
    """Distances to the nearest enrolled person: of the cohort in random order, and of strangers; and who these are."""
    rng = np.random.default_rng((SEED, seed))
    people = sorted(rows)
    chosen = {people[i] for i in rng.permutation(len(people))[:PEOPLE]}
    gallery = {p: [rows[p][i] for i in rng.permutation(len(rows[p]))[:ENROLLED]] for p in people if p in chosen}
    means = index_people(gallery).means
    strangers = [(p, row) for p in people if p not in chosen for row in rows[p]]
    own = nearest(means, np.stack([row for _, row in strangers]))[0]
    return nearest(means, cohort[rng.permutation(len(cohort))])[0], own, [p for p, _ in strangers]


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
    rows = people_of(options.data, options.people, options.model, options.cache)
    drawn = [draw(rows, cohort, seed) for seed in range(DRAWS)]
    weights = bootstrap(rows, drawn)
    print(f"{len(rows)} people, {len(cohort)} cohort people, {DRAWS} draws; multiples of the FPIR asked for\n")
    head = [f"{set_by}, {figure}" for set_by in (f"by {SUBSET} strangers", "by all") for figure in ("mean", "SD")]
    table = Table(("FPIR asked for, %", "set by", *head), options.csv)
    for fpir in FPIRS:
        first: Floats | None = None
        for name, way in WAYS.items():
            few = [np.mean(near[SUBSET:] <= way(near[:SUBSET], fpir)) / fpir for near, _, _ in drawn]
            hits = [own <= way(near, fpir) for near, own, _ in drawn]
            reached = np.stack([(w @ h) / w.sum(axis=1) / fpir for w, h in zip(weights, hits, strict=True)])
            mean = reached.mean(axis=0)  # (1 + B,)
            first = mean if first is None else first
            gain = "" if name == "counted" else f"; {shown(mean - first, 1, 2)} more"
            cells = [f"{100 * fpir:g}", name, f"{np.mean(few):.2f}", f"{np.std(few):.2f}"]
            of = pooled([(tally(np.ones(len(h), np.bool_), h), d[2]) for h, d in zip(hits, drawn, strict=True)])
            table.add(*cells, shown(mean * fpir, 1 / fpir, 2, of) + gain, f"{reached[:, 0].std():.2f}")


def bootstrap(rows: Rows, drawn: list[tuple[NDArray[np.float32], NDArray[np.float32], list[str]]]) -> list[Floats]:
    """(1 + REPLICATES, N) of each draw: how often each search counts, as it is and with people resampled."""
    people = sorted(rows)
    place = {person: i for i, person in enumerate(people)}
    every = resamples(len(people), REPLICATES, SEED)
    return [every[:, [place[person] for person in searchers]] for _, _, searchers in drawn]


if __name__ == "__main__":
    main()
