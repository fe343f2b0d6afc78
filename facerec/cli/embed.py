"""`facerec embed`: the vectors of an archive, in shards."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facerec.cli import common, detector_options, path_types
from facerec.cli.progress import show_progress
from facerec.extras import require_extra
from facerec.text import how_many

if TYPE_CHECKING:  # imported when needed
    from facerec.inference.embedder import Embedder
    from facerec.inference.shard_plan import Plan
    from facerec.inference.shard_work import Asked, Event
    from facerec.inference.shards import Counts


@common.command(needs="parquet")
@click.argument("source", metavar="FOLDER|LIST", type=path_types.FILE)
@click.option(
    "--output", required=True, type=path_types.PATH, metavar="DIR", help="The folder of the shards; made if need be."
)
@click.option(
    "--workers", type=click.IntRange(min=1), metavar="N",
    help="Processes on this machine, each with its share of the cores, or with --ray all over the machines  [default: "
    "1, with --ray one for every two cores]",
)  # fmt: skip
@click.option(
    "--ray", "address", metavar="ADDRESS",
    help="Work on the machines of a Ray cluster, HOST:PORT, or by a Ray of this machine: local. All machines must "
    "reach FOLDER and DIR by the same path.",
)  # fmt: skip
@click.option(
    "--photos-per-shard", type=click.IntRange(min=1), default=512, show_default=True, metavar="N",
    help="Photos in each new shard, the unit of work.",
)  # fmt: skip
@detector_options.face_options
@common.model_option
@common.json_option
def embed(
    source: Path,
    output: Path,
    workers: int | None,
    address: str | None,
    photos_per_shard: int,
    model: str | None,
    aligned: bool,
    as_json: bool,
    **looks: Any,
) -> None:
    """Write the faces and vectors of an archive to files.

    All photos in FOLDER, or those that the text file LIST names, one path a line, get rows in Parquet shards. After an
    interruption the same command goes on where it was. The same command makes shards for photos that came later, too.
    Several processes may run it at once, also on several machines that share DIR. enroll, cluster, search and evaluate
    take DIR in place of the photos.

    \b
    facerec embed archive/ --output vectors/
    facerec embed archive/ --output vectors/ --workers 8
    facerec embed archive/ --output vectors/ --ray local
    """
    if address is not None:
        require_extra("ray", "--ray")
    from facerec.faces.settings import DetectorSettings
    from facerec.inference import shard_work
    from facerec.inference.loading import load_embedder
    from facerec.inference.shard_plan import Recipe

    asked, began = shard_work.Asked(output.absolute(), model, aligned, DetectorSettings(**looks)), time.monotonic()
    embedder = load_embedder(model)
    plan, found = shard_work.prepare(source, asked, Recipe.of(embedder.card, aligned, asked.settings), photos_per_shard)
    for line in found.lines(output):
        common.remark(line)
    todo = shard_work.missing(output, plan)
    photos = sum(len(plan.shards[number]) for number in todo)
    new = _tell(_made(asked, plan, embedder, workers, address) if todo else (), photos, as_json)
    _finish(shard_work.totals(output, plan), len(plan.shards), new, time.monotonic() - began, as_json)


def _made(
    asked: "Asked", plan: "Plan", embedder: "Embedder", workers: int | None, address: str | None
) -> "Iterable[Event]":
    """Make the shards: by Ray, by several processes, or in this one."""
    if address is not None:
        from facerec.inference.ray_runner import make_shards_by_ray

        return make_shards_by_ray(asked, plan, address, workers)
    if workers is not None and workers > 1:
        from facerec.inference.shard_workers import make_shards_side_by_side

        return make_shards_side_by_side(asked, plan, workers)
    from facerec.inference.shard_work import make_shards

    return make_shards(asked, plan, embedder)


def _tell(events: "Iterable[Event]", photos: int, as_json: bool) -> int:
    """Print a line for each photo that failed, and with --json for each shard, while the bar moves.

    photos: how many there are in the shards to make, some of which other processes may make. Returns how many were
    embedded by this command.
    """
    from facerec.inference.shard_plan import shard_name
    from facerec.inference.shard_work import PhotoDone

    new = 0
    for event in show_progress(events, "Embedding", photos, counts=lambda event: isinstance(event, PhotoDone)):
        if not isinstance(event, PhotoDone):
            new += event.counts.photos
            if as_json:
                common.emit({"shard": shard_name(event.number), **_counts(event.counts)})
        elif event.error:
            common.warn(event.error)
        else:
            common.tell_remarks(event.path, event.remarks)
    return new


def _finish(counts: "Counts", shards: int, new: int, seconds: float, as_json: bool) -> None:
    """Print the summary of all shards, and end with the exit code that they call for."""
    speed = round(new / seconds, 1) if new else None
    if as_json:
        line: dict[str, Any] = {"summary": True, "shards": shards, **_counts(counts)}
        common.emit(line | {"embedded_now": new, "seconds": round(seconds, 1), "photos_per_second": speed})
    said = f"{how_many(shards, 'shard')}, {how_many(counts.photos, 'photo')}, {how_many(counts.faces, 'face')}"
    failed = f", {counts.failed} failed" if counts.failed else ""
    now = f" ({new} now, {speed} photos/s)" if new else " (nothing to do)"
    common.summary(f"{said}{failed}{now}", as_json)
    common.finish(counts.failed, counts.photos - counts.failed)


def _counts(counts: "Counts") -> dict[str, int]:
    return {"photos": counts.photos, "faces": counts.faces, "no_face": counts.no_face, "errors": counts.errors}
