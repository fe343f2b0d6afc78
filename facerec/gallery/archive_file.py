"""The file of an archive, which takes the people of a gallery to another gallery.

The file is an uncompressed zip file with two members. NumPy reads it as an .npz:

    vectors.npy   (N, D) little-endian float32: the unit vectors of all templates in the order of the JSON, then those
                  of all vetoes
    people.json   {"format": "facerec-people", "version": 3, "facerec": "0.1.0", "exported": "2026-01-31T12:00:00Z",
                   "model": {"fingerprint": str, "name": str, "dimension": D}, "fpir": 0..1,
                   "detector": str|null,
                   "people": [{"name": str, "consent": str|null, "until": "YYYY-MM-DD"|null,
                               "templates": [{"photo_hash": SHA-256 in hex, "source": str, "box": [x1, y1, x2, y2],
                                              "quality": 0..1, "enrolled": "2026-01-31T12:00:00Z"}, ...],
                               "vetoes": [like a template, with "made" for "enrolled", ...]}, ...],
                   "apart": [[name, name, "2026-01-31T12:00:00Z"], ...]}

`fpir`: the gallery's target rate; files of older versions have none. `detector`: what cut the crops; null where that is
not known, MTCNN in a file that does not say. `vetoes`: faces that are not the person. `apart`: people who were said to
be two. A file of MTCNN's crops is written as version 2 or, if it needs neither of the last two, without them as
version 1.

Reading trusts nothing in the file. Every name, number and vector is checked as strictly as at enrollment. A compressed
member is refused, so no member can take more memory than the file's size.
"""

import io
import json
import math
import os
import re
import tokenize
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from facerec.errors import GalleryError
from facerec.files import replacing
from facerec.gallery.audit_log import facerec_version, utc_now
from facerec.gallery.names import clean_day, clean_name, clean_note
from facerec.types import Template, Vectors
from facerec.vectors import vector_fault

