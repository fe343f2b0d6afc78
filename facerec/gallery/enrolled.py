"""The people of a gallery: who they are, what they are called, and what they agreed to.

Every function takes a person by their name or by their number.
"""

from collections.abc import Collection, Iterable, Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from facerec.errors import DamagedGalleryError, GalleryError
from facerec.gallery import vetoes
from facerec.gallery.address import Place
from facerec.gallery.audit_log import record
from facerec.gallery.connection import Connection
from facerec.gallery.integrity import broken_vectors
from facerec.gallery.names import clean_day, clean_name, clean_note
from facerec.gallery.queries import (
    PersonSummary,
    StoredTemplate,
    consent_of,
    crop_of,
    id_of,
    keeps_crops,
    photos_of,
    summaries,
    write_consent,
)
from facerec.gallery.schema import damaged, scalar, version_of
from facerec.gallery.store import Store, Who
from facerec.gallery.which_photo import not_theirs
from facerec.text import gallery_command, name_key, same_form, same_name, two_people_command
from facerec.types import Image


def people(store: Store) -> list[PersonSummary]:
    """Return everybody, sorted by name."""
    with store.read() as db:
        return summaries(db)


def some(store: Store, containing: str = "", after: str = "", most: int | None = None) -> list[PersonSummary]:
    """Return people, sorted by name, without reading the others' photos.

    containing: a part of their names, in any case. after: a name; those who come after it. most: how many at most.
    """
    with store.read() as db:
        chosen = islice(_named(db, same_form(containing).casefold(), after), most)
        return [summaries(db, person)[0] for person in list(chosen)]


def how_many(store: Store, containing: str) -> int:
    """Return how many people's names contain a text, in any case."""
    with store.read() as db:
        return sum(1 for _ in _named(db, same_form(containing).casefold()))


def _named(db: Connection, part: str, after: str = "") -> Iterator[int]:
    """The numbers of the people whose names contain a text, sorted by name, from the first after a name on."""
    rows = db.execute("SELECT id, name FROM people WHERE name > ? ORDER BY name", (after,))
    return (number for number, name in rows if part in name.casefold())


def person(store: Store, name: Who) -> PersonSummary:
    """Return one person; UnknownPersonError if nobody is called `name`."""
    with store.read() as db:
        return summaries(db, store.person(db, name))[0]


def photos(store: Store, name: Who) -> list[StoredTemplate]:
    """Return one person's photos in the order they were enrolled; UnknownPersonError if nobody is called `name`."""
    with store.read() as db:
        return photos_of(db, store.person(db, name))


def templates(store: Store, name: Who) -> list[tuple[StoredTemplate, NDArray[np.float32]]]:
    """Return one person's photos and their (D,) vectors in the order they were enrolled.

    UnknownPersonError if nobody is called `name`; DamagedGalleryError if a vector is not what was stored.
    """
    with store.read() as db:
        person = store.person(db, name)
        broken = f"SELECT count(*) FROM templates WHERE person = ? AND {damaged(db, 'photo_hash', 'vector')}"
        if scalar(db, broken, person):
            raise DamagedGalleryError(f"{store.folder}: {broken_vectors(db)[0]}")
        vectors = db.execute("SELECT vector FROM templates WHERE person = ? ORDER BY id", (person,)).fetchall()
        own = [np.frombuffer(blob, "<f4") for (blob,) in vectors]
        return list(zip(photos_of(db, person), own, strict=True))


def crops(store: Store, name: Who) -> list[Image | None]:
    """Return the crops of one person's photos, in the order of `photos`; None for a photo whose crop was not kept.

    UnknownPersonError if nobody is called `name`.
    """
    with store.read() as db:
        query = "SELECT id FROM templates WHERE person = ? ORDER BY id"
        return [crop_of(db, number) for (number,) in db.execute(query, (store.person(db, name),)).fetchall()]


