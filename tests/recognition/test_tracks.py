"""tracks.py: faces followed through scenes whose people, places and vectors were placed by hand."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from toy_video import face_at

from facerec.recognition.tracks import BEST, Track, Tracker
from facerec.types import Face, Vectors

SAME = 1.0  # squared distance of two faces of one person, at most
ANN, BOB, CY = np.eye(3)
POOR = 0.5  # confidence of a face that is too poor to be enrolled

Seen = tuple[float, NDArray[np.float64]]  # where a face is (x), and its vector


def like(vector: NDArray[np.float64], distance: float, towards: NDArray[np.float64] = CY) -> NDArray[np.float64]:
    """Return the unit vector at a squared distance from one of ANN, BOB, CY, on the way to another."""
    cosine = 1 - distance / 2
    return cosine * vector + np.sqrt(1 - cosine**2) * towards


def look(
    tracker: Tracker, seconds: float, *seen: Seen, confidence: float = 1.0
) -> tuple[list[Track | None], list[Track]]:
    faces = [face_at(0, 0, x, confidence=confidence) for x, _ in seen]
    vectors = np.array([vector for _, vector in seen], np.float32).reshape(-1, 3)
    return tracker.look(seconds, faces, vectors)


def numbers(tracks: Sequence[Track | None]) -> list[int | None]:
    return [None if track is None else track.number for track in tracks]


@pytest.fixture
def tracker() -> Tracker:
    return Tracker(SAME)


def test_two_people_who_cross_keep_their_tracks(tracker: Tracker) -> None:
    """They walk through each other, a quarter of a face in each step. The detector's order changes."""
    for step in range(21):
        ann, bob = (100 + 25 * step, ANN), (600 - 25 * step, BOB)
        if step == 10:  # both at 350: one hides the other
            found, _ = look(tracker, 0.2 * step, bob)
            assert numbers(found) == [1]
        elif step % 2:
            assert numbers(look(tracker, 0.2 * step, bob, ann)[0]) == [1, 0]
        else:
            assert numbers(look(tracker, 0.2 * step, ann, bob)[0]) == [0, 1]
    ann, bob = tracker.end()
    np.testing.assert_allclose([ann.mean, bob.mean], [ANN, BOB], atol=1e-6)


def test_look_alikes_are_told_apart_by_their_motion(tracker: Tracker) -> None:
    """Their vectors do not tell: all four are equally far from each other."""
    left, right = like(ANN, 0.1), like(ANN, 0.1)
    for step in range(8):
        found, _ = look(tracker, 0.2 * step, (300 + 60 * step, right), (200 - 15 * step, left))
        assert numbers(found) == [0, 1]


def test_a_cut_to_somebody_else_in_the_same_place_begins_a_new_track(tracker: Tracker) -> None:
    for step in range(5):
        assert numbers(look(tracker, 0.2 * step, (200, ANN))[0]) == [0]
    for step in range(5, 10):
        assert numbers(look(tracker, 0.2 * step, (200, BOB))[0]) == [1]
    ann, bob = tracker.end()
    assert (ann.first, ann.last, bob.first, bob.last) == pytest.approx((0, 0.8, 1.0, 1.8))
    np.testing.assert_allclose([ann.mean, bob.mean], [ANN, BOB], atol=1e-6)


def test_a_cut_to_another_view_of_the_same_person_goes_on(tracker: Tracker) -> None:
    look(tracker, 0, (100, ANN))
    assert numbers(look(tracker, 0.2, (1500, like(ANN, 0.7)))[0]) == [0]
    assert numbers(look(tracker, 0.4, (100, like(ANN, 0.8, BOB)))[0]) == [1], "not so alike: only where she can be"
    assert numbers(look(tracker, 0.6, (1510, like(ANN, 0.8, -BOB)))[0]) == [0]


def test_who_vanishes_and_comes_back_in_time_is_the_same(tracker: Tracker) -> None:
    look(tracker, 0, (100, ANN), (300, BOB))
    for seconds in (0.4, 0.8, 1.2):
        look(tracker, seconds, (100, ANN))
    assert numbers(look(tracker, 1.8, (320, BOB), (100, ANN))[0]) == [1, 0]
    for seconds in (2.2, 2.8, 3.4):
        assert numbers(look(tracker, seconds, (100, ANN))[1]) == []
    found, ended = look(tracker, 3.9, (320, BOB), (100, ANN))
    assert numbers(ended) == [1], "he was not seen for more than 2 seconds"
    assert numbers(found) == [2, 0]


