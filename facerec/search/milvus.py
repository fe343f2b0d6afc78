"""People in Milvus, an engine for vectors: a server by its address, or Milvus Lite in a folder of its own.

A collection has a record for each person: `key`, `mean` and an empty `stamp`. The record of the key 0 has a mean of
zeros and the stamp (`engine.Stamp`). A server searches by HNSW (Malkov and Yashunin 2020, IEEE TPAMI 42). Milvus Lite,
which is meant for trials, compares with everybody: its HNSW takes hours to build for a million people.

Milvus Lite keeps removed vectors in its files: neither `flush` nor `compact` takes them out (tested with 3.2.2). So a
removal deletes its collection with all files, and the next search makes it again. It runs inside this process, and
listens on a socket in a folder that only this user can open. One process can have its folder open.
"""

import atexit
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from facerec.errors import EngineError
from facerec.extras import require_extra
from facerec.search.engine import NOBODY, EngineChangedError
from facerec.search.keys import Keys
from facerec.text import printable
from facerec.types import Vectors

TOKEN = "MILVUS_TOKEN"
"""The variable that holds a server's token, or `user:password`."""
HNSW = {"index_type": "HNSW", "params": {"M": 32, "efConstruction": 200}}
FLAT = {"index_type": "FLAT", "params": {}}
EFFORT = 512  # people that HNSW looks at in a search, at least
_SECONDS = 30  # a server may take so long for one search or step
_LONG = 3600  # and so long to write everything, or to compact it
_AT_ONCE = 16_384  # keys in one answer or request; a server takes no more
_SEARCHES = 100  # vectors searched at once
_LOCK, _BEFORE_LOCK = "LOCK", {"collections", "databases"}  # what Milvus Lite makes first in its folder
_ERASED_ON_SERVER = (
    "the vector was deleted, flushed and compacted; the server's files keep it until its garbage collection "
    "(`dataCoord.gc.dropTolerance`), its backups longer"
)
_ERASED_IN_FOLDER = (
    "this gallery's collection was deleted, because Milvus Lite keeps removed vectors in its files; the next search "
    "makes it again"
)


