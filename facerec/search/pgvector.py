"""People in PostgreSQL with the extension pgvector, an engine for vectors where a server is there anyway.

A table has a row for each person: `key` and `mean`; its comment is the stamp (`engine.Stamp`). It is searched by HNSW
(Malkov and Yashunin 2020, IEEE TPAMI 42). pgvector's other kind, IVFFlat, misses far more faces, which hardly cluster.

A removal copies what stays to a new table and drops the old one. VACUUM FULL would keep rows as long as any transaction
that began earlier is open, such as the gallery's own. The next search makes the graph anew.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString, Self

import numpy as np

from facerec.errors import EngineError
from facerec.extras import require_extra
from facerec.search.engine import NOBODY, EngineChangedError
from facerec.search.keys import Keys
from facerec.types import Vectors

EFFORT = 512
"""People that HNSW looks at in a search, at least."""
_GRAPH: LiteralString = """CREATE INDEX IF NOT EXISTS {index} ON {table}
    USING hnsw (mean public.vector_l2_ops) WITH (m = 32, ef_construction = 200)"""
_MEMORY = "1GB"  # for making the graph; it takes much longer if it does not fit


class Pgvector:
    """A table of a PostgreSQL database: an `Engine`. most: what pgvector's HNSW looks at, at most."""

    most = 1_000
    erased = (
        "pgvector: the rows that stay were copied, and the table with the vector and its index was dropped; the "
        "server's write-ahead log keeps the vector until it is recycled, replicas and backups longer"
    )

    def __init__(self, db: Any, table: str, where: str) -> None:
        """Use `Pgvector.open`."""
        from psycopg.sql import Identifier

        self.where = where
        self._db, self._name = db, table
        self._table, self._draft, self._index = (Identifier(f"{table}{end}") for end in ("", "_draft", "_hnsw"))

    @classmethod
    def open(cls, address: str, table: str, where: str = "pgvector") -> Self:
        """Connect to the database at `address`, as libpq reads it. Its first schema has the table, if there is one.

        where: what messages call it, without a password. EngineError if it cannot be reached or has no pgvector.
        MissingExtraError without psycopg.
        """
        require_extra("postgres", "an index in pgvector")
        import psycopg
        from pgvector.psycopg import register_vector

        with _explained(where):
            db = psycopg.connect(address, autocommit=True, connect_timeout=10)
            db.execute("SET client_min_messages = warning")
            db.execute("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public")
            register_vector(db)
        return cls(db, table, where)

    def close(self) -> None:
        """Let go of the connection."""
        self._db.close()

    def stamp(self) -> str | None:
        """See `Engine.stamp`."""
        found = self._rows("SELECT obj_description(c, 'pg_class') FROM to_regclass(%s) AS c WHERE c IS NOT NULL")
        return (found[0][0] or "") if found else None

    def clear(self, dimension: int) -> None:
        """See `Engine.clear`: make the table anew."""
        self.drop()
        kind = f"public.vector({int(dimension)})"
        self._run("CREATE TABLE {table} (key bigint PRIMARY KEY, mean " + kind + " NOT NULL)")  # type: ignore[arg-type]

    def keys(self) -> Keys:
        """See `Engine.keys`."""
        with _explained(self.where):
            found = self._db.execute(self._said("SELECT key FROM {table}"), binary=True).fetchall()
        return np.array([key for (key,) in found], np.int64).view(np.uint64)

    def put(self, keys: Keys, rows: Vectors) -> None:
        """See `Engine.put`."""
        query = self._said("INSERT INTO {table} VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET mean = excluded.mean")
        with _explained(self.where), self._db.cursor() as cursor, self._db.transaction():
            cursor.executemany(query, list(zip(keys.view(np.int64).tolist(), rows, strict=True)))

    def remove(self, keys: Keys) -> None:
        """See `Engine.remove`."""
        self._run("DELETE FROM {table} WHERE key = ANY(%s)", keys.view(np.int64).tolist())

    def settle(self, stamp: str) -> None:
        """See `Engine.settle`. The graph is made when all rows are there, which takes less time."""
        from psycopg.sql import Literal

        with _explained(self.where), self._db.transaction():
            if stamp:
                self._db.execute(f"SET LOCAL maintenance_work_mem = '{_MEMORY}'")
                self._db.execute(self._said(_GRAPH))
            self._db.execute(self._said("COMMENT ON TABLE {table} IS {stamp}", stamp=Literal(stamp)))

    def nearest(self, vectors: Vectors, count: int) -> Keys:
        """See `Engine.nearest`."""
        from psycopg.errors import UndefinedTable

        query = self._said("SELECT key FROM {table} ORDER BY mean OPERATOR(public.<->) %s LIMIT %s")
        found = np.full((len(vectors), count), NOBODY)
        with _explained(self.where):
            try:
                self._db.execute(f"SET hnsw.ef_search = {min(max(count, EFFORT), self.most)}")
                for number, vector in enumerate(vectors):
                    keys = [key for (key,) in self._db.execute(query, (vector, count), binary=True).fetchall()]
                    found[number, : len(keys)] = np.array(keys, np.int64).view(np.uint64)
            except UndefinedTable as error:
                raise EngineChangedError(f"{self.where}: the gallery's table is gone; try again") from error
        return found

    def erase(self, keys: Keys, stamp: str) -> None:
        """See `Engine.erase`. What stays has no stamp, so the next search makes the graph, after it compared keys."""
        if self.stamp() is None:
            return
        with _explained(self.where), self._db.transaction():
            self._run("CREATE TABLE {draft} (LIKE {table} INCLUDING DEFAULTS)")
            kept = keys.view(np.int64).tolist()
            self._run("INSERT INTO {draft} SELECT * FROM {table} WHERE key = ANY(%s)", kept)
            self._run("DROP TABLE {table}")
            self._run("ALTER TABLE {draft} RENAME TO {name}")
            self._run("ALTER TABLE {table} ADD PRIMARY KEY (key)")

    def drop(self) -> None:
        """See `Engine.drop`."""
        self._run("DROP TABLE IF EXISTS {table}")

    def _run(self, query: LiteralString, *values: Any) -> None:
        with _explained(self.where):
            self._db.execute(self._said(query), values or None)

    def _rows(self, query: LiteralString) -> list[Any]:
        """Ask about the table by its name."""
        with _explained(self.where):
            return self._db.execute(query, (self._name,)).fetchall()

    def _said(self, query: LiteralString, **values: Any) -> Any:
        from psycopg.sql import SQL

        names = {"table": self._table, "name": self._table, "draft": self._draft, "index": self._index}
        return SQL(query).format(**names, **values)


@contextmanager
def _explained(where: str) -> Iterator[None]:
    """Raise EngineError, of one line and without what the address holds, instead of psycopg's errors."""
    import psycopg

    try:
        yield
    except psycopg.OperationalError as error:  # its words may hold the address
        raise EngineError(f"{where}: the server cannot be reached, or it stopped; try again when it runs") from error
    except psycopg.Error as error:
        said = (error.diag.message_primary or type(error).__name__).split("\n")[0]
        raise EngineError(f"{where}: {said}; see whether the server has pgvector 0.8, and its log") from error
