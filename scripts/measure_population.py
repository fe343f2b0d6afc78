"""Strangers taken for strangers of the kind of those who are enrolled: FPIR at the threshold, with and without.

    .venv/bin/python scripts/measure_population.py MODEL --data ../shared/data [--cache DIR]

Kinds of people: the validation people (CelebA), and training people of CelebA, of Pins and of VGGFace2 (at most 200 of
each, 5 photos each). The model knows the training people, which makes all of them a little less alike; the cohort is
CelebA's, in low resolution. Of each kind 10, 20 or 40 people are drawn 100 times and enrolled with up to 4 photos each;
one photo of every other person of their kind is searched. Mean and standard deviation over the draws of the FPIR at the
threshold for 1 %, for some pairs of SHIFT and STRETCH (facerec/population.py); 0 and 0: the cohort as it is.
"""

import argparse
from pathlib import Path

import numpy as np
from compare_identification import Rows
from held_out_people import people_of
from measure_cohort import embed

from facerec import population
from facerec.cohort import load_cohort
from facerec.embed import Embedder, load_embedder
from facerec.identification import index_people
from facerec.population import calibrate_people
from facerec.types import Vectors

KINDS = {"training, CelebA": "celeba_", "training, Pins": "pins_", "training, VGGFace2": "n"}
PEOPLE, PHOTOS, ENROLLED, DRAWS, FPIR, SEED = 200, 5, 4, 100, 0.01, 0
SIZES = (10, 20, 40)
PRIORS = ((1e-9, 1e-9), (0.02, 1e-9), (0.02, 0.02), (0.04, 0.04), (0.08, 0.08))


def training_people(data: Path, prefix: str, embedder: Embedder) -> Rows:
    """Person -> vectors, of people of one source who are in no split."""
    listed = {line for path in (data / "splits").glob("*.txt") for line in path.read_text("utf-8").split()}
    free = sorted(path for path in (data / "faces").glob(f"{prefix}*") if f"faces/{path.name}" not in listed)
    rng = np.random.default_rng(SEED)
    paths = []
    for i in rng.permutation(len(free))[:PEOPLE]:
        own = sorted(free[i].iterdir())
        paths += [own[j] for j in rng.permutation(len(own))[:PHOTOS]]
    rows: Rows = {}
    for path, row in zip(paths, embed(paths, embedder), strict=True):
        rows.setdefault(path.parent.name, []).append(row)
    return rows


def rate(rows: Rows, size: int, seed: int, cohort: Vectors) -> float:
    """The FPIR of one gallery of so many of the people."""
    rng = np.random.default_rng((SEED, size, seed))
    order = [sorted(rows)[i] for i in rng.permutation(len(rows))]
    mixed = {person: [rows[person][i] for i in rng.permutation(len(rows[person]))] for person in order}
    people = index_people({person: mixed[person][:ENROLLED] for person in order[:size]})
    made = calibrate_people(people, cohort, FPIR)
    assert made is not None, "the model has no cohort"
    strangers = np.stack([mixed[person][0] for person in order[size:]])
    return float(np.mean([found[0].distance <= made.distance for found in people.nearest(strangers, 1)]))


def main() -> None:
    """Parse, embed, draw, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args()
    embedder = load_embedder(options.model)
    cohort = load_cohort(embedder.path, embedder.card)
    kinds = {"validation": people_of(options.data, "validation", options.model, options.cache)}
    kinds |= {name: training_people(options.data, prefix, embedder) for name, prefix in KINDS.items()}
    shown = " | ".join(f"{shift:.2f} and {stretch:.2f}" for shift, stretch in PRIORS)
    print(f"FPIR in percent, mean ± standard deviation of {DRAWS} galleries, by SHIFT and STRETCH\n")
    print(f"| people | enrolled | {shown} |\n|{'---|' * (2 + len(PRIORS))}")
    for name, rows in kinds.items():
        for size in SIZES:
            cells = []
            for population.SHIFT, population.STRETCH in PRIORS:
                rates = 100 * np.array([rate(rows, size, seed, cohort) for seed in range(DRAWS)])
                cells.append(f"{rates.mean():.2f} ± {rates.std():.2f}")
            print(f"| {name} ({len(rows)}) | {size} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
