"""scripts/studies/second_task.py: who is trained on and who is judged, and what the table says."""

import importlib
from pathlib import Path
from typing import Any

import pytest
from running import ROOT
from toy_faces import write_people, write_splits

from facerec.datasets.attributes import read_attribute
from facerec.datasets.photo_sets import read_photos
from facerec.datasets.splits import split_people


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("scripts.studies.second_task")


def test_nobody_who_is_judged_or_listed_is_trained_on(script: Any, tmp_path: Path) -> None:
    counts = {f"celeba_{i}": 3 for i in range(6)} | {f"pins_{i}": 25 for i in range(18)}
    counts |= {"celeba_0": 12} | {f"n{i}": 1 for i in range(17)}
    write_people(tmp_path / "data" / "faces", counts, size=32)
    lists = {"validation": ["faces/celeba_0", "faces/celeba_1"], "test": ["faces/celeba_2"]}
    write_splits(tmp_path / "data" / "splits", **lists, excluded=["faces/pins_3"], cohort=["faces_small/n1"])
    script.prepare(tmp_path / "data", tmp_path / "runs")
    photos = read_photos(tmp_path / "data" / "faces", tmp_path / "runs" / "exclude.txt")
    train, judged = split_people(photos, tmp_path / "runs" / "splits", seed=0)
    assert not set(train.names) & set(judged.names)
    assert not {"celeba_0", "celeba_1", "celeba_2", "pins_3"} & set(train.names)
    assert not {"celeba_2", "pins_3"} & set(judged.names)
    assert {name for name in judged.names if script.source_of(name) == "CelebA"} == {"celeba_0", "celeba_1"}
    assert len(judged.names) == 2 + 15 + 15
    assert max(len(train.photos_of(name)) for name in train.names) == script.TRAINED
    assert max(len(judged.photos_of(name)) for name in judged.names) == script.JUDGED
    values = read_attribute(tmp_path / "runs" / "source.csv").values(["pins_1/000.png", "n2/1.png", "celeba_3/2.png"])
    assert values == ["Pins", "VGGFace2", "CelebA"]


def test_differences_are_paired_by_seed(script: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    alone = [{"auc": 80.0, "tar": 5.0, "auc, all": 6.0}, {"auc": 90.0, "tar": 7.0, "auc, all": 8.0}]
    both = [run | {"auc": run["auc"] + 1, "tar": run["tar"] - 2, "source": 50.0} for run in alone]
    script.print_table({"identity alone": alone, "both": both}, tmp_path / "found.csv")
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "| identity alone | 85.00 ± 5.00 |  | 6.00 ± 1.00 |  |  | 7.00 ± 1.00 |"
    cells = "86.00 ± 5.00 | +1.00 ± 0.00 | 4.00 ± 1.00 | -2.00 ± 0.00 | 50.00 ± 0.00 | 7.00 ± 1.00"
    assert lines[3] == f"| both | {cells} |"
    kept = (tmp_path / "found.csv").read_text("utf-8").splitlines()
    assert kept[2] == f"both,{cells.replace(' | ', ',')}"
