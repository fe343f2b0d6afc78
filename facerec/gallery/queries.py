"""Reading and writing a gallery's tables. Each function runs in the transaction of its caller."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facerec.errors import ImageError
from facerec.gallery import audit_log
from facerec.gallery.connection import Connection
from facerec.gallery.removed import forget_removed_for
from facerec.gallery.schema import scalar, sealed, version_of
from facerec.photos.crops import decode_png, encode_png
from facerec.text import Brief
from facerec.types import Box, Image, Template


@dataclass(frozen=True, slots=True, repr=False)
class PersonSummary(Brief):
    """One enrolled person.

    templates: how many photos they have. enrolled: when their first photo was enrolled, ISO 8601 in UTC. consent: the
    note on what they agreed to, if any. until: the last day (UTC, YYYY-MM-DD) they may be kept, if any. number: theirs
    alone, for good.
    """

    name: str
    templates: int
    enrolled: str
    consent: str | None = None
    until: str | None = None
    number: int | None = None


@dataclass(frozen=True, slots=True, repr=False)
class StoredTemplate(Brief):
    """One enrolled photo: a `Template` without its vector.

    enrolled: when, ISO 8601 in UTC. number: its own, for good.
    """

    photo_hash: str
    source: str
    box: Box
    quality: float
    enrolled: str
    number: int | None = None


def count_rows(db: Connection, table: str) -> int:
    """The number of rows in a table."""
    return scalar(db, f"SELECT count(*) FROM {table}")


def generation_of(db: Connection) -> str:
    """The gallery's generation: a random text that every change visible to a search replaces."""
    return scalar(db, "SELECT generation FROM gallery")


def summaries(db: Connection, person: int | None = None) -> list[PersonSummary]:
    """Everybody, sorted by name. person: their number, if one person alone is asked for."""
    agreed = "note, until" if version_of(db) > 2 else "NULL, NULL"
    consent = "LEFT JOIN consent c ON c.person = people.id" if version_of(db) > 2 else ""
    by = "people.id, c.person" if version_of(db) > 2 else "people.id"
    one = "" if person is None else "WHERE people.id = ?"  # SQLite would read everybody for both in one condition
    rows = db.execute(
        f"SELECT name, count(*), people.enrolled, {agreed}, people.id "
        f"FROM people JOIN templates t ON t.person = people.id {consent} {one} GROUP BY {by} ORDER BY name",
        () if person is None else (person,),
    )
    return [PersonSummary(*row) for row in rows]


def photos_of(db: Connection, person: int) -> list[StoredTemplate]:
    """The photos of a person in the order they were enrolled."""
    rows = db.execute(
        "SELECT photo_hash, source, x1, y1, x2, y2, quality, enrolled, id FROM templates WHERE person = ? ORDER BY id",
        (person,),
    )
    return [StoredTemplate(row[0], row[1], row[2:6], *row[6:]) for row in rows]


def consent_of(db: Connection, person: int) -> tuple[str | None, str | None]:
    """The note on what a person agreed to and the last day they may be kept, each None where not given."""
    if version_of(db) < 3:
        return None, None
    return db.execute("SELECT note, until FROM consent WHERE person = ?", (person,)).fetchone() or (None, None)


def write_consent(db: Connection, person: int, note: str | None, until: str | None) -> None:
    """Replace a person's consent note and last day."""
    db.execute(
        "INSERT INTO consent (person, note, until) VALUES (?, ?, ?) "
        "ON CONFLICT (person) DO UPDATE SET note = excluded.note, until = excluded.until",
        (person, note, until),
    )


def id_of(db: Connection, name: str) -> int | None:
    """The id of a person; None if nobody has the name."""
    return scalar(db, "SELECT id FROM people WHERE name = ?", name)


def owner_of(db: Connection, photo_hash: str) -> str | None:
    """The name of the person enrolled with a photo, or None."""
    query = "SELECT name FROM people JOIN templates ON person = people.id WHERE photo_hash = ?"
    return scalar(db, query, photo_hash)


def insert_template(db: Connection, name: str, template: Template, enrolled: str | None = None) -> int:
    """Enroll a photo, and its person if they are new; return the person's number.

    enrolled: when, ISO 8601 in UTC; now unless given. The photo's crop is kept if the gallery keeps crops.
    """
    enrolled = enrolled or audit_log.utc_now()
    if (person := id_of(db, name)) is None:
        person = scalar(db, "INSERT INTO people (name, enrolled) VALUES (?, ?) RETURNING id", name, enrolled)
    source = as_text(template.source)
    box, vector = map(float, template.box), template.vector.astype("<f4").tobytes()
    number = scalar(
        db,
        "INSERT INTO templates (person, photo_hash, source, x1, y1, x2, y2, quality, vector, enrolled, checksum) "
        f"VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, {sealed('?2', '?9')}) RETURNING id",
        *(person, template.photo_hash, source, *box, float(template.quality), vector, enrolled),
    )
    if template.crop is not None:
        insert_crop(db, number, template.crop)
    forget_removed_for(db, template.photo_hash, person, name)
    return person


def as_text(name: str) -> str:
    """Return a file name as valid UTF-8, which SQLite requires; bytes that are not UTF-8 become escapes.

    So does a zero byte, which PostgreSQL refuses.
    """
    return name.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def keeps_crops(db: Connection) -> bool:
    """Whether the gallery keeps the crops of enrolled photos."""
    return version_of(db) > 3 and bool(scalar(db, "SELECT crops FROM keeping"))


def insert_crop(db: Connection, template: int, crop: Image, table: str = "crops") -> None:
    """Store the crop of a template if the gallery keeps crops and the table has none of it yet."""
    if keeps_crops(db):
        row = (template, encode_png(crop))
        db.execute(f"INSERT INTO {table} (template, png) VALUES (?, ?) ON CONFLICT DO NOTHING", row)


def crop_of(db: Connection, template: int) -> Image | None:
    """The crop kept for a template; None if there is none or it cannot be read."""
    png = scalar(db, "SELECT png FROM crops WHERE template = ?", template) if version_of(db) > 3 else None
    try:
        return None if png is None else decode_png(png)
    except ImageError:  # `broken_crops` reports it; the caller may use the photo instead
        return None


def owners_of_all(db: Connection) -> tuple[NDArray[np.int64], list[str]]:
    """Return the ids of all templates, ascending, and the name of each one's person."""
    rows = db.execute("SELECT t.id, name FROM templates t JOIN people ON person = people.id ORDER BY t.id").fetchall()
    return np.array([number for number, _ in rows], np.int64), [name for _, name in rows]


def owners_by_number(db: Connection) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the ids of all templates, ascending, and the number of each one's person."""
    rows = np.array(db.execute("SELECT id, person FROM templates").fetchall(), np.int64).reshape(-1, 2)
    ids, persons = rows[np.argsort(rows[:, 0])].T  # SQLite would read all vectors to sort them
    return ids, persons


def own_mark(db: Connection) -> str | None:
    """Return 16 hexadecimal digits that only this gallery has, and copies of it; None in an older, read-only format."""
    if version_of(db) < 7:
        return None
    return hashlib.sha256(scalar(db, "SELECT key FROM removed_key")).hexdigest()[:16]
