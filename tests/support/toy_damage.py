"""A small gallery, and bits that flip in its files."""

from contextlib import closing
from pathlib import Path

import numpy as np
from toy_gallery import MODEL, nearest, template, vector

from facerec.gallery.database import connect
from facerec.gallery.gallery import Gallery

COHORT = np.stack([vector(1000 + number) for number in range(30)])
REMEDY = "`facerec gallery restore` brings back a backup, or remove 'Bob' and enroll them again"
NAMED = f"the vector of photos/1.jpg is not what was stored; {REMEDY}"


def few_people(folder: Path) -> Path:
    """Ann's photo 0, Bob's 1 and 2, and Cy's 3, with strangers of both kinds, index and backup."""
    with Gallery.open(folder, create=True) as gallery:
        gallery.bind_model(*MODEL, COHORT)
        for number, name in enumerate(("Ann", "Bob", "Bob", "Cy")):
            gallery.add(name, template(number))
        gallery.set_calibration(strangers=COHORT[:20] * -1, source="visitors/")
        assert nearest(gallery, 1) == "Bob"
    return folder


def flip(path: Path, bit: int) -> None:
    """Flip one bit of a file that nobody has open."""
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def place_of(folder: Path, what: bytes) -> int:
    """Where the database holds this once, in bytes."""
    (place,) = places_of(folder, what)
    return place


def places_of(folder: Path, what: bytes) -> list[int]:
    """Where the database holds this, in bytes."""
    content = (folder / "gallery.db").read_bytes()
    return [place for place in range(len(content)) if content.startswith(what, place)]


def spoil(folder: Path) -> None:
    """The lowest bit of the first number of photo 1's vector: no norm tells."""
    flip(folder / "gallery.db", 8 * place_of(folder, vector(1).tobytes()))


def rows(folder: Path, query: str) -> list[tuple]:
    """What the database answers, behind facerec's back."""
    with closing(connect(folder / "gallery.db", "mode=rw")) as db:
        return db.execute(query).fetchall()
