"""The gallery: who has been enrolled, and who of them a face is most like.

    with Gallery.open(Path("club"), create=True) as gallery:
        gallery.bind_model(fingerprint, "facerec-resnet50", 512, Threshold(1.08, "FMR 0.1 % on the validation people"))
        gallery.add("Ann Lee", template)
        gallery.search(vectors, top=5)

A folder of two files. `gallery.db` (SQLite) is the truth: each write is one transaction, on disk when the call
returns. `index.faiss` is a cache stamped with the database's generation; one that is missing, stale or damaged is
made again. Several processes may enroll and identify at once.
"""

import difflib
import sqlite3
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from facerec.database import Database, faults, scalar
from facerec.errors import DamagedGalleryError, ForeignModelError, GalleryError, UnknownPersonError
from facerec.index import FlatIndex, Ids, Index, PeopleIndex, draft_of
from facerec.types import Box, Candidate, Template, Threshold, Vectors

MAX_NAME = 200  # characters


@dataclass(frozen=True, slots=True)
class PersonSummary:
    """One enrolled person; `enrolled`: when the first photo was, ISO 8601 in UTC."""

    name: str
    templates: int
    enrolled: str


@dataclass(frozen=True, slots=True)
class StoredTemplate:
    """One enrolled photo, as `Template` without its vector; `enrolled`: ISO 8601 in UTC."""

    photo_hash: str
    source: str
    box: Box
    quality: float
    enrolled: str


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What `Gallery.check` looked at and, one line each, what is wrong; no problems: the gallery is sound."""

    people: int
    templates: int
    problems: tuple[str, ...]


class Gallery:
    """An open gallery folder. Every method raises a GalleryError of one line if the folder or database fails it."""

    def __init__(self, folder: Path, database: Database) -> None:
        """Use `Gallery.open`."""
        self.folder = folder
        self._database = database
        self._index_path = folder / "index.faiss"
        self._model: str | None = None  # fingerprint of the model this process works with
        self._generation = ""  # of the database when the people below were read
        self._people: PeopleIndex | None = None

    @classmethod
    def open(cls, folder: Path, *, create: bool = False) -> Self:
        """Open the gallery in `folder`; `create` makes an empty one (readable by the owner only) where there is none.

        A folder that may only be read can be searched and listed. Raises GalleryError if there is no gallery, it
        cannot be opened or a newer facerec wrote it; DamagedGalleryError if the database is none of facerec's.
        """
        return cls(folder, Database(folder / "gallery.db", create=create))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files."""
        self._database.close()

    # ------------------------------------------------------------------------------------------------ the model

    def bind_model(self, fingerprint: str, name: str, dimension: int, threshold: Threshold | None) -> None:
        """Say which model this process's vectors come from; needed before `add` and `search`.

        An empty gallery takes the model as its own; later the same model may bring a new name or threshold (its
        card's). Raises ForeignModelError if the gallery holds vectors of another model.
        """
        wanted = (fingerprint, name, dimension, threshold and threshold.distance, threshold and threshold.source)
        columns = "model_fingerprint, model_name, dimension, threshold, threshold_source"
        with self._database.read() as db:
            stored = db.execute(f"SELECT {columns} FROM gallery").fetchone()
            self._refuse_foreign(db, fingerprint, name, dimension)
        if stored != wanted:
            with self._database.write() as db:
                self._refuse_foreign(db, fingerprint, name, dimension)
                db.execute(f"UPDATE gallery SET ({columns}) = (?, ?, ?, ?, ?)", wanted)
        self._model, self._people = fingerprint, None

    @property
    def model_name(self) -> str | None:
        """The name of the model the gallery was made with, None before the first `bind_model`."""
        with self._database.read() as db:
            return scalar(db, "SELECT model_name FROM gallery")

    @property
    def threshold(self) -> Threshold | None:
        """The threshold of the gallery's model, None if its card has none."""
        with self._database.read() as db:
            distance, source = db.execute("SELECT threshold, threshold_source FROM gallery").fetchone()
        return None if distance is None else Threshold(distance, source)

    def _refuse_foreign(self, db: sqlite3.Connection, fingerprint: str, name: str, dimension: int) -> None:
        stored, stored_name, stored_dimension = db.execute(
            "SELECT model_fingerprint, model_name, dimension FROM gallery"
        ).fetchone()
        if (stored, stored_dimension) != (fingerprint, dimension) and _count(db, "templates"):
            raise ForeignModelError(
                f"{self.folder}: made with model {stored_name} ({stored[:12]}), not with {name} ({fingerprint[:12]}); "
                f"give that model's folder or file as --model, or enroll again into a new gallery (`--gallery DIR`)"
            )

    def _require_model(self, db: sqlite3.Connection) -> int:
        """Return the dimension, once sure that the gallery is (still) of the model this process works with."""
        fingerprint, name, dimension = db.execute(
            "SELECT model_fingerprint, model_name, dimension FROM gallery"
        ).fetchone()
        if self._model is None:
            raise GalleryError(f"{self.folder}: no model chosen yet; call bind_model first")
        if self._model != fingerprint:
            raise ForeignModelError(
                f"{self.folder}: now of model {name}; give that one as --model and run the command again"
            )
        return dimension

    # ------------------------------------------------------------------------------------------------ enrolling

    def find_photo(self, photo_hash: str) -> str | None:
        """Return who is enrolled with this photo, or None."""
        with self._database.read() as db:
            return _owner_of(db, photo_hash)

    def add(self, person: str, template: Template) -> bool:
        """Enroll one photo: True once it is safely on disk, False if this person already had it.

        The name is stripped and NFC-normalised. Raises GalleryError for an unfit name, a vector that is not finite,
        of unit length (within 1e-3) and of the model's dimension, or a photo that is enrolled as somebody else.
        """
        name = clean_name(person)
        with self._database.write() as db:
            _require_unit(template.vector[None], self._require_model(db), template.source)
            owner = _owner_of(db, template.photo_hash)
            if owner is None:
                _insert(db, name, template)
            elif owner != name:
                raise GalleryError(
                    f"{template.source}: already enrolled as '{owner}', so not as '{name}'; "
                    "`facerec gallery rename` or `remove` if that was wrong"
                )
        return owner is None

    # ------------------------------------------------------------------------------------------------ searching

    def search(self, vectors: Vectors, top: int) -> list[list[Candidate]]:
        """Return, for each of (N, D) unit float32 rows, the `top` >= 1 nearest people, nearest first.

        A person's distance is that of their nearest template, by exact search; of equally near people the one whose
        photo was enrolled first comes first. People other processes enrolled a moment ago are found. Nobody
        enrolled: N empty lists.
        """
        people = self._current()
        _require_unit(vectors, people.index.dimension, str(self.folder))
        return people.nearest(vectors, top)

    def _current(self) -> PeopleIndex:
        """Return everybody as of the database's present generation, reading only what is new."""
        known = self._people
        with self._database.read() as db:
            dimension, generation = self._require_model(db), _generation(db)
            if known is not None and self._generation == generation:
                return known
            cached = self._cached(db, generation) if known is None else None
            people = cached or self._refreshed(db, known or _nobody(dimension))
        self._people, self._generation = people, generation
        if known is None and cached is None:
            with suppress(GalleryError):  # a cache that cannot be written costs time, not truth
                self._save(people.index, generation)
        return people

    def _cached(self, db: sqlite3.Connection, generation: str) -> PeopleIndex | None:
        """Everybody by the index file, None if it is not of this generation or not of these templates."""
        index, (ids, owners) = FlatIndex.load(self._index_path, generation), _owners(db)
        return PeopleIndex(index, ids, owners) if index is not None and np.array_equal(index.ids, ids) else None

    def _refreshed(self, db: sqlite3.Connection, known: PeopleIndex) -> PeopleIndex:
        """Bring an index up to date, in place. Ids are never used twice, so new templates have higher ones."""
        ids, owners = _owners(db)
        last = int(known.ids[-1]) if len(known.ids) else 0
        blobs = [blob for (blob,) in db.execute("SELECT vector FROM templates WHERE id > ? ORDER BY id", (last,))]
        if len(blobs) != (ids > last).sum() or any(len(blob) != 4 * known.index.dimension for blob in blobs):
            raise DamagedGalleryError(
                f"{self.folder}: a vector is cut off or nobody's; `facerec gallery check` names it"
            )
        known.index.remove(np.setdiff1d(known.ids, ids))
        new = np.frombuffer(b"".join(blobs), "<f4").reshape(len(blobs), known.index.dimension)
        known.index.add(ids[ids > last], new)
        return PeopleIndex(known.index, ids, owners)

    def _save(self, index: Index, generation: str) -> None:
        with self._database.write() as db:  # the lock keeps vectors that are just being removed from coming back
            if _generation(db) == generation:
                index.save(self._index_path, generation)

    # ------------------------------------------------------------------------------------------------ care

    def __len__(self) -> int:
        """Return the number of people."""
        with self._database.read() as db:
            return _count(db, "people")

    @property
    def templates(self) -> int:
        """The number of enrolled photos."""
        with self._database.read() as db:
            return _count(db, "templates")

    def people(self) -> list[PersonSummary]:
        """Return everybody, by name."""
        with self._database.read() as db:
            rows = db.execute(
                "SELECT name, count(*), people.enrolled FROM people JOIN templates ON person = people.id "
                "GROUP BY people.id ORDER BY name"
            )
            return [PersonSummary(*row) for row in rows]

    def show(self, name: str) -> list[StoredTemplate]:
        """Return the photos of one person in the order they were enrolled; UnknownPersonError if there is none."""
        with self._database.read() as db:
            rows = db.execute(
                "SELECT photo_hash, source, x1, y1, x2, y2, quality, enrolled FROM templates "
                "WHERE person = ? ORDER BY id",
                (self._person(db, name),),
            )
            return [StoredTemplate(row[0], row[1], row[2:6], row[6], row[7]) for row in rows]

    def rename(self, old: str, new: str) -> None:
        """Give a person another name; GalleryError if somebody has it, UnknownPersonError if nobody is called `old`."""
        name = clean_name(new)
        with self._database.write() as db:
            person = self._person(db, old)
            if _id_of(db, name) not in {None, person}:
                raise GalleryError(
                    f"{self.folder}: '{name}' is enrolled already and people cannot be merged yet; choose another name"
                )
            db.execute("UPDATE people SET name = ? WHERE id = ?", (name, person))

    def remove(self, name: str) -> int:
        """Forget a person, leaving no trace of their vectors in the files; return how many templates they had.

        UnknownPersonError if nobody is called `name`.
        """
        with self._database.write() as db:
            person = self._person(db, name)
            templates = scalar(db, "SELECT count(*) FROM templates WHERE person = ?", person)
            db.execute("DELETE FROM people WHERE id = ?", (person,))
            for path in (self._index_path, draft_of(self._index_path)):
                path.unlink(missing_ok=True)
        self._database.wipe()
        return templates

    def rebuild(self) -> int:
        """Make the index again from the database and write it; return how many templates it holds."""
        with self._database.read() as db:
            generation = _generation(db)
            people = self._refreshed(db, _nobody(scalar(db, "SELECT dimension FROM gallery") or 0))
        self._save(people.index, generation)
        self._people, self._generation = people, generation
        return len(people.ids)

    def check(self) -> CheckReport:
        """Look at every page, row and vector, and at the index file if it claims to be up to date."""
        with self._database.read() as db:
            problems = (*faults(db), *_broken_people(db), *_broken_vectors(db), *self._broken_index(db))
            return CheckReport(_count(db, "people"), _count(db, "templates"), problems)

    def _broken_index(self, db: sqlite3.Connection) -> list[str]:
        index = FlatIndex.load(self._index_path, _generation(db))
        if index is None:
            return []  # the next search makes it again
        stored = dict(db.execute("SELECT id, vector FROM templates ORDER BY id"))
        if list(stored) == index.ids.tolist() and b"".join(stored.values()) == index.vectors(index.ids).tobytes():
            return []
        return [f"{self._index_path}: not the vectors of the database; run `facerec gallery rebuild`"]

    def _person(self, db: sqlite3.Connection, name: str) -> int:
        person = _id_of(db, unicodedata.normalize("NFC", name).strip())
        if person is None:
            known = {row[0].casefold(): row[0] for row in db.execute("SELECT name FROM people")}
            close = [known[match] for match in difflib.get_close_matches(name.casefold(), known)]
            remedy = f"did you mean {' or '.join(close)}?" if close else "`facerec gallery list` shows who is"
            raise UnknownPersonError(f"{self.folder}: nobody called {name!r} is enrolled; {remedy}")
        return person


