"""scripts/studies/groups.py: pairs are counted once each, and rates are of a group's own."""

import numpy as np
import pytest
from toy_vectors import near, units

from facerec.evaluation.identification import Searches
from scripts.studies.groups import GROUPS, compared, learned, only, predicted, rate

CENTRES: dict[str, np.ndarray] = dict(zip(GROUPS, units(0, 4, 64), strict=True))


def photos(group: str, count: int, seed: int) -> list[np.ndarray]:
    return [near(CENTRES[group], 0.3, seed=seed + n) for n in range(count)]


def test_people_get_the_group_whose_photos_theirs_are_like() -> None:
    head = learned({group: photos(group, 20, 100 * i) for i, group in enumerate(GROUPS)})
    rows = {f"{group} {n}": photos(group, 3, 1000 + 10 * n) for group in GROUPS for n in range(2)}
    assert predicted(rows, head) == {name: name.split()[0] for name in rows}


def test_each_pair_of_photos_counts_once() -> None:
    a, b = units(1, 2, 64)
    rows = {"Ann": [a, a, b], "Bob": [a, b]}
    matches, pairs = compared(rows, 0.5)
    assert pairs.tolist() == [[3, 6], [0, 1]]
    assert matches.tolist() == [[1, 3], [0, 0]], "of Ann's one pair; of hers with Bob's a-a twice and b-b"
    two = ~np.eye(2, dtype=bool)
    assert rate(matches * two, pairs * two, np.ones((3, 2))).startswith("50.000 (")


@pytest.mark.parametrize(("group", "left"), [("White", ("w", "w")), ("all", ("w", "b", "w"))])
def test_the_searches_of_a_group(group: str, left: tuple[str, ...]) -> None:
    none = np.zeros(3, np.bool_)
    searches = Searches(("w", "b", "w"), none, none, np.zeros(3, np.float32), np.zeros(0))
    assert only(searches, group, {"w": "White", "b": "Black"}).searcher == left
