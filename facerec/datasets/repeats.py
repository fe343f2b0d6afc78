"""Photos that an epoch shows several times: a CSV `photo,times` or `person,times` (see `attributes` for its form)."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facerec.datasets.attributes import NOUNS, Attribute, read_attribute
from facerec.datasets.batches import Copies
from facerec.datasets.photo_sets import PhotoSet
from facerec.errors import DataError
from facerec.text import how_many

log = logging.getLogger(__name__)

MOST = 1000


def read_repeats(path: Path) -> Attribute:
    """Read how often photos are shown, as text; DataError names the file and what is wrong."""
    repeats = read_attribute(path)
    for name, times in repeats.table.items():
        if not (times.isascii() and times.isdigit() and 1 <= int(times) <= MOST):
            raise DataError(f"{path}: {name} is shown {times} times; write a whole number from 1 to {MOST}")
    return repeats


def repeat_photos(train: PhotoSet, unlabelled: PhotoSet, repeats: Attribute | None) -> tuple[PhotoSet, PhotoSet]:
    """Return both sets, with each photo as many times as `repeats` says, or else once.

    Names that mean no photo of either are logged. DataError if all names are such.
    """
    if repeats is None:
        return train, unlabelled
    every = [*train.within(), *unlabelled.within()]
    if strays := repeats.strays(every):
        are = "that is" if len(strays) == 1 else "that are"
        counted = how_many(len(strays), repeats.of, NOUNS[repeats.of])
        told = f"{repeats.path}: names {counted} {are} not trained on, the first {strays[0]}"
        if len(strays) == len(repeats.table):
            raise DataError(f"{told}; write {NOUNS[repeats.of]} of the folder, as in Ann Lee or Ann Lee/1.jpg")
        log.warning("%s", told)
    times = np.array([int(value or 1) for value in repeats.find(every)], np.int64)
    parts = zip((train, unlabelled), np.split(times, [len(train)]), strict=True)
    first, second = (photos.take(np.repeat(np.arange(len(photos)), own)) for photos, own in parts)
    return first, second


def copies_of(paths: Sequence[Path]) -> Copies:
    """Return for each of N photos which copy of its path it is, from 0, and how many there are."""
    counts, met, number = Counter(paths), Counter[Path](), []
    for path in paths:
        number.append(met[path])
        met[path] += 1
    return Copies(np.array(number, np.int64), np.array([counts[path] for path in paths], np.int64))
