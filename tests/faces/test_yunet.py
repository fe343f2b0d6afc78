"""YuNet: its outputs read by a slow oracle's rule, and its faces on photos beside MTCNN's."""

import math
from pathlib import Path

import numpy as np
import pytest

from facerec.errors import ConfigError
from facerec.faces import yunet as module
from facerec.faces.detector import make_detector
from facerec.faces.found import iou
from facerec.faces.mtcnn import MTCNNDetector
from facerec.faces.settings import DetectorSettings
from facerec.faces.yunet import YuNetDetector, decoded, search
from facerec.photos.reading import read_image
from facerec.types import Face, Image

GALLERY = Path(__file__).resolve().parents[2] / "gallery"
PORTRAITS = sorted(path for path in GALLERY.rglob("*.jpg") if path.name != "page.jpg")  # not the picture of the page
HEIGHT, WIDTH = 96, 160  # of the input that the hand-placed outputs are for


@pytest.fixture(scope="module")
def yunet() -> YuNetDetector:
    return YuNetDetector()


@pytest.fixture(scope="module")
def portrait() -> Image:
    return read_image(GALLERY / "people" / "Barack Obama" / "official_portrait_2012.jpg")


# ---- reading the outputs --------------------------------------------------------------------------------------------


def nothing_seen() -> dict[str, np.ndarray]:
    """Outputs in which no cell sees a face; what else they hold is noise."""
    random, outputs = np.random.default_rng(7), {}
    for stride in (8, 16, 32):
        cells = (HEIGHT // stride) * (WIDTH // stride)
        for kind, columns in {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}.items():
            outputs[f"{kind}_{stride}"] = random.normal(0, 0.5, (cells, columns)).astype(np.float32)
        outputs[f"cls_{stride}"][:] = outputs[f"obj_{stride}"][:] = 0
    return outputs


def by_cell(
    outputs: dict[str, np.ndarray], stride: int, row: int, column: int
) -> tuple[list[float], list[float], float]:
    """The oracle: box, landmarks and confidence of one cell, one number after the other."""
    cell = row * (WIDTH // stride) + column
    right, down, wide, high = map(float, outputs[f"bbox_{stride}"][cell])
    x, y, w, h = (column + right) * stride, (row + down) * stride, math.exp(wide) * stride, math.exp(high) * stride
    marks = outputs[f"kps_{stride}"][cell]
    points = [float(mark + (row if i % 2 else column)) * stride for i, mark in enumerate(marks)]
    both = [min(max(float(outputs[f"{kind}_{stride}"][cell, 0]), 0.0), 1.0) for kind in ("cls", "obj")]
    return [x - w / 2, y - h / 2, x + w / 2, y + h / 2], points, 1 - (1 - math.sqrt(both[0] * both[1])) ** 2


PLACES = [(8, 11, 19), (8, 0, 0), (16, 3, 2), (32, 1, 4), (32, 2, 0)]  # stride, row, column


@pytest.mark.parametrize(("stride", "row", "column"), PLACES)
def test_a_face_is_read_where_its_cell_says(stride: int, row: int, column: int) -> None:
    outputs = nothing_seen()
    outputs[f"cls_{stride}"][row * (WIDTH // stride) + column] = 0.9
    outputs[f"obj_{stride}"][row * (WIDTH // stride) + column] = 1.2  # as much as 1
    found = decoded(outputs, WIDTH)
    box, points, confidence = by_cell(outputs, stride, row, column)
    np.testing.assert_allclose(found.boxes, [box], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(found.points.reshape(1, 10), [points], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(found.scores, [confidence], rtol=1e-5)
    assert all(part.dtype == np.float32 for part in (found.boxes, found.points, found.scores))


def test_of_cells_that_see_one_face_the_surest_counts() -> None:
    outputs = nothing_seen()
    for cell, score in ((21, 0.8), (22, 0.95), (23, 0.7), (150, 0.6), (160, 0.3)):
        outputs["cls_8"][cell] = outputs["obj_8"][cell] = score
    outputs["bbox_8"][:] = 0, 0, math.log(5), math.log(5)  # boxes of 40 pixels: neighbours share more than half
    found = decoded(outputs, WIDTH)
    np.testing.assert_allclose(found.scores, [1 - 0.05**2, 1 - 0.4**2], rtol=1e-5)  # 0.3 is no face
    np.testing.assert_allclose(found.boxes[0], [16 - 20, 8 - 20, 16 + 20, 8 + 20], atol=1e-4)


def test_nothing_to_see() -> None:
    found = decoded(nothing_seen(), WIDTH)
    assert (found.boxes.shape, found.points.shape, found.scores.shape) == ((0, 4), (0, 5, 2), (0,))


# ---- photos ---------------------------------------------------------------------------------------------------------


def test_the_sample_portraits_as_mtcnn_sees_them(yunet: YuNetDetector) -> None:
    images = [read_image(path) for path in PORTRAITS]
    for seen, expected in zip(yunet.detect(images), MTCNNDetector().detect(images), strict=True):
        assert len(seen) == len(expected)
        for one, other in zip(seen, expected, strict=True):
            assert iou(*(np.array(box, np.float32) for box in (one.box, [other.box])))[0] > 0.7
            assert farthest(one, other) < 0.25
            assert one.confidence > 0.99
            assert one.crop.shape == (112, 112, 3)


def farthest(one: Face, other: Face) -> float:
    """How far the landmarks are apart, where they are farthest; in distances of the eyes."""
    apart = np.linalg.norm(one.landmarks - other.landmarks, axis=1)
    return float(apart.max() / np.linalg.norm(other.landmarks[0] - other.landmarks[1]))


def test_a_photo_by_itself_gives_what_it_gives_among_others(yunet: YuNetDetector) -> None:
    images = [read_image(path)[:400] for path in PORTRAITS[:3]]
    for image, faces in zip(images, yunet.detect(images), strict=True):
        for one, other in zip(faces, yunet.detect([image])[0], strict=True):
            assert (one.box, one.confidence) == (other.box, other.confidence)
            assert np.array_equal(one.crop, other.crop)


def test_photos_without_a_face(yunet: YuNetDetector) -> None:
    blank = [np.full(shape, 255, np.uint8) for shape in ((1, 1, 3), (7, 300, 3), (900, 20, 3))]
    assert yunet.detect(blank) == [[], [], []]
    assert yunet.detect([]) == []


def test_a_large_photo_is_searched_small_but_cut_from_the_original(portrait: Image, yunet: YuNetDetector) -> None:
    large = np.repeat(np.repeat(portrait, 3, 0), 3, 1)
    first, face = yunet.detect([portrait])[0][0], yunet.detect([large])[0][0]
    assert iou(*(np.array(box, np.float32) for box in (face.box, [np.multiply(first.box, 3)])))[0] > 0.9
    side = int(first.box[3] - first.box[1])
    assert YuNetDetector(DetectorSettings(min_face_size=2 * side)).detect([portrait]) == [[]]
    assert YuNetDetector(DetectorSettings(min_confidence=1.0)).detect([portrait]) == [[]]


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_portrait_on_its_side(portrait: Image, yunet: YuNetDetector, quarters: int) -> None:
    upright = yunet.detect([portrait])[0][0]
    (face, *_) = yunet.detect([np.ascontiguousarray(np.rot90(portrait, quarters))])[0]
    assert face.turned == 90 * quarters
    assert np.abs(face.crop.astype(int) - upright.crop).mean() < 1


def test_photos_of_all_sizes_reach_the_network_in_few_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = set()

    class Counted:
        def __call__(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
            shapes.add(pixels.shape)
            _, _, height, width = pixels.shape
            columns = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
            sizes = {f"{kind}_{s}": (1, height * width // s**2, n) for kind, n in columns.items() for s in (8, 16, 32)}
            return {name: np.zeros(size, np.float32) for name, size in sizes.items()}

        def output(self, name: str) -> str:
            return name

    monkeypatch.setattr(module, "_network", Counted)
    for side in range(20, 1281, 90):
        search([np.zeros((side, other, 3), np.uint8) for other in (31, 400, 1280)], 32)
    assert all(height % 32 == 0 and width % 32 == 0 and max(height, width) <= 640 for *_, height, width in shapes)
    assert len(shapes) <= 25


# ---- the choice -----------------------------------------------------------------------------------------------------


def test_the_detector_is_chosen_by_name() -> None:
    kinds = {None: MTCNNDetector, "mtcnn": MTCNNDetector, "yunet": YuNetDetector}
    for name, kind in kinds.items():
        assert type(make_detector(112, settings=DetectorSettings(detector=name))) is kind
    with pytest.raises(ConfigError, match="`detector` must be mtcnn or yunet, not 'retina'"):
        DetectorSettings(detector="retina")


@pytest.mark.real
def test_photos_in_the_wild_as_mtcnn_sees_them(shared_data: Path, yunet: YuNetDetector) -> None:
    """Every main face of the 87 photos, at nearly the same place."""
    paths = sorted((shared_data / "photos").rglob("*.jpg"))[::4]
    images = [read_image(path) for path in paths]
    apart = []
    for seen, expected in zip(yunet.detect(images), MTCNNDetector().detect(images), strict=True):
        overlaps = iou(*(np.array(boxes, np.float32) for boxes in (expected[0].box, [face.box for face in seen])))
        assert overlaps.max() > 0.5
        apart.append(farthest(seen[int(overlaps.argmax())], expected[0]))
    assert np.median(apart) < 0.2