def clean_name(name: str) -> str:
    """Return a person's name as galleries keep it: stripped, NFC. Raises GalleryError for one that is unfit."""
    clean = unicodedata.normalize("NFC", name).strip()
    odd = any(unicodedata.category(letter) in {"Cc", "Cs", "Zl", "Zp"} for letter in clean)
    if odd or not 1 <= len(clean) <= MAX_NAME:
        raise GalleryError(
            f"{clean[:40]!a} is no name for a person; give 1 to {MAX_NAME} characters without control characters"
        )
    return clean


def _count(db: sqlite3.Connection, table: str) -> int:
    return scalar(db, f"SELECT count(*) FROM {table}")


def _generation(db: sqlite3.Connection) -> str:
    return scalar(db, "SELECT generation FROM gallery")


def _id_of(db: sqlite3.Connection, name: str) -> int | None:
    return scalar(db, "SELECT id FROM people WHERE name = ?", name)


def _owner_of(db: sqlite3.Connection, photo_hash: str) -> str | None:
    query = "SELECT name FROM people JOIN templates ON person = people.id WHERE photo_hash = ?"
    return scalar(db, query, photo_hash)


def _insert(db: sqlite3.Connection, name: str, template: Template) -> None:
    db.execute("INSERT OR IGNORE INTO people (name) VALUES (?)", (name,))
    source = template.source.encode(
        "utf-8", "backslashreplace"
    ).decode()  # SQLite's text is UTF-8, file names need not be
    box, vector = map(float, template.box), template.vector.astype("<f4").tobytes()
    db.execute(
        "INSERT INTO templates (person, photo_hash, source, x1, y1, x2, y2, quality, vector) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (_id_of(db, name), template.photo_hash, source, *box, float(template.quality), vector),
    )


