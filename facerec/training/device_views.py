"""Views of faces made on a GPU: all crops lie there, and whole batches are augmented by torch.

The views are those of `augmentation`, from the same draws, but for rounding: a pixel differs by a few grey levels at
most. On a CPU it all runs as well; there `augmentation` is faster.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL.Image import Resampling
from torch import Tensor

from facerec.datasets.augmentation import READ_AHEAD, SOFT_EDGE, Pixels, Views, done_ahead, read_crop
from facerec.datasets.batches import Batch
from facerec.datasets.drawn import SEEN_SIZE, STORED_SIZE, Disturbance, Mixing, Move
from facerec.errors import ConfigError

CROP_BYTES = 3 * STORED_SIZE**2
ROOM = 0.7  # share of the free memory that crops may take; the rest is for the network
NEARLY_WHOLE = 5e-3  # what float32 may lack of a whole number before it is cut off

Draws = tuple[Batch, list[Move], list[Disturbance], Mixing | None]


class DeviceViews:
    """The crops of N photos on a device, and their views in batches."""

    def __init__(self, views: Views, paths: Sequence[Path], device: torch.device) -> None:
        """Read all photos. One that cannot be used is logged, and missing from its batches.

        Raises ConfigError where the device has too little memory.
        """
        places = {path: i for i, path in enumerate(dict.fromkeys(paths))}  # a photo may be shown several times
        require_room(len(places), device)
        self._views, self._device = views, device
        crops = np.empty((len(places), STORED_SIZE, STORED_SIZE, 3), np.uint8)

        def read(path: Path) -> int:
            crop, row = read_crop(path), places[path]
            if crop is None:
                return -1
            crops[row] = crop
            return row

        with ThreadPoolExecutor(READ_AHEAD) as pool:
            rows = dict(zip(places, pool.map(read, places), strict=True))
        self._rows = np.array([rows[path] for path in paths])  # (N,) of `_crops`, or -1
        self._crops = torch.from_numpy(crops).permute(0, 3, 1, 2).to(device)

    def batches(self, batches: Sequence[Batch], epoch: int) -> Iterator[Pixels]:
        """As `augmentation.training_batches`, with the pixels on the device."""

        def draw(batch: Batch) -> Draws:
            shown = batch[self._rows[batch] >= 0]
            drawn = [self._views.draw(epoch, int(i)) for i in shown]
            moves, disturbances = [move for move, _ in drawn], [one for _, one in drawn if one is not None]
            return shown, moves, disturbances, self._views.draw_mixing(epoch, shown)

        for drawn in done_ahead(draw, batches):
            yield self._made(*drawn), drawn[0]

    @torch.no_grad()
    def _made(self, shown: Batch, moves: list[Move], disturbances: list[Disturbance], mixing: Mixing | None) -> Tensor:
        """(b, 3, 112, 112) uint8 views of the photos `shown`."""
        if not len(shown):
            return torch.zeros((0, 3, 1, 1), dtype=torch.uint8, device=self._device)
        pixels = moved(self._crops[torch.from_numpy(self._rows[shown]).to(self._device)], moves)
        if disturbances:
            pixels = disturbed(pixels, disturbances)
        if mixing is not None:
            pixels = mixed(pixels, mixing)
        return pixels.to(torch.uint8).contiguous(memory_format=torch.channels_last)


def require_room(crops: int, device: torch.device) -> None:
    """Raise ConfigError where a GPU has too little free memory for so many crops."""
    if device.type != "cuda":
        return
    free, _ = torch.cuda.mem_get_info(device)
    if crops * CROP_BYTES > ROOM * free:
        raise ConfigError(
            f"{crops} photos need {crops * CROP_BYTES / 1e9:.1f} GB, and the GPU has {free / 1e9:.1f} GB free; "
            f"leave `cache_on_device` out"
        )


def moved(crops: Tensor, moves: Sequence[Move]) -> Tensor:
    """(B, 3, 128, 128) uint8 -> (B, 3, 112, 112) float32 of whole numbers, as Pillow's AFFINE and BILINEAR."""
    device = crops.device
    linear = _numbers([np.eye(2) if move.linear is None else move.linear for move in moves], device)
    start = _numbers([move.start for move in moves], device)
    mirrored = torch.tensor([move.mirrored for move in moves], device=device)[:, None]
    along = torch.arange(SEEN_SIZE, device=device, dtype=torch.float32) + 0.5
    across = torch.where(mirrored, SEEN_SIZE - along, along)  # (B, 112)
    x, y = across[:, None, :], along[None, :, None]
    a, b, c = linear[..., 0, None, None], linear[..., 1, None, None], start[..., None, None]  # (B, 2, 1, 1)
    grid = (a * x[:, None] + b * y + c).permute(0, 2, 3, 1)  # (B, 112, 112, 2), from 0 to 128
    found = F.grid_sample(
        crops.float(), grid * (2 / STORED_SIZE) - 1, mode="bilinear", padding_mode="border", align_corners=False
    )
    inside = ((grid >= 0) & (grid < STORED_SIZE)).all(-1)[:, None]
    return torch.where(inside, (found + NEARLY_WHOLE).floor(), 0.0)


