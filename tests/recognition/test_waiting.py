"""What waits for a person: near misses, unknown faces by person, photos held back, people who look like one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toy_model
from toy_migration import ByHand
from toy_vectors import near

from facerec.gallery.gallery import Gallery
from facerec.gallery.unknown_faces import keep, kept_faces
from facerec.recognition.identify import open_gallery
from facerec.recognition.waiting import NEAR, waiting
from facerec.types import Template

DAY = "2031-12-30"
CROP = np.zeros((112, 112, 3), np.uint8)


@pytest.fixture
def model(tmp_path: Path) -> ByHand:
    return ByHand(tmp_path, "hand", 4)


def face(vector: np.ndarray, number: int) -> Template:
    return Template(f"{number:064x}", f"{number}.jpg", (0.0, 0.0, 90.0, 110.0), 1.0, vector, CROP)


def of(person: int, model: ByHand, photo: int = 0) -> np.ndarray:
    return model.embed(toy_model.crop(person, photo)[None])[0]


@pytest.fixture
def people(model: ByHand, tmp_path: Path):
    """A gallery of Ann, Bob and Cy, with one photo each."""
    with open_gallery(tmp_path / "gallery", model, create=True) as gallery:
        for person, name in enumerate(("Ann", "Bob", "Cy")):
            gallery.add(name, face(of(person, model), person))
        yield gallery


def limits(gallery: Gallery) -> tuple[float, float]:
    """The gallery's threshold, and the one beyond which a face is no near miss."""
    limit, wider = gallery.calibration(), gallery.calibration(NEAR * 0.01)
    assert limit is not None
    assert wider is not None
    assert wider.distance > limit.distance
    return limit.distance, wider.distance


def test_nothing_waits_in_a_new_gallery(people: Gallery, model: ByHand) -> None:
    found = waiting(people, model)
    assert found.count == 0
    assert (found.near, found.groups, found.alike) == ((), (), ())


def test_a_near_miss_is_suggested_until_it_is_dismissed(people: Gallery, model: ByHand) -> None:
    limit, wider = limits(people)
    ann = of(0, model)
    distances = [limit - 0.01, (limit + wider) / 2, wider + 0.01]
    faces = [face(near(ann, distance, seed), 50 + seed) for seed, distance in enumerate(distances)]
    for number, each in enumerate(faces):
        keep(people.store, f"{number:064x}", [each], DAY)
    found = waiting(people, model)
    assert [(each.person, each.within) for each in found.near] == [("Ann", True), ("Ann", False)]
    assert [each.distance for each in found.near] == pytest.approx(distances[:2], abs=1e-4)
    assert [[each.photo_hash for each in group] for group in found.groups] == [[faces[2].photo_hash]]
    for each in faces[:2]:
        people.veto("Ann", replace(each, crop=None))
    found = waiting(people, model)
    assert found.near == ()
    assert sum(map(len, found.groups)) == 3, "they are still unknown"


def test_unknown_faces_are_grouped_by_person(people: Gallery, model: ByHand) -> None:
    seen = {photo: [face(of(person, model, photo), 100 * person + photo) for person in (5, 6)] for photo in range(3)}
    seen[3] = [face(of(7, model), 700)]
    for photo, faces in seen.items():
        keep(people.store, f"{photo:064x}", faces, DAY)
    groups = [{int(each.photo_hash, 16) // 100 for each in group} for group in waiting(people, model).groups]
    assert groups in ([{5}, {6}, {7}], [{6}, {5}, {7}])
    assert [len(group) for group in waiting(people, model).groups] == [3, 3, 1]


def test_two_faces_of_one_photo_are_never_one_person(people: Gallery, model: ByHand) -> None:
    keep(people.store, "a" * 64, [face(of(5, model, photo), photo + 40) for photo in range(2)], DAY)
    assert [len(group) for group in waiting(people, model).groups] == [1, 1]


def test_a_face_that_was_held_back_names_both(people: Gallery, model: ByHand) -> None:
    keep(people.store, "a" * 64, [face(of(1, model, 3), 60)], DAY, "Ann")
    (held,) = waiting(people, model).held_back
    assert (held.face.claimed, held.person, held.within) == ("Ann", "Bob", True)


@pytest.mark.parametrize("dismissed", [("Ann",), ("Bob",), ("Ann", "Bob")])
def test_a_dismissed_claim_is_not_shown_again(people: Gallery, model: ByHand, dismissed: tuple[str, ...]) -> None:
    held = face(of(1, model, 3), 60)
    keep(people.store, "a" * 64, [held], DAY, "Ann")
    for name in dismissed:
        people.veto(name, replace(held, crop=None))
    found = waiting(people, model)
    assert (found.held_back, [each.person for each in found.near]) == ((), ["Bob"] if "Bob" not in dismissed else [])
    assert len(found.groups) == ("Bob" in dismissed), "it still waits, as a face of nobody"


def test_a_face_near_only_the_person_as_whom_it_was_held_back_is_asked_about_simply(
    people: Gallery, model: ByHand
) -> None:
    keep(people.store, "a" * 64, [face(of(0, model, 3), 60)], DAY, "Ann")
    found = waiting(people, model)
    assert (found.held_back, [each.person for each in found.near]) == ((), ["Ann"])


def test_people_who_look_like_one_wait_until_they_are_said_to_be_two(people: Gallery, model: ByHand) -> None:
    people.add("Anna", face(of(0, model, 9), 30))
    people.add("Anna", face(of(0, model, 8), 31))
    (pair,) = waiting(people, model).alike
    assert (pair.person, pair.other) == ("Ann", "Anna")
    people.set_apart("Ann", "Anna")
    assert waiting(people, model).alike == ()


def test_an_enrolled_photo_of_somebody_else_is_doubted(people: Gallery, model: ByHand) -> None:
    for number in range(3):
        people.add("Bob", face(of(1, model, 10 + number), 20 + number))
    people.add("Ann", face(of(0, model, 4), 24))
    people.add("Ann", face(of(1, model, 5), 25))
    (doubt,) = waiting(people, model).doubts
    assert (doubt.person, doubt.photo.photo_hash) == ("Ann", face(of(1, model), 25).photo_hash)
    assert doubt.reason.startswith("nearer to Bob")
    assert kept_faces(people.store) == []
