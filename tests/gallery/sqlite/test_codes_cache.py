"""No codes beside an encrypted gallery."""

from pathlib import Path

import numpy as np
import pytest
import toy_fixtures
from toy_gallery import opened, template, vector

from facerec.gallery.gallery import Gallery
from facerec.gallery.layout import codes_of, database_of
from facerec.search import people as people_module
from facerec.search.index import nearest_rows
from facerec.search.shortlist import Codebook

folder = toy_fixtures.not_made_yet
PEOPLE = 60


@pytest.fixture(autouse=True)
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people_module, "LEAST", 20)


@pytest.fixture
def learned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each codebook was learned from."""
    counts: list[int] = []
    learn = Codebook.learn
    monkeypatch.setattr(Codebook, "learn", lambda rows: counts.append(len(rows)) or learn(rows))
    return counts


def require_right(gallery: Gallery) -> None:
    """Everybody is found as by comparing with everybody."""
    queries = np.stack([vector(number) for number in range(PEOPLE + 5)])
    names, means = gallery.mean_templates()
    expected = [[names[place] for place in row] for row in nearest_rows(queries, means, 3)[1]]
    assert [[found.person for found in row] for row in gallery.search(queries, 3)] == expected


def test_an_encrypted_gallery_keeps_no_codes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEREC_PASSPHRASE", "a long and secret sentence")
    with opened(folder) as gallery:
        gallery.add_all([(f"Person {number}", template(number)) for number in range(PEOPLE)])
        require_right(gallery)
        gallery.remove("Person 7")
        require_right(gallery)
    assert not codes_of(database_of(folder)).exists()
