"""Pairs files, which list photos to compare: LFW's `pairs.txt` and CSV."""

import posixpath
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from facerec.datasets.text_files import csv_records, read_lines
from facerec.errors import DataError
from facerec.text import printable, same_form

LABELS = {"1": True, "true": True, "0": False, "false": False}

Pair = tuple[str, str, bool, int | None]  # photo, photo, same person, fold


@dataclass(frozen=True, eq=False, slots=True)
class Pairs:
    """N pairs of photos to compare.

    a, b: photo paths relative to the images' folder, with `/`. same: (N,) bool, whether both show one person.
    fold: (N,) int64, or None if the file has no folds.
    """

    a: tuple[str, ...]
    b: tuple[str, ...]
    same: NDArray[np.bool_]
    fold: NDArray[np.int64] | None

    @property
    def photos(self) -> list[str]:
        """Every photo of the pairs once, sorted."""
        return sorted({*self.a, *self.b})


def read_pairs(path: Path) -> Pairs:
    """Read LFW's `pairs.txt` or a CSV of pairs; DataError names the file, the line and the remedy.

    LFW: the first line `10 300` gives the number of folds and of pairs of each kind per fold (`300` alone: no folds).
    Each fold lists its genuine pairs `Name 1 4`, then its impostor pairs `A 1 B 2`. Photo 1 of `Name` is
    `Name/Name_0001.jpg`. Tabs separate the fields, or spaces in a line without tabs.
    CSV: a header `a,b,same` or `a,b,same,fold`. Paths are relative to the images' folder. `same` is 1, 0, true or
    false. `fold` is a whole number.
    """
    lines = read_lines(path, "LFW's pairs.txt or a CSV of pairs")
    first = lines[0].split()
    rows = list(_lfw_rows(path, lines) if first and all(map(_is_number, first)) else _csv_rows(path, lines))
    if not rows:
        raise DataError(f"{path}: no pairs in it; add lines below the first")
    a, b, same, fold = zip(*rows, strict=True)
    if fold[0] is not None and len(set(fold)) == 1:
        raise DataError(f"{path}: all pairs are in fold {fold[0]}; give two or more folds, or none")
    return Pairs(a, b, np.array(same, np.bool_), None if fold[0] is None else np.array(fold, np.int64))


def person_of(photo: str) -> str:
    """Return the person a photo shows: its folder, or the photo's own name if it is in none."""
    return photo.rpartition("/")[0] or photo


def require_two_photos(pairs: Pairs, paths: Mapping[str, Path], file: Path) -> None:
    """Raise DataError if two names of a pair are one photo's, or two pairs are of the same photos under other names.

    paths: where the photos are. file: the pairs file.
    """
    first: dict[frozenset[Path], tuple[str, str]] = {}
    for pair in zip(pairs.a, pairs.b, strict=True):
        photos, said = frozenset(paths[name] for name in pair), " and ".join(map(printable, pair))
        if len(photos) == 1:
            raise DataError(f"{file}: {said} are one photo, {printable(paths[pair[0]])}; name two photos")
        if (other := first.setdefault(photos, pair)) != pair:
            raise DataError(
                f"{file}: {said} are the same photos as {' and '.join(map(printable, other))}; leave one out"
            )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


def _numbered(path: Path, rows: Iterator[tuple[int, list[str]]], parse: Callable[[list[str]], Pair]) -> Iterator[Pair]:
    """Parse (line number, fields); turn a ValueError into a DataError that names the file and the line.

    No photo may be paired with itself, and no pair may stand twice, whichever photo comes first: it would count twice.
    """
    lines: dict[frozenset[str], int] = {}  # pair -> its line
    for number, fields in rows:
        try:
            row = parse(fields)
            pair = frozenset(map(same_form, row[:2]))
            if len(pair) == 1:
                raise ValueError(f"photo {row[0]} is paired with itself; name two photos")
            if (first := lines.setdefault(pair, number)) != number:
                raise ValueError(f"{row[0]} and {row[1]} are also the pair of line {first}; leave one of the lines")
        except ValueError as error:
            raise DataError(f"{path}, line {number}: {error}") from error
        yield row