def first_crops(store: Store, numbers: Iterable[int]) -> dict[int, int]:
    """Return, by their person's number, the number of the first photo of some people whose crop is kept."""
    query = "SELECT min(id) FROM templates JOIN crops ON template = id WHERE person = ?"
    with store.read() as db:
        found = {number: scalar(db, query, number) for number in numbers} if version_of(db) > 3 else {}
    return {number: photo for number, photo in found.items() if photo is not None}


def kept_crops(store: Store, name: Who) -> set[int]:
    """Return the numbers of one person's photos whose crop is kept; UnknownPersonError if nobody is called `name`."""
    with store.read() as db:
        query = "SELECT id FROM templates JOIN crops ON template = id WHERE person = ?"
        person = store.person(db, name)
        return {number for (number,) in db.execute(query, (person,))} if version_of(db) > 3 else set()


def keeps_pictures(store: Store) -> bool:
    """Whether the crops of photos that are enrolled from now on are kept."""
    with store.read() as db:
        return keeps_crops(db)


def crop(store: Store, name: Who, photo: int) -> bytes | None:
    """Return the PNG file of the crop of one person's photo; None if none was kept.

    photo: its number. UnknownPersonError if nobody is called `name`; NotKeptError if they have no such photo.
    """
    with store.read() as db:
        person = store.person(db, name)
        if scalar(db, "SELECT 1 FROM templates WHERE (person, id) = (?, ?)", person, photo) is None:
            raise not_theirs(_name(db, person), photo)
        return scalar(db, "SELECT png FROM crops WHERE template = ?", photo) if version_of(db) > 3 else None


def numbers(store: Store, names: Iterable[str]) -> dict[str, int]:
    """Return the numbers of some people by their names, as the gallery stores them; without those who are not there."""
    with store.read() as db:
        found = ((name, id_of(db, name)) for name in set(names))
        return {name: number for name, number in found if number is not None}


def name_of(store: Store, name: Who) -> str:
    """Return a person's name as the gallery stores it (stripped, NFC); UnknownPersonError if nobody has it."""
    with store.read() as db:
        return _name(db, store.person(db, name))


def _name(db: Connection, person: int) -> str:
    return scalar(db, "SELECT name FROM people WHERE id = ?", person)


def rename(store: Store, old: Who, new: str) -> None:
    """Give a person another name.

    UnfitValueError if the name is unfit; GalleryError if somebody else has it or another spelling of it (`same_name`)
    and the two were not said to be two people; UnknownPersonError if nobody is called `old`.
    """
    change(store, old, name=new)


def change(
    store: Store, who: Who, *, name: str | None = None, note: str | None = None, until: str | None = None
) -> None:
    """Rename a person, and note what they agreed to and their last day: all of it, or nothing where a value is unfit.

    None leaves a value as it is. Raises as `rename` and `set_consent` do.
    """
    with store.write() as db:
        person = store.person(db, who)
        if name is not None:
            _rename(db, person, clean_name(name), store.folder)
        if (note, until) != (None, None):
            _set_consent(db, person, note, until)


def _rename(db: Connection, person: int, name: str, where: Place) -> None:
    if id_of(db, name) not in {None, person}:
        raise GalleryError(
            f"{where}: '{name}' is enrolled already (`facerec gallery merge` makes one of the two); choose another name"
        )
    _require_no_spelling(db, person, name, where)
    db.execute("UPDATE people SET name = ? WHERE id = ?", (name, person))
    record(db, "renamed", person)


def _require_no_spelling(db: Connection, person: int, name: str, where: Place) -> None:
    """Raise GalleryError if somebody else has another spelling of a name. Two who were said to be two may have both."""
    own = _name(db, person)
    apart = vetoes.pairs_by_name(db)
    for other in spellings(db, [name])[name]:
        if other != own and frozenset((other, own)) not in apart:
            merged = gallery_command("merge", *fewer_first_in(db, own, other))
            two = two_people_command(own, other)
            raise GalleryError(
                f"{where}: '{name}' is a spelling of '{other}', who is enrolled; if they are one person, {merged} "
                f"makes one of the two; if they are two, first say so: {two}"
            )


