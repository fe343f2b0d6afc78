"""Paths on the command line: a mistyped one is refused as it is parsed, before anything heavy is imported.

The messages are the library's, as far as it has one for the same fault.
"""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import click

from facerec.errors import DataError, ImageError
from facerec.gallery.address import Place, is_address, place_of
from facerec.gallery.layout import require_gallery
from facerec.models.names import NAMES
from facerec.models.places import model_path, require_layers
from facerec.photos.folders import require_folder
from facerec.photos.photo_files import opened
from facerec.photos.video_files import host_of, require_source, source_of
from facerec.text import printable


class FilePath(click.Path):
    """A path; "" is refused, for it would be the present folder: so a shell writes a variable that is not set.

    check: raises a FacerecError for a path that cannot be used.
    """

    def __init__(self, check: Callable[[Path], object] = lambda path: None) -> None:
        super().__init__(path_type=Path, readable=False)  # the library says it of each photo, and the rest is done
        self._check = check

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path. Fails (exit code 2) if it is empty, or the address of a stream, which may hold a password."""
        if source_of(str(value)).kind == "stream":
            self.fail(f"{host_of(str(value))} is a stream, not a file; facerec watch takes streams", param, ctx)
        path: Any = super().convert(value, param, ctx) if str(value) else self.fail("an empty name", param, ctx)
        self._check(path)
        return path


class GalleryPlace(FilePath):
    """Where a gallery is: a path, or an address on a server.

    check: as for a path; it is given the address, too.
    """

    def __init__(self, check: Callable[[Place], object] = lambda place: None) -> None:
        super().__init__(check)
        self._require = check

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Place:
        """The path or the address. An address is never shown: it may hold a password."""
        if not is_address(value):
            return super().convert(value, param, ctx)
        place = place_of(value)
        self._require(place)
        return place


class ModelName(click.ParamType):
    """What names a model, or something else that is not always a path. It is returned as it is typed.

    check: raises a FacerecError where there is no such thing. others: names that need no check.
    """

    name = "text"

    def __init__(self, check: Callable[[str], object], others: Collection[str] = ()) -> None:
        self._check, self._others = check, others

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The text."""
        if value not in self._others:
            self._check(value)
        return value


def require_photo(path: Path) -> None:
    """Raise ImageError for a photo that cannot be opened."""
    with opened(path):
        pass


def unopened(photos: Sequence[Path]) -> list[ImageError]:
    """Return why none of the photos can be opened; nothing if one can, for then the others are named as they come."""
    errors = []
    for photo in photos:
        try:
            require_photo(photo)
        except ImageError as error:
            errors.append(error)
        else:
            return []
    return errors


def _require_file(path: Path) -> None:
    """Raise DataError where there is nothing; the library says it of what is no file, or cannot be read."""
    try:
        path.stat()
    except FileNotFoundError as error:
        raise DataError(f"{printable(path)}: no such file; check the name") from error
    except (OSError, ValueError):
        pass


def file_or(*others: str) -> ModelName:
    """The type of an option that names a file or a folder, or is one of these words."""
    return ModelName(lambda name: _require_file(Path(name)), others)


PATH = FilePath()  # to write to, or one of several photos: those that are there are used
PHOTO = FilePath(require_photo)
FOLDER = FilePath(require_folder)
FILE = FilePath(_require_file)
FOLDER_NAME = ModelName(lambda name: require_folder(Path(name)))
GALLERY = GalleryPlace(require_gallery)
NEW_GALLERY = GalleryPlace()
MODEL = ModelName(model_path)
MODEL_OR_BACKBONE = ModelName(model_path, NAMES)
LAYERS = ModelName(require_layers)
SOURCE = ModelName(require_source)