class Milvus:
    """A collection of Milvus: an `Engine`. where: the folder or address. most: what a search asks for at most."""

    most = 1_000

    def __init__(self, client: Any, collection: str, where: str, lite: "_Lite | None", kind: dict[str, Any]) -> None:
        """Use `Milvus.open`."""
        self.where = where
        self.erased = f"{where}: {_ERASED_ON_SERVER if lite is None else _ERASED_IN_FOLDER}"
        self._client, self._collection, self._lite, self._kind = client, collection, lite, kind

    @classmethod
    def open(cls, place: str, collection: str, kind: dict[str, Any] | None = None) -> Self:
        """Reach a server by its address, `http://HOST:PORT`, or open Milvus Lite in the folder `place`.

        collection: its name; it need not exist. kind: HNSW or FLAT, if it is made. A server's token comes from the
        variable TOKEN. EngineError if there is no server, or another process has the folder open. MissingExtraError
        without pymilvus.
        """
        require_extra("milvus", "an index in Milvus")
        where = f"milvus:{place}"
        if place.startswith(("http://", "https://")):
            if "@" in place:
                raise EngineError(f"milvus: give a user's name and password in ${TOKEN}, not in the address")
            with _explained(where):
                client = _client(uri=place, token=os.environ.get(TOKEN, ""))
            return cls(client, collection, where, None, kind or HNSW)
        lite = _Lite.of(Path(place), where)
        return cls(lite.client, collection, where, lite, kind or FLAT)

    def close(self) -> None:
        """Let go of the server; close the folder if nobody else in this process uses it."""
        if self._lite is None:
            self._client.close()
        else:
            self._lite.release()

    def stamp(self) -> str | None:
        """See `Engine.stamp`."""
        with _explained(self.where):
            if not self._there():
                return None
            self._client.load_collection(self._collection, timeout=_LONG)
            found = self._client.get(self._collection, [0], output_fields=["stamp"], timeout=_SECONDS)
            return found[0]["stamp"] if found else ""

    def clear(self, dimension: int) -> None:
        """See `Engine.clear`: make the collection anew."""
        from pymilvus import DataType, MilvusClient

        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("key", DataType.INT64, is_primary=True)
        schema.add_field("mean", DataType.FLOAT_VECTOR, dim=dimension)
        schema.add_field("stamp", DataType.VARCHAR, max_length=1000)
        index = MilvusClient.prepare_index_params()
        index.add_index("mean", metric_type="L2", **self._kind)
        with _explained(self.where):
            self._drop()
            self._client.create_collection(
                self._collection, schema=schema, index_params=index, consistency_level="Strong", timeout=_LONG
            )

    def keys(self) -> Keys:
        """See `Engine.keys`."""
        asked = {"filter": "key != 0", "output_fields": ["key"], "timeout": _LONG}
        with _explained(self.where):
            if self._lite is not None:  # which gives all at once
                found = [record["key"] for record in self._client.query(self._collection, **asked)]
            else:
                pages, found = self._client.query_iterator(self._collection, batch_size=_AT_ONCE, **asked), []
                while page := pages.next():
                    found += [record["key"] for record in page]
                pages.close()
        return np.array(found, np.int64).view(np.uint64)

    def put(self, keys: Keys, rows: Vectors) -> None:
        """See `Engine.put`."""
        numbers = keys.view(np.int64).tolist()
        self._put([{"key": key, "mean": row, "stamp": ""} for key, row in zip(numbers, rows, strict=True)])

    def _put(self, records: list[dict[str, Any]]) -> None:
        with _explained(self.where):
            self._client.upsert(self._collection, records, timeout=_LONG)

    def remove(self, keys: Keys) -> None:
        """See `Engine.remove`."""
        numbers = keys.view(np.int64).tolist()
        with _explained(self.where):
            for start in range(0, len(numbers), _AT_ONCE):
                some = numbers[start : start + _AT_ONCE]
                self._client.delete(self._collection, ids=some, timeout=_LONG)

    def settle(self, stamp: str) -> None:
        """See `Engine.settle`."""
        with _explained(self.where):
            dimension = self._dimension()
            self._put([{"key": 0, "mean": np.zeros(dimension, np.float32), "stamp": stamp}])
            self._client.flush(self._collection, timeout=_LONG)

    def _dimension(self) -> int:
        fields = self._client.describe_collection(self._collection, timeout=_SECONDS)["fields"]
        return int(next(field["params"]["dim"] for field in fields if field["name"] == "mean"))

    def nearest(self, vectors: Vectors, count: int) -> Keys:
        """See `Engine.nearest`."""
        found = np.full((len(vectors), count), NOBODY)
        for start in range(0, len(vectors), _SEARCHES):
            for row, hits in enumerate(self._search(vectors[start : start + _SEARCHES], count), start):
                keys = np.array([hit["key"] for hit in hits], np.int64).view(np.uint64)
                found[row, : len(keys)] = keys
        return found

    def _search(self, vectors: Vectors, count: int) -> list[Any]:
        from pymilvus import MilvusException

        effort = {"ef": max(count, EFFORT)} if self._kind["index_type"] == "HNSW" else {}
        asked = {"limit": count, "output_fields": ["key"], "search_params": {"params": effort}}
        with _explained(self.where):
            try:
                return self._client.search(self._collection, list(vectors), timeout=_SECONDS, **asked)
            except MilvusException as error:
                if self._there():
                    raise
                raise EngineChangedError(f"{self.where}: the gallery's collection is gone; try again") from error

    def erase(self, keys: Keys, stamp: str) -> None:
        """See `Engine.erase`. Milvus Lite holds nothing afterwards. A server deletes, flushes and compacts.

        A server's object storage keeps the bytes until its garbage collection (`dataCoord.gc.dropTolerance`).
        """
        if self._lite is not None:
            self.drop()
            return
        with _explained(self.where):
            if self._there():
                self.settle("")
                self.remove(np.setdiff1d(self.keys(), keys))
                self.settle(stamp)
                self._client.compact(self._collection, timeout=_LONG)

    def drop(self) -> None:
        """Delete the collection; of Milvus Lite with all of its files."""
        with _explained(self.where):
            self._drop()

    def _drop(self) -> None:
        from pymilvus import MilvusException

        try:
            self._client.drop_collection(self._collection, timeout=_SECONDS)
        except MilvusException:
            if self._lite is None:
                raise
            self._lite.delete(self._collection)  # it is damaged

    def _there(self) -> bool:
        return self._client.has_collection(self._collection, timeout=_SECONDS)


