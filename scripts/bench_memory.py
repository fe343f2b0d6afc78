"""Measure how much memory a process holds after 500 and after 5,000 photos.

    scripts/bench memory [--data DIR] [--json]

DATA (default ../shared/data) holds `lfw/`. Faces are found and embedded as every command does it, by `embed_photos`,
for each of MODELS in a process of its own. The libraries keep a program for each shape that they computed, so memory
would grow with every new number of photos, faces or pixels. It must not grow by more than LIMIT_MB between the two
counts. It is read after every 500 photos; the growth is up to the largest reading.
"""

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

MODELS = ("default", "int8")
STEP, PHOTOS = 500, 5000
LIMIT_MB = 50


def resident_mb() -> int:
    """Return the memory of this process that is in RAM (Linux only)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) // 1024


def measure(data: Path, model: str) -> Iterator[tuple[int, int]]:
    """Yield the number of photos and the resident megabytes, after every STEP of PHOTOS photos."""
    from facerec.faces.mtcnn import MTCNNDetector
    from facerec.inference.loading import load_embedder
    from facerec.inference.pipeline import embed_photos

    embedder = load_embedder(model)
    photos = islice(sorted((data / "lfw").rglob("*.jpg")), PHOTOS)
    found = embed_photos(photos, MTCNNDetector(crop_size=embedder.card.input_size), embedder)
    for number, _ in enumerate(found, 1):
        if number % STEP == 0:
            yield number, resident_mb()
            print(f"{model}: {number} photos, {resident_mb()} MB", file=sys.stderr, flush=True)


def figures(model: str, readings: list[tuple[int, int]]) -> dict[str, Any]:
    """Return the figures of a model from its readings, photos and megabytes."""
    megabytes = [reading[1] for reading in readings]
    growth = max(megabytes) - megabytes[0]
    return {"model": model, "mb_by_photos": dict(readings), "growth_mb": growth, "holds": growth <= LIMIT_MB}


def show(rows: list[dict[str, Any]]) -> None:
    """Print the table."""
    print(f"  model     MB after {STEP} photos   after {PHOTOS:,}   growth (at most {LIMIT_MB})")
    for row in rows:
        first, *_, last = row["mb_by_photos"].values()
        print(f"  {row['model']:<10}{first:>19}{last:>14}{row['growth_mb']:>12}")
