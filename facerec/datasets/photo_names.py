"""Finds the photos that a text file names if their endings differ: 1.png or 1.jpg.png for the name 1.jpg.

People convert their photos, and crops are PNG files. A name means the photo of exactly this name, or its crop NAME.png.
If there is neither, it means the one photo whose ending is spelled otherwise (1.JPG, 1.jpeg); or else the one of
another ending; or else the one whose name differs in case, too.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from facerec.photos.photo_files import EXTENSIONS
from facerec.text import how_many, printable, same_form

CROP = ".png"
"""What `datasets.prepare` adds to a photo's name."""
_SYNONYMS = {".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg", ".pjpeg": ".jpg", ".tiff": ".tif"}


def names_of(photos: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    """Photo -> the name that means it, for the photos that have one.

    If a name may mean several photos, it means none of them. A photo that several names may mean has none of them.
    """
    known, paths = set(names), sorted(set(photos))
    found = {photo: name for photo in paths for name in (photo.removesuffix(CROP), photo) if name in known}
    taken = set(found.values())
    for alike, meant_by in _alike(paths, known):
        left = [photo for photo in alike if photo not in found], [name for name in meant_by if name not in taken]
        if len(left[0]) == len(left[1]) == 1:
            found[left[0][0]] = left[1][0]
    return found


def _alike(photos: Iterable[str], names: Iterable[str]) -> Iterator[tuple[list[str], list[str]]]:
    """Photos and the names that may mean them, those of the same spelling first; each photo and name at most once."""
    for key in (_spelling, _bare, _caseless):
        by_photo, by_name = _by_key(photos, key), _by_key(names, key)
        yield from ((alike, by_name[same]) for same, alike in by_photo.items() if same in by_name)
        photos = [photo for other, alike in by_photo.items() if other not in by_name for photo in alike]
        names = [name for other, alike in by_name.items() if other not in by_photo for name in alike]


def _by_key(names: Iterable[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    alike: dict[str, list[str]] = defaultdict(list)
    for name in names:
        alike[key(name)].append(name)
    return alike


def _spelling(name: str) -> str:
    """The name in NFC with its ending in one spelling, without that of a crop: 1.jpg for 1.JPG, 1.jpeg, 1.jpg.png."""
    stem, ending = os.path.splitext(name)
    if ending == CROP and os.path.splitext(stem)[1].lower() in EXTENSIONS:
        return _spelling(stem)
    return same_form(stem) + _SYNONYMS.get(ending.lower(), ending.lower())


def _bare(name: str) -> str:
    """The name without the endings of photos, in Unicode NFC: Ann/1 for Ann/1.jpg, Ann/1.PNG and Ann/1.jpg.png."""
    stem, ending = os.path.splitext(name)
    return _bare(stem) if ending.lower() in EXTENSIONS else same_form(name)


def _caseless(name: str) -> str:
    """As `_bare`, without the case of the photo's own name: Ann/img for Ann/IMG.jpg."""
    folder, slash, photo = _bare(name).rpartition("/")
    return folder + slash + photo.casefold()


class Located(NamedTuple):
    """Where photos are. paths: by name; where it should be for a name without a photo.

    unclear: of these paths, those whose name may mean several photos, or whose photo several names may mean: one line.
    """

    paths: dict[str, Path]
    unclear: dict[Path, str]


def locate(names: Iterable[str], root: Path, known: Collection[Path] | None = None) -> Located:
    """The path of each photo, named relative to the folder `root` with `/`.

    A photo is taken for one name at most, and for its own where it is named: 1.jpg and 1.JPG may be two photos, one of
    which is missing. known: all photos there are, if they need not be looked for.
    """
    paths = {name: root / name for name in names}
    missing = {
        name for name, path in paths.items() if (path not in known if known is not None else not os.path.exists(path))
    }
    folders = {PurePosixPath(name).parent for name in missing}
    photos = (
        [photo for folder in folders for photo in _photos_in(root, folder)]
        if known is None
        else [name for name in _names(known, root) if PurePosixPath(name).parent in folders]
    )
    crops = {photo.removesuffix(CROP): root / photo for photo in photos if photo.removesuffix(CROP) in missing}
    missing -= crops.keys()
    moved, unclear = dict(crops), {}
    for alike, meant_by in _alike(photos, paths):
        sought = sorted(missing.intersection(meant_by))
        free = sorted(photo for photo in alike if photo not in paths)
        if len(free) == 1 == len(sought):
            moved[sought[0]] = root / free[0]
        else:
            unclear |= {root / name: _unclear(root / name, free or sorted(alike), sought, not free) for name in sought}
    return Located(paths | moved, unclear)


def _unclear(path: Path, photos: Sequence[str], names: Sequence[str], named: bool) -> str:
    """One line for a photo that is not there, and that may be one of several; or one that several names may mean.

    named: the photos are named themselves.
    """
    if named:
        may = f"{printable(photos[0])} is named, too (name it in place of this if it is meant)"
    elif len(photos) > 1:
        may = f"{' or '.join(map(printable, photos))} may be meant (name one of them)"
    else:
        may = f"{printable(photos[0])} may be meant by {' or '.join(map(printable, names))} (name it)"
    return f"{printable(path)}: no such file, and {may}"


def _photos_in(root: Path, folder: PurePosixPath) -> list[str]:
    """The photos in a folder, named relative to `root`; none where it cannot be read: they are then missing."""
    try:
        return [str(folder / name) for name in os.listdir(root / folder) if _bare(name) != same_form(name)]
    except OSError:
        return []


def _names(photos: Iterable[Path], root: Path) -> Iterator[str]:
    return (photo.relative_to(root).as_posix() for photo in photos if photo.is_relative_to(root))


def say_endings(file: Path, found: Mapping[str, str]) -> str:
    """Return a line about photos whose names differ from the file's; "" for none. found: `names_of`.

    Crops are usual, so the line does not speak of them.
    """
    others = [(photo, name) for photo, name in found.items() if name not in (photo, photo.removesuffix(CROP))]
    if not others:
        return ""
    photo, name = others[0]
    return (
        f"{printable(file)}: {how_many(len(others), 'photo')} taken under another ending, the first {photo} for {name}"
    )
