"""Link the training crops whose labels a teacher does not doubt into one folder, and write the teacher's file for it.

    .venv/bin/python scripts/default_model/clean_faces.py ../shared/data ../runs/clean [--all]

DATA holds `faces/`, `faces_small/`, `splits/` and `teacher/sface.npz`. OUTPUT/faces gets a folder of links per person;
people of faces_small are named small_ID. OUTPUT/teacher.npz gets the teacher's embeddings under the new names.
Labels from the web are wrong for some crops, and a wrong label makes the hardest triplet of its batch. These crops are
left out, judged by the teacher's embeddings:
- crops that are nearer to another person's mean than to the mean of their own person's other crops;
- crops unlike their own person's mean (cosine below 0.3);
- of two folders that look like one person (cosine of the means above 0.6), the smaller one.
A person's only crop stays: no triplet uses it, and a teacher needs no label. With --all every crop stays, for runs
with no other loss than the teacher's. People named in `splits/` are not judged. Validation people are linked as they
are; the others in `splits/` are left out.
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
SOURCES = {"faces": "", "faces_small": "small_"}  # folder -> prefix of its people's names in OUTPUT


@dataclass(frozen=True)
class Crop:
    """A crop. path: its file. listed: `folder/person`, as in the splits. key: `faces/person/file` in OUTPUT."""

    path: Path
    listed: str
    key: str

    @property
    def person(self) -> str:
        """The person's name in OUTPUT."""
        return self.key.split("/")[1]


def read_crops(data: Path) -> tuple[list[Crop], Vectors]:
    """Return all N crops of the sources, and the teacher's (N, T) unit rows."""
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
    """Return which crops are doubtful, (N,) bool, and the names of folders that are a second folder of somebody."""
    names, labels, counts = np.unique(people, return_inverse=True, return_counts=True)
    fit = fit_of(vectors, labels)
    doubt = (fit.own > fit.rival) | (fit.own > 2 - 2 * UNLIKE)  # both are False for a person's only crop
    alike = np.argwhere(np.triu(fit.means @ fit.means.T, 1) > SAME)
    second = {str(names[a if counts[a] < counts[b] else b]) for a, b in alike}
    return doubt, second


def main() -> None:
    """Parse the arguments, judge the crops and link them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--all", action="store_true", help="also keep the crops with doubtful labels")
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
