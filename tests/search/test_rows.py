"""facerec.search.rows: rows in a file are those in memory, and one that was overwritten is never returned."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_vectors import units

from facerec.search.rows import DamagedRowsError, Rows, marks_of

ALL = units(0, 200, 5)


def mapped(path: Path, count: int) -> Rows:
    """The first `count` rows, mapped from a file."""
    ALL[:count].tofile(path)
    rows = np.memmap(path, np.float32, "r", 0, (count, 5)).view(np.ndarray) if count else ALL[:0]
    return Rows(rows, marks_of(rows))


@settings(max_examples=100, deadline=None)
@given(data=st.data(), count=st.integers(0, 20))
def test_however_they_change_they_are_those_of_a_list(
    data: st.DataObject, count: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    found = [mapped(tmp_path_factory.mktemp("rows") / "file", count), Rows(ALL[:count].copy())]
    expected, new = list(ALL[:count]), iter(ALL[count:])
    for _ in range(data.draw(st.integers(0, 6))):
        numbers = data.draw(st.lists(st.sampled_from(range(len(expected))), unique=True) if expected else st.just([]))
        change = data.draw(st.sampled_from(["append", "put", "keep", "all"]))
        rows = np.array([next(new) for _ in numbers], np.float32).reshape(-1, 5)
        for each in found:
            each.append(rows) if change == "append" else None
            each.put(np.array(numbers, int), rows) if change == "put" else None
            each.keep(np.array(numbers, int)) if change == "keep" else None
            each.all() if change == "all" else None
        if change == "append":
            expected += list(rows)
        elif change == "keep":
            expected = [expected[number] for number in numbers]
        elif change == "put":
            for number, row in zip(numbers, rows, strict=True):
                expected[number] = row
    some = np.array(data.draw(st.lists(st.sampled_from(range(len(expected))))) if expected else [], int)
    for each in found:
        assert len(each) == len(expected)
        np.testing.assert_array_equal(each[some], np.array(expected, np.float32).reshape(-1, 5)[some])
        np.testing.assert_array_equal(each.all(), np.array(expected, np.float32).reshape(-1, 5))


def test_a_row_that_was_overwritten_is_told_and_the_others_are_read(tmp_path: Path) -> None:
    for place in range(0, 20 * 5 * 4):
        rows = mapped(tmp_path / "file", 20)
        with (tmp_path / "file").open("r+b") as file:
            file.seek(place)
            byte = file.read(1)[0]
            file.seek(place)
            file.write(bytes([byte ^ 1 << place % 8]))
        bad = place // 20
        np.testing.assert_array_equal(rows[np.delete(np.arange(20), bad)], np.delete(ALL[:20], bad, axis=0))
        with pytest.raises(DamagedRowsError, match="`facerec gallery rebuild` makes it again"):
            rows[np.array([0, bad])]
        with pytest.raises(DamagedRowsError):
            rows.all()
        rows.put(np.array([bad]), ALL[50:51])
        np.testing.assert_array_equal(rows.all()[bad], ALL[50])
