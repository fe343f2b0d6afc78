"""Folders of photos: finding the photos in them, and the person each sub-folder stands for.

Everything that takes a folder of photos walks it here. So nothing looks at what systems and programs leave there
(`SYSTEM_FOLDERS`, `SYSTEM_FILES`). Each walk logs one warning of what it passed over, a `LeftOut`.
"""

import errno
import hashlib
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import translate
from pathlib import Path
from typing import NamedTuple, NoReturn

from facerec.errors import ConfigError, DataError, ImageError
from facerec.photos.nested import PeopleInside, nested_people
from facerec.photos.photo_files import EXTENSIONS, holds_photo, opened
from facerec.photos.video_files import is_video
from facerec.text import how_many, printable

log = logging.getLogger(__name__)

SYSTEM_FOLDERS = (
    *(".*", "lost+found"),  # hidden ones: .Trash-1000, .thumbnails, .AppleDouble, .picasaoriginals, .@__thumb ...
    *("@*", "#recycle", "#snapshot", "~snapshot", "network recycle bin*"),  # Synology, QNAP, NetApp
    "appdata_oc*",  # previews of Nextcloud and ownCloud
    *("$recycle.bin", "$winreagent", "$getcurrent", "$sysreset", "$windows.~*", "recycled", "recycler"),  # Windows
    *("system volume information", "found.[0-9][0-9][0-9]"),
    *("config.msi", "msocache", "windowsimagebackup", "dfsrprivate", "_vti_*", "_gsdata_"),  # Windows, GoodSync
    *("trashbox", "trash bin", "trashbin", "recycle bin", "files_trashbin", "files_versions"),  # NAS, clouds
    *("lost.dir", "ncflds", "[[]originals]"),  # cards of Android and of Nikon; ACDSee
    *("__macosx", "network trash folder", "temporary items", "icon\r", "ipod photo cache"),  # macOS, archives, iTunes
    *("*.photoslibrary", "*.photolibrary", "*.aplibrary", "*.migratedphotolibrary"),  # the insides of Apple's programs
    *("*.lrdata", "*.lrcat-data", "captureone", "*.cosessiondb", "*.cocatalog"),  # previews of Lightroom, Capture One
    *("corel auto-preserve", "nksc_param"),  # photos before their correction
    *("_thumbnails", "thumbnails", "thumbs", "__pycache__"),  # small copies of photos; Python's files
)
"""Patterns of folders that systems and programs make, in lower case. Nobody has such a name."""

SYSTEM_FILES = (
    *(".*", "thumbs.db", "ehthumbs*.db", "desktop.ini", "icon\r", "zbthumbnail.info"),
    *("synophoto_*", "synofile_thumb*", "synoindex_*", "*@synoeastream", "*@synoresource"),
    *("*.*_original", "*~", "~$*", "*.thm"),  # copies by ExifTool and editors; a camera's small pictures of its videos
    "albumart*.jpg",  # covers by Windows Media Player
    *("*.part", "*.partial", "*.filepart", "*.crdownload", "*.opdownload", "*.tmp", "*.!ut"),  # halves
)
"""Patterns of files that systems and programs make, in lower case."""

HIDDEN_FOLDERS = (".trash*", ".recycle*", ".thumb*", ".@*", ".appledouble", ".picasaoriginals", ".stversions")
"""Patterns of hidden folders into which links are not followed. Others hold photos that are meant: .git/annex."""

_LINKS = 40  # what Linux follows at most
OWN = ".facerec-"  # begins the names of files that facerec makes in folders; they are passed over in silence


def require_outside(output: Path, folders: Iterable[Path]) -> None:
    """Raise ConfigError if `output` is in one of the folders: what is written there would be among their photos."""
    real = Path(os.path.realpath(output))
    for folder in folders:
        if os.path.isdir(folder) and real.is_relative_to(os.path.realpath(folder)):
            raise ConfigError(
                f"{printable(output)}: is in {printable(folder)}, so what is written there would be read as its photos "
                "next time; give a folder outside of it"
            )


