"""cascade.py and its parts against facenet-pytorch, which runs the networks on one photo at a time."""

import importlib
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from facenet_pytorch.models.mtcnn import ONet, PNet, RNet
from facenet_pytorch.models.utils.detect_face import detect_face
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import interpolate
from torchvision.ops import nms

from facerec.faces import cascade_networks
from facerec.faces.boxes import overlaps, unrepeated
from facerec.faces.cascade import cascade
from facerec.faces.mtcnn import MTCNNDetector
from facerec.faces.pyramid import SHEET, Level, Tile, packed, scales, tiles
from facerec.faces.sums import Photos, Pixels
from facerec.photos.reading import read_image
from facerec.types import Image

GALLERY = Path(__file__).resolve().parents[2] / "gallery"


@pytest.fixture(scope="module")
def networks() -> list[torch.nn.Module]:
    """facenet-pytorch's."""
    return [network().eval() for network in (PNet, RNet, ONet)]


def noise(height: int, width: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def in_range(image: Image) -> torch.Tensor:
    return (torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32))[None] - 127.5) / 128


def expected_means(image: Image, size: tuple[int, int]) -> Pixels:
    """(height, width, 4) as facenet-pytorch scales."""
    return np.pad(interpolate(in_range(image), size, mode="area")[0].permute(1, 2, 0).numpy(), ((0, 0), (0, 0), (0, 1)))


# ---- pixels ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (7, 20), (40, 31), (50, 80)])
@pytest.mark.parametrize("image", [noise(40, 61), np.full((400, 333, 3), 255, np.uint8)], ids=["noise", "large, white"])
def test_scaled_photos_are_the_means_of_areas(image: Image, size: tuple[int, int]) -> None:
    """Also of areas whose sums do not fit the bits that are theirs, unless they are cut."""
    found = np.full((*size, 4), 9, np.float32)
    Photos([noise(9, 9), image]).scaled(1, size, 0, 0, found)
    np.testing.assert_allclose(found, expected_means(image, size), atol=1e-6)


def test_rectangles_of_scaled_photos() -> None:
    image, found = noise(300, 400), np.zeros((120, 90, 4), np.float32)
    Photos([image]).scaled(0, (250, 390), 101, 203, found)
    np.testing.assert_allclose(found, expected_means(image, (250, 390))[101:221, 203:293], atol=1e-6)


def test_crops_are_the_means_of_areas() -> None:
    images = [noise(50, 70), noise(2500, 2300, 1)]
    boxes = np.array([[0, 0, 70, 50], [3, 5, 4, 6], [10, 20, 40, 31], [60, 1, 70, 50], [0, 0, 2300, 2500]])
    owners, crops = np.array([0, 0, 0, 0, 1]), np.zeros((5, 24, 24, 4), np.float32)
    Photos(images).crop(owners, boxes, crops)
    for crop, owner, (left, top, right, bottom) in zip(crops, owners, boxes, strict=True):
        part = np.ascontiguousarray(images[owner][top:bottom, left:right])
        np.testing.assert_allclose(crop, expected_means(part, (24, 24)), atol=1e-6)


# ---- boxes ----------------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 60), st.integers(0, 1000), st.sampled_from([0.5, 0.7]))
def test_the_best_boxes_are_those_of_torchvision(count: int, seed: int, most: float) -> None:
    """With boxes close to each other, and equal scores."""
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 30, (count, 2))
    boxes = np.hstack([corners, corners + rng.integers(1, 30, (count, 2))]).astype(np.float32)
    scores = rng.integers(0, 20, count).astype(np.float32)
    order = np.argsort(-scores, kind="stable")
    found = order[unrepeated(overlaps(boxes[order]) > most)]
    assert np.array_equal(found, nms(torch.from_numpy(boxes), torch.from_numpy(scores), most).numpy())


# ---- the first network ----------------------------------------------------------------------------------------------


def test_packed_levels_give_what_each_gives_by_itself(networks: list[torch.nn.Module]) -> None:
    """Every square of every level, with levels that are larger than a sheet and with sides of all kinds."""
    images = [noise(height, width) for height, width in [(700, 431), (33, 40), (90, 1100), (64, 65)]]
    photos = Photos(images)
    sheets = packed([tile for number in range(len(images)) for tile in tiles(photos, number, 32)])
    assert {sheet.height for sheet in sheets} <= {SHEET, SHEET // 2, SHEET // 4}
    found = {key: value for sheet in sheets for key, value in squares(sheet)}
    count = 0
    for number, image in enumerate(images):
        for level, scale in enumerate(scales(min(image.shape[:2]), 32)):
            pixels = expected_means(image, (int(image.shape[0] * scale + 1), int(image.shape[1] * scale + 1)))
            with torch.inference_mode():
                scores = networks[0](torch.from_numpy(pixels[None, ..., :3]).permute(0, 3, 1, 2))[1][0, 1].numpy()
            for place, score in np.ndenumerate(scores):
                assert found[number, level, *place] == pytest.approx(score, abs=1e-5)
            count += scores.size
    assert count == len(found)


def squares(sheet: Any) -> Iterator[tuple[tuple[int, int, int, int], float]]:
    """(photo, level, row, column) and the score of each square of a sheet."""
    output = cascade_networks.network("pnet").run([sheet.pixels()])[0][0]
    scores, owners = torch.from_numpy(output[..., :2]).softmax(2)[..., 1].numpy(), sheet.owners()
    for row, column in np.argwhere(owners >= 0):
        tile: Tile = sheet.tiles[owners[row, column]]
        top, left = sheet.places[owners[row, column]] // 2
        place = (int(row - top + tile.top // 2), int(column - left + tile.left // 2))
        yield (tile.level.photo, tile.level.number, *place), float(scores[row, column])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(13, SHEET), st.integers(13, SHEET)), min_size=1, max_size=40))
