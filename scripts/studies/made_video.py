"""Videos made of aligned crops, with the truth about them: who is where in which picture.

A scene shows one to three people. Each is a still, or several that fade into each other; it moves, grows or shrinks,
tilts, gets blurred and darker, over a picture of an ant or a bee that moves as well. People may cross. Scenes follow
each other without a gap (cuts). The video is encoded by H.264, as a cheap camera would.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL.Image import Resampling
from PIL.ImageFilter import BoxBlur, GaussianBlur

from facerec.photos.reading import read_image
from facerec.types import Floats, Image

WIDTH, HEIGHT, RATE, SECONDS = 640, 360, 25, 3.0
PICTURES = int(RATE * SECONDS)  # of a scene
LEAST, MOST = 70, 150  # pixels of a crop's side in the picture
FADE = 0.2  # the part of a still's time in which it fades into the next


@dataclass(frozen=True, eq=False, slots=True)
class Actor:
    """Somebody in a scene. stills: paths of aligned crops. way: (PICTURES, 3) x, y of the middle, and the side."""

    person: str
    stills: tuple[Path, ...]
    way: Floats
    tilt: Floats  # (PICTURES,) degrees
    blur: Floats  # (PICTURES,) pixels of the crop
    light: Floats  # (PICTURES,) factor


def casts(people: list[str], rng: np.random.Generator) -> Iterator[list[str]]:
    """Groups of one to three; everybody is in one of them."""
    waiting = [people[i] for i in rng.permutation(len(people))]
    while waiting:
        count = int(rng.integers(1, 4))
        yield waiting[:count]
        waiting = waiting[count:]


def actor(person: str, stills: Sequence[Path], rng: np.random.Generator) -> Actor:
    """Somebody with a way of their own through the picture."""
    time = np.linspace(0, 1, PICTURES)
    ends = rng.uniform([60, 90, LEAST], [WIDTH - 60, HEIGHT - 90, MOST], (2, 3))
    way = ends[0] + time[:, None] * (ends[1] - ends[0])
    way[:, :2] += 6 * np.sin(2 * np.pi * (rng.uniform(1, 3, 2) * time[:, None] + rng.random(2)))
    tilt = rng.uniform(2, 10) * np.sin(2 * np.pi * (rng.uniform(0.5, 1.5) * time + rng.random()))
    blur = np.maximum(rng.uniform(0, 1.5) + 1.5 * np.sin(2 * np.pi * (rng.uniform(0.5, 2) * time + rng.random())), 0)
    light = rng.uniform(0.6, 1.1) + 0.15 * np.sin(2 * np.pi * (time + rng.random()))
    return Actor(person, tuple(stills), way, tilt, blur, light)


def scene(actors: Sequence[Actor], background: Path, rng: np.random.Generator) -> Iterator[Image]:
    """The pictures of a scene, (HEIGHT, WIDTH, 3) each; later actors stand before earlier ones."""
    stills = [[PIL.Image.fromarray(read_image(path)) for path in each.stills] for each in actors]
    behind = PIL.Image.fromarray(read_image(background)).resize((WIDTH + 80, HEIGHT + 80), Resampling.BICUBIC)
    begin, end = rng.integers(0, 80, (2, 2))
    for number in range(PICTURES):
        left, top = (begin + (end - begin) * number / PICTURES).astype(int)
        picture = behind.crop((left, top, left + WIDTH, top + HEIGHT))
        for each, own in zip(actors, stills, strict=True):
            _paste(picture, each, _still(own, number / PICTURES), number)
        yield np.asarray(picture)


def places(actors: Sequence[Actor], number: int) -> NDArray[np.float64]:
    """(N, 4) boxes of the crops in a picture of a scene."""
    x, y, side = np.array([each.way[number] for each in actors]).T
    return np.column_stack([x - side / 2, y - side / 2, x + side / 2, y + side / 2])


def _still(stills: Sequence[PIL.Image.Image], time: float) -> PIL.Image.Image:
    """What is shown at a time from 0 to 1: one of the stills, or two of them while one fades into the next."""
    place, part = divmod(time * len(stills), 1)
    this = stills[int(place)]
    fading = (part - 1 + FADE) / FADE
    return this if fading <= 0 or this is stills[-1] else PIL.Image.blend(this, stills[int(place) + 1], fading)


def _paste(picture: PIL.Image.Image, actor: Actor, still: PIL.Image.Image, number: int) -> None:
    """Put a crop into a picture, its borders soft."""
    x, y, side = actor.way[number]
    moved = np.hypot(*(actor.way[number, :2] - actor.way[max(number - 1, 0), :2]))
    size = max(round(side), 8)
    face = still.point(lambda value: value * float(actor.light[number])).filter(GaussianBlur(float(actor.blur[number])))
    face = face.resize((size, size), Resampling.LANCZOS).filter(BoxBlur((moved / 2, 0)))
    mask = PIL.Image.new("L", (size, size))
    room = size // 16
    mask.paste(255, (room, room, size - room, size - room))
    mask = mask.filter(GaussianBlur(room / 2))
    angle = float(actor.tilt[number])
    corner = (round(x - size / 2), round(y - size / 2))
    picture.paste(face.rotate(angle, Resampling.BICUBIC), corner, mask.rotate(angle, Resampling.BICUBIC))