def photo_hash(path: Path) -> str:
    """SHA-256 of the file's bytes as 64 hex digits; raises ImageError if the file cannot be read."""
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def without_copies(photos: Iterable[Path]) -> list[Path]:
    """The photos, in order, but of those with the same bytes only the first."""
    first: dict[str | Path, Path] = {}
    for path in photos:
        first.setdefault(_hash_or_none(path) or path, path)
    return list(first.values())


def _hash_or_none(path: Path) -> str | None:
    try:
        return photo_hash(path)
    except ImageError:  # reading the photo will report it
        return None


class LeftOut(NamedTuple):
    """What walks passed over: files of systems and programs, other files that are no photos, photos of nobody."""

    system: tuple[Path, ...] = ()
    others: tuple[Path, ...] = ()
    loose: tuple[Path, ...] = ()

    def joined(self, more: "LeftOut") -> "LeftOut":
        """Both, each path once."""
        return LeftOut(*(tuple(dict.fromkeys(own + new)) for own, new in zip(self, more, strict=True)))

    def __str__(self) -> str:
        kinds = {
            ("system file or folder", "system files and folders"): self.system,
            ("file that is no photo", "files that are no photos"): self.others,
            ("photo in no sub-folder", "photos in no sub-folder"): self.loose,
        }
        told = [
            f"{how_many(len(paths), *words)} (such as {printable(paths[0])})" for words, paths in kinds.items() if paths
        ]
        return f"passed over {', '.join(told)}"


def require_folder(folder: Path) -> None:
    """Raise DataError if `folder` is no readable folder."""
    try:
        os.scandir(folder).close()
    except OSError as error:
        _unreadable_folder(error)


def find_photos(folder: Path, videos: bool = False) -> list[Path]:
    """All photos in `folder` and below, sorted, but for those of `SYSTEM_FOLDERS` and `SYSTEM_FILES`.

    videos: find videos (`video_files.is_video`), too.

    A photo is a file with an ending of EXTENSIONS, whatever it holds, or any other file that begins like a photo.
    Links are followed, except a link to a folder that contains the link, and a link to a folder that was already
    visited in the same sub-folder. A sub-folder that cannot be read is listed itself, as if it were a photo, so that
    reading it reports the error; so is a link that leads nowhere, as to a share that is not mounted. Raises DataError
    if `folder` is no readable folder. The list may be empty.
    """
    return _found(folder, _Walk(is_photo_or_video if videos else is_photo))[0]


def find_photos_and_bare(folder: Path) -> tuple[list[Path], list[str]]:
    """As `find_photos`, and the names of the sub-folders without a photo in or below them."""
    return _found(folder, _Walk())


def _found(folder: Path, walk: "_Walk") -> tuple[list[Path], list[str]]:
    folders, photos = walk.top(folder)
    below = {name: walk.below(folder / name) for name in folders}
    _tell(walk.left_out)
    return sorted([*photos, *(photo for own in below.values() for photo in own)]), [
        name for name, own in below.items() if not own
    ]


def find_files(folder: Path) -> list[Path]:
    """All files in `folder` and below that are no system's, sorted; `find_photos` says which links are followed.

    Nothing is logged. Raises DataError if `folder` is no readable folder.
    """
    walk = _Walk(lambda path: True)
    folders, files = walk.top(folder)
    return sorted([*files, *(path for name in folders for path in walk.below(folder / name))])


def is_photo(path: Path) -> bool:
    """Whether a file has a photo's ending or begins like a photo."""
    return _has_ending(path.name) or holds_photo(path)


def is_photo_or_video(path: Path) -> bool:
    """Whether a file is a photo, or a video (`video_files.is_video`)."""
    return is_photo(path) or is_video(path)


