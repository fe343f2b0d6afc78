"""The database of a gallery on a PostgreSQL server: opening it, and its transactions.

Writers wait for each other: each locks the log first. So the chain of the log and the numbers of people hold, and what
a writer reads is what it changes. A reader sees one state throughout and waits for nobody.
"""

import hashlib
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from facerec.errors import DamagedGalleryError, GalleryError, PassphraseError
from facerec.files import cache_folder
from facerec.gallery import audit_log
from facerec.gallery.address import ServerAddress
from facerec.gallery.connection import Connection
from facerec.gallery.layout import blocks_of, caches_of, database_of, nothing_at
from facerec.gallery.schema import VERSION, scalar
from facerec.gallery.server_connection import BUSY_SECONDS, IS_THERE, connect, explained
from facerec.gallery.server_schema import SCRIPT, TABLES

_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
# Who may still see rows that were deleted in transaction ?, or before it. A standby's session has no database.
_OLD = "(age(backend_xmin) >= age(?::xid) OR age(backend_xid) >= age(?::xid))"
_READERS = f"""SELECT 1 FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND {_OLD}
    AND coalesce(datname, current_database()) = current_database()
    UNION ALL SELECT 1 FROM pg_replication_slots WHERE age(xmin) >= age(?::xid) LIMIT 1"""


class ServerDatabase:
    """An open gallery on a server; see `connection.AnyDatabase`. A lost connection is made again by the next call.

    Its caches are in a folder of this machine's user, one for each address.
    """

    encrypted = False
    on_server = True
    copy_due = False

    def __init__(self, place: ServerAddress, *, create: bool, passphrase: str | None = None) -> None:
        """Open the gallery at an address. With `create`, make one if there is none.

        GalleryError if there is no gallery, the server does not answer or cannot hold one, or a newer facerec wrote it.
        PassphraseError if a passphrase is given: whoever gives one believes that facerec encrypts the data.
        """
        if passphrase is not None:
            raise PassphraseError(f"{place}: not encrypted by facerec but by the server's disk; leave out `passphrase`")
        self.place = place
        self.passphrase: str | None = None
        self.lock = threading.RLock()
        self.path = database_of(_folder_of(place))
        self._closed = False
        self._db = connect(place)
        try:
            with explained(place):
                self._prepare(create)
        except BaseException:
            self._db.db.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        with self.lock:
            self._closed = True
            self._db.db.close()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Read in one transaction: a consistent view, whatever other processes write meanwhile."""
        with self._transaction(_READ) as db:
            yield db

    glance = read  # a server checks its pages itself

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Write in one transaction: all of it is on the server's disk when the block ends, or none of it."""
        if not self.writable:
            raise GalleryError(
                f"{self.place}: cannot be changed by this user; connect as the user who made the gallery"
            )
        with self._transaction("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE") as db:
            db.execute("LOCK TABLE log IN EXCLUSIVE MODE")
            yield db

    hold = write  # it is the same lock

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Connection]:
        with self.lock, explained(self.place):
            self._begin(begin)
            try:
                yield self._db
            except BaseException:
                with suppress(psycopg.Error):  # the connection may be lost, and the transaction with it
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _begin(self, begin: str) -> None:
        """Begin a transaction, on a new connection if the old one is lost."""
        if self._closed:
            raise GalleryError(f"{self.place}: closed by this program; open the gallery again")
        try:
            self._db.execute(begin)
        except psycopg.OperationalError:
            self._db.db.close()
            self._db = connect(self.place)
            self._prepare(create=False)
            self._db.execute(begin)

    def compact(self) -> bool:
        """Rewrite the tables that hold anything of a person, with their indexes, from their rows.

        Waits while another process reads. Returns False if it still reads after BUSY_SECONDS. GalleryError if this user
        does not own the tables: the server would leave them as they are.
        """
        with self.lock, explained(self.place):
            for table in TABLES:
                owner = "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = CAST(? AS text)::regclass"
                if not scalar(self._db, owner, table):
                    raise GalleryError(f"{self.place}: only the owner of its tables can wipe what was removed")
            if not self._nobody_reads():
                return False
            for table in TABLES:
                self._db.execute(f"VACUUM (FULL) {table}")
        return True

    def _nobody_reads(self) -> bool:
        """Wait until no transaction is left that may see what was removed; the server keeps it for them."""
        now = scalar(self._db, "SELECT pg_current_xact_id()::text")
        deadline = time.monotonic() + BUSY_SECONDS
        while scalar(self._db, _READERS, now, now, now) is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def contents(self) -> Iterator[Iterable[bytes]]:
        """The bytes of every table that holds anything of a person, and of every cache of this machine, in blocks.

        Nobody but the server's administrator can read the server's files.
        """
        yield from map(self._content, TABLES)
        yield from (blocks_of(path) for path in caches_of(self.path) if path.is_file())

    def _content(self, table: str) -> Iterator[bytes]:
        copied = f"COPY {table} TO STDOUT (FORMAT binary)"
        with self.lock, explained(self.place), self._db.db.cursor().copy(copied.encode()) as rows:
            yield from map(bytes, rows)

    def faults(self, db: Connection) -> list[str]:
        """Nothing: a server checks its pages and references itself, and refuses what is wrong."""
        return []

    # ------------------------------------------------------------------------------------------------ opening

    def _prepare(self, create: bool) -> None:
        there = scalar(self._db, IS_THERE)
        if not there and not create:
            raise nothing_at(self.place)
        if not there:
            self._make()
        version = scalar(self._db, "SELECT version FROM format")
        if version > VERSION:
            known = f"(format {version}, this one knows {VERSION})"
            raise GalleryError(f"{self.place}: written by a newer facerec {known}; update facerec")
        self._db.version = version
        may = "SELECT has_table_privilege('log', 'INSERT') AND current_setting('transaction_read_only') = 'off'"
        self.writable = scalar(self._db, may)

    def _make(self) -> None:
        """Make the schema and its tables, unless another process makes them meanwhile."""
        schema = scalar(self._db, "SELECT current_setting('search_path')")
        self._require_vector()
        self._db.execute("BEGIN")
        self._db.execute("SELECT pg_advisory_xact_lock(hashtextextended(?, 0))", (f"facerec {schema}",))
        if not scalar(self._db, IS_THERE):
            self._db.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
            if scalar(self._db, "SELECT 1 FROM pg_class WHERE relnamespace = current_schema()::regnamespace LIMIT 1"):
                raise DamagedGalleryError(f"{self.place}: another program's schema; choose another as `gallery`")
            self._db.db.execute(SCRIPT.encode())
            self._db.execute("INSERT INTO format VALUES (?)", (VERSION,))
            self._db.execute('INSERT INTO removed_key ("only", key) VALUES (1, ?)', (secrets.token_bytes(32),))
            self._db.version = VERSION
            audit_log.record(self._db, "created")
        self._db.execute("COMMIT")

    def _require_vector(self) -> None:
        if scalar(self._db, "SELECT 1 FROM pg_extension WHERE extname = 'vector'") is None:
            try:
                self._db.execute("CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public")
            except psycopg.Error as error:
                how = "install pgvector there, and let its administrator run CREATE EXTENSION vector in this database"
                raise GalleryError(f"{self.place}: the server's database has no extension vector; {how}") from error


def _folder_of(place: ServerAddress) -> Path:
    """The folder of this user's caches of a gallery."""
    return cache_folder("galleries") / hashlib.sha256(str(place).encode()).hexdigest()[:16]
