"""Measures how long it takes from the start of a process to its answer.

    scripts/bench start [--rounds N] [--people N] [--json]

It needs no data besides the checkout. Every figure is of whole `facerec` processes, one at a time, on files in the page
cache: `--help` in seconds of processor time, the others in seconds until the process has ended. They take turns.

identify: a photo of the sample gallery is identified in a gallery of its people, with the networks that an earlier
process compiled and kept. first run: the same with an empty cache, so that the networks are compiled. large gallery:
the same in a gallery that also holds made-up people, as an earlier command left it. mistyped path: a photo that is not
there. two at once: two processes identify the same copies of photos, at the same time and one after the other.

`steps` says where the time goes in one process: the imports by package, then each step. The answers of all processes
that identify the photo must be the same.
"""

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.benchmarks.common import ROOT, add_rounds, in_own_process, median_and_range, say, take_turns, text_table

PHOTO = ROOT / "gallery" / "people" / "Joe Biden" / "blue_room_2010.jpg"
LIMITS = {"help": 0.15, "identify": 1.0, "first run": 5.0, "large gallery": 0.3, "mistyped path": 0.3}
COPIES = 24  # photos that each of two processes identifies
LISTED = 8  # packages whose imports are listed


class Run:
    """A `facerec` process that has ended: seconds, seconds of processor time, and what it printed."""

    def __init__(self, *arguments: object, env: Mapping[str, str] | None = None) -> None:
        used, began = _processor_seconds(), time.perf_counter()
        command = [sys.executable, "-m", "facerec.cli.main", *map(str, arguments)]
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, **(env or {})}, capture_output=True, text=True)
        self.seconds, self.processor = time.perf_counter() - began, _processor_seconds() - used
        self.code, self.stdout, self.stderr = done.returncode, done.stdout, done.stderr


