"""From landmarks to crops on the template; and inputs that are such crops already."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import sample_by_pixel
from toy_images import smooth

from facerec.errors import ImageError
from facerec.faces.alignment import TEMPLATE, align, similarity, template
from facerec.faces.detector import AlignedDetector, Detector, faces_in_photos


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
