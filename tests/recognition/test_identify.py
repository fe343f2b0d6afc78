"""The way of a photo, as a library: order, errors in their place, and nothing acknowledged that is not stored."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import toy_model

from facerec.decision.decide import choose_threshold
from facerec.errors import ConfigError, ForeignModelError, GalleryError, ImageError, NoFaceError
from facerec.faces.detector import AlignedDetector
from facerec.faces.mtcnn import MTCNNDetector
from facerec.gallery.gallery import Gallery
from facerec.inference import pipeline
from facerec.inference.openvino_runtime import OpenVINOEmbedder
from facerec.inference.pipeline import BATCH, embed_photos
from facerec.photos.memory import AnyPhoto, hash_photo
from facerec.recognition.enroll import KNOWN, enroll
from facerec.recognition.identify import identify, open_gallery, verify
from facerec.types import Face, Image, Template, Threshold

LIMIT = Threshold(0.5, "made up for tests")


@pytest.fixture
def mixed(tmp_path: Path) -> list[Path]:
    """40 photos, 2.5 batches: photo i is of person i, but every seventh cannot be used."""
    paths = [toy_model.save_crop(tmp_path / "mixed" / f"{i}.png", i, 0) for i in range(40)]
    for path in paths[::7]:
        path.write_bytes(b"broken")
    return paths


def is_bad(i: int) -> bool:
    return i % 7 == 0


# ---------------------------------------------------------------------------------------------------- embedding


def test_photos_come_back_in_order_with_errors_in_their_place(mixed: list[Path], embedder: OpenVINOEmbedder) -> None:
    photos = list(embed_photos(mixed, AlignedDetector(), embedder))
    assert [photo.path for photo in photos] == mixed
    for i, photo in enumerate(photos):
        assert photo.vectors.shape == (len(photo.faces), toy_model.DIMENSION)
        if is_bad(i):
            assert isinstance(photo.error, ImageError)
            assert photo.faces == ()
        else:
            assert photo.error is None
            np.testing.assert_allclose(photo.vectors[0], toy_model.vector(toy_model.crop(i, 0)), atol=1e-5)


def test_nothing_and_nothing_but_bad_photos(mixed: list[Path], embedder: OpenVINOEmbedder) -> None:
    assert list(embed_photos([], AlignedDetector(), embedder)) == []
    assert all(photo.error for photo in embed_photos(mixed[::7], AlignedDetector(), embedder))


def test_photos_are_read_as_they_are_asked_for(mixed: list[Path], embedder: OpenVINOEmbedder) -> None:
    asked: list[Path] = []

    def paths() -> Iterator[Path]:
        for path in mixed * 2:
            asked.append(path)
            yield path

    next(embed_photos(paths(), AlignedDetector(), embedder))
    assert len(asked) == 3 * BATCH < 2 * len(mixed)


# ---------------------------------------------------------------------------------------------------- real detection


def test_several_faces_in_a_photo(
    small_samples: Path, embedder: OpenVINOEmbedder, gallery: Gallery, tmp_path: Path
) -> None:
    names = {"Grace Hopper": "official_portrait_1984.jpg", "Joe Biden": "blue_room_2010.jpg"}
    portraits = [small_samples / "people" / name / file for name, file in names.items()]
    detector = MTCNNDetector()
    people = dict(zip(names, [[path] for path in portraits], strict=True))
    assert [result.status for result in enroll(gallery, people, detector, embedder)] == ["added", "added"]

    images = [np.asarray(PIL.Image.open(path)) for path in portraits]
    canvas = np.full((320, sum(image.shape[1] for image in images), 3), 255, np.uint8)
    left = 0
    for image in images:
        canvas[: image.shape[0], left : left + image.shape[1]] = image
        left += image.shape[1]
    PIL.Image.fromarray(canvas).save(tmp_path / "both.png")

    found = list(identify(gallery, [tmp_path / "both.png"], detector, embedder, LIMIT))
    assert [result.position for result in found] == [0, 1]
    by_place = sorted(found, key=lambda result: result.face.box[0] if result.face else 0.0)
    assert [r.decision.candidates[0].person for r in by_place if r.decision] == ["Grace Hopper", "Joe Biden"]
    (photo,) = embed_photos([tmp_path / "both.png"], detector, embedder, main_only=True)
    assert len(photo.faces) == len(photo.vectors) == 1
    assert photo.faces[0].box == found[0].face.box if found[0].face else False


def test_a_photo_without_a_face(gallery: Gallery, embedder: OpenVINOEmbedder, tmp_path: Path) -> None:
    PIL.Image.new("RGB", (80, 60), "grey").save(tmp_path / "wall.png")
    (photo,) = embed_photos([tmp_path / "wall.png"], MTCNNDetector(), embedder)
    assert isinstance(photo.error, NoFaceError)
    (result,) = identify(gallery, [tmp_path / "wall.png"], MTCNNDetector(), embedder, LIMIT)
    assert isinstance(result.error, NoFaceError)
    assert (result.face, result.decision) == (None, None)


# ---------------------------------------------------------------------------------------------------- enrolling


def test_enrolling_good_and_bad_photos(mixed: list[Path], gallery: Gallery, embedder: OpenVINOEmbedder) -> None:
    people = {f"p{i}": [path] for i, path in enumerate(mixed)}
    results = {result.path: result for result in enroll(gallery, people, AlignedDetector(), embedder)}
    assert len(results) == 40
    for i, path in enumerate(mixed):
        assert results[path].person == f"p{i}"
        assert results[path].status == ("failed" if is_bad(i) else "added")
        assert (path.name in results[path].reason) == is_bad(i)
    assert gallery.templates == 40 - len(mixed[::7])


def test_what_is_said_to_be_added_is_stored(
    mixed: list[Path], gallery: Gallery, embedder: OpenVINOEmbedder, tmp_path: Path
) -> None:
    people = {"Ann": mixed[1:4], "Bob": mixed[4:6]}
    with Gallery.open(tmp_path / "gallery") as other:
        for count, result in enumerate(enroll(gallery, people, AlignedDetector(), embedder), start=1):
            assert result.status == "added"
            assert other.templates == count
            assert other.show(result.person)[-1].source == str(result.path.resolve())


def test_a_name_means_the_same_however_it_is_written(
    mixed: list[Path], gallery: Gallery, embedder: OpenVINOEmbedder
) -> None:
    def status(name: str) -> list[tuple[str, str]]:
        return [(r.person, r.status) for r in enroll(gallery, {name: [mixed[1]]}, AlignedDetector(), embedder)]

    assert status("  Zoë ") == [("Zoë", "added")]
    assert status("Zoë") == [("Zoë", "skipped")]
    assert status("  Zoë ") == [("Zoë", "skipped")]
    assert status("Zoe\u0308") == [("Zoë", "skipped")]
    assert status("Zoe") == [("Zoe", "failed")]
    assert [person.name for person in gallery.people()] == ["Zoë"]


def test_one_photo_twice_in_one_batch(mixed: list[Path], gallery: Gallery, embedder: OpenVINOEmbedder) -> None:
    people = {"Ann": [mixed[1], mixed[1]], "Bob": [mixed[1]]}
    results = list(enroll(gallery, people, AlignedDetector(), embedder))
    assert [result.status for result in results] == ["added", "skipped", "failed"]
    assert "enrolled as Ann" in results[2].reason


def test_a_long_folder_that_is_enrolled_already_is_answered_batch_by_batch(
    mixed: list[Path], gallery: Gallery, embedder: OpenVINOEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the batches that are looked at ahead of the first answer are hashed for it."""
    list(enroll(gallery, {"Ann": mixed[1:2]}, AlignedDetector(), embedder))
    hashed: list[AnyPhoto] = []
    monkeypatch.setattr(
        "facerec.recognition.enroll.hash_photo", lambda photo: hashed.append(photo) or hash_photo(photo)
    )
    results = enroll(gallery, {"Ann": mixed[1:2] * 10 * BATCH}, AlignedDetector(), embedder)
    assert next(results).reason == KNOWN
    assert len(hashed) == 3 * BATCH
    assert [result.status for result in results] == ["skipped"] * (10 * BATCH - 1)


