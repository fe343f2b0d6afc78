"""Photos of made-up people whose lamp is on or off."""

import pytest
from toy_lamp import switch_lamps
from toy_runs import Data, make_people, write_lamp


@pytest.fixture(scope="module")
def lit_faces(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """12 people with 6 photos each, the lamp on in every second one, and lamp.csv beside them. Do not change."""
    data = switch_lamps(make_people(tmp_path_factory.mktemp("lit"), 12, 6))
    write_lamp(data.folder.parent / "lamp.csv", data)
    return data
