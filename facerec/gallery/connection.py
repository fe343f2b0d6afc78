"""What the rest of the package asks of a gallery's database, whichever kind it is.

There are two kinds: `database.Database`, an SQLite file, and `server_database.ServerDatabase`, on PostgreSQL. All
queries are written in the SQL that both speak, with SQLite's placeholders (`?`, `?1`).
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from facerec.gallery.address import Place


class Rows(Protocol):
    """What a query found. rowcount: how many rows it changed."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """A connection in a transaction."""

    @property
    def version(self) -> int:
        """The format of the tables; 0 if there are none."""
        ...

    def execute(self, query: str, parameters: Sequence[Any] = (), /) -> Rows:
        """Run one statement."""
        ...

    def executemany(self, query: str, parameters: Iterable[Sequence[Any]], /) -> Rows:
        """Run a statement once for each of these parameters."""
        ...


class AnyDatabase(Protocol):
    """An open database. Every error is raised as a GalleryError of one line.

    Several threads may use it at once; a transaction holds the `lock`. place: where the gallery is. path: the caches
    lie beside it; that of an SQLite file is the file itself. encrypted: whether every file is, and there are no caches.
    on_server: whether the database is no file of this machine, so that others may change it without its caches.
    copy_due: whether a new copy should be kept.
    """

    path: Path
    passphrase: str | None
    lock: threading.RLock
    encrypted: bool
    on_server: bool
    copy_due: bool

    @property
    def place(self) -> Place: ...

    @property
    def writable(self) -> bool:
        """Whether this process may change the database."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...

    def read(self) -> AbstractContextManager[Connection]:
        """Read in one transaction: a consistent view, whatever other processes write meanwhile."""
        ...

    def glance(self) -> AbstractContextManager[Connection]:
        """As `read`, for the tables `schema.SMALL` only: the others may not have been checked for damage yet."""
        ...

    def write(self) -> AbstractContextManager[Connection]:
        """Write in one transaction: all of it is on disk when the block ends, none of it if the block raises."""
        ...

    def hold(self) -> AbstractContextManager[Connection]:
        """Hold the lock of `write`, to change files beside `path`; read as in `glance`."""
        ...

    def compact(self) -> bool:
        """Rewrite the database from its rows, so that it holds no removed data.

        Waits while another process reads. Returns False if it still reads after some time.
        """
        ...

    def contents(self) -> Iterator[Iterable[bytes]]:
        """The bytes of all that is kept, file by file or table by table, each in blocks, to look for what must go."""
        ...

    def faults(self, db: Connection) -> list[str]:
        """What is wrong with the database's own structure, one line each."""
        ...
