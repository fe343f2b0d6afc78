"""scripts/studies/faces.py: which photos a size draws, which sizes are left out, and what a row shows."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import ROOT

from facerec.datasets.photo_sets import PhotoSet
from facerec.study.table import Measured, Row


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("scripts.studies.faces")


def people(*counts: int) -> PhotoSet:
    """Person i has counts[i] photos."""
    paths = [Path(f"faces/p{i}/{j}.png") for i, count in enumerate(counts) for j in range(count)]
    labels = np.repeat(np.arange(len(counts)), counts)
    return PhotoSet(Path("faces"), tuple(f"p{i}" for i in range(len(counts))), tuple(paths), labels)


def test_a_size_draws_so_many_photos_of_so_many_people_always_the_same(script: Any) -> None:
    photos = people(1, 5, 2, 9, 3, 5)
    drawn = script.draw_photos(photos, 3, 3)
    assert len(set(drawn)) == 9
    own = [path.parent.name for path in drawn]
    assert sorted(own.count(name) for name in set(own)) == [3, 3, 3]
    assert not {"p0", "p2"} & set(own), "they have too few"
    assert script.draw_photos(photos, 3, 3) == drawn
    assert script.draw_photos(photos, 5, 3) is None, "four people have three photos"


def test_links_show_the_photos_and_are_made_once(script: Any, tmp_path: Path) -> None:
    photo = tmp_path / "all" / "p0" / "a.png"
    photo.parent.mkdir(parents=True)
    photo.write_bytes(b"a photo")
    folder = script.link_photos(tmp_path / "drawn" / "faces", [photo])
    assert script.link_photos(folder, [photo]) == folder
    assert (folder / "p0" / "a.png").read_bytes() == b"a photo"


def row(done: int, quality: tuple[Measured, ...] = ()) -> Row:
    return Row("resnet50", "full", "imagenet", done, 1 - done, 0, "no memory", "", quality, 90.0, 2048.0, 25_000_000,
               23_500_000, 320, 1.0, 0.123, None, ())  # fmt: skip


def test_a_row_shows_the_figures_of_a_study_or_why_there_are_none(script: Any) -> None:
    tar = Measured("tar", "TAR at FMR 1e-3", 0.5, (0.25, 0.75), 3)
    cells = script.cells_of("grid", row(1, (tar, Measured("auc", "AUC", 0.9, None, 1))))
    assert cells == ["grid", "resnet50", "full", "1", "50.0 (25.0 to 75.0)", "90.0", "12.3", "23.5", "1.5", "2.0"]
    failed = script.cells_of("grid", row(0))
    assert "none: no memory" in failed
    assert len(failed) == len(cells)
