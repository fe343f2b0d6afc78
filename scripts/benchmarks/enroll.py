"""Measures what enrolling one more photo costs in galleries of 100, 10,000 and 100,000 people.

    scripts/bench enroll [--rounds N] [--json]

It needs no data besides the checkout. The galleries are filled with made-up people, one vector each, drawn from a
normal distribution with the mean and covariance of the shipped model's cohort. The photos are those of gallery/, each
cut, scaled and mirrored a little differently every time. An earlier command left each gallery calibrated, and its index
file out of date, as every enrollment does. Then one `enroll` runs in each of them, as one command does. They take turns
of 48 photos (three batches of the pipeline), the same photos in each; the first turn warms up and is not counted. The
first faces of the next turn are found ahead, while the next gallery has its turn.

`photo` is the time of a turn divided by 48: hashing and reading the file, detection, embedding, quality, search, and
the transaction that enrolls the photo, on disk. `gallery` is the part of search and transaction; photos are read and
faces found meanwhile. `in all` is `photo` and its share of the end of the command (calibration and review), which is
divided among the photos of the command. Two costs are shown apart: opening the gallery and closing it (a copy of the
database is kept). They grow with the gallery, and a command has them once, however many photos it enrolls.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from scripts.benchmarks.common import ROOT, add_rounds, peak_mb, say, text_table

SIZES = (100, 10_000, 100_000)
TURN = 48  # photos: three of facerec.inference.pipeline.BATCH


class Stopwatch:
    """Adds up the seconds that an object spends in some of its methods."""

    def __init__(self, timed: Any, *methods: str) -> None:
        self.seconds = 0.0
        for name in methods:
            setattr(timed, name, self._clocked(getattr(timed, name)))

    def _clocked(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def clocked(*arguments: Any) -> Any:
            began = time.perf_counter()
            try:
                return call(*arguments)
            finally:
                self.seconds += time.perf_counter() - began

        return clocked


@dataclass
class Side:
    """A gallery of one size and its figures: milliseconds per photo in each turn, and seconds of what is done once."""

    people: int
    gallery: Any
    watch: Stopwatch
    enrolling: Iterator[Any]
    open_seconds: float
    photo_ms: list[float] = field(default_factory=list)
    gallery_ms: list[float] = field(default_factory=list)
    results: list[Any] = field(default_factory=list)
    end: dict[str, float] = field(default_factory=dict)


# ------------------------------------------------------------------------------------------ galleries and photos


def make_gallery(folder: Path, people: int, cohort: np.ndarray, open_gallery: Callable[..., Any]) -> None:
    """Fill a gallery as an import does, then add one more person, as an enrollment does."""
    from facerec.gallery.audit_log import record
    from facerec.gallery.queries import insert_template
    from facerec.types import Template
    from facerec.vectors import unit_rows

    rng = np.random.default_rng(people)
    drawn = rng.multivariate_normal(cohort.mean(0), np.cov(cohort.T), people, method="cholesky")
    rows = unit_rows(drawn.astype(np.float32))
    with open_gallery(folder, create=True) as gallery:
        box = (0.0, 0.0, 112.0, 112.0)
        templates = [Template(f"{n:064x}", f"made-up/{n}.jpg", box, 1.0, row) for n, row in enumerate(rows)]
        with gallery.store.write() as db:  # as an import does, without the list of its people
            for number, template in enumerate(templates[:-1]):
                insert_template(db, f"Made-up {number:06}", template)
            record(db, "imported", templates=people - 1)
        gallery.calibration()
        gallery.add("Made-up", templates[-1])
        gallery.calibration()


def make_photos(folder: Path, count: int) -> dict[str, list[Path]]:
    """Write `count` different photos of the people in the sample gallery. Returns person -> paths."""
    rng = np.random.default_rng(0)
    originals = sorted((ROOT / "gallery" / "people").rglob("*.jpg"))
    people: dict[str, list[Path]] = {}
    for number in range(count):
        original = originals[number % len(originals)]
        path = folder / f"{number:04}.jpg"
        vary(PIL.Image.open(original).convert("RGB"), rng, number // len(originals) % 2).save(path, quality=92)
        people.setdefault(original.parent.name, []).append(path)
    return people


def vary(image: PIL.Image.Image, rng: np.random.Generator, mirrored: int) -> PIL.Image.Image:
    """Cut up to 5 % off each side, shrink by up to 10 %, and mirror if asked to."""
    width, height = image.size
    left, top, right, bottom = rng.uniform(0, 0.05, 4) * (width, height, width, height)
    scale = rng.uniform(0.9, 1.0)
    size = (round(width * scale), round(height * scale))
    cut = image.resize(size, PIL.Image.Resampling.BICUBIC, (left, top, width - right, height - bottom))
    return PIL.Image.fromarray(np.ascontiguousarray(np.asarray(cut)[:, ::-1])) if mirrored else cut


# ------------------------------------------------------------------------------------------ turns, and the end


def take_turn(side: Side) -> None:
    """Enroll TURN more photos and note the times."""
    before, began = side.watch.seconds, time.perf_counter()
    side.results += [next(side.enrolling) for _ in range(TURN)]
    side.photo_ms.append(1000 * (time.perf_counter() - began) / TURN)
    side.gallery_ms.append(1000 * (side.watch.seconds - before) / TURN)


def end_command(side: Side) -> None:
    """Time each part of what `facerec enroll` does after the last photo."""
    from facerec.recognition.review import review

    for name, step in (
        ("calibration", lambda: side.gallery.calibration()),
        ("review", lambda: review(side.gallery, side.results)),
        ("close", lambda: side.gallery.close()),
    ):
        began = time.perf_counter()
        step()
        side.end[name] = time.perf_counter() - began


def measure(rounds: int, folder: Path) -> list[Side]:
    """Measure all galleries, in turns."""
    from facerec.faces.mtcnn import MTCNNDetector
    from facerec.inference.loading import load_embedder
    from facerec.models.cohort import load_cohort
    from facerec.recognition.enroll import enroll
    from facerec.recognition.identify import open_gallery

    embedder = load_embedder(None)
    cohort = load_cohort(embedder.path, embedder.card)
    detector = MTCNNDetector(crop_size=embedder.card.input_size)
    photos = make_photos(folder, TURN * (rounds + 1))
    sides = []
    for people in SIZES:
        say(f"making a gallery of {people:,} people")
        make_gallery(folder / str(people), people, cohort, lambda path, **how: open_gallery(path, embedder, **how))
        began = time.perf_counter()
        gallery = open_gallery(folder / str(people), embedder)
        gallery.calibration()  # reads everybody, and the calibration that was kept
        opened = time.perf_counter() - began
        watch = Stopwatch(gallery, "nearest_and_named", "add")
        sides.append(Side(people, gallery, watch, enroll(gallery, photos, detector, embedder), opened))
    for turn in range(rounds + 1):
        say(f"turn {turn} of {rounds}")
        for side in sides[turn % len(sides) :] + sides[: turn % len(sides)]:
            take_turn(side)
    for side in sides:
        end_command(side)
    return sides


# ------------------------------------------------------------------------------------------ figures


def figures_of(side: Side) -> dict[str, Any]:
    """Return the figures of a gallery: medians over the turns after the first."""
    photo, own = statistics.median(side.photo_ms[1:]), statistics.median(side.gallery_ms[1:])
    share = 1000 * (side.end["calibration"] + side.end["review"]) / len(side.results)
    added = sum(result.status == "added" for result in side.results)
    return {
        "people": side.people, "photos": len(side.results), "added": added, "in_all_ms": photo + share,
        "photo_ms": photo, "gallery_ms": own, "end_share_ms": share, "photo_ms_turns": side.photo_ms[1:],
        "gallery_ms_turns": side.gallery_ms[1:], "open_s": side.open_seconds,
        "end_s": side.end,
    }  # fmt: skip


# ------------------------------------------------------------------------------------------ the bench


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this bench."""
    add_rounds(parser, 7)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure all galleries, in turns."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [figures_of(side) for side in measure(options.rounds, Path(folder))]
    costs = [row["in_all_ms"] for row in rows]
    same = len({row["added"] for row in rows}) == 1
    return {"sizes": rows, "largest_ratio": max(costs) / min(costs), "same_answers": same, "peak_memory_mb": peak_mb()}


def table(figures: dict[str, Any]) -> str:
    """The figures as text."""
    rows = figures["sizes"]
    head = ("people", "photos", "added", "in all ms", "photo ms", "gallery ms", "end's share ms", "times the smallest")
    cells = [
        (f"{row['people']:,}", row["photos"], row["added"], f"{row['in_all_ms']:.1f}", f"{row['photo_ms']:.1f}",
         f"{row['gallery_ms']:.1f}", f"{row['end_share_ms']:.1f}", f"{row['in_all_ms'] / rows[0]['in_all_ms']:.2f}")
        for row in rows
    ]  # fmt: skip
    lines = [text_table(head, cells)]
    for row in rows:
        once = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in row["end_s"].items())
        lines.append(f"once in a command at {row['people']:,} people: open {row['open_s']:.2f} s, {once}")
    lines.append(f"the most expensive size costs {figures['largest_ratio']:.2f} times the cheapest")
    return "\n".join([*lines, f"peak memory {figures['peak_memory_mb']} MB"])
