"""scripts/studies/planted_errors.py: check-data finds what is planted, among made-up people and among real ones."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageFilter
import pytest
from photo_copies import shot

from facerec.types import Image

KINDS = ["duplicate", "near_duplicate", "same_person", "wrong_label"]


def plant(*arguments: object) -> dict[str, list[int]]:
    """kind -> found, planted, others, before."""
    command = [sys.executable, "-m", "scripts.studies.planted_errors", *map(str, arguments)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = re.findall(r"^\| (\w+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", said, re.MULTILINE)
    return {kind: [int(number) for number in numbers] for kind, *numbers in rows}


def smooth(person: int, photo: int) -> Image:
    """(128, 128, 3): a shot whose edges are as soft as a face's."""
    blurred = PIL.Image.fromarray(shot(person, photo)).filter(PIL.ImageFilter.GaussianBlur(6))
    return np.asarray(blurred.resize((128, 128)))


def test_among_made_up_people(tmp_path: Path, toy: Path) -> None:
    for person in range(14):
        folder = tmp_path / "faces" / f"p{person:02}"
        folder.mkdir(parents=True)
        for photo in range(12):
            PIL.Image.fromarray(smooth(person, photo)).save(folder / f"{photo:02}.png")
    (tmp_path / "people.txt").write_text("".join(f"faces/p{person:02}\n" for person in range(14)), "utf-8")
    counts = plant(tmp_path / "faces", tmp_path / "people.txt", "--count", 12, "--model", toy)
    assert list(counts) == KINDS
    assert counts["duplicate"] == [5, 5, 0, 0]
    assert counts["near_duplicate"] == [20, 20, 0, 0]
    assert counts["same_person"] == [5, 5, 0, 0]
    assert counts["wrong_label"] == [29, 29, 0, 0]  # 4 of 144 crops moved, 25 copies
    assert len(list((tmp_path / "faces").glob("*/*"))) == 14 * 12  # the originals are as they were


@pytest.mark.real
def test_among_real_people_with_the_shipped_model(shared_data: Path) -> None:
    """15 people: the 60 that the script stands for take four times as long."""
    counts = plant(shared_data / "faces", shared_data / "splits" / "test.txt", "--count", 15)
    shares = {kind: found / planted for kind, (found, planted, *_) in counts.items()}
    assert shares["duplicate"] == 1
    assert shares["near_duplicate"] >= 0.7
    assert shares["same_person"] >= 0.6
    assert shares["wrong_label"] >= 0.9
    for kind, (_, _, others, before) in counts.items():
        assert others <= before + 3, kind
