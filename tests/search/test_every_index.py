"""Every kind of index: whoever is searched is found as by comparing with everybody, one by one.

`flat` compares with everybody, `approximate` by codes, `milvus` by Milvus Lite, `pgvector` by a PostgreSQL server.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from oracles import nearest_people_by_loop, unit_mean_by_loop
from toy_vectors import lattice, units

from facerec.search import people as people_module
from facerec.search.engine import Engine, EngineIndex, Stamp, bring_up_to_date
from facerec.search.keys import keys_of
from facerec.search.milvus import HNSW, Milvus
from facerec.search.people import PeopleIndex
from facerec.search.pgvector import Pgvector
from facerec.types import Vectors

KINDS = ("flat", "approximate", "milvus", "milvus hnsw", "pgvector")
Ready = Callable[[PeopleIndex], PeopleIndex]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Milvus Lite, open for all tests, because opening takes a while."""
    folder = tmp_path_factory.mktemp("milvus")
    engine = Milvus.open(str(folder), "kept_open")
    yield folder
    engine.close()


@pytest.fixture(params=KINDS)
def ready(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ready]:
    """Brings an index of this kind up to date with people, to be searched."""
    if request.param == "approximate":
        monkeypatch.setattr(people_module, "LEAST", 16)
    if request.param in ("flat", "approximate"):
        yield lambda people: people
        return
    if request.param == "pgvector":
        engine = Pgvector.open(request.getfixturevalue("postgresql").address, "people")
    else:
        kind = HNSW if request.param.endswith("hnsw") else None
        engine = Milvus.open(str(request.getfixturevalue("folder")), "people", kind)
    yield lambda people: by_engine(people, engine)
    engine.drop()
    engine.close()


def by_engine(people: PeopleIndex, engine: Engine, gallery: str = "toy") -> PeopleIndex:
    if not people.by_engine:
        keys = keys_of(people.ids, people.places)
        stamp = Stamp.of(gallery, people.dimension, people.ids, keys)
        bring_up_to_date(engine, stamp, people.ids, people.places, people.mean_rows)
        people.search_by(EngineIndex(engine, keys))
    return people


def vectors_by_name(people: PeopleIndex) -> dict[str, list[list[float]]]:
    pairs = list(zip(people.owners(), people.vectors.tolist(), strict=True))
    return {name: [vector for owner, vector in pairs if owner == name] for name in people.names}


def assert_found(people: PeopleIndex, queries: Vectors, top: int) -> None:
    """Compare with a search that compares with everybody's mean, computed anew."""
    own = vectors_by_name(people)
    means = {name: unit_mean_by_loop(vectors) for name, vectors in own.items()}
    for query, found in zip(queries.tolist(), people.nearest(queries, top), strict=True):
        assert [c.distance for c in found] == pytest.approx(nearest_people_by_loop(own, query, top), abs=4e-6)
        assert len({c.person for c in found}) == len(found)
        for c in found:
            assert c.distance == pytest.approx(float(np.square(np.subtract(query, means[c.person])).sum()), abs=4e-6)


def test_people_come_get_more_photos_and_go(ready: Ready) -> None:
    owners = [f"p{number}" for number in range(40)] + [f"p{number * 3 % 40}" for number in range(20)]
    rows, queries = units(0, len(owners)), units(1, 4)
    people = PeopleIndex(np.arange(20) * 2 + 1, owners[:20], rows[:20])
    for step, (start, end) in enumerate([(20, 30), (30, 60)]):
        assert_found(ready(people), queries, 3)
        people.add(np.arange(start, end) * 2 + 1, owners[start:end], rows[start:end])
        assert_found(ready(people), queries, 3)
        people.remove(np.array([1, 7, 2 * start + 1, 1000 + step]))
    assert_found(ready(people), queries, 3)
    assert not np.isin([1, 7, 41, 61], people.ids).any()


def test_whoever_wants_more_people_than_there_are_gets_all(ready: Ready) -> None:
    people = ready(PeopleIndex(np.arange(1, 26), [str(number) for number in range(25)], units(0, 25)))
    for top in (24, 25, 26, 2_000, 20_000):
        assert_found(people, units(1, 2), top)
        assert people.search(units(1, 2), 30)[1][:, 25:].tolist() == [[-1] * 5] * 2


def test_of_equally_near_people_the_one_enrolled_first_comes_first(ready: Ready) -> None:
    same = lattice([0] * 5 + [1] * 5 + [2] * 15)
    people = ready(PeopleIndex(np.arange(1, 26), [f"n{number:02}" for number in range(25)], same))
    for top in (1, 3, 5, 12):
        assert [c.person for c in people.nearest(lattice([1]), top)[0]] == [
            f"n{number:02}" for number in (*range(5, 10), *range(5), *range(10, 25))
        ][:top]


def test_nobody_is_found_among_nobody_and_by_no_search(ready: Ready) -> None:
    people = ready(PeopleIndex.nobody(16))
    assert people.nearest(units(0, 2), 3) == [[], []]
    assert people.nearest(units(0, 0), 3) == []
    people.add(np.arange(1, 18), [str(number) for number in range(17)], units(3, 17))
    assert_found(ready(people), units(3, 2), 2)
    people.remove(np.arange(1, 18))
    assert ready(people).nearest(units(0, 1), 1) == [[]]


def test_people_who_change_are_searched_at_once(ready: Ready) -> None:
    """Before whoever holds the gallery's lock has brought the index up to date."""
    people = ready(PeopleIndex(np.arange(1, 21), [str(number) for number in range(20)], units(0, 20)))
    people.add(np.array([21, 22]), ["new", "3"], units(5, 2))
    assert_found(people, units(5, 2), 2)
    people.remove(np.array([21]))
    assert_found(people, units(5, 2), 2)
