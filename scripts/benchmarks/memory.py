"""Measures how much memory a process holds after 500 and after 5,000 photos.

    scripts/bench memory [--data DIR] [--json]

DATA (default ../shared/data) holds `lfw/`. Faces are found and embedded as every command does it, by `embed_photos`,
for each of MODELS in a process of its own. The libraries keep a program for each shape that they computed, so memory
would grow with every new number of photos, faces or pixels. It must not grow by more than LIMIT_MB between the two
counts. It is read after every 500 photos; the growth is up to the largest reading.
"""

import argparse
from itertools import islice
from pathlib import Path
from typing import Any

from scripts.benchmarks.common import add_data, in_own_process, resident_mb, say, text_table

MODELS = ("default", "int8")
STEP, PHOTOS = 500, 5000
LIMIT_MB = 50


def measure(data: Path, model: str) -> list[tuple[int, int]]:
    """Return the number of photos and the resident megabytes, after every STEP of PHOTOS photos."""
    from facerec.faces.mtcnn import MTCNNDetector
    from facerec.inference.loading import load_embedder
    from facerec.inference.pipeline import embed_photos

    embedder = load_embedder(model)
    photos = islice(sorted((data / "lfw").rglob("*.jpg")), PHOTOS)
    found = embed_photos(photos, MTCNNDetector(crop_size=embedder.card.input_size), embedder)
    readings = []
    for number, _ in enumerate(found, 1):
        if number % STEP == 0:
            readings.append((number, resident_mb()))
            say(f"{model}: {number} photos, {readings[-1][1]} MB")
    return readings


def growth(model: str, readings: list[tuple[int, int]]) -> dict[str, Any]:
    """Return the figures of a model from its readings, photos and megabytes."""
    megabytes = [reading[1] for reading in readings]
    grown = max(megabytes) - megabytes[0]
    return {"model": model, "mb_by_photos": dict(readings), "growth_mb": grown, "holds": grown <= LIMIT_MB}


# ------------------------------------------------------------------------------------------ the bench


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this bench."""
    add_data(parser)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every model."""
    return {"models": [growth(model, in_own_process(measure, options.data, model)) for model in MODELS]}


def table(figures: dict[str, Any]) -> str:
    """The figures as text."""
    head = ("model", f"MB after {STEP} photos", f"after {PHOTOS:,}", f"growth (at most {LIMIT_MB})")
    rows = []
    for row in figures["models"]:
        first, *_, last = row["mb_by_photos"].values()
        rows.append((row["model"], first, last, row["growth_mb"]))
    return text_table(head, rows)
