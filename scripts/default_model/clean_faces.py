"""Make one folder of the training crops whose labels a teacher does not doubt, and the teacher's file for it.

    .venv/bin/python scripts/default_model/clean_faces.py ../shared/data ../runs/clean [--all]

DATA holds `faces/`, `faces_small/`, `splits/` and `teacher/sface.npz`. OUTPUT/faces gets a folder of links per person
(those of faces_small as small_ID), OUTPUT/teacher.npz the teacher's embeddings under the new names.
Labels from the web are wrong for some crops, and a wrong label is the hardest triplet of its batch. Left out are crops
that are less like the mean of their person's other crops than like another person's mean, or unlike their own (cosine
below 0.3), and of two folders that look like one person (means above cosine 0.6) the smaller. A person's only crop
stays: no triplet sees it, and a teacher needs no label. With --all every crop stays, for runs that have no other loss
than a teacher's. Nobody named in `splits/` is judged; the validation people are
linked as they are, the others not at all.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facerec.curation.label_fit import fit_of
from facerec.datasets.photo_sets import PhotoSet, read_photos
from facerec.files import replacing
from facerec.training.distillation import read_teacher
from facerec.types import Vectors

UNLIKE = 0.3
SAME = 0.6
SOURCES = {"faces": "", "faces_small": "small_"}  # folder -> what its people's names begin with in OUTPUT


@dataclass(frozen=True)
class Crop:
    """A crop: its file, `folder/person` as the splits name them, its key in OUTPUT (faces/person/file)."""

    path: Path
    listed: str
    key: str

    @property
    def person(self) -> str:
        """The person's name in OUTPUT."""
        return self.key.split("/")[1]


def read_crops(data: Path) -> tuple[list[Crop], Vectors]:
    """All N crops of the sources, and the teacher's (N, T) unit rows."""
    crops, rows = [], []
    for folder, prefix in SOURCES.items():
        if (data / folder).is_dir():
            faces: PhotoSet = read_photos(data / folder)
            rows.append(read_teacher(data / "teacher" / "sface.npz", faces.keys()).numpy())
            for path in faces.paths:
                person, file = path.relative_to(faces.root).parts
                crops.append(Crop(path, f"{folder}/{person}", f"faces/{prefix}{person}/{file}"))
    return crops, np.concatenate(rows)


def doubtful(people: list[str], vectors: Vectors) -> tuple[np.ndarray, set[str]]:
    """(N,) bool, which crops are doubtful, and the names that are somebody else's second folder."""
    names, labels, counts = np.unique(people, return_inverse=True, return_counts=True)
    fit = fit_of(vectors, labels)
    doubt = (fit.own > fit.rival) | (fit.own > 2 - 2 * UNLIKE)  # neither where there is no other crop
    alike = np.argwhere(np.triu(fit.means @ fit.means.T, 1) > SAME)
    second = {str(names[a if counts[a] < counts[b] else b]) for a, b in alike}
    return doubt, second


def main() -> None:
    """Parse, judge, link."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--all", action="store_true", help="keep the crops with doubtful labels, too")
    options = parser.parse_args()
    crops, vectors = read_crops(options.data)
    lists = {path.stem: set(path.read_text("utf-8").split()) for path in (options.data / "splits").glob("*.txt")}
    listed = set().union(*lists.values())
    train = [i for i, crop in enumerate(crops) if crop.listed not in listed]
    doubt, second = doubtful([crops[i].person for i in train], vectors[train])
    sure = [i for i, bad in zip(train, doubt, strict=True) if not bad and crops[i].person not in second]
    kept = train if options.all else sure
    validation = [i for i, crop in enumerate(crops) if crop.listed in lists["validation"]]

    for i in (*kept, *validation):
        place = options.output / crops[i].key
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(crops[i].path)
    chosen = [*kept, *validation]
    names = np.array([crops[i].key for i in chosen])
    with replacing(options.output / "teacher.npz") as draft, draft.open("wb") as file:
        np.savez(file, names=names, embeddings=vectors[chosen].astype(np.float16))
    left, before = ({crops[i].person for i in some} for some in (kept, train))
    print(f"{len(kept)} of {len(train)} crops and {len(left)} of {len(before)} people left; ", end="")
    print(f"{doubt.sum()} crops doubtful, {len(second)} second folders")


if __name__ == "__main__":
    main()
