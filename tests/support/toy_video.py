"""Tiny videos, and made-up faces in them. The model of toy_model.py tells the people apart."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import toy_model
from av import VideoFrame

from facerec.faces.alignment import template
from facerec.photos.video import Frame
from facerec.types import Face, Image

RATE = 10  # pictures a second


def picture(number: int, height: int = 48, width: int = 64) -> Image:
    """Return picture `number` of a video, 0 to 59: its grey value says which; its upper left quarter is black."""
    image = np.full((height, width, 3), 15 + 4 * number, np.uint8)
    image[: height // 2, : width // 2] = 0
    return image


def number_of(image: Image) -> int:
    """Return the number of a picture, which the encoder changed a little."""
    return round((float(image[-8:, -8:].mean()) - 15) / 4)


def write_video(path: Path, pictures: Iterable[Image], rate: int = RATE, codec: str = "mpeg4", **stream: Any) -> Path:
    """Write a video of `rate` pictures a second, all of one size. stream: other facts of it, as PyAV calls them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        made: Any = container.add_stream(codec, rate=rate)
        made.pix_fmt, made.bit_rate = "yuv420p", 2_000_000
        for name, value in stream.items():
            setattr(made, name, value)
        for number, image in enumerate(pictures):
            if not number:
                made.height, made.width = image.shape[:2]
            frame = VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
            frame.pts = number
            container.mux(made.encode(frame))
        container.mux(made.encode(None))
    return path


def face_at(person: int, photo: int, x: float, y: float = 100, side: float = 100, confidence: float = 1.0) -> Face:
    """Return a face of a made-up person: photo number `photo` of them, its box around (x, y)."""
    corner = np.array([x - side / 2, y - side / 2])
    box = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
    landmarks = (template(112) * side / 112 + corner).astype(np.float32)
    return Face(toy_model.crop(person, photo), box, landmarks, confidence)


class Scripted:
    """A detector that is told beforehand what it finds in one picture after another; in all others it finds nothing."""

    def __init__(self, script: Iterable[Sequence[Face]]) -> None:
        self._script = iter(script)

    def detect(self, images: Sequence[Image]) -> list[list[Face]]:
        """Return the next faces of the script."""
        return [list(next(self._script, ())) for _ in images]


def blank_frames(count: int, every: float = 0.2) -> list[Frame]:
    """Return pictures for a `Scripted` detector, `every` seconds apart."""
    return [Frame(every * number, np.zeros((200, 400, 3), np.uint8)) for number in range(count)]
