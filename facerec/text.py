"""Words for people to read: names on one line and as they are compared, numbers of things."""

import unicodedata
from pathlib import Path

UNKNOWN = "unknown"
"""What is answered of a face that is nobody's; so nobody is called it."""
# What `printable` escapes: Unicode categories, and directional classes (LEFT-TO-RIGHT EMBEDDING and its like, UAX #9).
_UNSAFE = ("Cc", "Cs", "Zl", "Zp")
_TURNING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


def printable(path: Path | str) -> str:
    """`path` as one line that any terminal can show: control characters and undecodable bytes are escaped.

    So are the marks that turn the direction of writing, by which a line reads as what it is not; those that join or
    part letters, as some scripts need, stay.
    """
    return "".join(repr(c)[1:-1] if _is_unsafe(c) else c for c in str(path))


def _is_unsafe(character: str) -> bool:
    return unicodedata.category(character) in _UNSAFE or unicodedata.bidirectional(character) in _TURNING


def how_many(number: int, of: str, several: str = "") -> str:
    """A number of things, as in "1 face" and "2 faces"; `several`: their plural where it is no s, as in "people"."""
    return f"{number} {of if number == 1 else several or f'{of}s'}"


def same_form(name: str) -> str:
    """A name as names are compared (Unicode NFC): some file systems take accents apart."""
    return unicodedata.normalize("NFC", name)