def test_where_pictures_are_far_apart_a_track_lasts_longer(tracker: Tracker) -> None:
    for step in range(4):
        look(tracker, 10.0 * step, (200, ANN))
    found, _ = look(tracker, 40.0, (200, ANN))
    look(tracker, 50.0)
    assert numbers(look(tracker, 60.0, (200, ANN))[0]) == numbers(found)
    assert look(tracker, 3600.0, (200, BOB))[1] != [], "the stream was away for an hour"


def test_a_poor_face_like_nobody_belongs_to_none_where_a_track_is(tracker: Tracker) -> None:
    look(tracker, 0, (200, ANN), (260, BOB))
    assert numbers(look(tracker, 0.2, (230, CY), (900, CY), confidence=POOR)[0]) == [None, -1]
    assert numbers(look(tracker, 0.4, (205, like(ANN, 0.9, -BOB)), confidence=POOR)[0]) == [0], "poor, but like her"
    ann, bob = tracker.end()
    assert (ann.last, bob.last) == (0.4, 0)
    np.testing.assert_allclose(ann.mean, ANN, atol=1e-6)


def test_one_doubtful_face_is_not_believed_and_two_are(tracker: Tracker) -> None:
    assert numbers(look(tracker, 0, (200, ANN), confidence=0.95)[0]) == [-1]
    assert look(tracker, 9, (200, ANN), confidence=0.95)[1] == []
    assert numbers(look(tracker, 9.2, (200, ANN), confidence=0.95)[0]) == [0]


def test_poor_faces_do_not_count_beside_better_ones(tracker: Tracker) -> None:
    look(tracker, 0, (200, like(ANN, 0.5)), confidence=POOR)
    look(tracker, 0.2, (200, like(ANN, 0.4)), confidence=POOR)
    assert len(look(tracker, 0.4, (200, ANN))[0][0].vectors) == 1  # type: ignore[union-attr]


def test_memory_is_bounded(tracker: Tracker) -> None:
    """Ann stays, and another passes by every ten seconds."""
    for step in range(700):
        other = [(500.0, like(BOB, 0.1, CY if step % 20 else ANN))] if step % 10 < 3 else []
        look(tracker, step, (200 + step % 7, like(ANN, 0.01 * (step % 9))), *other)
    ann = tracker.end()[0]
    assert (ann.number, ann.seen, len(ann.best)) == (0, 700, BEST)
    assert [each.face.crop.size > 0 for each in ann.best] == [True] + [False] * (BEST - 1)
    assert len(ann.beside) <= 50


@pytest.mark.parametrize("seed", range(3))
def test_no_track_holds_two_people(seed: int) -> None:
    """Four people walk about at random, are hidden now and then, and their vectors are noisy.

    The oracle knows who is who: each track is of one person, and who was never hidden for long has one track.
    """
    rng = np.random.default_rng(seed)
    people = np.linalg.qr(rng.normal(size=(16, 16)))[0][:4]
    tracker, owners = Tracker(SAME), dict[int, set[int]]()
    places, speeds = rng.uniform(100, 900, (4, 2)), rng.normal(0, 60, (4, 2))
    for step in range(120):
        places += 0.2 * speeds
        speeds *= np.where((places < 50) | (places > 950), -1, 1)
        shown = [person for person in rng.permutation(4) if rng.random() > 0.2]
        faces, rows = [], []
        for person in shown:
            x, y = places[person] + rng.normal(0, 3, 2)
            faces.append(face_at(0, 0, x, y))
            rows.append(people[person] + rng.normal(0, 0.12, 16))
        vectors = np.array(rows, np.float32).reshape(-1, 16)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        found, _ = tracker.look(0.2 * step, faces, vectors)
        for person, track in zip(shown, found, strict=True):
            assert track is not None
            owners.setdefault(track.number, set()).add(int(person))
    assert [len(own) for own in owners.values()] == [1, 1, 1, 1]


def test_the_best_faces_are_kept(tracker: Tracker) -> None:
    """A small face, then a large one, then small ones: the large one is the track's best."""
    for step, side in enumerate((40, 100, *(45,) * BEST)):
        face = dataclasses.replace(face_at(0, 0, 200, side=side))
        vectors: Vectors = np.array([ANN], np.float32)
        faces: list[Face] = [face]
        tracker.look(0.2 * step, faces, vectors)
    (track,) = tracker.end()
    assert [each.face.box[2] - each.face.box[0] for each in track.best] == [100] + [45] * (BEST - 1)
