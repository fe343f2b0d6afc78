"""Which of a person's photos is meant: by its content, by where it came from, or by its hash."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from facerec.errors import GalleryError, ImageError, NotKeptError
from facerec.gallery.connection import Connection
from facerec.gallery.queries import StoredTemplate, as_text, owner_of, photos_of
from facerec.gallery.schema import scalar
from facerec.photos.memory import AnyPhoto, hash_photo, path_of, source_of
from facerec.text import gallery_command, printable

_HASH = re.compile("[0-9a-f]{6,64}")
SHOWN = 12
"""Digits of a hash that are shown. 6 are enough to name a photo if no other hash begins with them."""


def which_photo(db: Connection, person: int, photo: AnyPhoto | int) -> StoredTemplate:
    """Return the photo of a person that is meant; GalleryError if there is none, or more than one.

    photo: the photo itself, or its number. Or a path: the one it was enrolled from, although the file is gone or
    changed, or the beginning of its hash, as `gallery show` prints both.
    """
    own = photos_of(db, person)
    if isinstance(photo, int):
        return _numbered(db, person, own, photo)
    found = meant(own, photo)
    found += [each for each in own if each.source in _sources(photo) and each not in found]  # a file that was changed
    if len(found) == 1:
        return found[0]
    name, said = scalar(db, "SELECT name FROM people WHERE id = ?", person), printable(path_of(photo))
    show = gallery_command("show", name)
    if found:
        hashes = ", ".join(each.photo_hash[:SHOWN] for each in found)
        raise GalleryError(f"{said}: could be any of {len(found)} photos of {name}; give one of the hashes {hashes}")
    if (owner := _owner(db, photo)) is not None:
        remedy = f"{gallery_command('remove', owner, photo=said)} removes it there"
        raise GalleryError(f"{said}: this photo is enrolled as {owner}, not as {name}; {remedy}")
    raise GalleryError(f"{said}: is none of the photos of {name}; {show} lists their photos and hashes")


def not_theirs(name: str, number: int) -> NotKeptError:
    """The error that a person has no photo with a number."""
    return NotKeptError(f"{name} has no photo with the number {number}; it may be removed")


def _numbered(db: Connection, person: int, own: Sequence[StoredTemplate], number: int) -> StoredTemplate:
    for photo in own:
        if photo.number == number:
            return photo
    name = scalar(db, "SELECT name FROM people WHERE id = ?", person)
    raise not_theirs(name, number)


class StoredPhoto(Protocol):
    """What is stored of a photo: the hash of its content, and the path it was read from."""

    @property
    def photo_hash(self) -> str: ...

    @property
    def source(self) -> str: ...


P = TypeVar("P", bound=StoredPhoto)


def meant(own: Sequence[P], photo: AnyPhoto) -> list[P]:
    """Return those of some stored photos that are meant by a photo, as `which_photo` says."""
    digest = _content(photo)
    if found := [each for each in own if each.photo_hash == digest]:
        return found
    sources = _sources(photo)
    if found := [each for each in own if each.source in sources]:
        return found
    start = str(path_of(photo)).lower()
    return [each for each in own if _HASH.fullmatch(start) and each.photo_hash.startswith(start)]


def _content(photo: AnyPhoto) -> str | None:
    """Return the hash of the photo's content; None for a file that is gone."""
    try:
        return hash_photo(photo)
    except ImageError:
        return None


def _sources(photo: AnyPhoto) -> set[str]:
    """Where a photo that was given by its path may have come from; a photo in memory is known by its content only."""
    return {as_text(str(photo)), as_text(source_of(photo))} if isinstance(photo, Path) else set()


def _owner(db: Connection, photo: AnyPhoto) -> str | None:
    """Return whose photo it is, by its content or where it came from."""
    query = "SELECT name FROM people JOIN templates ON person = people.id WHERE source = ?"
    owners = (owner_of(db, _content(photo) or ""), *(scalar(db, query, source) for source in _sources(photo)))
    return next(filter(None, owners), None)
