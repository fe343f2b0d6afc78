"""Giving a gallery another model, or detector: new vectors are collected beside the old ones, then replace them.

The new vectors are in a table of the same database (`renewal`), committed batch by batch; so are new crops for kept
ones (`renewed_crops`), if the detector changes. So the next process continues
where a killed one stopped, a removal deletes them too, and the final change is one transaction. A copy of the database
made just before it is kept as the rollback copy. Other processes may enroll and identify meanwhile; the photos they
enroll are part of the change.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from facerec.errors import GalleryError
from facerec.files import unlink
from facerec.gallery.address import Place
from facerec.gallery.audit_log import last_number, record
from facerec.gallery.backup import keep_copy
from facerec.gallery.connection import Connection
from facerec.gallery.cut_by import detector_of, write_detector
from facerec.gallery.everybody import read_everybody, rows_of
from facerec.gallery.layout import caches_of
from facerec.gallery.leftovers import pending, wipe
from facerec.gallery.model import write_model
from facerec.gallery.queries import StoredTemplate, count_rows, crop_of, insert_crop
from facerec.gallery.schema import scalar, sealed
from facerec.gallery.store import Store
from facerec.gallery.strangers import as_stored, read_strangers, write_strangers
from facerec.gallery.unknown_faces import forget
from facerec.gallery.vetoes import pairs_by_name, renew_veto, veto_crop_of
from facerec.search.people import EnrolledPeople
from facerec.types import Image, Threshold, Vectors
from facerec.vectors import vector_fault


@dataclass(frozen=True, eq=False, slots=True)
class NextModel:
    """The model that replaces the gallery's own, as in `Gallery.bind_model`.

    cohort: (N, dimension) unit float32 rows; N may be 0. detector: the name of the one that replaces the gallery's own;
    None if that stays.
    """

    fingerprint: str
    name: str
    dimension: int
    threshold: Threshold | None
    cohort: Vectors
    detector: str | None = None

    @property
    def key(self) -> str:
        """What tells its vectors from those that an earlier run has made for another change."""
        return self.fingerprint if self.detector is None else f"{self.fingerprint} {self.detector}"


@dataclass(frozen=True, slots=True)
class Outstanding:
    """A template that has no vector of the next model yet. id: its number in the database.

    veto: it is a vetoed face instead, which is not `person`.
    """

    id: int
    person: str
    photo: StoredTemplate
    veto: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class NewVector:
    """The next model's vector, (D,) unit float32, for the template or vetoed face `id`.

    crop: the crop to keep, if one was made.
    """

    id: int
    vector: NDArray[np.float32]
    crop: Image | None = None


class ModelChange:
    """An open gallery that is getting another model. Every method raises a GalleryError of one line if it fails.

    store: the open folder. fingerprint, model_name, detector: the gallery's when it was opened.
    """

    def __init__(self, store: Store) -> None:
        """Use `ModelChange.open`."""
        self.store = store
        with store.read() as db:
            (self.fingerprint, self.model_name), self.detector = _model_of(db), detector_of(db)

    @classmethod
    def open(cls, folder: Place) -> Self:
        """Open the gallery in `folder`; see `Store.open`."""
        return cls(Store.open(folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; see `Store.close`."""
        self.store.close()

    def begin(self, model: NextModel) -> int:
        """Delete damaged new vectors and those of any other model; return how many vectors of this model there are.

        GalleryError if nobody is enrolled.
        """
        with self.store.write() as db:
            if not count_rows(db, "templates"):
                raise GalleryError(
                    f"{self.store.folder}: nobody is enrolled, so there is nothing to migrate; "
                    "`facerec enroll` with the new model as `model`"
                )
            sealed_as = f"(SELECT {sealed('photo_hash', 'renewal.vector')} FROM templates WHERE id = template)"
            other = "model_fingerprint <> ? OR coalesce(checksum, -1) <>"
            db.execute(f"DELETE FROM renewal WHERE {other} {sealed_as}", (model.key,))
            db.execute("DELETE FROM renewed_crops WHERE template NOT IN (SELECT template FROM renewal)")
            return count_rows(db, "renewal")

    def revision(self) -> int:
        """The number of the log's last entry. Every change of the gallery raises it."""
        with self.store.read() as db:
            return last_number(db)

    def outstanding(self, model: NextModel) -> list[Outstanding]:
        """The templates that have no vector of the model yet, in the order they were enrolled."""
        rows = (
            "SELECT t.id, name, photo_hash, source, x1, y1, x2, y2, quality, t.enrolled FROM templates t "
            "JOIN people ON people.id = person WHERE t.id NOT IN "
            "(SELECT template FROM renewal WHERE model_fingerprint = ?) ORDER BY t.id"
        )
        with self.store.read() as db:
            self._require_same_model(db)
            return [
                Outstanding(row[0], row[1], StoredTemplate(row[2], row[3], row[4:8], row[8], row[9]))
                for row in db.execute(rows, (model.key,))
            ]

    def vetoes(self) -> list[Outstanding]:
        """All vetoed faces, oldest veto first. Their new vectors are not collected, but given to `finish`."""
        rows = "SELECT v.id, name, photo_hash, source, x1, y1, x2, y2, quality, made FROM vetoes v "
        rows += "JOIN people ON people.id = person ORDER BY v.id"
        with self.store.read() as db:
            return [
                Outstanding(row[0], row[1], StoredTemplate(row[2], row[3], row[4:8], row[8], row[9]), veto=True)
                for row in db.execute(rows)
            ]

    def crop(self, of: Outstanding) -> Image | None:
        """The crop kept for a template or vetoed face; None if there is none or it cannot be read."""
        with self.store.read() as db:
            return veto_crop_of(db, of.id) if of.veto else crop_of(db, of.id)

    def keep(self, model: NextModel, vectors: Iterable[NewVector]) -> None:
        """Store vectors of the model. Vectors of templates that have been removed meanwhile are dropped.

        GalleryError if a vector is not finite, not of unit length or not of the model's dimension.
        """
        with self.store.write() as db:
            for each in vectors:
                self._require_fit(model, each)
                if scalar(db, "SELECT count(*) FROM templates WHERE id = ?", each.id):
                    row = (each.id, model.key, each.vector.astype("<f4").tobytes())
                    checksum = f"(SELECT {sealed('photo_hash', '?3')} FROM templates WHERE id = ?1)"
                    columns = "template, model_fingerprint, vector, checksum"
                    anew = "ON CONFLICT (template, model_fingerprint) DO UPDATE SET vector = excluded.vector, "
                    anew += "checksum = excluded.checksum"
                    db.execute(f"INSERT INTO renewal ({columns}) VALUES (?1, ?2, ?3, {checksum}) {anew}", row)
                    if each.crop is not None:
                        insert_crop(db, each.id, each.crop, "crops" if model.detector is None else "renewed_crops")

    def now_and_then(self, model: NextModel, revision: int, lost: int) -> tuple[EnrolledPeople, EnrolledPeople] | None:
        """The people with the present model's vectors, and with the next one's; None if the change is not `_ready`."""
        with self.store.read() as db:
            if not self._ready(db, model, revision, lost):
                return None
            return read_everybody(db, self.store.folder), self._then(db, model)

    def _ready(self, db: Connection, model: NextModel, revision: int, lost: int) -> bool:
        """Whether the gallery is still at this `revision`, and all but `lost` templates have a new vector.

        A migration to another model in another process may have deleted new vectors.
        """
        self._require_same_model(db)
        new = "SELECT template FROM renewal WHERE model_fingerprint = ?"
        missing = scalar(db, f"SELECT count(*) FROM templates WHERE id NOT IN ({new})", model.key)
        return (last_number(db), missing) == (revision, lost)

    def _then(self, db: Connection, model: NextModel) -> EnrolledPeople:
        query = "FROM renewal JOIN templates t ON t.id = template JOIN people ON people.id = person "
        query += "WHERE renewal.model_fingerprint = ? ORDER BY t.id"
        owners = tuple(name for (name,) in db.execute(f"SELECT name {query}", (model.key,)))
        vectors = rows_of(db, self.store.folder, model.dimension, f"SELECT renewal.vector {query}", model.key)
        fpir = scalar(db, "SELECT fpir FROM gallery")
        return EnrolledPeople(vectors, owners, as_stored(model.cohort), fpir, model.threshold, apart=pairs_by_name(db))

    def given_strangers(self) -> int:
        """The number of strangers the user gave. Their vectors are the old model's, so the change deletes them."""
        with self.store.read() as db:
            found = read_strangers(db, self.store.folder, scalar(db, "SELECT dimension FROM gallery") or 1, "given")
        return 0 if found is None else len(found)

    def finish(self, model: NextModel, revision: int, lost: Collection[int], vetoes: Sequence[NewVector] = ()) -> bool:
        """Replace the old vectors with those of the model; delete the `lost` templates, and all but these `vetoes`.

        Forgets the unknown faces, whose vectors are the old model's, and makes the rollback copy first. Returns False,
        and changes nothing else, if the change is not `_ready`. GalleryError if the copy cannot be made, or another
        process has given the gallery another model.
        """
        with self.store.read() as db:
            if pending(db):
                raise GalleryError(f"{self.store.folder}: data of removed people is left; run `facerec gallery check`")
        forget(self.store)  # before the copy is made, which nobody deletes when their last day is over
        keep_copy(self.store.database, "rollback")
        with self.store.write() as db:
            if not self._ready(db, model, revision, len(lost)):
                return False
            self._leave_out(db, lost)
            self._renew_vetoes(db, model, vetoes)
            self._replace(db, model, len(lost))
            unlink(caches_of(self.store.database.path))  # they hold the old vectors, and those of the lost templates
            if self.store.database.on_server:  # which overwrites nothing by itself
                db.execute("UPDATE traces SET removal = ?", (last_number(db),))
        wipe(self.store.database)
        return True

    def _leave_out(self, db: Connection, lost: Collection[int]) -> None:
        """Delete the `lost` templates, and every person who has no template left. The rollback copy still has them."""
        owners = [scalar(db, "SELECT person FROM templates WHERE id = ?", number) for number in lost]
        for person in sorted(set(owners)):
            record(db, "left out", person, templates=owners.count(person))
        db.executemany("DELETE FROM templates WHERE id = ?", [(number,) for number in lost])
        db.execute("DELETE FROM people WHERE id NOT IN (SELECT person FROM templates)")

    def _renew_vetoes(self, db: Connection, model: NextModel, vetoes: Sequence[NewVector]) -> None:
        """Replace the vectors of these vetoed faces, and delete all others."""
        kept = {each.id for each in vetoes}
        lost = [row for row in db.execute("SELECT id, person FROM vetoes").fetchall() if row[0] not in kept]
        owners = [owner for _, owner in lost]
        for person in sorted(set(owners)):
            record(db, "vetoes left out", person, vetoes=owners.count(person))
        db.executemany("DELETE FROM vetoes WHERE id = ?", [(number,) for number, _ in lost])
        for each in vetoes:
            self._require_fit(model, each)
            renew_veto(db, each.id, each.vector, each.crop, recut=model.detector is not None)

    def _require_fit(self, model: NextModel, each: NewVector) -> None:
        if fault := vector_fault(each.vector[None], model.dimension):
            raise GalleryError(f"{self.store.folder}: a vector of {model.name} {fault}; check that model")

    def _replace(self, db: Connection, model: NextModel, left_out: int) -> None:
        new = "SELECT vector, checksum FROM renewal WHERE template = templates.id AND model_fingerprint = ?"
        db.execute(f"UPDATE templates SET (vector, checksum) = ({new})", (model.key,))
        db.execute("DELETE FROM renewal")
        anew = "ON CONFLICT (template) DO UPDATE SET png = excluded.png"
        db.execute(f"INSERT INTO crops (template, png) SELECT template, png FROM renewed_crops WHERE TRUE {anew}")
        db.execute("DELETE FROM renewed_crops")
        if model.detector is not None:
            write_detector(db, model.detector)
        old = scalar(db, "SELECT model_fingerprint FROM gallery")
        write_model(db, model.fingerprint, model.name, model.dimension, model.threshold)
        db.execute("DELETE FROM strangers")
        write_strangers(db, "cohort", f"the cohort of {model.name}", model.cohort)
        facts: dict[str, Any] = {"dimension": model.dimension, "cohort": len(model.cohort), "left_out": left_out}
        facts |= {} if model.detector is None else {"detector": model.detector}
        record(db, "migrated", model=model.fingerprint, before=old, templates=count_rows(db, "templates"), **facts)

    def _require_same_model(self, db: Connection) -> None:
        fingerprint, name = _model_of(db)
        if (fingerprint, detector_of(db)) != (self.fingerprint, self.detector):
            how = name if fingerprint != self.fingerprint else f"faces that {detector_of(db)} cut"
            raise GalleryError(
                f"{self.store.folder}: another process made it a gallery of {how}; check it, then run this again"
            )


def _model_of(db: Connection) -> tuple[str | None, str | None]:
    return db.execute("SELECT model_fingerprint, model_name FROM gallery").fetchone()
