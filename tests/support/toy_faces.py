"""Made-up aligned faces: a person is a grid of colours, and every photo of them is lit and spoiled in its own way."""

from pathlib import Path

import numpy as np
from PIL import Image

from facerec.datasets.photo_sets import PhotoSet, read_photos


def pattern(person: int) -> np.ndarray:
    """(4, 4, 3) colours, -2..2, the left half the mirror image of the right."""
    half = np.random.default_rng(person).uniform(-1, 1, (4, 4, 3))
    return half + half[:, ::-1]


def photo(person: int, number: int, size: int = 128) -> np.ndarray:
    """Photo `number` of `person`, (size, size, 3) uint8: their pattern in a light of its own, with noise."""
    rng = np.random.default_rng((person, number, 7))
    light = rng.uniform(-25, 25, 3)
    noise = rng.normal(0, 10, (size, size, 3))
    face = pattern(person).repeat(size // 4, 0).repeat(size // 4, 1)
    return np.clip(128 + 40 * face + light + noise, 0, 255).astype(np.uint8)


def write_people(folder: Path, counts: dict[str, int], size: int = 128) -> Path:
    """Identity folders with that many photos of each person, numbered by the order of the names."""
    for person, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(photo(person, number, size)).save(folder / name / f"{number:03}.png", compress_level=1)
    return folder


def some_people(folder: Path, people: int, photos: int) -> Path:
    """`people` folders named p000, p001, ... of `photos` photos each."""
    return write_people(folder, {f"p{i:03}": photos for i in range(people)})


def face_set(folder: Path, people: int, photos: int) -> PhotoSet:
    """As `some_people`, read."""
    return read_photos(some_people(folder, people, photos))


def write_teacher(path: Path, faces: PhotoSet) -> Path:
    """What a perfect teacher would say of `pNNN`, whatever the photo: their pattern."""
    rows = [pattern(int(faces.names[label][1:])).ravel() for label in faces.labels]
    np.savez(path, names=np.array(faces.keys()), embeddings=np.array(rows, np.float16))
    return path


def write_splits(folder: Path, **lists: list[str]) -> Path:
    """A splits folder: one list per keyword, a line per entry."""
    folder.mkdir(parents=True)
    for name, lines in lists.items():
        (folder / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return folder
