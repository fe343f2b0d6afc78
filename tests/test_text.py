"""words.py: names are one line to read, and numbers say of how many they are."""

import unicodedata
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facerec.text import clock, how_many, name_key, printable, same_name


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


SPELLINGS = [
    ["Ann Lee", "ann_lee", "LEE, Ánn", "AnnLee", "Lee-Ann", "\uff21\uff4e\uff4e  Lee", "lee ann.", "A\u0301nn Lee"],
    ["Søren Kierkegård", "Kierkegaard, Soren"],
    ["Müller", "Mueller", "MULLER"],
    ["Straße", "STRASSE"],
    ["Pat O'Brien", "pat obrien", "O\u2019Brien Pat"],
    ["Ann McDonald", "Mc Donald, Ann"],
    ["Łukasz Ørsted", "Lukasz Oersted"],
    ["İbrahim", "ibrahim"],
    ["王 小明", "小明王"], ["王明小"],
    ["राम", "राम."], ["रमा"], ["रम"], ["たいち"], ["だいち"], ["นิด"], ["นัด"], ["שָׁלוֹם", "שלום"], ["مُحَمَّد", "محمد"],
    ["Arnold Lee", "lee_arnold"], ["Ronald Lee", "Lee, Rónald"], ["Amy Lin"], ["May Lin"], ["Lee, Anrold"],
    ["Ana Maria de la Cruz", "de la CRUZ, Ana Maria"], ["Ana Maira de la Cruz"],
    ["Person 12", "person-12"],
    ["Maria"], ["Amira"], ["Ann"], ["Anna Lee"], ["Person 1 2"], ["10-1"], ["1-10"], ["Ann Lee 2"], ["☺"], ["☹"],
]  # fmt: skip


def test_spellings_of_a_name_are_one_and_other_names_are_others() -> None:
    names = [(name, number) for number, own in enumerate(SPELLINGS) for name in own]
    for (one, first), (other, second) in combinations(names, 2):
        assert same_name(one, other) == same_name(other, one) == (first == second), (one, other)


@settings(deadline=None)
@given(st.text(min_size=1))
def test_every_name_is_its_own_spelling(name: str) -> None:
    assert same_name(name, name)
    assert name_key(name)


def test_the_key_is_the_same_for_all_spellings() -> None:
    for own in SPELLINGS:
        assert len(set(map(name_key, own))) == 1


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0:00.0"), (7.44, "0:07.4"), (59.96, "1:00.0"), (3727.4, "1:02:07.4"), (36000, "10:00:00.0")],
)
def test_times_of_a_video(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown
