"""Photos of removed people, remembered so that they are not enrolled again unasked.

Of a photo the gallery keeps a mark and the day: HMAC-SHA-256 of the photo's hash, with a random key that is made with
the gallery and never leaves it. A mark holds nothing of a face and no name. Whoever has both the gallery and the photo
can tell that it was removed; nobody can tell from the mark what the photo is.

A photo that was taken out of one person may be somebody else's. So its marks are of the hash together with that
person's number, which stays when they are renamed, and together with each way of writing their name (`text.written`):
another spelling is held back, too, but not another name of the same letters. Older galleries have one mark of the
name's letters (`text.name_key`) beside that of the number. It still counts, but not for another name of these letters
if the person with that number is enrolled, so that their name is known.
"""

import hmac
from collections.abc import Iterable

from facerec.gallery.audit_log import utc_now
from facerec.gallery.connection import Connection
from facerec.gallery.schema import scalar, version_of
from facerec.text import name_key, same_name, written


def note_removed(db: Connection, photo_hashes: Iterable[str]) -> None:
    """Remember, in the caller's transaction, that these photos were removed today. photo_hashes: SHA-256, in hex."""
    day = utc_now()[:10]
    query = "INSERT INTO removed (mark, day) VALUES (?, ?) ON CONFLICT (mark) DO UPDATE SET day = excluded.day"
    db.executemany(query, [(_mark(db, each), day) for each in photo_hashes])


def was_removed(db: Connection, photo_hash: str) -> str | None:
    """Return the day (UTC, YYYY-MM-DD) a photo was removed; None if it was not, or the gallery's format is older."""
    if version_of(db) < 7:
        return None
    return scalar(db, "SELECT day FROM removed WHERE mark = ?", _mark(db, photo_hash))


def forget_removed(db: Connection, photo_hashes: Iterable[str]) -> None:
    """Forget, in the caller's transaction, that these photos were removed."""
    db.executemany("DELETE FROM removed WHERE mark = ?", [(_mark(db, each),) for each in photo_hashes])


def _mark(db: Connection, photo_hash: str) -> bytes:
    return hmac.digest(scalar(db, "SELECT key FROM removed_key"), photo_hash.encode(), "sha256")


def note_photo_removed(db: Connection, photo_hash: str, person: int, name: str) -> None:
    """Remember that a photo was taken out of this person alone."""
    note_removed(db, _as_theirs(photo_hash, person, name))


def removed_for(db: Connection, photo_hash: str, name: str) -> str | None:
    """Return the day a photo was removed, with its person or from `name`; None if it may be enrolled under `name`."""
    marks = (photo_hash, *_as_theirs(photo_hash, _number_of(db, name), name))
    found = next(filter(None, (was_removed(db, mark) for mark in marks)), None)
    if found is None and (day := was_removed(db, _once_theirs(photo_hash, name))):
        found = None if _was_of_another(db, photo_hash, name) else day
    return found


def forget_removed_for(db: Connection, photo_hash: str, person: int, name: str) -> None:
    """Forget what `removed_for` returns: the photo is enrolled under `name` again."""
    forget_removed(db, (photo_hash, *_as_theirs(photo_hash, person, name), _once_theirs(photo_hash, name)))


def _as_theirs(photo_hash: str, person: int, name: str) -> list[str]:
    return [f"{photo_hash} #{person}", *(f"{photo_hash} = {each}" for each in written(name))]


def _once_theirs(photo_hash: str, name: str) -> str:
    """What older versions marked in place of each way of writing the name."""
    return f"{photo_hash} {name_key(name)}"


def _was_of_another(db: Connection, photo_hash: str, name: str) -> bool:
    """Whether the photo was taken out of somebody enrolled whose name has the letters of `name` in another order."""
    key = name_key(name)
    alike = [(number, each) for number, each in db.execute("SELECT id, name FROM people") if name_key(each) == key]
    theirs = [each for number, each in alike if was_removed(db, f"{photo_hash} #{number}")]
    return bool(theirs) and not any(same_name(each, name) for each in theirs)


def _number_of(db: Connection, name: str) -> int:
    """Return a person's number; 0, which nobody has, if they are not enrolled."""
    return scalar(db, "SELECT id FROM people WHERE name = ?", name) or 0
