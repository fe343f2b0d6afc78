"""What is asked of a gallery's tables, and put into them: each function runs in a transaction of its caller's."""

import os
import sqlite3
import unicodedata
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerec.gallery import audit_log
from facerec.errors import DamagedGalleryError, GalleryError, ImageError
from facerec.gallery.layout import remedy
from facerec.photos.reading import decode_png, encode_png
from facerec.gallery.schema import damaged, scalar, sealed, version_of
from facerec.types import Box, Image, Template, Vectors
from facerec.text import UNKNOWN, printable, same_form

MAX_NAME = 200  # characters
MAX_NOTE = 2000  # characters
SAME_PHOTO = 1e-3  # squared distance: a photo's vector and the same as strangers are stored are less than 1e-6 apart
_BLOCK = 64  # photos whose distances to all strangers are in memory together
_WITHOUT = " without control characters, and marks that turn the direction of writing"
RESTORE = "`facerec gallery restore` brings back a backup"


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


def clean_name(name: str) -> str:
    """Return a person's name as galleries keep it: stripped, NFC. Raises GalleryError for one that is unfit."""
    clean = same_form(name).strip()
    if not _plain(clean) or not _visible(clean) or len(clean) > MAX_NAME:
        raise GalleryError(f"{clean[:40]!a} is no name for a person; give 1 to {MAX_NAME} characters{_WITHOUT}")
    if clean.casefold() == UNKNOWN:
        raise GalleryError(f"{clean!a} is what strangers are answered, no name for a person; give another")
    return clean


def clean_note(note: str) -> str | None:
    """Return a note as galleries keep it: stripped, None for an empty one. GalleryError for one that is unfit."""
    clean = note.strip()
    if not _plain(clean) or len(clean) > MAX_NOTE:
        raise GalleryError(f"{clean[:40]!a} is no note; give one line of at most {MAX_NOTE} characters{_WITHOUT}")
    return clean or None


def clean_day(day: str) -> str | None:
    """Return a day as galleries keep it, YYYY-MM-DD, None for an empty one. GalleryError for what is none."""
    try:
        if not day or date.fromisoformat(day).isoformat() == day:
            return day or None
    except ValueError:
        pass
    raise GalleryError(f"{day[:40]!a} is no day; give it as YYYY-MM-DD")


def _plain(text: str) -> bool:
    return printable(text) == text


def _visible(text: str) -> bool:
    """Whether there is anything to be seen of it: more than spaces, and marks that join or part letters."""
    return any(unicodedata.category(letter)[0] not in "CZ" for letter in text)


def as_stored(vectors: Vectors) -> NDArray[np.float16]:
    """Rows as galleries keep strangers: half the bytes, distances off by less than a thousandth."""
    return vectors.astype("<f2")


def read_strangers(db: sqlite3.Connection, dimension: int, kind: str | None = None) -> NDArray[np.float16] | None:
    """The (N, dimension) rows of strangers of a kind, or of all; None where the gallery's format knows none."""
    if version_of(db) == 1:
        return None
    file = scalar(db, "SELECT CAST(file AS BLOB) FROM pragma_database_list WHERE name = 'main'")
    path = Path(os.fsdecode(file))  # as bytes: a folder's name need not be UTF-8, as SQLite's text must
    if found := broken_strangers(db, kind):
        raise DamagedGalleryError(f"{path}: {found[0]}")
    query = "SELECT vectors FROM strangers WHERE ? IN (kind, '') ORDER BY kind"
    blob = b"".join(vectors for (vectors,) in db.execute(query, (kind or "",)))
    if len(blob) % (2 * dimension):
        raise DamagedGalleryError(f"{path}: a stranger's vector is cut off; {remedy(path)}")
    return np.frombuffer(blob, "<f2").reshape(-1, dimension)


def holds_strangers(db: sqlite3.Connection, kind: str, vectors: Vectors) -> bool:
    """Whether the strangers of a kind are just these, or the gallery's format knows none."""
    if version_of(db) == 1:
        return True
    query = f"SELECT vectors, {damaged(db, 'kind', 'vectors')} FROM strangers WHERE kind = ?"
    return (db.execute(query, (kind,)).fetchone() or (b"", 0)) == (as_stored(vectors).tobytes(), 0)


def broken_strangers(db: sqlite3.Connection, kind: str | None = None) -> list[str]:
    """Strangers that are not what was stored, one line for each kind, or for this one."""
    if version_of(db) == 1:
        return []
    query = f"SELECT kind, source FROM strangers WHERE {damaged(db, 'kind', 'vectors')} AND ? IN (kind, '')"
    again = {"cohort": "`facerec calibrate` sets them anew", "given": "`facerec calibrate --strangers` replaces them"}
    return [
        f"the strangers ({printable(source)}) are not what was stored; {again[which]}"
        for which, source in db.execute(query, (kind or "",))
    ]


