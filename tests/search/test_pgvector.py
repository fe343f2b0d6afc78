"""facerec.search.pgvector: what a server holds, and what is left in its files after a removal."""

from collections.abc import Iterator

import numpy as np
import psycopg
import pytest
from toy_postgresql import VectorServer
from toy_vectors import units

from facerec.errors import EngineError
from facerec.search.engine import EngineChangedError, EngineIndex, Stamp, bring_up_to_date
from facerec.search.keys import keys_of
from facerec.search.people import PeopleIndex
from facerec.search.pgvector import Pgvector

NUMBERED = np.arange(1, 2001)


@pytest.fixture
def engine(postgresql: VectorServer) -> Iterator[Pgvector]:
    engine = Pgvector.open(postgresql.address, "toy")
    yield engine
    engine.drop()
    engine.close()


@pytest.fixture
def people(engine: Pgvector) -> PeopleIndex:
    made = PeopleIndex(NUMBERED, [str(number) for number in NUMBERED], units(0, len(NUMBERED)))
    give(engine, made)
    return made


def give(engine: Pgvector, people: PeopleIndex) -> int:
    return bring_up_to_date(engine, stamp_of(people), people.ids, people.places, people.mean_rows)


def stamp_of(people: PeopleIndex) -> Stamp:
    return Stamp.of("model-gallery", people.dimension, people.ids, keys_of(people.ids, people.places))


def test_the_graph_finds_almost_everybody_and_only_what_changed_is_written(
    engine: Pgvector, people: PeopleIndex
) -> None:
    index = EngineIndex(engine, keys_of(people.ids, people.places))
    with psycopg.connect(engine._db.info.dsn) as db:
        db.execute("SET enable_seqscan = off")
        plan = db.execute("EXPLAIN SELECT key FROM toy ORDER BY mean <-> %s::vector LIMIT 5", (str([0.1] * 16),))
        assert "toy_hnsw" in str(plan.fetchall())
    assert (index.nearest(people.means[:200], 5)[:, 0] == np.arange(200)).mean() >= 0.99
    people.add(np.array([3001, 3002]), ["new", "3"], units(9, 2))
    assert give(engine, people) == 3
    assert give(engine, people) == 0


def test_of_whoever_is_erased_no_file_holds_the_vector_even_while_others_read(
    engine: Pgvector, people: PeopleIndex, postgresql: VectorServer
) -> None:
    gone = people.means[7]
    assert len(postgresql.holding(gone)) >= 2, "the table and the graph"
    people.remove(np.array([8]))
    index = EngineIndex(engine, keys_of(people.ids, people.places))
    with psycopg.connect(postgresql.address) as db:
        db.execute("CREATE TABLE other (number integer)")  # a transaction that began earlier and stays open
        engine.erase(keys_of(people.ids, people.places), str(stamp_of(people)))
        assert not postgresql.holding(gone)
    assert give(engine, people) == 0, "nothing but the graph was missing"
    assert not postgresql.holding(gone)
    assert postgresql.holding(people.means[3])
    assert (index.nearest(people.means[:50], 5)[:, 0] == np.arange(50)).mean() >= 0.98
    engine.drop()
    with pytest.raises(EngineChangedError, match="gone"):
        index.nearest(people.means[:1], 1)


def test_what_cannot_be_reached_is_one_line_without_the_password() -> None:
    with pytest.raises(EngineError, match=r"^pgvector: the server cannot be reached") as raised:
        Pgvector.open("postgresql://ann:secret@127.0.0.1:9/club", "toy")
    assert "secret" not in str(raised.value)
