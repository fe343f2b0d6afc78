"""Several processes on one machine that make shards side by side, each with its share of the cores."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from facerec.errors import DataError, FacerecError
from facerec.files import fcntl
from facerec.inference.shard_plan import Plan, read_plan
from facerec.inference.shard_work import Asked, Event, load, make_shards, missing
from facerec.models.running import cores, limit_threads
from facerec.text import how_many, printable

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

log = logging.getLogger(__name__)


def make_shards_side_by_side(asked: Asked, plan: Plan, workers: int) -> Iterator[Event]:
    """As `make_shards`, by several processes, one for each missing shard at most. Those left make a killed one's.

    Raises what a process raised, and DataError if shards are missing although all have ended.
    """
    if not fcntl:
        raise DataError("several `workers` need locks on files, which Windows lacks; leave `workers` out")
    running: dict[Any, SpawnProcess] = {}
    workers = min(workers, len(missing(asked.output, plan)))
    try:
        threads = max(1, cores() // max(1, workers))
        with _environment_for(threads):
            running = dict(_start(asked, threads) for _ in range(workers))
        yield from _events(running)
    finally:
        for process in running.values():
            process.terminate()
            process.join()
    if left := missing(asked.output, plan):
        raise DataError(
            f"{printable(asked.output)}: {how_many(len(left), 'shard')} missing, for the processes were killed (out of "
            "memory?); run the same command again, perhaps with fewer `workers`"
        )


def _start(asked: Asked, threads: int) -> "tuple[Connection, SpawnProcess]":
    spawn = get_context("spawn")  # see `require_own_process`
    receives, sends = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_worker, args=(sends, asked, threads), daemon=True)
    process.start()
    sends.close()  # so that the pipe ends with the process
    return receives, process


def _events(running: "dict[Any, SpawnProcess]") -> Iterator[Event]:
    """What the processes say, until all have ended."""
    left = list(running)
    while left:
        for pipe in wait(left):
            assert isinstance(pipe, Connection)
            try:
                said = pipe.recv()
            except EOFError:
                left.remove(pipe)
                running[pipe].join()
                if running[pipe].exitcode:
                    log.warning("a process ended with code %s; the others go on", running[pipe].exitcode)
                continue
            if isinstance(said, BaseException):
                raise said
            yield said


def _worker(pipe: Connection, asked: Asked, threads: int) -> None:
    """Make shards, and say so; ends quietly when nobody listens any more."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    limit_threads(threads)
    try:
        for event in make_shards(asked, read_plan(asked.output), load(asked)):
            pipe.send(event)
    except BrokenPipeError:
        return
    except (FacerecError, OSError, MemoryError) as error:
        pipe.send(error)


@contextmanager
def _environment_for(threads: int) -> Iterator[None]:
    """Processes that start in here compute in so many threads, and do not wait busily."""
    share = {"OMP_NUM_THREADS": f"{threads}", "OPENBLAS_NUM_THREADS": f"{threads}", "OMP_WAIT_POLICY": "PASSIVE"}
    before = {name: os.environ.get(name) for name in share}
    os.environ.update(share)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
