"""An archive: one file that takes the people of a gallery to another gallery.

The file is an uncompressed zip file with two members. NumPy reads it as an .npz:

    vectors.npy   (N, D) little-endian float32: the unit vectors of all templates, in the order of the JSON
    people.json   {"format": "facerec-people", "version": 1, "facerec": "0.1.0", "exported": "2026-01-31T12:00:00Z",
                   "model": {"fingerprint": str, "name": str, "dimension": D},
                   "people": [{"name": str, "consent": str|null, "until": "YYYY-MM-DD"|null,
                               "templates": [{"photo_hash": SHA-256 in hex, "source": str, "box": [x1, y1, x2, y2],
                                              "quality": 0..1, "enrolled": "2026-01-31T12:00:00Z"}, ...]}, ...]}

Reading trusts nothing in the file. Every name, number and vector is checked as strictly as at enrollment. A compressed
member is refused, so no member can take more memory than the file's size.
"""

import io
import json
import math
import os
import re
import sqlite3
import tokenize
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from facerec.errors import DamagedGalleryError, ForeignModelError, GalleryError
from facerec.files import replacing
from facerec.gallery.audit_log import facerec_version, record, utc_now
from facerec.gallery.integrity import require_undamaged
from facerec.gallery.model import write_model
from facerec.gallery.names import clean_day, clean_name, clean_note
from facerec.gallery.queries import (
    consent_of,
    count_rows,
    id_of,
    insert_template,
    owner_of,
    photos_of,
    summaries,
    write_consent,
)
from facerec.gallery.store import Store
from facerec.types import Template, Vectors
from facerec.vectors import vector_fault

FORMAT, VERSION = "facerec-people", 1
MAX_JSON = 64 << 20  # bytes, some 150,000 photos; parsed JSON takes up to twenty times as much memory
MAX_TEXT = 4 * 4096  # characters: the longest path, with every byte escaped
MAX_SIDE = 1e9  # pixels; no box in a photo has larger coordinates
_PEOPLE, _VECTORS = "people.json", "vectors.npy"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)

# What zipfile, json and NumPy's header reader raise for arbitrary bytes. RuntimeError covers NotImplementedError and
# RecursionError; ValueError covers broken JSON and lone surrogates.
_HOSTILE = (
    zipfile.BadZipFile, ValueError, TypeError, ArithmeticError, EOFError, RuntimeError, SyntaxError, MemoryError,
    tokenize.TokenError,
)  # fmt: skip

T = TypeVar("T")


@dataclass(frozen=True, eq=False, slots=True)
class Person:
    """One person in an archive.

    consent: the note on what they agreed to. until: the last day they may be kept, YYYY-MM-DD. None where there is
    none. templates: each with the time it was enrolled, ISO 8601 in UTC.
    """

    name: str
    consent: str | None
    until: str | None
    templates: tuple[tuple[Template, str], ...]


@dataclass(frozen=True, eq=False, slots=True)
class Archive:
    """The content of an archive: people, and the model that made their vectors.

    dimension: the length of each vector.
    """

    fingerprint: str
    model_name: str
    dimension: int
    people: tuple[Person, ...]


@dataclass(frozen=True, slots=True)
class Imported:
    """What the import did with one person of an archive.

    added, skipped: numbers of photos. conflicts: one line for each difference in which the gallery's own data stayed.
    """

    person: str
    added: int
    skipped: int
    conflicts: tuple[str, ...]


# ------------------------------------------------------------------------------------------------------------- export


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


def require_elsewhere(gallery: Path, path: Path, folder: Path) -> None:
    """Raise GalleryError about `path` if `folder` is the gallery's folder or lies in it: removal would not clean it."""
    place = folder.resolve()
    if gallery.resolve() in (place, *place.parents):
        raise GalleryError(f"{path}: in the gallery's own folder, where a removal would miss it; give another place")


def _gather(db: sqlite3.Connection, where: Path) -> Archive:
    """Return everybody in a gallery; GalleryError if nobody is enrolled or a name is no longer allowed."""
    fingerprint, name, dimension = db.execute("SELECT model_fingerprint, model_name, dimension FROM gallery").fetchone()
    require_undamaged(db, where)
    people = []
    for person in summaries(db):
        _require_fit(person.name, where)
        number = id_of(db, person.name)
        assert number is not None
        blobs = db.execute("SELECT vector FROM templates WHERE person = ? ORDER BY id", (number,))
        vectors = [np.frombuffer(blob, "<f4") for (blob,) in blobs]
        if any(vector_fault(vector[None], dimension) for vector in vectors):
            raise DamagedGalleryError(f"{where}: a vector of '{person.name}' is damaged; `facerec gallery check`")
        stored = zip(photos_of(db, number), vectors, strict=True)
        templates = tuple((Template(s.photo_hash, s.source, s.box, s.quality, v), s.enrolled) for s, v in stored)
        people.append(Person(person.name, person.consent, person.until, templates))
    if not people:
        raise GalleryError(f"{where}: nobody is enrolled, so there is nothing to export")
    return Archive(fingerprint, name, dimension, tuple(people))


