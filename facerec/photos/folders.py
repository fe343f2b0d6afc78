"""Folders of photos: finding the photos in them, and the person each sub-folder stands for."""

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
    """SHA-256 of the file's bytes as 64 hex digits; raises ImageError if the file cannot be read."""
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def count_copies(photos: Iterable[Path], of: Iterable[Path]) -> int:
    """How many of `photos` have the same bytes as one of the photos `of`; a file that cannot be read is no copy."""
    known = set(map(_hash_or_none, of)) - {None}
    return sum(_hash_or_none(path) in known for path in photos)


def _hash_or_none(path: Path) -> str | None:
    try:
        return photo_hash(path)
    except ImageError:  # reading the photo will report it
        return None


def find_photos(folder: Path) -> list[Path]:
    """All photos in `folder` and below, sorted. EXTENSIONS says what a photo is; hidden files and folders are skipped.

    Links are followed, except a link to a folder that contains the link, and a link to a folder that was already
    visited in the same sub-folder. A sub-folder that cannot be read is listed itself, as if it were a photo, so that
    reading it reports the error. Raises DataError if `folder` is no readable folder. The list may be empty.
    """
    folders, files = _listed(folder)
    photos = [folder / name for name in files if _is_photo(name)]
    return sorted([*photos, *(photo for name in folders for photo in _walk(folder / name))])


def _listed(folder: Path) -> tuple[list[str], list[str]]:
    """The names in a folder, sorted: of its folders (and links to folders) that are not hidden; and of its files."""
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
    except OSError as error:  # a link into a closed folder counts as a folder, so that reading it reports the error
        return error.errno != errno.ELOOP  # but a link to itself leads nowhere


def _walk(folder: Path) -> list[Path]:
    """The photos in a sub-folder and below, as `find_photos` lists them."""
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
        shown.sort(key=lambda path: path.is_symlink())  # real folders first: a link to one is then a repetition
        folders[:] = [path.name for path in shown if _is_new(path, met)]
        photos += [Path(parent, name) for name in files if _is_photo(name)]
    return sorted([*photos, *(Path(error.filename) for error in closed)])


def _is_new(folder: Path, met: set[tuple[int, int]]) -> bool:
    """Whether a folder is not in `met` yet, under any name; adds it."""
    try:
        facts = os.stat(folder)
    except OSError:  # walking into it will report it
        return True
    place = (facts.st_dev, facts.st_ino)
    if place in met:
        return False
    met.add(place)
    return True


def identity_folders(folder: Path) -> dict[str, list[Path]]:
    """Each sub-folder's name, in order, and the photos in it and below, which may be none.

    Links are followed as `find_photos` does. Raises DataError if `folder` cannot be read, or no sub-folder has a photo.
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
