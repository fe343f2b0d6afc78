"""Small text files that people write: lists and CSV. What is wrong with one is a DataError of one line."""

import csv
from collections.abc import Iterator
from pathlib import Path

from facerec.errors import DataError


def read_lines(path: Path, what: str) -> list[str]:
    """The lines of a UTF-8 file, without empty ones at its end; `what` it should be, as in 'a pairs file'.

    Raises DataError where it cannot be read or is no such text.
    """
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); give {what}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    if "\0" in text:
        raise DataError(f"{path}: not text (it holds a zero byte); give {what}")
    return text.rstrip().split("\n")


def csv_records(path: Path, lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """(line number, fields without blanks around them) of the records; empty lines are skipped.

    Raises DataError naming the line where the quotes are wrong.
    """
    reader = csv.reader(lines, strict=True)
    try:
        for fields in reader:
            if fields:
                yield reader.line_num, [field.strip() for field in fields]
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: not CSV ({error}); mend the quotes") from error
