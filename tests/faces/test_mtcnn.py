"""detect.py: alignment against a slow oracle; MTCNN on the sample gallery and, marked `real`, on research data."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import sample_by_pixel

from facerec.errors import ImageError
from facerec.faces import looking as module
from facerec.faces.alignment import TEMPLATE, align, similarity, template
from facerec.faces.detector import AlignedDetector, Detector, faces_in_photos
from facerec.faces.found import Found
from facerec.faces.mtcnn import MTCNNDetector
from facerec.faces.settings import DetectorSettings
from facerec.photos.reading import read_image
from facerec.types import Face, Image

GALLERY = Path(__file__).resolve().parents[2] / "gallery"
PORTRAITS = sorted(GALLERY.rglob("*.jpg"))


@pytest.fixture(scope="module")
def mtcnn() -> MTCNNDetector:
    return MTCNNDetector()


@pytest.fixture(scope="module")
def portrait() -> Image:
    return read_image(GALLERY / "people" / "Barack Obama" / "official_portrait_2012.jpg")


def smooth(height: int, width: int) -> Image:
    """Slow waves, different in every colour: bilinear and bicubic sampling agree on them."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 17 + y / 31), np.cos(x / 23 - y / 13), np.sin((x + y) / 29)]
    return (127.5 + 120 * np.stack(waves, 2)).astype(np.uint8)


