"""Training data: identity folders of aligned crops, class folders of pictures, and how they are split."""

import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from facerec.errors import DataError, ImageError
from facerec.faces.mtcnn import Detector, faces_in_photos
from facerec.photos.reading import identity_folders, photo_hash
from facerec.text import how_many, printable, same_form
from facerec.types import Face

log = logging.getLogger(__name__)

Detected = Iterator[tuple[Path, list[Face] | ImageError]]

_NO_CONTENT = hashlib.sha256().hexdigest()
_MARK = ".facerec-crops"  # in a folder of crops made by align_folder


@dataclass(frozen=True, eq=False, slots=True)
class PhotoSet:
    """Photos of people or of classes: `paths` (N,), `labels` (N,) int64 into `names`, whose folders are in `root`."""

    root: Path
    names: tuple[str, ...]
    paths: tuple[Path, ...]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.paths)

    def keys(self) -> list[str]:
        """folder/person/file of every photo: how a teacher's file names them."""
        return [f"{self.root.name}/{path.relative_to(self.root).as_posix()}" for path in self.paths]

    def hashes(self) -> list[str]:
        """SHA-256 of every file's content, in hex; of what cannot be read, of nothing."""
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(_content_hash, self.paths))

    def fingerprint(self) -> str:
        """Changes when a photo comes, goes, is renamed or changes."""
        lines = map(" ".join, zip(self.hashes(), self.keys(), strict=True))
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:16]

    def only(self, names: Sequence[str]) -> "PhotoSet":
        """The photos of these people or classes, in the order of the names."""
        return _photo_set(self.root, {name: self.photos_of(name) for name in sorted(names)})

    def take(self, positions: NDArray[np.int64]) -> "PhotoSet":
        """The photos at these positions, under all the names there were."""
        return PhotoSet(self.root, self.names, tuple(self.paths[i] for i in positions), self.labels[positions])

    def photos_of(self, name: str) -> list[Path]:
        """The photos of one person or class."""
        label = self.names.index(name)
        return [self.paths[i] for i in np.flatnonzero(self.labels == label)]


def _photo_set(root: Path, folders: dict[str, list[Path]]) -> PhotoSet:
    labels = np.repeat(np.arange(len(folders), dtype=np.int64), [len(paths) for paths in folders.values()])
    return PhotoSet(root, tuple(folders), tuple(path for paths in folders.values() for path in paths), labels)


def _content_hash(path: Path) -> str:
    try:
        return photo_hash(path)
    except ImageError:  # named when it is to be read
        return _NO_CONTENT


def read_photos(folder: Path, exclude: Path | None = None) -> PhotoSet:
    """The identity or class folders under `folder` that hold photos, less those a list names (read_exclusions).

    Raises DataError when there are none.
    """
    root = folder.resolve()
    photos = _photo_set(root, {name: paths for name, paths in identity_folders(root).items() if paths})
    if exclude is None:
        return photos
    left_out, keys = read_exclusions(exclude), list(map(same_form, photos.keys()))
    crops = [key.removesuffix(".png") for key in keys]  # PHOTO.png, where align_folder made it of PHOTO
    _warn_of_unknown(exclude, left_out, {*keys, *crops})
    kept = [key not in left_out and crop not in left_out for key, crop in zip(keys, crops, strict=True)]
    photos = photos.take(np.flatnonzero(kept))
    if not len(photos):
        raise DataError(f"{printable(folder)}: {exclude} leaves no photo of it; shorten the list")
    return photos.only([photos.names[label] for label in np.unique(photos.labels)])


def _warn_of_unknown(path: Path, listed: set[str], known: set[str]) -> None:
    if unknown := sorted(listed - known):
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        log.warning("%s: names nothing that is there: %s%s", printable(path), printable(unknown[0]), more)


def read_exclusions(path: Path) -> set[str]:
    """The photos a text file lists as folder/person/file, a line each; `# ` begins a comment. Raises DataError."""
    return {line for line in _read_lines(path, "folder/person/file") if line and not line.startswith("# ")}


