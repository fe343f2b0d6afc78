"""Are photos that lie on a side turned upright, and do upright photos stay as they are?

    .venv/bin/python -m scripts.studies turned_photos --data ../shared/data

87 photos of the training people's source, scaled to 400 pixels at most. On their side: each is turned by 90, 180 and
270 degrees. Upright but hard: each is made worse in seven ways. A photo whose faces all have a confidence below 0.99
is unsure, and is looked at after each quarter turn. Three rules say when the turn with the surest face is used:

- surer: this face is surer than the surest upright face;
- sure: its confidence is at least 0.99;
- far surer, which is in use: the doubt about it is at most a tenth of that about the upright face (`needed_if_turned`).

Reported: of the photos on their side, how many each rule turns so that they are upright; of the upright ones, how many
it turns (wrongly).
"""

import argparse
from collections.abc import Callable

import numpy as np
import PIL.Image
from PIL.Image import Resampling
from PIL.ImageFilter import GaussianBlur

from facerec.faces.looking import needed_if_turned
from facerec.faces.main_face import SURE
from facerec.faces.mtcnn import MTCNNDetector
from facerec.photos.folders import find_photos
from facerec.photos.reading import read_image
from facerec.types import Image
from scripts.studies.tables import Table, study_parser

SIDE, SEED = 400, 0
RULES: dict[str, Callable[[float, float], bool]] = {  # the confidence of the surest face upright, and turned
    "surer": lambda upright, turned: turned > upright,
    "sure": lambda upright, turned: turned >= SURE,
    "far surer": lambda upright, turned: turned >= needed_if_turned(upright),
}

Photo = PIL.Image.Image
Way = Callable[[Photo, np.random.Generator], Photo]


def scaled(side: int) -> Way:
    """Scales a photo down until its longer side has `side` pixels."""

    def scale(photo: Photo, rng: np.random.Generator) -> Photo:
        ratio = side / max(photo.size)
        return photo.resize((round(photo.width * ratio), round(photo.height * ratio)), Resampling.BICUBIC)

    return scale


def noisy(photo: Photo, rng: np.random.Generator) -> Photo:
    """Adds Gaussian noise of 60 grey levels."""
    pixels = np.asarray(photo) + rng.normal(0, 60, (photo.height, photo.width, 3))
    return PIL.Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def covered(photo: Photo, rng: np.random.Generator) -> Photo:
    """Covers the lower half by one colour."""
    pixels = np.array(photo)
    pixels[photo.height // 2 :] = rng.integers(0, 255, 3)
    return PIL.Image.fromarray(pixels)


UPRIGHT: dict[str, Way] = {
    "as it is": lambda photo, rng: photo,
    "110 pixels": scaled(110),
    "blur of 6 pixels": lambda photo, rng: photo.filter(GaussianBlur(6)),
    "noise": noisy,
    "6 % of its light": lambda photo, rng: photo.point(lambda value: 0.06 * value),
    "lower half covered": covered,
    "head tilted by 15 to 30°": lambda photo, rng: _tilted(photo, rng, 15, 30),
    "head tilted by 30 to 45°": lambda photo, rng: _tilted(photo, rng, 30, 45),
}
ON_ITS_SIDE: dict[str, Way] = {
    f"turned by {angle}°": lambda photo, rng, angle=angle: photo.rotate(-angle, expand=True) for angle in (90, 180, 270)
}


def _tilted(photo: Photo, rng: np.random.Generator, least: float, most: float) -> Photo:
    return photo.rotate(float(rng.choice([-1, 1]) * rng.uniform(least, most)), Resampling.BICUBIC)


def counts(images: list[Image], detector: MTCNNDetector, expected: int | None) -> list[int]:
    """Of these photos: how many are unsure, then how many each rule turns, to `expected` degrees unless None."""
    upright = [found.surest() for found in detector.look(images)]
    unsure = [i for i, surest in enumerate(upright) if surest < SURE]
    turned = detector.look_turned([images[i] for i in unsure])
    tried = [
        (upright[i], found.surest())
        for i, (degrees, found) in zip(unsure, turned, strict=True)
        if len(found.scores) and expected in (None, degrees)
    ]
    return [len(unsure), *(sum(rule(*each) for each in tried) for rule in RULES.values())]


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    return study_parser(__doc__, data=True)


def main() -> None:
    """Read, spoil, look, print two Markdown tables."""
    options = parser().parse_args()
    rng, detector = np.random.default_rng(SEED), MTCNNDetector()
    photos = [PIL.Image.fromarray(read_image(path)) for path in find_photos(options.data / "photos")]
    small = [scaled(SIDE)(photo, rng) for photo in photos]
    print(f"{len(small)} photos\n")
    for part, ways in (("side", ON_ITS_SIDE), ("upright", UPRIGHT)):
        words = "turned back" if part == "side" else "wrongly turned"
        table = Table(("the photos", "unsure", *(f"{words}: {rule}" for rule in RULES)), options.csv, part)
        for name, way in ways.items():
            angle = int(name.split()[-1].rstrip("°")) if part == "side" else None
            expected = None if angle is None else 360 - angle
            images = [np.asarray(way(photo, rng)) for photo in small]
            table.add(name, *counts(images, detector, expected))
        print()
    insects = [
        scaled(SIDE)(PIL.Image.fromarray(read_image(path)), rng) for path in find_photos(options.data / "hymenoptera")
    ]
    images = [np.asarray(picture) for picture in insects]
    table = Table(("pictures", "a face upright", *(f"turned: {rule}" for rule in RULES)), options.csv, "insects")
    table.add(
        len(images), sum(found.surest() > 0 for found in detector.look(images)), *counts(images, detector, None)[1:]
    )


if __name__ == "__main__":
    main()
