"""Made-up aligned faces. A person is a grid of colours; every photo of them has its own light and noise."""

from pathlib import Path

import numpy as np
from PIL import Image

from facerec.datasets.photo_sets import PhotoSet, read_photos


def pattern(person: int) -> np.ndarray:
    """Return a person's (4, 4, 3) colours from -2 to 2. The left half mirrors the right."""
    half = np.random.default_rng(person).uniform(-1, 1, (4, 4, 3))
    return half + half[:, ::-1]


def photo(person: int, number: int, size: int = 128) -> np.ndarray:
    """Return photo `number` of `person`, (size, size, 3) uint8: their pattern with a light of its own and noise."""
    rng = np.random.default_rng((person, number, 7))
    light = rng.uniform(-25, 25, 3)
    noise = rng.normal(0, 10, (size, size, 3))
    face = pattern(person).repeat(size // 4, 0).repeat(size // 4, 1)
    return np.clip(128 + 40 * face + light + noise, 0, 255).astype(np.uint8)


def write_people(folder: Path, counts: dict[str, int], size: int = 128) -> Path:
    """Write identity folders: person -> number of photos. Patterns are numbered by the order of the names."""
    for person, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(photo(person, number, size)).save(folder / name / f"{number:03}.png", compress_level=1)
    return folder


def some_people(folder: Path, people: int, photos: int) -> Path:
    """Write `people` folders named p000, p001, ... with `photos` photos each. Returns the folder."""
    return write_people(folder, {f"p{i:03}": photos for i in range(people)})


def face_set(folder: Path, people: int, photos: int) -> PhotoSet:
    """Write `some_people` and read them."""
    return read_photos(some_people(folder, people, photos))


def write_teacher(path: Path, faces: PhotoSet) -> Path:
    """Write the file of a perfect teacher: for every photo of `pNNN`, that person's pattern. Returns the path."""
    rows = [pattern(int(faces.names[label][1:])).ravel() for label in faces.labels]
    np.savez(path, names=np.array(faces.keys()), embeddings=np.array(rows, np.float16))
    return path


def write_splits(folder: Path, **lists: list[str]) -> Path:
    """Write a splits folder with one list per keyword, one entry per line. Returns the folder."""
    folder.mkdir(parents=True)
    for name, lines in lists.items():
        (folder / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return folder
