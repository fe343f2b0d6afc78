"""Who should set a gallery's threshold: the cohort as it is, the cohort made alike to the people enrolled, or these?

    .venv/bin/python -m scripts.studies population MODEL --data ../shared/data [--cache DIR]

Kinds of people: the validation people (CelebA), and training people of CelebA, of Pins, of VGGFace2 (at most 5 photos
each), of CelebA in low resolution (at most 3), and all of these. The model was trained on the training people. The
cohort is CelebA's, in low resolution. Of each kind, so many people are drawn and enrolled with up to 4 photos each,
100 times (40 times from 400 people on). One photo of every other person of their kind is searched; sizes are left out
where there are fewer than 2 strangers for 3 people enrolled.

Reported: mean and standard deviation over the draws of the FPIR at the threshold for 1 %, for some choices of SHIFT,
STRETCH and EQUAL (facerec/decision/population.py). SHIFT and STRETCH near 0 leave the cohort as it is; an infinite
EQUAL asks the cohort alone.
"""

import argparse
import math
from pathlib import Path

import numpy as np

from facerec.decision import population
from facerec.decision.population import calibrate_people
from facerec.evaluation.identification import index_people
from facerec.inference.embedder import Embedder
from facerec.inference.loading import load_embedder
from facerec.models.cohort import load_cohort
from facerec.types import Vectors
from scripts.studies.cohort import embed
from scripts.studies.people import Rows, held_back, people_of, read_rows, write_rows
from scripts.studies.tables import Table, study_parser

KINDS = {
    "training, CelebA": "faces/celeba_",
    "training, Pins": "faces/pins_",
    "training, VGGFace2": "faces/n",
    "training, low resolution": "faces_small/",
    "training, all": "faces",
}
PHOTOS = {"faces": 5, "faces_small": 3}
ENROLLED, FPIR, SEED = 4, 0.01, 0
SIZES = {10: 100, 40: 100, 100: 100, 400: 40, 1000: 40}  # people enrolled: draws
STRANGERS = 2 / 3  # at least, for each of the people enrolled
CHOICES = {
    "the cohort as it is": (1e-9, 1e-9, math.inf),
    "of their kind": (0.04, 0.04, math.inf),
    "0.04, 0.04, 200": (0.04, 0.04, 200),
    "0.04, 0.04, 100": (0.04, 0.04, 100),
    "0.04, 0.04, 50": (0.04, 0.04, 50),
    "0.08, 0.08, 100": (0.08, 0.08, 100),
}


def training_people(data: Path, embedder: Embedder, cache: Path | None) -> Rows:
    """FOLDER/PERSON -> vectors, of everybody whom no list in splits/ names."""
    kept = cache and cache / f"training-{embedder.card.fingerprint}.npz"
    if kept is not None and kept.exists():
        return read_rows(kept)
    listed = held_back(data)
    rng = np.random.default_rng(SEED)
    paths = []
    for folder, most in PHOTOS.items():
        for person in sorted((data / folder).iterdir()):
            if f"{folder}/{person.name}" not in listed:
                own = sorted(person.iterdir())
                paths += [own[i] for i in rng.permutation(len(own))[:most]]
    rows: Rows = {}
    for path, row in zip(paths, embed(paths, embedder), strict=True):
        rows.setdefault(f"{path.parent.parent.name}/{path.parent.name}", []).append(row)
    if kept is not None:
        write_rows(kept, rows)
    return rows


def rates(rows: Rows, size: int, seed: int, cohort: Vectors) -> list[float]:
    """The FPIR of one gallery of so many of the people, at each of CHOICES."""
    rng = np.random.default_rng((SEED, size, seed))
    order = [sorted(rows)[i] for i in rng.permutation(len(rows))]
    mixed = {person: [rows[person][i] for i in rng.permutation(len(rows[person]))] for person in order}
    people = index_people({person: mixed[person][:ENROLLED] for person in order[:size]})
    strangers = np.stack([mixed[person][0] for person in order[size:]])
    nearest, found = np.array([best[0].distance for best in people.nearest(strangers, 1)]), []
    for population.SHIFT, population.STRETCH, population.EQUAL in CHOICES.values():
        made = calibrate_people(people, cohort, FPIR)
        assert made is not None, "the model has no cohort"
        found.append(float(np.mean(nearest <= made.distance)))
    return found


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    made = study_parser(__doc__, data=True)
    made.add_argument("model")
    made.add_argument("--cache", type=Path)
    return made


def main() -> None:
    """Parse, embed, draw, print a Markdown table."""
    options = parser().parse_args()
    embedder = load_embedder(options.model)
    cohort = load_cohort(embedder.path, embedder.card)
    kinds = {"validation": people_of(options.data, "validation", options.model, options.cache)}
    training = training_people(options.data, embedder, options.cache)
    for name, prefix in KINDS.items():
        kinds[name] = {person: own for person, own in training.items() if person.startswith(prefix)}
    print("FPIR in percent, mean ± standard deviation over galleries, by SHIFT, STRETCH, EQUAL\n")
    table = Table(("people", "enrolled", *CHOICES), options.csv)
    for name, rows in kinds.items():
        for size, draws in SIZES.items():
            if len(rows) < (1 + STRANGERS) * size:
                continue
            drawn = 100 * np.array([rates(rows, size, seed, cohort) for seed in range(draws)])
            cells = [f"{column.mean():.2f} ± {column.std():.2f}" for column in drawn.T]
            table.add(f"{name} ({len(rows):,})", f"{size:,}", *cells)


if __name__ == "__main__":
    main()
