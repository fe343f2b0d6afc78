"""scripts/studies/migration.py: made-up people migrated from one made-up model to another, and what the table says."""

import csv
import subprocess
import sys
from pathlib import Path

import toy_model
from running import ROOT


def write_crops(data: Path, split: str, people: range, photos: int) -> None:
    """Crops of so many made-up people, and the list that names them."""
    for person in people:
        for photo in range(photos):
            toy_model.save_crop(data / "faces" / f"{split}{person:03}" / f"{photo}.png", person, photo)
    (data / "splits").mkdir(exist_ok=True)
    lines = [f"faces/{split}{person:03}\n" for person in people]
    (data / "splits" / f"{split}.txt").write_text("".join(lines), "utf-8")


def test_a_gallery_is_migrated_and_both_models_are_measured(tmp_path: Path) -> None:
    write_crops(tmp_path, "validation", range(6), 3)
    write_crops(tmp_path, "cohort", range(100, 320), 1)
    old, new = (
        toy_model.write_model(tmp_path / "old", "old"),
        toy_model.write_model(tmp_path / "new", "new", mean=(90.0, 100.0, 160.0)),
    )
    command = [sys.executable, "-m", "scripts.studies", "migration", old, new, "--data", tmp_path]
    command += ["--csv", tmp_path / "migration.csv"]
    said = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said.startswith("6 people, 18 crops; embedded: 18 crops, 0 photos, 0 reused\n")
    with (tmp_path / "migration.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["model"] for row in rows] == ["old"] * 2 + ["new"] * 3, "only the new one was given strangers"
    assert [row["searches"] for row in rows] == ["18", "18", "18", "220", "18"]
    assert [row["people"] for row in rows] == ["6", "6", "6", "220", "6"]
