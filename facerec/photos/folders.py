"""Folders of photos: what is found in them, and whose it is."""

import errno
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from facerec.errors import DataError, ImageError
from facerec.photos.reading import EXTENSIONS, opened
from facerec.text import printable


def photo_hash(path: Path) -> str:
    """SHA-256 of the file's bytes as 64 hex digits; raises ImageError when it cannot be read."""
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def count_copies(photos: Iterable[Path], of: Iterable[Path]) -> int:
    """How many of `photos` are, byte for byte, also among the others; a file that cannot be read is no copy."""
    known = set(map(_hash_or_none, of)) - {None}
    return sum(_hash_or_none(path) in known for path in photos)


def _hash_or_none(path: Path) -> str | None:
    try:
        return photo_hash(path)
    except ImageError:  # whoever reads the photo says why
        return None


def find_photos(folder: Path) -> list[Path]:
    """All photos in `folder` and below, by extension, sorted; hidden files and folders are passed over.

    Links to photos and folders are followed, but for those that lead back to a folder they lie in, or to one that was
    met before in the same sub-folder. A folder below that cannot be read stands there itself, for the photos in it:
    reading it as a photo says why. Raises DataError when `folder` is not a readable folder. It may be empty of photos.
    """
    folders, files = _listed(folder)
    photos = [folder / name for name in files if _is_photo(name)]
    return sorted([*photos, *(photo for name in folders for photo in _walk(folder / name))])


def _listed(folder: Path) -> tuple[list[str], list[str]]:
    """The names of what is in a folder, sorted: folders that are not hidden, and links to such; and everything else."""
    try:
        with os.scandir(folder) as entries:
            kinds = {entry.name: _is_folder(entry) for entry in entries}
    except OSError as error:
        _unreadable_folder(error)
    names = sorted(kinds)
    return [n for n in names if kinds[n] and not n.startswith(".")], [n for n in names if not kinds[n]]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:  # a link to where one may not look is taken for a folder: reading it says so
        return error.errno != errno.ELOOP  # unless it leads to itself


def _walk(folder: Path) -> list[Path]:
    """As find_photos, for a folder that is below another."""
    photos: list[Path] = []
    closed: list[OSError] = []
    met: set[tuple[int, int]] = set()
    home = folder.parent.resolve()
    for above in (home, *home.parents, *folder.resolve().parents):
        _is_new(above, met)
    if not _is_new(folder, met):
        return []
    for parent, folders, files in os.walk(folder, onerror=closed.append, followlinks=True):
        shown = sorted(Path(parent, name) for name in folders if not name.startswith("."))
        shown.sort(key=lambda path: path.is_symlink())  # what lies here itself is met first
        folders[:] = [path.name for path in shown if _is_new(path, met)]
        photos += [Path(parent, name) for name in files if _is_photo(name)]
    return sorted([*photos, *(Path(error.filename) for error in closed)])


def _is_new(folder: Path, met: set[tuple[int, int]]) -> bool:
    """Whether a folder was not met before, by whatever name; it is from now on."""
    try:
        facts = os.stat(folder)
    except OSError:  # walking it says why
        return True
    place = (facts.st_dev, facts.st_ino)
    if place in met:
        return False
    met.add(place)
    return True


def identity_folders(folder: Path) -> dict[str, list[Path]]:
    """The sub-folders' names, sorted, with the photos in each (and below); one without photos has an empty list.

    Links are followed as by `find_photos`. Raises DataError when `folder` cannot be read or no sub-folder holds a
    photo.
    """
    people = {name: _walk(folder / name) for name in _listed(folder)[0]}
    if not any(people.values()):
        raise DataError(
            f"{printable(folder)}: no folders with photos in it; make one per person, as in people/Ann Lee/1.jpg"
        )
    return people


def _is_photo(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in EXTENSIONS


def _unreadable_folder(error: OSError) -> NoReturn:
    raise DataError(f"{printable(error.filename)}: {error.strerror}; give a readable folder of photos") from error