FORMAT, VERSION = "facerec-people", 3
BEFORE = "mtcnn"  # the detector of files that do not name theirs
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
    none. templates: each with the time it was enrolled, ISO 8601 in UTC. vetoes: faces that are not the person, each
    with the time this was said.
    """

    name: str
    consent: str | None
    until: str | None
    templates: tuple[tuple[Template, str], ...]
    vetoes: tuple[tuple[Template, str], ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class Archive:
    """The content of an archive: people, and the model that made their vectors.

    dimension: the length of each vector. apart: the names of people who were said to be two, pair by pair, and when.
    fpir: the gallery's target rate; None in files of older versions. detector: what cut the crops; None: not known.
    """

    fingerprint: str
    model_name: str
    dimension: int
    people: tuple[Person, ...]
    apart: tuple[tuple[str, str, str], ...] = ()
    fpir: float | None = None
    detector: str | None = None


# ------------------------------------------------------------------------------------------------------------ writing


def write_archive(path: Path, archive: Archive) -> None:
    """Write a new file that only its owner can read, all or nothing.

    GalleryError if the file exists already, would be too large, or cannot be written.
    """
    text = json.dumps(_as_json(archive), ensure_ascii=False, indent=1).encode()
    if len(text) > MAX_JSON:
        raise GalleryError(f"{path}: too many photos for one file ({len(text)} bytes of JSON, {MAX_JSON} allowed)")
    vectors = io.BytesIO()
    rows = [template.vector for person in archive.people for template, _ in person.templates]
    rows += [face.vector for person in archive.people for face, _ in person.vetoes]
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
    version = 2 if archive.apart or any(person.vetoes for person in archive.people) else 1
    version = version if archive.detector in (None, BEFORE) else VERSION  # older versions would take it for BEFORE's
    people = [
        {"name": person.name, "consent": person.consent, "until": person.until}
        | {"templates": [_face_as_json(template) | {"enrolled": when} for template, when in person.templates]}
        | ({"vetoes": [_face_as_json(face) | {"made": when} for face, when in person.vetoes]} if version > 1 else {})
        for person in archive.people
    ]
    made = {"format": FORMAT, "version": version, "facerec": facerec_version(), "exported": utc_now()}
    made |= {"model": model, "fpir": archive.fpir, "detector": archive.detector, "people": people}
    return made | ({"apart": archive.apart} if version > 1 else {})


def _face_as_json(face: Template) -> dict[str, Any]:
    return {"photo_hash": face.photo_hash, "source": face.source, "box": face.box, "quality": face.quality}


# ------------------------------------------------------------------------------------------------------------ reading


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
        vetoed = found["version"] > 1
        count = _count(people, "templates")
        vectors = _unpacked(array, count + (_count(people, "vetoes") if vetoed else 0), dimension)
        of_templates, of_vetoes = iter(vectors[:count]), iter(vectors[count:])
        read = tuple(_person(person, of_templates, of_vetoes if vetoed else None) for person in people)
        apart = tuple(_pair(pair) for pair in _is(list, found["apart"])) if vetoed else ()
        fingerprint, name = _text(model["fingerprint"]), _text(model["name"])
        if not fingerprint or not (fingerprint + name).isprintable():
            raise ValueError("its model has no proper name")
        detector = _detector(found.get("detector", BEFORE))
        return Archive(fingerprint, name, dimension, read, apart, _rate(found.get("fpir")), detector)


def _count(people: Sequence[dict[str, Any]], kind: str) -> int:
    return sum(len(_is(list, person[kind])) for person in people)


def _person(
    found: dict[str, Any], of_templates: Iterator[np.ndarray], of_vetoes: Iterator[np.ndarray] | None
) -> Person:
    """Read one person. of_vetoes: the vectors of vetoes; None in version 1, which has none."""
    name = clean_name(_text(found["name"]))
    note, until = (None if found[key] is None else _text(found[key]) for key in ("consent", "until"))
    templates = tuple(_face(_is(dict, each), "enrolled", next(of_templates)) for each in found["templates"])
    if not templates:
        raise ValueError(f"'{name}' has no photo")
    vetoes = () if of_vetoes is None else found["vetoes"]
    faces = tuple(_face(_is(dict, each), "made", next(of_vetoes or iter(()))) for each in vetoes)
    return Person(name, clean_note(note or ""), clean_day(until or ""), templates, faces)


def _rate(found: Any) -> float | None:
    if found is not None and not 0 < _number(found) < 1:
        raise ValueError("a target rate is not between 0 and 1")
    return None if found is None else _number(found)


def _detector(found: Any) -> str | None:
    if found is not None and not (_text(found) and found.isprintable()):
        raise ValueError("its detector has no proper name")
    return found


def _pair(found: Any) -> tuple[str, str, str]:
    one, other, made = _is(list, found)
    return clean_name(_text(one)), clean_name(_text(other)), _time(made)


def _face(found: dict[str, Any], time: str, vector: np.ndarray) -> tuple[Template, str]:
    """Read a template or a veto, and when it was made. time: the key of that."""
    digest, box = _text(found["photo_hash"]), _is(list, found["box"])
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise ValueError("a hash is malformed")
    x1, y1, x2, y2 = (_number(side) for side in box)
    if not (x1 < x2 and y1 < y2 and max(map(abs, (x1, y1, x2, y2))) <= MAX_SIDE):
        raise ValueError("a box is malformed")
    quality = _number(found["quality"])
    if not 0 <= quality <= 1:
        raise ValueError("a quality is not in 0..1")
    return Template(digest, _text(found["source"]), (x1, y1, x2, y2), quality, vector), _time(found[time])


def _time(found: Any) -> str:
    time = _text(found)
    if not _TIME.fullmatch(time):
        raise ValueError("a time is malformed")
    datetime.fromisoformat(time)  # ValueError for a day or hour that does not exist
    return time


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
