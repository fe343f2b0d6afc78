"""Finding damage in a gallery's database."""

from collections.abc import Iterator

import numpy as np

from facerec.errors import DamagedGalleryError, ImageError
from facerec.gallery.address import Place
from facerec.gallery.connection import Connection
from facerec.gallery.schema import damaged, scalar, version_of
from facerec.photos.crops import decode_png
from facerec.text import printable
from facerec.vectors import vector_fault

RESTORE = "`facerec gallery restore` brings back a backup"


def broken_strangers(db: Connection, kind: str | None = None) -> list[str]:
    """Strangers whose vectors are not what was stored, one line a kind. kind: look at this kind only."""
    if version_of(db) == 1:
        return []
    query = f"SELECT kind, source FROM strangers WHERE {damaged(db, 'kind', 'vectors')} AND ? IN (kind, '')"
    again = {"cohort": "`facerec calibrate` sets them anew", "given": "`facerec calibrate --strangers` replaces them"}
    return [
        f"the strangers ({printable(source)}) are not what was stored; {again[which]}"
        for which, source in db.execute(query, (kind or "",))
    ]


def faults(db: Connection) -> list[str]:
    """What SQLite finds wrong with its pages, constraints and references, one line each."""
    pages = [line for (line,) in db.execute("PRAGMA integrity_check") if line != "ok"]
    return pages + [f"{table}: row {row} refers to nobody" for table, row, *_ in db.execute("PRAGMA foreign_key_check")]


def broken_crops(db: Connection) -> list[str]:
    """Crops that cannot be read, one line each."""
    if version_of(db) < 4:
        return []
    found = []
    for source, png in db.execute("SELECT source, png FROM crops JOIN templates ON id = template ORDER BY id"):
        try:
            decode_png(png)
        except ImageError as error:
            found.append(f"the crop of {printable(source)} is {error}; remove its person and enroll them again")
    return found


def broken_vetoes(db: Connection) -> list[str]:
    """Vetoed faces whose vector or crop is invalid or not what was stored, one line each."""
    found = _broken_faces(db, "vetoes") if version_of(db) >= 7 else ()
    remedy = f"{RESTORE}, or `facerec gallery not-same --forget PHOTO` deletes it"
    return [f"the face of {source} that was said not to be somebody {fault}; {remedy}" for source, fault in found]


def broken_unknown_faces(db: Connection) -> list[str]:
    """Unknown faces whose vector or crop is invalid or not what was stored, one line each."""
    found = _broken_faces(db, "unknown_faces") if version_of(db) >= 9 else ()
    return [f"the unknown face of {source} {fault}; {RESTORE}, or forget the unknown faces" for source, fault in found]


def _broken_faces(db: Connection, table: str) -> Iterator[tuple[str, str]]:
    """Of the faces of nobody enrolled, the source of each broken one and what is wrong with it."""
    dimension, changed = scalar(db, "SELECT dimension FROM gallery"), damaged(db, "photo_hash", "vector")
    query = f"SELECT source, CAST(vector AS BLOB), {changed}, png FROM {table} ORDER BY id"
    for source, blob, is_changed, png in db.execute(query):
        vector = np.frombuffer(blob[: len(blob) // 4 * 4], "<f4")
        fault = vector_fault(vector[None], dimension) or ("is not what was stored" if is_changed else _crop_fault(png))
        if fault:
            yield printable(source), fault


def _crop_fault(png: object) -> str | None:
    """What is wrong with the crop of a face, if there is one."""
    if png is None:
        return None
    try:
        decode_png(png if isinstance(png, bytes) else b"")
    except ImageError as error:
        return f"has a crop that is {error}"
    return None


def broken_people(db: Connection) -> list[str]:
    """People without a template, one line each."""
    rows = db.execute("SELECT name FROM people WHERE id NOT IN (SELECT person FROM templates)")
    return [f"'{name}' has no template; remove them" for (name,) in rows]


def require_undamaged(db: Connection, where: Place, after: int = 0) -> None:
    """DamagedGalleryError about `where` if a template with an id above `after` has a vector that was not stored so."""
    if scalar(db, f"SELECT count(*) FROM templates WHERE id > ? AND {damaged(db, 'photo_hash', 'vector')}", after):
        raise DamagedGalleryError(f"{where}: {broken_vectors(db, after)[0]}")


def broken_vectors(db: Connection, after: int = 0) -> list[str]:
    """Templates with an id above `after` whose vector is invalid or not what was stored, one line each."""
    dimension = scalar(db, "SELECT dimension FROM gallery")
    found = []
    query = f"SELECT name, source, CAST(vector AS BLOB), {damaged(db, 'photo_hash', 'vector')} FROM templates t "
    query += "LEFT JOIN people ON people.id = person WHERE t.id > ? ORDER BY t.id"
    for name, source, blob, changed in db.execute(query, (after,)):
        vector = np.frombuffer(blob[: len(blob) // 4 * 4], "<f4")
        if fault := vector_fault(vector[None], dimension) or ("is not what was stored" if changed else None):
            whom = "its person" if name is None else f"'{printable(name)}'"
            found.append(
                f"the vector of {printable(source)} {fault}; {RESTORE}, or remove {whom} and enroll them again"
            )
    return found
