"""Which people and photos are trained on, and which are kept apart to judge by."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerec.datasets.photo_sets import NO_CONTENT, PhotoSet, read_lines
from facerec.errors import DataError
from facerec.text import how_many, printable, same_form


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
    lines = set(read_lines(path, "folder/person"))
    return {name for name in faces.names if same_form(f"{faces.root.name}/{name}") in lines}


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
    trained = set(train.hashes()) - {NO_CONTENT}
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
