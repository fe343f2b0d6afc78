"""A connection to PostgreSQL with the face of `connection.Connection`, and its errors in plain words."""

import functools
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from facerec.errors import DamagedGalleryError, GalleryError
from facerec.gallery.address import ServerAddress
from facerec.gallery.connection import Rows

BUSY_SECONDS = 30.0  # how long to wait for another process that writes
SCHEMA = "facerec"  # where the tables are, unless the address sets another search_path
IS_THERE = "SELECT to_regclass('format') IS NOT NULL"
_OLDEST = 130000  # PostgreSQL 13

_DAMAGED = "damaged; restore the server's database from a backup"
_MEANINGS: dict[str, tuple[type[GalleryError], str]] = {  # keys: the beginning of the SQLSTATE
    "08": (GalleryError, "the server does not answer; try again when it runs"),
    "25006": (GalleryError, "cannot be changed; connect to the server that may be written"),
    "42501": (GalleryError, "this user may not do that; connect as the user who made the gallery"),
    "42": (DamagedGalleryError, "not the tables facerec wrote; restore the server's database from a backup"),
    "53100": (GalleryError, "the server's disk is full; free some space"),
    "53": (GalleryError, "the server has no room left; try again when fewer processes use it"),
    "55P03": (GalleryError, "in use by another process; try again when it is done"),
    "57": (GalleryError, "the server stopped; try again when it runs"),
    "58": (GalleryError, "the server's disk cannot be read or written; check its space and health"),
    "XX": (DamagedGalleryError, _DAMAGED),
}
_REFUSED = {  # why a connection fails
    "28": "the server refuses this user; check the user and the password (PGPASSWORD, or the file .pgpass)",
    "3D": "the server has no such database; make it with createdb",
    "53": "the server takes no more connections; try again later",
    "57": "the server is starting or stopping; try again when it runs",
}


class ServerConnection:
    """A connection that takes the queries of this package. version: the format of the gallery's tables."""

    def __init__(self, db: psycopg.Connection[Any]) -> None:
        """db: in autocommit, with the gallery's schema as its search path."""
        self.db = db
        self.version = 0

    def execute(self, query: str, parameters: Sequence[Any] = (), /) -> Rows:
        """Run one statement. Values and vectors come as they are in memory, not as text."""
        if not parameters:
            return self.db.execute(query.encode(), binary=True)
        return self.db.execute(in_postgresql(query), _named(parameters), binary=True)

    def executemany(self, query: str, parameters: Iterable[Sequence[Any]], /) -> Rows:
        """Run a statement once for each of these parameters."""
        cursor = self.db.cursor()
        cursor.executemany(in_postgresql(query), [_named(each) for each in parameters])
        return cursor


@functools.lru_cache(maxsize=512)
def in_postgresql(query: str) -> bytes:
    """Return a query with psycopg's placeholders for SQLite's: `?` and `?1` are both `%(p1)s`.

    >>> in_postgresql("SELECT ?, name FROM people WHERE name LIKE '%' || ?")
    b"SELECT %(p1)s, name FROM people WHERE name LIKE '%%' || %(p2)s"
    """
    counted = itertools.count(1)

    def place(found: re.Match[str]) -> str:
        return "%%" if found[0] == "%" else f"%(p{found[1] or next(counted)})s"

    return re.sub(r"%|\?(\d*)", place, query).encode()


def _named(parameters: Sequence[Any]) -> dict[str, Any]:
    return {f"p{number}": value for number, value in enumerate(parameters, 1)}


def connect(address: ServerAddress, *, timeout: int = 10) -> ServerConnection:
    """Connect to the server; GalleryError of one line, without the password, if that fails.

    timeout: seconds, unless the address says (`connect_timeout`).
    """
    parts = _parts(address)
    given: dict[str, Any] = {"connect_timeout": timeout, "application_name": "facerec"}
    try:
        db = psycopg.connect(make_conninfo(**(given | parts | {"client_encoding": "utf8"})), autocommit=True)
    except psycopg.Error as error:  # its words may hold a part of the password, if the address is mistyped
        raise GalleryError(f"{address}: {_why(error)}") from None
    with explained(address):
        _set_up(db, "search_path" in str(parts.get("options", "")))
    _require_fit(db, address)
    return ServerConnection(db)


def has_gallery(address: ServerAddress) -> bool:
    """Whether there is a gallery at an address; raises as `connect`."""
    db = connect(address).db
    with db, explained(address):
        return db.execute(IS_THERE.encode()).fetchone() == (True,)


def names_at(address: ServerAddress) -> list[str]:
    """Everybody's name, sorted; raises as `connect`, which waits for a second only."""
    db = connect(address, timeout=1).db
    with db, explained(address):
        return [name for (name,) in db.execute("SELECT name FROM people ORDER BY name")]


def _parts(address: ServerAddress) -> dict[str, Any]:
    try:
        return dict(conninfo_to_dict(address.conninfo))
    except psycopg.ProgrammingError:  # its words quote the address
        how = "write postgresql://user@host/database, and %40 for an @ in a name"
        raise GalleryError(f"{address}: not an address that PostgreSQL understands; {how}") from None


def _why(error: psycopg.Error) -> str:
    state, words = error.sqlstate or "", str(error)
    if not state:  # libpq has no SQLSTATE where the server refused the connection, only the server's words
        known = (
            ('role "', "28"),
            ("does not exist", "3D"),
            ("authentication", "28"),
            ("no password", "28"),
            ("starting up", "57"),
        )
        state = next((start for text, start in known if text in words), "")
    found = next((meaning for start, meaning in _REFUSED.items() if state.startswith(start)), None)
    return found or "no server answers there; check the host and the port, and that PostgreSQL runs"


def _set_up(db: psycopg.Connection[Any], given: bool) -> None:
    """Set what the session needs. given: whether the address sets the search path, whose first schema is then ours."""
    path = db.execute("SELECT current_setting('search_path')").fetchone()
    first = str(path[0]).partition(",")[0].strip().strip('"') if given and path else SCHEMA
    db.execute("SELECT set_config('search_path', quote_ident(%s), false)", (first or SCHEMA,))
    db.execute("SELECT set_config('lock_timeout', %s, false)", (f"{BUSY_SECONDS:.0f}s",))
    db.execute("SET client_min_messages = warning")
    # A commit that returned is on the disk, whatever the server's setting is.
    db.execute(
        "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
    )


def _require_fit(db: psycopg.Connection[Any], address: ServerAddress) -> None:
    """Raise GalleryError unless the server can hold a gallery."""
    if db.info.server_version < _OLDEST:
        raise GalleryError(f"{address}: PostgreSQL {db.info.server_version // 10000} is too old; use 13 or newer")
    if db.info.parameter_status("server_encoding") != "UTF8":
        raise GalleryError(f"{address}: its database cannot hold every name; make one with the encoding UTF8")


@contextmanager
def explained(address: ServerAddress) -> Iterator[None]:
    """Turn psycopg's errors into GalleryErrors about the address."""
    try:
        yield
    except psycopg.Error as error:
        state = error.sqlstate or ("08" if isinstance(error, psycopg.OperationalError) else "")
        matches = (meaning for start, meaning in _MEANINGS.items() if state.startswith(start))
        kind, meaning = next(matches, (GalleryError, "run `facerec gallery check`"))
        words = error.diag.message_primary if error.diag.message_primary else type(error).__name__
        raise kind(f"{address}: {meaning} ({' '.join(words.split())})") from error
