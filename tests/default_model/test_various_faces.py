"""scripts/default_model/various_faces.py: who is one person, who is left out, and what is shown more often."""

import csv
import subprocess
import sys
from pathlib import Path

import toy_model
from running import ROOT
from toy_faces import write_splits

# folder -> person's name there -> the number of the made-up person, and of their photos
CROPS = {
    "faces": {"ann": (1, 3), "bob": (2, 2), "eve": (3, 2), "val": (4, 2), "test": (5, 1)},
    "faces_small": {"1": (1, 2), "2": (6, 1), "3": (7, 1), "4": (8, 1)},
    "faces_profile": {"cfp_003": (1, 0), "cfp_006": (1, 0), "cfp_005": (3, 0), "cfp_008": (9, 0), "cfp_009": (10, 0)},
}
SAME = """# Each of these people
cfp_003: faces/ann, faces_small/1
cfp_006: faces_small/1
cfp_005: faces/eve
cfp_008: none found
cfp_009: faces_small/3
"""


def test_people_of_several_names_are_one_and_a_third_of_those_in_profile_is_left_out(tmp_path: Path) -> None:
    data, output = tmp_path / "data", tmp_path / "out"
    for folder, people in CROPS.items():
        for name, (person, count) in people.items():
            files = [f"{i}.png" for i in range(count)] or ["f01.png", "p01.png"]
            for number, file in enumerate(files):
                toy_model.save_crop(data / folder / name / file, person, number)
    for name, person in (("1_0_0_stranger", 30), ("2_1_1_eve", 3), ("3_0_4_nine", 9)):
        toy_model.save_crop(data / "faces_unlabelled" / f"{name}.png", person, 99)
    (data / "faces_profile" / "same_as.txt").write_text(SAME, "utf-8")
    write_splits(data / "splits", validation=["faces/val"], test=["faces/test"], cohort=["faces_small/4"])
    teacher = toy_model.write_model(tmp_path)
    script = ROOT / "scripts" / "default_model" / "various_faces.py"
    command = [sys.executable, str(script), str(data), str(output), "--teacher", str(teacher)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert said == "2 people of faces_profile left out, and 2 unlabelled crops that may show them\n"
    linked = {folder.name: sorted(path.name for path in folder.iterdir()) for folder in (output / "faces").iterdir()}
    assert linked == {
        "ann": ["ann-0.png", "ann-1.png", "ann-2.png", *(f"cfp_00{i}-{p}01.png" for i in (3, 6) for p in "fp"),
                "small_1-0.png", "small_1-1.png"],
        "bob": ["bob-0.png", "bob-1.png"],
        "cfp_009": ["cfp_009-f01.png", "cfp_009-p01.png", "small_3-0.png"],
        "small_2": ["small_2-0.png"],
        "val": ["val-0.png", "val-1.png"],
    }  # fmt: skip
    assert (output / "faces" / "ann" / "small_1-0.png").resolve() == data / "faces_small" / "1" / "0.png"
    assert [path.name for path in (output / "unlabelled").iterdir()] == ["1_0_0_stranger.png"]
    with (output / "times.csv").open(newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    assert head == ["photo", "times"]
    assert dict(rows) == {
        **{f"ann/cfp_00{i}-{pose}01.png": times for i in (3, 6) for pose, times in (("f", "2"), ("p", "10"))},
        **{f"cfp_009/cfp_009-{pose}01.png": times for pose, times in (("f", "2"), ("p", "10"))},
    }