def _owners(db: sqlite3.Connection) -> tuple[Ids, list[str]]:
    """Return the ids of all templates, ascending, and whose each is."""
    rows = db.execute("SELECT t.id, name FROM templates t JOIN people ON person = people.id ORDER BY t.id").fetchall()
    return np.array([number for number, _ in rows], np.int64), [name for _, name in rows]


def _nobody(dimension: int) -> PeopleIndex:
    return PeopleIndex(FlatIndex(dimension), np.empty(0, np.int64), [])


def _fault(vectors: Vectors, dimension: int) -> str | None:
    """Return what is wrong with rows that should be finite, of unit length within 1e-3, of `dimension` numbers."""
    if vectors.ndim != 2 or vectors.shape[1] != dimension:
        return f"has {vectors.shape[-1]} numbers instead of {dimension}"
    if not np.isfinite(vectors).all():
        return "holds numbers that are not finite"
    if (np.abs(np.linalg.norm(vectors, axis=1) - 1) > 1e-3).any():
        return "is not of length 1"
    return None


def _require_unit(vectors: Vectors, dimension: int, where: str) -> None:
    if fault := _fault(vectors, dimension):
        raise GalleryError(f"{where}: the face's vector {fault}; check the model (`facerec doctor`)")


def _broken_people(db: sqlite3.Connection) -> list[str]:
    rows = db.execute("SELECT name FROM people WHERE id NOT IN (SELECT person FROM templates)")
    return [f"'{name}' has no template; remove them" for (name,) in rows]


def _broken_vectors(db: sqlite3.Connection) -> list[str]:
    dimension = scalar(db, "SELECT dimension FROM gallery")
    found = []
    for source, blob in db.execute("SELECT source, vector FROM templates ORDER BY id"):
        vector = np.frombuffer(blob[: len(blob) // 4 * 4], "<f4")
        if fault := _fault(vector[None], dimension):
            found.append(f"the vector of {source} {fault}; remove its person and enroll them again")
    return found
