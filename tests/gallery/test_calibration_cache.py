"""What a calibration found is kept for the next one, in a file that is only a cache."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import toy_fixtures
from toy_damage import COHORT
from toy_gallery import MODEL, template, vector

from facerec.gallery.calibration_cache import keep
from facerec.gallery.gallery import Gallery
from facerec.gallery.layout import database_of, search_of
from facerec.gallery.vetoes import forget_apart
from facerec.search import standing
from facerec.search.leave_one_out import Search

Nearest = tuple[np.ndarray, np.ndarray]
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


def test_the_next_process_goes_on_where_the_last_one_was(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[int] = []
    real = standing.nearest_others

    def counting(vectors: np.ndarray, places: np.ndarray, means: np.ndarray, *search: Search) -> Nearest:
        searched.append(len(vectors) * len(means))
        return real(vectors, places, means, *search)

    distance(folder, *range(50))
    monkeypatch.setattr(standing, "nearest_others", counting)
    more = distance(folder, 50)
    assert 0 < sum(searched) < len(COHORT) * 51 / 2
    assert more == pytest.approx(distance(tmp_path / "at once", *range(51)), abs=1e-6)


def test_a_cache_that_is_gone_or_damaged_is_made_again(folder: Path) -> None:
    distance(folder, *range(10))
    cache = search_of(database_of(folder))
    sound, expected = cache.read_bytes(), []
    for content in (sound, None, b"", sound[:-1], sound[:200] + b"\xff" + sound[201:]):
        if content is not None:
            cache.write_bytes(content)
        expected.append(distance(folder, 10))
        with Gallery.open(folder) as gallery:
            gallery.remove("Person 10")
        assert not cache.exists()
    assert expected == pytest.approx([expected[0]] * 5, abs=1e-6)


def test_no_cache_outlives_whom_it_was_made_of(folder: Path) -> None:
    with opened(folder) as gallery, opened(folder) as slow:
        for number in range(5):
            gallery.add(f"Person {number}", template(number))
        assert slow.calibration() is not None
        cache = slow._bound()
        search, generation, made = cache.search(), cache.generation, slow.calibration()
        assert made is not None
        gallery.remove("Person 0")
        assert not search_of(database_of(folder)).exists()
        keep(slow.store, generation, made, search)
        assert not search_of(database_of(folder)).exists(), "a slow process does not write it back"
        assert slow.calibration() is not None
        assert search_of(database_of(folder)).exists()


def test_who_is_said_to_be_two_counts_as_two_from_then_on(folder: Path) -> None:
    """Also in a gallery that is open, and until it is taken back."""
    near = vector(0) + 0.05 * vector(1)
    again = dataclasses.replace(template(1), vector=(near / np.linalg.norm(near)).astype(np.float32))
    with Gallery.open(folder, create=True) as gallery:
        gallery.bind_model(*MODEL, np.stack([vector(1000 + number) for number in range(200)]))
        gallery.add("Ann Lee", template(0))
        gallery.add("ann lee", again)
        found = [gallery.threshold]
        gallery.set_apart("Ann Lee", "ann lee")
        found.append(gallery.threshold)
        forget_apart(gallery.store, "Ann Lee", "ann lee")
        found.append(gallery.threshold)
    one, two, taken_back = (limit.distance for limit in found if limit is not None)
    assert taken_back == one
    assert two < one
