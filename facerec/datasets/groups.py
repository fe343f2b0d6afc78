"""A file that says who belongs to which group, to report every figure for each: CSV `photo or person,group`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from facerec.datasets.text_files import csv_records, read_lines
from facerec.errors import DataError
from facerec.text import same_form

NO_GROUP = "no group"
"""What photos of which the file says nothing are reported as."""
RESERVED = (NO_GROUP, "across groups")


@dataclass(frozen=True, slots=True)
class Groups:
    """names: photo (relative to the folder of images, with `/`) or person -> group; compared as Unicode NFC."""

    path: Path
    names: Mapping[str, str]

    def of(self, photo: str, person: str) -> str:
        """The photo's group, or else the person's, or else NO_GROUP."""
        return self.names.get(same_form(photo), self.names.get(same_form(person), NO_GROUP))

    def strays(self, photos: Iterable[str], people: Iterable[str]) -> list[str]:
        """What the file names and none of these is."""
        known = {same_form(name) for names in (photos, people) for name in names}
        return [name for name in self.names if name not in known]


def read_groups(path: Path) -> Groups:
    """Read a groups file; raises DataError naming the file, the line and the remedy.

    A line per photo or person; the first may be a header, whose second field is `group`. A photo's own line goes before
    its person's.
    """
    names: dict[str, str] = {}
    for place, (number, fields) in enumerate(csv_records(path, read_lines(path, "a CSV of groups"))):
        if place == 0 and len(fields) == 2 and fields[1].lower() == "group":
            continue
        try:
            name, group = _row(fields)
            if names.setdefault(name, group) != group:
                raise ValueError(f"{name} is in two groups, {names[name]} and {group}; leave one")
        except ValueError as error:
            raise DataError(f"{path}, line {number}: {error}") from error
    if not names:
        raise DataError(f"{path}: no groups in it; add lines like 'Ann Lee,women' or 'Ann Lee/1.jpg,outdoors'")
    return Groups(path, names)


def _row(fields: list[str]) -> tuple[str, str]:
    if len(fields) != 2:
        raise ValueError(f"{len(fields)} fields; write 2: a photo or person, and its group")
    name, group = fields
    if not name or not group:
        raise ValueError(f"'{name},{group}'; write a photo or person, and its group")
    if group in RESERVED:
        raise ValueError(f"'{group}' is what facerec calls the others; write another name for the group")
    return same_form(str(PurePosixPath(name))), group
