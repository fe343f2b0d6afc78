"""A table of the features that a stage of a network computes from photos, in files that can be read without facerec.

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
from facerec.extras import install
from facerec.faces.detector import Detector
from facerec.files import replacing, require_writable
from facerec.inference.pipeline import embed_photos, read_pictures
from facerec.inference.torch_runtime import StageReader
from facerec.text import Brief, printable

Features = NDArray[np.float32]  # (N, C)

SUFFIXES = (".npz", ".parquet")
_FACTS = ("layer", "model", "fingerprint")  # texts that a file holds once


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class PhotoFeatures(Brief):
    """A photo and its features. row: (C,) float32; None if the photo cannot be used, with the `error`.

    remarks: as `types.Photo` has them.
    """

    path: Path
    row: NDArray[np.float32] | None
    error: FacerecError | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class FeatureTable(Brief):
    """The features of N photos: (N, C) float32.

    paths: within the folder, with `/`. labels: the first folder of each path, which is the class's or person's; "" for
    a photo in none. layer: the stage's name. model, fingerprint: the network's. Only features with the same fingerprint
    and layer can be compared.
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
    """Yield the features of each photo, in order; a photo that cannot be used has its error instead.

    detector: finds the main face, for a face model. Without it, the features are of the middle of the picture.
    """
    if detector is None:
        for path, row, odd in read_pictures(paths, reader.card.input_size, reader.embed):
            error = row if isinstance(row, FacerecError) else None
            yield PhotoFeatures(path, None if isinstance(row, FacerecError) else row, error, odd)
        return
    for photo in embed_photos(paths, detector, reader, main_only=True):
        yield PhotoFeatures(photo.path, None if photo.error else photo.vectors[0], photo.error, photo.remarks)


def folder_label(path: Path, folder: Path) -> str:
    """Return the sub-folder of `folder` that a photo is in; "" if it is in none."""
    first, *below = path.relative_to(folder).parts
    return _text(first) if below else ""


def gather_features(photos: Iterable[PhotoFeatures], folder: Path, reader: StageReader) -> FeatureTable:
    """Return the features of the usable photos of `folder`."""
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
    """Return a name as valid UTF-8; bytes that are not UTF-8 become escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


# ------------------------------------------------------------------------------------------------------------- files


def ready_file(path: Path) -> None:
    """Check before the long work that `path` can be written. An existing file will be replaced.

    ConfigError if the suffix is not one of SUFFIXES or a library is missing. DataError if no file can be made.
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
    """Write FILE.npz or FILE.parquet, all or nothing, without pickles.

    npz: the arrays features (N, C) float32; paths and labels (N,) text; layer, model and fingerprint () text.
    parquet: the columns path, label and features (a list of C float32); layer, model and fingerprint are metadata of
    the schema. Raises as `ready_file`.
    """
    try:
        with replacing(path, unique=True) as draft, draft.open("wb") as file:
            _write_parquet(table, file) if path.suffix == ".parquet" else _write_npz(table, file)
    except OSError as error:
        raise _unwritable(path, error) from error


def read_features(path: Path) -> FeatureTable:
    """Read a file that `write_features` wrote; DataError for any other file."""
    try:
        values = _read_parquet(path) if path.suffix == ".parquet" else _read_npz(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"{printable(path)}: cannot be read ({reason}); give a file of facerec features") from error
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:  # pyarrow's are ValueErrors or KeyErrors
        raise DataError(f"{printable(path)}: not a file that facerec features wrote; make it again") from error
    table = FeatureTable(**values)
    if table.features.ndim != 2 or not len(table.features) == len(table.paths) == len(table.labels):
        raise DataError(f"{printable(path)}: the numbers of rows, paths and labels differ; make it again")
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
        raise ConfigError(f"parquet needs pyarrow: {install('parquet')}; or write an .npz") from error
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
