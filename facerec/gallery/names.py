"""The names of people, consent notes and last days that a gallery accepts."""

import unicodedata
from datetime import date

from facerec.errors import UnfitValueError
from facerec.text import UNKNOWN, printable, same_form

MAX_NAME = 200  # characters
MAX_NOTE = 2000  # characters
_WITHOUT = " without control characters or marks that change the direction of writing"


def clean_name(name: str) -> str:
    """Return a person's name as galleries store it: stripped, NFC. UnfitValueError if the name is unfit."""
    clean = same_form(require_text(name)).strip()
    if fault := _name_fault(clean):
        raise UnfitValueError(f"{clean[:40]!a} cannot be a person's name: {fault}")
    if clean.casefold() == UNKNOWN:
        raise UnfitValueError(f"{clean!a} is the answer for strangers, not a person's name; give another")
    return clean


def _name_fault(clean: str) -> str:
    """Say what is wrong with a name, and what would be right; "" if nothing is."""
    if any("\ud800" <= letter <= "\udfff" for letter in clean):  # how Python reads bytes of a folder's name
        return "it is not UTF-8; give it in UTF-8"
    if len(clean) > MAX_NAME:
        return f"it has {len(clean)} characters; give at most {MAX_NAME}"
    if not _plain(clean) or not _visible(clean):
        return f"give 1 to {MAX_NAME} characters{_WITHOUT}"
    return ""


def require_text(name: str) -> str:
    """Return the name that a program gives; UnfitValueError if it is no text."""
    if not isinstance(name, str):
        raise UnfitValueError(f"{name!a:.40} cannot be a person's name; give a text")
    return name


def clean_note(note: str) -> str | None:
    """Return a consent note as galleries store it: stripped, None if empty. UnfitValueError if the note is unfit."""
    clean = note.strip()
    if not _plain(clean) or len(clean) > MAX_NOTE:
        raise UnfitValueError(
            f"{clean[:40]!a} is not a usable note; give one line of at most {MAX_NOTE} characters{_WITHOUT}"
        )
    return clean or None


def clean_day(day: str) -> str | None:
    """Return a day as galleries store it: YYYY-MM-DD, None if empty. UnfitValueError if the text is not such a day."""
    try:
        if not day or date.fromisoformat(day).isoformat() == day:
            return day or None
    except ValueError:
        pass
    raise UnfitValueError(f"{day[:40]!a} is not a day; give it as YYYY-MM-DD")


def _plain(text: str) -> bool:
    return printable(text) == text


def _visible(text: str) -> bool:
    """Whether the text has a visible character: not only spaces, control characters and invisible joiners."""
    return any(unicodedata.category(letter)[0] not in "CZ" for letter in text)
