"""The threshold found for a gallery's target rate: kept in its database until the gallery changes.

What was found on the way is kept in a file, from which the next calibration goes on (`StandingSearch`).
"""

import dataclasses
import sqlite3
from contextlib import suppress

from facerec.decision.calibration import Calibration
from facerec.errors import GalleryError
from facerec.gallery.layout import search_of
from facerec.gallery.queries import generation_of
from facerec.gallery.schema import sealed, version_of
from facerec.gallery.store import Store
from facerec.search.standing import StandingSearch

_COLUMNS = "fpir, distance, strangers, within, people, least, most, worth"


def load(db: sqlite3.Connection, generation: str, rate: float) -> Calibration | None:
    """What was kept for a rate at this generation of the gallery; None if nothing was, or it is damaged."""
    if version_of(db) < 6:  # an older format, that may only be read, keeps less
        return None
    whole = f"checksum = {sealed('generation', *_COLUMNS.split(', '))}"
    kept = f"SELECT {_COLUMNS} FROM calibration WHERE generation = ? AND fpir = ? AND {whole}"
    row = db.execute(kept, (generation, rate)).fetchone()
    return None if row is None else Calibration(*row)


def keep(store: Store, generation: str, made: Calibration, search: StandingSearch) -> None:
    """Keep a calibration, and the search it was found by, at this generation; not in a gallery that may only be read.

    An encrypted gallery does not keep the search.
    """
    row = (generation, *dataclasses.astuple(made))
    places = ", ".join("?" * len(row))
    with suppress(GalleryError), store.write() as db:
        db.execute(f"REPLACE INTO calibration (only, generation, {_COLUMNS}) VALUES (1, {places})", row)
        db.execute(f"UPDATE calibration SET checksum = {sealed('generation', *_COLUMNS.split(', '))}")
        # The lock keeps what was found of people who are just being removed from coming back.
        if not store.database.encrypted and generation_of(db) == generation:
            search.save(search_of(store.database.path))


def load_search(store: Store) -> StandingSearch:
    """The search that was kept; a new one where none was, or the file is damaged."""
    return StandingSearch() if store.database.encrypted else StandingSearch.load(search_of(store.database.path))