def identity_folders(folder: Path) -> dict[str, list[Path]]:
    """Each sub-folder's name, in order, and the photos in it and below, which may be none.

    What counts as a photo, and which links are followed, `find_photos` says. Raises DataError if `folder` cannot be
    read, no sub-folder has a photo, or one may be of several people (`nested_people`).
    """
    found, left_out = _by_person(folder)
    try:
        people = require_people(folder, found)
    except DataError:
        if not found.nested:
            _tell(left_out)
        raise
    _tell(left_out._replace(loose=tuple(found.loose)))
    return people


def require_people(folder: Path, found: "ByPerson") -> dict[str, list[Path]]:
    """The people of a folder; DataError if none has a photo, or a sub-folder may be of several people."""
    if found.nested:
        raise _nested(list(found.nested.values()))
    if not any(found.people.values()):
        raise no_people(folder, len(found.loose))
    return found.people


class ByPerson(NamedTuple):
    """A folder's photos by person.

    people: each sub-folder's name and photos, as `identity_folders` has them. loose: the photos directly in the folder.
    nested: each sub-folder that may be of several people, who are not among `people`.
    """

    people: dict[str, list[Path]]
    loose: list[Path]
    nested: dict[str, PeopleInside]


def by_person(folder: Path) -> ByPerson:
    """The photos in a folder by person; there may be none. Raises DataError if `folder` cannot be read."""
    found, left_out = _by_person(folder)
    _tell(left_out)
    return found


def people_among(folder: Path, photos: Iterable[Path], bare: Iterable[str]) -> ByPerson:
    """As `by_person`, for photos that are known to be in the folder; bare: the sub-folders without any."""
    people: dict[str, list[Path]] = {name: [] for name in bare}
    loose = []
    for photo in photos:
        name, *below = photo.relative_to(folder).parts if photo.is_relative_to(folder) else (photo.name,)
        (people.setdefault(name, []) if below else loose).append(photo)
    return _sorted_out(folder, dict(sorted(people.items())), loose)


def _by_person(folder: Path) -> tuple[ByPerson, LeftOut]:
    walk = _Walk()
    folders, loose = walk.top(folder)
    return _sorted_out(folder, {name: walk.below(folder / name) for name in folders}, loose), walk.left_out


def _sorted_out(folder: Path, people: dict[str, list[Path]], loose: list[Path]) -> ByPerson:
    nested = nested_people(folder, people)
    return ByPerson({name: own for name, own in people.items() if name not in nested}, loose, nested)


def _nested(nested: Sequence[PeopleInside]) -> DataError:
    more = f" ({len(nested) - 1} more like it)" if nested[1:] else ""
    return DataError(
        f"{nested[0]}{more}; give {printable(nested[0].folder)} if each is one person's (or a class), else put their "
        "photos into one folder"
    )


def no_people(folder: Path, loose: int, remedy: str = "give the folder above, or make one per person") -> DataError:
    """The error for a folder without identity folders. loose: how many photos are directly in it."""
    found = f"{how_many(loose, 'photo')} directly in it, but no folders" if loose else "no folders"
    remedy = remedy if loose else "make one per person"
    return DataError(f"{printable(folder)}: {found} with photos in it; {remedy}, as in people/Ann Lee/1.jpg")