def write_strangers(db: sqlite3.Connection, kind: str, source: str, vectors: Vectors) -> None:
    """Replace the strangers of a kind."""
    db.execute("DELETE FROM strangers WHERE kind = ?", (kind,))
    db.execute("DELETE FROM calibration")
    if len(vectors):
        row = (kind, as_text(source), as_stored(vectors).tobytes())
        checksum = sealed("?1", "?3")
        db.execute(f"INSERT INTO strangers (kind, source, vectors, checksum) VALUES (?1, ?2, ?3, {checksum})", row)


def forget_strangers(db: sqlite3.Connection, person: int) -> int | None:
    """Drop the strangers given that are photos of a person's, who was a visitor once; returns how many are left.

    None: none of them is. Those that are damaged all go, since it cannot be told who is among them.
    """
    row = db.execute("SELECT source FROM strangers WHERE kind = 'given'").fetchone()
    if row is None:
        return None
    dimension = scalar(db, "SELECT dimension FROM gallery")
    try:
        given = read_strangers(db, dimension, "given")
    except DamagedGalleryError:  # which must not keep anybody from being removed
        given = None
    rows = np.zeros((0, dimension), np.float32) if given is None else given.astype(np.float32)
    kept = rows[~_same_photos(rows, _vectors_of(db, person, dimension))]
    if given is not None and len(kept) == len(given):
        return None
    write_strangers(db, "given", row[0], kept)
    return len(kept)


def _vectors_of(db: sqlite3.Connection, person: int, dimension: int) -> Vectors:
    """The (T, D) vectors of a person's photos, as they are; without those that are cut off."""
    blobs = db.execute("SELECT CAST(vector AS BLOB) FROM templates WHERE person = ?", (person,))
    whole = b"".join(blob for (blob,) in blobs if len(blob) == 4 * dimension)
    return np.frombuffer(whole, "<f4").reshape(-1, dimension)


def _same_photos(rows: Vectors, vectors: Vectors) -> NDArray[np.bool_]:
    """Which of (N, D) rows are of the same photo as one of (T, D) vectors; in blocks: N may be tens of thousands."""
    same = np.zeros(len(rows), np.bool_)
    with np.errstate(over="ignore", invalid="ignore"):  # damaged bytes may be any number
        squares = np.einsum("nd,nd->n", rows, rows)[:, None]
        for start in range(0, len(vectors), _BLOCK):
            some = vectors[start : start + _BLOCK]
            distances = squares - 2 * rows @ some.T + np.einsum("td,td->t", some, some)
            same |= (distances <= SAME_PHOTO).any(axis=1)
    return same


def faults(db: sqlite3.Connection) -> list[str]:
    """Return what SQLite itself finds wrong with its pages, constraints and references, one line each."""
    pages = [line for (line,) in db.execute("PRAGMA integrity_check") if line != "ok"]
    return pages + [f"{table}: row {row} refers to nobody" for table, row, *_ in db.execute("PRAGMA foreign_key_check")]


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
    """Enrol a photo, and its person where they are new; returns their number. enrolled: when, now unless given.

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


def broken_crops(db: sqlite3.Connection) -> list[str]:
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


def owners_of_all(db: sqlite3.Connection) -> tuple[NDArray[np.int64], list[str]]:
    """Return the ids of all templates, ascending, and whose each is."""
    rows = db.execute("SELECT t.id, name FROM templates t JOIN people ON person = people.id ORDER BY t.id").fetchall()
    return np.array([number for number, _ in rows], np.int64), [name for _, name in rows]


def vector_fault(vectors: Vectors, dimension: int) -> str | None:
    """Return what is wrong with rows that should be finite, of unit length within 1e-3, of `dimension` numbers."""
    if vectors.ndim != 2 or vectors.shape[1] != dimension:
        return f"has {vectors.shape[-1]} numbers instead of {dimension}"
    if not np.isfinite(vectors).all():
        return "holds numbers that are not finite"
    with np.errstate(over="ignore"):  # damaged bytes may be any number
        if (np.abs(np.linalg.norm(vectors, axis=1) - 1) > 1e-3).any():
            return "is not of length 1"
    return None


def broken_people(db: sqlite3.Connection) -> list[str]:
    """People without a template, one line each."""
    rows = db.execute("SELECT name FROM people WHERE id NOT IN (SELECT person FROM templates)")
    return [f"'{name}' has no template; remove them" for (name,) in rows]


def require_undamaged(db: sqlite3.Connection, where: Path, after: int = 0) -> None:
    """DamagedGalleryError, about `where`, if a vector is not what was stored, of templates with ids above `after`."""
    if scalar(db, f"SELECT count(*) FROM templates WHERE id > ? AND {damaged(db, 'photo_hash', 'vector')}", after):
        raise DamagedGalleryError(f"{where}: {broken_vectors(db, after)[0]}")


def broken_vectors(db: sqlite3.Connection, after: int = 0) -> list[str]:
    """Vectors that are none, or not what was stored, of templates with ids above `after`, one line each."""
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
