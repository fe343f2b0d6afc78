"""Tells the folder of one person, `Ann/2024/1.jpg`, from a folder of several, `3A/Ann/1.jpg` and `3A/Bob/1.jpg`."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from facerec.text import printable

_YEAR, _MONTH, _DAY, _SEP = r"(19|20)\d\d", r"(0?[1-9]|1[0-2])", r"(0?[1-9]|[12]\d|3[01])", r"[-_. ]"
_DATE = re.compile(
    rf"{_YEAR}s?|{_YEAR}{_SEP}({_YEAR}|\d\d|{_MONTH})"  # 2024, 2010s, 2019-2020, 2019-20, 2024-05
    rf"|{_YEAR}{_SEP}{_MONTH}{_SEP}{_DAY}(\D.*)?|{_DAY}{_SEP}{_MONTH}{_SEP}{_YEAR}"  # 2024-05-01 in Rome, 1.5.2024
)
"""What folders of one person are called. But `Rome 2024` may be like `Ann 2010`, and `20240501` be a number."""
_VIEWS = ("front", "frontal", "profile", "left", "right")


class PeopleInside(NamedTuple):
    """Sub-folders of one folder, with photos in each or below, that may be of one person each."""

    folder: Path
    names: list[str]

    def __str__(self) -> str:
        first, more = ", ".join(map(printable, self.names[:3])), len(self.names) - 3
        listed = f"{first} and {more} more" if more > 0 else first
        kind = ("a folder", "a person's") if len(self.names) == 1 else ("several folders", "several people's")
        return f"{printable(self.folder)}: holds {kind[0]} with photos ({listed}), which may be {kind[1]}"


def nested_people(folder: Path, people: Mapping[str, Sequence[Path]]) -> dict[str, PeopleInside]:
    """The sub-folders that may be of several people, so that each holds half a class.

    people: each sub-folder's name and the photos in it and below. One person has one folder with photos, at each depth,
    or several of which all but one are called by dates or views. Beside a sub-folder of several people, one that holds
    a single folder and no photo may be another class.
    """
    nested = {name: _people_inside(folder / name, photos, 2) for name, photos in people.items()}
    if any(nested.values()):
        bare = {
            name: photos for name, photos in people.items() if folder / name not in {path.parent for path in photos}
        }
        nested |= {name: nested[name] or _people_inside(folder / name, photos, 1) for name, photos in bare.items()}
    return {name: inside for name, inside in nested.items() if inside}


def _people_inside(folder: Path, photos: Sequence[Path], fewest: int) -> PeopleInside | None:
    """The first folder, here or below, of which at least `fewest` sub-folders with photos may be a person's each."""
    inside: dict[Path, set[str]] = defaultdict(set)
    for photo in photos:
        above = photo.relative_to(folder).parts[:-1]
        for depth, name in enumerate(above):
            inside[folder.joinpath(*above[:depth])].add(name)
    for place, names in sorted(inside.items()):
        own = sorted(name for name in names if not _is_part(name, place))
        if len(own) >= fewest:
            return PeopleInside(place, own)
    return None


def _is_part(name: str, place: Path) -> bool:
    """Whether a folder is called by a date or a view, not by a name. place: the folder that it is in."""
    above = (place.name, f"{place.parent.name}-{place.name}") if name.isdecimal() else ()  # 2024/05 and 2024/05/01
    return any(map(_DATE.fullmatch, (name, *(f"{date}-{name}" for date in above)))) or name.lower() in _VIEWS
