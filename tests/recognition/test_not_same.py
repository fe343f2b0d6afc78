"""Who is said not to be somebody is not identified, enrolled or listed as them again."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import toy_model
from look_alike import look_alike, save_look_alike

import facerec
from facerec.albums.album import AlbumFace, FaceAlbum
from facerec.albums.clustering import Grouping
from facerec.errors import GalleryError, ImageError, UnknownPersonError
from facerec.faces.detector import AlignedDetector
from facerec.gallery.gallery import Gallery
from facerec.gallery.vetoes import vetoes
from facerec.inference.openvino_runtime import OpenVINOEmbedder
from facerec.recognition.enroll import enroll, enroll_group
from facerec.recognition.identify import annotate, identify
from facerec.recognition.not_same import NotSame, not_same
from facerec.recognition.review import review
from facerec.types import Face, Image, Threshold

LIMIT = Threshold(0.5, "a test")


class Group(AlignedDetector):
    """Finds three faces in every photo: Bob, the stranger who looks like Ann, and Ann."""

    def detect(self, images: Sequence[Image]) -> list[list[Face]]:
        crops = (toy_model.crop(1, 5), look_alike(5), toy_model.crop(0, 5))
        places = [(112.0 * n, 0.0, 112.0 * n + 112, 112.0) for n in range(3)]
        faces = [replace(self._face(crop), box=box) for crop, box in zip(crops, places, strict=True)]
        return [faces for _ in images]


@pytest.fixture
def people(gallery: Gallery, embedder: OpenVINOEmbedder, crops: Path) -> Gallery:
    """The gallery with Ann Lee, Bob O'Ray and Çelik 王, two photos each."""
    names = {name: sorted((crops / "people" / name).iterdir()) for name in toy_model.NAMES}
    assert {result.status for result in enroll(gallery, names, AlignedDetector(), embedder)} == {"added"}
    return gallery


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    return save_look_alike(tmp_path / "party.png", 0)


@pytest.fixture
def veto(people: Gallery, embedder: OpenVINOEmbedder):
    def act(photo: Path, name: str = "Ann Lee", detector: AlignedDetector | None = None) -> NotSame:
        return not_same(people, photo, name, detector or AlignedDetector(), embedder, LIMIT)

    return act


def names_in(gallery: Gallery, embedder: OpenVINOEmbedder, *photos: Path) -> list[str | None]:
    return [each.person for each in identify(gallery, photos, AlignedDetector(), embedder, LIMIT)]


def test_a_stranger_is_named_once_and_never_again(
    people: Gallery, embedder: OpenVINOEmbedder, stranger: Path, crops: Path, tmp_path: Path, veto
) -> None:
    other = save_look_alike(tmp_path / "another.png", 1)
    assert names_in(people, embedder, stranger, other, crops / "ann.png") == ["Ann Lee"] * 3
    found = veto(stranger)
    assert (found.person, found.position, found.added, found.decision.person) == ("Ann Lee", 0, True, None)
    assert "not Ann Lee (at 0.1" in found.decision.reason
    assert names_in(people, embedder, stranger, other, crops / "ann.png") == [None, None, "Ann Lee"]
    assert not veto(stranger).added


def test_annotated_pictures_do_not_name_the_face_either(
    people: Gallery, embedder: OpenVINOEmbedder, stranger: Path, tmp_path: Path, veto
) -> None:
    def drawn(folder: str) -> np.ndarray:
        (tmp_path / folder).mkdir()
        list(annotate(identify(people, [stranger], AlignedDetector(), embedder, LIMIT), tmp_path / folder))
        (picture,) = (tmp_path / folder).iterdir()
        return np.asarray(PIL.Image.open(picture))

    before = drawn("before")
    veto(stranger)
    assert not np.array_equal(drawn("after"), before)


def test_of_several_faces_the_one_that_is_named_is_meant(people: Gallery, stranger: Path, veto) -> None:
    assert veto(stranger, "Bob O'Ray", Group()).position == 0
    first = veto(stranger, "Ann Lee", Group())
    assert first.position == 2, "Ann herself is nearest, so she is the one who is named"


@pytest.mark.parametrize("limit", [LIMIT, None])
def test_of_several_faces_no_bystander_is_stored(
    people: Gallery, embedder: OpenVINOEmbedder, stranger: Path, limit: Threshold | None, veto
) -> None:
    veto(stranger, "Ann Lee", Group())
    for _ in range(2):  # the stranger is taken for Ann now, but the same was said of Ann before
        again = not_same(people, stranger, "Ann Lee", Group(), embedder, limit)
        assert (again.position, again.added) == (2, False)
    with pytest.raises(GalleryError, match=r"party.png: none of its 3 faces is taken for Çelik 王; cut out the face"):
        not_same(people, stranger, "Çelik 王", Group(), embedder, limit)
    assert [len(vetoes(people.store, name)) for name in toy_model.NAMES] == [1, 0, 0]
    assert not_same(people, stranger, "Çelik 王", AlignedDetector(), embedder, limit).added, "one face is meant"