def _require_fit(name: str, where: Path) -> None:
    try:
        clean_name(name)
    except GalleryError as error:  # an older facerec allowed the name; an import would refuse it
        raise GalleryError(f"{where}: {error} (`facerec gallery rename`)") from error


def write_archive(path: Path, archive: Archive) -> None:
    """Write a new file that only its owner can read, all or nothing.

    GalleryError if the file exists already, would be too large, or cannot be written.
    """
    text = json.dumps(_as_json(archive), ensure_ascii=False, indent=1).encode()
    if len(text) > MAX_JSON:
        raise GalleryError(f"{path}: too many photos for one file ({len(text)} bytes of JSON, {MAX_JSON} allowed)")
    vectors = io.BytesIO()
    rows = [template.vector for person in archive.people for template, _ in person.templates]
    np.lib.format.write_array(vectors, np.stack(rows).astype("<f4"), allow_pickle=False)
    try:
        if os.path.lexists(path):  # a broken symbolic link must not be replaced either
            raise GalleryError(f"{path}: exists already; delete it or give another name")
        with replacing(path, private=True, unique=True) as draft, zipfile.ZipFile(draft, "w") as members:
            members.writestr(_PEOPLE, text)
            members.writestr(_VECTORS, vectors.getvalue())
    except OSError as error:
        raise GalleryError(
            f"{path}: cannot be written ({error.strerror}); give another name or free its disk"
        ) from error


def _as_json(archive: Archive) -> dict[str, Any]:
    model = {"fingerprint": archive.fingerprint, "name": archive.model_name, "dimension": archive.dimension}
    people = [
        {
            "name": person.name,
            "consent": person.consent,
            "until": person.until,
            "templates": [
                {"photo_hash": t.photo_hash, "source": t.source, "box": t.box, "quality": t.quality, "enrolled": when}
                for t, when in person.templates
            ],
        }
        for person in archive.people
    ]
    made = {"format": FORMAT, "version": VERSION, "facerec": facerec_version(), "exported": utc_now()}
    return {**made, "model": model, "people": people}


# ------------------------------------------------------------------------------------------------------------- import


def read_archive(path: Path) -> Archive:
    """Read and check a file that `write_archive` wrote; GalleryError of one line if it is damaged or another file."""
    with _refused(path):
        with zipfile.ZipFile(path) as members:
            text, array = (_stored(members, name, path.stat().st_size) for name in (_PEOPLE, _VECTORS))
        found = _is(dict, json.loads(text.decode()))
        if found.get("format") != FORMAT:
            raise ValueError("another format")
        if _is(int, found["version"]) > VERSION:
            raise GalleryError(f"{path}: written by a newer facerec (format {found['version']}); update facerec")
        if not found["people"]:
            raise ValueError("nobody is in it")
        model, people = _is(dict, found["model"]), [_is(dict, person) for person in _is(list, found["people"])]
        dimension = _is(int, model["dimension"])
        count = sum(len(_is(list, person["templates"])) for person in people)
        vectors = iter(_unpacked(array, count, dimension))
        read = tuple(_person(person, vectors) for person in people)
        fingerprint, name = _text(model["fingerprint"]), _text(model["name"])
        if not fingerprint or not (fingerprint + name).isprintable():
            raise ValueError("its model has no proper name")
        return Archive(fingerprint, name, dimension, read)


def import_archive(store: Store, archive: Archive) -> list[Imported]:
    """Enroll the people of an archive in one transaction; return what was done with each.

    A photo that the same person already has is skipped. A photo enrolled as somebody else is a conflict and is left
    out. A consent that differs is a conflict, and the gallery's own stays. An empty gallery adopts the archive's model.
    ForeignModelError if the gallery has photos of another model.
    """
    with store.write() as db:
        _take_model(db, archive, store.folder)
        return [_merge_person(db, person) for person in archive.people]


def _take_model(db: sqlite3.Connection, archive: Archive, where: Path) -> None:
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


