"""Shards: Parquet files with the faces and vectors of many photos. Written by `facerec embed`, read in place of photos.

A shard has a row for every face, and a row for a photo without a usable face, so that no photo is dropped in silence.
The package's README describes the columns.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from facerec.errors import DataError, FacerecError, ImageError, NoFaceError
from facerec.faces.quality import MeasuredFace, Quality, measure
from facerec.files import replacing
from facerec.inference.shard_plan import FORMAT, Plan, shard_name
from facerec.photos.memory import EmbeddedPhoto
from facerec.text import printable
from facerec.types import Face, Photo
from facerec.vectors import are_unit

FACE, NO_FACE, ERROR = "face", "no_face", "error"  # decisions: what became of a photo
MEASURES = ("eye_distance", "sharpness", "yaw", "pitch", "roll", "confidence")
_KEY = b"facerec"  # of the file's metadata, which is JSON
_NO_CROP = np.zeros((0, 0, 3), np.uint8)


@dataclass(frozen=True, slots=True)
class Counts:
    """What a shard holds: photos, faces, photos without a face, photos that cannot be used."""

    photos: int = 0
    faces: int = 0
    no_face: int = 0
    errors: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        sums = (self.photos + other.photos, self.faces + other.faces)
        return Counts(*sums, self.no_face + other.no_face, self.errors + other.errors)

    @property
    def failed(self) -> int:
        """The photos that gave no face."""
        return self.no_face + self.errors

    @classmethod
    def of(cls, photos: Sequence[Photo]) -> "Counts":
        """The counts of photos."""
        errors = [photo.error for photo in photos if photo.error is not None]
        no_face = sum(isinstance(error, NoFaceError) for error in errors)
        return cls(len(photos), sum(len(photo.faces) for photo in photos), no_face, len(errors) - no_face)


# ------------------------------------------------------------------------------------------------------------ writing


def write_shard(folder: Path, plan: Plan, number: int, photos: Sequence[Photo]) -> Counts:
    """Write a shard, all or nothing. photos: all that the plan has for it, in its order, with their `digest`."""
    import pyarrow
    import pyarrow.parquet

    assert [photo.path for photo in photos] == plan.paths(number)
    schema, counts = _schema(plan.recipe.dimension), Counts.of(photos)
    facts = _facts(plan, number) | {"counts": {name: getattr(counts, name) for name in Counts.__slots__}}
    rows = [row for place, photo in enumerate(photos) for row in _rows(plan, number, place, photo)]
    table = pyarrow.Table.from_pylist(rows, schema).replace_schema_metadata({_KEY: json.dumps(facts).encode()})
    with replacing(folder / shard_name(number)) as draft:
        pyarrow.parquet.write_table(table, draft, compression="zstd", use_dictionary=False, write_page_checksum=True)
    return counts


def _schema(dimension: int) -> Any:
    import pyarrow as arrow

    measures = arrow.struct([(name, arrow.float64()) for name in MEASURES])
    whole = {"photo": arrow.int32(), "path": arrow.string(), "bytes": arrow.int64(), "changed_ns": arrow.int64()}
    whole |= {"sha256": arrow.string(), "decision": arrow.string(), "reason": arrow.string()}
    whole |= {"remarks": arrow.list_(arrow.string()), "face": arrow.int32()}
    face = {"box": arrow.list_(arrow.float64(), 4), "confidence": arrow.float64(), "quality": measures}
    face |= {"landmarks": arrow.list_(arrow.float32(), 10), "turned": arrow.int32()}
    return arrow.schema(list({**whole, **face, "vector": arrow.list_(arrow.float32(), dimension)}.items()))


def _facts(plan: Plan, number: int) -> dict[str, Any]:
    """What the metadata say of the shard: of one plan and place, it is the same whoever makes it."""
    recipe, names = plan.recipe, "\0".join(photo.name for photo in plan.shards[number])
    own = {name: getattr(recipe, name) for name in recipe.__slots__}
    digest = hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()
    facts = {"format": FORMAT, **own, "shard": number, "plan": digest, "root": printable(plan.root)}
    return facts | {"facerec": metadata.version("facerec")}


def _rows(plan: Plan, number: int, place: int, photo: Photo) -> list[dict[str, Any]]:
    planned = plan.shards[number][place]
    whole: dict[str, Any] = {"photo": place, "path": printable(planned.name), "sha256": photo.digest}
    whole |= {"bytes": planned.size, "changed_ns": planned.changed, "remarks": list(photo.remarks)}
    if photo.error is not None:
        decision = NO_FACE if isinstance(photo.error, NoFaceError) else ERROR
        return [whole | {"decision": decision, "reason": printable(str(photo.error))}]
    faces = enumerate(zip(photo.faces, photo.vectors, strict=True))
    return [whole | {"decision": FACE, "face": i, "vector": vector} | _face_row(face) for i, (face, vector) in faces]


def _face_row(face: Face) -> dict[str, Any]:
    quality = measure(face)
    return {
        "box": [float(side) for side in face.box],
        "confidence": float(face.confidence),
        "quality": {name: float(getattr(quality, name)) for name in MEASURES},
        "landmarks": face.landmarks.astype(np.float32).ravel(),
        "turned": face.turned,
    }


# ------------------------------------------------------------------------------------------------------------ reading


def check_shard(folder: Path, plan: Plan, number: int) -> Counts:
    """Read the metadata of a shard. DataError if it is missing, damaged, or not the one that the plan has here."""
    import pyarrow.parquet

    path = folder / shard_name(number)
    with _told(path):
        facts = json.loads((pyarrow.parquet.read_metadata(path).metadata or {})[_KEY])
        counts = Counts(**facts["counts"])
    wanted = _facts(plan, number)
    if wrong := [name for name in wanted if name not in ("facerec", "root") and facts.get(name) != wanted[name]]:
        raise DataError(
            f"{printable(path)}: is another folder's shard (its {wrong[0]} differs); delete it, then `facerec embed`"
        )
    return counts


def read_shard(folder: Path, plan: Plan, number: int) -> list[Photo]:
    """The photos of a shard, in the plan's order. DataError as `check_shard`."""
    import pyarrow.parquet

    counts, path = check_shard(folder, plan, number), folder / shard_name(number)
    with _told(path), pyarrow.parquet.ParquetFile(path, page_checksum_verification=True) as file:
        table = file.read()
        vectors = table["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        vectors = vectors.astype(np.float32, copy=False).reshape(-1, plan.recipe.dimension)
        photos = _photos(plan.paths(number), table.drop_columns(["vector"]).to_pylist(), vectors)
        if Counts.of(photos) != counts or not are_unit(vectors):
            raise ValueError("rows are missing")
    return photos


class ShardPhoto(EmbeddedPhoto):
    """A photo of a shard, which is read when the photo is asked for."""

    __slots__ = ("_place", "_read", "path")

    def __init__(self, path: Path, read: Callable[[int], Sequence[Photo]], number: int, place: int) -> None:
        """read: gives the photos of a shard by its number. place: of the photo in it."""
        self.path, self._read, self._place = path, read, (number, place)

    def embedded(self) -> Photo:
        """See `EmbeddedPhoto`; raises DataError for a damaged shard."""
        number, place = self._place
        return self._read(number)[place]


def _photos(paths: Sequence[Path], rows: Sequence[Mapping[str, Any]], vectors: Any) -> list[Photo]:
    own: list[list[Mapping[str, Any]]] = [[] for _ in paths]
    for row in rows:
        own[row["photo"]].append(row)
    photos, begin = [], 0
    for path, its in zip(paths, own, strict=True):
        faces = tuple(_face(row) for row in its if row["decision"] == FACE)
        part, begin = vectors[begin : begin + len(faces)], begin + len(faces)
        photos.append(Photo(path, faces, part, _error(its[0]), 0, tuple(its[0]["remarks"]), its[0]["sha256"]))
    return photos


def _error(row: Mapping[str, Any]) -> FacerecError | None:
    if row["decision"] == FACE:
        return None
    return (NoFaceError if row["decision"] == NO_FACE else ImageError)(row["reason"])


def _face(row: Mapping[str, Any]) -> MeasuredFace:
    points = np.array(row["landmarks"], np.float32).reshape(5, 2)
    quality = Quality(**row["quality"])
    x1, y1, x2, y2 = row["box"]
    return MeasuredFace(_NO_CROP, (x1, y1, x2, y2), points, row["confidence"], None, row["turned"], quality)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Raise DataError for whatever shows that a file is no shard, or no whole one."""
    import pyarrow

    remedy = "delete it, then `facerec embed` makes it again"
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{printable(path)}: no such file; {remedy}") from error
    except (pyarrow.ArrowException, OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise DataError(f"{printable(path)}: no whole shard ({type(error).__name__}); {remedy}") from error
