"""An open gallery: its database, of whichever kind, and the queries that many modules need."""

import difflib
import logging
import time
from contextlib import AbstractContextManager
from typing import Self

from facerec.errors import GalleryError, UnknownPersonError
from facerec.gallery import audit_log, leftovers
from facerec.gallery.address import Place
from facerec.gallery.audit_log import LogEntry
from facerec.gallery.backup import keep_copy
from facerec.gallery.connection import AnyDatabase, Connection
from facerec.gallery.layout import people_of
from facerec.gallery.names import require_text
from facerec.gallery.opening import open_database
from facerec.gallery.people_file import PeopleFile
from facerec.gallery.queries import count_rows, id_of
from facerec.gallery.schema import scalar
from facerec.gallery.search_engine import GalleryEngine
from facerec.text import printable, same_form

log = logging.getLogger(__name__)

Who = str | int
"""A person: their name, or their number, which stays theirs when the name changes."""


class Store:
    """An open gallery. Every method raises a GalleryError of one line if the folder or database fails.

    Several threads may use it at once. folder: where the gallery is: its folder, or its address on a server. database:
    its open database. people_file: everybody, ready to be searched. engine: what searches them, if it is not this
    process. lock: while a thread holds it, other threads can neither read nor write.
    """

    def __init__(self, folder: Place, database: AnyDatabase) -> None:
        """Use `Store.open`."""
        self.folder = folder
        self.database = database
        self.people_file = PeopleFile(people_of(database.path))
        self.engine = GalleryEngine(database)
        self.lock = database.lock

    @classmethod
    def open(cls, folder: Place, *, create: bool = False, passphrase: str | None = None) -> Self:
        """Open the gallery in `folder`, or at an address on a server.

        create: make an empty one, readable by its owner only, if there is none. A read-only folder can be searched and
        listed. A removal or restore that a killed process left unfinished is finished. passphrase: of an encrypted
        gallery; see `Database`. GalleryError if there is no gallery, it cannot be opened, a newer facerec wrote it, or
        a new one would stand among photos. DamagedGalleryError if the database is damaged or facerec did not write it.
        """
        began = time.monotonic()
        store = cls(folder, open_database(folder, create=create, passphrase=passphrase))
        leftovers.finish(store.database)
        log.info("gallery %s, opened in %.1f s", printable(str(folder)), time.monotonic() - began)
        return store

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files. First make a copy of the database if it was changed here or has no copy."""
        with self.lock:
            try:
                self.keep_copy()
            finally:
                self.engine.close()
                self.database.close()

    def keep_copy(self) -> None:
        """Make a copy of the database if it was changed here or has no copy. A program that runs on does so at times.

        If the copy cannot be made, a warning is logged; the changes stay.
        """
        with self.lock:
            if self.database.copy_due:
                self.database.copy_due = False
                try:
                    keep_copy(self.database)
                except GalleryError as error:
                    log.warning("no backup was made: %s. The next command that changes the gallery makes one", error)

    def read(self) -> AbstractContextManager[Connection]:
        """See `Database.read`."""
        return self.database.read()

    def glance(self) -> AbstractContextManager[Connection]:
        """See `Database.glance`."""
        return self.database.glance()

    def write(self) -> AbstractContextManager[Connection]:
        """See `Database.write`."""
        return self.database.write()

    def __len__(self) -> int:
        """Return the number of people."""
        with self.read() as db:
            return count_rows(db, "people")

    @property
    def templates(self) -> int:
        """The number of enrolled photos."""
        with self.read() as db:
            return count_rows(db, "templates")

    @property
    def model_name(self) -> str | None:
        """The name of the gallery's model; None while it has none."""
        with self.read() as db:
            return scalar(db, "SELECT model_name FROM gallery")

    def log(self) -> tuple[list[LogEntry], str]:
        """Return the audit log, oldest entry first, and its head hash."""
        with self.read() as db:
            return audit_log.entries(db), audit_log.head(db)

    def person(self, db: Connection, name: Who) -> int:
        """Return a person's number, in the caller's transaction; UnknownPersonError if nobody is called `name`."""
        if isinstance(name, int):
            if scalar(db, "SELECT 1 FROM people WHERE id = ?", name) is None:
                raise UnknownPersonError(f"{self.folder}: nobody with the number {name} is enrolled any more")
            return name
        try:
            person = id_of(db, same_form(require_text(name)).strip())
        except UnicodeEncodeError:  # bytes from a command line that are not UTF-8; every name in a gallery is UTF-8
            person = None
        if person is None:
            known = {row[0].casefold(): row[0] for row in db.execute("SELECT name FROM people")}
            close = [known[match] for match in difflib.get_close_matches(name.casefold(), known)]
            remedy = f"did you mean {' or '.join(close)}?" if close else "`facerec gallery list` shows who is"
            raise UnknownPersonError(f"{self.folder}: nobody called {name!r} is enrolled; {remedy}")
        return person
