"""Finds the photos that a text file names if their endings differ: 1.png or 1.jpg.png for the name 1.jpg.

People convert their photos, and crops are PNG files. A name means the photo of exactly this name, or its crop NAME.png.
If there is neither, it means the photo that differs only in its ending, if there is exactly one.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from facerec.photos.photo_files import EXTENSIONS
from facerec.text import how_many, printable, same_form

CROP = ".png"
"""What `datasets.prepare` adds to a photo's name."""


def names_of(photos: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    """Photo -> the name that means it, for the photos that have one.

    If several photos differ from a name only in their endings, the name means none of them. A photo that differs so
    from several names has none of them.
    """
    known, paths = set(names), sorted(set(photos))
    found = {photo: name for photo in paths for name in (photo.removesuffix(CROP), photo) if name in known}
    free = _by_bare(known - set(found.values()))
    for bare, others in _by_bare(photo for photo in paths if photo not in found).items():
        if len(others) == len(free.get(bare, ())) == 1:
            found[others[0]] = free[bare][0]
    return found


def _by_bare(names: Iterable[str]) -> dict[str, list[str]]:
    """Names of photos by what `_bare` leaves of them."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in names:
        alike[_bare(name)].append(name)
    return alike


def _bare(name: str) -> str:
    """The name without the endings of photos, in Unicode NFC: Ann/1 for Ann/1.jpg, Ann/1.PNG and Ann/1.jpg.png."""
    stem, ending = os.path.splitext(name)
    return _bare(stem) if ending.lower() in EXTENSIONS else same_form(name)


def locate(names: Iterable[str], root: Path) -> dict[str, Path]:
    """The path of each photo, named relative to the folder `root` with `/`; where it should be if there is none.

    A photo that is named itself is not taken for another.
    """
    paths = {name: root / name for name in names}
    missing = {name for name, path in paths.items() if not os.path.exists(path)}
    folders = {PurePosixPath(name).parent for name in missing}
    found = names_of([photo for folder in folders for photo in _photos_in(root, folder)], paths)
    return paths | {name: root / photo for photo, name in found.items() if name in missing}


def _photos_in(root: Path, folder: PurePosixPath) -> list[str]:
    """The photos in a folder, named relative to `root`; none where it cannot be read: they are then missing."""
    try:
        return [str(folder / name) for name in os.listdir(root / folder) if _bare(name) != same_form(name)]
    except OSError:
        return []


def say_endings(file: Path, found: Mapping[str, str]) -> str:
    """Return a line about photos whose endings differ from the file's; "" for none. found: `names_of`.

    Crops are usual, so the line does not speak of them.
    """
    others = [(photo, name) for photo, name in found.items() if name not in (photo, photo.removesuffix(CROP))]
    if not others:
        return ""
    photo, name = others[0]
    return (
        f"{printable(file)}: {how_many(len(others), 'photo')} taken under another ending, the first {photo} for {name}"
    )
