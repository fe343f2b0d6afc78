"""Vetoes in older formats and in damaged files."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import toy_fixtures
from killing import everything_in
from toy_damage import flip, place_of
from toy_gallery import MODEL, make_format_6, sql, template, vector

from facerec.errors import DamagedGalleryError
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


# --------------------------------------------------------------------------------------------- what is kept, and how


def test_an_older_gallery_takes_vetoes(folder: Path) -> None:
    make_format_6(folder)
    with bound(folder) as gallery:
        assert gallery.veto("Ann", template(9))
        assert gallery.check().problems == ()


def test_a_flipped_bit_of_a_vetoed_face_is_told_and_never_searched(said: Path) -> None:
    sql(said, "PRAGMA wal_checkpoint(TRUNCATE)")
    good = (said / "gallery.db.backup").read_bytes()
    flip(said / "gallery.db", 8 * place_of(said, vector(51).tobytes()))
    told = "the face of photos/51.jpg that was said not to be somebody is not what was stored; "
    with bound(said) as gallery:
        (problem,) = gallery.check().problems
        assert problem.startswith(told)
        with pytest.raises(DamagedGalleryError, match=told):
            gallery.search(vector(0)[None], 1)
        gallery.rename("Cy", "Cyd")
    assert (said / "gallery.db.backup").read_bytes() == good, "no damaged copy replaces it"
    with bound(said) as gallery:
        vetoes.forget(gallery.store, Path("photos/51.jpg"))
        assert gallery.check().problems == ()
        gallery.search(vector(0)[None], 1)


@pytest.mark.parametrize("what", ["photos/52.jpg", template(52).photo_hash])
def test_a_flipped_bit_of_what_belongs_to_it_is_told(said: Path, what: str) -> None:
    sql(said, "PRAGMA wal_checkpoint(TRUNCATE)")
    content = (said / "gallery.db").read_bytes()
    flip(said / "gallery.db", 8 * content.index(what.encode()) + 2)
    with pytest.raises(DamagedGalleryError, match="`facerec gallery restore` brings it back"):
        Gallery.open(said)
