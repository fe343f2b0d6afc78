"""scripts/studies/planted_strangers.py: whose photos it draws, and that those of strangers are named."""

import numpy as np
from toy_vectors import near, units

from facerec.types import Threshold
from scripts.studies.planted_strangers import draw_folder, named, named_by_all

PEOPLE = {f"p{i}": [near(row, 0.1, seed=100 * i + n) for n in range(12)] for i, row in enumerate(units(1, 16, 64))}


def test_photos_of_strangers_are_planted_and_named() -> None:
    folder = draw_folder(PEOPLE, 12, 10, (4, 2), seed=0)
    assert np.bincount(folder.labels).tolist() == [10] * 12
    assert np.bincount(folder.labels, folder.wrong).tolist() == [4, 4] + [0] * 10
    of = [next(name for name, rows in PEOPLE.items() if (rows == row).all(axis=1).any()) for row in folder.vectors]
    owners = {label: [of[i] for i in np.flatnonzero(folder.labels == label)] for label in range(12)}
    assert [len(set(owners[label][-4:])) for label in (0, 1)] == [2, 2]
    assert not {name for i, name in enumerate(of) if folder.wrong[i]} & {owners[label][0] for label in range(12)}
    threshold = Threshold(1.0, "made up")
    assert (named(folder, threshold) == folder.wrong).all()
    assert not (named_by_all(folder, threshold) & ~folder.wrong).any()
