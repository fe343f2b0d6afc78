"""Training data: identity folders of aligned crops, class folders of pictures, and how they are split."""

import hashlib
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerec.errors import DataError, ImageError
from facerec.photos.folders import identity_folders, photo_hash
from facerec.text import printable, same_form

log = logging.getLogger(__name__)


NO_CONTENT = hashlib.sha256().hexdigest()


@dataclass(frozen=True, eq=False, slots=True)
class PhotoSet:
    """Photos of people or of classes: `paths` (N,), `labels` (N,) int64 into `names`, whose folders are in `root`."""

    root: Path
    names: tuple[str, ...]
    paths: tuple[Path, ...]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.paths)

    def keys(self) -> list[str]:
        """folder/person/file of every photo: how a teacher's file names them."""
        return [f"{self.root.name}/{path.relative_to(self.root).as_posix()}" for path in self.paths]

    def hashes(self) -> list[str]:
        """SHA-256 of every file's content, in hex; of what cannot be read, of nothing."""
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(_content_hash, self.paths))

    def fingerprint(self) -> str:
        """Changes when a photo comes, goes, is renamed or changes."""
        lines = map(" ".join, zip(self.hashes(), self.keys(), strict=True))
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:16]

    def only(self, names: Sequence[str]) -> "PhotoSet":
        """The photos of these people or classes, in the order of the names."""
        return _photo_set(self.root, {name: self.photos_of(name) for name in sorted(names)})

    def take(self, positions: NDArray[np.int64]) -> "PhotoSet":
        """The photos at these positions, under all the names there were."""
        return PhotoSet(self.root, self.names, tuple(self.paths[i] for i in positions), self.labels[positions])

    def photos_of(self, name: str) -> list[Path]:
        """The photos of one person or class."""
        label = self.names.index(name)
        return [self.paths[i] for i in np.flatnonzero(self.labels == label)]


def _photo_set(root: Path, folders: dict[str, list[Path]]) -> PhotoSet:
    labels = np.repeat(np.arange(len(folders), dtype=np.int64), [len(paths) for paths in folders.values()])
    return PhotoSet(root, tuple(folders), tuple(path for paths in folders.values() for path in paths), labels)


def _content_hash(path: Path) -> str:
    try:
        return photo_hash(path)
    except ImageError:  # named when it is to be read
        return NO_CONTENT


def read_photos(folder: Path, exclude: Path | None = None) -> PhotoSet:
    """The identity or class folders under `folder` that hold photos, less those a list names (read_exclusions).

    Raises DataError when there are none.
    """
    root = folder.resolve()
    photos = _photo_set(root, {name: paths for name, paths in identity_folders(root).items() if paths})
    if exclude is None:
        return photos
    left_out, keys = read_exclusions(exclude), list(map(same_form, photos.keys()))
    crops = [key.removesuffix(".png") for key in keys]  # PHOTO.png, where align_folder made it of PHOTO
    _warn_of_unknown(exclude, left_out, {*keys, *crops})
    kept = [key not in left_out and crop not in left_out for key, crop in zip(keys, crops, strict=True)]
    photos = photos.take(np.flatnonzero(kept))
    if not len(photos):
        raise DataError(f"{printable(folder)}: {exclude} leaves no photo of it; shorten the list")
    return photos.only([photos.names[label] for label in np.unique(photos.labels)])


def _warn_of_unknown(path: Path, listed: set[str], known: set[str]) -> None:
    if unknown := sorted(listed - known):
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        log.warning("%s: names nothing that is there: %s%s", printable(path), printable(unknown[0]), more)


def read_exclusions(path: Path) -> set[str]:
    """The photos a text file lists as folder/person/file, a line each; `# ` begins a comment. Raises DataError."""
    return {line for line in read_lines(path, "folder/person/file") if line and not line.startswith("# ")}


def read_lines(path: Path, what: str) -> list[str]:
    try:
        return [same_form(line.strip()) for line in path.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no UTF-8"
        raise DataError(f"{printable(path)}: cannot be read ({reason}); give a text file, a {what} a line") from error
