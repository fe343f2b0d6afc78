"""Writing the groups of an album as folders of links, which is the output of `facerec cluster`."""

import os
from pathlib import Path

import numpy as np

from facerec.albums.album import FaceAlbum
from facerec.albums.clustering import Grouping
from facerec.errors import DataError
from facerec.photos.folders import OWN, require_outside
from facerec.text import printable

_NAME = 60  # characters kept of a photo's name: at most 240 bytes, and file systems allow 255


def ready_output(output: Path, folder: Path) -> None:
    """Make the folder `output`, or check that it is empty, before the long work.

    ConfigError if `output` is in the album, because its links would be photos of the album. DataError if it is not
    empty or links cannot be made there.
    """
    require_outside(output, [folder])
    trial = output / f"{OWN}{os.getpid()}"
    try:
        if os.path.lexists(output) and next(os.scandir(output), None) is not None:
            raise DataError(f"{printable(output)}: is not empty; give another `output`, or remove it")
        output.mkdir(parents=True, exist_ok=True)
        trial.symlink_to("nowhere")  # some file systems do not support links
        trial.unlink()
    except OSError as error:
        raise _unfit(output, error) from error


def write_links(album: FaceAlbum, grouping: Grouping, output: Path) -> None:
    """Make a folder for each group in `output` (`group 001` is the first), with a relative link to each of its photos.

    DataError if they cannot be made.
    """
    width = max(3, len(str(grouping.groups)))
    try:
        output.mkdir(parents=True, exist_ok=True)
        for number in range(1, grouping.groups + 1):
            folder = output / f"group {number:0{width}}"
            folder.mkdir()
            for place, i in enumerate(np.flatnonzero(grouping.labels == number), 1):
                photo = album.faces[i].path
                target = Path(os.path.realpath(photo.parent), photo.name)
                name = f"{place:04} {printable(photo.name)[-_NAME:]}"
                os.symlink(os.path.relpath(target, os.path.realpath(folder)), folder / name)
    except OSError as error:
        raise _unfit(output, error) from error


def _unfit(output: Path, error: OSError) -> DataError:
    return DataError(f"{printable(output)}: links cannot be made there ({error.strerror}); give another `output`")
