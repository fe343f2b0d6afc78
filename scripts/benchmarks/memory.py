"""Measures how much memory a process holds after 500, 1,000 and more photos, very large ones among them.

    scripts/bench memory [--photos N] [--data DIR] [--json]

DATA (default ../shared/data) holds `lfw/`, whose photos are taken again once all were. Faces are found and embedded as
every command does it, by `embed_photos`, for each of MODELS in a process of its own. The libraries keep a program for
each shape that they computed, so memory would grow with every new number of photos, faces or pixels. It must not grow
by more than LIMIT_MB between the first reading and any other. It is read after every STEP photos.

Then come LARGE made-up photos in all of the largest sizes, and the most memory that the process ever held (`peak`) must
stay below PEAK_MB.
"""

import argparse
import tempfile
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from scripts.benchmarks.common import add_data, in_own_process, peak_mb, resident_mb, say, text_table

MODELS = ("default", "int8")
STEP, FIRST = 500, 1000
LIMIT_MB, PEAK_MB = 50, 1000
LARGE = {"108 megapixels.jpg": (12000, 9000), "120 megapixels.png": (12000, 10000), "40 megapixels.jpg": (6399, 6250)}


def measure(data: Path, model: str, count: int, large: list[Path]) -> dict[str, Any]:
    """Return the resident megabytes after every STEP of `count` photos, and the peaks before and after large ones."""
    from facerec.faces.mtcnn import MTCNNDetector
    from facerec.inference.loading import load_embedder
    from facerec.inference.pipeline import embed_photos

    embedder = load_embedder(model)
    detector = MTCNNDetector(crop_size=embedder.card.input_size)
    photos = islice(cycle(sorted((data / "lfw").rglob("*.jpg"))), count)
    readings = {}
    for number, _ in enumerate(embed_photos(photos, detector, embedder), 1):
        if number % STEP == 0:
            readings[number] = resident_mb()
            say(f"{model}: {number} photos, {readings[number]} MB")
    before = peak_mb()
    found = list(embed_photos(large * 2, detector, embedder))
    return {"mb_by_photos": readings, "peak_mb": before, "peak_with_large_mb": peak_mb(), "faces": len(found[0].faces)}


def growth(model: str, found: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of a model, and whether they hold."""
    megabytes = list(found["mb_by_photos"].values())
    grown = max(megabytes) - megabytes[0]
    holds = grown <= LIMIT_MB and found["peak_with_large_mb"] <= PEAK_MB
    return {"model": model, **found, "growth_mb": grown, "holds": holds}


def make_large(folder: Path) -> list[Path]:
    """Write the large photos: a face on a wall."""
    import PIL.Image

    from scripts.benchmarks.common import ROOT

    face = PIL.Image.open(ROOT / "gallery" / "strangers" / "eileen_collins_astronaut.jpg").convert("RGB")
    for name, size in LARGE.items():
        photo = PIL.Image.new("RGB", size, "grey")
        photo.paste(face.resize((3000, 3000)), (1000, 1000))
        photo.save(folder / name)
    return [folder / name for name in LARGE]


# ------------------------------------------------------------------------------------------ the bench


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this bench."""
    add_data(parser)
    parser.add_argument("--photos", type=int, default=5000, help="photos of LFW, FIRST or more (default %(default)s)")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every model."""
    with tempfile.TemporaryDirectory() as folder:
        large = make_large(Path(folder))
        rows = [growth(model, in_own_process(measure, options.data, model, options.photos, large)) for model in MODELS]
    return {"photos": options.photos, "models": rows, "holds": all(row["holds"] for row in rows)}


def table(figures: dict[str, Any]) -> str:
    """The figures as text."""
    counts = sorted({STEP, FIRST, figures["photos"] // STEP * STEP})
    head = ["model", *(f"MB after {count:,}" for count in counts), f"growth (at most {LIMIT_MB})"]
    head += ["peak MB", f"with very large photos (at most {PEAK_MB:,})"]
    rows = []
    for row in figures["models"]:
        megabytes = (row["mb_by_photos"].get(count, "") for count in counts)
        rows.append((row["model"], *megabytes, row["growth_mb"], row["peak_mb"], row["peak_with_large_mb"]))
    return text_table(head, rows)
