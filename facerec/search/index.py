"""Nearest-neighbour search over unit vectors: the `Index` protocol, and an exact index by FAISS.

Distances are d = |a - b|^2 = 2 - 2 cos, FAISS's squared L2. They are float32, so correct to about 2e-6.
"""

from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from facerec.errors import GalleryError
from facerec.search.cache_file import read_cache, write_cache
from facerec.types import Vectors

Ids = NDArray[np.int64]
MAGIC = "facerec-index-1"


class Index(Protocol):
    """A searchable set of vectors, each under an id that the caller chooses."""

    @property
    def dimension(self) -> int:
        """D, the length of a vector."""
        ...

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Store (N, D) float32 rows under N new int64 ids >= 0; GalleryError for another D or an id already stored."""
        ...

    def remove(self, ids: Ids) -> None:
        """Delete the vectors of these ids; an id that is not stored is ignored."""
        ...

    def search(self, vectors: Vectors, k: int) -> tuple[NDArray[np.float32], Ids]:
        """Return distances and ids, both (N, k), of the k >= 1 nearest to each of (N, D) rows.

        They are sorted by distance, then id. If fewer than k are stored, the rows end in distance inf and id -1.
        GalleryError for another D.
        """
        ...

    def vectors(self, ids: Ids) -> Vectors:
        """Return the (N, D) float32 rows of N stored ids."""
        ...

    def save(self, path: Path, stamp: str) -> None:
        """Write the index to one file, all or nothing. stamp: what the index was made from, without spaces.

        Only one process may write at a time: the draft beside `path` has a fixed name, so that killed processes leave
        at most one. GalleryError if the file cannot be written.
        """
        ...

    def __len__(self) -> int:
        """Return the number of vectors."""
        ...


def _faiss() -> Any:
    import faiss  # imported on use: other commands would spend half of their start-up time on it

    return faiss


class FlatIndex:
    """Exact search: it compares with every vector (FAISS `IndexFlatL2`)."""

    def __init__(self, dimension: int) -> None:
        """Make an empty index for vectors of `dimension` numbers."""
        faiss = _faiss()
        self._index = faiss.IndexIDMap2(faiss.IndexFlatL2(dimension))

    def __len__(self) -> int:
        return self._index.ntotal

    @property
    def dimension(self) -> int:
        """See `Index.dimension`."""
        return self._index.d

    @property
    def ids(self) -> Ids:
        """All ids, (N,) int64, ascending."""
        return np.sort(_faiss().vector_to_array(self._index.id_map))

    def vectors(self, ids: Ids) -> Vectors:
        """See `Index.vectors`."""
        return self._index.reconstruct_batch(np.ascontiguousarray(ids, np.int64))

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """See `Index.add`."""
        if np.unique(ids).size < len(ids) or np.isin(ids, self.ids).any():
            raise GalleryError("the index already holds a vector of that id; run `facerec gallery rebuild`")
        self._index.add_with_ids(self._rows(vectors), np.ascontiguousarray(ids, np.int64))

    def remove(self, ids: Ids) -> None:
        """See `Index.remove`."""
        self._index.remove_ids(np.ascontiguousarray(ids, np.int64))

    def search(self, vectors: Vectors, k: int) -> tuple[NDArray[np.float32], Ids]:
        """See `Index.search`."""
        return in_order(*self._index.search(self._rows(vectors), k))

    def save(self, path: Path, stamp: str) -> None:
        """See `Index.save`. The content is FAISS's own format, in a cache file (`write_cache`)."""
        write_cache(path, f"{MAGIC} {stamp}", _faiss().serialize_index(self._index).tobytes())

    @classmethod
    def load(cls, path: Path, stamp: str) -> Self | None:
        """Read an index that `save` wrote; None if it is missing, unreadable, damaged or has another stamp."""
        # The checksum is verified first: FAISS may crash on bytes it did not write, or accept them.
        if (payload := read_cache(path, f"{MAGIC} {stamp}")) is None:
            return None
        index = cls.__new__(cls)
        index._index = _faiss().deserialize_index(np.frombuffer(payload, np.uint8))
        return index

    def _rows(self, vectors: Vectors) -> Vectors:
        if vectors.ndim != 2 or vectors.shape[1] != self.dimension:
            raise GalleryError(
                f"vectors of shape {vectors.shape} do not fit an index of {self.dimension} numbers per row; "
                "use the model the gallery was made with"
            )
        return np.ascontiguousarray(vectors, np.float32)


def nearest_rows(vectors: Vectors, rows: Vectors, k: int) -> tuple[NDArray[np.float32], Ids]:
    """Return distances and row numbers, both (N, k), of the k >= 1 of (R, D) rows nearest to each of (N, D) vectors.

    They are sorted by distance, then row number. If R is less than k, they end in distance inf and number -1.
    """
    if not len(rows) or not len(vectors):
        shape = (len(vectors), k)
        return np.full(shape, np.inf, np.float32), np.full(shape, -1, np.int64)
    return in_order(*_faiss().knn(np.ascontiguousarray(vectors, np.float32), rows, k))


def in_order(distances: NDArray[np.float32], ids: Ids) -> tuple[NDArray[np.float32], Ids]:
    distances = np.where(ids < 0, np.float32(np.inf), np.maximum(distances, 0))  # rounding may give less than 0
    order = np.lexsort((ids, distances), axis=-1)
    return np.take_along_axis(distances, order, axis=-1), np.take_along_axis(ids, order, axis=-1)