def _processor_seconds() -> float:
    """The processor seconds of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# ------------------------------------------------------------------------------------------ sides


def identify(gallery: Path, cache: Path, *more: object) -> Run:
    """Identify the photo in a process."""
    return Run("identify", PHOTO, "--gallery", gallery, "--json", *more, env={"FACEREC_CACHE": str(cache)})


def first_run(gallery: Path, folder: Path, number: int) -> Run:
    """Identify the photo where no network is kept."""
    return identify(gallery, folder / f"empty{number}")


def two_at_once(gallery: Path, photos: Path, cache: Path) -> dict[str, float]:
    """Return the seconds of two processes at the same time, and one after the other."""
    words = ["identify", str(photos), "--gallery", str(gallery), "--json"]
    command = [sys.executable, "-m", "facerec.cli.main", *words]
    found = {}
    for name, together in (("together", True), ("in turn", False)):
        began, running = time.perf_counter(), []
        for _ in range(2):
            env = {**os.environ, "FACEREC_CACHE": str(cache)}
            running.append(subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL))
            if not together:
                running[-1].wait()
        assert [process.wait() for process in running] == [0, 0]
        found[name] = time.perf_counter() - began
    return found


# ------------------------------------------------------------------------------------------ where the time goes


def imports(gallery: Path, cache: Path) -> dict[str, float]:
    """Return the seconds that the imports of a process take that identifies the photo, by package."""
    words = ["identify", PHOTO, "--gallery", gallery, "--json"]
    command = [sys.executable, "-X", "importtime", "-m", "facerec.cli.main", *map(str, words)]
    env = {**os.environ, "FACEREC_CACHE": str(cache)}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    spent: Counter[str] = Counter()
    for line in done.stderr.splitlines():
        if found := re.match(r"import time: +(\d+) \| +\d+ \| +([\w.]+)", line):
            spent[found[2].partition(".")[0]] += int(found[1])
    few = dict(spent.most_common(LISTED))
    return {name: spent / 1e6 for name, spent in {**few, "the rest": spent.total() - sum(few.values())}.items()}


def steps(gallery: Path) -> dict[str, float]:
    """Return the seconds of each step in this process, which has imported nothing yet."""
    began, found = time.perf_counter(), {}

    def done(name: str) -> None:
        nonlocal began
        now = time.perf_counter()
        found[name], began = now - began, now

    from facerec.decision.decide import choose_threshold
    from facerec.faces.detector import make_detector
    from facerec.inference.loading import load_embedder
    from facerec.models.compiled import import_openvino
    from facerec.recognition.identify import identify as identify_photos
    from facerec.recognition.identify import open_gallery

    import_openvino()
    done("imports")
    embedder = load_embedder(None)
    done("load the embedder")
    detector = make_detector(embedder.card.input_size)
    done("load the detector")
    with open_gallery(gallery, embedder) as opened:
        threshold = choose_threshold(None, opened.threshold, embedder.card.name)
        done("open the gallery")
        list(identify_photos(opened, [PHOTO], detector, embedder, threshold))
        done("read, detect, embed, search")
    return found


# ------------------------------------------------------------------------------------------ the bench


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this bench."""
    add_rounds(parser, 10)
    parser.add_argument("--people", type=int, default=100_000, help="made-up people in the large gallery")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure all sides, in turns."""
    with tempfile.TemporaryDirectory() as name:
        return measure(Path(name), options.rounds, options.people)


def measure(folder: Path, rounds: int, people: int) -> dict[str, Any]:
    """Return the figures. folder: an empty one."""
    small, large, cache = folder / "small", folder / "large", folder / "cache"
    say(f"making a gallery of {people:,} people")
    in_own_process(make_large, large, people)
    for gallery in (small, large):
        Run("enroll", ROOT / "gallery" / "people", "--gallery", gallery, env={"FACEREC_CACHE": str(cache)})
        identify(gallery, cache)  # brings everything up to date that a process keeps
    (folder / "photos").mkdir()
    in_own_process(copy_photos, folder / "photos")
    found = take_turns(
        {
            "help": lambda number: Run("--help"),
            "identify": lambda number: identify(small, cache),
            "large gallery": lambda number: identify(large, cache),
            "first run": lambda number: first_run(small, folder, number),
            "mistyped path": lambda number: Run("identify", folder / "typo.jpg", "--gallery", small),
        },
        rounds,
    )
    both = [two_at_once(small, folder / "photos", cache) for _ in range(min(rounds, 3))]
    return {
        "people": people,
        "seconds": seconds_of(found),
        "two_at_once": {name: [each[name] for each in both] for name in both[0]},
        "imports": imports(small, cache),
        "steps": in_own_process(steps, small, env={"FACEREC_CACHE": str(cache)}),
        "same_answers": same_answers([*found["identify"], *found["large gallery"], *found["first run"]]),
    }


def seconds_of(found: Mapping[str, list[Run]]) -> dict[str, list[float]]:
    """Return the seconds of each round. Those of the large gallery are what it adds to the small one."""
    times = {
        name: [each.processor if name == "help" else each.seconds for each in runs] for name, runs in found.items()
    }
    times["large gallery"] = [a - b for a, b in zip(times["large gallery"], times["identify"], strict=True)]
    return times


def same_answers(runs: list[Run]) -> bool:
    """Whether all processes found the same person at the same distance."""
    lines = [json.loads(each.stdout.splitlines()[0]) if each.code == 0 else {} for each in runs]
    return {(line.get("person"), round(line.get("distance", -1), 5)) for line in lines} == {("Joe Biden", 0.0)}


def make_large(folder: Path, people: int) -> None:
    """Make the large gallery."""
    from facerec.inference.loading import load_embedder
    from facerec.models.cohort import load_cohort
    from facerec.recognition.identify import open_gallery
    from scripts.benchmarks.enroll import make_gallery

    embedder = load_embedder(None)
    cohort = load_cohort(embedder.path, embedder.card)
    make_gallery(folder, people, cohort, lambda path, **how: open_gallery(path, embedder, **how))


def copy_photos(folder: Path) -> None:
    """Write varied copies of the sample photos."""
    from scripts.benchmarks.enroll import make_photos

    make_photos(folder, COPIES)


def table(figures: dict[str, Any]) -> str:
    """The figures as text."""
    what = {
        "help": "`--help`, processor",
        "identify": "`identify PHOTO`",
        "first run": "the same, the first time",
        "large gallery": f"more with {figures['people']:,} people",
        "mistyped path": "a mistyped path refused",
    }
    seconds = figures["seconds"]
    rows = [(what[name], median_and_range(seconds[name]), f"{limit:.2f}") for name, limit in LIMITS.items()]
    parts = [text_table(("", "seconds", "at most"), rows)]
    both = {name: statistics.median(times) for name, times in figures["two_at_once"].items()}
    ratio = both["together"] / both["in turn"]
    parts += [f"two processes at once take {ratio:.2f} times as long as one after the other ({both['in turn']:.1f} s)"]
    parts += [text_table((name, "seconds"), _shares(figures[name])) for name in ("imports", "steps")]
    return "\n\n".join(parts)


def _shares(seconds: Mapping[str, float]) -> list[tuple[str, str]]:
    return [(name, f"{spent:.3f}") for name, spent in seconds.items()]
