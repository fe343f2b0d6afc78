"""scripts/studies/clustering.py: the albums are what it says, and made-up people are all found."""

import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_model
from running import ROOT

from facerec.inference.loading import load_embedder
from facerec.models.cohort import save_cohort


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("scripts.studies.clustering")


@pytest.fixture
def album(script: Any) -> Any:
    """A draw of 70 people with 12 crops each, whose vectors hold their own number."""
    people = np.repeat(np.arange(70), 12)
    return script.draw(np.arange(len(people), dtype=np.float32)[:, None], people, 3)


def test_an_album_is_uneven_and_holds_no_crop_twice(album: Any) -> None:
    crops = album.vectors[:, 0].astype(int)
    assert len(set(crops)) == len(crops) == len(set(album.photos))
    assert (crops // 12 == album.people).all()
    _, counts = np.unique(album.people, return_counts=True)
    assert 20 <= len(counts) <= 60
    assert (counts == 1).any()
    assert counts.max() > 6


def test_nobody_is_on_a_photo_twice(script: Any, album: Any) -> None:
    found = script.together(album, 3)
    assert (found.people == album.people).all()
    photos, sizes = np.unique(found.photos, return_counts=True)
    assert 2 <= sizes.max() <= 5
    assert 0.3 < (sizes[sizes > 1].sum() / len(found.photos)) < 0.6
    for photo in photos:
        there = found.people[found.photos == photo]
        assert len(set(there)) == len(there)


def test_a_crowd_are_people_of_their_own(script: Any, album: Any) -> None:
    found = script.crowd(album, np.zeros((600, 1), np.float32), 3)
    assert len(found.people) == len(album.people) + 500
    assert len(set(found.people[len(album.people) :])) == 500
    assert (found.people[len(album.people) :] < 0).all()


def test_strangers_count_once_however_people_are_drawn(script: Any) -> None:
    album = script.Album(np.eye(4, dtype=np.float32), np.array([0, 0, 1, -5]), np.arange(4))
    wrong = script.score([album], np.zeros((0, 4)), lambda *_: np.array([1, 1, 2, 2]), 2)
    assert wrong[0].tolist() == [0.75, 1, pytest.approx(6 / 7)]
    # person 0 twice: 4 x 1 and the stranger's half of 5; person 1 twice: 2 x 1/2 and that of 3; each once: as it is
    assert {round(float(row[0]), 6) for row in wrong[1:]} == {0.9, 0.5, 0.75}


def test_made_up_people_are_found(tmp_path: Path) -> None:
    for person in range(22):
        for photo in range(3):
            toy_model.save_crop(tmp_path / "faces" / f"p{person:02}" / f"{photo}.png", person, photo)
    (tmp_path / "people.txt").write_text("".join(f"faces/p{person:02}\n" for person in range(22)), "utf-8")
    model = toy_model.write_model(tmp_path / "model")
    rows = [toy_model.vector(toy_model.crop(person, 0)) for person in range(100, 300)]
    save_cohort(model, load_embedder(str(model)).card, np.array(rows, np.float32), "made up")
    command = [sys.executable, "-m", "scripts.studies.clustering", tmp_path / "faces", "--model", model]
    command += ["--people", tmp_path / "people.txt", "--cache", tmp_path / "cache.npz", "--shipped"]
    said = [
        subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout for _ in range(2)
    ]
    assert said[0] == said[1], "the cache holds the embeddings"
    assert said[0].startswith("22 people, 66 crops; ")
    cells = re.findall(r"^\| average linkage, 10 % of strangers \| (\S+) \| (\S+) \| ", said[0], re.MULTILINE)
    assert [recall for _, recall in cells] == ["100.0"] * 4
    assert all(90 < float(precision) < 100 for precision, _ in cells), (
        "of strangers one in ten joins, so of people some"
    )
