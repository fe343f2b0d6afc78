"""A PostgreSQL server with pgvector, for all tests of a process."""

from collections.abc import Iterator

import pytest
from toy_postgresql import VectorServer, vector_server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[VectorServer]:
    with vector_server() as server:
        yield server
