"""Removing people from a gallery, so that no file in its folder holds any of their data.

One transaction deletes the rows, the search index and every copy. Then the database is rewritten.
"""

import sqlite3
from datetime import UTC, datetime

from facerec.files import unlink
from facerec.gallery.audit_log import record
from facerec.gallery.layout import caches_of, copies_of, drafts_of
from facerec.gallery.leftovers import pending, wipe
from facerec.gallery.queries import PersonSummary, summaries
from facerec.gallery.schema import scalar
from facerec.gallery.store import Store
from facerec.gallery.strangers import forget_strangers


def remove(store: Store, name: str) -> int:
    """Delete a person from all files in the folder; return how many templates they had.

    All copies are deleted; closing the gallery makes a new one. If another process or a full disk prevents the
    rewrite, a warning is logged, `data_may_remain` is true, and whoever opens the gallery next rewrites it.
    UnknownPersonError if nobody is called `name`.
    """
    with store.write() as db:
        count = _forget(store, db, store.person(db, name), "removed")
    wipe(store.database)
    return count


def expired(store: Store, today: str | None = None) -> list[PersonSummary]:
    """Return everybody whose last day is before `today`, sorted by name.

    today: YYYY-MM-DD; the present day in UTC unless given.
    """
    with store.read() as db:
        return _past(db, today)


def expire(store: Store, today: str | None = None) -> list[PersonSummary]:
    """Remove everybody whom `expired` returns, in one transaction and as `remove` does; return them."""
    with store.write() as db:
        gone = _past(db, today)
        for person in gone:
            _forget(store, db, store.person(db, person.name), "expired")
    wipe(store.database)
    return gone


def data_may_remain(store: Store) -> bool:
    """Whether data of removed people may still be in the files."""
    with store.read() as db:
        return bool(pending(db))


def purge(store: Store, db: sqlite3.Connection, entry: int) -> None:
    """Delete every file beside the database that may hold the data being removed. entry: the removal's log number.

    The files are deleted before the commit, so that no copy can bring back somebody whose removal is committed.
    """
    db.execute("UPDATE traces SET removal = ?", (entry,))
    path = store.database.path
    unlink([*caches_of(path), *drafts_of(path), *copies_of(path)])


def _forget(store: Store, db: sqlite3.Connection, person: int, action: str) -> int:
    count = scalar(db, "SELECT count(*) FROM templates WHERE person = ?", person)
    if (strangers := forget_strangers(db, person)) is not None:
        record(db, "strangers set", strangers=strangers)
    db.execute("DELETE FROM people WHERE id = ?", (person,))
    purge(store, db, record(db, action, person, templates=count))
    return count


def _past(db: sqlite3.Connection, today: str | None) -> list[PersonSummary]:
    day = datetime.now(UTC).date().isoformat() if today is None else today
    return [person for person in summaries(db) if person.until is not None and person.until < day]
