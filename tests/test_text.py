"""words.py: names are one line to read, and numbers say of how many they are."""

import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from facerec.text import how_many, printable


@settings(deadline=None)
@given(st.text())
def test_printable_is_one_line_and_leaves_letters_alone(text: str) -> None:
    shown = printable(text)
    assert len(shown.splitlines()) <= 1
    shown.encode()
    if all(unicodedata.category(c)[0] in "LMNPS" for c in text):
        assert shown == text


def test_marks_that_turn_the_direction_of_writing_are_escaped_and_joiners_stay() -> None:
    assert printable("a\u202egpj.exe\u2066") == "a\\u202egpj.exe\\u2066"
    for name in ("क्\u200dष", "שלום"):
        assert printable(name) == name


def test_one_of_a_thing_is_no_plural() -> None:
    said = [how_many(number, "photo") for number in (0, 1, 2)] + [how_many(n, "person", "people") for n in (1, 11)]
    assert said == ["0 photos", "1 photo", "2 photos", "1 person", "11 people"]
