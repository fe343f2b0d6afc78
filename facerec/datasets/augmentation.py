"""From photos to pixels: face crops or whole pictures, plain or augmented, in batches that are decoded ahead."""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import PIL.Image
import torch
from PIL.Image import Resampling, Transpose
from PIL.ImageFilter import GaussianBlur
from torch import Tensor

from facerec.datasets.batches import Batch
from facerec.datasets.drawn import (
    SEEN_SIZE,
    STORED_SIZE,
    Disturbance,
    Mixing,
    Move,
    draw_disturbance,
    draw_mixing,
    draw_shift,
    draw_warp,
)
from facerec.errors import ImageError
from facerec.photos.crops import aligned_crop, centre_picture
from facerec.photos.reading import read_image
from facerec.text import printable
from facerec.types import Image

log = logging.getLogger(__name__)

READ_AHEAD = 3  # batches decoded while the network works
VIEWS_VERSION = 2  # raise it whenever this file makes other pixels from a photo: caches of them are then void
SOFT_EDGE = 0.15  # share of the side over which two mixed crops blend into each other
PICTURE_SCALE = (0.25, 1.0)  # share of a picture's area that a view shows: least, most
PICTURE_RATIO = (3 / 4, 4 / 3)  # width to height of that part: least, most

T = TypeVar("T")
Pixels = tuple[Tensor, Batch]  # (B, 3, S, S) uint8 RGB, and the (B,) positions of their photos


@dataclass(frozen=True, slots=True)
class Views:
    """How the photos of a run become pixels. These fields and the photo's content determine every pixel.

    faces: photos are aligned face crops; otherwise whole pictures. size: side of the result in pixels. strong: also
    distort the photos (`warp`, `disturb`). count: number of views of each photo, shown in turn; 0: a new view every
    epoch. seed: of the augmentation. mix: share of a batch's crops that are mixed with others, 0..1. cut: a view of a
    picture is a part of it as it is (`cut_picture`, `middle_of_picture`).
    """

    faces: bool
    size: int
    strong: bool
    count: int
    seed: int
    mix: float = 0.0
    cut: bool = False

    def number(self, epoch: int) -> int:
        """The number of the view that an epoch shows."""
        return epoch % self.count if self.count else epoch

    def still(self, path: Path) -> Image | None:
        """Return (size, size, 3) uint8 without augmentation. A photo that cannot be used gives None and a warning."""
        whole = middle_of_picture if self.cut else centre_picture
        return _read(path, lambda image: (aligned_crop if self.faces else whole)(image, self.size))

    def train(self, path: Path, epoch: int, position: int) -> Image | None:
        """Return the view of one epoch, uint8: (112, 112, 3) of a face, (size, size, 3) of a picture; None as `still`.

        position: the photo's, in the training set; it seeds the augmentation.
        """
        rng = self._rng(epoch, position)
        if self.faces:
            crop = read_crop(path)
            crop = None if crop is None else (warp if self.strong else augment)(crop, rng)
        else:
            view = cut_picture if self.cut else augment_picture
            crop = _read(path, lambda image: view(image, self.size, rng))
        return disturb(crop, rng) if self.strong and crop is not None else crop

    def draw(self, epoch: int, position: int) -> tuple[Move, Disturbance | None]:
        """Return what `train` draws for a face; no disturbance unless the views are strong."""
        rng = self._rng(epoch, position)
        return (draw_warp(rng), draw_disturbance(SEEN_SIZE, rng)) if self.strong else (draw_shift(rng), None)

    def draw_mixing(self, epoch: int, positions: Batch) -> Mixing | None:
        """Return how the views of these photos are mixed; None if none are."""
        if not self.mix or not len(positions):
            return None
        return draw_mixing(len(positions), self.mix, self._rng(epoch, *positions))

    def _rng(self, epoch: int, *positions: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, self.number(epoch), *positions))


