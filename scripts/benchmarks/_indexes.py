"""Other indexes, to be compared with facerec's shortlist at equal recall. Each is built and searched the same way."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LISTED = 300  # candidates of an index of codes, which are then compared exactly
LINKS, EFFORT = 32, 100  # of graphs: links of a node, and how many nodes are looked at while building

Rows = NDArray[np.float32]
Find = Callable[[Rows, int], NDArray[np.int64]]  # (N, D) queries, effort -> (N, K) numbers of rows


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of index. build: of (N, D) rows, how they are searched. removes: whether it can take single rows out.

    efforts: what to try for one search, from little to much; the more, the better the recall and the slower.
    """

    build: Callable[[Rows], Find]
    removes: bool
    efforts: tuple[int, ...]


def lists_index(rows: Rows, codes: str) -> Any:
    """Return FAISS's inverted file of (N, D) rows, as codes of a kind."""
    import faiss

    lists = max(min(int(4 * len(rows) ** 0.5), len(rows) // 40), 1)
    index = faiss.index_factory(rows.shape[1], f"IVF{lists},{codes}")
    index.train(rows[np.random.default_rng(0).permutation(len(rows))[: 64 * lists]])
    index.add(rows)
    return index


def graph_index(rows: Rows) -> Any:
    """Return FAISS's graph of (N, D) rows."""
    import faiss

    index = faiss.IndexHNSWFlat(rows.shape[1], LINKS)
    index.hnsw.efConstruction = EFFORT
    index.add(rows)
    return index


def _faiss_lists(codes: str) -> Callable[[Rows], Find]:
    """FAISS's inverted file with so many lists as the square root of the rows, times 4."""

    def build(rows: Rows) -> Find:
        import faiss

        index = lists_index(rows, codes)
        lists = faiss.extract_index_ivf(index).nlist

        def find(queries: Rows, effort: int) -> NDArray[np.int64]:
            faiss.extract_index_ivf(index).nprobe = max(lists * effort // 100, 1)
            return index.search(queries, LISTED)[1]

        return find

    return build


def _faiss_sq8(rows: Rows) -> Find:
    import faiss

    index = faiss.index_factory(rows.shape[1], "SQ8")
    index.train(rows[:32_768])
    index.add(rows)
    return lambda queries, _: index.search(queries, LISTED)[1]


def _faiss_hnsw(rows: Rows) -> Find:
    index = graph_index(rows)

    def find(queries: Rows, effort: int) -> NDArray[np.int64]:
        index.hnsw.efSearch = effort
        return index.search(queries, 1)[1]

    return find


def _hnswlib(rows: Rows) -> Find:
    hnswlib: Any = importlib.import_module("hnswlib")
    index = hnswlib.Index("l2", rows.shape[1])
    index.init_index(len(rows), M=LINKS, ef_construction=EFFORT)
    index.add_items(rows)

    def find(queries: Rows, effort: int) -> NDArray[np.int64]:
        index.set_ef(effort)
        return index.knn_query(queries, 1)[0].astype(np.int64)

    return find


def _usearch(rows: Rows) -> Find:
    usearch: Any = importlib.import_module("usearch.index")
    index = usearch.Index(ndim=rows.shape[1], metric="l2sq", dtype="f32", connectivity=LINKS, expansion_add=EFFORT)
    index.add(np.arange(len(rows)), rows)

    def find(queries: Rows, effort: int) -> NDArray[np.int64]:
        index.expansion_search = effort
        return np.asarray(index.search(queries, 1).keys, np.int64).reshape(len(queries), -1)

    return find


SHARES = (1, 2, 4, 8, 16, 25, 35, 50, 70, 100)  # percent of the lists
NODES = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)

KINDS = {
    "faiss IVF,SQ8": Kind(_faiss_lists("SQ8"), True, SHARES),
    "faiss IVF,RaBitQ": Kind(_faiss_lists("RaBitQ"), True, SHARES),
    "faiss SQ8": Kind(_faiss_sq8, True, (0,)),
    "faiss HNSW": Kind(_faiss_hnsw, False, NODES),
    "hnswlib": Kind(_hnswlib, False, NODES),
    "usearch": Kind(_usearch, True, NODES),
}
