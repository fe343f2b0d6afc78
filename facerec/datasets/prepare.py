"""From raw photos to aligned training crops in another folder."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from facerec.errors import DataError, ImageError
from facerec.faces.detector import Detector, PhotoFaces, faces_in_photos
from facerec.files import write_bytes
from facerec.photos.crops import encode_png
from facerec.photos.folders import OWN, identity_folders
from facerec.text import printable

Detected = Iterator[PhotoFaces]

_MARK = f"{OWN}crops"  # an empty file that marks a folder of crops made by `align_folder`


def align_folder(
    folder: Path,
    output: Path,
    detector: Detector,
    watch: Callable[[Detected, int], Detected] = lambda i, _: i,
    photos: Sequence[Path] | None = None,
) -> tuple[Path, list[str]]:
    """Detect and align `photos` below `folder`, or all in its identity folders, for training.

    The main face of each photo becomes output/FOLDER/PERSON/NAME.png. A crop newer than its photo is kept; a crop
    whose photo is gone is deleted. detector: must cut 128x128 crops. watch: passes on the photos as they are done, and
    is told how many there will be; for a progress bar. Returns output/FOLDER, and one line for every photo that could
    not be used. DataError if output/FOLDER holds files that this function did not make, or the photos themselves.
    """
    source, target = folder.resolve(), output.resolve() / folder.resolve().name
    if photos is None:
        photos = [path for paths in identity_folders(source).values() for path in paths]
    _claim(target, source)
    crops = {path: target / path.relative_to(source).with_name(_crop_name(path)) for path in photos}
    for stale in set(target.glob("**/*.png")) - {crop for path, crop in crops.items() if _is_newer(crop, path)}:
        stale.unlink()
    todo = [path for path in photos if not crops[path].exists()]
    failures = []
    for path, faces, _ in watch(faces_in_photos(todo, detector, 16), len(todo)):
        if isinstance(faces, ImageError) or not faces:
            failures.append(str(faces) if faces else f"{printable(path)}: no face found; left out of training")
            continue
        crops[path].parent.mkdir(parents=True, exist_ok=True)
        write_bytes(crops[path], encode_png(faces[0].crop))
    return target, failures


def _claim(target: Path, source: Path) -> None:
    """Mark `target` as a folder of crops, where stale ones may be deleted; DataError if it holds anything else."""
    if target.is_relative_to(source) or source.is_relative_to(target):
        raise DataError(f"{printable(target)}: the photos themselves are here; give another `output`, or `aligned`")
    if target.is_dir() and any(target.iterdir()) and not (target / _MARK).exists():
        raise DataError(f"{printable(target)}: holds files that facerec did not make; give another `output`")
    target.mkdir(parents=True, exist_ok=True)
    (target / _MARK).touch()


def _crop_name(photo: Path) -> str:
    """Return NAME.png, shortened to what file systems allow, with room for `.draft`."""
    name = os.fsencode(photo.name)
    if len(name) <= 240:
        return photo.name + ".png"
    return f"{os.fsdecode(name[:200])}-{hashlib.sha256(name).hexdigest()[:16]}.png"


def _is_newer(crop: Path, photo: Path) -> bool:
    return crop.exists() and photo.exists() and crop.stat().st_mtime_ns >= photo.stat().st_mtime_ns
