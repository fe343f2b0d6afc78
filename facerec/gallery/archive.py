"""Export and import: the people of a gallery in one file (see `archive_file`), for another gallery."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from facerec.errors import DamagedGalleryError, ForeignDetectorError, ForeignModelError, GalleryError
from facerec.gallery.address import Place
from facerec.gallery.archive_file import Archive, Person, write_archive
from facerec.gallery.audit_log import record, utc_now
from facerec.gallery.connection import Connection
from facerec.gallery.cut_by import adopt_detector, detector_of
from facerec.gallery.enrolled import fewer_first_in, spellings
from facerec.gallery.integrity import broken_vetoes, require_undamaged
from facerec.gallery.model import write_model
from facerec.gallery.names import clean_name
from facerec.gallery.queries import (
    StoredTemplate,
    consent_of,
    count_rows,
    id_of,
    insert_template,
    owner_of,
    photos_of,
    summaries,
    write_consent,
)
from facerec.gallery.removed import removed_for
from facerec.gallery.schema import DEFAULT_FPIR, scalar, version_of
from facerec.gallery.store import Store
from facerec.gallery.vetoes import StoredVeto, insert_apart, insert_veto, is_vetoed, pairs, pairs_by_name, vetoes_of
from facerec.text import gallery_command, how_many
from facerec.types import Template, Vectors
from facerec.vectors import vector_fault


@dataclass(frozen=True, slots=True)
class Imported:
    """What the import did with one person of an archive.

    added, skipped: numbers of photos. vetoes: number of faces that are now known not to be the person. differences: how
    many photos, faces and notes stayed as the gallery has them. conflicts: a line for each of them, or one for several.
    """

    person: str
    added: int
    skipped: int
    vetoes: int
    differences: int
    conflicts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Import:
    """What an import did: people: with each person of the archive. apart: number of pairs now known to be two people.

    fpir: the gallery's target rate after it. taken: whether it came from the archive.
    """

    people: tuple[Imported, ...]
    apart: int
    fpir: float
    taken: bool


def export(store: Store, path: Path) -> Archive:
    """Write everybody, with their vectors, to a new file and return its content.

    The file must lie outside the gallery's folder, because `remove` would not delete it. GalleryError if the file lies
    in that folder, exists already or cannot be written, or if nobody is enrolled.
    """
    require_elsewhere(store.folder, path, path.parent)
    with store.write() as db:
        archive = _gather(db, store.folder)
        record(db, "exported", people=len(archive.people), templates=count_rows(db, "templates"))
        write_archive(path, archive)
    return archive


def require_elsewhere(gallery: Place, path: Path, folder: Path) -> None:
    """Raise GalleryError about `path` if `folder` is the gallery's folder or lies in it: removal would not clean it."""
    place = folder.resolve()
    if isinstance(gallery, Path) and gallery.resolve() in (place, *place.parents):
        raise GalleryError(f"{path}: in the gallery's own folder, where a removal would miss it; give another place")


def _gather(db: Connection, where: Place) -> Archive:
    """Return everybody in a gallery; GalleryError if nobody is enrolled or a name is no longer allowed."""
    fingerprint, name, dimension = db.execute("SELECT model_fingerprint, model_name, dimension FROM gallery").fetchone()
    require_undamaged(db, where)
    if found := broken_vetoes(db):
        raise DamagedGalleryError(f"{where}: {found[0]}")
    people, names = [], {}
    for person in summaries(db):
        _require_fit(person.name, where)
        number = id_of(db, person.name)
        assert number is not None
        names[number] = person.name
        templates = _faces(photos_of(db, number), _vectors(db, "templates", number, dimension, where))
        vetoes = _faces(vetoes_of(db, number), _vectors(db, "vetoes", number, dimension, where))
        people.append(Person(person.name, person.consent, person.until, templates, vetoes))
    if not people:
        raise GalleryError(f"{where}: nobody is enrolled, so there is nothing to export")
    apart = tuple((names[one], names[other], made) for one, other, made in pairs(db))
    fpir, detector = scalar(db, "SELECT fpir FROM gallery"), detector_of(db)
    return Archive(fingerprint, name, dimension, tuple(people), apart, fpir, detector)


def _vectors(db: Connection, table: str, person: int, dimension: int, where: Place) -> list[Vectors]:
    """Return the vectors of a person's templates or vetoes; DamagedGalleryError if one is no unit row."""
    if table == "vetoes" and version_of(db) < 7:
        return []
    blobs = db.execute(f"SELECT vector FROM {table} WHERE person = ? ORDER BY id", (person,))
    vectors = [np.frombuffer(blob, "<f4") for (blob,) in blobs]
    if any(vector_fault(vector[None], dimension) for vector in vectors):
        name = scalar(db, "SELECT name FROM people WHERE id = ?", person)
        raise DamagedGalleryError(f"{where}: a vector of '{name}' is damaged; `facerec gallery check`")
    return vectors


