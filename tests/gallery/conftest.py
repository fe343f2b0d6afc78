"""Galleries and the files of their exports. A test changes its own.

Every test here runs twice: on galleries in folders, and on galleries on a server that stand for those in folders. So a
test gives a folder in any case. Those that look into SQLite's file are in `sqlite/`, or in ON_SQLITE_ONLY.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import toy_gallery
from postgres_server import Server
from toy_gallery import opened, template

from facerec.gallery import store

KINDS = ("sqlite", "postgres")
ON_SQLITE_ONLY = {
    "test_a_number_that_would_be_given_again_is_found": "damages SQLite's own table of numbers; a server has sequences",
    "test_the_index_of_another_gallery_or_another_day_is_not_believed": "puts back the file of another day",
    "test_check_names_what_is_wrong": "needs a row that refers to nobody; a server refuses it",
    "test_a_gallery_lies_in_a_folder_of_any_name": "restores a copy; a server's are its administrator's",
    "test_a_gallery_that_stays_open_is_copied_once_a_change": "keeps a copy; a server's are its administrator's",
    "test_an_encrypted_gallery_leaves_nothing_in_an_engine": "encrypts; a server's disk is its administrator's",
    "test_the_time_to_read_some_people_does_not_grow_with_all": "counts the steps of SQLite's machine",
    "test_a_change_that_is_taken_back_leaves_nothing": "copies the folder at the moment of a kill",
}
"""Tests that are not run on a server, each with the reason."""
assert len(ON_SQLITE_ONLY) <= 15, "rather write the test so that it runs on both"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    of_the_file = metafunc.definition.path.parent.name == "sqlite"
    kinds = KINDS[:1] if of_the_file or metafunc.definition.originalname in ON_SQLITE_ONLY else KINDS
    kinds = KINDS[1:] if metafunc.definition.path.stem == "test_server" else kinds
    metafunc.parametrize("held_by", kinds, indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out encrypted galleries on a server, which facerec does not encrypt."""
    items[:] = [item for item in items if not {"encrypted", "postgres"} <= {*_parameters(item)}]


def _parameters(item: pytest.Item) -> list[object]:
    values = getattr(item, "callspec", None)
    return [] if values is None else [value for value in values.params.values() if isinstance(value, str)]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many tests ran on each kind."""
    ran = [report.nodeid for state in ("passed", "failed") for report in terminalreporter.stats.get(state, [])]
    of_galleries = [node for node in ran if "tests/gallery/" in node]
    on_server = sum("postgres" in node.partition("[")[2] for node in of_galleries)
    if of_galleries:
        counts = f"{len(of_galleries) - on_server} on SQLite, {on_server} on PostgreSQL"
        terminalreporter.write_line(f"Tests of galleries: {counts}; {len(ON_SQLITE_ONLY)} have no meaning there.")


@pytest.fixture(autouse=True)
def held_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the test's galleries are."""
    if request.param == "postgres":
        server = request.getfixturevalue("server")
        monkeypatch.setattr(store, "open_database", server.open_instead)
        monkeypatch.setattr(toy_gallery, "SERVER", server)
    return request.param


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL server; one for each process of the run.

    It runs as a user of its own if root runs the tests, who could not reach a folder of pytest's.
    """
    folder = Path(tempfile.mkdtemp(prefix="facerec-server-"))
    folder.chmod(0o755)
    server = Server(folder / "data")
    yield server
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    with opened(folder) as gallery:
        for number, name in enumerate(("Ann Lee", "Çelik 王", "Ann Lee")):
            gallery.add(name, template(number))
        gallery.set_consent("Ann Lee", "signed; see drawer 3", "2031-01-31")
    return folder


@pytest.fixture
def file(source: Path, tmp_path: Path) -> Path:
    with opened(source) as gallery:
        gallery.export(tmp_path / "club.npz")
    return tmp_path / "club.npz"


@pytest.fixture
def vetoed(source: Path, tmp_path: Path) -> Path:
    """The file of a gallery where photos 50 and 51 are not Ann Lee, and Ann Lee and Çelik are two people."""
    with opened(source) as gallery:
        for number in (50, 51):
            gallery.veto("Ann Lee", template(number))
        gallery.set_apart("Ann Lee", "Çelik 王")
        gallery.export(tmp_path / "vetoed.npz")
    return tmp_path / "vetoed.npz"
