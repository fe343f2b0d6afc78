"""MTCNN on the sample gallery and, marked `real`, on research data."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_images import smooth

from facerec.errors import ImageError
from facerec.faces import looking as module
from facerec.faces.alignment import align, template
from facerec.faces.detector import faces_in_photos
from facerec.faces.found import Found
from facerec.faces.mtcnn import MTCNNDetector
from facerec.faces.settings import DetectorSettings
from facerec.photos.reading import read_image
from facerec.types import Face, Image

GALLERY = Path(__file__).resolve().parents[2] / "gallery"
PORTRAITS = sorted(path for path in GALLERY.rglob("*.jpg") if path.name != "page.jpg")  # not the picture of the page


@pytest.fixture(scope="module")
def mtcnn() -> MTCNNDetector:
    return MTCNNDetector()


@pytest.fixture(scope="module")
def portrait() -> Image:
    return read_image(GALLERY / "people" / "Barack Obama" / "official_portrait_2012.jpg")


# ---- MTCNN ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (11, 12), (1, 400), (400, 1), (4000, 3), (33, 33), (12, 2500)])
def test_photos_too_small_for_a_face(mtcnn: MTCNNDetector, shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (*shape, 3), np.uint8)
    assert mtcnn.detect([noise, smooth(*shape)]) == [[], []]


def test_photos_without_a_face(mtcnn: MTCNNDetector) -> None:
    blank = [np.full((90, 120, 3), grey, np.uint8) for grey in (0, 128, 255)]
    assert mtcnn.detect([*blank, smooth(200, 150)]) == [[]] * 4
    assert mtcnn.detect([]) == []


def test_the_sample_portraits(mtcnn: MTCNNDetector) -> None:
    """Photos of different sizes in one batch; each main face fills its crop as the template says."""
    images = [read_image(path) for path in PORTRAITS]
    for image, faces in zip(images, mtcnn.detect(images), strict=True):
        main = faces[0]
        assert main.confidence >= 0.9
        assert main.crop.shape == (112, 112, 3)
        x1, y1, x2, y2 = main.box
        assert (main.landmarks > (x1, y1)).all()
        assert (main.landmarks < (x2, y2)).all()
        assert min(image.shape[:2]) > max(x2 - x1, y2 - y1) > 30
        assert np.array_equal(main.crop, align(image, main.landmarks, 112))
        again = mtcnn.detect([align(image, main.landmarks, 128)])[0][0]
        assert np.abs(again.landmarks - template(128)).max() < 8


def test_a_batch_gives_what_single_photos_give(mtcnn: MTCNNDetector) -> None:
    """Whatever the sizes of the others, down to the last pixel."""
    images = [read_image(path) for path in PORTRAITS] + [smooth(40, 300), smooth(5, 5)]
    for image, faces in zip(images, mtcnn.detect(images), strict=True):
        alone = mtcnn.detect([image])[0]
        assert len(alone) == len(faces)
        for face, same in zip(faces, alone, strict=True):
            np.testing.assert_allclose(face.box, same.box, atol=1e-3)
            np.testing.assert_allclose(face.landmarks, same.landmarks, atol=1e-3)


def _off(face: Face, landmarks: np.ndarray) -> float:
    """Mean distance of its landmarks from `landmarks`, as a share of the face's height."""
    return float(np.linalg.norm(face.landmarks - landmarks, axis=1).mean() / (face.box[3] - face.box[1]))


def test_all_faces_the_main_one_first(mtcnn: MTCNNDetector, portrait: Image) -> None:
    """A large face in the middle before a small one beside it, wherever they stand in the picture."""
    height, width = portrait.shape[:2]
    small = np.asarray(PIL.Image.fromarray(portrait).resize((width // 2, height // 2)))
    picture = np.full((height, 2 * width, 3), 200, np.uint8)
    picture[:, width // 2 : width // 2 + width] = portrait
    picture[: height // 2, : width // 2] = small
    for image in (picture, np.ascontiguousarray(picture[:, ::-1])):
        (faces,) = mtcnn.detect([image])
        assert len(faces) == 2
        sides = [face.box[2] - face.box[0] for face in faces]
        assert sides[0] > 1.6 * sides[1]


def test_a_large_photo_is_searched_small_but_cut_from_the_original(portrait: Image, mtcnn: MTCNNDetector) -> None:
    image = PIL.Image.fromarray(portrait)
    large = np.asarray(image.resize((image.width * 4, image.height * 4), PIL.Image.Resampling.BICUBIC))
    first = mtcnn.detect([portrait])[0][0]
    face = MTCNNDetector(DetectorSettings(max_side=max(portrait.shape))).detect([large])[0][0]
    assert _off(face, (first.landmarks + 0.5) * 4 - 0.5) < 0.01
    assert np.array_equal(face.crop, align(large, face.landmarks, 112))


def test_settings(portrait: Image) -> None:
    portrait = portrait[::2, ::2]
    face = MTCNNDetector(crop_size=128).detect([portrait])[0][0]
    assert face.crop.shape == (128, 128, 3)
    side = int(face.box[3] - face.box[1])
    assert MTCNNDetector(DetectorSettings(min_face_size=2 * side)).detect([portrait]) == [[]]
    assert MTCNNDetector(DetectorSettings(min_confidence=1.0)).detect([portrait]) == [[]]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.2])
def test_tight_crops(mtcnn: MTCNNDetector, share: float) -> None:
    """A face that fills the frame (`share` of its box around it) gets the landmarks it has in the whole photo."""
    for path in PORTRAITS:
        image = read_image(path)
        whole = mtcnn.detect([image])[0][0]
        x1, y1, x2, y2 = whole.box
        room = share * (y2 - y1)
        left, top = max(0, int(x1 - room)), max(0, int(y1 - room))
        (tight,) = mtcnn.detect([np.ascontiguousarray(image[top : int(y2 + room), left : int(x2 + room)])])
        assert _off(tight[0], whole.landmarks - (left, top)) < 0.04, path


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3000), st.integers(1, 3000)), max_size=30), st.integers(1, 16))
def test_batches_hold_every_photo_once_and_are_not_too_large(shapes: list[tuple[int, int]], batch_size: int) -> None:
    images = [np.broadcast_to(np.uint8(0), (*shape, 3)) for shape in shapes]
    batches = list(module._batches(images, batch_size))
    assert [image.shape for batch in batches for image in batch] == [(*shape, 3) for shape in shapes]
    for batch in batches:
        assert 1 <= len(batch) <= batch_size
        assert len(batch) == 1 or sum(image.size for image in batch) <= 3 * module._BATCH_PIXELS


