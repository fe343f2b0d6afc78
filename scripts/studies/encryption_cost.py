"""What does encryption cost? Opening a gallery, naming a face and enrolling one, plain and encrypted, in one run.

    .venv/bin/python -m scripts.studies encryption_cost [--people 1000] [--photos 5] [--rounds 5]

The galleries hold made-up people with 512 numbers a photo, and 2,000 strangers. Each side of each round is a process
of its own, and the sides take turns. The clock counts the processor's seconds, so that waiting for the disk and other
programs does not matter. It leaves out starting Python and loading the model.

open       until the gallery could be asked who is in it; if it is encrypted, most of this derives the key
identify   opening, and until the nearest person is found
enroll     in the same process, which has the key by then: opening, one more photo, and closing with the copy
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from facerec.gallery.archive_file import Archive, Person
from facerec.gallery.encryption import encrypt
from facerec.gallery.gallery import Gallery
from facerec.types import Template
from facerec.vectors import unit_rows
from scripts.studies.tables import Table, spanned, study_parser

MODEL = ("f" * 64, "made up", 512, None)
TASKS = {
    "open": "opening",
    "identify": "opening, identifying a face",
    "enroll": "enrolling a photo, the key known",
}


def made_up_rows(count: int, seed: int) -> np.ndarray:
    """Made-up faces, (count, 512) unit float32 rows."""
    rows = np.random.default_rng(seed).standard_normal((count, 512)).astype(np.float32)
    return unit_rows(rows)


def template(row: np.ndarray, number: int) -> Template:
    """A made-up photo with this vector."""
    return Template(f"{number:064x}", f"photos/{number}.jpg", (0, 0, 112, 112), 1.0, row)


def fill(folder: Path, people: int, photos: int) -> None:
    """Make the gallery, as an import does it: in one transaction."""
    rows = made_up_rows(people * photos, 0)
    when = "2026-01-01T00:00:00Z"
    templates = [(template(row, number), when) for number, row in enumerate(rows)]
    groups = [Person(f"Person {i}", None, None, tuple(templates[i::people])) for i in range(people)]
    with Gallery.open(folder, create=True) as gallery:
        gallery.bind_model(*MODEL, cohort=made_up_rows(2000, 1))
        gallery.import_archive(Archive(MODEL[0], MODEL[1], MODEL[2], tuple(groups)))
        gallery.search(rows[:1], 1)


def time_side(folder: Path, number: int) -> dict[str, float]:
    """Processor seconds of each task, in this process."""
    import faiss  # noqa: F401  # loaded before the clock runs

    face, cohort = made_up_rows(1, 0), made_up_rows(2000, 1)
    begin = time.process_time()
    with Gallery.open(folder) as gallery:
        len(gallery)
        opened = time.process_time() - begin
        gallery.bind_model(*MODEL, cohort=cohort)
        assert gallery.search(face, 1)[0][0].person == "Person 0"
        identified = time.process_time() - begin
    return {"open": opened, "identify": identified, "enroll": time_enrollment(folder, number)}


def time_enrollment(folder: Path, number: int) -> float:
    """Processor seconds to open, enroll one more photo, and close, the key being known."""
    row, cohort = made_up_rows(1, number)[0], made_up_rows(2000, 1)
    begin = time.process_time()
    with Gallery.open(folder) as gallery:
        gallery.bind_model(*MODEL, cohort=cohort)
        gallery.add("Person 0", template(row, number))
    return time.process_time() - begin


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    made = study_parser(__doc__)
    made.add_argument("--people", type=int, default=1000)
    made.add_argument("--photos", type=int, default=5)
    made.add_argument("--rounds", type=int, default=5)
    made.add_argument("--side", nargs=2, help=argparse.SUPPRESS)
    return made


def main() -> None:
    """Parse and measure."""
    options = parser().parse_args()
    if options.side:
        print(json.dumps(time_side(Path(options.side[0]), int(options.side[1]))))
        return
    os.environ["FACEREC_PASSPHRASE"] = "of no consequence"
    with tempfile.TemporaryDirectory() as name:
        sides = {side: Path(name, side) for side in ("plain", "encrypted")}
        for folder in sides.values():
            fill(folder, options.people, options.photos)
        encrypt(sides["encrypted"], os.environ["FACEREC_PASSPHRASE"])
        found: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
        for turn in range(options.rounds):
            for side, folder in sides.items():
                command = [sys.executable, "-m", __spec__.name, "--side", str(folder), str(10**6 + turn)]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                found[side].append(json.loads(done.stdout))
    table = Table(("task", "plain, s", "encrypted, s", "ratio"), options.csv)
    for task, name in TASKS.items():
        plain, encrypted = ([values[task] for values in rounds] for rounds in found.values())
        ratios = [b / a for a, b in zip(plain, encrypted, strict=True)]
        table.add(name, median_of(plain, 3), median_of(encrypted, 3), median_of(ratios, 1))


def median_of(values: list[float], digits: int) -> str:
    """The median with the least and the largest."""
    return spanned(statistics.median(values), (min(values), max(values)), 1, digits)


if __name__ == "__main__":
    main()
