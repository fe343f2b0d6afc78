"""Text for people to read: names on one line, names in the form in which they are compared, and counts of things."""

import unicodedata
from pathlib import Path

UNKNOWN = "unknown"
"""The answer for a face of nobody enrolled. So no person may have this name."""
# `printable` escapes these Unicode categories and directional classes (LEFT-TO-RIGHT EMBEDDING and similar, UAX #9).
_UNSAFE = ("Cc", "Cs", "Zl", "Zp")
_TURNING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


def printable(path: Path | str) -> str:
    """Return `path` as one line that any terminal can show.

    Escapes control characters, undecodable bytes, and marks that change the direction of writing, because such marks
    make a line read as something else. Marks that join or separate letters stay: some scripts need them.
    """
    return "".join(repr(c)[1:-1] if _is_unsafe(c) else c for c in str(path))


def _is_unsafe(character: str) -> bool:
    return unicodedata.category(character) in _UNSAFE or unicodedata.bidirectional(character) in _TURNING


def how_many(number: int, of: str, several: str = "") -> str:
    """Return a count of things, as in "1 face" and "2 faces". several: a plural without s, as in "people"."""
    return f"{number} {of if number == 1 else several or f'{of}s'}"


def same_form(name: str) -> str:
    """Return a name in the form in which names are compared (Unicode NFC): some file systems separate accents."""
    return unicodedata.normalize("NFC", name)
