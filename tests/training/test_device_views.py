"""Views made in batches by torch: they are those of Pillow and NumPy, from the same draws."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from toy_faces import face_set

from facerec.datasets.augmentation import Views, augment, disturb, mix, training_batches, warp
from facerec.datasets.drawn import Disturbance, Move, draw_disturbance, draw_mixing, draw_shift, draw_warp
from facerec.datasets.photo_sets import PhotoSet
from facerec.errors import ConfigError
from facerec.training import device_views
from facerec.training.device_views import DeviceViews, disturbed, mixed, moved, require_room

CPU = torch.device("cpu")
SEEDS = range(60)


@pytest.fixture(scope="module")
def crop(samples: Path) -> np.ndarray:
    """A part of a real photo, (128, 128, 3) uint8: smooth and sharp places, as in a crop."""
    photo = PIL.Image.open(samples / "people" / "Barack Obama" / "official_portrait_2012.jpg").convert("RGB")
    side = min(photo.size)
    return np.array(photo.crop((0, 0, side, side)).resize((128, 128)))


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def channels_first(images: list[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def off(found: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    """The grey levels by which each of (B, 3, S, S) pixels differs; both are whole numbers that a byte holds."""
    assert found.dtype == torch.float32
    assert torch.equal(found, found.round().clamp(0, 255))
    return (found - expected.float()).abs()


@pytest.mark.parametrize(("draw", "by_hand"), [(draw_shift, augment), (draw_warp, warp)])
def test_moved_crops(draw: Callable[..., Move], by_hand: Callable[..., np.ndarray], crop: np.ndarray) -> None:
    moves = [draw(rng(seed)) for seed in SEEDS]
    difference = off(moved(channels_first([crop] * 60), moves), channels_first([by_hand(crop, rng(s)) for s in SEEDS]))
    shifted = [i for i, move in enumerate(moves) if move.linear is None]
    assert len(shifted) > 20
    assert difference[shifted].max() == 0
    assert difference.max() <= 1
    assert difference.mean() < 0.01


KINDS: dict[str, tuple[Callable[[Disturbance], bool], float]] = {  # and the largest difference
    "light, colour and cover": (lambda one: not one.coarse and not one.blur, 0),
    "blurred": (lambda one: bool(one.blur) and not one.coarse, 3),
    "coarse": (lambda one: bool(one.coarse), 16),  # Pillow cuts off at 0 and 255 after every pass
}


@pytest.mark.parametrize("kind", KINDS)
def test_disturbed_crops(kind: str, crop: np.ndarray) -> None:
    chosen, most = KINDS[kind]
    seeds = [seed for seed in range(120) if chosen(draw_disturbance(112, rng(seed)))]
    seen = crop[8:120, 8:120]
    found = disturbed(channels_first([seen] * len(seeds)).float(), [draw_disturbance(112, rng(s)) for s in seeds])
    difference = off(found, channels_first([disturb(seen, rng(seed)) for seed in seeds]))
    assert len(seeds) > 10
    assert difference.max() <= most
    assert difference.mean() < 0.5
    assert (difference > 2).float().mean() < 0.002


def test_mixed_crops(crop: np.ndarray) -> None:
    crops = channels_first([warp(crop, rng(seed)) for seed in SEEDS])
    drawn = draw_mixing(60, 0.7, rng(0))
    difference = off(mixed(crops.float(), drawn), mix(crops, drawn))
    assert difference.max() <= 1
    assert difference.mean() < 0.01


@pytest.fixture
def faces(tmp_path: Path) -> PhotoSet:
    return face_set(tmp_path / "faces", 3, 3)


@pytest.mark.parametrize("changes", [{}, {"strong": True, "mix": 0.5}, {"strong": True, "count": 2}])
def test_whole_batches(changes: dict[str, object], faces: PhotoSet, caplog: pytest.LogCaptureFixture) -> None:
    """With a photo that cannot be read, one that is shown twice, and a batch of which nothing is left."""
    views = Views(**{"faces": True, "size": 112, "strong": False, "count": 0, "seed": 3} | changes)  # type: ignore[arg-type]
    paths = [*faces.paths, faces.paths[2]]
    paths[4].write_bytes(b"not an image")
    batches = [np.array(batch, np.int64) for batch in ([0, 4, 9, 2], [8, 1], [4], [3, 7, 5])]
    with caplog.at_level(logging.WARNING):
        on_device = DeviceViews(views, paths, CPU)
        assert [str(paths[4]) in message for message in caplog.messages] == [True], "said once"
    for epoch in (0, 1, 3):
        found = on_device.batches(batches, epoch)
        by_hand = training_batches(views, paths, batches, epoch)
        for (pixels, shown), (expected, readable) in zip(found, by_hand, strict=True):
            assert shown.tolist() == readable.tolist()
            assert (pixels.shape, pixels.dtype) == (expected.shape, torch.uint8)
            assert (pixels.float() - expected.float()).abs().sum() / max(1, expected.numel()) < 0.5
    whole, rest = (list(on_device.batches(some, 0)) for some in (batches, batches[1:]))
    assert all(torch.equal(one, other) for (one, _), (other, _) in zip(whole[1:], rest, strict=True))


def test_a_set_of_nothing_readable_has_empty_batches(faces: PhotoSet) -> None:
    for path in faces.paths:
        path.write_bytes(b"")
    views = Views(True, 112, True, 0, 0, 0.5)
    ((pixels, positions),) = DeviceViews(views, faces.paths, CPU).batches([np.arange(4)], 0)
    assert (pixels.shape, pixels.dtype, positions.tolist()) == ((0, 3, 1, 1), torch.uint8, [])


def test_what_does_not_fit_is_refused_with_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda", 0)
    monkeypatch.setattr(device_views.torch.cuda, "mem_get_info", lambda device: (4 * 10**9, 8 * 10**9))
    require_room(50_000, gpu)
    with pytest.raises(ConfigError, match=r"60000 photos need 2.9 GB, and the GPU has 4.0 GB free; leave `cache_on_"):
        require_room(60_000, gpu)
    require_room(10**9, CPU)
