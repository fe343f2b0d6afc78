"""Photos become pixels: augmentation, and batches decoded ahead."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from toy_faces import face_set, photo, write_people
from toy_images import scene

from facerec.datasets.augmentation import (
    Pixels,
    Views,
    augment,
    augment_picture,
    cut_picture,
    disturb,
    middle_of_picture,
    mix,
    still_batches,
    to_tensor,
    training_batches,
    warp,
)
from facerec.datasets.drawn import draw_mixing
from facerec.datasets.photo_sets import PhotoSet, read_photos
from facerec.training.feed import scale_pixels


def face_views(**changes: Any) -> Views:
    return Views(**{"faces": True, "size": 112, "strong": False, "count": 0, "seed": 0} | changes)


def batches_of(faces: PhotoSet, plan: list[list[int]], epoch: int = 0, **changes: Any) -> list[Pixels]:
    batches = [np.array(batch, np.int64) for batch in plan]
    return list(training_batches(face_views(**changes), faces.paths, batches, epoch))


def pixels_of(faces: PhotoSet, plan: list[list[int]], epoch: int = 0, **changes: Any) -> torch.Tensor:
    return torch.cat([pixels for pixels, _ in batches_of(faces, plan, epoch, **changes)])


def stills_of(faces: PhotoSet, batch_size: int, **changes: Any) -> Iterator[Pixels]:
    batches = [np.arange(i, min(i + batch_size, len(faces))) for i in range(0, len(faces), batch_size)]
    return still_batches(face_views(**changes), faces.paths, batches)


def test_augmentation_shifts_by_up_to_8_pixels_and_mirrors_half_the_time() -> None:
    rows, columns = np.mgrid[:128, :128].astype(np.uint8)
    crop = np.stack([rows, columns, rows], axis=-1)
    shifts, mirrored = [], []
    for seed in range(600):
        out = augment(crop, np.random.default_rng(seed))
        assert out.shape == (112, 112, 3)
        top, left, flipped = int(out[0, 0, 0]), int(out[..., 1].min()), bool(out[0, 0, 1] > out[0, -1, 1])
        window = crop[top : top + 112, left : left + 112]
        assert np.array_equal(out, window[:, ::-1] if flipped else window)
        shifts.append((top - 8, left - 8))
        mirrored.append(flipped)
    for axis in (0, 1):
        assert {shift[axis] for shift in shifts} == set(range(-8, 9))
    assert 0.42 < np.mean(mirrored) < 0.58


def test_crops_become_channels_first_and_are_scaled_on_request() -> None:
    crops = [photo(0, 0)[8:120, 8:120], photo(1, 0)[8:120, 8:120]]
    plain = to_tensor(crops)
    assert plain.dtype == torch.uint8
    assert plain.shape == (2, 3, 112, 112)
    assert plain[1, :, 5, 9].tolist() == crops[1][5, 9].tolist()
    assert scale_pixels(plain, 112) is plain
    small = scale_pixels(plain, 56)
    assert small.dtype == torch.float32
    assert small.shape == (2, 3, 56, 56)
    # Half the size, antialiased: smooth, and of the same mean colour.
    torch.testing.assert_close(small.mean((2, 3)), plain.float().mean((2, 3)), atol=0.5, rtol=0)
    assert small.std() < plain.float().std()


def test_training_batches_are_the_photos_asked_for_in_order(tmp_path: Path) -> None:
    faces = face_set(tmp_path / "faces", 4, 3)
    plan = [[0, 11, 5], [3, 2], [7, 1, 10], [4, 6], [8, 9]]  # more batches than are read ahead
    batches = batches_of(faces, plan)
    assert [positions.tolist() for _, positions in batches] == plan
    for pixels, positions in batches:
        assert pixels.shape == (len(positions), 3, 112, 112)
        assert pixels.dtype == torch.uint8
        for crop, position in zip(pixels, positions, strict=True):
            assert is_window(crop.permute(1, 2, 0).numpy(), photo(int(faces.labels[position]), int(position) % 3))


def is_window(crop: np.ndarray, whole: np.ndarray) -> bool:
    """Whether the 112x112 crop lies somewhere in the 128x128 photo, mirrored or not."""
    windows = np.lib.stride_tricks.sliding_window_view(whole, (112, 112), axis=(0, 1))  # (17, 17, 3, 112, 112)
    both = np.stack([crop, crop[:, ::-1]]).transpose(0, 3, 1, 2)
    return any((windows == one).all((2, 3, 4)).any() for one in both)


def test_the_same_seed_and_epoch_give_the_same_pixels_and_another_gives_others(tmp_path: Path) -> None:
    faces, plan = face_set(tmp_path / "faces", 3, 4), [[0, 4, 8, 1], [5, 9, 2, 6]]
    first = pixels_of(faces, plan)
    assert torch.equal(first, pixels_of(faces, plan))
    for seed, epoch in ((0, 1), (1, 0)):
        assert not torch.equal(first, pixels_of(faces, plan, epoch, seed=seed))


def test_a_photos_augmentation_does_not_depend_on_where_the_epoch_was_taken_up(tmp_path: Path) -> None:
    faces, plan = face_set(tmp_path / "faces", 3, 4), [[0, 4], [8, 1], [5, 9], [2, 6]]
    whole, rest = batches_of(faces, plan), batches_of(faces, plan[2:])
    for (pixels, positions), (again, same_positions) in zip(whole[2:], rest, strict=True):
        assert torch.equal(pixels, again)
        assert positions.tolist() == same_positions.tolist()


def test_an_unreadable_photo_is_named_and_left_out_of_its_batch(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    faces = face_set(tmp_path / "faces", 2, 4)
    faces.paths[1].write_bytes(b"not an image")
    faces.paths[6].unlink()
    with caplog.at_level(logging.WARNING):
        batches = batches_of(faces, [[0, 1, 4], [5, 6, 2, 7]])
    assert [positions.tolist() for _, positions in batches] == [[0, 4], [5, 2, 7]]
    assert [len(pixels) for pixels, _ in batches] == [2, 3]
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    for message, position in zip(sorted(messages), (1, 6), strict=True):
        assert str(faces.paths[position]) in message
        assert "\n" not in message


def test_a_batch_of_which_nothing_can_be_read_is_empty(tmp_path: Path) -> None:
    faces = face_set(tmp_path / "faces", 2, 2)
    for path in faces.paths[:3]:
        path.write_bytes(b"")
    for batches in (batches_of(faces, [[0, 2], [], [3]]), still_batches(face_views(), faces.paths, [np.array([1, 2])])):
        pixels, positions = next(iter(batches))
        assert (pixels.shape, pixels.dtype, positions.tolist()) == ((0, 3, 1, 1), torch.uint8, [])
        assert positions.dtype == np.int64


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_still_batches_are_the_centres_in_order(
    batch_size: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    faces = face_set(tmp_path / "faces", 3, 3)
    Image.fromarray(np.zeros((80, 128, 3), np.uint8)).save(faces.paths[4])
    batches = list(stills_of(faces, batch_size))
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith(f"left out: {faces.paths[4]}: 128x80 is not an aligned crop")
    positions = np.concatenate([positions for _, positions in batches]).tolist()
    assert positions == [0, 1, 2, 3, 5, 6, 7, 8]
    pixels = torch.cat([pixels for pixels, _ in batches if len(pixels)])
    for crop, position in zip(pixels, positions, strict=True):
        whole = photo(int(faces.labels[position]), position % 3)
        assert np.array_equal(crop.permute(1, 2, 0).numpy(), whole[8:120, 8:120])


def test_crops_of_112_pixels_can_be_trained_on_too(tmp_path: Path) -> None:
    """They lack the margin: black moves in where a shift leaves them."""
    faces = read_photos(write_people(tmp_path / "faces", {"a": 2, "b": 2}, size=112))
    ((pixels, _),) = batches_of(faces, [[0, 1, 2, 3]])
    assert pixels.shape == (4, 3, 112, 112)
    ((still, _),) = stills_of(faces, 4)
    assert np.array_equal(still[3].permute(1, 2, 0).numpy(), photo(1, 1, 112))


def test_strong_augmentation_changes_light_colour_sharpness_and_covers_parts() -> None:
    crop = photo(0, 0, 112)
    before = crop.copy()
    views = [disturb(crop, np.random.default_rng(i)) for i in range(200)]
    assert np.array_equal(crop, before), "the crop itself is left alone"
    assert all(view.shape == crop.shape and view.dtype == np.uint8 for view in views)
    assert len({view.tobytes() for view in views}) == 200
    grey = [bool((np.ptp(view.astype(int), axis=2) == 0).mean() > 0.75) for view in views]
    assert 20 <= sum(grey) <= 60  # a fifth
    noise = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)
    even = [
        np.mean(np.abs(np.diff(disturb(noise, np.random.default_rng(i)).astype(int), axis=1)).sum(2) == 0)
        for i in range(200)
    ]
    assert 40 <= (np.array(even) > 0.02).sum() <= 85  # three in ten have a part of one colour
    contrast = [view.std() / crop.std() for view in views]
    assert min(contrast) < 0.85
    assert max(contrast) > 1.15
    sharpness = np.array([np.abs(np.diff(view.astype(float).mean(2), axis=0)).mean() for view in views])
    assert 20 <= (sharpness < 0.5 * np.median(sharpness)).sum() <= 80  # a quarter is of low resolution


def test_strong_augmentation_follows_from_seed_epoch_and_place(tmp_path: Path) -> None:
    faces, everything = face_set(tmp_path / "faces", 2, 2), [[0, 1, 2, 3]]
    strong = pixels_of(faces, everything, strong=True)
    assert torch.equal(strong, pixels_of(faces, everything, strong=True))
    assert not torch.equal(strong, pixels_of(faces, everything, epoch=1, strong=True))
    assert not torch.equal(strong, pixels_of(faces, everything))


def test_a_number_of_views_are_shown_in_turn(tmp_path: Path) -> None:
    faces, everything = face_set(tmp_path / "faces", 2, 2), [[0, 1, 2, 3]]
    shown = [pixels_of(faces, everything, epoch, count=3) for epoch in range(6)]
    same = [[torch.equal(one, other) for other in shown] for one in shown]
    assert same == [[i % 3 == j % 3 for j in range(6)] for i in range(6)]
    assert [face_views(count=3).number(epoch) for epoch in range(6)] == [0, 1, 2, 0, 1, 2]
    assert [face_views().number(epoch) for epoch in range(3)] == [0, 1, 2]


# ------------------------------------------------------------------------------------------------- pictures


def test_a_view_of_a_picture_is_a_part_of_it_scaled_and_mirrored_half_the_time() -> None:
    """A picture whose colours are its coordinates says which part was cut."""
    height, width = 120, 200
    rows, columns = np.mgrid[:height, :width]
    picture = np.stack([rows, columns, rows], axis=-1).astype(np.uint8)
    areas, mirrored, ratios = [], [], []
    for seed in range(400):
        view = augment_picture(picture, 40, np.random.default_rng(seed)).astype(float)
        assert view.shape == (40, 40, 3)
        down, across = np.ptp(view[:, 20, 0]) * 40 / 39, np.ptp(view[20, :, 1]) * 40 / 39
        areas.append(down * across / (height * width))
        ratios.append(across / down)
        mirrored.append(view[0, 0, 1] > view[0, -1, 1])
    assert 0.22 < min(areas) < 0.3
    assert 0.8 < max(areas) < 1.01
    assert 0.72 < min(ratios) < 0.85, "from 3 : 4"
    assert 1.2 < max(ratios) < 1.75, "to 4 : 3, but for what the picture's edge cuts off"
    assert 0.42 < np.mean(mirrored) < 0.58


def test_pictures_of_any_shape_become_squares(tmp_path: Path) -> None:
    """The still view is torchvision's: the shorter side to 8/7 of the size, then the centre."""
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, (width, height) in zip(paths, ((60, 90), (90, 60), (33, 400)), strict=True):
        shade = np.linspace(0, 255, height)[:, None, None] * np.ones((1, width, 3))
        Image.fromarray(shade.astype(np.uint8)).save(path)
    views, every = Views(faces=False, size=48, strong=True, count=0, seed=0), [np.arange(3)]
    for batches in (training_batches(views, paths, every, 0), still_batches(views, paths, every)):
        ((pixels, positions),) = batches
        assert (pixels.shape, pixels.dtype) == ((3, 3, 48, 48), torch.uint8)
        assert positions.tolist() == [0, 1, 2]
    still = views.still(paths[1])
    assert still is not None
    expected = np.linspace(255 * 3 / 54, 255 * 51 / 54, 48)
    np.testing.assert_allclose(still[:, 24, 0], expected, atol=4)


