"""The vetoed faces in memory, and what they say about the candidates that a search returned."""

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np

from facerec.decision.decide import is_struck
from facerec.errors import DamagedGalleryError
from facerec.gallery.address import Place
from facerec.gallery.connection import Connection
from facerec.gallery.integrity import broken_vetoes
from facerec.gallery.schema import damaged, scalar, version_of
from facerec.search.people import PeopleIndex
from facerec.types import Candidate, Vectors, Veto
from facerec.vectors import paired_distances

State = tuple[str, int, int]


def state_of(db: Connection, generation: str) -> State:
    """A value that is the same only while the vetoes are: their numbers are never used twice.

    generation: the gallery's; a new name and a new model change it.
    """
    if version_of(db) < 7:
        return generation, 0, 0
    return generation, *db.execute("SELECT count(*), coalesce(max(id), 0) FROM vetoes").fetchone()


class VetoedFaces:
    """The vetoed faces of a gallery. state: that of the database when they were read."""

    def __init__(self, state: State, faces: Mapping[str, Vectors]) -> None:
        """faces: each person's vetoed faces, (V, D) unit rows, V at least 1."""
        self.state = state
        self._faces = faces

    @classmethod
    def read(cls, db: Connection, folder: Place, state: State) -> Self:
        """Read all of them, in the caller's transaction; DamagedGalleryError about `folder` if one is damaged."""
        if not state[1]:
            return cls(state, {})
        if scalar(db, f"SELECT count(*) FROM vetoes WHERE {damaged(db, 'photo_hash', 'vector')}"):
            raise DamagedGalleryError(f"{folder}: {broken_vetoes(db)[0]}")
        query = "SELECT name, vector FROM vetoes v JOIN people ON people.id = person ORDER BY v.id"
        rows: dict[str, list[bytes]] = {}
        for name, blob in db.execute(query):
            rows.setdefault(name, []).append(blob)
        faces = {name: np.frombuffer(b"".join(own), "<f4").reshape(len(own), -1) for name, own in rows.items()}
        return cls(state, faces)

    def __len__(self) -> int:
        """Return the number of people who have a veto."""
        return len(self._faces)

    def judge(
        self, vectors: Vectors, found: Sequence[Sequence[Candidate]], people: PeopleIndex
    ) -> list[list[Candidate]]:
        """Return the candidates of each of (N, D) rows, with the distances that tell whether a veto strikes them."""
        if not self._faces:
            return [list(candidates) for candidates in found]
        templates = {name: people.vectors_of(name) for name in self._faces.keys() & _names(found)}
        return [
            [self._judged(vector, each, templates) for each in candidates]
            for vector, candidates in zip(vectors, found, strict=True)
        ]

    def _judged(self, vector: np.ndarray, candidate: Candidate, templates: Mapping[str, Vectors]) -> Candidate:
        """The distances are computed one by one, so a face is exactly as far from a veto as from the same template."""
        if (own := templates.get(candidate.person)) is None:
            return candidate
        face, template = (float(paired_distances(rows, vector).min()) for rows in (self._faces[candidate.person], own))
        return Candidate(candidate.person, candidate.distance, Veto(face, template))


def nearest_left(candidates: Sequence[Candidate], top: int, named: str | None = None) -> list[Candidate]:
    """Return the first `top` candidates that are not struck, the struck ones that are nearer, and the one `named`.

    candidates: nearest first.
    """
    left = np.cumsum([not is_struck(candidate) for candidate in candidates])
    counted = zip(candidates, [0, *left], strict=False)  # how many that are left come before each
    return [candidate for candidate, before in counted if before < top or candidate.person == named]


def _names(found: Sequence[Sequence[Candidate]]) -> set[str]:
    return {candidate.person for candidates in found for candidate in candidates}