def disturbed(pixels: Tensor, drawn: Sequence[Disturbance]) -> Tensor:
    """(B, 3, S, S) float32 of whole numbers from 0 to 255 -> the same; as `augmentation.disturb`."""
    device, side = pixels.device, pixels.shape[-1]
    grey = torch.tensor([one.tint is None for one in drawn], device=device)[:, None, None, None]
    tint = _numbers([np.ones(3) if one.tint is None else one.tint for one in drawn], device)[:, :, None, None]
    contrast, light = _numbers([(one.contrast, one.light) for one in drawn], device).T[:, :, None, None, None]
    pixels = torch.where(grey, pixels.mean(1, keepdim=True), pixels * tint)
    pixels = ((pixels - 128) * contrast + 128 + light).clamp(0, 255).floor()
    pixels = _filtered(pixels, [one.coarse for one in drawn], _coarse_filter)
    pixels = _filtered(pixels, [one.blur for one in drawn], _blur_filter)
    top, left, height, width = torch.tensor([one.cover for one in drawn], device=device).T[:, :, None, None, None]
    paint = _numbers([one.paint for one in drawn], device)[:, :, None, None]
    place = torch.arange(side, device=device)
    y, x = place[:, None], place[None, :]
    covered = (y >= top) & (y < top + height) & (x >= left) & (x < left + width)  # (B, 1, S, S)
    return torch.where(covered, paint, pixels)


def mixed(pixels: Tensor, drawn: Mixing) -> Tensor:
    """(B, 3, S, S) float32 -> the same, of whole numbers; as `augmentation.mix`."""
    device, side = pixels.device, pixels.shape[-1]
    angle, offset, even = (_numbers(part, device)[:, None, None] for part in (drawn.angle, drawn.offset, drawn.kept))
    place = torch.linspace(-0.5, 0.5, side, device=device)
    cut = (place * angle.cos() + place[:, None] * angle.sin() - offset) / SOFT_EDGE + 0.5
    kept = torch.where(even.isnan(), cut.clamp(0, 1), even)[:, None]
    other = pixels[torch.from_numpy(drawn.other).to(device)]
    return (other + kept * (pixels - other)).round()


def _filtered(pixels: Tensor, amounts: Sequence[float], make: Callable[[float, int], NDArray[np.float32]]) -> Tensor:
    """The pixels with a filter, the same across and down, on those whose amount is not 0; rounded."""
    chosen = [i for i, amount in enumerate(amounts) if amount]
    if not chosen:
        return pixels
    filters = _numbers([make(amounts[i], pixels.shape[-1]) for i in chosen], pixels.device)[:, None]  # (n, 1, S, S)
    index = torch.tensor(chosen, device=pixels.device)
    changed = (filters @ pixels[index] @ filters.transpose(2, 3)).round().clamp(0, 255)
    return pixels.index_copy(0, index, changed)


@cache
def _coarse_filter(coarse: int, side: int) -> NDArray[np.float32]:
    """(S, S): Pillow's scaling of a column of S pixels down to `coarse`, by BOX, and up again, by BICUBIC."""
    column = PIL.Image.fromarray(np.eye(side, dtype=np.float32))
    down = np.asarray(column.resize((side, coarse), Resampling.BOX))
    up = PIL.Image.fromarray(np.eye(coarse, dtype=np.float32)).resize((coarse, side), Resampling.BICUBIC)
    return np.asarray(up) @ down


def _blur_filter(blur: float, side: int) -> NDArray[np.float32]:
    """(S, S): Pillow's GaussianBlur along a column of S pixels, which goes on beyond its ends as it ends.

    Pillow blurs three times by a box, whose last pixels count in part (Gwosdek et al. 2011).
    """
    variance = blur**2 / 3
    whole = int((np.sqrt(12 * variance + 1) - 1) / 2)
    part = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance) / (6 * (variance - (whole + 1) ** 2))
    steps = np.arange(-whole - 1, whole + 2)
    seen = np.clip(np.arange(side)[:, None] + steps, 0, side - 1)  # (S, steps)
    box = np.zeros((side, side))
    np.add.at(box, (np.arange(side)[:, None], seen), np.where(abs(steps) > whole, part, 1.0) / (2 * (whole + part) + 1))
    return (box @ box @ box).astype(np.float32)


def _numbers(values: object, device: torch.device) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32)).to(device, non_blocking=True)
