"""What the benches share: the machine, sides in processes of their own that take turns, and tables.

A side is a function of a bench's module. Its arguments and its result go from one process to another, so they can be
pickled.
"""

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("numpy", "pillow", "openvino", "faiss-cpu", "torch")
INSTRUCTIONS = (  # those that matrix products and networks use
    *("avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_bf16", "amx_int8"),
    *("asimd", "sve", "bf16", "i8mm"),
)
LIMITS = ("ONEDNN_MAX_CPU_ISA", "OMP_NUM_THREADS", "OMP_WAIT_POLICY")  # variables that change what the CPU does

Value = TypeVar("Value")

# ------------------------------------------------------------------------------------------ options


def add_data(parser: argparse.ArgumentParser) -> None:
    """The option --data."""
    data = ROOT.parent / "shared" / "data"
    parser.add_argument("--data", type=Path, default=data, help="the research data (default ../shared/data)")


def add_rounds(parser: argparse.ArgumentParser, default: int) -> None:
    """The option --rounds."""
    parser.add_argument("--rounds", type=int, default=default, help="turns of each side (default %(default)s)")


# ------------------------------------------------------------------------------------------ the machine


def machine() -> dict[str, Any]:
    """Return the processor, its instruction sets, the versions and the commit that the figures were measured with."""
    name, flags = processor()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    facts = {"cpu": name, "cores": cores, "instructions": [kind for kind in INSTRUCTIONS if kind in flags]}
    limits = {name: os.environ[name] for name in LIMITS if name in os.environ}
    return {**facts, **limits, "python": platform.python_version(), **versions(), "facerec": commit()}


def processor() -> tuple[str, set[str]]:
    """Return the processor's name and its flags. Flags are known on Linux only."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text("utf-8").splitlines() if facts.exists() else []
    words = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = words.get("model name") or platform.processor() or platform.machine()
    return name, set((words.get("flags") or words.get("Features") or "").split())


def versions() -> dict[str, str | None]:
    """Return package -> version; None where it is not installed."""
    return {package: _version(package) for package in PACKAGES}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def commit() -> str | None:
    """Return the checkout's commit, with `+` where files differ from it; None outside a git checkout."""
    words = ["git", "-C", str(ROOT), "describe", "--always", "--exclude=*", "--dirty=+"]
    try:
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def machine_line(facts: Mapping[str, Any]) -> str:
    """The machine in one line of text."""
    return ", ".join(f"{name} {' '.join(fact) if isinstance(fact, list) else fact}" for name, fact in facts.items())


def resident_mb() -> int:
    """Return the memory of this process that is in RAM (Linux only)."""
    return _status_mb("VmRSS:")


def peak_mb() -> int:
    """Return the most memory that this process ever had in RAM."""
    if Path("/proc/self/status").exists():  # where `getrusage` counts the process that started this one, too
        return _status_mb("VmHWM:")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kB; on macOS bytes
    return peak // (1024 * 1024 if sys.platform == "darwin" else 1024)


def _status_mb(line: str) -> int:
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(words.split()[1]) for words in lines if words.startswith(line)) // 1024


# ------------------------------------------------------------------------------------------ sides


def in_own_process(side: Callable[..., Value], *arguments: Any, env: Mapping[str, str] | None = None) -> Value:
    """Return what `side(*arguments)` returns in a new process. env: variables that are set there."""
    before = dict(os.environ)
    os.environ.update(env or {})
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return pool.submit(side, *arguments).result()
    finally:
        os.environ.clear()
        os.environ.update(before)


def take_turns(sides: Mapping[str, Callable[[int], Value]], rounds: int) -> dict[str, list[Value]]:
    """Run every side once a round; another one begins each round. A side is given the round's number, from 0.

    Returns side -> its result in each round.
    """
    order = list(sides)
    found: dict[str, list[Value]] = {name: [] for name in order}
    for number in range(rounds):
        first = number % max(len(order), 1)
        for name in order[first:] + order[:first]:
            say(f"round {number + 1} of {rounds}: {name}")
            found[name].append(sides[name](number))
    return found


def say(line: str) -> None:
    """Print a line of progress on stderr."""
    print(line, file=sys.stderr, flush=True)


# ------------------------------------------------------------------------------------------ tables


def median_and_range(values: Sequence[float], digits: int = 2) -> str:
    """The median of the rounds, and in parentheses the smallest and largest."""
    low, middle, high = (f"{value:.{digits}f}" for value in (min(values), statistics.median(values), max(values)))
    return f"{middle} ({low} to {high})"


def text_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """The rows under their head, first column to the left, the others to the right."""
    cells = [list(map(str, row)) for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in cells
    )