def spellings(db: Connection, names: Collection[str]) -> dict[str, list[str]]:
    """Return who is enrolled under another spelling (`same_name`) of each of these names, sorted."""
    everybody = [name for (name,) in db.execute("SELECT name FROM people ORDER BY name")] if names else []
    if not everybody:  # comparing many names takes seconds
        return {name: [] for name in names}
    keys: dict[str, list[str]] = {name_key(name): [] for name in names}
    for other in everybody:
        if (key := name_key(other)) in keys:
            keys[key].append(other)
    return {
        name: [other for other in keys[name_key(name)] if other != name and same_name(other, name)] for name in names
    }


def fewer_first(store: Store, one: str, other: str) -> tuple[str, str]:
    """Return two people's names, first who has fewer photos; of equally many, who has the photo enrolled first.

    It is the order of `PeopleIndex.alike`. UnknownPersonError if nobody has one of the names.
    """
    with store.read() as db:
        for name in (one, other):
            store.person(db, name)
        return fewer_first_in(db, one, other)


def fewer_first_in(db: Connection, one: str, other: str) -> tuple[str, str]:
    """As `fewer_first`, for two people who are enrolled."""
    query = "SELECT count(*), min(id) FROM templates WHERE person = ?"
    fewer, more = sorted((one, other), key=lambda name: db.execute(query, (id_of(db, name),)).fetchone())
    return fewer, more


def merge(store: Store, source: Who, target: Who) -> int:
    """Make one person of two: move the photos of `source` to `target` and return how many were moved.

    `target` keeps its consent note; without one it takes that of `source`. The earlier of the two last days counts.
    Vetoes of `source` count for `target`, and faces held back as `source` are held back as `target`.
    UnknownPersonError if nobody has one of the names; GalleryError if both name the same person, or the two were said
    to be two people.
    """
    with store.write() as db:
        gone, kept = store.person(db, source), store.person(db, target)
        if gone == kept:
            raise GalleryError(f"{store.folder}: both are the same person, '{_name(db, kept)}'; give two people")
        vetoes.require_not_apart(db, kept, gone, store.folder)
        notes, days = zip(consent_of(db, kept), consent_of(db, gone), strict=True)
        count = db.execute("UPDATE templates SET person = ? WHERE person = ?", (kept, gone)).rowcount
        vetoes.move_to(db, gone, kept)
        db.execute("UPDATE unknown_faces SET claimed = ? WHERE claimed = ?", (kept, gone))
        db.execute("DELETE FROM people WHERE id = ?", (gone,))
        write_consent(db, kept, notes[0] or notes[1], min(filter(None, days), default=None))
        record(db, "merged", kept, merged=gone, templates=count)
    return count


def consent(store: Store, name: Who) -> tuple[str | None, str | None]:
    """Return the note on what a person agreed to and the last day they may be kept, each None where not given.

    UnknownPersonError if nobody is called `name`.
    """
    with store.read() as db:
        return consent_of(db, store.person(db, name))


def set_consent(store: Store, name: Who, note: str | None = None, until: str | None = None) -> None:
    """Note what a person agreed to, and the last day (UTC, YYYY-MM-DD) they may be kept.

    "" deletes a value; None leaves it as it is. UnfitValueError for an unfit note or day; UnknownPersonError if
    nobody is called `name`.
    """
    with store.write() as db:
        _set_consent(db, store.person(db, name), note, until)


def _set_consent(db: Connection, person: int, note: str | None, until: str | None) -> None:
    old_note, old_day = consent_of(db, person)
    new_note = old_note if note is None else clean_note(note)
    new_day = old_day if until is None else clean_day(until)
    write_consent(db, person, new_note, new_day)
    record(db, "consent set", person)