class _Walk:
    """One walk through a folder: finds the photos, or other files that are wanted, and notes what it passes over."""

    def __init__(self, wanted: Callable[[Path], bool] = is_photo) -> None:
        self._wanted = wanted
        self._system: list[Path] = []
        self._others: list[Path] = []

    def top(self, folder: Path) -> tuple[list[str], list[Path]]:
        """The names of the folder's sub-folders (and links to folders), and the photos directly in it; sorted."""
        try:
            with os.scandir(folder) as entries:
                kinds = {entry.name: _is_folder(entry) for entry in entries}
        except OSError as error:
            _unreadable_folder(error)
        names = sorted(kinds)
        folders = self._own(folder, [name for name in names if kinds[name]], _SYSTEM_FOLDER)
        return folders, self._photos(folder, [name for name in names if not kinds[name]])

    def below(self, folder: Path) -> list[Path]:
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
            shown = sorted(Path(parent, name) for name in self._own(Path(parent), folders, _SYSTEM_FOLDER))
            shown.sort(key=lambda path: path.is_symlink())  # real folders first: a link to one is then a repetition
            folders[:] = [path.name for path in shown if _is_new(path, met)]
            photos += self._photos(Path(parent), files)
        return sorted([*photos, *(Path(error.filename) for error in closed)])

    @property
    def left_out(self) -> LeftOut:
        """What was passed over so far."""
        return LeftOut(tuple(self._system), tuple(self._others))

    def _photos(self, folder: Path, names: list[str]) -> list[Path]:
        paths = [folder / name for name in self._own(folder, names, _SYSTEM_FILE)]
        photos = [path for path in paths if self._wanted(path) or _is_lost(path)]
        self._others += sorted(set(paths) - set(photos))
        return photos

    def _own(self, folder: Path, names: list[str], system: re.Pattern[str]) -> list[str]:
        """The names that are not a system's, and no links to what is."""
        named = [name for name in names if not system.fullmatch(name.lower())]
        own = [name for name in named if not _leads_to_system(folder / name)]
        self._system += sorted(folder / name for name in set(names) - set(own) if not name.startswith(OWN))
        return own


def _tell(left_out: LeftOut) -> None:
    if any(left_out):
        log.warning("%s", left_out)


def _pattern(globs: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, globs)))


_SYSTEM_FOLDER, _SYSTEM_FILE = _pattern(SYSTEM_FOLDERS), _pattern(SYSTEM_FILES)
_NOT_LINKED = _pattern([*HIDDEN_FOLDERS, *(glob for glob in SYSTEM_FOLDERS if glob != ".*")])


def _leads_to_system(path: Path) -> bool:
    """Whether it is a link into a folder that systems make, such as to a thumbnail in @eaDir, or to such a file.

    What is above the link does not count: all of somebody's photos may lie in a share called @home.
    """
    if not path.is_symlink():
        return False
    home = path.parent.resolve()
    beyond = [place.name.lower() for place in _way(home / path.name) if not home.is_relative_to(place)]
    is_file = not beyond[-1].startswith(".") and _SYSTEM_FILE.fullmatch(beyond[-1])
    return bool(is_file) or any(map(_NOT_LINKED.fullmatch, beyond))


def _way(link: Path) -> Iterator[Path]:
    """Each place that is passed on the way of a link, itself first, with the names of links and of what they lead to.

    Its real path would not do: a thumbnail folder may itself be a link to another disk.
    """
    place, left, links = link.parent, [link.name], 0
    while left:
        name = left.pop(0)
        if name == os.pardir:
            place = place.parent
            continue
        yield place / name
        if not os.path.islink(place / name):
            place /= name
        elif (links := links + 1) > _LINKS:  # it leads nowhere
            return
        else:
            target = (place / name).readlink()
            place, left = Path(target.anchor) if target.anchor else place, [*target.parts[bool(target.anchor) :], *left]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir() or (entry.is_symlink() and _stands_for_folder(entry))
    except OSError as error:  # a link into a closed folder counts as a folder, so that reading it reports the error
        return error.errno != errno.ELOOP  # but a link to itself leads nowhere


def _stands_for_folder(link: os.DirEntry[str]) -> bool:
    """Whether a link that leads nowhere has no name of a file: so no person vanishes whose folder is not there."""
    return not _has_ending(link.name) and not _SYSTEM_FILE.fullmatch(link.name.lower()) and _is_lost(Path(link))


def _is_lost(path: Path) -> bool:
    """Whether it is a link to what is not there or is closed; one to itself is not."""
    try:
        os.stat(path)
    except OSError as error:
        return error.errno != errno.ELOOP and path.is_symlink()
    return False


def _has_ending(name: str) -> bool:
    """Whether it is the name of a photo."""
    return Path(name).suffix.lower() in EXTENSIONS


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


def _unreadable_folder(error: OSError) -> NoReturn:
    raise DataError(f"{printable(error.filename)}: {error.strerror}; give a readable folder of photos") from error