def _lfw_rows(path: Path, lines: list[str]) -> Iterator[Pair]:
    """Yield the rows of LFW's format; each fold must have as many genuine and impostor pairs as the header says."""
    header = [int(field) for field in lines[0].split()]
    if len(header) > 2 or 0 in header:
        raise DataError(f"{path}, line 1: '{lines[0].strip()}'; write the folds and the pairs per fold, as in '10 300'")
    folds, each = header if len(header) == 2 else (1, header[0])
    if len(lines) - 1 != folds * 2 * each:
        raise DataError(
            f"{path}, line 1: promises {folds} x {each} genuine and impostor pairs, {folds * 2 * each} lines, but "
            f"{len(lines) - 1} follow; correct it or get the whole file"
        )
    numbered = ((number, _fields(line)) for number, line in enumerate(lines[1:], start=2))
    for i, (a, b, same, _) in enumerate(_numbered(path, numbered, _lfw_row)):
        fold, place = divmod(i, 2 * each)
        if same != (place < each):
            wanted = "genuine, 'Name 1 4'" if place < each else "impostor, 'A 1 B 2'"
            raise DataError(f"{path}, line {i + 2}: must be {wanted}; a fold is {each} genuine, then {each} impostor")
        yield a, b, same, fold if len(header) == 2 else None


def _fields(line: str) -> list[str]:
    return [field.strip() for field in line.split("\t")] if "\t" in line.strip() else line.split()


def _lfw_row(fields: list[str]) -> Pair:
    """Parse `Name 1 4` or `A 1 B 2`; ValueError says what is wrong."""
    match fields:
        case [name, first, second]:
            return _lfw_photo(name, first), _lfw_photo(name, second), True, None
        case [name, first, other, second] if name == other:
            raise ValueError(f"{name} against {other} as different people; write '{name} {first} {second}' if same")
        case [name, first, other, second]:
            return _lfw_photo(name, first), _lfw_photo(other, second), False, None
    raise ValueError(f"{len(fields)} fields; write 'Name 1 4' (same person) or 'A 1 B 2' (different people)")


def _lfw_photo(name: str, number: str) -> str:
    if not name or "/" in name:
        raise ValueError(f"'{name}' is not a folder name; write the person's name")
    if not _is_number(number) or int(number) == 0:
        raise ValueError(f"photo number '{number}' of {name}; write a whole number from 1")
    return f"{name}/{name}_{int(number):04d}.jpg"


def _csv_rows(path: Path, lines: list[str]) -> Iterator[Pair]:
    """Yield the rows of the CSV format; empty lines are skipped."""
    records = csv_records(path, lines)
    columns = next(records, (0, []))[1]
    if sorted(columns) not in (["a", "b", "same"], ["a", "b", "fold", "same"]):
        raise DataError(f"{path}, line 1: neither LFW's '10 300' nor a CSV header; write 'a,b,same' or 'a,b,same,fold'")

    def parse(fields: list[str]) -> Pair:
        if len(fields) != len(columns):
            raise ValueError(f"{len(fields)} fields; write {len(columns)}: {','.join(columns)}")
        return _csv_row(dict(zip(columns, fields, strict=True)))

    return _numbered(path, records, parse)


def _csv_row(values: dict[str, str]) -> Pair:
    """Parse one record (column -> text); ValueError says what is wrong."""
    if values["same"].lower() not in LABELS:
        raise ValueError(f"same is '{values['same']}'; write 1 or true for one person, 0 or false for two")
    fold = values.get("fold")
    if fold is not None and not _is_number(fold):
        raise ValueError(f"fold is '{fold}'; write a whole number")
    a, b = _csv_photo(values["a"]), _csv_photo(values["b"])
    return a, b, LABELS[values["same"].lower()], None if fold is None else int(fold)


def _csv_photo(text: str) -> str:
    photo = PurePosixPath(text)
    if not text or photo.is_absolute():
        raise ValueError(f"photo '{text}'; write a path relative to the folder of images")
    return posixpath.normpath(photo)