def placed(scale: float, degrees: float, x: float, y: float) -> np.ndarray:
    """The 112 template's landmarks, turned and scaled about its middle, its middle moved to (x, y)."""
    angle = np.radians(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return ((TEMPLATE - 55.5) @ turn.T + (x, y)).astype(np.float32)


# ---- alignment ------------------------------------------------------------------------------------------------------

plane = st.floats(-500, 500)


@settings(deadline=None)
@given(scale=st.floats(0.05, 20), degrees=st.floats(-180, 180), x=plane, y=plane)
def test_similarity_recovers_rotation_scale_and_shift(scale: float, degrees: float, x: float, y: float) -> None:
    matrix = similarity(TEMPLATE, placed(scale, degrees, x, y))
    angle = np.radians(degrees)
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    assert np.allclose(matrix[:, :2], linear, atol=1e-3 * scale + 1e-4)
    assert np.allclose(matrix @ [55.5, 55.5, 1], [x, y], atol=1e-2)


@settings(deadline=None)
@given(st.lists(st.tuples(plane, plane), min_size=5, max_size=5), st.integers(0, 3), st.floats(-0.1, 0.1))
def test_no_other_similarity_is_nearer(points: list[tuple[float, float]], which: int, step: float) -> None:
    """Least squares: moving any of the four parameters never brings the points nearer."""
    steps = [[[1, 0, 0], [0, 1, 0]], [[0, -1, 0], [1, 0, 0]], [[0, 0, 1], [0, 0, 0]], [[0, 0, 0], [0, 0, 1]]]
    source, target = TEMPLATE.astype(float), np.array(points)
    best = similarity(TEMPLATE, target.astype(np.float32))
    moved = best + step * np.array(steps[which])
    error = [np.square(source @ m[:, :2].T + m[:, 2] - target).sum() for m in (best, moved)]
    assert error[0] <= error[1] * (1 + 1e-6) + 1e-3


@settings(max_examples=25, deadline=None)
@given(
    scale=st.floats(0.4, 3),
    degrees=st.floats(-180, 180),
    x=st.floats(100, 300),
    y=st.floats(80, 200),
    size=st.sampled_from([112, 128]),
)
def test_align_agrees_with_direct_inverse_mapping(scale: float, degrees: float, x: float, y: float, size: int) -> None:
    image = smooth(260, 380)
    landmarks = placed(scale, degrees, x, y)
    crop = align(image, landmarks, size)
    to_photo = similarity(template(size), landmarks)
    assert crop.shape == (size, size, 3)
    assert crop.dtype == np.uint8
    for v, u in itertools.product(range(0, size, 7), repeat=2):
        expected = sample_by_pixel(image, to_photo, u, v)
        assert expected is None or np.abs(crop[v, u] - expected).max() <= 6


def test_align_at_the_template_is_the_photo_itself() -> None:
    image = smooth(128, 128)
    for size, margin in ((128, 0), (112, 8)):
        part = image[margin : margin + size, margin : margin + size]
        assert np.abs(align(image, template(128), size).astype(int) - part).max() <= 1  # Pillow cuts fractions off


def test_the_128_crop_is_the_112_crop_with_8_pixels_around() -> None:
    image, landmarks = smooth(300, 300), placed(1.3, 20, 150, 150)
    middle = align(image, landmarks, 128)[8:120, 8:120].astype(int)
    assert np.abs(middle - align(image, landmarks, 112)).mean() < 1


def test_outside_the_photo_is_black() -> None:
    white = np.full((112, 112, 3), 255, np.uint8)
    crop = align(white, placed(1, 0, 55.5 - 40, 55.5), 112)
    assert not crop[:, :39].any()
    assert (crop[:, 41:] == 255).all()
    assert not align(white, placed(1, 0, 5000, 55), 112).any()


def test_scaling_down_goes_through_a_low_pass_filter() -> None:
    checks = (np.indices((900, 900)).sum(0) % 2 * 255).astype(np.uint8)
    crop = align(np.repeat(checks[..., None], 3, 2), placed(6, 10, 450, 450), 112)
    assert np.abs(crop.astype(int) - 127).max() <= 3


def test_landmarks_on_one_point_are_refused() -> None:
    with pytest.raises(ValueError, match="one point"):
        align(smooth(50, 50), np.full((5, 2), 20, np.float32), 112)


# ---- aligned inputs, streams ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [96, 160, 224])
def test_a_crop_of_another_size_shows_the_same_part_of_the_face(size: int) -> None:
    """For networks of others with another input: the places are the same shares of the side."""
    np.testing.assert_allclose((template(size) + 0.5) / size, (template(112) + 0.5) / 112, rtol=1e-6)


@pytest.mark.parametrize(("side", "crop_size"), [(112, 112), (128, 112), (128, 128), (80, 112), (256, 128), (160, 160)])
def test_aligned_detector(side: int, crop_size: int) -> None:
    """Its landmarks are where `align` would have to take them from to cut the very crop it gives."""
    image = smooth(side, side)
    detector: Detector = AlignedDetector(crop_size)
    ((face,),) = detector.detect([image])
    assert face.confidence == 1.0
    assert face.box == (0, 0, side, side)
    assert face.crop.shape == (crop_size, crop_size, 3)
    difference = np.abs(align(image, face.landmarks, crop_size).astype(int) - face.crop)
    assert difference[2:-2, 2:-2].max() <= 4


def _photos(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"{i}.png" for i in range(count)]
    for i, path in enumerate(paths):
        PIL.Image.new("RGB", (112, 112), (i, 0, 0)).save(path)
    return paths


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_faces_in_photos_keeps_order_and_goes_on_after_errors(tmp_path: Path, batch_size: int) -> None:
    paths = _photos(tmp_path, 5)
    paths[3].write_bytes(b"no image")
    paths.insert(1, tmp_path / "missing.png")
    results = list(faces_in_photos(paths, AlignedDetector(), batch_size))
    assert [path for path, _, _ in results] == paths
    reds = [str(faces) if isinstance(faces, ImageError) else faces[0].crop[0, 0, 0] for _, faces, _ in results]
    assert reds[:1] + reds[2:4] + reds[5:] == [0, 1, 2, 4]
    assert "no such file" in str(reds[1])
    assert "not an image" in str(reds[4])


def test_faces_in_photos_streams(tmp_path: Path) -> None:
    taken: list[Path] = []

    def paths() -> Iterator[Path]:
        for path in _photos(tmp_path, 10):
            taken.append(path)
            yield path

    next(faces_in_photos(paths(), AlignedDetector(), 2))
    assert len(taken) == 3 * 2
    assert list(faces_in_photos([], AlignedDetector(), 2)) == []


def test_an_input_that_is_not_square_fails_alone(tmp_path: Path) -> None:
    paths = _photos(tmp_path, 3)
    PIL.Image.new("RGB", (100, 120)).save(paths[1])
    results = [faces for _, faces, _ in faces_in_photos(paths, AlignedDetector(), 8)]
    assert [isinstance(faces, ImageError) for faces in results] == [False, True, False]
    assert str(results[1]) == f"{paths[1]}: 100x120 is not an aligned crop: give square crops, or leave out `aligned`"


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
