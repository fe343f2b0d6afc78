"""Measures photos a second of `facerec embed` with one worker and with two, in turns.

    scripts/bench embed [--photos N] [--rounds N] [--data DIR] [--json]

DATA (default ../shared/data) holds `lfw/`, of which N photos, spread over it, are embedded into shards of PER_SHARD
photos. Each side is one command from its start to its end, so that loading the model counts, in each worker. `embed` is
one worker; `--workers 1` is not measured apart, as it is the same. `times` compares each side with the first in the
same round. `same_answers`: all sides made the same shards, byte for byte. With --ray, a third side does the same by a
Ray of this machine with two workers; starting Ray takes seconds, and counts.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from scripts.benchmarks.common import ROOT, add_data, add_rounds, median_and_range, take_turns, text_table

PER_SHARD = 64
SIDES = {"1 worker": [], "2 workers": ["--workers", "2"]}
RAY = {"Ray, 2 workers": ["--workers", "2", "--ray", "local"]}


def spread(folder: Path, count: int) -> list[Path]:
    """`count` photos, spread evenly over the photos of a folder."""
    photos = sorted(folder.rglob("*.jpg"))
    if not photos:
        raise SystemExit(f"{folder}: no photos; --data says where lfw/ is")
    return [photos[i * len(photos) // count] for i in range(min(count, len(photos)))]


def embed(listed: Path, output: Path, options: list[str]) -> float:
    """Run `facerec embed` on a list of photos; returns its seconds."""
    words = [sys.executable, "-m", "facerec.cli.main", "embed", str(listed), "--output", str(output), *options]
    words += ["--photos-per-shard", str(PER_SHARD), "--quiet"]
    env, began = {**os.environ, "PYTHONPATH": str(ROOT)}, time.perf_counter()
    done = subprocess.run(words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if done.returncode not in (0, 1):  # 1: a photo without a face
        raise SystemExit(f"`{' '.join(words[2:])}` ended with {done.returncode}")
    return time.perf_counter() - began


def shards(output: Path) -> dict[str, bytes]:
    """The shards in a folder."""
    return {path.name: path.read_bytes() for path in output.glob("*.parquet")}


# ------------------------------------------------------------------------------------------ the bench


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this bench."""
    add_data(parser)
    add_rounds(parser, 3)
    parser.add_argument("--photos", type=int, default=1024, help="photos of LFW (default %(default)s)")
    parser.add_argument("--ray", action="store_true", help="also by a Ray of this machine")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure all sides; nothing is read from the disk for the first time in a round that counts."""
    asked = SIDES | (RAY if options.ray else {})
    photos = spread(options.data / "lfw", options.photos)
    with tempfile.TemporaryDirectory() as folder:
        listed, made = Path(folder, "photos.txt"), set()
        listed.write_text("\n".join(map(str, photos)), "utf-8")
        embed(listed, Path(folder, "warm"), [])
        expected = shards(Path(folder, "warm"))

        def turn(name: str, number: int) -> float:
            output = Path(folder, f"{name} {number}")
            seconds = embed(listed, output, asked[name])
            made.add(shards(output) == expected)
            return seconds

        seconds = take_turns({name: partial(turn, name) for name in asked}, options.rounds)
    first = seconds["1 worker"]
    rows = [
        {
            "side": name,
            "photos_per_second": [round(len(photos) / each, 2) for each in own],
            "times": [round(one / each, 3) for one, each in zip(first, own, strict=True)],
        }
        for name, own in seconds.items()
    ]
    return {"photos": len(photos), "per_shard": PER_SHARD, "sides": rows, "same_answers": made == {True}}


def table(figures: dict[str, Any]) -> str:
    """The figures as text."""
    rows = [
        (row["side"], median_and_range(row["photos_per_second"], 1), median_and_range(row["times"]))
        for row in figures["sides"]
    ]
    same = "the same shards, byte for byte" if figures["same_answers"] else "different shards"
    head = (f"{figures['photos']} photos", "photos/s", "times 1 worker")
    return f"{text_table(head, rows)}\n{same}"
