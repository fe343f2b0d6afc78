"""A small gallery, and ways to flip bits in its files."""

from pathlib import Path

import numpy as np
from toy_gallery import MODEL, nearest, template, vector

from facerec.gallery.gallery import Gallery

COHORT = np.stack([vector(1000 + number) for number in range(30)])
REMEDY = "`facerec gallery restore` brings back a backup, or remove 'Bob' and enroll them again"
NAMED = f"the vector of photos/1.jpg is not what was stored; {REMEDY}"


def few_people(folder: Path) -> Path:
    """Make a gallery: Ann has photo 0, Bob 1 and 2, Cy 3. It has strangers of both kinds, index and backup."""
    with Gallery.open(folder, create=True) as gallery:
        gallery.bind_model(*MODEL, COHORT)
        for number, name in enumerate(("Ann", "Bob", "Bob", "Cy")):
            gallery.add(name, template(number))
        gallery.set_calibration(strangers=COHORT[:20] * -1, source="visitors/")
        assert nearest(gallery, 1) == "Bob"
    return folder


def read_all(folder: Path) -> None:
    """Read everybody's photos, as any command does that does not only search."""
    with Gallery.open(folder) as gallery:
        for person in gallery.people():
            gallery.show(person.name)


def flip(path: Path, bit: int) -> None:
    """Flip one bit of a file that nobody has open."""
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def place_of(folder: Path, what: bytes) -> int:
    """Return the byte position of `what` in the database, which must hold it once."""
    (place,) = places_of(folder, what)
    return place


def places_of(folder: Path, what: bytes) -> list[int]:
    """Return all byte positions of `what` in the database."""
    content = (folder / "gallery.db").read_bytes()
    return [place for place in range(len(content)) if content.startswith(what, place)]


def spoil(folder: Path) -> None:
    """Flip the lowest bit of the first number in the vector of photo 1. The norm does not show it."""
    flip(folder / "gallery.db", 8 * place_of(folder, vector(1).tobytes()))