# ---- quarter turns --------------------------------------------------------------------------------------------------


def test_photos_lying_on_a_side_or_on_their_head(mtcnn: MTCNNDetector, tmp_path: Path) -> None:
    """Box and landmarks are in the photo as given, the crop is upright, and the turn is said."""
    upright = read_image(GALLERY / "people" / "Joe Biden" / "blue_room_2010.jpg")[::3, ::3]
    paths = [tmp_path / f"{quarters}.png" for quarters in range(4)]
    for quarters, path in enumerate(paths):
        PIL.Image.fromarray(np.rot90(upright, quarters)).save(path)
    found = list(faces_in_photos(paths, mtcnn, 4))
    assert [photo.remarks for photo in found] == [
        (), *((f"turned by {degrees}° to find the face",) for degrees in (90, 180, 270))
    ]  # fmt: skip
    (first,) = found[0].faces  # type: ignore[misc]
    for quarters, photo in enumerate(found):
        (face,) = photo.faces  # type: ignore[misc]
        assert face.turned == 90 * quarters
        assert face.confidence == pytest.approx(first.confidence, abs=1e-4)
        assert np.abs(face.crop.astype(int) - first.crop).mean() < 2
        x1, y1, x2, y2 = np.round(face.box).astype(int)
        part = np.rot90(np.rot90(upright, quarters)[y1:y2, x1:x2], -quarters)
        x1, y1, x2, y2 = np.round(first.box).astype(int)
        expected = upright[y1:y2, x1:x2]
        assert np.abs(np.subtract(part.shape, expected.shape)).max() <= 2
        assert np.abs(part[4:50, 4:50].mean((0, 1)) - expected[4:50, 4:50].mean((0, 1))).max() < 3


