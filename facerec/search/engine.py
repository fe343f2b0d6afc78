"""People in an engine beside this process, such as Milvus: the protocol of engines, and the index that asks one.

An engine holds one record for each person: a key and the mean of the person's vectors. The key stands for the person
with this set of vectors (`keys.keys_of`), so a record is right or of nobody, whoever wrote it. The engine's stamp says
which records it holds. Whoever writes takes it away first. So after a kill in between, and when somebody else has
changed the engine, the next one sees it, compares the keys, and writes only what differs.

A writer holds a lock of the caller's.
"""

import logging
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from facerec.errors import EngineError, FacerecError
from facerec.search.index import Ids
from facerec.search.keys import Keys, digest_of, keys_of
from facerec.search.rows import Rows
from facerec.types import Vectors

log = logging.getLogger(__name__)

NOBODY = np.uint64(0)
"""The key of no person."""
SPARE = 16
"""How many people are asked for besides those wanted: an engine compares whole vectors, so it errs by rounding only."""
_BLOCK = 5_000  # records that are written at once


class EngineChangedError(FacerecError):
    """Another process has changed what the engine holds. Whoever searches brings the people up to date first."""


class Engine(Protocol):
    """Vectors under keys, found by a search that may miss some. Every method may raise EngineError.

    where: what messages call it. most: how many records a search gives at most. erased: what `erase` does, and what
    stays, for whoever removes somebody.
    """

    where: str
    most: int
    erased: str

    def stamp(self) -> str | None:
        """Return what `settle` was given last; "" if the records are not known to be whole; None if there are none."""
        ...

    def clear(self, dimension: int) -> None:
        """Hold no records, from now on such with `dimension` numbers; the stamp is ""."""
        ...

    def keys(self) -> Keys:
        """Return (N,) the keys of all records, in any order."""
        ...

    def put(self, keys: Keys, rows: Vectors) -> None:
        """Add (N, D) unit rows under N keys; or replace those that are there."""
        ...

    def remove(self, keys: Keys) -> None:
        """Take out the records of these (N,) keys; others are ignored. Their bytes may stay in the engine's files."""
        ...

    def settle(self, stamp: str) -> None:
        """Keep all that was written, also if the machine stops now, and this stamp."""
        ...

    def nearest(self, vectors: Vectors, count: int) -> Keys:
        """Return (N, `count`): keys of the records nearest to (N, D) unit rows, nearest first; NOBODY beyond the last.

        EngineChangedError if there are no records any more.
        """
        ...

    def erase(self, keys: Keys, stamp: str) -> None:
        """Leave only the records of these keys, and no byte of the others in any file that the engine lets us reach.

        stamp: that of what is left. An engine that cannot do this for single records holds none afterwards.
        """
        ...

    def drop(self) -> None:
        """Delete all records, and what else there is of them; there is no stamp then."""
        ...

    def close(self) -> None:
        """Let go of the engine."""
        ...


@dataclass(frozen=True, slots=True)
class Stamp:
    """Which records an engine holds.

    made_for: the model and the gallery, without spaces. dimension: D. last: the highest id of a vector. people: how
    many. digest: of their keys.
    """

    made_for: str
    dimension: int
    last: int
    people: int
    digest: int

    @classmethod
    def of(cls, made_for: str, dimension: int, ids: Ids, keys: Keys) -> Self:
        """Return that of people with (P,) keys, whose vectors have the (T,) ids, ascending."""
        return cls(made_for, dimension, int(ids[-1]) if len(ids) else 0, len(keys), digest_of(keys))

    @classmethod
    def read(cls, text: str | None) -> Self | None:
        """Return what `str` made; None of anything else."""
        made_for, *numbers = (text or "").split(" ")
        return cls(made_for, *map(int, numbers)) if len(numbers) == 4 and all(map(str.isdecimal, numbers)) else None

    def __str__(self) -> str:
        return f"{self.made_for} {self.dimension} {self.last} {self.people} {self.digest}"


class EngineIndex:
    """People whom an engine holds, and nobody else: an `Index`. They are numbered as their keys are given."""

    listed = SPARE + 1  # an engine may also give a record of nobody

    def __init__(self, engine: Engine, keys: Keys) -> None:
        """Use an engine that holds the records of these (P,) keys."""
        self.engine, self.most = engine, engine.most
        order = np.argsort(keys)
        self._sorted, self._order = np.append(keys[order], NOBODY), np.append(order, -1)  # the last stands for nobody

    def nearest(self, vectors: Vectors, count: int) -> Ids:
        """As `Index.nearest`; EngineChangedError if the engine gives somebody else."""
        found = self.engine.nearest(vectors, count)
        at = np.searchsorted(self._sorted[:-1], found)
        if (found != self._sorted[at])[found != NOBODY].any():
            raise EngineChangedError(f"{self.engine.where}: other people are in it than a moment ago; try again")
        return np.where(found == NOBODY, -1, self._order[at])


def bring_up_to_date(engine: Engine, stamp: Stamp, ids: Ids, places: NDArray[np.integer], means: Rows) -> int:
    """Let an engine hold the means of these people, and no others. Return how many records were written or removed.

    stamp: that of the people. ids, places: (T,) their vectors' ids, ascending, and the number of each one's person.
    means: (P, D). Only what differs is written. If the engine is damaged, or held another gallery's people or another
    model's, a warning is logged, and all of it is written.
    """
    keys = keys_of(ids, places)
    try:
        if (text := engine.stamp()) == str(stamp):
            return 0
        there = None if text is None else _there(engine, Stamp.read(text), stamp, ids, places)
        if there is not None:
            return _write(engine, stamp, keys, means, there)
    except EngineError as error:
        log.warning("%s. It is made again", error)
    engine.clear(stamp.dimension)
    return _write(engine, stamp, keys, means, keys[:0])


def _there(engine: Engine, found: Stamp | None, stamp: Stamp, ids: Ids, places: NDArray[np.integer]) -> Keys | None:
    """Return the keys that the engine holds; None if they are of another gallery or model. found: its stamp."""
    if found and (found.made_for, found.dimension) != (stamp.made_for, stamp.dimension):
        log.warning("%s: it held people of another gallery or model. It is made again", engine.where)
        return None
    earlier = _earlier(found, ids, places)
    return engine.keys() if earlier is None else earlier


def _write(engine: Engine, stamp: Stamp, keys: Keys, means: Rows, there: Keys) -> int:
    """Bring an engine that holds the keys `there` to these (P,) keys and (P, D) means."""
    new, gone = np.flatnonzero(~np.isin(keys, there)), np.setdiff1d(there, keys)
    engine.settle("")
    for start in range(0, len(new), _BLOCK):
        some = new[start : start + _BLOCK]
        engine.put(keys[some], means[some])
    engine.remove(gone)
    engine.settle(str(stamp))
    return len(new) + len(gone)


def _earlier(stamp: Stamp | None, ids: Ids, places: NDArray[np.integer]) -> Keys | None:
    """Return the keys that a stamp is of, if vectors were only added since then; None if that cannot be told."""
    if stamp is None:
        return None
    old = ids <= stamp.last
    keys = keys_of(ids[old], places[old])
    keys = keys[np.unique(places[old])]
    return keys if (len(keys), digest_of(keys)) == (stamp.people, stamp.digest) else None
