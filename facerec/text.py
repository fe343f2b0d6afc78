"""Text for people to read: names on one line, names in the form in which they are compared, and counts of things."""

import functools
import itertools
import re
import shlex
import unicodedata
from itertools import permutations
from pathlib import Path
from typing import Any, ClassVar

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


def clock(seconds: float) -> str:
    """Return a time of a video as hours, minutes and seconds: "0:07.4", "1:02:07.4"."""
    tenths = round(10 * seconds)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}:{minutes:02}" if hours else f"{minutes}") + f":{tenths / 10:04.1f}"


def gallery_command(verb: str, *names: str, photo: str | None = None) -> str:
    """Return a command of `facerec gallery` for messages: it works when it is pasted into a shell, whatever the names.

    verb: with its options. photo: what --photo gets. A name that begins with a dash comes last, after `--`.
    """
    option = [] if photo is None else ["--photo", photo]
    dashed = any(name.startswith("-") for name in names)
    words = [*option, "--", *names] if dashed else [*names, *option]
    return f"`facerec gallery {verb} {shlex.join(map(printable, words))}`"


def two_people_command(one: str, other: str, forget: bool = False) -> str:
    """Return the command that says that two people are two. forget: that takes it back."""
    return gallery_command("not-same --forget --people" if forget else "not-same --people", one, other)


def main_of_several(faces: int, use: str) -> tuple[str, ...]:
    """Return the remark that only the main face of a photo is used; nothing if it has one. use: as in "is compared"."""
    return (f"has {faces} faces; the main one {use}",) if faces > 1 else ()


def same_form(name: str) -> str:
    """Return a name in the form in which names are compared (Unicode NFC): some file systems separate accents."""
    return unicodedata.normalize("NFC", name)


def same_name(one: str, other: str) -> bool:
    """Whether two names are spellings of one: `Ann Lee`, `ann_lee`, `LEE, Ánn` and `AnnLee`, but not `Lena` and `Neal`.

    They may differ in case, accents, blanks, punctuation and the order of words; ä and ae are a.
    """
    return not written(one).isdisjoint(written(other))


@functools.lru_cache(maxsize=1 << 16)
def written(name: str) -> frozenset[str]:
    """Return a name's words without case, accents and blanks, in each order, then its numbers in their own order.

    Two names have one of these in common if and only if they are spellings of one. Of a name of more than four words,
    the orders are its own and that of the alphabet. A name of neither letters nor digits is as it stands.
    """
    words, numbers = _parts(name)
    orders = permutations(words) if len(words) <= 4 else (words, sorted(words))
    return frozenset(" ".join(filter(None, ["".join(order), *numbers])) or name for order in orders)


@functools.lru_cache(maxsize=1 << 16)  # the names of a gallery are compared again and again
def name_key(name: str) -> str:
    """Return a text that is the same for all spellings of a name (`same_name`), and for few other names: to look up.

    It is made of the name's letters, in the order of the alphabet, and of its numbers as they stand: these tell people
    apart. A name of neither letters nor digits is its own key.
    """
    words, numbers = _parts(name)
    return " ".join(filter(None, ["".join(sorted("".join(words))), *numbers])) or name


def _parts(name: str) -> tuple[list[str], list[str]]:
    """Return the words of a name, and its numbers."""
    words = _words(name)
    return [word for word in words if not word.isdecimal()], [word for word in words if word.isdecimal()]


_LONG = re.compile("([aou])e|(a)a")  # ä, ö, ü and å where they cannot be typed
_LIGATURES = {"æ": "ae", "œ": "oe", "Æ": "ae", "Œ": "oe", "\N{LATIN SMALL LETTER DOTLESS I}": "i"}


def _words(name: str) -> list[str]:
    """Return the words and numbers of a name, without case and accents."""
    plain = name if name.isascii() else "".join(map(_plain_letter, unicodedata.normalize("NFKD", name)))
    return [_LONG.sub(r"\1\2", "".join(word)) for kind, word in itertools.groupby(plain.casefold(), _kind) if kind]


def _kind(letter: str) -> str:
    """Return "digit", "letter" (also for a vowel sign, which is a mark in Indian and Thai writing), or ""."""
    if letter.isdecimal():
        return "digit"
    return "letter" if letter.isalnum() or unicodedata.category(letter).startswith("M") else ""


def _plain_letter(letter: str) -> str:
    """Return a letter without its accents; "" for an accent or an invisible joiner."""
    if unicodedata.category(letter) == "Cf" or _may_be_left_out(letter):
        return ""
    if letter in _LIGATURES:
        return _LIGATURES[letter]
    try:
        return unicodedata.lookup(unicodedata.name(letter, "").split(" WITH ")[0])  # ø does not fall apart in NFKD
    except KeyError:
        return letter


def _may_be_left_out(letter: str) -> bool:
    """Return whether a letter is an accent, a Hebrew or Arabic point, or a variation selector.

    By their canonical combining class (UAX 44). Vowel signs, viramas and tone marks of Indian and Thai writing and the
    voicing marks of Japanese have others: names differ by them.
    """
    place = unicodedata.combining(letter)
    return place == 1 or 10 <= place <= 35 or place >= 200 or "VARIATION SELECTOR" in unicodedata.name(letter, "")


class Brief:
    """A dataclass that prints as one short line; pixels, vectors and long lists show only their size.

    A class may have a better `__str__` of its own. Its decorator needs `repr=False`.
    """

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __str__(self) -> str:
        facts = ((name, getattr(self, name)) for name in self.__dataclass_fields__)
        return ", ".join(f"{name} {_brief(fact)}" for name, fact in facts if not _is_nothing(fact))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({_cut(printable(str(self)), 160)})"


def _is_nothing(fact: object) -> bool:
    return fact is None or (isinstance(fact, str | tuple) and not fact)


def _brief(fact: object) -> str:
    shape = getattr(fact, "shape", None)
    if shape is not None:
        return f"of {'x'.join(map(str, shape))}"
    if isinstance(fact, Brief):
        return type(fact).__name__
    if isinstance(fact, tuple | list | dict) and (len(fact) > 4 or not all(isinstance(x, int | float) for x in fact)):
        return f"of {len(fact)}"
    if isinstance(fact, tuple):
        return f"({', '.join(map(_brief, fact))})"
    return f"{fact:.4g}" if isinstance(fact, float) else _cut(printable(str(fact)), 60)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