def mixed(share: float, seed: int = 0, count: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """Flat crops, each of one grey value of its own, and what becomes of them."""
    crops = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(count, 3, 32, 32) * 6
    return crops, mix(crops, draw_mixing(count, share, np.random.default_rng(seed)))


def test_mixing_blends_crops_or_cuts_them_along_a_soft_line() -> None:
    crops, out = mixed(1.0)
    assert out.dtype == torch.uint8
    assert out.shape == crops.shape
    shades = [len(crop.unique()) for crop in out]
    blended, cut = sum(n == 1 for n in shades), sum(n > 2 for n in shades)
    assert min(blended, cut) > 10
    assert torch.equal(out[:, 0], out[:, 2])  # one mask for all channels
    for before, after in zip(crops, out, strict=True):
        ends = {int(after.min()), int(after.max())}
        assert len(ends) == 1 or int(before[0, 0, 0]) in ends or any(end % 6 == 0 for end in ends)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_the_share_of_mixed_crops_is_the_one_asked_for(share: float) -> None:
    changed = np.concatenate(
        [(out != crops).flatten(1).any(1).numpy() for crops, out in (mixed(share, seed) for seed in range(30))]
    )
    assert abs(changed.mean() - share) < 0.05


def test_mixed_batches_follow_from_seed_epoch_and_place(tmp_path: Path) -> None:
    faces = face_set(tmp_path, people=3, photos=2)
    plan = [[0, 2, 4], [1, 3, 5]]
    first = pixels_of(faces, plan, mix=1.0)
    assert torch.equal(first[3:], pixels_of(faces, plan[1:], mix=1.0))
    for other in (pixels_of(faces, plan), pixels_of(faces, plan, 1, mix=1.0), pixels_of(faces, plan, mix=1.0, seed=1)):
        assert not torch.equal(first, other)


def test_warped_crops_stay_on_the_face_and_half_of_them_are_only_shifted() -> None:
    """A cross of coloured dots, from which the map can be read back."""
    crop = np.zeros((128, 128, 3), np.uint8)
    crop[60:68, 60:68] = (255, 0, 0)  # the middle
    crop[28:36, 60:68] = (0, 255, 0)  # above it
    turns, lengths = [], []
    for seed in range(400):
        out = warp(crop, np.random.default_rng(seed)).astype(float)
        assert out.shape == (112, 112, 3)
        middle, above = (
            np.array([np.average(axis, weights=out[..., c]) for axis in np.mgrid[:112, :112]]) for c in (0, 1)
        )
        assert np.abs(middle - 55.5).max() < 12
        down, across = middle - above
        turns.append(np.arctan2(across, down))
        lengths.append(np.hypot(down, across))
    plain = np.isclose(turns, 0, atol=1e-3) & np.isclose(lengths, 32, atol=0.05)
    assert 0.4 < plain.mean() < 0.6
    assert 0.15 < np.max(np.abs(turns)) < 0.35
    assert min(lengths) > 32 * 0.8
    assert max(lengths) < 32 * 1.25
    assert max(lengths) - min(lengths) > 6


def test_a_cut_view_is_a_part_of_the_picture_as_it_is() -> None:
    picture = scene(48, 64)
    every = {picture[y : y + 40, x : x + 40].tobytes() for y in range(9) for x in range(25)}
    cuts = {cut_picture(picture, 40, np.random.default_rng(seed)).tobytes() for seed in range(50)}
    assert cuts < every
    assert len(cuts) > 25
    assert np.array_equal(middle_of_picture(picture, 40), picture[4:44, 12:52])


def test_a_picture_that_is_too_small_to_cut_is_enlarged() -> None:
    picture = scene(24, 32)
    whole = np.asarray(Image.fromarray(picture).resize((64, 48), Image.Resampling.BILINEAR))
    assert np.array_equal(middle_of_picture(picture, 48), whole[:, 8:56])
    assert cut_picture(picture, 48, np.random.default_rng(0)).shape == (48, 48, 3)


def test_cut_views_are_validated_on_the_middle(tmp_path: Path) -> None:
    Image.fromarray(scene(48, 64)).save(tmp_path / "a.png")
    views = Views(faces=False, size=40, strong=False, count=0, seed=0, cut=True)
    still, shown = views.still(tmp_path / "a.png"), views.train(tmp_path / "a.png", 0, 0)
    assert still is not None
    assert shown is not None
    assert np.array_equal(still, scene(48, 64)[4:44, 12:52])
    assert shown.shape == (40, 40, 3)
