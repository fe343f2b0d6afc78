"""facerec.search.standing: whatever happens to the people, what is remembered is what a new search finds."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_vectors import lattice, units

from facerec.search import standing
from facerec.search.cache_file import write_cache
from facerec.search.leave_one_out import Search
from facerec.search.people import PeopleIndex
from facerec.search.standing import StandingSearch

Found = tuple[np.ndarray, np.ndarray]
DIMENSION = 8
STRANGERS = units(7, 30, DIMENSION)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "search"


def index_of(people: dict[str, dict[int, np.ndarray]]) -> PeopleIndex:
    rows = sorted((number, name, vector) for name, own in people.items() for number, vector in own.items())
    vectors = np.array([vector for *_, vector in rows], np.float32).reshape(-1, DIMENSION)
    return PeopleIndex(np.array([number for number, *_ in rows], np.int64), [name for _, name, _ in rows], vectors)


def asked(index: PeopleIndex, strangers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Strangers, and everybody's first photo."""
    owners = np.concatenate([np.full(len(strangers), -1), np.arange(len(index.names))])
    return np.concatenate([strangers, index.vectors[index.first]]), owners


def by_loop(index: PeopleIndex, vectors: np.ndarray, owners: np.ndarray) -> list[float]:
    return [
        min((float(np.square(v - m).sum()) for p, m in enumerate(index.means) if p != owner), default=np.inf)
        for v, owner in zip(vectors, owners, strict=True)
    ]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_sequence_of_changes_leads_to_what_a_new_search_finds(file: Path, data: st.DataObject) -> None:
    people: dict[str, dict[int, np.ndarray]] = {}
    search = StandingSearch()
    for number in range(data.draw(st.integers(1, 12))):
        a, b = data.draw(st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef")))
        what = data.draw(st.sampled_from(["enroll", "enroll", "copy", "remove", "rename", "merge", "nothing"]))
        if what == "enroll":
            people.setdefault(a, {})[number] = units(number, 1, DIMENSION)[0]
        elif what == "copy" and a in people:
            people.setdefault(b, {})[number] = next(iter(people[a].values()))
        elif what == "remove" and a in people:
            photo = data.draw(st.sampled_from(sorted(people[a])))
            del people[a][photo]
            if not people[a]:
                del people[a]
        elif a in people and (what == "merge" or (what == "rename" and b not in people)):
            people[b] = people.pop(a) | people.get(b, {})
        index = index_of(people)
        vectors, owners = asked(index, STRANGERS[data.draw(st.integers(0, 3)) : data.draw(st.integers(3, 30))])
        found = search.update(index, vectors, owners)
        assert found == pytest.approx(by_loop(index, vectors, owners), abs=4e-6)
        if data.draw(st.booleans()):
            search.save(file)
            search = StandingSearch.load(file)


def test_nobody_and_nothing_to_search() -> None:
    search, nobody, one = StandingSearch(), PeopleIndex.nobody(4), PeopleIndex(np.arange(1), ["Ann"], lattice([0]))
    for index in (nobody, one, nobody):
        found = search.update(index, lattice([1, 2]), np.array([-1, -1]))
        np.testing.assert_array_equal(found, np.inf if index is nobody else 2)
        assert search.update(index, lattice([]), np.empty(0, np.intp)).shape == (0,)
    assert search.update(one, lattice([0]), np.array([0])).tolist() == [np.inf], "nobody but the vector's own person"


class Counting:
    """Counts the comparisons of a vector with a mean."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._searched: list[tuple[int, int]] = []
        self._real = standing.nearest_others
        monkeypatch.setattr(standing, "nearest_others", self._search)

    def _search(self, vectors: np.ndarray, places: np.ndarray, means: np.ndarray, *search: Search) -> Found:
        self._searched.append((len(vectors), len(means)))
        return self._real(vectors, places, means, *search)

    def comparisons(self) -> int:
        """Since it was asked last."""
        count = sum(vectors * people for vectors, people in self._searched)
        self._searched.clear()
        return count


def test_only_what_changed_is_searched_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers of vectors, and of people they are compared with."""
    counted = Counting(monkeypatch)
    index, search = PeopleIndex(np.arange(500), [str(n) for n in range(500)], units(1, 500, 16)), StandingSearch()
    strangers, nobody = units(2, 200, 16), np.full(200, -1)

    def compared() -> int:
        search.update(index, strangers, nobody)
        return counted.comparisons()

    assert compared() == 200 * 500
    assert compared() == 0
    index.add(np.array([500]), ["new"], units(3, 1, 16))
    assert compared() == 200
    nearest = index.nearest(strangers, 1)
    index.add(np.array([501]), ["7"], units(4, 1, 16))
    assert compared() == 200 + sum(found[0].person == "7" for found in nearest) * (501 - 1)
    assert compared() == 0


def test_a_damaged_file_is_not_believed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index, search, counted = (
        PeopleIndex(np.arange(9), list("abcdefghi"), units(1, 9)),
        StandingSearch(),
        Counting(monkeypatch),
    )
    strangers, nobody = units(2, 5), np.full(5, -1)
    expected = search.update(index, strangers, nobody)
    search.save(file)
    counted.comparisons()
    whole = file.read_bytes()
    damaged = [whole[:end] for end in range(0, len(whole), 7)] + [b"x" + whole, whole + b"\0", b""]
    damaged += [whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :] for place in range(0, len(whole), 5)]
    for content in (whole, *damaged):
        file.write_bytes(content)
        found = StandingSearch.load(file).update(index, strangers, nobody)
        np.testing.assert_array_equal(found, expected)
        assert counted.comparisons() == (0 if content is whole else 5 * 9)
    file.unlink()
    assert StandingSearch.load(file).update(index, strangers, nobody).tolist() == expected.tolist()


MARKS = np.zeros(3, np.uint64)
WHOLE = {"people": MARKS, "vectors": MARKS, "nearest": MARKS, "distances": np.zeros(3, np.float32)}
FORGED = {
    "no array": {},
    "one missing": {"people": MARKS},
    "of other lengths": {**WHOLE, "nearest": np.zeros(2, np.uint64)},
    "of other types": {**WHOLE, "distances": np.array(["a", "b", "c"])},
    "objects": {**WHOLE, "people": np.array([{}], object)},
    "numbers": dict.fromkeys(WHOLE, np.uint64(1)),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_file_of_other_content_with_a_right_checksum_is_not_believed(name: str, file: Path) -> None:
    content = io.BytesIO()
    np.savez(content, **FORGED[name])  # type: ignore[arg-type]
    for written in (content.getvalue(), b"nothing of the kind"):
        write_cache(file, standing.MAGIC, written)
        people = index_of({"a": {0: units(0, 1, DIMENSION)[0]}})
        assert np.isfinite(StandingSearch.load(file).update(people, STRANGERS, np.full(30, -1))).all()
