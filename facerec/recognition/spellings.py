"""Whether a new person is somebody who is enrolled under another spelling, such as `ann_lee` for `Ann Lee`."""

import functools
from collections.abc import Callable, Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from facerec.decision.decide import is_struck
from facerec.gallery.gallery import Gallery
from facerec.text import name_key, same_name
from facerec.types import Candidate, Threshold


class Spellings:
    """Compares the new people of one enrollment with those enrolled before, by name and by face.

    Similar names alone say little, for two people may have one name; similar faces alone say little, too. If both are
    similar, a person must decide. distinct: new people who were said to be somebody else.
    """

    def __init__(self, gallery: Gallery, distinct: Collection[str] = ()) -> None:
        self._gallery = gallery
        self._found: dict[str, Candidate | None] = dict.fromkeys(distinct)

    def twin(
        self, person: str, vectors: Sequence[NDArray[np.float32]], threshold: Callable[[], Threshold | None]
    ) -> Candidate | None:
        """Return who is enrolled under another spelling and has this face; None if nobody does, or `person` is not new.

        vectors: unit rows of new photos of the person; one within the threshold is enough. threshold: returns the
        threshold; called only if names are alike. The first answer for a person holds for the whole enrollment.
        """
        if person not in self._found:
            same = self._names.setdefault(name_key(person), [])
            others = [] if person in same else [name for name in same if same_name(name, person)]
            self._found[person] = self._nearest(others, vectors, threshold()) if others and len(vectors) else None
            same.append(person)
        return self._found[person]

    @functools.cached_property
    def _names(self) -> dict[str, list[str]]:
        """`name_key` -> the names that have it, of everybody enrolled and of the new people looked at since."""
        names: dict[str, list[str]] = {}
        for name in self._gallery.names():
            names.setdefault(name_key(name), []).append(name)
        return names

    def _nearest(
        self, others: Sequence[str], vectors: Sequence[NDArray[np.float32]], threshold: Threshold | None
    ) -> Candidate | None:
        if threshold is None:
            return None
        rows = np.repeat(np.stack(vectors), len(others), axis=0)
        found = self._gallery.nearest_and_named(rows, list(others) * len(vectors))
        own = [one for pair in found for one in pair if one.person in others and not is_struck(one)]
        near = [one for one in own if one.distance <= threshold.distance]
        return min(near, key=lambda one: one.distance, default=None)
