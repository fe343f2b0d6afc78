"""cascade.py and pyramid.py against facenet-pytorch, which runs the networks on one photo at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from facenet_pytorch.models.utils.detect_face import detect_face
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import interpolate

from facerec.faces import cascade as module
from facerec.faces.cascade import cascade
from facerec.faces.mtcnn import MTCNNDetector
from facerec.faces.pyramid import SHEET, Photo, Tile, packed, scales, tiles
from facerec.photos.reading import read_image
from facerec.types import Image

GALLERY = Path(__file__).resolve().parents[2] / "gallery"


def noise(height: int, width: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def in_range(image: Image) -> torch.Tensor:
    return (torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32))[None] - 127.5) / 128


# ---- pixels ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (7, 20), (40, 31), (50, 80)])
def test_scaled_photos_are_the_means_of_areas(size: tuple[int, int]) -> None:
    image = noise(40, 61)
    expected = interpolate(in_range(image), size, mode="area")[0].numpy()
    np.testing.assert_allclose(Photo(image).scaled(*size), expected, atol=1e-6)


def test_crops_are_the_means_of_areas() -> None:
    image = noise(50, 70)
    boxes = np.array([[0, 0, 70, 50], [3, 5, 4, 6], [10, 20, 40, 31], [60, 1, 70, 50]])
    for crop, (left, top, right, bottom) in zip(Photo(image).crops(boxes, 24), boxes, strict=True):
        part = in_range(np.ascontiguousarray(image[top:bottom, left:right]))
        np.testing.assert_allclose(crop, interpolate(part, (24, 24), mode="area")[0].numpy(), atol=1e-6)


# ---- the first network ----------------------------------------------------------------------------------------------


def test_packed_levels_give_what_each_gives_by_itself() -> None:
    """Every square of every level, with levels that are larger than a sheet and with sides of all kinds."""
    network = module._networks()[0]
    photos = [Photo(noise(height, width)) for height, width in [(700, 431), (33, 40), (90, 1100), (64, 65)]]
    sheets = packed([tile for number, photo in enumerate(photos) for tile in tiles(number, photo, 32)])
    assert {sheet.height for sheet in sheets} <= {SHEET, SHEET // 2, SHEET // 4}
    found = {key: value for sheet in sheets for key, value in squares(sheet)}
    count = 0
    for number, photo in enumerate(photos):
        for scale in scales(min(photo.height, photo.width), 32):
            level = photo.scaled(int(photo.height * scale + 1), int(photo.width * scale + 1))
            with torch.inference_mode():
                scores = network(torch.from_numpy(level)[None])[1][0, 1].numpy()
            for place, score in np.ndenumerate(scores):
                assert found[number, scale, *place] == pytest.approx(score, abs=1e-5)
            count += scores.size
    assert count == len(found)


def squares(sheet: Any) -> Iterator[tuple[tuple[int, float, int, int], float]]:
    """(photo, scale, row, column) and the score of each square of a sheet."""
    with torch.inference_mode():
        scores = module._first_network(sheet)[1]
    owners = sheet.owners()
    for row, column in np.argwhere(owners >= 0):
        tile: Tile = sheet.tiles[owners[row, column]]
        top, left = sheet.places[owners[row, column]] // 2
        place = (int(row - top + tile.top // 2), int(column - left + tile.left // 2))
        yield (tile.photo, tile.scale, *place), float(scores[row, column])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(13, SHEET), st.integers(13, SHEET)), min_size=1, max_size=40))
def test_tiles_are_packed_apart_and_at_even_places(sizes: list[tuple[int, int]]) -> None:
    cut = [Tile(0, 1.0, np.ones((3, *size), np.float32), 0, 0) for size in sizes]
    sheets = packed(cut)
    assert sorted(id(tile) for sheet in sheets for tile in sheet.tiles) == sorted(id(tile) for tile in cut)
    for sheet in sheets:
        assert not (sheet.places % 2).any()
        assert sheet.pixels.sum() == 3 * sum(tile.pixels[0].size for tile in sheet.tiles)  # none covers another


# ---- all three ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted((GALLERY / "people").rglob("*.jpg"))[::2], ids=lambda path: path.stem)
def test_faces_are_those_of_facenet_pytorch(path: Path) -> None:
    image = read_image(path)[::2, ::2]
    (found,) = cascade([image], 32)
    with torch.inference_mode():
        boxes, points = detect_face(image[None], 32, *module._networks(), [0.6, 0.7, 0.7], 0.709, "cpu")
    assert len(found.scores) == len(boxes[0]) >= 1
    np.testing.assert_allclose(np.column_stack([found.boxes, found.scores]), np.float32(boxes[0]), atol=2e-3)
    np.testing.assert_allclose(found.points, np.float32(points[0]), atol=2e-3)


def test_photos_of_all_sizes_reach_the_networks_in_few_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The libraries keep a program, and its memory, for each shape."""
    shapes: set[tuple[int, ...]] = set()
    forward = torch.nn.Conv2d.forward

    def counted(layer: torch.nn.Conv2d, pixels: torch.Tensor) -> torch.Tensor:
        if layer.in_channels == 3:  # each network's first
            shapes.add(tuple(pixels.shape))
        return forward(layer, pixels)

    monkeypatch.setattr(torch.nn.Conv2d, "forward", counted)
    rng = np.random.default_rng(0)
    for count in rng.integers(1, 9, 10):
        photos = [noise(*rng.integers(20, 120, 2), seed=seed) for seed in range(count)]
        photos.append(read_image(GALLERY / "people" / "Joe Biden" / "blue_room_2010.jpg")[:: rng.integers(5, 9), ::5])
        MTCNNDetector().detect(photos)
    assert len(shapes) <= 9, shapes