def split_people(faces: PhotoSet, splits: Path | None, seed: int) -> tuple[PhotoSet, PhotoSet]:
    """Training and validation photos, with no person in both.

    splits: a folder of lists `validation.txt`, `test.txt`, ... with one `folder/person` a line. Who is listed in
    validation.txt validates; who is listed in any other is left out. Without it a seeded tenth of the people
    validates (two at least). Raises DataError when either side has fewer than two people, or validation no two photos
    of one.
    """
    if splits is None:
        count = max(2, len(faces.names) // 10)
        validation = set(np.random.default_rng(seed).permutation(faces.names)[:count].tolist())
        left_out: set[str] = set()
    else:
        lists = {path.stem: _read_list(path, faces) for path in sorted(splits.glob("*.txt"))}
        if "validation" not in lists:
            raise DataError(f"{splits}: holds no validation.txt; list the validation people there, a line each")
        if not any(lists.values()):
            raise DataError(
                f"{splits}: its lists name nobody of {faces.root}; write {faces.root.name}/PERSON, a line each"
            )
        validation = lists.pop("validation")
        left_out = set().union(*lists.values())
    train = set(faces.names) - validation - left_out
    if len(train) < 2 or len(validation) < 2:
        raise DataError(
            f"{faces.root}: {how_many(len(train), 'person', 'people')} to train and {len(validation)} to validate on; "
            f"both need two or more: add people"
        )
    validation_faces = faces.only(sorted(validation))
    if np.bincount(validation_faces.labels).max() < 2:
        raise DataError(f"{faces.root}: nobody to validate on has two photos; add photos of {min(validation)}")
    return faces.only(sorted(train)), validation_faces


def _read_list(path: Path, faces: PhotoSet) -> set[str]:
    """Those of the people of `faces` whom a list names as folder/person."""
    lines = set(_read_lines(path, "folder/person"))
    return {name for name in faces.names if same_form(f"{faces.root.name}/{name}") in lines}


def _read_lines(path: Path, what: str) -> list[str]:
    try:
        return [same_form(line.strip()) for line in path.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no UTF-8"
        raise DataError(f"{printable(path)}: cannot be read ({reason}); give a text file, a {what} a line") from error


def split_classes(photos: PhotoSet, validation: PhotoSet | None, seed: int) -> tuple[PhotoSet, PhotoSet]:
    """Training and validation photos of the same classes.

    validation: the photos to validate on. Without them a seeded fifth of each class's photos validates
    (one at least). Raises DataError for fewer than two classes, a class of fewer than two photos, and photos to
    validate on that are of other classes, or trained on.
    """
    if len(photos.names) < 2:
        raise DataError(
            f"{photos.root}: holds one class, {', '.join(photos.names)}; give a folder for each of two or more"
        )
    if validation is not None:
        _require_unseen(photos, validation)
        return photos, _same_classes(validation, photos.names)
    rng = np.random.default_rng(seed)
    held_back: list[NDArray[np.int64]] = []
    for label, name in enumerate(photos.names):
        own = rng.permutation(np.flatnonzero(photos.labels == label))
        if len(own) < 2:
            raise DataError(
                f"{photos.root}: class {name} has one photo, and one to train and one to validate is needed"
            )
        held_back.append(own[: max(1, len(own) // 5)])
    chosen = np.sort(np.concatenate(held_back))
    return photos.take(np.setdiff1d(np.arange(len(photos)), chosen)), photos.take(chosen)


def _require_unseen(train: PhotoSet, validation: PhotoSet) -> None:
    """Raise DataError when a photo, whatever its name, is in both."""
    trained = set(train.hashes()) - {_NO_CONTENT}
    for path, content in zip(validation.paths, validation.hashes(), strict=True):
        if content in trained:
            raise DataError(f"{printable(path)}: is among the training photos; validate on others")


def _same_classes(photos: PhotoSet, names: tuple[str, ...]) -> PhotoSet:
    """The photos with their labels as places in `names`."""
    places = {same_form(name): place for place, name in enumerate(names)}
    foreign = [name for name in photos.names if same_form(name) not in places]
    if foreign:
        raise DataError(f"{photos.root}: class {foreign[0]} is not trained; trained are {', '.join(names)}")
    labels = np.array([places[same_form(name)] for name in photos.names], np.int64)[photos.labels]
    return PhotoSet(photos.root, names, photos.paths, labels)


def limit_names(photos: PhotoSet, count: int, seed: int) -> PhotoSet:
    """A seeded choice of `count` people or classes."""
    return photos.only(np.random.default_rng(seed).permutation(photos.names)[:count].tolist())


def align_folder(
    folder: Path, output: Path, detector: Detector, watch: Callable[[Detected, int], Detected] = lambda i, _: i
) -> tuple[Path, list[str]]:
    """Detect and align the photos in the identity folders of `folder`, for training; `detector` cuts 128x128 crops.

    The main face of each photo becomes output/FOLDER/PERSON/NAME.png; one that is there already and newer than its
    photo is kept, one whose photo is gone is deleted. `watch` is handed the photos as they are done, and how many
    there will be. Returns the folder of identity folders and one line for every photo that could not be used.
    Raises DataError when output/FOLDER holds anything that was not put there by this function, or photos to align.
    """
    source, target = folder.resolve(), output.resolve() / folder.resolve().name
    _claim(target, source)
    photos = [path for paths in identity_folders(source).values() for path in paths]
    crops = {path: target / path.relative_to(source).with_name(_crop_name(path)) for path in photos}
    for stale in set(target.glob("**/*.png")) - {crop for path, crop in crops.items() if _is_newer(crop, path)}:
        stale.unlink()
    todo = [path for path in photos if not crops[path].exists()]
    failures = []
    for path, faces in watch(faces_in_photos(todo, detector, 16), len(todo)):
        if isinstance(faces, ImageError) or not faces:
            failures.append(str(faces) if faces else f"{printable(path)}: no face found; left out of training")
            continue
        crops[path].parent.mkdir(parents=True, exist_ok=True)
        part = crops[path].with_suffix(".part")
        PIL.Image.fromarray(faces[0].crop).save(part, "PNG")
        part.replace(crops[path])
    return target, failures


def _claim(target: Path, source: Path) -> None:
    """Make `target` a folder of our crops, where stale ones may be deleted; raises DataError for any other folder."""
    if target.is_relative_to(source) or source.is_relative_to(target):
        raise DataError(f"{printable(target)}: the photos themselves are here; give another --output, or --aligned")
    if target.is_dir() and any(target.iterdir()) and not (target / _MARK).exists():
        raise DataError(f"{printable(target)}: holds files that are no crops of facerec's; give another --output")
    target.mkdir(parents=True, exist_ok=True)
    (target / _MARK).touch()


def _crop_name(photo: Path) -> str:
    """NAME.png, of a length that file systems take, with room for `.part`."""
    name = os.fsencode(photo.name)
    if len(name) <= 240:
        return photo.name + ".png"
    return f"{os.fsdecode(name[:200])}-{hashlib.sha256(name).hexdigest()[:16]}.png"


def _is_newer(crop: Path, photo: Path) -> bool:
    return crop.exists() and photo.exists() and crop.stat().st_mtime_ns >= photo.stat().st_mtime_ns
