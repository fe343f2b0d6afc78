"""scripts/clean_faces.py: which crops are doubtful, by vectors placed by hand, and what is linked."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from running import ROOT
from toy_faces import write_people, write_splits

DIRECTIONS = np.eye(8)
# person -> the teacher's direction of each of their crops, as indices of DIRECTIONS
SAYS = {
    "ann": [0, 0, 0, 1],  # the last crop shows bob
    "bob": [1, 1, 1],
    "bob_again": [1, 1],
    "cleo": [2, 2, 3],  # the last crop shows nobody known
    "dan": [4],
    "val": [5, 6],  # validates: not judged
    "test": [7, 7],  # left out of training
}


def test_wrong_labels_second_folders_and_lonely_crops_are_left_out(tmp_path: Path) -> None:
    faces = write_people(tmp_path / "faces", {person: len(rows) for person, rows in SAYS.items()}, size=32)
    write_splits(tmp_path / "splits", validation=["faces/val", "faces/val2"], test=["faces/test"])
    write_people(tmp_path / "faces", {"val2": 1}, size=32)
    photos = {person: sorted((faces / person).iterdir()) for person in SAYS}
    names = [f"faces/{path.relative_to(faces)}" for person in SAYS for path in photos[person]]
    rows = DIRECTIONS[[row for person in SAYS for row in SAYS[person]]].astype(np.float16)
    (tmp_path / "teacher").mkdir()
    np.savez(tmp_path / "teacher" / "sface.npz", names=np.array(names), embeddings=rows)

    command = [sys.executable, str(ROOT / "scripts" / "clean_faces.py"), str(tmp_path), str(tmp_path / "clean")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    clean = tmp_path / "clean" / "faces"
    left = {person.name: len(list(person.iterdir())) for person in clean.iterdir()}
    assert left == {"ann": 3, "bob": 3, "cleo": 2, "val": 2, "val2": 1}
    assert said == "8 of 13 crops and 3 of 5 people left; 3 doubtful\n"
    assert sorted(path.name for path in (clean / "ann").iterdir()) == [path.name for path in photos["ann"][:3]]
    assert all(path.resolve().parents[2] == tmp_path.resolve() for path in clean.glob("*/*"))
