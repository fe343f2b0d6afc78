"""The gallery's audit log: every change, with its time and the person it concerns.

An entry is canonical JSON (keys sorted, no spaces, ASCII): its number, the time (UTC), facerec's version, the action,
the number of the person if it concerns one, and counts. It holds no names of people and no face data. What was done
through a server has the name of the key that asked for it (`by`).

The entries form a chain of hashes. An entry's hash is SHA-256 over the previous entry's hash (64 hex digits; zeros
before the first) and the entry. Rewriting one entry means rewriting all that follow. So compare a hash kept elsewhere:
it shows whether the log up to that entry is unchanged.
"""

import functools
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from facerec.gallery.connection import Connection
from facerec.gallery.schema import scalar, version_of

_TIME = "%Y-%m-%dT%H:%M:%SZ"
START = "0" * 64  # the "previous hash" of the first entry
_BY: ContextVar[str | None] = ContextVar("by", default=None)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry. hash: 64 hex digits.

    person: their number, if the entry concerns one. name: their name, if they are enrolled now. facts: counts and
    other details of the action.
    """

    number: int
    time: str
    facerec: str
    action: str
    person: int | None
    name: str | None
    facts: dict[str, Any]
    hash: str


@contextmanager
def made_by(key: str | None) -> Iterator[None]:
    """Name the key of a server in every entry that this thread records in the block; None: no key was needed."""
    token = _BY.set(key)
    try:
        yield
    finally:
        _BY.reset(token)


def record(db: Connection, action: str, person: int | None = None, **facts: str | int | float) -> int:
    """Add an entry in the same transaction as the change it describes; return the entry's number."""
    number = last_number(db) + 1
    entry = {"number": number, "time": utc_now(), "facerec": facerec_version(), "action": action, **facts}
    if person is not None:
        entry["person"] = person
    if (by := _BY.get()) is not None:
        entry["by"] = by
    text = json.dumps(entry, sort_keys=True, separators=(",", ":"))
    row = (number, text, _hash(head(db), text))
    db.execute("INSERT INTO log (number, entry, hash) VALUES (?, ?, ?)", row)
    return number


def last_number(db: Connection) -> int:
    """The number of the last entry; 0 if there is none."""
    return scalar(db, "SELECT max(number) FROM log") or 0 if version_of(db) > 2 else 0


def last_change(db: Connection) -> tuple[str, int] | None:
    """The time of the last entry and its number; None if there is no entry or its time cannot be read."""
    number = last_number(db)
    time = _loaded(scalar(db, "SELECT entry FROM log WHERE number = ?", number)).get("time") if number else None
    try:
        datetime.strptime(str(time), _TIME)
    except ValueError:
        return None
    return str(time), number


def head(db: Connection) -> str:
    """The hash of the last entry, which covers the whole log."""
    return scalar(db, "SELECT hash FROM log ORDER BY number DESC LIMIT 1") or START if version_of(db) > 2 else START


def entries(db: Connection) -> list[LogEntry]:
    """All entries, oldest first; none in formats 1 and 2, which had no log. `faults` reports unreadable entries."""
    if version_of(db) < 3:
        return []
    names = dict(db.execute("SELECT id, name FROM people"))
    return [
        LogEntry(number, *_parts(text, names), hashed)
        for number, text, hashed in db.execute("SELECT number, entry, hash FROM log ORDER BY number")
    ]


def faults(db: Connection) -> list[str]:
    """Return one line about the first sign that somebody changed the log; an empty list if there is none.

    It also checks that no removed person's number in the log can be given to somebody else. SQLite keeps the last
    number in `sqlite_sequence`, a table without an index, so its integrity check does not see damage there.
    """
    if version_of(db) < 3:
        return []
    previous, expected, highest = START, 1, 0
    for number, text, hashed in db.execute("SELECT number, entry, hash FROM log ORDER BY number"):
        if number != expected:
            return [f"the log: entry {expected} is missing; {_REMEDY}"]
        entry = _loaded(text)
        if hashed != _hash(previous, text) or entry.get("number") != number:
            return [f"the log: entry {number} is not what was written; {_REMEDY}"]
        previous, expected = hashed, number + 1
        person = entry.get("person")
        highest = max(highest, person if isinstance(person, int) else 0)
    written = scalar(db, "SELECT seq FROM sqlite_sequence WHERE name = 'log'") or 0
    if written != expected - 1:
        return [f"the log: it ends at entry {expected - 1} of {written}; {_REMEDY}"]
    last = scalar(db, "SELECT seq FROM sqlite_sequence WHERE name = 'people' AND typeof(seq) = 'integer'") or 0
    if last < highest:
        return [f"the numbers of people: {highest} is in the log and would be given to another person; {_RESTORE}"]
    return []


_REMEDY = "somebody changed it: compare it with a head hash or a log kept elsewhere"
_RESTORE = "`facerec gallery restore --from backup` goes back"


def utc_now() -> str:
    """The present time, ISO 8601 in UTC to the second."""
    return datetime.now(UTC).strftime(_TIME)


def _hash(previous: str, text: Any) -> str:
    return hashlib.sha256(f"{previous}{text}".encode("utf-8", "surrogateescape")).hexdigest()


def _parts(text: Any, names: dict[int, str]) -> tuple[str, str, str, int | None, str | None, dict[str, Any]]:
    entry = _loaded(text)
    person = entry.pop("person", None)
    own = [str(entry.pop(key, "?")) for key in ("time", "facerec", "action")]
    entry.pop("number", None)
    return own[0], own[1], own[2], person, names.get(person) if isinstance(person, int) else None, entry


def _loaded(text: Any) -> dict[str, Any]:
    """Parse an entry; return an empty one if its text is not a JSON object."""
    try:
        entry = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return {}
    return entry if isinstance(entry, dict) else {}


@functools.cache
def facerec_version() -> str:
    from importlib import metadata  # slow to import, and a search writes no entry

    try:
        return metadata.version("facerec")
    except metadata.PackageNotFoundError:  # run from the sources without being installed
        return "unknown"
