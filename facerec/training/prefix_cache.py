"""What frozen stages make of the photos: computed once, kept on disk.

While a run's first stages are frozen, their output for a view of a photo is the same in every epoch. A store is keyed
by all that decides the numbers in it: the stages' weights, how the views are made, the precision, and the content of
the files. The stores lie in $FACEREC_CACHE, else the user's cache directory; together they stay below `cache_gb`, the
longest unused go first, and what finds no room is computed anew each time. Several processes fill a store each.
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
from platformdirs import user_cache_path
from torch import Tensor

from facerec.datasets.augmentation import VIEWS_VERSION
from facerec.files import write_bytes, write_json
from facerec.models.network import Network
from facerec.training.distributed import process_number
from facerec.training.run_folder import lock_file

log = logging.getLogger(__name__)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}  # what a stage may give

FILES = {"done", "lock", "rows", "rows.json"}  # of a store

Slots = NDArray[np.int64]  # (B,) places in a store


def cache_folder() -> Path:
    """Where the stores lie."""
    return Path(os.environ.get("FACEREC_CACHE") or user_cache_path("facerec") / "prefixes")


def store_key(network: Network, count: int, hashes: Sequence[str], *facts: Any) -> str:
    """Names what the first `count` stages make of photos of these content hashes; `facts`: what else it depends on."""
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
        """slots: rows there may be. Without room, or while another process uses the store, nothing is kept."""
        self._folder = cache_folder() / key
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
        """(B,) whether a row is kept."""
        return self._done[slots]

    def lacks(self, slots: Slots) -> NDArray[np.bool_]:
        """(B,) whether there is room for a row that is not kept."""
        return ~self._done[slots] & (slots < (0 if self._rows is None else len(self._rows)))

    def get(self, slots: Slots) -> Tensor:
        """(B, *shape) rows that are kept."""
        assert self._rows is not None, "nothing is kept yet"
        return torch.from_numpy(self._rows[slots]).view(self._dtype).view(len(slots), *self._shape)

    def put(self, slots: Slots, rows: Tensor) -> None:
        """Keep (B, *shape) rows, as far as there is room."""
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
        """Let what is kept outlive this process: the rows first, then the note that they are there."""
        if self._rows is not None and isinstance(self._rows, np.memmap):
            self._rows.flush()
            with contextlib.suppress(OSError):  # a full disk; what is not noted is computed again
                write_bytes(self._folder / "done", self._done.tobytes())

    def close(self) -> None:
        """Flush, and let other processes have it."""
        self.flush()
        if self._lock is not None:
            self._lock.close()
        self._rows, self._lock = None, None
        self._done[:] = False

    def _open(self, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        """Map the file, of as many rows as there is room for."""
        self._opened, self._shape, self._dtype = True, shape, dtype
        width = dtype.itemsize * int(np.prod(shape))
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = lock_file(self._folder / "lock")
            capacity = _room(self._folder, self._budget, self._slots * width) // width
            if capacity > 0:
                self._rows = self._map(capacity, width)
        except BlockingIOError:
            log.warning("%s: another run uses it; frozen stages are computed every time", self._folder)
        except OSError as error:
            log.warning("%s: nothing is kept there (%s); frozen stages are computed every time", self._folder, error)
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
            if len(done) == self._slots:  # else it is not what `flush` wrote
                there = min(capacity, size // width)  # fewer where the file was cut off
                self._done[:there] = done[:there] == 1
        facts = {"shape": list(self._shape), "dtype": str(self._dtype).removeprefix("torch.")}
        write_json(self._folder / "rows.json", facts)
        return np.memmap(path, np.uint8, "r+", shape=(capacity, width))


def _reserve(file: int, size: int) -> None:
    """Take the disk space now, where the system can: a full disk is an error then, and no crash later."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:
        os.truncate(file, size)


def _read_facts(path: Path) -> tuple[tuple[int, ...], torch.dtype] | None:
    """Shape and type of a store's rows; None for a new store, or a file that is not what `_map` wrote."""
    try:
        facts = json.loads(path.read_text("utf-8"))
        shape, dtype = tuple(map(int, facts["shape"])), DTYPES[facts["dtype"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (shape, dtype) if min(shape, default=0) > 0 else None


def _room(own: Path, budget: int, wanted: int) -> int:
    """Bytes a store that wants so many may take: by the budget and half the free disk, once old ones are gone."""
    allowed = min(budget, _size(own) + shutil.disk_usage(own).free // 2)
    others = sorted((path for path in own.parent.iterdir() if path != own and _is_store(path)), key=_last_used)
    for oldest in list(others):
        if sum(map(_size, others)) + wanted <= allowed:
            break
        _delete(oldest)
        others = [path for path in others if path.exists()]  # one in use is still there
    return min(wanted, allowed - sum(map(_size, others)))


def _is_store(folder: Path) -> bool:
    """Whether a folder is one of ours and nothing else is in it: nobody's other files may be deleted."""
    if not folder.is_dir() or folder.is_symlink():
        return False
    names = {path.name.removesuffix(".draft") for path in folder.iterdir() if path.is_file()}
    return "lock" in names <= FILES and not any(path.is_dir() for path in folder.iterdir())


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def _last_used(folder: Path) -> float:
    return max((path.stat().st_mtime for path in folder.iterdir()), default=0.0)


def _delete(folder: Path) -> None:
    """Delete a store, unless a process uses it."""
    with contextlib.suppress(BlockingIOError), lock_file(folder / "lock"):
        shutil.rmtree(folder)
