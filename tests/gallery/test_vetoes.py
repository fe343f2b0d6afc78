"""What was said not to be somebody is remembered, applied to every search, and goes with the person."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import toy_fixtures
import toy_model
from killing import everything_in
from toy_gallery import DIMENSION, MODEL, opened, rows, sql, template, vector
from toy_vectors import near

from facerec.decision.decide import decide, misplaced
from facerec.errors import GalleryError, UnknownPersonError
from facerec.gallery import vetoes
from facerec.gallery.backup import keep_copy
from facerec.gallery.gallery import Gallery
from facerec.gallery.maintenance import keep_crops
from facerec.types import Candidate, Template, Threshold, Vectors

folder = toy_fixtures.few_people  # Ann has photo 0, Bob 1 and 2, Cy 3
ANYTHING = Threshold(4.0, "a test")


def bound(folder: Path) -> Gallery:
    gallery = Gallery.open(folder)
    gallery.bind_model(*MODEL)
    return gallery


def face(number: int, row: np.ndarray) -> Template:
    """The face of photo `number`, with a vector of its own."""
    return dataclasses.replace(template(number), vector=row)


def named(gallery: Gallery, row: np.ndarray) -> str | None:
    return decide(gallery.search(row[None], 1)[0], ANYTHING, 1).person


# ---------------------------------------------------------------------------------------------------- the answers


def test_a_vetoed_face_is_not_that_person_and_the_next_takes_their_place(folder: Path) -> None:
    stranger = near(vector(0), 0.5)
    with bound(folder) as gallery:
        assert named(gallery, stranger) == "Ann"
        assert gallery.veto("Ann", face(9, stranger))
        assert not gallery.veto("Ann", face(9, stranger)), "known"
        decision = decide(gallery.search(stranger[None], 1)[0], ANYTHING, 3)
        assert decision.person not in {"Ann", None}
        assert (
            "; not Ann (at 0.50): nearer to a face said not to be Ann (0.00) than to any photo of Ann"
            in decision.reason
        )
        assert "Ann" not in {candidate.person for candidate in decision.candidates}
        assert named(gallery, vector(0)) == "Ann", "she herself is found as before"
        assert named(gallery, near(vector(0), 0.1)) == "Ann"
        assert gallery.check().problems == ()
        assert [entry.action for entry in gallery.log()[0]].count("face vetoed") == 1


def slow_answers(rows: Vectors, people: dict[str, Vectors], said: dict[str, Vectors]) -> list[str]:
    """Whose mean is nearest, of those whom no veto strikes; one face and one person after the other."""
    answers = []
    for row in rows.astype(np.float64):
        distances = {}
        for name, own in people.items():
            mean = own.astype(np.float64).sum(axis=0)
            template_distance = min(np.square(row - t).sum() for t in own)
            if min((np.square(row - v).sum() for v in said.get(name, [])), default=np.inf) >= template_distance:
                distances[name] = np.square(row - mean / np.linalg.norm(mean)).sum()
        answers.append(min(distances, key=distances.__getitem__, default=""))
    return answers


def test_every_search_is_as_a_slow_one_says(tmp_path: Path) -> None:
    people = {f"P{person}": np.stack([vector(10 * person + n) for n in range(1 + person % 3)]) for person in range(8)}
    said = {f"P{person}": np.stack([vector(500 + 10 * person + n) for n in range(8)]) for person in range(0, 8, 2)}
    rows = np.stack([vector(900 + number) for number in range(60)])
    with opened(tmp_path / "gallery") as gallery:
        for name, own in people.items():
            for row in own:
                gallery.add(name, face(int(1e6 * row[0]) % 10**9, row))
        before = [found[0].person for found in gallery.search(rows, 1)]
        for name, own in said.items():
            for row in own:
                gallery.veto(name, face(int(1e6 * row[0]) % 10**9, row))
        wanted = slow_answers(rows, people, said)
        assert 5 < sum(old != new for old, new in zip(before, wanted, strict=True)) < 55
        for top in (1, 3, 8):
            found = gallery.search(rows, top)
            assert [decide(each, ANYTHING, 8).person or "" for each in found] == wanted
            assert all(sum(c.veto is None or c.veto.face >= c.veto.template for c in each) <= top for each in found)
        everybody = list(people)
        for row, own in zip(rows, wanted, strict=True):
            for name in everybody[:3]:
                candidates = gallery.nearest_and_named(row[None], [name])[0]
                assert name in {candidate.person for candidate in candidates}
                assert decide(candidates, ANYTHING, 8).person == own


def test_a_face_as_far_from_the_veto_as_from_a_template_keeps_the_name(folder: Path) -> None:
    """So a photo that was said not to be Ann and was enrolled as Ann afterwards changes nothing."""
    with bound(folder) as gallery:
        gallery.veto("Ann", face(9, vector(0)))
        (candidate, *_) = gallery.search(vector(0)[None], 1)[0]
        assert candidate.veto is not None
        assert candidate.veto.face == candidate.veto.template == 0
        rows = np.stack([vector(number) for number in range(700, 720)])
        assert all(c.veto is None or c.veto.face == c.veto.template for found in gallery.search(rows, 3) for c in found)


def test_a_photo_filed_under_whom_it_is_said_not_to_be(folder: Path) -> None:
    stranger = near(vector(0), 0.5)
    with bound(folder) as gallery:
        gallery.veto("Ann", face(9, stranger))
        reason = misplaced("Ann", gallery.nearest_and_named(stranger[None], ["Ann"])[0], ANYTHING)
        assert reason == "nearer to a face said not to be Ann (0.00) than to any photo of Ann (0.50)"
        assert misplaced("Ann", gallery.nearest_and_named(vector(0)[None], ["Ann"])[0], ANYTHING) is None
        assert gallery.add("Ann", face(9, stranger)), "who enrolls it all the same, says otherwise"
        assert vetoes.vetoes(gallery.store, "Ann") == []
        assert named(gallery, stranger) == "Ann"


def test_a_photo_of_the_person_cannot_be_vetoed_before_it_is_taken_out(folder: Path) -> None:
    with bound(folder) as gallery:
        with pytest.raises(
            GalleryError, match=r"photos/1.jpg: enrolled as Bob; if it is not Bob, take it out first \(`fac"
        ):
            gallery.veto("Bob", template(1))
        with pytest.raises(UnknownPersonError, match="nobody called 'Bo' is enrolled; did you mean Bob"):
            gallery.veto("Bo", template(9))
        with pytest.raises(GalleryError, match="holds numbers that are not finite"):
            gallery.veto("Bob", face(9, np.full(DIMENSION, np.nan, np.float32)))
        gallery.remove("Bob", Path("photos/1.jpg"))
        assert gallery.veto("Bob", template(1))


def test_other_processes_see_a_veto_and_its_end_at_once(folder: Path) -> None:
    stranger = near(vector(0), 0.5)
    with bound(folder) as reader, bound(folder) as writer:
        assert named(reader, stranger) == "Ann"
        writer.veto("Ann", face(9, stranger))
        assert named(reader, stranger) != "Ann"
        writer.rename("Ann", "Anna")
        assert named(reader, stranger) not in {"Ann", "Anna"}
        assert len(vetoes.forget(writer.store, Path("photos/9.jpg"))) == 1
        assert named(reader, stranger) == "Anna"
        writer.veto("Anna", face(8, stranger))
        assert named(reader, stranger) != "Anna"


# ------------------------------------------------------------------------------------------------------ two people


def test_people_said_to_be_two_are_never_again_alike(folder: Path) -> None:
    with bound(folder) as gallery:
        gallery.add("Ben", face(20, near(vector(3), 0.2)))
        assert [pair[:2] for pair in gallery.alike(["Cy"], 0.3)] == [("Cy", "Ben")]
        assert gallery.set_apart("Ben", "Cy")
        assert not gallery.set_apart("Cy", "Ben"), "known"
        assert gallery.alike(["Cy", "Ben"], 0.3) == []
        assert vetoes.apart(gallery.store, "Cy") == ["Ben"]
        gallery.rename("Ben", "Benedict")
        assert gallery.alike(["Cy"], 0.3) == []
        with pytest.raises(GalleryError, match="'Cy' and 'Benedict' were said to be two people; `facerec gallery not-"):
            gallery.merge("Benedict", "Cy")
        with pytest.raises(GalleryError, match="both are the same person, 'Cy'; give two people"):
            gallery.set_apart("Cy", " Cy")
        assert vetoes.forget_apart(gallery.store, "Cy", "Benedict")
        assert not vetoes.forget_apart(gallery.store, "Cy", "Benedict")
        assert len(gallery.alike(["Cy"], 0.3)) == 1
        assert gallery.merge("Benedict", "Cy") == 1
        log = [entry.action for entry in gallery.log()[0]]
        assert (log.count("people set apart"), log.count("people no longer apart")) == (1, 1)


def test_a_merge_takes_along_what_was_said(folder: Path) -> None:
    stranger = near(vector(0), 0.5)
    with bound(folder) as gallery:
        gallery.add("Annie", face(20, near(vector(0), 0.1)))
        gallery.veto("Annie", face(9, stranger))
        gallery.veto("Annie", template(0))
        gallery.set_apart("Annie", "Cy")
        gallery.merge("Annie", "Ann")
        assert [veto.source for veto in vetoes.vetoes(gallery.store, "Ann")] == ["photos/9.jpg"], "photo 0 is hers now"
        assert vetoes.apart(gallery.store, "Ann") == ["Cy"]
        assert named(gallery, stranger) != "Ann"
        assert gallery.check().problems == ()


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


@pytest.mark.parametrize("how", ["remove", "expire"])
def test_the_vetoed_faces_go_with_the_person_from_every_file(said: Path, how: str) -> None:
    with bound(said) as gallery:
        gallery.remove("Ann") if how == "remove" else gallery.expire()
        assert left_of(said, 50, 51, 52) == [52]
        assert vetoes.apart(gallery.store, "Cy") == []
        assert gallery.check().problems == ()
    assert left_of(said, 50, 51, 52) == [52]


def test_a_removed_person_s_own_photo_goes_from_the_vetoes_of_others(said: Path) -> None:
    with bound(said) as gallery:
        gallery.remove("Cy")
        assert [veto.source for veto in vetoes.vetoes(gallery.store, "Bob")] == ["photos/52.jpg"]
    assert left_of(said, 3, 52) == [52]


def test_a_veto_is_forgotten_alone_and_leaves_nothing(said: Path) -> None:
    with bound(said) as gallery:
        with pytest.raises(GalleryError, match=r"photos/50.jpg: no face of this photo was said not to be Bob"):
            vetoes.forget(gallery.store, Path("photos/50.jpg"), "Bob")
        (gone,) = vetoes.forget(gallery.store, Path("photos/50.jpg"), "Ann")
        assert gone.photo_hash == template(50).photo_hash
        assert left_of(said, 50, 51, 52) == [51, 52]
        assert gallery.check().problems == ()
        assert gallery.log()[0][-1].facts == {"vetoes": 1}
        with pytest.raises(GalleryError, match="no face of this photo was said not to be somebody"):
            vetoes.forget(gallery.store, Path("photos/50.jpg"))
    assert left_of(said, 50, 51, 52) == [51, 52]


def forget(folder: Path) -> None:
    with Gallery.open(folder) as gallery:
        vetoes.forget(gallery.store, Path("photos/50.jpg"))


# --------------------------------------------------------------------------------------------- what is kept, and how


def test_crops_are_kept_if_the_gallery_keeps_them_and_dropped_with_the_others(folder: Path) -> None:
    crop = toy_model.crop(0, 0)
    with bound(folder) as gallery:
        gallery.veto("Ann", dataclasses.replace(template(8), crop=crop))
        keep_crops(gallery.store, True)
        gallery.veto("Ann", dataclasses.replace(template(9), crop=crop))
        assert [png is not None for (png,) in rows(folder, "SELECT png FROM vetoes ORDER BY id")] == [False, True]
        sql(folder, "UPDATE vetoes SET png = substr(png, 1, length(png) / 2)")
        (problem,) = gallery.check().problems
        assert problem.startswith("the face of photos/9.jpg that was said not to be somebody has a crop that is ")
        keep_crops(gallery.store, False)
        assert gallery.check().problems == ()
    assert b"\x89PNG" not in everything_in(folder)


def test_a_candidate_without_a_veto_is_as_before(folder: Path) -> None:
    with bound(folder) as gallery:
        gallery.veto("Ann", template(9))
        for candidate in gallery.search(vector(3)[None], 3)[0]:
            assert (candidate.veto is None) == (candidate.person != "Ann")
            if candidate.veto is None:
                assert candidate == Candidate(candidate.person, candidate.distance)
