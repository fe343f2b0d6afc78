"""Splitting people and photos into those for training and those for validation."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerec.datasets.photo_sets import NO_CONTENT, PhotoSet
from facerec.datasets.text_files import read_list
from facerec.errors import DataError
from facerec.text import how_many, printable, same_form


def split_people(faces: PhotoSet, splits: Path | None, seed: int) -> tuple[PhotoSet, PhotoSet]:
    """Return training photos and validation photos, with no person in both.

    splits: a folder of lists `validation.txt`, `test.txt`, ... with one `folder/person` a line. The people of
    validation.txt are for validation; those of the other lists are left out. Without `splits`, a seeded tenth of the
    people, at least two, is for validation. DataError if either side has fewer than two people, or no validation person
    has two photos.
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
        raise DataError(f"{faces.root}: no validation person has two photos; add photos of {min(validation)}")
    return faces.only(sorted(train)), validation_faces


def _read_list(path: Path, faces: PhotoSet) -> set[str]:
    """Return the people of `faces` whom a list names as folder/person."""
    lines = set(read_list(path, "folder/person"))
    return {name for name in faces.names if same_form(f"{faces.root.name}/{name}") in lines}


def split_classes(photos: PhotoSet, validation: PhotoSet | None, seed: int) -> tuple[PhotoSet, PhotoSet]:
    """Return training photos and validation photos of the same classes.

    validation: the photos to validate on. Without them, a seeded fifth of each class's photos, at least one, is for
    validation. DataError for fewer than two classes or a class with fewer than two photos; also for validation photos
    that are of other classes or are trained on.
    """
    if len(photos.names) < 2:
        raise DataError(
            f"{photos.root}: holds one class, {', '.join(photos.names)}; give a folder for each of two or more"
        )
    if validation is not None:
        require_unseen(photos, validation)
        return photos, _same_classes(validation, photos.names)
    rng = np.random.default_rng(seed)
    held_back: list[NDArray[np.int64]] = []
    for label, name in enumerate(photos.names):
        own = rng.permutation(np.flatnonzero(photos.labels == label))
        if len(own) < 2:
            raise DataError(
                f"{photos.root}: class {name} has one photo and needs two, one to train and one to validate on; add one"
            )
        held_back.append(own[: max(1, len(own) // 5)])
    chosen = np.sort(np.concatenate(held_back))
    return photos.take(np.setdiff1d(np.arange(len(photos)), chosen)), photos.take(chosen)


def require_unseen(train: PhotoSet, validation: PhotoSet) -> None:
    """Raise DataError if a photo's content is in both sets, whatever its name."""
    trained = set(train.hashes()) - {NO_CONTENT}
    for path, content in zip(validation.paths, validation.hashes(), strict=True):
        if content in trained:
            raise DataError(f"{printable(path)}: is among the training photos; validate on others")


def _same_classes(photos: PhotoSet, names: tuple[str, ...]) -> PhotoSet:
    """Return the photos with labels that are places in `names`; DataError for a class that is not in `names`."""
    places = {same_form(name): place for place, name in enumerate(names)}
    foreign = [name for name in photos.names if same_form(name) not in places]
    if foreign:
        raise DataError(f"{photos.root}: class {foreign[0]} is not trained; trained are {', '.join(names)}")
    labels = np.array([places[same_form(name)] for name in photos.names], np.int64)[photos.labels]
    return PhotoSet(photos.root, names, photos.paths, labels)


def limit_names(photos: PhotoSet, count: int, seed: int) -> PhotoSet:
    """Return the photos of `count` people or classes, chosen at random by `seed`."""
    return photos.only(np.random.default_rng(seed).permutation(photos.names)[:count].tolist())
