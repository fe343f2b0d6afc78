"""Removing people, or single photos of theirs, from a gallery, so that no file in its folder holds any of their data.

One transaction deletes the rows and every copy, and overwrites what the caches hold. Then the database is rewritten.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from facerec.files import unlink
from facerec.gallery.audit_log import record
from facerec.gallery.codes_cache import wipe_codes
from facerec.gallery.connection import Connection
from facerec.gallery.layout import caches_of, codes_of, copies_of, drafts_of, people_of
from facerec.gallery.leftovers import note_removal, pending, wipe
from facerec.gallery.queries import (
    PersonSummary,
    StoredTemplate,
    generation_of,
    owners_by_number,
    photos_of,
    summaries,
)
from facerec.gallery.removed import note_photo_removed, note_removed
from facerec.gallery.schema import scalar, version_of
from facerec.gallery.store import Store, Who
from facerec.gallery.strangers import forget_strangers
from facerec.gallery.unknown_rows import delete_unknown, past, resembling
from facerec.gallery.which_photo import which_photo
from facerec.photos.memory import AnyPhoto


@dataclass(frozen=True, slots=True)
class Removal:
    """What a removal takes out: the photos of one person. whole: whether the person goes with them.

    vetoes: how many vetoed faces go, too: those in the photos and, if `whole`, those of the person. unknown: how many
    unknown faces go, too: those of the same photos and, if `whole`, those that resemble the person. index: what was
    done in the engine that searches the gallery, and what stays there; "" without one.
    """

    person: str
    photos: tuple[StoredTemplate, ...]
    whole: bool
    vetoes: int
    unknown: int
    index: str = ""


def plan_removal(store: Store, name: Who, photo: AnyPhoto | int | None = None) -> Removal:
    """Return what `remove` would take out; change nothing."""
    with store.read() as db:
        return _planned(store, db, name, photo)


def remove(store: Store, name: Who, photo: AnyPhoto | int | None = None) -> Removal:
    """Delete a person, or one photo of theirs, from all files in the folder; return what was taken out.

    photo: the photo itself, or its number; or a path, if its file is gone or has changed: the one it was enrolled
    from, or the beginning of its hash. The person goes with the last of their photos.

    All copies are deleted; closing the gallery makes a new one. If another process or a full disk prevents the rewrite,
    a warning is logged, `data_may_remain` is true, and whoever opens the gallery next rewrites it.
    UnknownPersonError if nobody is called `name`; GalleryError if no photo of theirs is meant, or more than one.
    """
    with store.write() as db:
        removal, before = _planned(store, db, name, photo), generation_of(db)
        if photo is None:
            note_removed(db, [each.photo_hash for each in removal.photos])
        else:  # the photo may be somebody else's
            note_photo_removed(db, removal.photos[0].photo_hash, store.person(db, removal.person), removal.person)
        said = purge(store, db, _forget(store, db, removal, "removed"), before)
    wipe(store.database)
    return replace(removal, index=said)


def expired(store: Store, today: str | None = None) -> list[PersonSummary]:
    """Return everybody whose last day is before `today`, sorted by name.

    today: YYYY-MM-DD; the present day in UTC unless given.
    """
    with store.read() as db:
        return _past(db, today)


def unknown_past(store: Store, today: str | None = None) -> int:
    """Return how many unknown faces are kept whose last day is before `today`, as for `expired`."""
    with store.read() as db:
        return len(past(db, _day(today)))


def expire(store: Store, today: str | None = None) -> list[PersonSummary]:
    """Remove everybody whom `expired` returns, in one transaction and as `remove` does; return them.

    The unknown faces that `unknown_past` counts are forgotten with them.
    """
    with store.write() as db:
        gone, before, entry = _past(db, today), generation_of(db), 0
        if forgotten := delete_unknown(db, past(db, _day(today))):
            entry = record(db, "unknown faces expired", faces=forgotten)
        for person in gone:
            removal = _planned(store, db, person.name, None)
            note_removed(db, [photo.photo_hash for photo in removal.photos])
            entry = _forget(store, db, removal, "expired")
        if entry:
            purge(store, db, entry, before)
    wipe(store.database)
    return gone


def data_may_remain(store: Store) -> bool:
    """Whether data of removed people may still be in the files."""
    with store.read() as db:
        return bool(pending(db))


def purge(store: Store, db: Connection, entry: int, before: str = "") -> str:
    """Wipe whatever is being removed from every file beside the database. entry: the removal's number in the log.

    before: the generation with the templates that were deleted, if any were. The copies are deleted; in the files of
    people and codes, only what belongs to those who go is overwritten. It is done before the commit, so that nothing
    can bring back somebody whose removal is committed. Returns what `GalleryEngine.erase` does.
    """
    db.execute("UPDATE traces SET removal = ?", (entry,))
    path, after = store.database.path, generation_of(db)
    changed_in_place = (people_of(path), codes_of(path))
    unlink([*(file for file in caches_of(path) if file not in changed_in_place), *drafts_of(path), *copies_of(path)])
    ids, persons = owners_by_number(db)
    store.people_file.forget(before or after, after, ids)
    wipe_codes(path, ids, persons)
    note_removal(store.database, db)
    return store.engine.erase(db, ids, persons)


def _planned(store: Store, db: Connection, name: Who, photo: AnyPhoto | int | None) -> Removal:
    person = store.person(db, name)
    own = photos_of(db, person)
    chosen = own if photo is None else [which_photo(db, person, photo)]
    whole, called = len(chosen) == len(own), scalar(db, "SELECT name FROM people WHERE id = ?", person)
    unknown = len(resembling(db, [each.photo_hash for each in chosen], whole))
    return Removal(called, tuple(chosen), whole, _vetoes(db, person if whole else 0, chosen), unknown)


def _vetoes(db: Connection, person: int, photos: Iterable[StoredTemplate]) -> int:
    """Count the vetoes that go with a person (0: nobody) and with photos."""
    query = "SELECT id FROM vetoes WHERE person = ? OR photo_hash = ?"
    rows = [db.execute(query, (person, photo.photo_hash)) for photo in photos] if version_of(db) > 6 else []
    return len({number for found in rows for (number,) in found})


def _forget(store: Store, db: Connection, removal: Removal, action: str) -> int:
    """Delete the rows; return the number of the removal in the log. action: what the log calls it."""
    person, hashes = store.person(db, removal.person), [photo.photo_hash for photo in removal.photos]
    if (strangers := forget_strangers(db, store.folder, hashes)) is not None:
        record(db, "strangers set", strangers=strangers)
    if unknown := delete_unknown(db, resembling(db, hashes, removal.whole)):
        record(db, "unknown faces forgotten", faces=unknown)
    if removal.whole:
        db.execute("DELETE FROM people WHERE id = ?", (person,))
    else:
        db.executemany("DELETE FROM templates WHERE photo_hash = ?", [(digest,) for digest in hashes])
        action = f"photo {action}"
    return record(db, action, person, templates=len(hashes))


def _past(db: Connection, today: str | None) -> list[PersonSummary]:
    day = _day(today)
    return [person for person in summaries(db) if person.until is not None and person.until < day]


def _day(today: str | None) -> str:
    return datetime.now(UTC).date().isoformat() if today is None else today
