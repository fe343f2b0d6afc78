"""What a stage of a network makes of photos: a table for other learners, in files that need no facerec to be read, and
the pictures that are most alike by it.

    reader = load_stage("resnet50", "layer3")
    table = gather_features(photo_features(find_photos(folder), reader), folder, reader)
    write_features(table, Path("flowers.npz"))
"""

import os
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec.errors import ConfigError, DataError, FacerecError
from facerec.faces.detector import Detector
from facerec.files import replacing, require_writable
from facerec.inference.pipeline import embed_photos, read_pictures
from facerec.inference.torch_runtime import StageReader
from facerec.text import printable

Features = NDArray[np.float32]  # (N, C)

SUFFIXES = (".npz", ".parquet")
_FACTS = ("layer", "model", "fingerprint")  # strings that stand in a file once


@dataclass(frozen=True, eq=False, slots=True)
class PhotoFeatures:
    """A photo and its (C,) float32 features; or None and the error, for one that cannot be used."""

    path: Path
    row: NDArray[np.float32] | None
    error: FacerecError | None = None


@dataclass(frozen=True, eq=False, slots=True)
class FeatureTable:
    """The features of N photos: (N, C) float32.

    paths: within the folder, with `/`. labels: the class's or person's folder, the first of each path; "" for a photo
    in none. layer, model, fingerprint: the stage's name, and the network it is of; only features of one fingerprint and
    layer can be compared.
    """

    features: Features
    paths: tuple[str, ...]
    labels: tuple[str, ...]
    layer: str
    model: str
    fingerprint: str

    def __len__(self) -> int:
        return len(self.paths)


def photo_features(
    paths: Iterable[Path], reader: StageReader, detector: Detector | None = None
) -> Iterator[PhotoFeatures]:
    """The features of each photo, in order; a photo that cannot be used carries its error instead.

    With a `detector`, which a face model wants, of the main face; without, of the middle of the picture.
    """
    if detector is None:
        for path, row in read_pictures(paths, reader.card.input_size, reader.embed):
            yield PhotoFeatures(path, None, row) if isinstance(row, FacerecError) else PhotoFeatures(path, row)
        return
    for photo in embed_photos(paths, detector, reader, main_only=True):
        yield PhotoFeatures(photo.path, None if photo.error else photo.vectors[0], photo.error)


def folder_label(path: Path, folder: Path) -> str:
    """The sub-folder of `folder` a photo is in, "" where it lies in none."""
    first, *below = path.relative_to(folder).parts
    return _text(first) if below else ""


def gather_features(photos: Iterable[PhotoFeatures], folder: Path, reader: StageReader) -> FeatureTable:
    """The table of the photos of `folder` that could be used."""
    used = [(photo.path, photo.row) for photo in photos if photo.row is not None]
    none = np.zeros((0, reader.card.embedding_dim), np.float32)
    return FeatureTable(
        features=np.concatenate([none, *(row[None] for _, row in used)]),
        paths=tuple(_text(path.relative_to(folder).as_posix()) for path, _ in used),
        labels=tuple(folder_label(path, folder) for path, _ in used),
        layer=reader.layer,
        model=reader.card.name,
        fingerprint=reader.card.fingerprint,
    )


def _text(name: str) -> str:
    """A name as files of text can hold it: bytes that are no UTF-8 are escaped."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


# ------------------------------------------------------------------------------------------------------------- files


def ready_file(path: Path) -> None:
    """Look, before the long work, whether `path` can be written; a file that is there is replaced in the end.

    Raises ConfigError for another suffix than SUFFIXES, or a missing library, DataError where no file can be made.
    """
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"{printable(path)}: features are written as {' or '.join(SUFFIXES)}; name such a file")
    if path.suffix == ".parquet":
        _parquet()
    if path.is_dir():
        raise DataError(f"{printable(path)}: is a folder; give a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        require_writable(path, unique=True)
    except OSError as error:
        raise _unwritable(path, error) from error


def write_features(table: FeatureTable, path: Path) -> None:
    """Write FILE.npz or FILE.parquet, whole or not at all. Nothing in it is pickled.

    npz: the arrays features (N, C) float32, paths and labels (N,) of text, and layer, model and fingerprint () of text.
    parquet: the columns path, label and features (a list of C float32), and the other three as metadata of the schema.
    Raises as `ready_file`.
    """
    try:
        with replacing(path, unique=True) as draft, draft.open("wb") as file:
            _write_parquet(table, file) if path.suffix == ".parquet" else _write_npz(table, file)
    except OSError as error:
        raise _unwritable(path, error) from error


def read_features(path: Path) -> FeatureTable:
    """Read a file that `write_features` wrote; raises DataError for any other."""
    try:
        values = _read_parquet(path) if path.suffix == ".parquet" else _read_npz(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"{printable(path)}: cannot be read ({reason}); give a file of facerec features") from error
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:  # pyarrow's are two of them, too
        raise DataError(f"{printable(path)}: not a file that facerec features wrote; make it anew") from error
    table = FeatureTable(**values)
    if table.features.ndim != 2 or not len(table.features) == len(table.paths) == len(table.labels):
        raise DataError(f"{printable(path)}: rows, paths and labels are not as many; make it anew")
    return table


def _write_npz(table: FeatureTable, file: Any) -> None:
    texts = {"paths": np.array(table.paths, np.str_), "labels": np.array(table.labels, np.str_)}
    facts = {name: np.array(getattr(table, name), np.str_) for name in _FACTS}
    np.savez(file, allow_pickle=False, features=table.features, **texts, **facts)


def _read_npz(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as arrays:
        texts: dict[str, Sequence[str]] = {name: tuple(arrays[name].tolist()) for name in ("paths", "labels")}
        return {"features": arrays["features"], **texts, **{name: str(arrays[name][()]) for name in _FACTS}}


def _parquet() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigError("parquet needs pyarrow: pip install facerec[parquet]; or write an .npz") from error
    return pyarrow


def _write_parquet(table: FeatureTable, file: Any) -> None:
    arrow = _parquet()
    rows = arrow.FixedSizeListArray.from_arrays(arrow.array(table.features.ravel()), table.features.shape[1])
    columns = {"path": arrow.array(table.paths, arrow.string()), "label": arrow.array(table.labels, arrow.string())}
    facts = {name: getattr(table, name) for name in _FACTS}
    arrow.parquet.write_table(arrow.table({**columns, "features": rows}, metadata=facts), file)


def _read_parquet(path: Path) -> dict[str, Any]:
    arrow = _parquet()
    with path.open("rb") as file:
        table = arrow.parquet.read_table(file)
    rows = table["features"].combine_chunks()
    if not arrow.types.is_fixed_size_list(rows.type):
        raise ValueError("features of any length")
    features = rows.flatten().to_numpy(zero_copy_only=False).reshape(len(table), rows.type.list_size)
    texts = {f"{name}s": tuple(table[name].to_pylist()) for name in ("path", "label")}
    facts = {name: (table.schema.metadata or {})[name.encode()].decode() for name in _FACTS}
    return {"features": features, **texts, **facts}


def _unwritable(path: Path, error: OSError) -> DataError:
    return DataError(f"{printable(path)}: cannot be written ({error.strerror}); give another file")
