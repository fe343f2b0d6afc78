"""The codes by which many people are searched, kept in a file beside the database (`search.shortlist_file`)."""

from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerec.errors import GalleryError
from facerec.gallery.layout import codes_of
from facerec.gallery.queries import generation_of, own_mark
from facerec.gallery.store import Store
from facerec.search.index import Ids
from facerec.search.keys import keys_of
from facerec.search.people import PeopleIndex
from facerec.search.shortlist import KeptCodes
from facerec.search.shortlist_file import keep_only, load_codes, save_codes

_WORTH_KEEPING = 0.01  # the share of people who have new codes; fewer are soon made again


def give_codes(store: Store, people: PeopleIndex, fingerprint: str, generation: str, known: KeptCodes | None) -> None:
    """Give many people their codes, from `known` or else from the file, and keep those that are new.

    fingerprint: the model's. generation: the state of the database that the people are of. known: the codes of an
    earlier state, if they are at hand. Does nothing with few people.
    """
    if not people.is_large:
        return
    path, stamp = codes_of(store.database.path), _stamp(store, fingerprint, people.dimension)
    kept = known or (load_codes(path, stamp) if stamp else None)
    made = len(people.names) if kept is None else people.adopt(kept)
    if not stamp or made < _WORTH_KEEPING * len(people.names) or (codes := people.kept_codes()) is None:
        return
    with suppress(GalleryError), store.database.hold() as db:
        # The lock is held, so codes of people who are being removed cannot be written after their removal.
        if generation_of(db) == generation:
            save_codes(path, stamp, codes)


def wipe_codes(path: Path, ids: Ids, persons: NDArray[np.int64]) -> None:
    """Overwrite the codes of everybody in the file who is no longer in the database.

    path: the database's. ids, persons: (N,) those of the templates in it (`queries.owners_by_number`).
    """
    if codes_of(path).is_file():
        keep_only(codes_of(path), keys_of(ids, np.unique(persons, return_inverse=True)[1]))


def _stamp(store: Store, fingerprint: str, dimension: int) -> str | None:
    """Return what tells this gallery's codes by this model from all others; None if the gallery keeps no codes.

    In another gallery the templates' numbers belong to other people. A gallery's random key is its own alone.
    """
    with store.glance() as db:
        gallery = None if store.database.encrypted else own_mark(db)
    return gallery and f"{fingerprint}-{dimension}-{gallery}"