def _merge_person(db: sqlite3.Connection, person: Person) -> Imported:
    added, skipped, conflicts = 0, 0, []
    for template, enrolled in person.templates:
        owner = owner_of(db, template.photo_hash)
        if owner is None:
            insert_template(db, person.name, template, enrolled)
            added += 1
        elif owner == person.name:
            skipped += 1
        else:
            conflicts.append(f"{template.source}: already enrolled as '{owner}', so not as '{person.name}'")
    if (number := id_of(db, person.name)) is not None:
        if added:
            record(db, "imported", number, templates=added)
        known, own = consent_of(db, number), (person.consent, person.until)
        if known == (None, None) != own:
            write_consent(db, number, *own)
            record(db, "consent set", number)
        elif own not in {known, (None, None)}:
            conflicts.append(f"'{person.name}': the file's consent note or last day differs; the gallery's stays")
    return Imported(person.name, added, skipped, tuple(conflicts))


def _person(found: dict[str, Any], vectors: Iterator[np.ndarray]) -> Person:
    name = clean_name(_text(found["name"]))
    note, until = (None if found[key] is None else _text(found[key]) for key in ("consent", "until"))
    templates = tuple(_template(_is(dict, template), next(vectors)) for template in found["templates"])
    if not templates:
        raise ValueError(f"'{name}' has no photo")
    return Person(name, clean_note(note or ""), clean_day(until or ""), templates)


def _template(found: dict[str, Any], vector: np.ndarray) -> tuple[Template, str]:
    digest, enrolled, box = _text(found["photo_hash"]), _text(found["enrolled"]), _is(list, found["box"])
    if not re.fullmatch("[0-9a-f]{64}", digest) or not _TIME.fullmatch(enrolled):
        raise ValueError("a hash or time is malformed")
    datetime.fromisoformat(enrolled)  # ValueError for a day or hour that does not exist
    x1, y1, x2, y2 = (_number(side) for side in box)
    if not (x1 < x2 and y1 < y2 and max(map(abs, (x1, y1, x2, y2))) <= MAX_SIDE):
        raise ValueError("a box is malformed")
    quality = _number(found["quality"])
    if not 0 <= quality <= 1:
        raise ValueError("a quality is not in 0..1")
    return Template(digest, _text(found["source"]), (x1, y1, x2, y2), quality, vector), enrolled


def _stored(members: zipfile.ZipFile, name: str, most: int) -> bytes:
    """Return the bytes of an uncompressed member. most: the archive's size in bytes, which no member can exceed."""
    member = members.getinfo(name)
    if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
        raise ValueError(f"{name} is compressed")
    if member.file_size > (min(most, MAX_JSON) if name == _PEOPLE else most):
        raise ValueError(f"{name} is too large")
    return members.read(member)


def _unpacked(array: bytes, count: int, dimension: int) -> Vectors:
    """Return the (count, dimension) rows of an .npy file; its header is checked before any row is read."""
    stream = io.BytesIO(array)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("not the array facerec writes")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    rest = array[stream.tell() :]
    if shape != (count, dimension) or fortran or dtype != np.dtype("<f4") or len(rest) != 4 * count * dimension:
        order = "Fortran's order" if fortran else "C's"
        raise ValueError(f"vectors {dtype} {shape} in {order} instead of <f4 {(count, dimension)} in C's")
    vectors = np.frombuffer(rest, "<f4").reshape(count, dimension)
    if count and (fault := vector_fault(vectors, dimension)):
        raise ValueError(f"a vector {fault}")
    return vectors


def _is(kind: type[T], value: Any) -> T:
    if type(value) is not kind:
        raise ValueError(f"a {type(value).__name__} instead of a {kind.__name__}")
    return value


def _text(value: Any) -> str:
    text = _is(str, value)
    text.encode()  # UnicodeEncodeError, a ValueError, for a lone surrogate
    if len(text) > MAX_TEXT:
        raise ValueError("a text is too long")
    return text


def _number(value: Any) -> float:
    number = float(_is(int, value) if type(value) is int else _is(float, value))
    if not math.isfinite(number):
        raise ValueError("a number is not finite")
    return number


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    """Turn every error that a damaged or foreign file causes into a GalleryError of one line."""
    try:
        yield
    except OSError as error:
        raise GalleryError(
            f"{path}: {error.strerror or 'cannot be read'}; give a file of `facerec gallery export`"
        ) from error
    except KeyError as error:
        raise GalleryError(f"{path}: not a complete export of a gallery ({error.args[0]!s:.80} is missing)") from error
    except GalleryError as error:
        raise type(error)(f"{path}: {error}" if str(path) not in str(error) else str(error)) from error
    except _HOSTILE as error:
        words = " ".join(str(error).split())[:120]
        raise GalleryError(f"{path}: not a complete export of a gallery ({words})") from error
