"""The gallery: who has been enrolled, and who of them a face is most like.

    with Gallery.open(Path("club"), create=True) as gallery:
        gallery.bind_model(fingerprint, "facerec-resnet50", 512, Threshold(1.08, "FMR 0.1 % on the validation people"))
        gallery.add("Ann Lee", template)
        gallery.search(vectors, top=5)

A folder of a few files. `gallery.db` (SQLite) is the truth: each write is one transaction, on disk when the call
returns, with its entry in the audit log. `index.faiss` is a cache stamped with the database's generation; one that is
missing, stale or damaged is made again, and an encrypted gallery keeps none. `gallery.db.backup` is a copy, kept when a
gallery that was changed is closed. Several processes may enroll and identify at once. What needs no model is in `care`.
"""

import dataclasses
import sqlite3
from contextlib import suppress
from pathlib import Path

import numpy as np

from facerec.decision.calibration import Calibration, require_rate
from facerec.decision.population import calibrate_people
from facerec.errors import DamagedGalleryError, ForeignModelError, GalleryError
from facerec.gallery.audit_log import record
from facerec.gallery.database import Database
from facerec.gallery.integrity import require_undamaged
from facerec.gallery.layout import KINDS
from facerec.gallery.names import clean_name
from facerec.gallery.queries import as_text, count_rows, generation_of, insert_template, owner_of, owners_of_all
from facerec.gallery.schema import scalar, sealed, version_of
from facerec.gallery.store import Care
from facerec.gallery.strangers import holds_strangers, read_strangers, write_strangers
from facerec.search.index import FlatIndex, Index
from facerec.search.people import PeopleIndex
from facerec.types import Candidate, Template, Threshold, Vectors
from facerec.vectors import vector_fault

__all__ = ["KINDS", "Gallery", "clean_name"]  # what other rooms take from here

_CALIBRATION = "fpir, distance, strangers, within, people, least, most, worth"