def _faces(
    stored: Sequence[StoredTemplate] | Sequence[StoredVeto], vectors: Sequence[Vectors]
) -> tuple[tuple[Template, str], ...]:
    """Return faces with their vectors, each with the time it was enrolled or vetoed."""
    return tuple(
        (
            Template(s.photo_hash, s.source, s.box, s.quality, vector),
            s.enrolled if isinstance(s, StoredTemplate) else s.made,
        )
        for s, vector in zip(stored, vectors, strict=True)
    )


def _require_fit(name: str, where: Place) -> None:
    try:
        clean_name(name)
    except GalleryError as error:  # an older facerec allowed the name; an import would refuse it
        raise GalleryError(f"{where}: {error} (`facerec gallery rename`)") from error


def other_spellings(store: Store, archive: Archive) -> dict[str, str]:
    """Return the people of an archive who are not enrolled, though another spelling of the name is -> that spelling.

    Not if the archive says that the two are two people.
    """
    with store.read() as db:
        return _other_spellings(db, archive)


def _other_spellings(db: Connection, archive: Archive) -> dict[str, str]:
    new = [person.name for person in archive.people if id_of(db, person.name) is None]
    two = {frozenset((one, other)) for one, other, _ in archive.apart}
    found = spellings(db, new)
    left = {name: [other for other in found[name] if frozenset((name, other)) not in two] for name in new}
    return {name: others[0] for name, others in left.items() if others}


def import_archive(
    store: Store, archive: Archive, again: bool = False, one: Mapping[str, bool] | None = None
) -> Import:
    """Enroll the people of an archive in one transaction; return what was done with each.

    A photo that the same person already has is skipped. A photo enrolled as somebody else is a conflict and is left
    out. So is a face that is enrolled as the person in the one and vetoed for them in the other, gallery or archive.
    Photos that were removed from the gallery are left out, too, unless `again`. Of the `other_spellings`, `one` says
    which are one person with the other; those of whom it says nothing are left out. A consent that differs is a
    conflict, and the gallery's own stays. An empty gallery adopts the archive's model, and its target rate unless it
    was given one. ForeignModelError if the gallery has photos of another model, ForeignDetectorError if another
    detector cut its crops.
    """
    with store.write() as db:
        taken = _take_target(db, archive.fpir)
        _take_model(db, archive, store.folder)
        _take_detector(db, archive, store.folder)
        archive, held_back = _settled(archive, _other_spellings(db, archive), one or {})
        two = pairs_by_name(db) | {frozenset((one, other)) for one, other, _ in archive.apart}
        imported = (*(_merge_person(db, person, again, two) for person in archive.people), *held_back)
        apart = sum(_set_apart(db, *pair) for pair in archive.apart)
        return Import(imported, apart, scalar(db, "SELECT fpir FROM gallery"), taken)


def _settled(archive: Archive, twins: Mapping[str, str], one: Mapping[str, bool]) -> tuple[Archive, list[Imported]]:
    """The archive with everybody under the name they get, without those of whom nobody said who they are; and these.

    twins: `other_spellings`. one: which of them are one person with the other.
    """
    unclear = {name: other for name, other in twins.items() if name not in one}
    names = {name: other for name, other in twins.items() if one.get(name)}
    people = [
        replace(each, name=names.get(each.name, each.name)) for each in archive.people if each.name not in unclear
    ]
    two = [(name, other, utc_now()) for name, other in twins.items() if one.get(name) is False]
    apart = [(names.get(first, first), names.get(second, second), made) for first, second, made in archive.apart]
    held_back = [_held_back(each, unclear[each.name]) for each in archive.people if each.name in unclear]
    return replace(archive, people=tuple(people), apart=(*apart, *two)), held_back


def _held_back(person: Person, other: str) -> Imported:
    said = (
        f"'{person.name}' is a spelling of '{other}', who is enrolled, so held back; give '{other}' the same name if "
        "they are one person, or one that differs more if they are two (`facerec gallery rename`), and import again"
    )
    return Imported(person.name, 0, 0, 0, len(person.templates), (said,))


def _take_target(db: Connection, fpir: float | None) -> bool:
    """Take over the archive's target rate if nobody is enrolled and none was set. Returns whether it was taken."""
    own = scalar(db, "SELECT fpir FROM gallery")
    if fpir in (None, own) or own != DEFAULT_FPIR or count_rows(db, "people"):
        return False
    db.execute("UPDATE gallery SET fpir = ?", (fpir,))
    record(db, "target set", fpir=fpir)
    return True


