"""The threshold found for a gallery's target rate, kept in its database until the gallery changes.

The distances found during the calibration are kept in a file, so that the next calibration searches only what changed
(`StandingSearch`).
"""

import dataclasses
from contextlib import suppress

from facerec.decision.calibration import Calibration
from facerec.errors import GalleryError
from facerec.gallery.connection import Connection
from facerec.gallery.layout import search_of
from facerec.gallery.queries import generation_of
from facerec.gallery.schema import seal, version_of
from facerec.gallery.store import Store
from facerec.search.standing import StandingSearch

_COLUMNS = "fpir, distance, strangers, within, people, least, most, worth"


def load(db: Connection, generation: str, rate: float) -> Calibration | None:
    """Return the calibration kept for a rate at this generation of the gallery; None if there is none or it is damaged.

    rate: the false positive identification rate aimed at, between 0 and 1.
    """
    if version_of(db) < 6:  # an older, read-only gallery lacks some of the columns
        return None
    kept = f"SELECT checksum, {_COLUMNS} FROM calibration WHERE generation = ? AND fpir = ?"
    checksum, *row = db.execute(kept, (generation, rate)).fetchone() or (None,)
    return Calibration(*row) if row and checksum == seal(generation, *row) else None


def keep(store: Store, generation: str, made: Calibration, search: StandingSearch) -> None:
    """Keep a calibration and its search for this generation of the gallery.

    Does nothing if the gallery is read-only. An encrypted gallery keeps only the calibration.
    """
    row = (generation, *dataclasses.astuple(made))
    places = ", ".join("?" * len(row))
    columns = f"generation, {_COLUMNS}, checksum"
    with suppress(GalleryError), store.write() as db:
        db.execute("DELETE FROM calibration")
        db.execute(f'INSERT INTO calibration ("only", {columns}) VALUES (1, {places}, ?)', (*row, seal(*row)))
        # The lock is held, so results about people who are being removed cannot be written after the removal.
        if not store.database.encrypted and generation_of(db) == generation:
            search.save(search_of(store.database.path))


def load_search(store: Store) -> StandingSearch:
    """Return the search that was kept; a new one if there is none or its file is damaged."""
    return StandingSearch() if store.database.encrypted else StandingSearch.load(search_of(store.database.path))