class Gallery(Care):
    """An open gallery folder. Every method raises a GalleryError of one line if the folder or database fails it."""

    def __init__(self, folder: Path, database: Database) -> None:
        """Use `Gallery.open`."""
        super().__init__(folder, database)
        self._model: str | None = None  # fingerprint of the model this process works with
        self._generation = ""  # of the database when the people below were read
        self._people: PeopleIndex | None = None

    # ------------------------------------------------------------------------------------------------ the model

    def bind_model(
        self, fingerprint: str, name: str, dimension: int, threshold: Threshold | None, cohort: Vectors | None = None
    ) -> None:
        """Say which model this process's vectors come from; needed before `add` and `search`.

        cohort: (N, D) unit rows of strangers that come with the model. An empty gallery takes the model as its own;
        later the same model may bring a new name, threshold (its card's) or cohort. Raises ForeignModelError if the
        gallery holds vectors of another model.
        """
        name, limit = as_text(name), threshold and threshold.distance
        wanted = (fingerprint, name, dimension, limit, threshold and as_text(threshold.source))
        columns = "model_fingerprint, model_name, dimension, threshold, threshold_source"
        with self._database.read() as db:
            stored = db.execute(f"SELECT {columns} FROM gallery").fetchone()
            self._refuse_foreign(db, fingerprint, name, dimension)
            given = np.zeros((0, dimension), np.float32) if cohort is None else cohort
            known = holds_strangers(db, "cohort", given)
        if stored != wanted or not known:
            with self._database.write() as db:
                self._refuse_foreign(db, fingerprint, name, dimension)
                db.execute(f"UPDATE gallery SET ({columns}) = (?, ?, ?, ?, ?)", wanted)
                if stored[0] != fingerprint:
                    db.execute("DELETE FROM strangers")
                write_strangers(db, "cohort", f"the cohort of {name}", given)
                record(db, "model bound", model=fingerprint, dimension=dimension, cohort=len(given))
        self._model, self._people = fingerprint, None

    @property
    def model_name(self) -> str | None:
        """The name of the model the gallery was made with, None before the first `bind_model`."""
        with self._database.read() as db:
            return scalar(db, "SELECT model_name FROM gallery")

    @property
    def threshold(self) -> Threshold | None:
        """Where the gallery draws the line now: by its strangers, without any by its model's card; None: by neither."""
        calibration = self.calibration() if self._model is not None else None
        if calibration is not None:
            return calibration.threshold
        with self._database.read() as db:
            distance, source = db.execute("SELECT threshold, threshold_source FROM gallery").fetchone()
        return None if distance is None else Threshold(distance, source)

    def calibration(self, fpir: float | None = None) -> Calibration | None:
        """The threshold for a false positive identification rate, set by searching the strangers among the people now.

        fpir: the gallery's own target unless given. None where nobody is enrolled or no strangers are known. What was
        found for the target is kept until the gallery changes. Raises ConfigError for a rate not between 0 and 1.
        """
        people = self._current()
        with self._database.read() as db:
            cohort, given = (read_strangers(db, people.index.dimension, kind) for kind in ("cohort", "given"))
            if not people.names or all(rows is None or not len(rows) for rows in (cohort, given)):
                return None
            rate = scalar(db, "SELECT fpir FROM gallery") if fpir is None else fpir
            if (known := self._kept(db, rate)) is not None:
                return known
        made = calibrate_people(people, cohort, rate, given)
        if fpir is None and made is not None:
            self._keep(made)
        return made

    def _kept(self, db: sqlite3.Connection, rate: float) -> Calibration | None:
        if version_of(db) < 6:  # an older format, that may only be read, keeps less
            return None
        whole = f"checksum = {sealed('generation', *_CALIBRATION.split(', '))}"  # one that is damaged is found again
        kept = f"SELECT {_CALIBRATION} FROM calibration WHERE generation = ? AND fpir = ? AND {whole}"
        row = db.execute(kept, (self._generation, rate)).fetchone()
        return None if row is None else Calibration(*row)

    def _keep(self, made: Calibration) -> None:
        with suppress(GalleryError), self._database.write() as db:  # a gallery that may only be read counts every time
            row = (self._generation, *dataclasses.astuple(made))
            db.execute(
                f"REPLACE INTO calibration (only, generation, {_CALIBRATION}) VALUES (1, {', '.join('?' * len(row))})",
                row,
            )
            db.execute(f"UPDATE calibration SET checksum = {sealed('generation', *_CALIBRATION.split(', '))}")

    def set_target(self, fpir: float) -> None:
        """From now on the threshold is for this false positive identification rate; ConfigError if that is none."""
        self.set_calibration(fpir, None)

    def set_strangers(self, vectors: Vectors, source: str) -> None:
        """Calibrate by these (N, D) unit rows of people who are not enrolled, too; they replace those given before."""
        self.set_calibration(None, vectors, source)

    def set_calibration(self, fpir: float | None, strangers: Vectors | None, source: str = "") -> None:
        """`set_target` and `set_strangers` in one transaction, either of them or neither; None leaves what is set."""
        if fpir is not None:
            require_rate(fpir)
        with self._database.write() as db:
            if strangers is not None:
                if len(strangers):
                    _require_unit(strangers, self._require_model(db), source)
                write_strangers(db, "given", source, strangers)
                record(db, "strangers set", strangers=len(strangers))
            if fpir is not None:
                db.execute("UPDATE gallery SET fpir = ?", (fpir,))
                record(db, "target set", fpir=fpir)

    def require_model(self, fingerprint: str, name: str, dimension: int) -> None:
        """ForeignModelError where `bind_model` would raise it; nothing is changed."""
        with self._database.read() as db:
            self._refuse_foreign(db, fingerprint, name, dimension)

    def _refuse_foreign(self, db: sqlite3.Connection, fingerprint: str, name: str, dimension: int) -> None:
        stored, stored_name, stored_dimension = db.execute(
            "SELECT model_fingerprint, model_name, dimension FROM gallery"
        ).fetchone()
        if (stored, stored_dimension) != (fingerprint, dimension) and count_rows(db, "templates"):
            raise ForeignModelError(
                f"{self.folder}: made with model {stored_name} ({stored[:12]}), not with {name} ({fingerprint[:12]}); "
                f"give that model's folder or file as --model, another gallery (`--gallery DIR`), or have this one "
                f"changed by `facerec gallery migrate --model NEW`"
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
            return owner_of(db, photo_hash)

    def add(self, person: str, template: Template) -> bool:
        """Enroll one photo: True once it is safely on disk, False if this person already had it.

        The name is stripped and NFC-normalised. Raises GalleryError for an unfit name, a vector that is not finite,
        of unit length (within 1e-3) and of the model's dimension, or a photo that is enrolled as somebody else.
        """
        name = clean_name(person)
        with self._database.write() as db:
            _require_unit(template.vector[None], self._require_model(db), template.source)
            owner = owner_of(db, template.photo_hash)
            if owner is None:
                record(db, "enrolled", insert_template(db, name, template), templates=1)
            elif owner != name:
                raise GalleryError(
                    f"{template.source}: already enrolled as '{owner}', so not as '{name}'; "
                    "`facerec gallery rename` or `remove` if that was wrong"
                )
        return owner is None

    # ------------------------------------------------------------------------------------------------ searching

    def search(self, vectors: Vectors, top: int) -> list[list[Candidate]]:
        """Return, for each of (N, D) unit float32 rows, the `top` >= 1 nearest people, nearest first.

        A person's distance is that of the mean of their templates, made unit-length again, by exact search; of equally
        near people the one whose photo was enrolled first comes first. People other processes enrolled a moment ago are
        found. Nobody enrolled: N empty lists.
        """
        people = self._current()
        _require_unit(vectors, people.index.dimension, str(self.folder))
        return people.nearest(vectors, top)

    def mean_templates(self) -> tuple[tuple[str, ...], Vectors]:
        """Return everybody's name and the (P, D) unit float32 rows they are searched at."""
        people = self._current()
        return people.names, people.means

    def _current(self) -> PeopleIndex:
        """Return everybody as of the database's present generation, reading only what is new."""
        known = self._people
        with self._database.read() as db:
            dimension, generation = self._require_model(db), generation_of(db)
            if known is not None and self._generation == generation:
                return known
            cached = self._cached(db, generation) if known is None else None
            people = cached or self._refreshed(db, known or PeopleIndex.nobody(dimension))
        self._people, self._generation = people, generation
        if known is None and cached is None:
            with suppress(GalleryError):  # a cache that cannot be written costs time, not truth
                self._save(people.index, generation)
        return people

    def _cached(self, db: sqlite3.Connection, generation: str) -> PeopleIndex | None:
        """Everybody by the index file, None if it is not of this generation or not of these templates."""
        if self._database.encrypted:  # nothing of it is kept in the open
            return None
        index, (ids, owners) = FlatIndex.load(self._index_path, generation), owners_of_all(db)
        return PeopleIndex(index, ids, owners) if index is not None and np.array_equal(index.ids, ids) else None

    def _refreshed(self, db: sqlite3.Connection, known: PeopleIndex) -> PeopleIndex:
        """Bring an index up to date, in place. Ids are never used twice, so new templates have higher ones."""
        ids, owners = owners_of_all(db)
        last = int(known.ids[-1]) if len(known.ids) else 0
        blobs = [blob for (blob,) in db.execute("SELECT vector FROM templates WHERE id > ? ORDER BY id", (last,))]
        if len(blobs) != (ids > last).sum() or any(len(blob) != 4 * known.index.dimension for blob in blobs):
            raise DamagedGalleryError(
                f"{self.folder}: a vector is cut off or nobody's; `facerec gallery check` names it"
            )
        require_undamaged(db, self.folder, last)
        known.index.remove(np.setdiff1d(known.ids, ids))
        new = np.frombuffer(b"".join(blobs), "<f4").reshape(len(blobs), known.index.dimension)
        known.index.add(ids[ids > last], new)
        return PeopleIndex(known.index, ids, owners)

    def _save(self, index: Index, generation: str) -> None:
        if self._database.encrypted:
            return
        with self._database.write() as db:  # the lock keeps vectors that are just being removed from coming back
            if generation_of(db) == generation:
                index.save(self._index_path, generation)

    def rebuild(self) -> int:
        """Make the index again from the database, once that is written anew; return how many templates it holds."""
        self._database.compact()
        with self._database.read() as db:
            generation = generation_of(db)
            people = self._refreshed(db, PeopleIndex.nobody(scalar(db, "SELECT dimension FROM gallery") or 0))
        self._save(people.index, generation)
        self._people, self._generation = people, generation
        return len(people.ids)


def _require_unit(vectors: Vectors, dimension: int, where: str) -> None:
    if fault := vector_fault(vectors, dimension):
        raise GalleryError(f"{where}: the face's vector {fault}; check the model (`facerec doctor`)")
