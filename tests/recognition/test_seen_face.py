"""A face that was seen is enrolled, kept or refused later, when its photo is not at hand any more."""

from pathlib import Path

import numpy as np
import pytest
import toy_model
from killing import everything_in
from look_alike import save_look_alike
from row_detector import Row, party

from facerec.faces.detector import AlignedDetector
from facerec.gallery.address import Place
from facerec.gallery.gallery import Gallery
from facerec.gallery.unknown_faces import crop_of, kept_faces
from facerec.gallery.unknown_rows import KeptFace
from facerec.inference.openvino_runtime import OpenVINOEmbedder
from facerec.photos.folders import photo_hash
from facerec.photos.memory import photo_of
from facerec.recognition.enroll import enroll
from facerec.recognition.identify import identify
from facerec.recognition.seen_face import SeenFace, enroll_seen, keep_held_back, keep_unknown, kept_face, seen_faces
from facerec.types import Threshold

LIMIT, DAY = Threshold(0.5, "a test"), "2031-12-30"


def left_of(folder: Place, *faces: KeptFace) -> list[str]:
    """What is still in a file of the folder: vectors, hashes and names of photos."""
    content = everything_in(folder)
    parts = [part for face in faces for part in (face.vector.tobytes(), face.photo.encode(), face.source.encode())]
    return [str(part) for part in parts if part in content]


@pytest.fixture
def see(gallery: Gallery, embedder: OpenVINOEmbedder):
    """see(photo): its faces, and what `identify` says of them."""

    def act(photo: object, name: str = "party.jpg"):
        given = photo_of(photo, name)  # type: ignore[arg-type]
        found = list(identify(gallery, [given], Row(), embedder, LIMIT))
        return given, found, seen_faces(given, found)

    return act


def test_each_face_of_a_photo_is_enrolled_as_somebody_else(gallery: Gallery, see) -> None:
    _, found, faces = see(party(3, 4, 5))
    assert [each.person for each in found] == [None] * 3
    results = [enroll_seen(gallery, name, face) for name, face in zip(("Cy", "Di", "Ed"), faces, strict=True)]
    assert [(each.status, str(each.path)) for each in results] == [("added", "party.jpg")] * 3
    _, again, faces = see(party(3, 4, 5))
    assert [each.person for each in again] == ["Cy", "Di", "Ed"]
    assert [enroll_seen(gallery, "Cy", face).status for face in faces[:2]] == ["skipped", "failed"]
    assert enroll_seen(gallery, "Cy", faces[1]).owner == "Di"
    assert gallery.show("Cy")[0].source == "memory: party.jpg"


def test_the_only_face_of_a_photo_is_enrolled_as_the_photo(gallery: Gallery, see, photo) -> None:
    path = photo(3, 0)
    ((face,), (result,)) = see(path)[2], see(path)[1]
    assert result.person is None
    assert enroll_seen(gallery, "Cy", face).status == "added"
    assert gallery.find_photo(photo_hash(path)) == "Cy"
    assert gallery.show("Cy")[0].source == str(path.resolve())


def test_the_main_face_is_not_enrolled_a_second_time(gallery: Gallery, embedder: OpenVINOEmbedder, see) -> None:
    """By its photo, and then by itself."""
    given = photo_of(party(3, 4), "party.jpg")
    assert [each.status for each in enroll(gallery, {"Cy": [given]}, Row(), embedder)] == ["added"]
    _, _, (main, other) = see(party(3, 4))
    assert [enroll_seen(gallery, "Cy", main).status, enroll_seen(gallery, "Di", other).status] == ["skipped", "added"]


def test_a_removed_face_is_enrolled_only_when_that_is_said(gallery: Gallery, see) -> None:
    _, _, (face, _) = see(party(3, 4))
    enroll_seen(gallery, "Cy", face)
    gallery.remove("Cy")
    refused = enroll_seen(gallery, "Cy", face)
    assert (refused.status, "removed on" in refused.reason) == ("failed", True)
    assert enroll_seen(gallery, "Cy", face, again=True).status == "added"


def test_a_face_that_is_nearer_to_somebody_else_is_held_back_and_kept(
    gallery: Gallery, embedder: OpenVINOEmbedder, photo
) -> None:
    enrolled = {"Ann": [photo(0, 0), photo(0, 1)], "Bob": [photo(1, 0), photo(1, 1)]}
    assert {each.status for each in enroll(gallery, enrolled, AlignedDetector(), embedder)} == {"added"}
    wrong = photo(1, 2)
    (result,) = enroll(gallery, {"Ann": [wrong]}, AlignedDetector(), embedder)
    assert (result.status, "held back: nearer to Bob" in result.reason) == ("failed", True)
    assert keep_held_back(gallery, result, DAY) == 1
    (kept,) = kept_faces(gallery.store)
    assert (kept.claimed, kept.photo_hash, kept.source) == ("Ann", photo_hash(wrong), str(wrong.resolve()))
    crop = crop_of(gallery.store, kept.number)
    assert enroll_seen(gallery, "Ann", kept_face(kept, crop)).status == "failed"
    assert enroll_seen(gallery, "Bob", kept_face(kept, crop)).status == "added"
    assert kept_faces(gallery.store) == [], "it is enrolled, so it is not unknown any more"


def test_only_usable_faces_of_nobody_are_kept(gallery: Gallery, see) -> None:
    _, _, (_, cy) = see(party(4, 3))
    enroll_seen(gallery, "Cy", cy)
    flat = np.concatenate([party(4, 3), np.full((112, 112, 3), 127, np.uint8)], axis=1)
    given, found, _ = see(flat)
    assert [each.person for each in found] == [None, "Cy", None]
    assert keep_unknown(gallery, given, found, DAY) == 1, "the third is no face worth keeping"
    assert keep_unknown(gallery, given, found, DAY) == 0, "it is kept already"
    (kept,) = kept_faces(gallery.store)
    assert np.array_equal(crop_of(gallery.store, kept.number), toy_model.crop(4, 7))


def test_whoever_is_enrolled_from_unknown_faces_and_removed_leaves_no_byte(
    gallery: Gallery, see, tmp_path: Path
) -> None:
    """Neither by the faces that were enrolled, nor by those that were not."""
    for number in range(3):
        given, found, _ = see(toy_model.crop(4, number), f"door {number}.jpg")
        assert keep_unknown(gallery, given, found, DAY) == 1
    kept = kept_faces(gallery.store)
    assert len(left_of(gallery.folder, *kept)) == 9, "the search for bytes finds them while they are there"
    for each in kept[:2]:
        assert enroll_seen(gallery, "Di", kept_face(each, crop_of(gallery.store, each.number))).status == "added"
    assert [each.source for each in kept_faces(gallery.store)] == ["memory: door 0.jpg"]
    gallery.remove("Di")
    assert left_of(gallery.folder, *kept) == []
    gallery.close()
    assert left_of(gallery.folder, *kept) == []


def test_a_stranger_said_not_to_be_ann_is_still_unknown(
    gallery: Gallery, embedder: OpenVINOEmbedder, see, tmp_path: Path, photo
) -> None:
    list(enroll(gallery, {"Ann": [photo(0, 0)]}, AlignedDetector(), embedder))
    path = save_look_alike(tmp_path / "alike.png", 1)
    _, (before,), (face,) = see(path)
    assert before.person == "Ann"
    assert gallery.veto("Ann", face.template())
    assert see(path)[1][0].person is None
    assert isinstance(face, SeenFace)
