"""The gallery: the enrolled people, and a search for those most like a face.

    with Gallery.open(Path("club"), create=True) as gallery:
        gallery.bind_model(fingerprint, "facerec-resnet50", 512, Threshold(1.08, "FMR 0.1 % on the validation people"))
        gallery.add("Ann Lee", template)
        gallery.search(vectors, top=5)

A gallery is a folder of a few files. `gallery.db` (SQLite) is the truth. Each write is one transaction with an entry in
the audit log, and is on disk when the call returns. `people.cache` is a cache stamped with the database's generation. A
missing, stale or damaged one is made again; an encrypted gallery keeps none. `gallery.db.backup` is a copy, made when a
changed gallery is closed. Several processes may enroll and identify at once.

A program works with a `Gallery`. Other functions work on its `store`; they are in the modules `enrolled`, `erasure`,
`maintenance` and `archive` beside this one. `backup` and `encryption` work on the folder of a closed gallery.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

from facerec.decision.calibration import Calibration, require_rate
from facerec.decision.population import calibrate_people
from facerec.errors import GalleryError
from facerec.gallery import archive, calibration_cache, enrolled, erasure, maintenance, people_cache, vetoes
from facerec.gallery.address import Place
from facerec.gallery.archive import Import
from facerec.gallery.archive_file import Archive
from facerec.gallery.audit_log import LogEntry, record
from facerec.gallery.connection import Connection
from facerec.gallery.cut_by import adopt_detector, detector_of, require_detector
from facerec.gallery.maintenance import CheckReport
from facerec.gallery.model import bind_model, dimension_of
from facerec.gallery.names import clean_name
from facerec.gallery.people_cache import PeopleCache
from facerec.gallery.people_changes import enrollment
from facerec.gallery.queries import PersonSummary, StoredTemplate, generation_of, id_of, insert_template, owner_of
from facerec.gallery.removed import removed_for
from facerec.gallery.schema import scalar
from facerec.gallery.store import Store
from facerec.gallery.strangers import given_strangers, read_strangers, write_strangers
from facerec.gallery.vetoed_faces import VetoedFaces, nearest_left
from facerec.photos.memory import AnyPhoto
from facerec.search.people import PeopleIndex
from facerec.text import same_form
from facerec.types import Candidate, Template, Threshold, Vectors
from facerec.vectors import vector_fault


class Gallery:
    """An open gallery. Every method raises a GalleryError of one line if the folder or database fails.

    Several threads may use one object at once; the calls then run one after the other. store: the open folder, for the
    functions of other modules.
    """

    def __init__(self, store: Store) -> None:
        """Use `Gallery.open`."""
        self.store = store
        self._cache: PeopleCache | None = None  # None until a model is bound
        self._detector: str | None = None

    @classmethod
    def open(cls, folder: Place, *, create: bool = False, passphrase: str | None = None) -> Self:
        """Open the gallery in `folder`; see `Store.open`."""
        return cls(Store.open(folder, create=create, passphrase=passphrase))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; see `Store.close`."""
        self.store.close()

    @property
    def folder(self) -> Place:
        """The gallery's folder, or its address on a server."""
        return self.store.folder

    def __len__(self) -> int:
        """Return the number of people."""
        return len(self.store)

    def __contains__(self, name: str) -> bool:
        """Whether somebody is enrolled under exactly this name (stripped, NFC)."""
        with self.store.read() as db:
            return id_of(db, same_form(name).strip()) is not None

    @property
    def templates(self) -> int:
        """The number of enrolled photos."""
        return self.store.templates

    # ------------------------------------------------------------------------------------------------ the model

    def bind_model(
        self, fingerprint: str, name: str, dimension: int, threshold: Threshold | None, cohort: Vectors | None = None
    ) -> None:
        """State which model makes this process's vectors. Call it before `add` and `search`.

        dimension: D, the length of a vector. threshold: the one of the model's card. cohort: (N, D) unit float32 rows
        of the strangers that come with the model. An empty gallery adopts the model. Later the same model may bring a
        new name, threshold or cohort. ForeignModelError if the gallery holds vectors of another model.
        """
        with self.store.lock:
            bind_model(self.store, fingerprint, name, dimension, threshold, cohort)
            self._cache = PeopleCache(self.store, fingerprint)

    def bind_own_model(self) -> None:
        """Bind the model whose vectors the gallery holds: for a process that makes none."""
        with self.store.lock, self.store.glance() as db:
            self._cache = PeopleCache(self.store, scalar(db, "SELECT model_fingerprint FROM gallery"))

    def bind_detector(self, name: str | None) -> None:
        """State which detector cuts this process's crops (`faces.detector.name_of`). Call it before `add`.

        ForeignDetectorError if the gallery holds crops of another. The first photo that is added makes it the
        gallery's own. None, for aligned crops and detectors without a name, fits every gallery.
        """
        with self.store.glance() as db:
            require_detector(db, self.folder, name)
        self._detector = name

    @property
    def detector(self) -> str | None:
        """The name of the detector that cut the gallery's crops; None where it is not known (see `cut_by`)."""
        with self.store.read() as db:
            return detector_of(db)

    def _bound(self) -> PeopleCache:
        """Return the people in memory; GalleryError before `bind_model`."""
        if self._cache is None:
            raise GalleryError(f"{self.folder}: no model chosen yet; call bind_model first")
        return self._cache

    # ------------------------------------------------------------------------------------------------ the threshold

    @property
    def threshold(self) -> Threshold | None:
        """The largest distance that counts as a match now: the calibration's, or else that of the model's card.

        None if there is neither.
        """
        calibration = self.calibration() if self._cache is not None else None
        return self.model_threshold if calibration is None else calibration.threshold

    @property
    def model_threshold(self) -> Threshold | None:
        """The threshold of the model's card, for a pair of photos; None if it has none."""
        with self.store.glance() as db:
            distance, source = db.execute("SELECT threshold, threshold_source FROM gallery").fetchone()
        return None if distance is None else Threshold(distance, source)

    def calibration(self, fpir: float | None = None) -> Calibration | None:
        """Return the threshold for a false positive identification rate, found by searching strangers in the gallery.

        fpir: the rate aimed at; the gallery's own target unless given. The result for the gallery's target is kept
        until the gallery changes. None if nobody is enrolled or no strangers are known. ConfigError if the rate is not
        between 0 and 1.
        """
        with self.store.lock:
            return self._bound().ask(lambda people: self._calibration(people, self._bound(), fpir))

    def _calibration(self, people: PeopleIndex, cache: PeopleCache, fpir: float | None) -> Calibration | None:
        generation = cache.generation
        with self.store.glance() as db:
            cohort, given = (read_strangers(db, self.folder, people.dimension, kind) for kind in ("cohort", "given"))
            if not people.names or all(rows is None or not len(rows) for rows in (cohort, given)):
                return None
            rate = scalar(db, "SELECT fpir FROM gallery") if fpir is None else fpir
            if (known := calibration_cache.load(db, generation, rate)) is not None:
                return known
        with self.store.read() as db:
            apart = vetoes.pairs_by_name(db)
        made = calibrate_people(people, cohort, rate, given, cache.search(), apart)
        if fpir is None and made is not None:
            calibration_cache.keep(self.store, generation, made, cache.search())
        return made

    def given(self) -> tuple[float, int, str]:
        """Return what was set: the target rate, how many strangers were given, and where they come from ("": none)."""
        with self.store.glance() as db:
            return scalar(db, "SELECT fpir FROM gallery"), *given_strangers(db)

    def set_calibration(self, fpir: float | None = None, *, strangers: Vectors | None = None, source: str = "") -> None:
        """Set the target rate, the strangers or both, in one transaction. An argument that is None changes nothing.

        fpir: the false positive identification rate aimed at; ConfigError if it is not between 0 and 1. strangers:
        (N, D) unit float32 rows of people who are not enrolled; N may be 0. They replace the strangers given before.
        source: where they come from.
        """
        if fpir is not None:
            require_rate(fpir)
            fpir = float(fpir)  # of NumPy's numbers, too, which neither the log nor the database takes
        with self.store.write() as db:
            if strangers is not None:
                if len(strangers):
                    _require_unit(strangers, dimension_of(db, self.folder, self._bound().fingerprint), source)
                write_strangers(db, "given", source, strangers)
                record(db, "strangers set", strangers=len(strangers))
            if fpir is not None:
                db.execute("UPDATE gallery SET fpir = ?", (fpir,))
                record(db, "target set", fpir=fpir)

    # ------------------------------------------------------------------------------------------------ enrolling

    def find_photo(self, photo_hash: str) -> str | None:
        """Return the name of the person enrolled with this photo, or None."""
        with self.store.read() as db:
            return owner_of(db, photo_hash)

    def removed_on(self, photo_hash: str, person: str) -> str | None:
        """Return the day (YYYY-MM-DD) a photo was removed, with its person or from `person`; None if it was not.

        `add` enrolls it all the same, and forgets that day.
        """
        with self.store.read() as db:
            return removed_for(db, photo_hash, same_form(person).strip())

    def add(self, person: str, template: Template) -> bool:
        """Enroll one photo. Returns True once it is on disk, False if this person already had it.

        The name is stripped and NFC-normalised. UnfitValueError for an unfit name. GalleryError for a vector that is
        not finite, not of unit length (within 1e-3) or not of the model's dimension, and for a photo that is enrolled
        as somebody else.
        """
        return self.add_all([(person, template)])[0]

    def add_all(self, photos: Iterable[tuple[str, Template]]) -> list[bool]:
        """Enroll photos, each a person's name and a template, in one transaction: if one is refused, none is enrolled.

        Returns what `add` returns for each, once all of them are on disk. Raises what `add` raises. It takes much less
        time than one after the other.
        """
        named, cache = [(clean_name(person), template) for person, template in photos], self._bound()
        with self.store.lock:
            with self.store.write() as db:
                dimension, before = dimension_of(db, self.folder, cache.fingerprint), generation_of(db)
                numbers = [self._insert(db, name, template, dimension) for name, template in named]
                change = enrollment(generation_of(db), named, numbers)
                people_cache.append(self.store, before, change)
            cache.add(before, change)  # the photos are now on disk, so memory may follow
        return [number is not None for number in numbers]

    def _insert(self, db: Connection, name: str, template: Template, dimension: int) -> int | None:
        """Enroll a photo in the caller's transaction; return the template's number, None if it was enrolled already."""
        _require_unit(template.vector[None], dimension, template.source)
        owner = owner_of(db, template.photo_hash)
        if owner == name:
            return None
        if owner is not None:
            raise GalleryError(
                f"{template.source}: already enrolled as '{owner}', so not as '{name}'; "
                "`facerec gallery rename` or `remove` if that was wrong"
            )
        adopt_detector(db, self.folder, self._detector)
        person = insert_template(db, name, template)
        vetoes.settle(db, person)
        record(db, "enrolled", person, templates=1)
        return scalar(db, "SELECT max(id) FROM templates")

    # ------------------------------------------------------------------------------------------------ searching

    def search(self, vectors: Vectors, top: int) -> list[list[Candidate]]:
        """Return, for each of (N, D) unit float32 rows, the `top` >= 1 nearest people, nearest first.

        The distance to a person is that to the unit-length mean of their templates. The search is exact. Of two equally
        near people, the one whose photo was enrolled first comes first. The search sees people whom other processes
        have just enrolled. It returns N empty lists if nobody is enrolled. A candidate whom a veto strikes
        (`decide.is_struck`) is marked and does not count: `top` others are returned besides.
        """
        with self.store.lock:
            found = self._ask(vectors, lambda people, vetoed: people.nearest(vectors, top + len(vetoed)))
            return [nearest_left(each, top) for each in found]

    def nearest_and_named(self, vectors: Vectors, names: Sequence[str]) -> list[list[Candidate]]:
        """Return, for each of (N, D) unit float32 rows, the nearest person and the person named for that row.

        names: N names. The nearer of the two comes first. There is one candidate if both are the same person or the
        named one is not enrolled, and none if nobody is enrolled. Candidates whom a veto strikes are marked and
        returned besides; the nearest person is one who is not struck.
        """
        with self.store.lock:
            found = self._ask(vectors, lambda people, vetoed: people.nearest_and_named(vectors, names, 1 + len(vetoed)))
            return [nearest_left(each, 1, name) for each, name in zip(found, names, strict=True)]

    def alike(self, names: Iterable[str], limit: float) -> list[tuple[str, str, float]]:
        """Return the pairs of people within the distance `limit`, at least one of them in `names`.

        See `PeopleIndex.alike`. People who were said to be two are left out.
        """
        with self.store.lock:
            cache, asked = self._bound(), set(names)
            found, apart = cache.ask(lambda people: people.alike(asked, limit)), cache.apart()
            return [pair for pair in found if frozenset(pair[:2]) not in apart]

    def far_from_own(self, names: Iterable[str], limit: float) -> list[tuple[str, Vectors, float]]:
        """Return the vectors of people that are farther than `limit` from the person's others.

        See `PeopleIndex.far_from_own`.
        """
        with self.store.lock:
            asked = list(names)
            return self._bound().ask(lambda people: people.far_from_own(asked, limit))

    def _ask(
        self, vectors: Vectors, search: Callable[[PeopleIndex, VetoedFaces], list[list[Candidate]]]
    ) -> list[list[Candidate]]:
        """Search everybody, and judge what is found by the vetoes; GalleryError if the vectors are no unit rows."""
        cache = self._bound()

        def judged(people: PeopleIndex) -> list[list[Candidate]]:
            _require_unit(vectors, people.dimension, str(self.folder))
            return cache.vetoed.judge(vectors, search(people, cache.vetoed), people)

        return cache.ask(judged)

    @property
    def searched(self) -> int:
        """How many people a search looks through: all of them, counted in memory."""
        with self.store.lock:
            return self._bound().ask(lambda people: len(people.names))

    def names(self) -> list[str]:
        """Return everybody's name, in the order in which they were enrolled."""
        with self.store.lock:
            return self._bound().ask(lambda people: list(people.names))

    def mean_templates(self) -> tuple[tuple[str, ...], Vectors]:
        """Return everybody's name and their mean templates, (P, D) unit float32 rows in the same order."""
        with self.store.lock:
            return self._bound().ask(lambda people: (tuple(people.names), people.means.copy()))

    # ------------------------------------------------------------------------------------------------ who is in it

    def people(self) -> list[PersonSummary]:
        """Return everybody, sorted by name."""
        return enrolled.people(self.store)

    def show(self, name: str) -> list[StoredTemplate]:
        """Return the photos of one person; see `enrolled.photos`."""
        return enrolled.photos(self.store, name)

    def rename(self, old: str, new: str) -> None:
        """Give a person another name; see `enrolled.rename`."""
        enrolled.rename(self.store, old, new)

    def merge(self, source: str, target: str) -> int:
        """Make one person of two; see `enrolled.merge`."""
        return enrolled.merge(self.store, source, target)

    def set_consent(self, name: str, note: str | None = None, until: str | None = None) -> None:
        """Note what a person agreed to, and the last day they may be kept; see `enrolled.set_consent`."""
        enrolled.set_consent(self.store, name, note, until)

    def veto(self, name: str, face: Template) -> bool:
        """Remember that a face is not this person; see `vetoes.add`. GalleryError as for `add` for an unfit vector."""
        with self.store.lock:
            self._ask(face.vector[None], lambda *_: [[]])  # only to refuse what cannot be searched
            return vetoes.add(self.store, name, face)

    def set_apart(self, one: str, other: str) -> bool:
        """Remember that two people are two; see `vetoes.set_apart`."""
        return vetoes.set_apart(self.store, one, other)

    def remove(self, name: str, photo: AnyPhoto | None = None) -> int:
        """Delete a person, or one photo of theirs, from all files in the folder; return how many photos went.

        See `erasure.remove`.
        """
        return len(erasure.remove(self.store, name, photo).photos)

    def expire(self, today: str | None = None) -> list[PersonSummary]:
        """Remove everybody whose last day is before `today`; see `erasure.expire`."""
        return erasure.expire(self.store, today)

    # ------------------------------------------------------------------------------------------------ looking after it

    def log(self) -> tuple[list[LogEntry], str]:
        """Return the audit log, oldest entry first, and its head hash."""
        return self.store.log()

    def check(self) -> CheckReport:
        """Look for damage in all files of the gallery; see `maintenance.check`."""
        return maintenance.check(self.store)

    def export(self, path: Path) -> Archive:
        """Write everybody, with their vectors, to a new file; see `archive.export`."""
        return archive.export(self.store, path)

    def import_archive(self, content: Archive, *, again: bool = False, one: Mapping[str, bool] | None = None) -> Import:
        """Enroll the people of an archive that `archive_file.read_archive` read; see `archive.import_archive`."""
        return archive.import_archive(self.store, content, again, one)


def _require_unit(vectors: Vectors, dimension: int, where: str) -> None:
    if fault := vector_fault(vectors, dimension):
        raise GalleryError(f"{where}: the face's vector {fault}; check the model (`facerec doctor`)")
