"""Photos of removed people, remembered so that they are not enrolled again unasked.

Of a photo the gallery keeps a mark and the day: HMAC-SHA-256 of the photo's hash, with a random key that is made with
the gallery and never leaves it. A mark holds nothing of a face and no name. Whoever has both the gallery and the photo
can tell that it was removed; nobody can tell from the mark what the photo is.
"""

import hmac
import sqlite3
from collections.abc import Iterable

from facerec.gallery.audit_log import utc_now
from facerec.gallery.schema import scalar, version_of


def note_removed(db: sqlite3.Connection, photo_hashes: Iterable[str]) -> None:
    """Remember, in the caller's transaction, that these photos were removed today. photo_hashes: SHA-256, in hex."""
    day = utc_now()[:10]
    db.executemany("REPLACE INTO removed (mark, day) VALUES (?, ?)", [(_mark(db, each), day) for each in photo_hashes])


def was_removed(db: sqlite3.Connection, photo_hash: str) -> str | None:
    """Return the day (UTC, YYYY-MM-DD) a photo was removed; None if it was not, or the gallery's format is older."""
    if version_of(db) < 7:
        return None
    return scalar(db, "SELECT day FROM removed WHERE mark = ?", _mark(db, photo_hash))


def forget_removed(db: sqlite3.Connection, photo_hashes: Iterable[str]) -> None:
    """Forget, in the caller's transaction, that these photos were removed."""
    db.executemany("DELETE FROM removed WHERE mark = ?", [(_mark(db, each),) for each in photo_hashes])


def _mark(db: sqlite3.Connection, photo_hash: str) -> bytes:
    return hmac.digest(scalar(db, "SELECT key FROM removed_key"), photo_hash.encode(), "sha256")
