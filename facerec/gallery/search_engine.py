"""The engine by which a gallery's people are searched, if it has one (`search.engine`).

The variable INDEX chooses it: `milvus:FOLDER`, `milvus:http://HOST:PORT`, `postgresql://USER@HOST/DATABASE` with
pgvector, or `none`. The gallery remembers it in the file `gallery.index`, one line. So other commands use it without
the variable, and a removal reaches it. An engine holds the vectors in plain, so an encrypted gallery has none.
"""

import logging
import os
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from facerec.errors import ConfigError, EngineError, GalleryError
from facerec.files import unlink, write_text
from facerec.gallery.connection import AnyDatabase, Connection
from facerec.gallery.layout import engine_of, search_of
from facerec.gallery.queries import generation_of, own_mark
from facerec.search.engine import Engine, EngineIndex, Stamp, bring_up_to_date
from facerec.search.index import Ids
from facerec.search.keys import keys_of
from facerec.search.people import PeopleIndex

log = logging.getLogger(__name__)

INDEX = "FACEREC_INDEX"
_NONE = "none"
_SERVERS = ("postgresql", "postgres")
_KNOWN = "`milvus:FOLDER`, `milvus:http://HOST:PORT`, `postgresql://USER@HOST/DATABASE`, or the word none"


class GalleryEngine:
    """The engine of an open gallery. Methods raise EngineError if it cannot be reached or used."""

    def __init__(self, database: AnyDatabase) -> None:
        """Reach nothing yet."""
        self._database = database
        self._engine: Engine | None = None
        self._place = ""  # of the engine that was reached
        self._mark: str | None = None  # `own_mark`, once it was read

    def close(self) -> None:
        """Let go of the engine."""
        if self._engine is not None:
            self._engine.close()
        self._engine, self._place = None, ""

    @property
    def place(self) -> str:
        """Where the gallery keeps its people's vectors, as INDEX names it; "" without an engine."""
        try:
            return engine_of(self._database.path).read_text("utf-8").strip()
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            path = engine_of(self._database.path)
            raise GalleryError(f"{path}: cannot be read ({error}); make it readable, or set ${INDEX}") from error

    def attach(self, people: PeopleIndex, fingerprint: str, generation: str) -> bool:
        """Let the engine search these people, brought up to date with them if need be; False without an engine.

        fingerprint: the model's. generation: the state of the gallery that the people are of. If another process has
        changed the gallery since, the people are searched without the engine, this time.
        """
        place = self._chosen()
        if people.by_engine and place == self._place:
            return True
        people.search_by(None)
        if not place or not self._read_mark():
            return False
        if self._database.encrypted:
            log.warning("%s: encrypted, so it is searched without %s", self._database.place, place)
            return False
        keys = keys_of(people.ids, people.places)
        stamp = Stamp.of(f"{fingerprint}-{self._mark}", people.dimension, people.ids, keys)
        if not self._is_up_to_date(people, place, stamp, generation):
            return False
        people.search_by(EngineIndex(self._reach(place), keys))
        return True

    def _is_up_to_date(self, people: PeopleIndex, place: str, stamp: Stamp, generation: str) -> bool:
        """Bring the engine up to date, and say whether that was possible."""
        if place != self.place or not _holds(self._reach(place), stamp):
            if not self._database.writable:
                return False
            self._reach(place)  # nothing is noted of a place that is not there
            with self._database.hold() as db:  # so vectors being removed cannot be written after their removal
                if generation_of(db) != generation:
                    return False
                self._remember(db, place)
                bring_up_to_date(self._reach(place), stamp, people.ids, people.places, people.mean_rows)
        return True

    def _chosen(self) -> str:
        """The place that INDEX names, else the one that is remembered; "" for none."""
        if not (asked := os.environ.get(INDEX, "").strip()):
            return self.place
        if asked == _NONE:
            if self._database.writable:
                self.leave()
            return ""
        kind, _, rest = asked.partition(":")
        if kind in _SERVERS:
            if urlsplit(asked).password or "password" in urlsplit(asked).query:
                raise ConfigError(f"${INDEX}: give the password in $PGPASSWORD or the file .pgpass, not in the address")
            return asked
        if kind != "milvus" or not rest or rest.startswith("//"):  # the value may hold a password, so it is not shown
            raise ConfigError(f"${INDEX}: no index that facerec knows; give {_KNOWN}")
        return asked if rest.startswith(("http://", "https://")) else f"milvus:{Path(rest).expanduser().absolute()}"

    def _remember(self, db: Connection, place: str) -> None:
        """Note the place before anything is written there. What another place holds is deleted."""
        if place != self.place:
            self._drop()
            write_text(engine_of(self._database.path), place + "\n", private=True)
            db.execute("DELETE FROM calibration")  # it is of what another search found
            unlink([search_of(self._database.path)])

    def erase(self, db: Connection, ids: Ids, persons: NDArray[np.int64]) -> str:
        """Leave nothing in the engine of anybody who is no longer in the database; return what is to be said about it.

        ids, persons: those of the templates in it (`queries.owners_by_number`). "": nothing was to be done. Without the
        engine EngineError is raised, so that nobody counts as removed whose vectors are still there.
        """
        if not (place := self.place):
            return ""
        fingerprint, dimension = db.execute("SELECT model_fingerprint, dimension FROM gallery").fetchone()
        keys = keys_of(ids, np.unique(persons, return_inverse=True)[1])
        self._mark = own_mark(db)
        stamp = Stamp.of(f"{fingerprint}-{self._mark}", dimension, ids, keys)
        try:
            engine = self._reach(place)
            if _holds(engine, stamp):
                return ""
            engine.erase(keys, str(stamp))
        except EngineError as error:
            raise EngineError(f"{error}. Nobody was removed") from error
        return engine.erased

    def renew(self) -> None:
        """Delete what the engine holds; the next search writes it anew."""
        if self.place and self._read_mark():
            with self._database.hold():
                self._reach(self.place).drop()

    def leave(self) -> None:
        """Delete what the engine holds, and search without one from now on."""
        if self.place and self._read_mark():
            with self._database.hold():
                self._drop()

    def _drop(self) -> None:
        if self.place:
            self._reach(self.place).drop()
            unlink([engine_of(self._database.path)])

    def _read_mark(self) -> str | None:
        if self._mark is None:
            with self._database.glance() as db:
                self._mark = own_mark(db)
        return self._mark

    def _reach(self, place: str) -> Engine:
        """Return the engine at a place; the one that was reached before, if it is there. The mark is known."""
        if self._engine is None or place != self._place:
            self.close()
            self._engine, self._place = _open(place, f"facerec_{self._mark}"), place
        return self._engine


def _open(place: str, name: str) -> Engine:
    """Open the engine at a place. name: what it calls this gallery's records."""
    kind, _, rest = place.partition(":")
    if kind in _SERVERS:
        from facerec.search.pgvector import Pgvector

        return Pgvector.open(place, name, f"pgvector at {place}")
    from facerec.search.milvus import Milvus

    return Milvus.open(rest, name)


def _holds(engine: Engine, stamp: Stamp) -> bool:
    """Whether an engine holds what the stamp says. One that cannot tell does not."""
    try:
        return engine.stamp() == str(stamp)
    except EngineError:
        return False