def test_a_face_that_an_earlier_veto_strikes_can_be_meant(
    people: Gallery, stranger: Path, tmp_path: Path, veto
) -> None:
    veto(stranger)
    party = save_look_alike(tmp_path / "group.png", 7)

    class Two(Group):
        def detect(self, images: Sequence[Image]) -> list[list[Face]]:
            return [faces[:2] for faces in super().detect(images)]

    found = veto(party, "Ann Lee", Two())
    assert (found.position, found.added) == (1, True)


def test_what_cannot_be_said(people: Gallery, crops: Path, tmp_path: Path, veto) -> None:
    enrolled = crops / "people" / "Ann Lee" / "0.png"
    with pytest.raises(GalleryError, match=r"0.png: enrolled as Ann Lee; if it is not Ann Lee, take it out first"):
        veto(enrolled)
    with pytest.raises(UnknownPersonError, match="nobody called 'Ann' is enrolled; did you mean Ann Lee"):
        veto(crops / "stranger.png", "Ann")
    with pytest.raises(ImageError, match="no such file"):
        veto(tmp_path / "none.png")
    assert veto(enrolled, "Bob O'Ray").decision.person == "Ann Lee", "a photo of hers is not Bob"


def test_a_vetoed_photo_is_not_enrolled_as_that_person_unless_forced(
    people: Gallery, embedder: OpenVINOEmbedder, stranger: Path, tmp_path: Path, veto
) -> None:
    other = save_look_alike(tmp_path / "another.png", 1)
    veto(stranger)

    def admit(name: str, photo: Path, force: bool = False) -> tuple[str, str]:
        (result,) = enroll(people, {name: [photo]}, AlignedDetector(), embedder, force=force)
        return result.status, result.reason

    for photo in (stranger, other):
        status, reason = admit("Ann Lee", photo)
        assert status == "failed"
        assert f"{photo}: held back: nearer to a face said not to be Ann Lee (0.0" in reason
        assert reason.endswith("; `force` enrolls it")
    assert admit("Eve", other) == ("added", ""), "nor is she said to look like Ann"
    assert admit("Eve", stranger) == ("added", ""), "and it is not held back as Ann's"
    third = save_look_alike(tmp_path / "third.png", 2)
    veto(third)
    assert admit("Ann Lee", third, force=True) == ("added", "")
    people.remove("Eve")
    assert names_in(people, embedder, third) == ["Ann Lee"], "who enrolls it says otherwise"


def test_neither_is_a_group_of_an_album(people: Gallery, stranger: Path, crops: Path, veto) -> None:
    veto(stranger)
    face = AlignedDetector().detect([look_alike(0)])[0][0]
    rows = np.stack([toy_model.vector(look_alike(0)), toy_model.vector(toy_model.crop(0, 2))]).astype(np.float32)
    faces = [AlbumFace(path, 0, face.box, face.confidence) for path in (stranger, crops / "ann.png")]
    grouping = Grouping(np.zeros(2, np.int64), LIMIT)
    results = list(enroll_group(people, "Ann Lee", FaceAlbum(tuple(faces), rows), grouping, 0))
    assert [result.status for result in results] == ["failed", "added"]
    assert "held back: nearer to a face said not to be Ann Lee (0.00)" in results[0].reason


def test_people_said_to_be_two_are_not_listed_by_a_review(
    people: Gallery, embedder: OpenVINOEmbedder, stranger: Path, tmp_path: Path
) -> None:
    photos = {"Anna": [stranger, *(save_look_alike(tmp_path / f"{n}.png", n) for n in (1, 2))]}
    results = list(enroll(people, photos, AlignedDetector(), embedder, force=True))
    assert [(pair.person, pair.other) for pair in review(people, results).alike] == [("Ann Lee", "Anna")]
    people.set_apart("Ann Lee", "Anna")
    assert review(people, results).alike == ()


def test_from_python(toy: Path, crops: Path, stranger: Path, tmp_path: Path) -> None:
    with facerec.Recogniser(tmp_path / "club", create=True, model=toy, detector=AlignedDetector()) as club:
        club.enroll(crops / "people")
        assert [face.person for face in club.identify(look_alike(1))] == ["Ann Lee"]
        assert club.not_same(look_alike(0), "Ann Lee").added
        assert [face.person for face in club.identify(look_alike(1))] == [None]
        assert club.not_same_people("Ann Lee", "Bob O'Ray")
        assert not club.not_same_people("Bob O'Ray", "Ann Lee")
