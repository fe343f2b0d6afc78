"""Rows kept on disk: which are there, what room they take, and that they are right whatever befalls the files."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from toy_runs import stores, warnings_of

from facerec.files import cache_folder
from facerec.training.prefix_cache import RowStore

pytestmark = pytest.mark.usefixtures("one_thread", "own_cache")


@pytest.fixture
def own_cache(own_cache: Path) -> Path:
    """The folder of this test's stores."""
    own_cache.mkdir()
    return own_cache / "prefixes"


def rows(first: int, count: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """(count, 5, 50) rows that tell each other apart; 1000 bytes each in float32."""
    return (torch.arange(first, first + count)[:, None, None] + torch.rand(5, 50)).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_rows_come_back_bit_by_bit_also_to_the_next_process(dtype: torch.dtype) -> None:
    given, slots = rows(0, 3, dtype).to(memory_format=torch.contiguous_format), np.array([4, 0, 2])
    store = RowStore("key", 6, 1.0)
    assert not store.has(np.arange(6)).any()
    store.put(slots, given)
    for _ in range(2):
        assert store.has(np.arange(6)).tolist() == [True, False, True, False, True, False]
        back = store.get(np.array([0, 4]))
        assert back.dtype == dtype
        assert torch.equal(back, given[[1, 0]])
        store.close()
        assert not store.has(slots).any(), "a closed store has nothing"
        store = RowStore("key", 6, 1.0)
    store.close()


def test_what_does_not_fit_is_not_kept(own_cache: Path) -> None:
    store = RowStore("key", 10, 3500e-9)
    for first in (0, 5):
        store.put(np.arange(first, first + 5), rows(first, 5))
    assert store.has(np.arange(10)).tolist() == [True] * 3 + [False] * 7
    assert stores(own_cache) == {"key": 3000}
    store.close()
    larger = RowStore("key", 10, 1.0)
    assert larger.has(np.arange(10)).sum() == 3
    larger.put(np.array([9]), rows(9, 1))
    assert larger.has(np.array([9])).all()
    larger.close()


def test_the_longest_unused_store_makes_room(own_cache: Path) -> None:
    for age, key in enumerate(("new", "middle", "old")):
        store = RowStore(key, 4, 1.0)
        store.put(np.arange(4), rows(0, 4))
        store.close()
        for file in (own_cache / key).iterdir():
            os.utime(file, (1e9 - age, 1e9 - age))
    sizes = sum(path.stat().st_size for path in own_cache.glob("*/*"))
    fourth = RowStore("fourth", 4, (sizes + 200) / 1e9)
    fourth.put(np.arange(4), rows(0, 4))
    assert fourth.has(np.arange(4)).all()
    assert stores(own_cache).keys() == {"new", "middle", "fourth"}
    fourth.close()


def test_a_system_that_cannot_reserve_space_keeps_rows_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS and Windows have no posix_fallocate."""
    monkeypatch.delattr(os, "posix_fallocate")
    store = RowStore("store", 4, 1.0)
    store.put(np.arange(4), rows(0, 4))
    store.close()
    again = RowStore("store", 4, 1.0)
    assert again.has(np.arange(4)).all()
    again.close()


def test_what_is_no_store_is_never_deleted(own_cache: Path) -> None:
    """$FACEREC_CACHE may be a folder in which somebody keeps other things."""
    kept = [own_cache / "Documents" / "thesis.txt", own_cache / "Photos" / "2020" / "a.jpg", own_cache / "mixed" / "x"]
    for path in kept:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"precious")
    (own_cache / "mixed" / "lock").touch()
    store = RowStore("store", 4, 1e-8)
    store.put(np.arange(4), rows(0, 4))
    store.close()
    assert [path.read_bytes() for path in kept] == [b"precious"] * 3


@pytest.mark.parametrize("size", [0, 100, 2500])
def test_rows_that_were_cut_off_are_not_there(size: int, own_cache: Path) -> None:
    store = RowStore("store", 4, 1.0)
    store.put(np.arange(4), rows(0, 4))
    store.close()
    os.truncate(own_cache / "store" / "rows", size)
    again = RowStore("store", 4, 1.0)
    there = size // 1000  # bytes of a row
    assert again.has(np.arange(4)).tolist() == [i < there for i in range(4)]
    again.close()


def test_a_store_in_use_is_neither_used_nor_deleted(own_cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = RowStore("first", 4, 1.0)
    first.put(np.arange(4), rows(0, 4))
    same = RowStore("first", 4, 1.0)
    for _ in range(3):
        same.put(np.arange(4), rows(0, 4))
    assert not same.has(np.arange(4)).any()
    (message,) = warnings_of(caplog)
    assert message == f"{own_cache / 'first'}: another run uses this cache; frozen stages are computed every time"
    other = RowStore("other", 4, 5600e-9)
    other.put(np.arange(4), rows(0, 4))
    assert other.has(np.arange(4)).tolist() == [True, False, False, False], "what the one in use leaves"
    assert torch.equal(first.get(np.arange(4)), rows_of(own_cache / "first", 4))
    for store in (first, same, other):
        store.close()


def rows_of(store: Path, count: int) -> Tensor:
    """As they lie in the file."""
    return torch.from_numpy(np.fromfile(store / "rows", np.float32)).view(count, 5, 50)


def test_a_store_without_its_note_is_filled_anew(own_cache: Path) -> None:
    """As after a kill between the rows and the note that they are there."""
    store = RowStore("key", 4, 1.0)
    store.put(np.arange(4), rows(0, 4))
    store.close()
    (own_cache / "key" / "done").unlink()
    again = RowStore("key", 4, 1.0)
    assert not again.has(np.arange(4)).any()
    again.put(np.array([2]), rows(7, 1))
    assert again.get(np.array([2])).min() >= 7
    again.close()


FULL_DISK = """
import logging, resource, sys
import numpy as np, torch
from facerec.training.prefix_cache import RowStore
logging.basicConfig(format="%(message)s")
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
store = RowStore("key", 2000, 1.0)
for first in range(0, 8, 2):
    store.put(np.arange(first, first + 2), torch.ones(2, 250))
    store.flush()
print(store.has(np.arange(8)).any())
store.close()
"""


def test_a_full_disk_is_one_warning(own_cache: Path) -> None:
    """No file may grow beyond 1 MB: the rows do not fit, and that is known before one is written."""
    pytest.importorskip("resource", reason="no limits on file sizes here")
    done = subprocess.run([sys.executable, "-c", FULL_DISK], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{own_cache / 'key'}: nothing can be kept there (")


def test_the_place_is_what_the_environment_says(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder("prefixes") == own_cache
    monkeypatch.delenv("FACEREC_CACHE")
    assert "facerec" in cache_folder("prefixes").parts
