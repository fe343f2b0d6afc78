"""A gallery of made-up people. The number of a photo determines its vector. As a program, this is another process:

python tests/support/toy_gallery.py FOLDER PERSON FIRST COUNT

enrolls COUNT photos from FIRST on, searches now and then, and prints the number of each photo that is stored safely.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from facerec.gallery.address import Place
from facerec.gallery.backup import keep_copy
from facerec.gallery.database import connect
from facerec.gallery.encryption import encrypt
from facerec.gallery.gallery import Gallery
from facerec.gallery.layout import is_there
from facerec.types import Template, Threshold

DIMENSION = 16
MODEL = ("f" * 64, "toy", DIMENSION, Threshold(1.08, "FMR 0.1 % on the validation people"))


SERVER: Any = None
"""The server that galleries are on in a test; None: they are in folders."""


def vector(number: int) -> np.ndarray:
    """Return the unit vector of photo `number`."""
    row = np.random.default_rng(number).standard_normal(DIMENSION).astype(np.float32)
    return row / np.linalg.norm(row)


def template(number: int) -> Template:
    """Return the template of photo `number`."""
    return Template(f"{number:064x}", f"photos/{number}.jpg", (1.5, 2, 30, 40), 0.99, vector(number))


def opened(folder: Place) -> Gallery:
    """Open or make the gallery at a place with the toy model. A new one is encrypted if there is a passphrase."""
    if (passphrase := os.environ.get("FACEREC_PASSPHRASE")) and not is_there(folder):
        encrypt(folder, passphrase)
    gallery = Gallery.open(folder, create=True)
    gallery.bind_model(*MODEL)
    return gallery


def nearest(gallery: Gallery, number: int) -> str | None:
    """Return the person of photo `number`, or None. Asserts that they are found at the mean of all their photos."""
    while True:
        templates, found = gallery.templates, gallery.search(vector(number)[None], 1000)[0]
        photos = {c.person: [int(t.photo_hash, 16) for t in gallery.show(c.person)] for c in found}
        if gallery.templates == templates:  # else another process enrolled somebody meanwhile
            break
    for candidate in found:
        if number in photos[candidate.person]:
            mean = sum(vector(n) for n in photos[candidate.person])
            wanted = np.square(mean / np.linalg.norm(mean) - vector(number)).sum()
            assert abs(candidate.distance - wanted) < 1e-5
            return candidate.person
    return None


def sql(folder: Path, *statements: str) -> None:
    """Run statements on the database, without facerec."""
    if SERVER is not None:
        SERVER.execute(folder, *statements)
        return
    if not (path := folder / "gallery.db").exists():
        path.touch()
    with closing(connect(path, "mode=rw")) as db:
        for statement in statements:
            db.execute(statement)


def rows(folder: Path, query: str) -> list[tuple]:
    """Return the rows of a query, read without facerec."""
    if SERVER is not None:
        return SERVER.execute(folder, query)
    with closing(connect(folder / "gallery.db", "mode=rw")) as db:
        return db.execute(query).fetchall()


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Keep a transaction open that reads, as another program may."""
    if SERVER is not None:
        with SERVER.reading(folder):
            yield
        return
    with closing(connect(folder / "gallery.db", "mode=rw")) as db:
        db.execute("BEGIN")
        db.execute("SELECT count(*) FROM people").fetchall()
        yield


def two_people(folder: Path) -> Path:
    """Make a gallery of 40 photos, of Ann Zebra and Bob Ray by turns, with index, backup and rollback copy."""
    with opened(folder) as gallery:
        for number in range(40):
            gallery.add("Bob Ray" if number % 2 else "Ann Zebra", template(number))
        assert nearest(gallery, 0) == "Ann Zebra"
        keep_copy(gallery.store.database, "rollback")
    return folder


def make_format_8(folder: Path) -> None:
    """Turn the database back to format 8, before there were unknown faces."""
    drop = ("DROP TRIGGER known_now", "DROP TABLE unknown_faces", "PRAGMA user_version = 8")
    sql(folder, *drop, "PRAGMA wal_checkpoint(TRUNCATE)")


def make_format_7(folder: Path) -> None:
    """Turn the database back to format 7, which did not say what cut the crops."""
    make_format_8(folder)
    drop = [f"DROP TABLE {table}" for table in ("cutting", "renewed_crops")]
    sql(folder, *drop, "PRAGMA user_version = 7", "PRAGMA wal_checkpoint(TRUNCATE)")


def make_format_6(folder: Path) -> None:
    """Turn the database back to format 6, before there were vetoes."""
    make_format_7(folder)
    drop = [f"DROP TABLE {table}" for table in ("vetoes", "apart", "removed", "removed_key")]
    sql(folder, "DROP TRIGGER vetoes_of_photo", *drop, "PRAGMA user_version = 6", "PRAGMA wal_checkpoint(TRUNCATE)")


def make_format_5(folder: Path) -> None:
    """Turn the database back to format 5, when the indexes held only names, hashes and row numbers."""
    make_format_6(folder)
    with closing(connect(folder / "gallery.db", "mode=ro")) as db:
        twice = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE name LIKE '%_twice'")]
    assert len(twice) == 8
    drop = [f"DROP INDEX {name}" for name in twice]
    sql(folder, *drop, "PRAGMA user_version = 5", "PRAGMA wal_checkpoint(TRUNCATE)")


def make_format_4(folder: Path) -> None:
    """Turn the database back to format 4, before there were checksums."""
    make_format_5(folder)
    drop = [
        f"ALTER TABLE {table} DROP COLUMN checksum" for table in ("templates", "strangers", "renewal", "calibration")
    ]
    drop.append("ALTER TABLE calibration DROP COLUMN worth")
    sql(folder, "DROP TRIGGER template_sealed", *drop, "PRAGMA user_version = 4", "PRAGMA wal_checkpoint(TRUNCATE)")


def main(folder: Path, person: str, first: int, count: int) -> None:
    """Enroll and search, as the module describes."""
    with opened(folder) as gallery:
        for number in range(first, first + count):
            gallery.add(person, template(number))
            print(number, flush=True)
            if number % 7 == 0:
                assert nearest(gallery, number) == person


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
