"""Training data: the photos of identity folders (aligned crops) or class folders (pictures)."""

import hashlib
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerec.datasets.photo_names import names_of, say_endings
from facerec.datasets.text_files import read_list
from facerec.errors import DataError, ImageError
from facerec.photos.folders import find_photos, identity_folders, photo_hash
from facerec.text import printable, same_form

log = logging.getLogger(__name__)

NOBODY = -1
"""The label of a photo that has none."""
NO_CONTENT = hashlib.sha256().hexdigest()
"""The hash of a file that cannot be read: that of no bytes."""


@dataclass(frozen=True, eq=False, slots=True)
class PhotoSet:
    """N photos of people or of classes.

    root: the folder of the people's or classes' folders. names: of these folders. paths: of the N photos. labels: (N,)
    int64, the place of each photo's person or class in `names`, or NOBODY. A path may stand there several times: an
    epoch shows the photo as often.
    """

    root: Path
    names: tuple[str, ...]
    paths: tuple[Path, ...]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.paths)

    def keys(self) -> list[str]:
        """Return folder/person/file for every photo, the form in which a teacher's file names photos."""
        return [f"{self.root.name}/{name}" for name in self.within()]

    def within(self) -> list[str]:
        """Return person/file for every photo."""
        return [path.relative_to(self.root).as_posix() for path in self.paths]

    def hashes(self) -> list[str]:
        """Return the SHA-256 of every file's content, in hex; NO_CONTENT for a file that cannot be read."""
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(_content_hash, self.paths))

    def fingerprint(self) -> str:
        """Return 16 hex digits that change when a photo is added, removed, renamed or changed."""
        lines = map(" ".join, zip(self.hashes(), self.keys(), strict=True))
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:16]

    def only(self, names: Sequence[str]) -> "PhotoSet":
        """Return the photos of these people or classes only, in the order of their names."""
        return _photo_set(self.root, {name: self.photos_of(name) for name in sorted(names)})

    def take(self, positions: NDArray[np.int64]) -> "PhotoSet":
        """Return the photos at these positions; `names` and labels stay as they are."""
        return PhotoSet(self.root, self.names, tuple(self.paths[i] for i in positions), self.labels[positions])

    def photos_of(self, name: str) -> list[Path]:
        """Return the photos of one person or class."""
        label = self.names.index(name)
        return [self.paths[i] for i in np.flatnonzero(self.labels == label)]


def _photo_set(root: Path, folders: dict[str, list[Path]]) -> PhotoSet:
    labels = np.repeat(np.arange(len(folders), dtype=np.int64), [len(paths) for paths in folders.values()])
    return PhotoSet(root, tuple(folders), tuple(path for paths in folders.values() for path in paths), labels)


def _content_hash(path: Path) -> str:
    try:
        return photo_hash(path)
    except ImageError:  # reported later, when the photo is read
        return NO_CONTENT


def read_photos(folder: Path, exclude: Path | None = None) -> PhotoSet:
    """Return the photos in the identity or class folders under `folder`; folders without photos are left out.

    exclude: a list of photos to leave out (`read_exclusions`). DataError if no photo is left.
    """
    root = folder.resolve()
    photos = _photo_set(root, {name: paths for name, paths in identity_folders(root).items() if paths})
    if exclude is None:
        return photos
    left_out, keys = read_exclusions(exclude), list(map(same_form, photos.keys()))
    named = names_of(keys, left_out)
    if said := say_endings(exclude, named):
        log.warning("%s", said)
    _warn_of_unknown(exclude, left_out, set(named.values()))
    photos = photos.take(np.flatnonzero([key not in named for key in keys]))
    if not len(photos):
        raise DataError(f"{printable(folder)}: {exclude} leaves no photo of it; shorten the list")
    return photos.only([photos.names[label] for label in np.unique(photos.labels)])


def read_unlabelled(folder: Path) -> PhotoSet:
    """Return all photos in `folder` and below, of nobody in particular. DataError if there are none."""
    root = folder.resolve()
    paths = find_photos(root)
    if not paths:
        raise DataError(f"{printable(folder)}: holds no photos; give another folder")
    return PhotoSet(root, (), tuple(paths), np.full(len(paths), NOBODY, np.int64))


def no_photos() -> PhotoSet:
    """Return an empty set."""
    return _photo_set(Path(), {})


def _warn_of_unknown(path: Path, listed: set[str], known: set[str]) -> None:
    if unknown := sorted(listed - known):
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        log.warning("%s: names photos that do not exist: %s%s", printable(path), printable(unknown[0]), more)


def read_exclusions(path: Path) -> set[str]:
    """Return the photos that a text file lists, one folder/person/file a line. `# ` begins a comment.

    DataError if the file cannot be read.
    """
    return {line for line in read_list(path, "folder/person/file") if line and not line.startswith("# ")}