def augment(crop: Image, rng: np.random.Generator) -> Image:
    """(128, 128, 3) -> (112, 112, 3): shift by up to 8 px each way, mirror half the time."""
    return _moved(crop, draw_shift(rng))


def warp(crop: Image, rng: np.random.Generator) -> Image:
    """(128, 128, 3) -> (112, 112, 3): half the time as `augment`; otherwise also turn, stretch and shear.

    The new shape makes it another face. With a teacher that runs on these pixels, it counts as one more person.
    """
    return _moved(crop, draw_warp(rng))


def _moved(crop: Image, move: Move) -> Image:
    if move.linear is None:
        left, top = (int(part) for part in move.start)
        cut = crop[top : top + SEEN_SIZE, left : left + SEEN_SIZE]
        return cut[:, ::-1] if move.mirrored else cut
    coefficients = (*move.linear[0], move.start[0], *move.linear[1], move.start[1])
    image = PIL.Image.fromarray(crop).transform(
        (SEEN_SIZE, SEEN_SIZE), PIL.Image.Transform.AFFINE, coefficients, Resampling.BILINEAR
    )
    return np.asarray(image.transpose(Transpose.FLIP_LEFT_RIGHT) if move.mirrored else image)


def disturb(crop: Image, rng: np.random.Generator) -> Image:
    """(S, S, 3) -> (S, S, 3): change light and colour; now and then also grey, coarse, blurred or partly covered."""
    side = crop.shape[0]
    drawn = draw_disturbance(side, rng)
    pixels = crop.astype(np.float32)
    pixels = pixels.mean(2, keepdims=True).repeat(3, 2) if drawn.tint is None else pixels * drawn.tint
    pixels = (pixels - 128) * drawn.contrast + 128 + drawn.light
    crop = np.clip(pixels, 0, 255).astype(np.uint8)
    if drawn.coarse:
        image = PIL.Image.fromarray(crop).resize((drawn.coarse, drawn.coarse), Resampling.BOX)
        crop = np.array(image.resize((side, side), Resampling.BICUBIC))
    if drawn.blur:
        crop = np.array(PIL.Image.fromarray(crop).filter(GaussianBlur(drawn.blur)))
    top, left, height, width = drawn.cover
    crop[top : top + height, left : left + width] = drawn.paint
    return crop


def mix(pixels: Tensor, drawn: Mixing) -> Tensor:
    """Mix (B, 3, S, S) uint8 pixels with each other; same shape and dtype. Faces are aligned, so they look like faces.

    drawn: see `draw_mixing`.
    """
    side = pixels.shape[-1]
    angle, offset, even = (part[:, None, None] for part in (drawn.angle, drawn.offset, drawn.kept))
    y, x = np.mgrid[-0.5 : 0.5 : side * 1j, -0.5 : 0.5 : side * 1j]
    cut = np.clip((x * np.cos(angle) + y * np.sin(angle) - offset) / SOFT_EDGE + 0.5, 0, 1)  # (B, S, S)
    kept = np.where(np.isnan(even), cut, even)
    first, second = pixels.numpy(), pixels.numpy()[drawn.other]  # NumPy, because torch would start threads
    mixed = second + kept[:, None].astype(np.float32) * (first.astype(np.float32) - second)
    return torch.from_numpy(np.rint(mixed).astype(np.uint8))


