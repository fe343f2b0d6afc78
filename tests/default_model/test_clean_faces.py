"""scripts/default_model/clean_faces.py: which crops are doubtful, by vectors placed by hand, and what is linked."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from running import ROOT
from toy_faces import write_people, write_splits

from facerec.datasets.photo_sets import read_photos
from facerec.training.distillation import read_teacher

DIRECTIONS = np.eye(8)
# person -> the teacher's direction of each of their crops, as indices of DIRECTIONS
FACES = {
    "ann": [0, 0, 0, 1],  # the last crop shows bob
    "bob": [1, 1, 1],
    "cleo": [2, 2, 3],  # the last crop shows nobody known
    "dan": [4],
    "val": [5, 6],  # validates: not judged
    "test": [7, 7],  # left out of training
}
SMALL = {"1": [1, 1], "2": [3, 3], "3": [7]}  # 1 is bob again; 3 is a stranger for calibration


def test_wrong_labels_and_second_folders_are_left_out(tmp_path: Path) -> None:
    names, rows = [], []
    for folder, says in (("faces", FACES), ("faces_small", SMALL)):
        root = write_people(tmp_path / folder, {person: len(places) for person, places in says.items()}, size=32)
        names += read_photos(root).keys()
        rows += [place for person in sorted(says) for place in says[person]]
    write_splits(tmp_path / "splits", validation=["faces/val"], test=["faces/test"], cohort=["faces_small/3"])
    (tmp_path / "teacher").mkdir()
    embeddings = DIRECTIONS[rows].astype(np.float16)
    np.savez(tmp_path / "teacher" / "sface.npz", names=np.array(names), embeddings=embeddings)

    command = [
        sys.executable,
        str(ROOT / "scripts" / "default_model" / "clean_faces.py"),
        str(tmp_path),
        str(tmp_path / "clean"),
    ]
    subprocess.run([*command[:-1], str(tmp_path / "every"), "--all"], check=True)
    every = read_photos(tmp_path / "every" / "faces")
    assert {person: len(every.photos_of(person)) for person in every.names} == {
        "ann": 4, "bob": 3, "cleo": 3, "dan": 1, "small_1": 2, "small_2": 2, "val": 2,
    }  # fmt: skip

    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said == "11 of 15 crops and 5 of 6 people left; 2 crops doubtful, 1 second folders\n"
    clean = read_photos(tmp_path / "clean" / "faces")
    left = {person: [path.stem for path in clean.photos_of(person)] for person in clean.names}
    assert left == {
        "ann": ["000", "001", "002"],
        "bob": ["000", "001", "002"],
        "cleo": ["000", "001"],
        "dan": ["000"],
        "small_2": ["000", "001"],
        "val": ["000", "001"],
    }
    assert (clean.root / "small_2" / "000.png").resolve() == (tmp_path / "faces_small" / "2" / "000.png").resolve()
    teacher = read_teacher(tmp_path / "clean" / "teacher.npz", clean.keys()).numpy()
    assert teacher.argmax(1).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 4, 3, 3, 5, 6]
