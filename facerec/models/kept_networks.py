"""Compiled networks, kept on disk for the next process.

A file is named by everything that a compiled network depends on: the model's content, how it is compiled, OpenVINO's
version and the processor. Its head holds the name again, and length and CRC-32 of what follows, so that a file that is
cut off, damaged or another's counts as not there. The folder is the user's alone, and is not used otherwise: OpenVINO
trusts what it reads. Files of other versions are deleted, and the longest unused once all take more than MOST.
"""

import contextlib
import functools
import hashlib
import os
import platform
import stat
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerec.files import cache_folder, replacing

MOST = 10**9  # bytes
_HEAD = 4096  # bytes before the network, whose numbers must lie on their boundaries
_KIND = "facerec-network-1"


def kept_at(version: str, *facts: object) -> Path:
    """The file for a network compiled by this version of OpenVINO, on this processor. facts: what else decides it."""
    named = hashlib.sha256(repr((_KIND, version, _processor(), *facts)).encode()).hexdigest()
    return cache_folder("networks") / f"{_mark(version)}-{named[:40]}.network"


def read_kept(path: Path) -> NDArray[np.uint8] | None:
    """Return the network that `keep` wrote, (bytes,) mapped into memory; None if it is not there, or not whole."""
    try:
        if not _is_own(path.parent) or path.stat().st_size <= _HEAD:
            return None
        content = np.memmap(path, np.uint8, "c", _HEAD)  # "c": OpenVINO takes only what may be written
        with path.open("rb") as file:
            whole = file.read(_HEAD) == _head(path, content)
        if whole:
            os.utime(path)  # unused for the shortest time
    except OSError:
        return None
    return content if whole else None


def keep(path: Path, network: bytes) -> None:
    """Write a network, all or nothing; nothing on a full disk, or in a folder that is not the user's alone."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_own(path.parent):
            return
        _make_room(path, _HEAD + len(network))
        with replacing(path, private=True, unique=True) as draft, draft.open("wb") as file:
            file.write(_head(path, np.frombuffer(network, np.uint8)))
            file.write(network)


def _head(path: Path, network: NDArray[np.uint8]) -> bytes:
    return f"{_KIND} {path.name} {network.size} {zlib.crc32(network.data)}\n".encode().ljust(_HEAD, b"\0")


def _is_own(folder: Path) -> bool:
    """Whether nobody but the user may write to a folder, or read it."""
    facts = folder.stat()
    return not hasattr(os, "getuid") or (facts.st_uid == os.getuid() and not stat.S_IMODE(facts.st_mode) & 0o077)


def _make_room(path: Path, size: int) -> None:
    """Delete what other versions and killed processes left, and the longest unused if all take more than MOST."""
    mark, taken = path.name.partition("-")[0], size
    with os.scandir(path.parent) as entries:
        files = [entry for entry in entries if entry.is_file(follow_symlinks=False)]
    for file in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True):
        taken += file.stat().st_size
        if taken > MOST or not file.name.startswith(mark):
            Path(file.path).unlink(missing_ok=True)


def _mark(version: str) -> str:
    return hashlib.sha256(version.encode()).hexdigest()[:8]


@functools.cache
def _processor() -> tuple[str, ...]:
    """The processor and its instruction sets: a network is compiled for them. Variables that limit them count."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = [platform.processor()]
    facts = {line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))} or set(lines)
    return (platform.machine(), os.environ.get("ONEDNN_MAX_CPU_ISA", ""), *sorted(facts))