def test_tiles_are_packed_apart_and_at_even_places(sizes: list[tuple[int, int]]) -> None:
    level = Level(Photos([noise(13, 13)]), 0, 0, 1.0)
    cut = [Tile(level, 0, 0, height, width) for height, width in sizes]
    sheets = packed(cut)
    assert sorted(id(tile) for sheet in sheets for tile in sheet.tiles) == sorted(id(tile) for tile in cut)
    for sheet in sheets:
        assert not (sheet.places % 2).any()
        drawn = np.zeros((sheet.height, SHEET), np.int64)
        for tile, (top, left) in zip(sheet.tiles, sheet.places, strict=True):
            drawn[top : top + tile.height, left : left + tile.width] += 1
        assert drawn.max() == 1
        assert drawn.sum() == sum(tile.height * tile.width for tile in sheet.tiles)  # none is cut


# ---- all three ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted((GALLERY / "people").rglob("*.jpg"))[::2], ids=lambda path: path.stem)
def test_faces_are_those_of_facenet_pytorch(path: Path, networks: list[torch.nn.Module]) -> None:
    image = read_image(path)[::2, ::2]
    (found,) = cascade([image], 32)
    with torch.inference_mode():
        boxes, points = detect_face(
            image[None], 32, networks[0], networks[1], networks[2], [0.6, 0.7, 0.7], 0.709, "cpu"
        )
    assert len(found.scores) == len(boxes[0]) >= 1
    np.testing.assert_allclose(np.column_stack([found.boxes, found.scores]), np.float32(boxes[0]), atol=2e-3)
    np.testing.assert_allclose(found.points, np.float32(points[0]), atol=2e-3)


@pytest.mark.real
def test_faces_on_a_sample_of_research_photos(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alike: IoU of 0.95 or more, landmarks at most 1.5 pixels apart. (`scripts/bench detect --parity 1000`.)"""
    monkeypatch.syspath_prepend(str(GALLERY.parent))
    detect = importlib.import_module("scripts.benchmarks.detect")
    ours, theirs = (detect.find_all(shared_data, 60, side) for side in ("networks", "helped"))
    found = detect.agreement(ours, theirs)
    assert found["photos"] == 60
    assert found["faces"] >= 60
    assert found["alike"] >= 0.995


def test_photos_of_all_sizes_reach_the_networks_in_few_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The libraries keep a program, and its memory, for each shape."""
    shapes: set[tuple[int, ...]] = set()
    run = cascade_networks.Network.run

    def counted(network: cascade_networks.Network, inputs: Iterable[Pixels]) -> list[Pixels]:
        given = list(inputs)
        shapes.update(pixels.shape for pixels in given)
        return run(network, given)

    monkeypatch.setattr(cascade_networks.Network, "run", counted)
    rng = np.random.default_rng(0)
    for count in rng.integers(1, 9, 10):
        photos = [noise(*rng.integers(20, 120, 2), seed=seed) for seed in range(count)]
        photos.append(read_image(GALLERY / "people" / "Joe Biden" / "blue_room_2010.jpg")[:: rng.integers(5, 9), ::5])
        MTCNNDetector().detect(photos)
    assert 3 <= len(shapes) <= 9, shapes


def test_threads_may_look_at_the_same_time() -> None:
    images = [read_image(path)[::3, ::3] for path in sorted((GALLERY / "people").rglob("*.jpg"))[:4]]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda image: cascade([image], 32)[0], images))
    for found, image in zip(together, images, strict=True):
        alone = cascade([image], 32)[0]
        assert len(found.scores) >= 1
        np.testing.assert_allclose(found.boxes, alone.boxes, atol=1e-3)


def test_torch_is_not_needed() -> None:
    photo = GALLERY / "people" / "Joe Biden" / "blue_room_2010.jpg"
    look = (
        "import sys, pathlib; sys.modules.update(torch=None, torchvision=None, facenet_pytorch=None)\n"
        "from facerec.faces.mtcnn import MTCNNDetector; from facerec.photos.reading import read_image\n"
        "print(len(MTCNNDetector().detect([read_image(pathlib.Path(sys.argv[1]))])[0]))"
    )
    done = subprocess.run([sys.executable, "-c", look, photo], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")
