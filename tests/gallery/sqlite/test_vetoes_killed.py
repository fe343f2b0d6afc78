"""A veto is made, or forgotten, while the process is killed before each of its steps in SQLite's file."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import toy_fixtures
from killing import everything_in, killed_before
from toy_gallery import MODEL, rows, template, vector

from facerec.gallery import vetoes
from facerec.gallery.backup import keep_copy
from facerec.gallery.gallery import Gallery
from facerec.types import Template

folder = toy_fixtures.few_people  # Ann has photo 0, Bob 1 and 2, Cy 3


def bound(folder: Path) -> Gallery:
    gallery = Gallery.open(folder)
    gallery.bind_model(*MODEL)
    return gallery


def face(number: int, row: np.ndarray) -> Template:
    """The face of photo `number`, with a vector of its own."""
    return dataclasses.replace(template(number), vector=row)


# ---------------------------------------------------------------------------------------------------- the answers


# ------------------------------------------------------------------------------------------------------ two people


# ------------------------------------------------------------------------------------------------ what goes with them


def marks(number: int) -> list[bytes]:
    """What a veto by photo `number` writes into the files."""
    return [vector(number).tobytes(), template(number).photo_hash.encode(), f"photos/{number}.jpg".encode()]


def left_of(folder: Path, *numbers: int) -> list[int]:
    content = everything_in(folder)
    return [number for number in numbers if any(mark in content for mark in marks(number))]


@pytest.fixture
def said(folder: Path) -> Path:
    """Photos 50 and 51 are not Ann, 52 is not Bob, Cy's photo 3 is not Bob; Ann and Cy are two; with two copies."""
    with bound(folder) as gallery:
        for name, numbers in {"Ann": [50, 51], "Bob": [52, 3]}.items():
            for number in numbers:
                gallery.veto(name, template(number))
        gallery.set_apart("Cy", "Ann")
        gallery.set_consent("Ann", until="2001-01-01")
        keep_copy(gallery.store.database, "rollback")
    assert left_of(folder, 50, 51, 52) == [50, 51, 52]
    return folder


def forget(folder: Path) -> None:
    with Gallery.open(folder) as gallery:
        vetoes.forget(gallery.store, Path("photos/50.jpg"))


def say(folder: Path) -> None:
    with bound(folder) as gallery:
        gallery.veto("Cy", template(53))


@pytest.mark.parametrize(("work", "before", "after"), [(forget, 1, 0), (say, 0, 1)])
def test_killed_before_any_step(said: Path, work, before: int, after: int) -> None:
    query = f"SELECT count(*) FROM vetoes WHERE source = 'photos/{50 if work is forget else 53}.jpg'"
    seen, step, killed = [], 0, True
    while killed:
        step += 7
        copy = said.with_name(str(step))
        shutil.copytree(said, copy)
        killed = killed_before(step, lambda copy=copy: work(copy))
        with bound(copy) as gallery:
            assert gallery.check().problems == ()
        seen += rows(copy, query)[0]
        if work is forget and not seen[-1]:
            assert left_of(copy, 50) == []
    assert seen == sorted(seen, reverse=before > after)
    assert (seen[0], seen[-1]) == (before, after)


# --------------------------------------------------------------------------------------------- what is kept, and how
