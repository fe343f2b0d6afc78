"""How many photos of strangers in a person's folder does `facerec check-data` name, where one stranger has several?

    .venv/bin/python -m scripts.studies planted_strangers default --data ../shared/data [--cache DIR]

Some of the validation people are the people of a folder, with so many photos each. Every sixth of them, at least one,
has some photos of strangers among these: of people outside the folder, from one stranger or in turn from two. At most
40 % of a person's photos are of strangers. Each row counts over 20 draws: the strangers' photos that were named, and
the people's own photos that were named, too. Some of the latter are errors that the data had before. "By all": if a
photo is compared with the mean of all others of the person, and each photo judged alone, as facerec did before.

After the photos are embedded (3 minutes), 3 minutes on one core. Expected: `results/planted_strangers.csv`.
"""

import argparse
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facerec.curation.label_fit import fit_of, limits_of, misfits, typical
from facerec.inference.loading import load_embedder
from facerec.types import Threshold, Vectors
from scripts.studies.people import Rows, add_options, people_of
from scripts.studies.tables import Table, study_parser

DRAWS = 20
SIZES = ((60, 20), (60, 10), (10, 20), (10, 10), (10, 6), (3, 20), (3, 10), (3, 6))  # people, photos of each at most
PLANTED = ((0, 0), (1, 1), (2, 1), (3, 1), (4, 1), (4, 2), (8, 1))  # photos of strangers with a person, strangers
MOST = 0.4
EVERY = 6


class Folder(NamedTuple):
    """N photos: their (N, D) vectors, the (N,) numbers of the people they are filed under, and which are strangers'."""

    vectors: Vectors
    labels: NDArray[np.int64]
    wrong: NDArray[np.bool_]


def draw_folder(rows: Rows, people: int, photos: int, planted: tuple[int, int], seed: int) -> Folder:
    """A folder of some people, and photos of strangers among those of every sixth of them."""
    rng = np.random.default_rng(seed)
    mixed = {name: rng.permutation(np.stack(rows[name])) for name in rng.permutation(sorted(rows))}
    names, (count, strangers) = list(mixed), planted
    vectors, labels, wrong = [], [], []
    for label, name in enumerate(names[:people]):
        has = count if label < max(1, people // EVERY) else 0
        own = mixed[name][: photos - has]
        others = [mixed[stranger] for stranger in rng.choice(names[people:], strangers, replace=False)] if has else []
        vectors += [own, *(other[: has // strangers] for other in others)]
        labels += [label] * (len(own) + has)
        wrong += [False] * len(own) + [True] * has
    return Folder(np.concatenate(vectors), np.array(labels), np.array(wrong))


def named(folder: Folder, threshold: Threshold | None) -> NDArray[np.bool_]:
    """(N,): which photos `facerec check-data` says to be somebody else's."""
    limits = limits_of(folder.vectors, folder.labels, threshold)
    fit = fit_of(folder.vectors, folder.labels, typical(folder.vectors, folder.labels, limits))
    return misfits(folder.vectors, folder.labels, fit, limits)


def named_by_all(folder: Folder, threshold: Threshold | None) -> NDArray[np.bool_]:
    """(N,): the same, if all photos of a person make up their mean, and each photo is judged alone."""
    limits = limits_of(folder.vectors, folder.labels, threshold)
    fit = fit_of(folder.vectors, folder.labels)
    return ((fit.own > limits.own) & (fit.own > fit.rival)) | (fit.own > limits.stranger)


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    made = study_parser(__doc__)
    add_options(made)
    return made


def main() -> None:
    """Draw folders of each size, plant, and count what is named."""
    options = parser().parse_args()
    threshold = load_embedder(options.model).card.default_threshold
    rows = people_of(options.data, options.people, options.model, options.cache)
    head = ("people", "photos of each", "strangers' photos with a person", "of strangers", "found", "found by all")
    table = Table((*head, "own photos", "own named", "own named by all"), options.csv)
    for people, photos in SIZES:
        for count, strangers in PLANTED:
            if count > MOST * photos:
                continue
            folders = [draw_folder(rows, people, photos, (count, strangers), seed) for seed in range(DRAWS)]
            wrong = np.concatenate([folder.wrong for folder in folders])
            found, by_all = (
                np.concatenate([way(folder, threshold) for folder in folders]) for way in (named, named_by_all)
            )
            cells = [sum(wrong), sum(found & wrong), sum(by_all & wrong)]
            cells += [sum(~wrong), sum(found & ~wrong), sum(by_all & ~wrong)]
            table.add(people, photos, f"{count}, of {strangers}" if count else "none", *cells)


if __name__ == "__main__":
    main()
