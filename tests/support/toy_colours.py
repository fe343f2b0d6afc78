"""Made-up aligned faces that are easy to learn: a person is a colour, and every photo is lit in its own way.

The light changes a photo as much as the person does. An untrained network therefore often finds two photos of one
person less alike than two people; a network that has learned to look past the light does not.
"""

import math
from pathlib import Path

import numpy as np
import PIL.Image
from toy_faces import write_splits
from toy_runs import VALIDATION, Data

from facerec.datasets.photo_sets import PhotoSet

GOLDEN = (math.sqrt(5) - 1) / 2
"""Steps of this share of a circle keep all points apart, and the first few far apart."""


def hue(person: int) -> float:
    """The angle of a person's colour on the circle of colours, in radians."""
    return 2 * math.pi * (person * GOLDEN % 1)


def photo(person: int, number: int, size: int = 32) -> np.ndarray:
    """Photo `number` of `person`, (size, size, 3) uint8: one colour, lighter or darker, with a little noise."""
    rng = np.random.default_rng((person, number))
    light = rng.uniform(-60, 60)
    colour = 60 * np.cos(hue(person) + 2 * np.pi / 3 * np.arange(3))  # of the same brightness whatever the hue
    return np.clip(128 + colour + light + rng.normal(0, 5, (size, size, 3)), 0, 255).astype(np.uint8)


def make_coloured_people(folder: Path, people: int, photos: int) -> Data:
    """folder/faces with so many people p000, p001, ...; VALIDATION to validate on, as in toy_runs.make_people."""
    for person in range(people):
        home = folder / "faces" / f"p{person:03}"
        home.mkdir(parents=True)
        for number in range(photos):
            PIL.Image.fromarray(photo(person, number)).save(home / f"{number:03}.png", compress_level=1)
    splits = write_splits(folder / "splits", validation=[f"faces/{person}" for person in VALIDATION])
    return Data(folder / "faces", splits)


def write_hue_teacher(path: Path, faces: PhotoSet) -> Path:
    """What a perfect teacher would say of `pNNN`, whatever the light: where their hue lies on the circle."""
    hues = [hue(int(faces.names[label][1:])) for label in faces.labels]
    rows = np.array([[math.cos(angle), math.sin(angle)] for angle in hues], np.float32)
    np.savez(path, names=np.array(faces.keys()), embeddings=rows)
    return path