def test_a_photo_with_a_face_is_not_turned(
    mtcnn: MTCNNDetector, portrait: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    turned: list[tuple[int, ...]] = []
    monkeypatch.setattr(np, "rot90", lambda image, _: turned.append(image.shape) or image)
    mtcnn.detect([portrait, smooth(60, 90)])
    assert set(turned) == {(60, 90, 3)}


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_faces_are_turned_back_to_where_they_were(quarters: int) -> None:
    height, width = 30, 40
    points = np.array([[[3, 4], [9, 5], [6, 8], [4, 12], [8, 11]]], np.float32)
    picture = np.zeros((height, width), np.int64)
    for number, (x, y) in enumerate(points[0].astype(int), 1):
        picture[y, x] = number
    turned = np.rot90(picture, -quarters)
    seen = np.array([[np.argwhere(turned == number)[0][::-1] for number in range(1, 6)]], np.float32)
    box = np.array([[*seen[0].min(0), *seen[0].max(0)]], np.float32)
    back = Found(box, seen, np.ones(1, np.float32)).turned_back(quarters, turned.shape)
    assert np.array_equal(back.points, points)
    assert np.array_equal(back.boxes, [[3, 4, 9, 12]])


@pytest.mark.parametrize(
    ("upright", "turned", "taken"), [(0.0, 0.995, 1), (0.0, 0.98, 0), (0.98, 0.995, 0), (0.98, 0.9985, 1), (0.99, 1, 0)]
)
def test_a_turned_face_must_be_far_surer(
    upright: float, turned: float, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(_: MTCNNDetector, images: list[Image]) -> list[Found]:
        """One face in the photo as it is (its first pixel is black), another if its upper right pixel is."""
        scores = [{(0, 9): upright, (9, 0): turned}.get((int(p[0, 0, 0]), int(p[0, -1, 0])), 0.0) for p in images]
        box, points = looking(0, 0, 9, 9)
        one = [Found(*(np.array([value], np.float32) for value in (box, points, score))) for score in scores]
        return [found.keep(found.scores > 0) for found in one]

    monkeypatch.setattr(MTCNNDetector, "look", look)
    photo = np.full((10, 10, 3), 9, np.uint8)
    photo[0, 0] = 0
    faces = MTCNNDetector().detect([photo])[0]
    assert [face.turned for face in faces] == ([90] if taken else [0] * (upright > 0))


@pytest.mark.real
def test_a_turned_photo_without_a_note_of_it(shared_data: Path, mtcnn: MTCNNDetector) -> None:
    ((face,),) = mtcnn.detect([read_image(shared_data.parent / "cases" / "photos" / "rot90.jpg")])
    assert face.turned == 90
    assert face.confidence > 0.99


# ---- one face, one box ----------------------------------------------------------------------------------------------


def looking(left: float, top: float, right: float, bottom: float) -> tuple[list[float], np.ndarray]:
    """A box, and landmarks in it where a frontal face has them."""
    shares = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
    return [left, top, right, bottom], shares * (right - left, bottom - top) + (left, top)


@pytest.mark.parametrize(
    ("other", "score", "kept"),
    [
        (looking(60, 0, 160, 110), 0.95, 2),  # a face beside a surer one, half hidden by it
        (looking(20, 20, 130, 130), 0.95, 1),  # the same face again
        (looking(45, -30, 105, 35), 0.95, 2),  # a small one behind its forehead
        (looking(30, 35, 98, 103), 0.95, 1),  # eyes, nose and mouth are all the surer one's
        (looking(-80, 0, 20, 120), 0.9999, 2),
        (looking(45, -20, 190, 150), 0.95, 1),  # covers most of a surer one, and of its neighbour
        (looking(45, -20, 190, 150), 0.995, 2),  # surely a face, though close
        (looking(55, -20, 190, 150), 0.95, 2),
    ],
)
def test_a_face_made_of_another_s_parts_is_none(other: tuple[list[float], np.ndarray], score: float, kept: int) -> None:
    boxes, points = zip(looking(0, 0, 100, 120), other, strict=True)
    scores = np.array([0.999, score], np.float32)
    found = Found(np.array(boxes, np.float32), np.array(points, np.float32), scores).unique()
    assert len(found.scores) == kept
    assert found.scores.max() == scores.max()


@pytest.mark.real
def test_the_main_face_is_one_man_s(shared_data: Path, mtcnn: MTCNNDetector) -> None:
    """Beside it MTCNN sees a larger face, which is half his and half his neighbour's."""
    name = "Sylvester_Stallone"
    ((face, *_),) = mtcnn.detect([read_image(shared_data / "lfw" / name / f"{name}_0005.jpg")])
    assert face.confidence > 0.999
    assert np.abs(np.subtract(face.box, (65, 56, 164, 198))).max() < 3


@pytest.mark.real
def test_a_face_at_the_border_leaves_its_neighbours_alone(shared_data: Path, mtcnn: MTCNNDetector) -> None:
    """In these a second face is at the border, and the window it is looked at again in cuts through the main one."""
    names = ["Sandra_Bullock_0004", "Theresa_May_0002", "Todd_Haynes_0001", "Angela_Bassett_0003"]
    main = [(120, 124), (117, 124), (139, 134), (129, 129)]
    images = [read_image(shared_data / "lfw" / name[:-5] / f"{name}.jpg") for name in names]
    for name, faces, centre in zip(names, mtcnn.detect(images), main, strict=True):
        x1, y1, x2, y2 = faces[0].box
        assert np.hypot((x1 + x2) / 2 - centre[0], (y1 + y2) / 2 - centre[1]) < 12, name


@pytest.mark.real
def test_crops_are_those_the_training_data_were_made_with(shared_data: Path) -> None:
    """`faces/` holds 128x128 crops of these photos, made with this detector and template: in the same place."""
    stored = {
        p: shared_data / "faces" / p.parent.name / f"{p.stem}.webp" for p in (shared_data / "photos").rglob("*.jpg")
    }
    photos = [photo for photo in sorted(stored) if stored[photo].exists()][::3]
    best = [
        _best_shift(faces[0].crop.astype(float), read_image(stored[path]).astype(float))
        for path, faces, _ in faces_in_photos(photos, MTCNNDetector(crop_size=128), 8)
        if not isinstance(faces, ImageError) and faces
    ]
    assert len(best) == len(photos) >= 20
    assert np.abs(np.mean(best, 0)).max() < 0.5
    assert np.mean(np.abs(best).max(1) <= 1) > 0.75


def _best_shift(crop: np.ndarray, other: np.ndarray) -> tuple[int, int]:
    """By how many pixels `other` must move to look most like `crop`."""
    shifts = [(dy, dx) for dy in range(-3, 4) for dx in range(-3, 4)]
    return min(shifts, key=lambda s: np.abs(np.roll(other, s, (0, 1)) - crop)[8:-8, 8:-8].mean())
