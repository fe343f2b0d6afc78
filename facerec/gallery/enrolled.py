"""The people of a gallery: who they are, what they are called, and what they agreed to."""

from facerec.errors import GalleryError
from facerec.gallery.audit_log import record
from facerec.gallery.names import clean_day, clean_name, clean_note
from facerec.gallery.queries import (
    PersonSummary,
    StoredTemplate,
    consent_of,
    crop_of,
    id_of,
    photos_of,
    summaries,
    write_consent,
)
from facerec.gallery.schema import scalar
from facerec.gallery.store import Store
from facerec.types import Image


def people(store: Store) -> list[PersonSummary]:
    """Return everybody, by name."""
    with store.read() as db:
        return summaries(db)


def photos(store: Store, name: str) -> list[StoredTemplate]:
    """Return the photos of one person in the order they were enrolled; UnknownPersonError if there is none."""
    with store.read() as db:
        return photos_of(db, store.person(db, name))


def crops(store: Store, name: str) -> list[Image | None]:
    """Return the crops kept of one person's photos, in the order of `photos`; None where none is kept.

    UnknownPersonError if nobody is called `name`.
    """
    with store.read() as db:
        query = "SELECT id FROM templates WHERE person = ? ORDER BY id"
        return [crop_of(db, number) for (number,) in db.execute(query, (store.person(db, name),)).fetchall()]


def name_of(store: Store, name: str) -> str:
    """Return a person's name as the gallery keeps it: stripped, NFC; UnknownPersonError if nobody has it."""
    with store.read() as db:
        return scalar(db, "SELECT name FROM people WHERE id = ?", store.person(db, name))


def rename(store: Store, old: str, new: str) -> None:
    """Give a person another name; GalleryError if somebody has it, UnknownPersonError if nobody is called `old`."""
    name = clean_name(new)
    with store.write() as db:
        person = store.person(db, old)
        if id_of(db, name) not in {None, person}:
            raise GalleryError(
                f"{store.folder}: '{name}' is enrolled already (`facerec gallery merge` makes one of the two); "
                "choose another name"
            )
        db.execute("UPDATE people SET name = ? WHERE id = ?", (name, person))
        record(db, "renamed", person)


def merge(store: Store, source: str, target: str) -> int:
    """Make one person of two: the photos of `source` become `target`'s; return how many.

    `target`'s consent note stays, or is `source`'s where there is none; of two last days the earlier one counts.
    UnknownPersonError if nobody is called so, GalleryError if both are the same.
    """
    with store.write() as db:
        gone, kept = store.person(db, source), store.person(db, target)
        if gone == kept:
            raise GalleryError(f"{store.folder}: '{source}' and '{target}' are one person already; give two")
        notes, days = zip(consent_of(db, kept), consent_of(db, gone), strict=True)
        count = db.execute("UPDATE templates SET person = ? WHERE person = ?", (kept, gone)).rowcount
        db.execute("DELETE FROM people WHERE id = ?", (gone,))
        write_consent(db, kept, notes[0] or notes[1], min(filter(None, days), default=None))
        record(db, "merged", kept, merged=gone, templates=count)
    return count


def consent(store: Store, name: str) -> tuple[str | None, str | None]:
    """Return the note on what a person agreed to and the last day they may be kept; UnknownPersonError if none."""
    with store.read() as db:
        return consent_of(db, store.person(db, name))


def set_consent(store: Store, name: str, note: str | None = None, until: str | None = None) -> None:
    """Note what a person agreed to, and the last day (UTC, YYYY-MM-DD) they may be kept; "" deletes, None leaves.

    GalleryError for an unfit note or day, UnknownPersonError if nobody is called `name`.
    """
    with store.write() as db:
        person = store.person(db, name)
        old_note, old_day = consent_of(db, person)
        new_note = old_note if note is None else clean_note(note)
        new_day = old_day if until is None else clean_day(until)
        write_consent(db, person, new_note, new_day)
        record(db, "consent set", person)