def test_photos_enrolled_before_are_not_looked_at_again(
    mixed: list[Path], gallery: Gallery, embedder: OpenVINOEmbedder
) -> None:
    class Counting(AlignedDetector):
        seen = 0

        def detect(self, images: Sequence[Image]) -> list[list[Face]]:
            self.seen += len(images)
            return super().detect(images)

    detector = Counting()
    for expected in (3, 3):
        list(enroll(gallery, {"Ann": mixed[1:4]}, detector, embedder))
        assert detector.seen == expected


def test_a_bad_name_fails_alone(mixed: list[Path], gallery: Gallery, embedder: OpenVINOEmbedder) -> None:
    people = {"Ann": [mixed[1]], "a\nb": [mixed[2]], "Bob": [mixed[3]]}
    results = {r.person: r for r in enroll(gallery, people, AlignedDetector(), embedder)}
    assert {name: result.status for name, result in results.items()} == {
        "Ann": "added",
        "a\nb": "failed",
        "Bob": "added",
    }
    assert str(mixed[2]) in results["a\nb"].reason


# ---------------------------------------------------------------------------------------------------- searching


def test_everybody_is_found_and_strangers_are_not(
    mixed: list[Path], gallery: Gallery, embedder: OpenVINOEmbedder, tmp_path: Path
) -> None:
    good = [i for i in range(40) if not is_bad(i)]
    list(enroll(gallery, {f"p{i}": [mixed[i]] for i in good}, AlignedDetector(), embedder))
    probes = [toy_model.save_crop(tmp_path / "probes" / f"{i}.png", i, 1) for i in range(40)]
    probes[10].write_bytes(b"")
    results = list(identify(gallery, probes, AlignedDetector(), embedder, LIMIT, top=3))
    assert [result.path for result in results] == probes
    assert isinstance(results[10].error, ImageError)
    for i, result in enumerate(results):
        if i == 10:
            continue
        assert result.decision is not None
        assert result.decision.person == (None if is_bad(i) else f"p{i}")
        assert len(result.decision.candidates) == 3
        assert result.decision.threshold == LIMIT


