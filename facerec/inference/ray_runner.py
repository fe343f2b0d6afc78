"""The same shards by Ray Data: on the machines of a cluster, or by a Ray of this machine.

Every machine reads the photos and writes the shards itself, so all must reach both by the same path. If a machine or a
process is lost, Ray gives its shard to another one.
"""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from facerec.errors import ConfigError, DataError, FacerecError
from facerec.inference.shard_plan import Plan, read_plan
from facerec.inference.shard_work import Asked, Event, PhotoDone, ShardDone, load, make_shards, missing
from facerec.inference.shards import Counts
from facerec.models.places import SHIPPED
from facerec.models.running import cores, limit_threads
from facerec.text import printable

LOCAL = "local"
_CORES_EACH = 2  # of a worker, if the number of workers is not given
_STORE = 100 * 1024**2  # bytes of a local Ray's memory for objects: results are small


def make_shards_by_ray(asked: Asked, plan: Plan, address: str, workers: int | None = None) -> Iterator[Event]:
    """As `make_shards`, by Ray. What is done in a shard is said once the shard is there.

    address: HOST:PORT of a cluster, or "local". workers: processes over all machines; None: one for every two cores.
    Raises ConfigError where there is no cluster, and DataError with the message of what stopped a worker.
    """
    asked = replace(asked, model=_everywhere(asked.model))
    with _connected(address, workers or 1) as ray:
        total = int(ray.cluster_resources().get("CPU", 1))
        workers = workers or max(1, total // _CORES_EACH)
        each = max(1, total // workers)
        shards = missing(asked.output, plan)
        waiting = ray.data.from_items([{"shard": number} for number in shards], override_num_blocks=len(shards))
        pool = ray.data.ActorPoolStrategy(size=min(workers, len(shards)), max_tasks_in_flight_per_actor=1)
        done = waiting.map(_Worker, fn_constructor_args=(asked, each), compute=pool, num_cpus=each)
        for row in done.iter_rows():
            yield from _events(json.loads(row["said"]))


def _everywhere(model: str | None) -> str | None:
    """What names a model on every machine, whatever folder its process is in."""
    return model if model in (None, *SHIPPED) else os.path.abspath(model)


@contextmanager
def _connected(address: str, workers: int) -> Iterator[Any]:
    """Give the `ray` module while it is connected: quiet, and without statistics that are sent anywhere."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    import ray.data

    how: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == LOCAL:
        how |= {"include_dashboard": False, "num_cpus": max(cores(), workers), "object_store_memory": _STORE}
    try:
        ray.init(address=address, **how)
    except (ConnectionError, ValueError, RuntimeError) as error:
        said = printable((str(error).splitlines() or [type(error).__name__])[0])
        raise ConfigError(
            f"`ray`: no cluster at {printable(address)} ({said}); give its HOST:PORT, or local"
        ) from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    try:
        yield ray
    finally:
        ray.shutdown()


class _Worker:
    """Makes shards in a process of Ray. What it says is JSON, which every version of Ray passes on."""

    def __init__(self, asked: Asked, threads: int) -> None:
        limit_threads(threads)
        self._asked = asked
        self._loaded: Any = None

    def __call__(self, row: dict[str, Any]) -> dict[str, str]:
        try:
            self._loaded = self._loaded or (read_plan(self._asked.output), load(self._asked))
            plan, embedder = self._loaded
            events = list(make_shards(self._asked, plan, embedder, [int(row["shard"])]))
        except (FacerecError, OSError, MemoryError) as error:
            return {"said": json.dumps({"error": str(error)})}
        photos = [(str(each.path), each.error, each.remarks) for each in events if isinstance(each, PhotoDone)]
        shards = [(each.number, _values(each.counts)) for each in events if isinstance(each, ShardDone)]
        return {"said": json.dumps({"photos": photos, "shards": shards})}


def _values(counts: Counts) -> list[int]:
    return [getattr(counts, name) for name in Counts.__slots__]


def _events(said: dict[str, Any]) -> Iterator[Event]:
    if "error" in said:
        raise DataError(said["error"])
    for path, error, remarks in said["photos"]:
        yield PhotoDone(Path(path), error, tuple(remarks))
    for number, counts in said["shards"]:
        yield ShardDone(number, Counts(*counts))
