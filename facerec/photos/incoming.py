"""A folder that fills up: its photos and videos, as soon as each is written to its end.

The folder is listed again and again, which works on every file system, on shares too. A file is taken once it has not
changed for `settled` seconds, and again if it changes later. `folders` says which files are passed over; among them are
the names that browsers and copying programs give to halves (`party.jpg.part`).
"""

import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import NamedTuple

from facerec.errors import DataError
from facerec.photos.folders import find_files, is_photo_or_video

log = logging.getLogger(__name__)

SETTLED = 2.0
"""Seconds for which a file must not have changed."""
PAUSE = 0.5
"""Seconds between two looks into the folder."""

Facts = tuple[int, int]  # a file's size and when it was changed


class _File(NamedTuple):
    """A file as it was seen last. since: when it was first seen so (monotonic seconds). taken: it was given out."""

    facts: Facts
    since: float
    taken: bool


class Incoming:
    """The photos and videos of a folder and its sub-folders; those that are there at the beginning come first."""

    def __init__(self, folder: Path, settled: float = SETTLED, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises DataError if `folder` is no readable folder. clock: gives the present time in seconds."""
        self._folder, self._settled, self._clock = folder, settled, clock
        self._known: dict[Path, _File] = {}
        self._lost = False
        find_files(folder)

    def batches(self, stopped: Event, pause: float = PAUSE) -> Iterator[list[Path]]:
        """The files that are ready, in batches, until `stopped` is set."""
        while not stopped.is_set():
            if ready := self.look():
                yield ready
            stopped.wait(pause)

    def look(self) -> list[Path]:
        """The photos and videos that have become ready since the last look, sorted."""
        now, seen = self._clock(), dict[Path, _File]()
        if (files := self._files()) is None:
            return []
        for path in files:
            if (facts := _facts(path)) is None:
                continue
            before = self._known.get(path)
            seen[path] = before if before and before.facts == facts else _File(facts, now, taken=False)
        ready = [path for path, file in seen.items() if not file.taken and now - file.since >= self._settled]
        self._known = seen | {path: seen[path]._replace(taken=True) for path in ready}
        return [path for path in ready if is_photo_or_video(path)]

    @property
    def remembered(self) -> int:
        """How many files are remembered: those that the folder holds."""
        return len(self._known)

    def _files(self) -> list[Path] | None:
        """All files; None while the folder is not there, as a share may be away for a while."""
        try:
            found = find_files(self._folder)
        except DataError as error:
            if not self._lost:
                log.warning("%s; waiting until it is back", error)
            self._lost = True
            return None
        self._lost = False
        return found


def _facts(path: Path) -> Facts | None:
    """A file's size and when it was changed; None where it is gone, or holds nothing yet."""
    try:
        facts = os.stat(path)
    except OSError:
        return None
    return (facts.st_size, facts.st_mtime_ns) if facts.st_size else None
