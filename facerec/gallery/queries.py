"""Reading and writing a gallery's tables. Each function runs in the transaction of its caller."""

import sqlite3
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facerec.errors import ImageError
from facerec.gallery import audit_log
from facerec.gallery.schema import scalar, sealed, version_of
from facerec.photos.crops import decode_png, encode_png
from facerec.types import Box, Image, Template


@dataclass(frozen=True, slots=True)
class PersonSummary:
    """One enrolled person.

    enrolled: when the first photo was, ISO 8601 in UTC. consent: the note on what they agreed to, None without.
    until: the last day (UTC, YYYY-MM-DD) they may be kept, None: no such day.
    """

    name: str
    templates: int
    enrolled: str
    consent: str | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True)
class StoredTemplate:
    """One enrolled photo, as `Template` without its vector; `enrolled`: ISO 8601 in UTC."""

    photo_hash: str
    source: str
    box: Box
    quality: float
    enrolled: str


def count_rows(db: sqlite3.Connection, table: str) -> int:
    """How many rows a table has."""
    return scalar(db, f"SELECT count(*) FROM {table}")


def generation_of(db: sqlite3.Connection) -> str:
    """What the state of the gallery is called."""
    return scalar(db, "SELECT generation FROM gallery")


def summaries(db: sqlite3.Connection) -> list[PersonSummary]:
    """Everybody, by name."""
    agreed = "note, until" if version_of(db) > 2 else "NULL, NULL"
    consent = "LEFT JOIN consent c ON c.person = people.id" if version_of(db) > 2 else ""
    rows = db.execute(
        f"SELECT name, count(*), people.enrolled, {agreed} FROM people JOIN templates t ON t.person = people.id "
        f"{consent} GROUP BY people.id ORDER BY name"
    )
    return [PersonSummary(*row) for row in rows]


def photos_of(db: sqlite3.Connection, person: int) -> list[StoredTemplate]:
    """The photos of a person in the order they were enrolled."""
    rows = db.execute(
        "SELECT photo_hash, source, x1, y1, x2, y2, quality, enrolled FROM templates WHERE person = ? ORDER BY id",
        (person,),
    )
    return [StoredTemplate(row[0], row[1], row[2:6], row[6], row[7]) for row in rows]


def consent_of(db: sqlite3.Connection, person: int) -> tuple[str | None, str | None]:
    """The note on what a person agreed to, and the last day they may be kept; None for what was not said."""
    if version_of(db) < 3:
        return None, None
    return db.execute("SELECT note, until FROM consent WHERE person = ?", (person,)).fetchone() or (None, None)


def write_consent(db: sqlite3.Connection, person: int, note: str | None, until: str | None) -> None:
    """Replace both."""
    db.execute("REPLACE INTO consent (person, note, until) VALUES (?, ?, ?)", (person, note, until))


def id_of(db: sqlite3.Connection, name: str) -> int | None:
    """The id of a person, None if nobody has the name."""
    return scalar(db, "SELECT id FROM people WHERE name = ?", name)


def owner_of(db: sqlite3.Connection, photo_hash: str) -> str | None:
    """Who is enrolled with a photo, or None."""
    query = "SELECT name FROM people JOIN templates ON person = people.id WHERE photo_hash = ?"
    return scalar(db, query, photo_hash)


def insert_template(db: sqlite3.Connection, name: str, template: Template, enrolled: str | None = None) -> int:
    """Enroll a photo, and its person where they are new; returns their number. enrolled: when, now unless given.

    Its crop is kept where the gallery keeps crops.
    """
    enrolled = enrolled or audit_log.utc_now()
    if (person := id_of(db, name)) is None:
        person = db.execute("INSERT INTO people (name, enrolled) VALUES (?, ?)", (name, enrolled)).lastrowid
    source = as_text(template.source)
    box, vector = map(float, template.box), template.vector.astype("<f4").tobytes()
    number = db.execute(
        "INSERT INTO templates (person, photo_hash, source, x1, y1, x2, y2, quality, vector, enrolled, checksum) "
        f"VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, {sealed('?2', '?9')})",
        (person, template.photo_hash, source, *box, float(template.quality), vector, enrolled),
    ).lastrowid
    assert person is not None
    assert number is not None
    if template.crop is not None:
        insert_crop(db, number, template.crop)
    return person


def as_text(name: str) -> str:
    """A path, or what was called by one, as SQLite takes it: its text is UTF-8, file names need not be."""
    return name.encode("utf-8", "backslashreplace").decode()


def keeps_crops(db: sqlite3.Connection) -> bool:
    """Whether the crops of what is enrolled are kept."""
    return version_of(db) > 3 and bool(scalar(db, "SELECT crops FROM keeping"))


def insert_crop(db: sqlite3.Connection, template: int, crop: Image) -> None:
    """Keep the crop of a template that has none yet, where the gallery keeps crops."""
    if keeps_crops(db):
        db.execute("INSERT OR IGNORE INTO crops (template, png) VALUES (?, ?)", (template, encode_png(crop)))


def crop_of(db: sqlite3.Connection, template: int) -> Image | None:
    """The crop kept of a template; None where there is none that can be read."""
    png = scalar(db, "SELECT png FROM crops WHERE template = ?", template) if version_of(db) > 3 else None
    try:
        return None if png is None else decode_png(png)
    except ImageError:  # `broken_crops` names it; here the photo may do instead
        return None


def owners_of_all(db: sqlite3.Connection) -> tuple[NDArray[np.int64], list[str]]:
    """Return the ids of all templates, ascending, and whose each is."""
    rows = db.execute("SELECT t.id, name FROM templates t JOIN people ON person = people.id ORDER BY t.id").fetchall()
    return np.array([number for number, _ in rows], np.int64), [name for _, name in rows]
