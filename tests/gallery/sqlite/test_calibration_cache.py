"""No cache of a calibration beside an encrypted gallery."""

from pathlib import Path

import pytest
import toy_fixtures
from toy_damage import COHORT
from toy_gallery import MODEL, template, vector

from facerec.gallery.encryption import encrypt
from facerec.gallery.gallery import Gallery
from facerec.gallery.layout import database_of, search_of
from facerec.gallery.maintenance import check

folder = toy_fixtures.not_made_yet


def opened(folder: Path) -> Gallery:
    gallery = Gallery.open(folder, create=True)
    gallery.bind_model(*MODEL, COHORT)
    return gallery


def distance(folder: Path, *people: int) -> float:
    """The threshold in a process of its own, that enrolls these people first."""
    with opened(folder) as gallery:
        for number in people:
            gallery.add(f"Person {number}", template(number))
        made = gallery.calibration()
    assert made is not None
    return made.distance


def test_an_encrypted_gallery_keeps_no_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = distance(folder, *range(10))
    assert search_of(database_of(folder)).exists()
    encrypt(folder, "a passphrase")
    monkeypatch.setenv("FACEREC_PASSPHRASE", "a passphrase")
    assert not search_of(database_of(folder)).exists()
    assert distance(folder) == plain
    assert distance(folder, 10) != plain
    assert not search_of(database_of(folder)).exists()
    search_of(database_of(folder)).write_bytes(vector(0).tobytes())
    with opened(folder) as gallery:
        (problem,) = check(gallery.store).problems
        assert problem.endswith("calibration.cache: not encrypted, as the gallery is; delete it")
