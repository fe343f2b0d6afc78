"""One gallery in several threads: what they are answered is what one thread is answered."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import toy_model
from killing import everything_in, photos_in
from toy_damage import COHORT
from toy_gallery import MODEL, nearest, opened, template, vector
from toy_migration import ByHand, photos_of

from facerec.errors import GalleryError
from facerec.faces.detector import AlignedDetector
from facerec.gallery.gallery import Gallery
from facerec.recognition.enroll import enroll
from facerec.recognition.identify import identify, open_gallery
from facerec.types import Candidate

T = TypeVar("T")
THREADS = 8
STAYING = 40  # photos of people who stay, one each
GUEST = range(100, 103)  # photos of somebody who comes and goes


@pytest.fixture
def folder(tmp_path: Path, kind: str) -> Path:
    """A gallery of STAYING people and two kinds of strangers, plain or encrypted."""
    with opened(tmp_path / "gallery") as gallery:
        gallery.bind_model(*MODEL, COHORT)
        for number in range(STAYING):
            gallery.add(f"Person {number}", template(number))
    return tmp_path / "gallery"


def opened_with_cohort(folder: Path) -> Gallery:
    gallery = Gallery.open(folder)
    gallery.bind_model(*MODEL, COHORT)
    return gallery


def at_once(work: Callable[[int], T], threads: int = THREADS) -> list[T]:
    """What `work` returns for each of the threads' numbers; all of them begin at the same moment."""
    barrier = threading.Barrier(threads)

    def begin(number: int) -> T:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(begin, range(threads)))


def without_guest(found: Iterable[Candidate]) -> list[Candidate]:
    return [candidate for candidate in found if candidate.person != "Guest"]


def test_another_thread_uses_closes_and_is_told_of_it(folder: Path) -> None:
    gallery = opened_with_cohort(folder)
    with ThreadPoolExecutor(1) as other:
        assert other.submit(nearest, gallery, 3).result() == "Person 3"
        assert other.submit(gallery.add, "Guest", template(GUEST[0])).result()
        assert nearest(gallery, GUEST[0]) == "Guest"
        assert other.submit(gallery.remove, "Guest").result() == 1
        assert nearest(gallery, GUEST[0]) is None
        other.submit(gallery.close).result()
    for use in (lambda: gallery.search(vector(0)[None], 1), lambda: gallery.remove("Person 0"), gallery.check):
        with pytest.raises(GalleryError, match="closed by this program; open the gallery again"):
            use()


def test_eight_threads_are_answered_as_one(folder: Path) -> None:
    """The first to ask of a gallery that was just opened, too."""

    def ask(gallery: Gallery, number: int) -> list[object]:
        own = np.stack([vector(n) for n in range(number, STAYING, THREADS)])
        answers: list[object] = [gallery.search(own, 5), gallery.threshold, gallery.calibration(0.2)]
        return [*answers, gallery.people(), gallery.show(f"Person {number}"), len(gallery), gallery.templates]

    with opened_with_cohort(folder) as gallery:
        alone = [ask(gallery, number) for number in range(THREADS)]
    with opened_with_cohort(folder) as gallery:
        for _ in range(5):
            assert at_once(lambda number: ask(gallery, number)) == alone


def test_eight_threads_enroll(folder: Path) -> None:
    """Own people, one person together, and the same photo: nothing is lost, and nothing is there twice."""

    def enroll(number: int) -> list[bool]:
        added = [gallery.add(f"New {number}", template(1000 + 10 * number + n)) for n in range(5)]
        added += [gallery.add("Together", template(2000 + 10 * number + n)) for n in range(5)]
        return [*added, gallery.add("Together", template(3000))]

    with opened_with_cohort(folder) as gallery:
        results = at_once(enroll)
        assert [result[:10] for result in results] == [[True] * 10] * THREADS
        assert sum(result[10] for result in results) == 1
        everybody = photos_in(gallery)
        assert sorted(everybody["Together"]) == sorted([3000, *(2000 + 10 * t + n for t in range(8) for n in range(5))])
        for number in range(THREADS):
            assert everybody[f"New {number}"] == [1000 + 10 * number + n for n in range(5)]
            assert nearest(gallery, 1000 + 10 * number) == f"New {number}"
        assert gallery.check().problems == ()


def test_searching_while_somebody_comes_and_goes(folder: Path) -> None:
    """Everybody else is found as if they were alone; the guest at the mean of as many photos as there can be."""
    rows, own = np.stack([vector(n) for n in range(STAYING)]), vector(GUEST[0])
    means = [sum(vector(n) for n in GUEST[: count + 1]) for count in range(len(GUEST))]
    distances = [np.square(mean / np.linalg.norm(mean) - own).sum() for mean in means]
    over = threading.Event()

    def come_and_go() -> None:
        try:
            for _ in range(6):
                for number in GUEST:
                    gallery.add("Guest", template(number))
                assert gallery.remove("Guest") == len(GUEST)
        finally:
            over.set()

    def ask(number: int) -> list[Candidate]:
        seen: list[Candidate] = []
        if number == 0:
            come_and_go()
        while number and not over.is_set():
            found = gallery.search(rows[number::7], STAYING + 1)
            assert [without_guest(each) for each in found] == alone[number::7]
            seen += [each for each in gallery.search(own[None], STAYING + 1)[0] if each.person == "Guest"]
            assert gallery.threshold is not None
            assert len(gallery) in {STAYING, STAYING + 1}
        return seen

    with opened_with_cohort(folder) as gallery:
        alone, threshold = gallery.search(rows, STAYING + 1), gallery.threshold
        seen = [candidate for some in at_once(ask) for candidate in some]
        assert seen, "nobody saw the guest"
        assert all(min(abs(each.distance - distance) for distance in distances) < 1e-5 for each in seen)
        assert gallery.search(rows, STAYING + 1) == alone
        assert gallery.threshold == threshold
        assert gallery.check().problems == ()
    assert not any(vector(number).tobytes() in everything_in(folder) for number in GUEST)


def test_eight_threads_enroll_and_identify_photos(tmp_path: Path, old: ByHand) -> None:
    """The way of a photo, with a network one can compute by hand."""
    photos, detector = photos_of(tmp_path / "photos"), AlignedDetector()
    paths = [path for own in photos.values() for path in own]
    strangers = [toy_model.save_crop(tmp_path / "strangers" / f"{n}.png", 50 + n, 0) for n in range(THREADS)]

    def ask(number: int) -> list[tuple[Path, object]]:
        limit = gallery.threshold
        assert limit is not None
        found = identify(gallery, [*paths, strangers[number]], detector, old, limit)
        return [(each.path, each.decision) for each in found]

    with open_gallery(tmp_path / "gallery", old, create=True) as gallery:
        enrolled = at_once(lambda _: list(enroll(gallery, photos, detector, old, force=True)))
        statuses = [result.status for results in enrolled for result in results]
        assert (statuses.count("added"), statuses.count("skipped")) == (len(paths), (THREADS - 1) * len(paths))
        assert {person.name: person.templates for person in gallery.people()} == {n: len(p) for n, p in photos.items()}
        alone = [ask(number) for number in range(THREADS)]
        assert at_once(ask) == alone
        assert gallery.check().problems == ()