def augment_picture(image: Image, size: int, rng: np.random.Generator) -> Image:
    """(H, W, 3) -> (size, size, 3): cut out and scale a random part, mirror half the time (Szegedy et al. 2015).

    The part has at least a quarter of the picture's area. Transfer learning has few pictures, so the thing to learn
    must be visible in every view.
    """
    height, width = image.shape[:2]
    area, ratio = height * width * rng.uniform(*PICTURE_SCALE), np.exp(rng.uniform(*np.log(PICTURE_RATIO)))
    across, down = min(width, (area * ratio) ** 0.5), min(height, (area / ratio) ** 0.5)
    left, top = rng.uniform(0, width - across), rng.uniform(0, height - down)
    picture = PIL.Image.fromarray(image)
    part = picture.resize((size, size), Resampling.BILINEAR, box=(left, top, left + across, top + down))
    return np.asarray(part.transpose(Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else part)


def cut_picture(image: Image, size: int, rng: np.random.Generator) -> Image:
    """(H, W, 3) -> (size, size, 3): a random square of the picture as it is. Smaller pictures are enlarged first."""
    image = _at_least(image, size)
    top, left = (int(rng.integers(0, side - size + 1)) for side in image.shape[:2])
    return image[top : top + size, left : left + size]


def middle_of_picture(image: Image, size: int) -> Image:
    """(H, W, 3) -> (size, size, 3): the square in the middle of the picture, as `cut_picture` cuts."""
    image = _at_least(image, size)
    top, left = ((side - size) // 2 for side in image.shape[:2])
    return image[top : top + size, left : left + size]


def _at_least(image: Image, size: int) -> Image:
    """The picture, enlarged if a side is shorter than `size`."""
    height, width = image.shape[:2]
    if min(height, width) >= size:
        return image
    scale = size / min(height, width)
    height, width = (max(size, round(side * scale)) for side in (height, width))
    return np.asarray(PIL.Image.fromarray(image).resize((width, height), Resampling.BILINEAR))


def read_crop(path: Path) -> Image | None:
    """Return a stored crop, (128, 128, 3) uint8. A photo that cannot be used gives None and a warning."""
    return _read(path, lambda image: aligned_crop(image, STORED_SIZE))


def _read(path: Path, prepare: Callable[[Image], Image]) -> Image | None:
    """Return the prepared image of a file; None, after a warning, if the file cannot be used."""
    try:
        image = read_image(path)
    except ImageError as error:
        log.warning("left out: %s", error)
        return None
    try:
        return prepare(image)
    except ImageError as error:
        log.warning("left out: %s: %s", printable(path), error)
        return None


def to_tensor(crops: Sequence[Image]) -> Tensor:
    """N crops (S, S, 3) uint8 -> (N, 3, S, S) uint8."""
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)


def training_batches(views: Views, paths: Sequence[Path], batches: Sequence[Batch], epoch: int) -> Iterator[Pixels]:
    """Yield the views of one epoch batch by batch, decoded ahead in threads.

    A photo that cannot be read is logged and missing from its batch. A batch without any readable photo has the shape
    (0, 3, 1, 1).
    """

    def load(batch: Batch) -> Pixels:
        pixels, positions = _stack({int(i): views.train(paths[i], epoch, int(i)) for i in batch})
        drawn = views.draw_mixing(epoch, positions)
        return pixels if drawn is None else mix(pixels, drawn), positions

    return done_ahead(load, batches)


def done_ahead(work: Callable[[Batch], T], batches: Sequence[Batch]) -> Iterator[T]:
    """Yield `work` of each batch in order, done ahead in threads."""
    with ThreadPoolExecutor(READ_AHEAD) as pool:
        waiting = iter(batches)
        running = [pool.submit(work, batch) for batch in islice(waiting, READ_AHEAD)]
        while running:
            done = running.pop(0).result()
            running += [pool.submit(work, batch) for batch in islice(waiting, 1)]
            yield done


def still_batches(views: Views, paths: Sequence[Path], batches: Sequence[Batch]) -> Iterator[Pixels]:
    """Yield the photos without augmentation, batch by batch; unreadable ones are missing, as in `training_batches`."""
    with ThreadPoolExecutor(READ_AHEAD) as pool:
        for batch in batches:
            yield _stack(dict(zip(batch.tolist(), pool.map(lambda i: views.still(paths[i]), batch), strict=True)))


def _stack(loaded: dict[int, Image | None]) -> Pixels:
    good = {i: crop for i, crop in loaded.items() if crop is not None}
    pixels = to_tensor(list(good.values())) if good else torch.zeros((0, 3, 1, 1), dtype=torch.uint8)
    return pixels, np.array(list(good), np.int64)
