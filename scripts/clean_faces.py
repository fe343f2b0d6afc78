"""Make a folder of links to the training crops whose labels a teacher does not doubt.

    .venv/bin/python scripts/clean_faces.py ../shared/data ../runs/clean

DATA holds `faces/`, `splits/` and `teacher/sface.npz`; OUTPUT/faces gets a folder per person, as DATA/faces has.
Labels from the web are wrong for some crops, and a wrong label is the hardest triplet of its batch. Left out are crops
that are less like the mean of their person's other crops than like another person's mean, or unlike their own (cosine
below 0.3), crops with nobody to compare to, and of two folders that look like one person (means above cosine 0.6) the
smaller. Only people to train on are looked at; the validation people are linked as they are, the others not at all.
Expected of the crops this was written for: 25,722 of 1,044 people, of which 24,900 of 1,007 are left (11 people
are second folders, 26 have no two crops that agree).
"""

import argparse
from pathlib import Path

import numpy as np

from facerec.data import FaceSet, read_faces, split_people
from facerec.distill import read_teacher
from facerec.types import Vectors

UNLIKE = 0.3
SAME = 0.6


def unit(rows: Vectors) -> Vectors:
    """Rows of length 1; a row of zeros stays."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def doubtful(faces: FaceSet, vectors: Vectors) -> tuple[np.ndarray, set[str]]:
    """(N,) bool, which crops are doubtful, and the people who are somebody else's second folder."""
    own = np.eye(len(faces.people), dtype=np.float32)[faces.labels]  # (N, P)
    sums = own.T @ vectors  # (P, D)
    means = unit(sums)
    to_own = (unit(sums[faces.labels] - vectors) * vectors).sum(1)
    to_others = (vectors @ means.T - 4 * own).max(1)
    counts = np.bincount(faces.labels)
    alike = np.argwhere(np.triu(means @ means.T, 1) > SAME)
    second = {faces.people[a if counts[a] < counts[b] else b] for a, b in alike}
    return (to_own < to_others) | (to_own < UNLIKE), second


def link(paths: list[Path], root: Path, output: Path) -> None:
    """Links under output/PERSON to these photos under root/PERSON."""
    for path in paths:
        place = output / path.relative_to(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(path)


def main() -> None:
    """Parse, judge, link."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    train, validation = split_people(read_faces(options.data / "faces"), options.data / "splits", seed=0)
    vectors = read_teacher(options.data / "teacher" / "sface.npz", train.keys()).numpy()
    crops, second = doubtful(train, vectors)
    kept = [path for path, bad in zip(train.paths, crops, strict=True) if not bad and path.parent.name not in second]
    link([*kept, *validation.paths], train.root, options.output / "faces")
    people = len({path.parent for path in kept})
    print(f"{len(kept)} of {len(train)} crops and {people} of {len(train.people)} people left; {crops.sum()} doubtful")


if __name__ == "__main__":
    main()