def test_the_margin_needs_two_however_few_are_asked_for(
    mixed: list[Path], gallery: Gallery, embedder: OpenVINOEmbedder
) -> None:
    list(enroll(gallery, {"Ann": [mixed[1]], "Bob": [mixed[2]]}, AlignedDetector(), embedder))
    (result,) = identify(gallery, [mixed[1]], AlignedDetector(), embedder, LIMIT, top=1)
    assert result.decision is not None
    assert result.decision.margin is not None


# ---------------------------------------------------------------------------------------------------- verifying


def test_verify_gives_the_distance_by_hand(embedder: OpenVINOEmbedder, tmp_path: Path) -> None:
    paths = [
        toy_model.save_crop(tmp_path / f"{person}{photo}.png", person, photo)
        for person, photo in [(0, 0), (0, 1), (1, 0)]
    ]
    a, b, c = (toy_model.vector(toy_model.crop(int(path.name[0]), int(path.name[1]))) for path in paths)
    same = verify(paths[0], paths[1], AlignedDetector(), embedder, LIMIT)
    different = verify(paths[0], paths[2], AlignedDetector(), embedder, LIMIT)
    assert (same.same, different.same) == (True, False)
    assert same.distance == pytest.approx(((a - b) ** 2).sum(), abs=1e-5)
    assert different.distance == pytest.approx(((a - c) ** 2).sum(), abs=1e-5)


@pytest.mark.parametrize("bad", [0, 1])
def test_verify_raises_the_error_of_the_photo_at_fault(bad: int, embedder: OpenVINOEmbedder, tmp_path: Path) -> None:
    paths = [toy_model.save_crop(tmp_path / f"{i}.png", i, 0) for i in range(2)]
    paths[bad].unlink()
    with pytest.raises(ImageError, match=f"{bad}.png: no such file"):
        verify(paths[0], paths[1], AlignedDetector(), embedder, LIMIT)


# ---------------------------------------------------------------------------------------------------- galleries


def test_open_gallery_binds_the_model_and_lets_go_when_refused(
    mixed: list[Path], embedder: OpenVINOEmbedder, tmp_path: Path
) -> None:
    with open_gallery(tmp_path / "g", embedder, create=True) as gallery:
        assert gallery.threshold == Threshold(0.5, "made up for tests")
        list(enroll(gallery, {"Ann": [mixed[1]]}, AlignedDetector(), embedder))
    other = OpenVINOEmbedder(toy_model.write_model(tmp_path, "other", std=(99.0, 99.0, 99.0)))
    with pytest.raises(ForeignModelError, match="made with model toy"):
        open_gallery(tmp_path / "g", other)
    with open_gallery(tmp_path / "g", embedder) as gallery:
        assert len(gallery) == 1
    with pytest.raises(GalleryError, match="no gallery here"):
        open_gallery(tmp_path / "none", embedder)


def test_the_threshold_asked_for_goes_over_the_measured_one() -> None:
    assert choose_threshold(None, LIMIT, "m") == LIMIT
    assert choose_threshold(0, LIMIT, "m") == Threshold(0, "as asked for")
    assert choose_threshold(4, None, "m").distance == 4
    for bad in (-1e-9, 4.0001, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="from 0 to 4"):
            choose_threshold(bad, LIMIT, "m")
    with pytest.raises(ConfigError, match="the card of m states no threshold"):
        choose_threshold(None, None, "m")


def test_a_batch_is_smaller_than_these_tests_assume(mixed: list[Path]) -> None:
    assert len(mixed) > pipeline.BATCH


@pytest.mark.parametrize(("owner", "status"), [("Ann", "skipped"), ("Bob", "failed")])
def test_a_photo_another_process_enrolled_a_moment_ago(
    owner: str,
    status: str,
    gallery: Gallery,
    embedder: OpenVINOEmbedder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between the look into the gallery and the writing: the run goes on, and says what came of the photo."""
    photos = [toy_model.save_crop(tmp_path / f"{i}.png", i, 0) for i in range(2)]
    with open_gallery(gallery.folder, embedder) as other:
        add = Gallery.add

        def late(self: Gallery, person: str, template: Template) -> bool:
            if template.source == str(photos[0].resolve()) and self is gallery:
                add(other, owner, template)
            return add(self, person, template)

        monkeypatch.setattr(Gallery, "add", late)
        first, second = enroll(gallery, {"Ann": photos}, AlignedDetector(), embedder)
    assert (first.status, second.status) == (status, "added")
    assert (f"enrolled as {owner}" in first.reason) == (status == "failed")
    assert gallery.templates == 2
