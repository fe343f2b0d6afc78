"""Which names of people, notes and last days a gallery takes."""

import unicodedata
from datetime import date

from facerec.errors import GalleryError
from facerec.text import UNKNOWN, printable, same_form

MAX_NAME = 200  # characters


MAX_NOTE = 2000  # characters


_WITHOUT = " without control characters, and marks that turn the direction of writing"


def clean_name(name: str) -> str:
    """Return a person's name as galleries keep it: stripped, NFC. Raises GalleryError for one that is unfit."""
    clean = same_form(name).strip()
    if not _plain(clean) or not _visible(clean) or len(clean) > MAX_NAME:
        raise GalleryError(f"{clean[:40]!a} is no name for a person; give 1 to {MAX_NAME} characters{_WITHOUT}")
    if clean.casefold() == UNKNOWN:
        raise GalleryError(f"{clean!a} is what strangers are answered, no name for a person; give another")
    return clean


def clean_note(note: str) -> str | None:
    """Return a note as galleries keep it: stripped, None for an empty one. GalleryError for one that is unfit."""
    clean = note.strip()
    if not _plain(clean) or len(clean) > MAX_NOTE:
        raise GalleryError(f"{clean[:40]!a} is no note; give one line of at most {MAX_NOTE} characters{_WITHOUT}")
    return clean or None


def clean_day(day: str) -> str | None:
    """Return a day as galleries keep it, YYYY-MM-DD, None for an empty one. GalleryError for what is none."""
    try:
        if not day or date.fromisoformat(day).isoformat() == day:
            return day or None
    except ValueError:
        pass
    raise GalleryError(f"{day[:40]!a} is no day; give it as YYYY-MM-DD")


def _plain(text: str) -> bool:
    return printable(text) == text


def _visible(text: str) -> bool:
    """Whether there is anything to be seen of it: more than spaces, and marks that join or part letters."""
    return any(unicodedata.category(letter)[0] not in "CZ" for letter in text)
