"""The model that made a gallery's vectors."""

import numpy as np

from facerec.errors import ForeignModelError
from facerec.gallery.address import Place
from facerec.gallery.audit_log import record
from facerec.gallery.connection import Connection
from facerec.gallery.queries import as_text, count_rows
from facerec.gallery.store import Store
from facerec.gallery.strangers import holds_strangers, write_strangers
from facerec.models.card import read_card
from facerec.models.places import CARD, SHIPPED, SHIPPED_MODEL
from facerec.types import Threshold, Vectors

_COLUMNS = "model_fingerprint, model_name, dimension, threshold, threshold_source"


def bind_model(
    store: Store, fingerprint: str, name: str, dimension: int, threshold: Threshold | None, cohort: Vectors | None
) -> None:
    """Make a model the gallery's own, or check that it is; see `Gallery.bind_model`."""
    name, limit = as_text(name), threshold and threshold.distance
    wanted = (fingerprint, name, dimension, limit, threshold and as_text(threshold.source))
    given = np.zeros((0, dimension), np.float32) if cohort is None else cohort
    with store.glance() as db:
        stored = db.execute(f"SELECT {_COLUMNS} FROM gallery").fetchone()
        known = holds_strangers(db, "cohort", given)
    if stored != wanted or not known:
        require_model(store, fingerprint, name, dimension)
        with store.write() as db:
            _refuse_other(db, store.folder, fingerprint, name, dimension)
            write_model(db, fingerprint, name, dimension, threshold)
            if stored[0] != fingerprint:
                db.execute("DELETE FROM strangers")
            write_strangers(db, "cohort", f"the cohort of {name}", given)
            record(db, "model bound", model=fingerprint, dimension=dimension, cohort=len(given))


def write_model(db: Connection, fingerprint: str, name: str, dimension: int, threshold: Threshold | None) -> None:
    """Replace the gallery's model. threshold: the one of the new model's card."""
    limit = threshold and threshold.distance
    values = (fingerprint, as_text(name), dimension, limit, threshold and as_text(threshold.source))
    db.execute(f"UPDATE gallery SET ({_COLUMNS}) = (?, ?, ?, ?, ?)", values)


def require_model(store: Store, fingerprint: str, name: str, dimension: int) -> None:
    """Raise ForeignModelError if `bind_model` would; change nothing."""
    with store.read() as db:
        _refuse_other(db, store.folder, fingerprint, name, dimension)


def dimension_of(db: Connection, folder: Place, fingerprint: str) -> int:
    """The dimension of the gallery's vectors; ForeignModelError if the gallery's model is no longer `fingerprint`."""
    query = "SELECT model_fingerprint, model_name, dimension FROM gallery"
    stored, name, dimension = db.execute(query).fetchone()
    if stored != fingerprint:
        raise ForeignModelError(f"{folder}: now of model {name}; give that one as `model` and run the command again")
    return dimension


def _how_to_name(name: str) -> str:
    """Return how a model is given: by its name if it is shipped."""
    cards = {known: (SHIPPED_MODEL / (file or CARD)).with_suffix(".json") for known, file in SHIPPED.items()}
    given = next((known for known, card in cards.items() if read_card(card).name == name), None)
    return "that model's folder or file as `model`" if given is None else f"`model={given}`"


def _refuse_other(db: Connection, folder: Place, fingerprint: str, name: str, dimension: int) -> None:
    query = "SELECT model_fingerprint, model_name, dimension FROM gallery"
    stored, stored_name, stored_dimension = db.execute(query).fetchone()
    if (stored, stored_dimension) != (fingerprint, dimension) and count_rows(db, "templates"):
        raise ForeignModelError(
            f"{folder}: made with model {stored_name} ({stored[:12]}), not with {name} ({fingerprint[:12]}); "
            f"give {_how_to_name(stored_name)}, another `gallery`, or have this one "
            f"changed by `facerec gallery migrate --model NEW`"
        )