class _Lite:
    """Milvus Lite, open in a folder of this process. All who use the folder share it; the last one closes it."""

    _open: ClassVar[dict[Path, Self]] = {}
    _lock: ClassVar[threading.RLock] = threading.RLock()

    def __init__(self, folder: Path, where: str) -> None:
        from milvus_lite.adapter.grpc.server import start_server_in_thread
        from milvus_lite.exceptions import DataDirLockedError, MilvusLiteError

        _require_own(folder, where)
        self._users, self._folder = 0, folder
        self._private = tempfile.mkdtemp(prefix="facerec-")  # only this user can open it
        socket = f"{self._private}/milvus"
        try:
            self._server, self._base, _ = start_server_in_thread(str(folder), "unix", socket)  # type: ignore[arg-type]
        except DataDirLockedError as error:
            shutil.rmtree(self._private)
            raise EngineError(f"{where}: another process has it open; wait for it, or use a Milvus server") from error
        except (MilvusLiteError, OSError) as error:
            shutil.rmtree(self._private)
            why = _line(error)
            raise EngineError(f"{where}: cannot be opened ({why}); delete the folder, or name another") from error
        with _explained(where):
            self.client = _client(uri=f"unix:{socket}")

    @classmethod
    def of(cls, folder: Path, where: str) -> Self:
        """Open the folder, or share it."""
        with cls._lock:
            path = folder.resolve()
            if path not in cls._open:
                cls._open[path] = cls(path, where)
                atexit.register(cls._open[path]._close)
            cls._open[path]._users += 1
            return cls._open[path]

    def delete(self, collection: str) -> None:
        """Delete the files of a collection that it cannot open."""
        shutil.rmtree(self._folder / "collections" / collection, ignore_errors=True)

    def release(self) -> None:
        """Close it after the last user."""
        with self._lock:
            self._users -= 1
            if not self._users:
                atexit.unregister(self._close)
                self._close()

    def _close(self) -> None:
        with self._lock:
            del self._open[self._folder]
            self.client.close()
            self._server.stop(grace=0).wait()
            self._base.close()
            shutil.rmtree(self._private, ignore_errors=True)


def _require_own(folder: Path, where: str) -> None:
    """Make the folder if need be. EngineError if that cannot be, or it holds files of somebody else."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        raise EngineError(f"{where}: no folder, and none can be made ({error.strerror}); name another") from error
    others = [name for name in held if name not in _BEFORE_LOCK]
    if others and _LOCK not in held:
        raise EngineError(
            f"{where}: holds {printable(others[0])} and is no folder of Milvus Lite; name one that is new or empty"
        )


def _client(**address: str) -> Any:
    from pymilvus import MilvusClient

    for noisy in ("pymilvus", "grpc", "milvus_lite"):  # they log what they raise, with a traceback
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    return MilvusClient(timeout=_SECONDS, **address)


@contextmanager
def _explained(where: str) -> Iterator[None]:
    """Raise EngineError, of one line, instead of Milvus's own errors."""
    import grpc
    from pymilvus import MilvusException

    try:
        yield
    except (MilvusException, grpc.RpcError) as error:
        raise EngineError(f"{where}: {_line(error)}; see whether Milvus runs, and its log") from error


def _line(error: Exception) -> str:
    """The first line of an error's message."""
    said = getattr(error, "message", "") or str(error)
    return said.strip().splitlines()[0][:200] if said.strip() else type(error).__name__
