"""Groups files: CSV `photo or person,group`, so that every figure can be reported for each group."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from facerec.datasets.photo_names import names_of
from facerec.datasets.text_files import csv_records, read_lines
from facerec.errors import DataError
from facerec.text import same_form

NO_GROUP = "no group"
"""The group of photos that the file does not mention."""
RESERVED = (NO_GROUP, "across groups")


@dataclass(frozen=True, slots=True)
class Groups:
    """The content of a groups file.

    path: the file. names: photo (relative to the folder of images, with `/`) or person -> group; in Unicode NFC.
    """

    path: Path
    names: Mapping[str, str]

    def of(self, photo: str, person: str) -> str:
        """Return the photo's group, or else the person's, or else NO_GROUP."""
        return self.names.get(same_form(photo), self.names.get(same_form(person), NO_GROUP))

    def for_photos(self, photos: Collection[str]) -> tuple["Groups", dict[str, str]]:
        """Return the groups under the names of these photos, whose endings may differ, and the result of `names_of`."""
        found = names_of(map(same_form, photos), self.names)
        moved = {photo: self.names[name] for photo, name in found.items()}
        others = {name: group for name, group in self.names.items() if name not in found.values()}
        return Groups(self.path, others | moved), found

    def strays(self, photos: Iterable[str], people: Iterable[str]) -> list[str]:
        """Return the names in the file that are neither one of these photos nor one of these people."""
        known = {same_form(name) for names in (photos, people) for name in names}
        return [name for name in self.names if name not in known]


def read_groups(path: Path) -> Groups:
    """Read a groups file; DataError names the file, the line and the remedy.

    There is one line per photo or person. The first line may be a header; its second field is then `group`. A photo's
    own line takes precedence over its person's.
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
        raise ValueError(f"'{group}' is a group that facerec makes itself; write another name for the group")
    return same_form(str(PurePosixPath(name))), group
