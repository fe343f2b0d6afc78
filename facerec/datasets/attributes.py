"""Attributes files: CSV with one value for each photo (`photo,NAME`) or each person (`person,NAME`)."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from facerec.datasets.photo_names import names_of, say_endings
from facerec.datasets.text_files import csv_records, read_lines
from facerec.errors import DataError
from facerec.text import how_many, same_form

log = logging.getLogger(__name__)

PHOTO = "photo"
NOUNS = {PHOTO: "photos", "person": "people"}  # the first column's header -> its plural


@dataclass(frozen=True, slots=True)
class Attribute:
    """The content of an attributes file.

    path: the file. name: the attribute's name, the header of the second column. of: the header of the first column,
    "photo" or "person". table: photo (relative to the folder of identity or class folders, with `/`) or person ->
    value; all in Unicode NFC.
    """

    path: Path
    name: str
    of: str
    table: dict[str, str]

    def values(self, photos: Sequence[str], otherwise: str = "leave them out (`exclude`)") -> list[str]:
        """Return the value of each of the photos, given as person/file; endings may differ (`photo_names`).

        DataError if the file has no line for some of them. otherwise: the second remedy in that message.
        """
        found = self.find(photos)
        missing = sorted({key for key, value in zip(self._keys(photos), found, strict=True) if value is None})
        if missing:
            used = "is used" if len(missing) == 1 else "are used"
            raise DataError(
                f"{self.path}: has no line for {how_many(len(missing), self.of, NOUNS[self.of])} that {used}, "
                f"the first {missing[0]}; add a line for each, or {otherwise}"
            )
        return [value for value in found if value is not None]

    def find(self, photos: Sequence[str]) -> list[str | None]:
        """Return the value of each of the photos, as `values`; None where the file has no line for it."""
        keys = self._keys(photos)
        names = names_of(keys, self.table) if self.of == PHOTO else {}
        if said := say_endings(self.path, names):
            log.warning("%s", said)
        return [self.table.get(names.get(key, key)) for key in keys]

    def strays(self, photos: Sequence[str]) -> list[str]:
        """Return the names in the file that mean none of these photos, or nobody on them."""
        keys = self._keys(photos)
        known = set(names_of(keys, self.table).values() if self.of == PHOTO else keys)
        return [name for name in self.table if name not in known]

    def _keys(self, photos: Sequence[str]) -> list[str]:
        """What the file may name, for each photo: the photo, or who is on it."""
        return [same_form(photo if self.of == PHOTO else photo.split("/")[0]) for photo in photos]


def read_attribute(path: Path) -> Attribute:
    """Read an attributes file; DataError names the file, the line and the remedy."""
    records = csv_records(path, read_lines(path, "a CSV of an attribute"))
    _, columns = next(records, (0, []))
    if len(columns) != 2 or columns[0].lower() not in NOUNS or not columns[1]:
        raise DataError(
            f"{path}, line 1: the columns are '{','.join(columns)}'; write 'photo,NAME' or 'person,NAME', NAME saying "
            f"what the values are"
        )
    of = columns[0].lower()
    table: dict[str, str] = {}
    for number, fields in records:
        if len(fields) != 2 or not all(fields):
            raise DataError(f"{path}, line {number}: '{','.join(fields)}'; write a {of} and its {columns[1]}")
        name = same_form(str(PurePosixPath(fields[0])))
        if table.setdefault(name, same_form(fields[1])) != same_form(fields[1]):
            raise DataError(f"{path}, line {number}: {name} is both {table[name]} and {fields[1]}; leave one")
    if not table:
        raise DataError(f"{path}: no values in it; add lines of a {of} and its {columns[1]}")
    return Attribute(path, same_form(columns[1]), of, table)