def _take_model(db: Connection, archive: Archive, where: Place) -> None:
    columns = "model_fingerprint, model_name, dimension"
    fingerprint, name, dimension = db.execute(f"SELECT {columns} FROM gallery").fetchone()
    if (fingerprint, dimension) == (archive.fingerprint, archive.dimension):
        return
    if count_rows(db, "templates"):
        raise ForeignModelError(
            f"{where}: made with model {name} ({fingerprint[:12]}), the file with {archive.model_name} "
            f"({archive.fingerprint[:12]}); import it into a new `gallery`"
        )
    write_model(db, archive.fingerprint, archive.model_name, archive.dimension, None)
    db.execute("DELETE FROM strangers")
    record(db, "model bound", model=archive.fingerprint, dimension=archive.dimension, cohort=0)


def _take_detector(db: Connection, archive: Archive, where: Place) -> None:
    own = detector_of(db)
    if None not in (own, archive.detector) and own != archive.detector:
        raise ForeignDetectorError(
            f"{where}: its faces were cut by {own}, those in the file by {archive.detector}; import it into a new "
            "`gallery`"
        )
    adopt_detector(db, where, archive.detector)


def _merge_person(db: Connection, person: Person, again: bool, two: Collection[frozenset[str]]) -> Imported:
    """Enroll one person. two: pairs of people who were said to be two, here or in the archive."""
    added, skipped, conflicts, days = 0, 0, [], []
    owned: dict[str, list[str]] = {}  # who else has photos of the person -> these photos
    for template, enrolled in person.templates:
        owner = owner_of(db, template.photo_hash)
        if owner is None and is_vetoed(db, person.name, template):
            conflicts.append(f"{template.source}: said not to be '{person.name}', so not enrolled as them")
        elif owner is None and not again and (day := removed_for(db, template.photo_hash, person.name)):
            days.append(day)
        elif owner is None:
            insert_template(db, person.name, template, enrolled)
            added += 1
        elif owner == person.name:
            skipped += 1
        else:
            owned.setdefault(owner, []).append(template.source)
    differences = len(conflicts) + len(days) + sum(map(len, owned.values()))
    conflicts += [_owned(db, owner, person, photos, two) for owner, photos in owned.items()]
    if days:
        photos = f"{how_many(len(days), 'photo')} of '{person.name}' {'was' if len(days) == 1 else 'were'} removed"
        conflicts.append(f"{photos} on {max(days)}, so not enrolled; `again` enrolls what was removed")
    vetoes = 0
    if (number := id_of(db, person.name)) is not None:
        if added:
            record(db, "imported", number, templates=added)
        vetoes, contradicted = _merge_vetoes(db, number, person)
        more = _merge_consent(db, number, person) + contradicted
        conflicts, differences = conflicts + more, differences + len(more)
    return Imported(person.name, added, skipped, vetoes, differences, tuple(conflicts))


def _owned(db: Connection, owner: str, person: Person, photos: Sequence[str], two: Collection[frozenset[str]]) -> str:
    """Say that somebody else is enrolled with some of a person's photos, and what to do."""
    name, count = person.name, len(person.templates)
    whose = f"already enrolled as '{owner}', so not as '{name}'"
    many = f"'{name}': {f'all {count}' if len(photos) == count else f'{len(photos)} of {count}'} photos are {whose}"
    said = f"{photos[0]}: {whose}" if len(photos) == 1 else many
    if frozenset((owner, name)) in two:
        return said
    if id_of(db, name) is None:
        command = gallery_command("rename", owner, name)
    else:
        command = gallery_command("merge", *fewer_first_in(db, owner, name))
    return f"{said}; if they are one person, {command}"


def _merge_consent(db: Connection, number: int, person: Person) -> list[str]:
    """Take over the consent of a person who has none; return what contradicts the gallery."""
    known, own = consent_of(db, number), (person.consent, person.until)
    if known == (None, None) != own:
        write_consent(db, number, *own)
        record(db, "consent set", number)
    elif own not in {known, (None, None)}:
        return [f"'{person.name}': the file's consent note or last day differs; the gallery's stays"]
    return []


def _merge_vetoes(db: Connection, number: int, person: Person) -> tuple[int, list[str]]:
    """Take over what was said not to be a person; return how many faces, and what contradicts the gallery."""
    taken, conflicts = 0, []
    for face, made in person.vetoes:
        if owner_of(db, face.photo_hash) == person.name:
            conflicts.append(f"{face.source}: enrolled as '{person.name}', so it cannot be said not to be them")
        elif insert_veto(db, number, face, made):
            record(db, "face vetoed", number)
            taken += 1
    return taken, conflicts


def _set_apart(db: Connection, one: str, other: str, made: str) -> bool:
    """Take over that two people are two; False if that was known, or one of them is not enrolled."""
    first, second = id_of(db, one), id_of(db, other)
    if first is None or second is None or first == second or not insert_apart(db, first, second, made):
        return False
    record(db, "people set apart", first, other=second)
    return True
