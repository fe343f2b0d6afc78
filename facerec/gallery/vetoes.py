"""Vetoes: "this face is not Ann", and "these are two people", said by somebody and remembered.

A veto is a face and a person. `decide` strikes the person from the candidates of every face that is nearer to the
vetoed face than to each of the person's templates. People who are said to be two are never listed as alike.

A vetoed face may be of somebody who never agreed to be in the gallery. So it leaves with the person, also when `expire`
removes them, and with an enrolled photo of the same content; `forget` deletes it alone.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facerec.errors import GalleryError, ImageError
from facerec.gallery.address import Place
from facerec.gallery.audit_log import record, utc_now
from facerec.gallery.connection import Connection
from facerec.gallery.erasure import purge
from facerec.gallery.leftovers import wipe
from facerec.gallery.queries import as_text, keeps_crops, owner_of
from facerec.gallery.schema import new_generation, scalar, sealed, version_of
from facerec.gallery.store import Store, Who
from facerec.gallery.which_photo import meant
from facerec.photos.crops import decode_png, encode_png
from facerec.photos.memory import AnyPhoto, path_of
from facerec.text import gallery_command, two_people_command
from facerec.types import Box, Image, Template


@dataclass(frozen=True, slots=True)
class StoredVeto:
    """One face that is not a person, without its vector.

    photo_hash: SHA-256 (hex) of the photo. source: its path. box: of the face, in pixels of the photo. quality: the
    detector's confidence, 0..1. made: when the veto was made, ISO 8601 in UTC.
    """

    photo_hash: str
    source: str
    box: Box
    quality: float
    made: str


# -------------------------------------------------------------------------------------------------- this is not Ann


def add(store: Store, name: Who, face: Template) -> bool:
    """Remember that a face is not this person. Returns True once it is on disk, False if it was known.

    UnknownPersonError if nobody is called `name`; GalleryError if the person is enrolled with this photo.
    """
    with store.write() as db:
        person, owner = store.person(db, name), owner_of(db, face.photo_hash)
        if owner is not None and store.person(db, owner) == person:
            raise GalleryError(
                f"{face.source}: enrolled as {owner}; if it is not {owner}, take it out first "
                f"({gallery_command('remove', owner, photo=face.source)})"
            )
        added = insert_veto(db, person, face)
        if added:
            record(db, "face vetoed", person)
    return added


def forget(store: Store, photo: AnyPhoto, name: Who | None = None) -> list[StoredVeto]:
    """Delete the vetoes that were made by a photo from all files in the folder, as a removal does; return them.

    photo: the photo itself, or what else `which_photo` takes. name: whose vetoes; everybody's unless given.
    UnknownPersonError if nobody is called `name`; GalleryError if no veto was made by the photo.
    """
    with store.write() as db:
        people = [row[0] for row in db.execute("SELECT id FROM people")] if name is None else [store.person(db, name)]
        gone = [(person, veto) for person in people for veto in meant(vetoes_of(db, person), photo)]
        if not gone:
            raise GalleryError(
                f"{path_of(photo)}: no face of this photo was said not to be {name or 'somebody'}; "
                "`facerec gallery show` lists them"
            )
        for person in dict.fromkeys(person for person, _ in gone):
            own = [veto.photo_hash for each, veto in gone if each == person]
            db.executemany("DELETE FROM vetoes WHERE (person, photo_hash) = (?, ?)", [(person, each) for each in own])
            purge(store, db, record(db, "vetoes forgotten", person, vetoes=len(own)))
    wipe(store.database)
    return [veto for _, veto in gone]


def vetoes(store: Store, name: Who) -> list[StoredVeto]:
    """Return the faces that are not this person, oldest veto first; UnknownPersonError if nobody has the name."""
    with store.read() as db:
        return vetoes_of(db, store.person(db, name))


def vetoes_of(db: Connection, person: int) -> list[StoredVeto]:
    """The faces that are not a person, oldest veto first."""
    if version_of(db) < 7:
        return []
    rows = db.execute(
        "SELECT photo_hash, source, x1, y1, x2, y2, quality, made FROM vetoes WHERE person = ? ORDER BY id", (person,)
    )
    return [StoredVeto(row[0], row[1], row[2:6], row[6], row[7]) for row in rows]


def is_vetoed(db: Connection, name: str, face: Template) -> bool:
    """Whether it was said of this very face that it is not the person called `name`."""
    query = "SELECT 1 FROM vetoes JOIN people ON people.id = person WHERE name = ? AND photo_hash = ? AND "
    box = tuple(map(float, face.box))
    return bool(scalar(db, f"{query} (x1, y1, x2, y2) = (?, ?, ?, ?)", name, face.photo_hash, *box))


def insert_veto(db: Connection, person: int, face: Template, made: str | None = None) -> bool:
    """Store a veto unless it is known; return whether it was new.

    made: when, ISO 8601 in UTC; now unless given. The face's crop is kept if the gallery keeps crops.
    """
    png = None if face.crop is None or not keeps_crops(db) else encode_png(face.crop)
    box, vector = map(float, face.box), face.vector.astype("<f4").tobytes()
    row = (person, face.photo_hash, as_text(face.source), *box, float(face.quality), made or utc_now(), vector, png)
    columns = "person, photo_hash, source, x1, y1, x2, y2, quality, made, vector, png, checksum"
    numbered = ", ".join(f"?{number + 1}" for number in range(len(row)))
    values = f"{numbered}, {sealed('?2', '?10')}"
    return db.execute(f"INSERT INTO vetoes ({columns}) VALUES ({values}) ON CONFLICT DO NOTHING", row).rowcount > 0


def veto_crop_of(db: Connection, veto: int) -> Image | None:
    """The crop kept for a veto; None if there is none or it cannot be read."""
    png = scalar(db, "SELECT png FROM vetoes WHERE id = ?", veto)
    try:
        return None if png is None else decode_png(png)
    except ImageError:  # `broken_vetoes` reports it; the caller may use the photo instead
        return None


def renew_veto(
    db: Connection, veto: int, vector: NDArray[np.float32], crop: Image | None, *, recut: bool = False
) -> None:
    """Replace the vector of a veto. crop: kept if the gallery keeps crops and the veto has none, or `recut`."""
    png = None if crop is None or not keeps_crops(db) else encode_png(crop)
    kept = "coalesce(?3, png)" if recut else "coalesce(png, ?3)"
    values = f"vector = ?2, checksum = {sealed('photo_hash', '?2')}, png = {kept}"
    db.execute(f"UPDATE vetoes SET {values} WHERE id = ?1", (veto, vector.astype("<f4").tobytes(), png))


# ---------------------------------------------------------------------------------------------- these are two people


def set_apart(store: Store, one: Who, other: Who) -> bool:
    """Remember that two people are two. Returns True once it is on disk, False if it was known.

    UnknownPersonError if nobody has one of the names; GalleryError if both name the same person.
    """
    with store.write() as db:
        pair = _pair(store, db, one, other)
        if added := insert_apart(db, *pair):
            record(db, "people set apart", pair[0], other=pair[1])
    return added


def forget_apart(store: Store, one: Who, other: Who) -> bool:
    """Take back that two people are two; return whether it had been said. Raises as `set_apart`."""
    with store.write() as db:
        pair = _pair(store, db, one, other)
        if known := db.execute("DELETE FROM apart WHERE (one, other) = (?, ?)", sorted(pair)).rowcount > 0:
            record(db, "people no longer apart", pair[0], other=pair[1])
            _set_threshold_anew(db)
    return known


def insert_apart(db: Connection, one: int, other: int, made: str | None = None) -> bool:
    """Store that two people, given by their numbers, are two; return whether it was new. made: as for `insert_veto`."""
    row = (min(one, other), max(one, other), made or utc_now())
    query = "INSERT INTO apart (one, other, made) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
    added = db.execute(query, row).rowcount > 0
    if added:
        _set_threshold_anew(db)
    return added


def _set_threshold_anew(db: Connection) -> None:
    """Mark the stored threshold as out of date: it depends on which people count as one (`one_person`)."""
    db.execute("UPDATE gallery SET generation = ?", (new_generation(),))


def apart(store: Store, name: Who) -> list[str]:
    """Return the names of the people who were said not to be this person, sorted; UnknownPersonError for nobody."""
    with store.read() as db:
        person = store.person(db, name)
        mine = {one if other == person else other for one, other, _ in pairs(db) if person in (one, other)}
        names = dict(db.execute("SELECT id, name FROM people"))
    return sorted(names[each] for each in mine)


def pairs(db: Connection) -> list[tuple[int, int, str]]:
    """The numbers of all people who are said to be two, pair by pair, and when it was said."""
    if version_of(db) < 7:
        return []
    return db.execute("SELECT one, other, made FROM apart ORDER BY one, other").fetchall()


def pairs_by_name(db: Connection) -> set[frozenset[str]]:
    """The names of all people who are said to be two, pair by pair."""
    found = pairs(db)
    names = dict(db.execute("SELECT id, name FROM people")) if found else {}
    return {frozenset((names[one], names[other])) for one, other, _ in found}


def require_not_apart(db: Connection, one: int, other: int, where: Place) -> None:
    """GalleryError about `where` if two people, given by their numbers, were said to be two."""
    if scalar(db, "SELECT 1 FROM apart WHERE (one, other) = (?, ?)", min(one, other), max(one, other)):
        names = [scalar(db, "SELECT name FROM people WHERE id = ?", person) for person in (one, other)]
        raise GalleryError(
            f"{where}: '{names[0]}' and '{names[1]}' were said to be two people; "
            f"{two_people_command(*names, forget=True)} takes it back"
        )


def move_to(db: Connection, gone: int, kept: int) -> None:
    """Give what was said of one person to another. Call it in a merge, when the photos have moved."""
    face = "photo_hash, x1, y1, x2, y2"
    said = f"SELECT {face} FROM vetoes WHERE person = ?1"
    db.execute(f"UPDATE vetoes SET person = ?1 WHERE person = ?2 AND ({face}) NOT IN ({said})", (kept, gone))
    settle(db, kept)
    for one, other, made in pairs(db):
        if gone in (one, other):
            insert_apart(db, kept, one if other == gone else other, made)


def settle(db: Connection, person: int) -> None:
    """Delete the vetoes of faces that are now enrolled as the person: enrolling them took the vetoes back."""
    face = "photo_hash, x1, y1, x2, y2"
    enrolled = f"SELECT {face} FROM templates WHERE person = ?1"
    db.execute(f"DELETE FROM vetoes WHERE person = ?1 AND ({face}) IN ({enrolled})", (person,))


def _pair(store: Store, db: Connection, one: Who, other: Who) -> tuple[int, int]:
    first, second = store.person(db, one), store.person(db, other)
    if first == second:
        name = scalar(db, "SELECT name FROM people WHERE id = ?", first)
        raise GalleryError(f"{store.folder}: both are the same person, '{name}'; give two people")
    return first, second
