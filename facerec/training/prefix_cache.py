"""The output of frozen stages, computed once and kept on disk.

While the first stages of a run are frozen, their output for a view of a photo is the same in every epoch. A store's
key covers everything that decides its numbers: the stages' weights, how the views are made, the precision, and the
content of the files. The stores lie in `cache_folder`. Together they stay below
`cache_gb`: stores that were unused for longest are deleted first, and rows without room are computed every time. Each
of several processes has a store of its own.
"""

import contextlib
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facerec.datasets.augmentation import VIEWS_VERSION
from facerec.files import cache_folder, write_bytes, write_json
from facerec.models.network import Network
from facerec.training.distributed import process_number
from facerec.training.run_folder import lock_file

log = logging.getLogger(__name__)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}  # of what a stage gives

FILES = {"done", "lock", "rows", "rows.json"}  # of a store

Slots = NDArray[np.int64]  # (B,) places in a store


def store_key(network: Network, count: int, hashes: Sequence[str], *facts: Any) -> str:
    """The key of the first `count` stages' output for photos of these content hashes; facts: what else decides it."""
    pooled = count == len(network.stages)
    what = (network.backbone, count, pooled, process_number(), VIEWS_VERSION, torch.__version__, *facts)
    digest = hashlib.sha256(repr(what).encode())
    digest.update("".join(hashes).encode())
    for part in (network.mean, network.std, *(t for s in network.stages[:count] for t in s.state_dict().values())):
        digest.update(part.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:24]


class RowStore:
    """Rows of one shape and type in a memory-mapped file, and which of them are there."""

    def __init__(self, key: str, slots: int, budget_gb: float) -> None:
        """slots: the largest number of rows. Nothing is kept without room, or while another process uses the store."""
        self._folder = cache_folder("prefixes") / key
        self._slots, self._budget = slots, int(budget_gb * 1e9)
        self._rows: NDArray[np.uint8] | None = None  # (capacity, bytes of a row)
        self._done = np.zeros(slots, np.bool_)
        self._shape: tuple[int, ...] = ()
        self._dtype = torch.float32
        self._lock = None
        self._opened = False
        known = _read_facts(self._folder / "rows.json")
        if known is not None:
            self._open(*known)

    def has(self, slots: Slots) -> NDArray[np.bool_]:
        """(B,) whether each row is kept."""
        return self._done[slots]

    def lacks(self, slots: Slots) -> NDArray[np.bool_]:
        """(B,) whether each row is not kept though there is room for it."""
        return ~self._done[slots] & (slots < (0 if self._rows is None else len(self._rows)))

    def get(self, slots: Slots) -> Tensor:
        """(B, *shape) rows, all of which must be kept."""
        assert self._rows is not None, "nothing is kept yet"
        return torch.from_numpy(self._rows[slots]).view(self._dtype).view(len(slots), *self._shape)

    def put(self, slots: Slots, rows: Tensor) -> None:
        """Keep (B, *shape) rows as far as there is room."""
        if not self._opened:
            self._open(tuple(rows.shape[1:]), rows.dtype)
        if self._rows is None:
            return
        fit = slots < len(self._rows)
        data = rows[torch.from_numpy(fit)].detach().cpu().contiguous()
        if len(data):
            self._rows[slots[fit]] = data.view(len(data), -1).view(torch.uint8).numpy()
            self._done[slots[fit]] = True

    def flush(self) -> None:
        """Write everything to disk: first the rows, then which of them are kept."""
        if self._rows is not None and isinstance(self._rows, np.memmap):
            self._rows.flush()
            with contextlib.suppress(OSError):  # a full disk: these rows are computed again
                write_bytes(self._folder / "done", self._done.tobytes())

    def close(self) -> None:
        """Flush, and unlock the store for other processes."""
        self.flush()
        if self._lock is not None:
            self._lock.close()
        self._rows, self._lock = None, None
        self._done[:] = False

    def _open(self, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        """Map the file, with as many rows as there is room for."""
        self._opened, self._shape, self._dtype = True, shape, dtype
        width = dtype.itemsize * int(np.prod(shape))
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = lock_file(self._folder / "lock")
            capacity = _room(self._folder, self._budget, self._slots * width) // width
            if capacity > 0:
                self._rows = self._map(capacity, width)
        except BlockingIOError:
            log.warning("%s: another run uses this cache; frozen stages are computed every time", self._folder)
        except OSError as error:
            log.warning(
                "%s: nothing can be kept there (%s); frozen stages are computed every time", self._folder, error
            )
            self._rows, self._done[:] = None, False

    def _map(self, capacity: int, width: int) -> NDArray[np.uint8]:
        path = self._folder / "rows"
        with path.open("a+b") as file:
            size = os.fstat(file.fileno()).st_size
            if size < capacity * width:
                _reserve(file.fileno(), capacity * width)
            capacity = min(self._slots, max(capacity, size // width))
        if (self._folder / "done").exists():
            done = np.frombuffer((self._folder / "done").read_bytes(), np.uint8)
            if len(done) == self._slots:  # else `flush` did not write it
                there = min(capacity, size // width)  # fewer if the file was cut off
                self._done[:there] = done[:there] == 1
        facts = {"shape": list(self._shape), "dtype": str(self._dtype).removeprefix("torch.")}
        write_json(self._folder / "rows.json", facts)
        return np.memmap(path, np.uint8, "r+", shape=(capacity, width))


def _reserve(file: int, size: int) -> None:
    """Reserve the disk space now, where the system can: a full disk is then an error and not a crash later."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:
        os.truncate(file, size)


def _read_facts(path: Path) -> tuple[tuple[int, ...], torch.dtype] | None:
    """Shape and type of a store's rows; None for a new store, or a file that `_map` did not write."""
    try:
        facts = json.loads(path.read_text("utf-8"))
        shape, dtype = tuple(map(int, facts["shape"])), DTYPES[facts["dtype"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (shape, dtype) if min(shape, default=0) > 0 else None


def _room(own: Path, budget: int, wanted: int) -> int:
    """Bytes a store may take of those wanted, by the budget and half the free disk; old stores are deleted for it."""
    allowed = min(budget, _size(own) + shutil.disk_usage(own).free // 2)
    others = sorted((path for path in own.parent.iterdir() if path != own and _is_store(path)), key=_last_used)
    for oldest in list(others):
        if sum(map(_size, others)) + wanted <= allowed:
            break
        _delete(oldest)
        others = [path for path in others if path.exists()]  # a store in use is not deleted
    return min(wanted, allowed - sum(map(_size, others)))


def _is_store(folder: Path) -> bool:
    """Whether a folder is a store and holds nothing else: other files must never be deleted."""
    if not folder.is_dir() or folder.is_symlink():
        return False
    names = {path.name.removesuffix(".draft") for path in folder.iterdir() if path.is_file()}
    return "lock" in names <= FILES and not any(path.is_dir() for path in folder.iterdir())


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def _last_used(folder: Path) -> float:
    return max((path.stat().st_mtime for path in folder.iterdir()), default=0.0)


def _delete(folder: Path) -> None:
    """Delete a store unless a process uses it."""
    with contextlib.suppress(BlockingIOError), lock_file(folder / "lock"):
        shutil.rmtree(folder)
