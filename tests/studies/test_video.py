"""The study of made video: what it shows, whose a face is, and what its searches count."""

from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import toy_model
from toy_video import face_at

from facerec.types import Threshold
from scripts.studies.made_video import HEIGHT, WIDTH, Actor, actor, casts, places, scene
from scripts.studies.video import WAYS, Followed, Look, decided, followed, kept, owners_of, searched

ANN, BOB, EVE = np.eye(3, dtype=np.float32)


@pytest.fixture
def actors(tmp_path: Path) -> list[Actor]:
    """Two people in a scene, one as one still and one as three."""
    rng = np.random.default_rng(0)
    stills = [toy_model.save_crop(tmp_path / f"{person}-{n}.png", person, n) for person, n in ((0, 0), (1, 0), (1, 1))]
    return [actor("ann", stills[:1], rng), actor("bob", [*stills[1:], stills[1]], rng)]


def test_everybody_is_in_one_scene() -> None:
    people = [f"{number}" for number in range(50)]
    made = list(casts(people, np.random.default_rng(0)))
    assert sorted(person for cast in made for person in cast) == sorted(people)
    assert {len(cast) for cast in made} == {1, 2, 3}


def test_a_scene_shows_people_where_it_says(actors: list[Actor], tmp_path: Path) -> None:
    """Alone on black, a crop's pixels are in its box, and it moves with it."""
    PIL.Image.new("RGB", (64, 64)).save(tmp_path / "black.png")
    pictures = list(islice(scene(actors[:1], tmp_path / "black.png", np.random.default_rng(0)), 20))
    for number in (0, 19):
        rows, columns = np.nonzero(pictures[number].max(2) > 30)
        left, top, right, bottom = np.clip(places(actors[:1], number)[0], 0, [WIDTH, HEIGHT] * 2)
        room = 0.12 * (right - left)  # the soft border
        assert np.abs([columns.min() - left, rows.min() - top, columns.max() - right, rows.max() - bottom]).max() < room


def test_whose_a_face_is(actors: list[Actor]) -> None:
    (x1, y1, x2, y2), (u1, v1, u2, v2) = places(actors, 0)
    ann, bob = (face_at(0, 0, (a + c) / 2, (b + d) / 2) for a, b, c, d in ((x1, y1, x2, y2), (u1, v1, u2, v2)))
    assert owners_of([bob, ann, face_at(0, 0, -500, -500)], actors, 0) == ["bob", "ann", ""]


def test_what_the_searches_count() -> None:
    """Ann is enrolled; Eve is a stranger whose second picture is like Ann; Cy was never seen."""
    like = (ANN + EVE) / np.sqrt(2)
    looks = [[Look(0.2 * i, [], np.stack([row]), [who]) for i, (who, row) in enumerate(
        [("ann", ANN), ("eve", EVE), ("eve", like), ("", BOB)]
    )]]  # fmt: skip
    tracks = [[_track("ann", ANN), _track("eve", EVE, (EVE + like) / 2)]]
    asked = searched(looks, tracks, enough=1)
    assert {way: [who for who, _ in own] for way, own in asked.items()} == {
        WAYS[0]: ["ann", "eve", "eve"], WAYS[1]: ["ann", "eve"], **{way: ["ann", "eve"] for way in WAYS[2:]}
    }  # fmt: skip
    limit, gallery = Threshold(1.0, "made up"), {"ann": [ANN], "cy": [BOB]}
    found = {way: decided(own, gallery, limit, ["ann", "cy", "eve"]) for way, own in asked.items()}
    assert [each.searches.searcher[-1] for each in found.values()] == ["cy"] * 5
    assert [each.named.tolist() for each in found.values()] == [
        [1, 0, 1, 0], [1, 1, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0]
    ]  # fmt: skip
    distance = found[WAYS[3]].searches.distance[1]
    assert distance == pytest.approx((2 + (2 - np.sqrt(2))) / 2, abs=1e-5), "the mean of Eve's two distances to Ann"
    assert found[WAYS[2]].searches.distance[1] < distance


def _track(person: str, *means: np.ndarray) -> Followed:
    return Followed(Counter([person] * len(means)), np.stack(means).astype(np.float32))


def test_what_was_seen_is_kept(actors: list[Actor], tmp_path: Path) -> None:
    left, top, right, bottom = places(actors[:1], 5)[0]
    face, file = face_at(0, 0, (left + right) / 2, (top + bottom) / 2), tmp_path / "k" / "film.npz"
    looks = [Look(0.0, [], np.zeros((0, 3), np.float32), []), Look(0.2, [face], ANN[None], ["ann"])]
    assert kept(file, [actors[:1]], lambda: looks) is looks
    first, second = kept(file, [actors[:1]], list)
    assert (first.seconds, first.faces, first.owners, first.vectors.shape) == (0.0, [], [], (0, 3))
    assert (second.seconds, second.owners, second.faces[0].box) == (0.2, ["ann"], face.box)
    np.testing.assert_array_equal(second.faces[0].crop, face.crop)
    np.testing.assert_array_equal(second.faces[0].landmarks, face.landmarks)


def test_tracks_of_a_video() -> None:
    """Ann in three pictures, Bob beside her in the last two."""
    looks = [
        Look(0.2 * i, [face_at(0, 0, 100), face_at(1, 0, 400)][: 1 + (i > 0)], rows, ["ann", "bob"][: 1 + (i > 0)])
        for i, rows in enumerate((np.stack([ANN]), np.stack([ANN, BOB]), np.stack([ANN, BOB])))
    ]
    assert [(each.person, len(each.means)) for each in followed(looks, 1.0, 10)] == [("ann", 3), ("bob", 2)]
