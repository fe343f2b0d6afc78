"""Removing people from a gallery, so that no file of its folder holds anything of them any more.

The rows go in one transaction, and with them the search index and every copy; then the database is written anew.
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
    """Forget a person, leaving nothing of them in the folder's files; return how many templates they had.

    Copies are deleted; closing keeps a new one. Where another process or a full disk keeps data in the database, a
    warning is logged, `data_may_remain` says so, and whoever opens the gallery next wipes it. UnknownPersonError if
    nobody is called `name`.
    """
    with store.write() as db:
        count = _forget(store, db, store.person(db, name), "removed")
    wipe(store.database)
    return count


def expired(store: Store, today: str | None = None) -> list[PersonSummary]:
    """Return everybody whose last day is before `today` (YYYY-MM-DD; unless given, now in UTC), by name."""
    with store.read() as db:
        return _past(db, today)


def expire(store: Store, today: str | None = None) -> list[PersonSummary]:
    """Remove everybody who is `expired`, as `remove` does, in one transaction; return who it was."""
    with store.write() as db:
        gone = _past(db, today)
        for person in gone:
            _forget(store, db, store.person(db, person.name), "expired")
    wipe(store.database)
    return gone


def data_may_remain(store: Store) -> bool:
    """Whether data of somebody who was removed may still be in the files."""
    with store.read() as db:
        return bool(pending(db))


def purge(store: Store, db: sqlite3.Connection, entry: int) -> None:
    """Delete every other file that holds what is being removed from the database by this `entry` of the log.

    The files go before the commit: once somebody is removed no copy can bring them back.
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
