"""Commands of facerec in processes of their own, which are timed, stopped, inspected and killed. Linux only.

The kernel says what a stopped process is doing, by the locks it holds: SQLite's (bytes 120 and 121 of gallery.db-shm:
https://www.sqlite.org/walformat.html, 2.3.1) and the one on the gallery's folder.
"""

import fcntl
import gc
import os
import random
import signal
import struct
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from facerec.cli.main import main as facerec
from facerec.faces import aligned
from facerec.models import running

TRANSACTION, COPY, CHECKPOINT = "in a transaction", "writing a copy or the index", "folding the log in"
OPEN, ELSEWHERE = "open, between writes", "before or after"
INSIDE = (TRANSACTION, COPY, CHECKPOINT)
WRITE_LOCK, CHECKPOINT_LOCK = 120, 121  # bytes of the -shm file


@dataclass(frozen=True, slots=True)
class Span:
    """How long an undisturbed command took, and when it held the write lock (begin and end, in seconds)."""

    seconds: float
    writes: list[tuple[float, float]]

    @property
    def writing(self) -> float:
        """The seconds for which it held the lock."""
        return sum(end - begin for begin, end in self.writes)

    def moment(self, chance: random.Random) -> tuple[int, float]:
        """Draw a moment in the writes, all equally likely: how many have begun, and seconds since the last began."""
        left = chance.random() * self.writing
        for number, (begin, end) in enumerate(self.writes, 1):
            if left <= end - begin:
                return number, left
            left -= end - begin
        return len(self.writes), 0.0


class Process:
    """`facerec ARGUMENTS`, forked from this process."""

    def __init__(self, arguments: list[str]) -> None:
        """Start the process."""
        self.began = time.perf_counter()
        self._output, output = os.pipe()
        self._errors = os.memfd_create("errors")
        self.pid = os.fork()
        if not self.pid:
            _become(arguments, output, self._errors)
        os.close(output)
        self.ended = False

    @property
    def seconds(self) -> float:
        """The seconds since the start."""
        return time.perf_counter() - self.began

    def stop(self) -> bool:
        """Stop the process wherever it is. Returns False if it had ended."""
        os.kill(self.pid, signal.SIGSTOP)
        self._wait(os.WUNTRACED)
        return not self.ended

    def kill(self) -> list[str]:
        """Kill the process if it has not ended. Returns the complete lines that it printed."""
        if not self.ended:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._errors)
        with open(self._output, encoding="utf-8") as pipe:
            return [line for line in pipe.read().splitlines(keepends=True) if line.endswith("\n")]

    def over(self) -> bool:
        """Return whether the process has ended."""
        return self.ended or self._wait(os.WNOHANG)

    def _wait(self, how: int) -> bool:
        pid, status = os.waitpid(self.pid, how)
        if pid and not os.WIFSTOPPED(status):
            self.ended = True
            assert status == 0, f"failed: {status}, " + os.pread(self._errors, 10_000, 0).decode()
        return self.ended


def _become(arguments: list[str], output: int, errors: int) -> None:
    """Run the command in the forked process and end it: it must not return."""
    gc.freeze()  # networks that other tests left as garbage wait for their threads when they go; a fork has none
    code = 1
    try:
        os.dup2(output, 1)
        os.dup2(errors, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", encoding="utf-8"), os.fdopen(2, "w", encoding="utf-8")
        running._process = None  # the networks that are loaded here wait for no thread of the process forked from
        aligned.SMALLEST_SIDE = sys.maxsize  # nor is a crop looked at by a detector that was loaded there
        code = facerec(arguments, standalone_mode=False) or 0
        sys.stdout.flush()
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
    finally:
        os._exit(code)


def left_alone(arguments: list[str]) -> None:
    """Run a command to its end."""
    process = Process(arguments)
    while not process.over():
        time.sleep(0.002)
    process.kill()


def lock_held(gallery: Path, byte: int) -> bool:
    """Ask the kernel whether any process holds one of SQLite's locks, by Linux's `struct flock`."""
    try:
        file = os.open(gallery / "gallery.db-shm", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
        return struct.unpack("hhqqi4x", fcntl.fcntl(file, fcntl.F_GETLK, asked))[0] != fcntl.F_UNLCK
    finally:
        os.close(file)


def open_elsewhere(gallery: Path) -> bool:
    """Return whether another process has the gallery open (see facerec/gallery/layout.py)."""
    folder = os.open(gallery, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(folder)


def place(gallery: Path) -> str:
    """Return what the stopped process is doing."""
    if lock_held(gallery, WRITE_LOCK):
        return COPY if list(gallery.glob("*.draft")) else TRANSACTION
    if lock_held(gallery, CHECKPOINT_LOCK):
        return CHECKPOINT
    return OPEN if open_elsewhere(gallery) else ELSEWHERE


def measured(arguments: list[str], gallery: Path) -> Span:
    """Run a command to its end and watch the write lock."""
    process, writes, begin = Process(arguments), [], None
    while not process.over():
        if lock_held(gallery, WRITE_LOCK) == (begin is None):
            if begin is not None:
                writes.append((begin, process.seconds))
            begin = process.seconds if begin is None else None
    seconds = process.seconds
    process.kill()
    return Span(seconds, writes)


def killed(
    arguments: list[str], gallery: Path, span: Span, aimed: bool, chance: random.Random
) -> tuple[str, list[str]]:
    """Kill a command at a random moment. Returns where it was, "" if it had ended, and the lines it printed.

    aimed: the moment is drawn from the times in which the command holds the write lock.
    """
    number, offset = span.moment(chance) if aimed else (0, chance.random() * span.seconds)
    process, held = Process(arguments), False
    while number and not process.over():
        now = lock_held(gallery, WRITE_LOCK)
        number, held = number - (now and not held), now
    since = time.perf_counter() if aimed else process.began
    while time.perf_counter() < since + offset:
        pass
    where = place(gallery) if not process.over() and process.stop() else ""
    return where, process.kill()
