"""Photos that fail in an evaluation, and a detector that finds no face in black pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from PIL.PngImagePlugin import PngInfo

from facerec.evaluation import runs
from facerec.faces.detector import AlignedDetector
from facerec.types import Face, Image


class SeesNothingInTheDark(AlignedDetector):
    """As for aligned crops, but a black picture has no face."""

    def detect(self, images: Sequence[Image]) -> list[list[Face]]:
        return [faces if image.any() else [] for image, faces in zip(images, super().detect(images), strict=True)]


@pytest.fixture
def dark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluations of aligned crops find no face in the photos that `darken` made."""
    monkeypatch.setattr(runs, "make_detector", lambda size, *_: SeesNothingInTheDark(size))


def darken(path: Path) -> Path:
    """Make a photo without a face."""
    path.parent.mkdir(parents=True, exist_ok=True)
    name = PngInfo()
    name.add_text("Title", str(path))  # so that no two are copies of each other
    PIL.Image.fromarray(np.zeros((112, 112, 3), np.uint8)).save(path, pnginfo=name)
    return path


def spoil(path: Path) -> Path:
    """Make a file that is no photo."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"no photo")
    return path


def cut(path: Path) -> Path:
    """Cut off the second half of a photo: it begins as it should."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def blur(path: Path) -> Path:
    """Make the face in a photo as soft as one enlarged from a few pixels."""
    with PIL.Image.open(path) as photo:
        soft = photo.convert("RGB").resize((6, 6)).resize(photo.size, PIL.Image.Resampling.BICUBIC)
    soft.save(path)
    return path


def convert(path: Path, ending: str) -> Path:
    """Replace a photo by one of another format, without loss."""
    new = path.with_suffix(ending)
    with PIL.Image.open(path) as photo:
        photo.save(new, lossless=True)
    path.unlink()
    return new
