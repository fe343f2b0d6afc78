"""The threshold found for a gallery's target rate: kept in its database until the gallery changes."""

import dataclasses
import sqlite3
from contextlib import suppress

from facerec.decision.calibration import Calibration
from facerec.errors import GalleryError
from facerec.gallery.schema import sealed, version_of
from facerec.gallery.store import Store

_COLUMNS = "fpir, distance, strangers, within, people, least, most, worth"


def load(db: sqlite3.Connection, generation: str, rate: float) -> Calibration | None:
    """What was kept for a rate at this generation of the gallery; None if nothing was, or it is damaged."""
    if version_of(db) < 6:  # an older format, that may only be read, keeps less
        return None
    whole = f"checksum = {sealed('generation', *_COLUMNS.split(', '))}"
    kept = f"SELECT {_COLUMNS} FROM calibration WHERE generation = ? AND fpir = ? AND {whole}"
    row = db.execute(kept, (generation, rate)).fetchone()
    return None if row is None else Calibration(*row)


def keep(store: Store, generation: str, made: Calibration) -> None:
    """Keep a calibration, found at this generation; a gallery that may only be read keeps none."""
    row = (generation, *dataclasses.astuple(made))
    places = ", ".join("?" * len(row))
    with suppress(GalleryError), store.write() as db:
        db.execute(f"REPLACE INTO calibration (only, generation, {_COLUMNS}) VALUES (1, {places})", row)
        db.execute(f"UPDATE calibration SET checksum = {sealed('generation', *_COLUMNS.split(', '))}")
