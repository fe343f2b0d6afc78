"""Small text files that people write: lists and CSV. Every fault in them is a DataError of one line."""

import csv
from collections.abc import Iterator
from pathlib import Path

from facerec.errors import DataError
from facerec.files import may_name_a_file
from facerec.text import printable, same_form


def read_lines(path: Path, what: str) -> list[str]:
    """Return the lines of a UTF-8 file, without empty lines at its end.

    what: the kind of file for the message, as in "a CSV of groups". DataError if it cannot be read or is not text.
    """
    if not may_name_a_file(path):
        raise DataError(f"{printable(path)}: no file has such a name; give {what}")
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
    """Yield (line number, fields) for each record, the fields stripped. Empty lines are skipped.

    DataError names the line where the quotes are wrong.
    """
    reader = csv.reader(lines, strict=True)
    try:
        for fields in reader:
            if fields:
                yield reader.line_num, [field.strip() for field in fields]
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: not CSV ({error}); mend the quotes") from error


def read_list(path: Path, what: str) -> list[str]:
    """Return the lines of a UTF-8 file, stripped and in Unicode NFC. what: the content of a line, for the message."""
    try:
        return [same_form(line.strip()) for line in path.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise DataError(f"{printable(path)}: cannot be read ({reason}); give a text file, one {what} a line") from error
