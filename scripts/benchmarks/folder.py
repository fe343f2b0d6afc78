"""Measures a folder of photos, from files to vectors, beside what detector and embedder do alone.

    scripts/bench folder [--photos N] [--against COMMIT] [--data DIR] [--json]

DATA (default ../shared/data) holds `lfw/`. For the default model and for int8 (`--fast`), `folder` is how many photos
of LFW a second go from the file to the vectors of all faces, by `embed_photos`. d and e are what the detector does
alone, with photos that are decoded already, and the embedder, with crops that are cut already. If decoding cost nothing
and both shared the cores without loss, 1 / (1/d + 1/e) photos a second were possible: `share` is how much of that is
reached. The stages take turns, SLICE photos at a time.

`two at once` compares two processes that each work on the same photos at the same time with one after the other: 1
means that they do not hinder each other, less that they do.

--against: a commit whose checkout works on the same photos, in turns, by either model. `times` is how many times as
fast this checkout is. Its vectors are compared with the commit's: `moved` counts photos of which a face is missing, or
has a vector farther than TOLERANCE from the nearest one of now. At most MOST_MOVED of the photos may be.
"""

import argparse
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np

from facerec.vectors import squared_distances
from scripts.benchmarks.common import ROOT, add_data, say, text_table

MODELS = ("default", "int8")
SLICE = 1024  # photos of a turn
PAIR = 256  # photos that each of two processes works on
WARM = 40
TOLERANCE, MOST_MOVED = 1e-3, 0.01


class Process:
    """A side in a process of its own."""

    def __init__(self, tree: Path, model: str, warm: list[str]) -> None:
        """tree: the checkout. warm: photos that it works on before it is measured."""
        script = Path(__file__).with_name("_folder_side.py")
        env = {**os.environ, "PYTHONPATH": str(tree)}
        words = [sys.executable, str(script), model]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env, cwd=tree
        )
        self.ask("folder", warm)

    def ask(self, stage: str, photos: list[str], **more: str) -> float:
        """The seconds that a stage takes."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps({"stage": stage, "photos": photos, **more}), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"the process of {stage} ended with {self._process.wait()}")
        return json.loads(answer)

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


# ------------------------------------------------------------------------------------------ one model


def measure(model: str, photos: list[str], old: Path | None) -> dict[str, Any]:
    """The figures of a model. old: the checkout that it is compared with."""
    seconds, moved = defaultdict[str, float](float), 0
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        now = stack.enter_context(Process(ROOT, model, photos[:WARM]))
        other = stack.enter_context(Process(old, model, photos[:WARM])) if old else None
        for number, start in enumerate(range(0, len(photos), SLICE)):
            some = photos[start : start + SLICE]
            turns = [partial(take_apart, now, some), partial(take_whole, now, other, some, Path(folder))]
            for turn in turns[:: -1 if number % 2 else 1]:
                for stage, took in turn().items():
                    seconds[stage] += took
            moved += moved_in(Path(folder)) if other else 0
            say(f"{model}: {start + len(some)} photos")
    rates = {stage: len(photos) / took for stage, took in seconds.items()}
    possible = 1 / (1 / rates["detect"] + 1 / rates["embed"])
    figures = {
        "model": model,
        "photos": len(photos),
        **rates,
        "possible": possible,
        "share": rates["folder"] / possible,
    }
    return {**figures, "times": rates["folder"] / rates["against"], "moved": moved} if other else figures


def take_apart(now: Process, photos: list[str]) -> dict[str, float]:
    """The seconds of detector and embedder alone."""
    return {stage: now.ask(stage, photos) for stage in ("detect", "embed")}


def take_whole(now: Process, old: Process | None, photos: list[str], folder: Path) -> dict[str, float]:
    """The seconds from file to vectors, now and by the old checkout. The vectors are written to the folder."""
    sides = {"folder": now, **({"against": old} if old else {})}
    return {name: side.ask("folder", photos, vectors=str(folder / name)) for name, side in sides.items()}


def moved_in(folder: Path) -> int:
    """How many photos have an old vector that is not among those of now."""
    now, old = (pickle.loads((folder / name).read_bytes()) for name in ("folder", "against"))
    return sum(is_moved(*vectors) for vectors in zip(now, old, strict=True))


def is_moved(now: np.ndarray, old: np.ndarray) -> bool:
    """Whether one of the old vectors (N, D) of a photo is farther than TOLERANCE from all of now."""
    return bool(len(old)) and (not len(now) or float(squared_distances(old, now).min(axis=1).max()) > TOLERANCE)


def two_at_once(model: str, photos: list[str]) -> dict[str, Any]:
    """Two processes one after the other, beside the same two at once."""
    with Process(ROOT, model, photos[:WARM]) as one, Process(ROOT, model, photos[:WARM]) as other:
        seconds = []
        for _ in range(2):
            began = time.perf_counter()
            for process in (one, other):
                process.ask("folder", photos)
            middle = time.perf_counter()
            threads = [Thread(target=process.ask, args=("folder", photos)) for process in (one, other)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            seconds.append((middle - began, time.perf_counter() - middle))
    after, at_once = map(sum, zip(*seconds, strict=True))
    return {"one_after_the_other_s": after, "at_once_s": at_once, "two_at_once": after / at_once}


# ------------------------------------------------------------------------------------------ the bench


@contextmanager
def checkout(commit: str | None) -> Iterator[Path | None]:
    """A checkout of a commit in a temporary folder; None without a commit."""
    if commit is None:
        yield None
        return
    git = ["git", "-C", str(ROOT), "worktree"]
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), commit], check=True)
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this bench."""
    add_data(parser)
    parser.add_argument("--photos", type=int, default=7701, help="how many photos of LFW (default: all, %(default)s)")
    parser.add_argument("--against", metavar="COMMIT", help="a commit to compare with")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure both models."""
    photos = [str(path) for path in sorted((options.data / "lfw").resolve().rglob("*.jpg"))]
    photos = photos[:: max(len(photos) // options.photos, 1)][: options.photos]
    with checkout(options.against) as old:
        rows = [{**measure(model, photos, old), **two_at_once(model, photos[:PAIR])} for model in MODELS]
    figures: dict[str, Any] = {"against": options.against, "models": rows}
    if old:
        figures["fast_times_default"] = rows[1]["folder"] / rows[0]["against"]
        figures["same_answers"] = all(row["moved"] <= MOST_MOVED * row["photos"] for row in rows)
    return figures


def table(figures: dict[str, Any]) -> str:
    """The figures as text."""
    names = {
        **{"model": "model", "photos": "photos", "detect": "d /s", "embed": "e /s", "possible": "possible /s"},
        **{"folder": "folder /s", "share": "share", "two_at_once": "two at once"},
        **({"against": f"{figures['against']} /s", "times": "times", "moved": "moved"} if figures["against"] else {}),
    }
    digits = {"share": 3, "two_at_once": 2, "times": 2}
    rows = [
        [f"{row[key]:.{digits.get(key, 1)}f}" if isinstance(row[key], float) else row[key] for key in names]
        for row in figures["models"]
    ]
    text = text_table(tuple(names.values()), rows)
    if figures["against"]:
        text += f"\nint8 now is {figures['fast_times_default']:.2f} times the default model at {figures['against']}"
    return text
