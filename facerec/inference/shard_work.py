"""The work on a folder of shards: any number of processes, each of which takes the next shard that nobody has."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from facerec.errors import DataError, ImageError
from facerec.faces.detector import make_detector
from facerec.faces.settings import DetectorSettings
from facerec.files import draft_of, fcntl
from facerec.inference.embedder import Embedder
from facerec.inference.loading import load_embedder
from facerec.inference.pipeline import embed_photos
from facerec.inference.shard_plan import (
    PLAN,
    Differences,
    Plan,
    Recipe,
    brought_up_to_date,
    is_planned,
    make_plan,
    read_plan,
    require_same,
    shard_name,
    write_plan,
)
from facerec.inference.shards import Counts, check_shard, write_shard
from facerec.photos.folders import OWN
from facerec.photos.memory import hash_photo
from facerec.text import printable
from facerec.types import Photo

_CLAIMS = f"{OWN}claims"


class PhotoDone(NamedTuple):
    """A photo that was embedded. error: why it cannot be used, "" if it can. remarks: as `types.Photo` has them."""

    path: Path
    error: str
    remarks: tuple[str, ...]


class ShardDone(NamedTuple):
    """A shard that was written."""

    number: int
    counts: Counts


Event = PhotoDone | ShardDone


@dataclass(frozen=True, slots=True)
class Asked:
    """How the photos of a folder of shards are embedded. model: as `load_embedder` takes it. settings: the detector's.

    It goes from one process to others.
    """

    output: Path
    model: str | None = None
    aligned: bool = False
    settings: DetectorSettings = DetectorSettings()


# ------------------------------------------------------------------------------------------------------ preparation


def prepare(source: Path, asked: Asked, recipe: Recipe, per_shard: int) -> tuple[Plan, Differences]:
    """Make the plan of a folder of shards, or add what came later to it. Processes do so one after the other.

    source: a folder of photos, or a list of them. Raises ConfigError if the folder was begun for something else,
    DataError if there are no photos, or it holds what is no shard.
    """
    output = asked.output
    if not is_planned(output):
        _require_empty(output)
    output.mkdir(parents=True, exist_ok=True)
    with _claimed(output, 0, wait=True):
        if not is_planned(output):
            plan = make_plan(source, recipe, per_shard)
            write_plan(plan, output)
            return plan, Differences()
        old = read_plan(output)
        require_same(old, source, recipe, output)
        plan, found = brought_up_to_date(old, source, [*_made(output, old)], per_shard)
        if (plan.shards, plan.bare) != (old.shards, old.bare):
            write_plan(plan, output)
    return plan, found


def _require_empty(output: Path) -> None:
    """Raise DataError if the folder holds anything but what a killed run may leave before its plan is written."""
    left = (OWN, draft_of(output / PLAN).name)
    others = [name for name in os.listdir(output) if not name.startswith(left)] if output.exists() else []
    if others:
        raise DataError(
            f"{printable(output)}: holds {printable(others[0])} and is no folder of shards; give another `output`"
        )


def _made(output: Path, plan: Plan) -> Iterator[bool]:
    return ((output / shard_name(number)).exists() for number in range(len(plan.shards)))


def missing(output: Path, plan: Plan) -> list[int]:
    """The shards that are not there yet."""
    return [number for number, is_made in enumerate(_made(output, plan)) if not is_made]


def totals(output: Path, plan: Plan) -> Counts:
    """What all shards hold, by their metadata. Raises DataError for one that is damaged or another folder's."""
    return sum((check_shard(output, plan, number) for number in range(len(plan.shards))), Counts())


# --------------------------------------------------------------------------------------------------------- the work


def load(asked: Asked) -> Embedder:
    """The model that is asked for."""
    return load_embedder(asked.model)


def make_shards(asked: Asked, plan: Plan, embedder: Embedder, numbers: Sequence[int] | None = None) -> Iterator[Event]:
    """Make the shards that nobody has; then wait for those of other processes, and make what a killed one left.

    numbers: of these shards; None: of all. Raises OSError if a shard cannot be written.
    """
    for wait in (False, True):
        for number in missing(asked.output, plan) if numbers is None else numbers:
            path = asked.output / shard_name(number)
            with _claimed(asked.output, number + 1, wait=wait) as mine:
                if mine and not path.exists():
                    yield from _make_shard(asked, plan, number, embedder)


def _make_shard(asked: Asked, plan: Plan, number: int, embedder: Embedder) -> Iterator[Event]:
    """Embed the photos of one shard, always in the same batches, and write it."""
    detector = make_detector(embedder.card.input_size, asked.aligned, asked.settings)
    done = []
    for photo in embed_photos(plan.paths(number), detector, embedder):
        done.append(replace(photo, digest=_digest(photo)))
        yield PhotoDone(photo.path, str(photo.error or ""), photo.remarks)
    yield ShardDone(number, write_shard(asked.output, plan, number, done))


def _digest(photo: Photo) -> str:
    try:
        return hash_photo(photo.path)
    except ImageError:
        return ""


@contextmanager
def _claimed(output: Path, place: int, *, wait: bool) -> Iterator[bool]:
    """Hold the claim on one place of a folder: 0 for the plan, then the shards. Yields whether nobody else holds it.

    A claim is a lock on a byte of one file. The system gives it back when the process ends, however it ends, so no
    claim outlives a killed process. wait: sleep until the other process has ended or is done.
    """
    if not fcntl:  # Windows: one process at a time
        yield True
        return
    file = os.open(output / _CLAIMS, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield _locked(file, place, wait)
    finally:
        os.close(file)


def _locked(file: int, place: int, wait: bool) -> bool:
    assert fcntl
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 1, place)
    except (BlockingIOError, PermissionError):
        return False
    return True
